"""Tells people of what happens in a run, by a command of theirs; whatever that does, the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from qtui.core.brakes import HELD
from qtui.core.events import (
    BrakeChanged,
    ConfirmRequested,
    RunFinished,
    RunPaused,
    RunStarted,
    UnitFinished,
    Warned,
)
from qtui.core.holding import brake_words
from qtui.core.model import FAILURES, Notify
from qtui.engine.bus import EventBus, Notice

SECONDS: Final = 30.0
"""How long one notification may take before it is killed, and how long all together may keep qtui from leaving."""

MOST_WAITING: Final = 100
"""How many may wait for their turn: of a thousand failures in a row nobody reads the hundred-and-first."""

STALLED: Final = "silent and idle"
"""How the warning about a stalled unit begins."""


class _Message(NamedTuple):
    what: str
    unit: str
    state: str
    text: str


class Notifier:
    """Runs the command of `notify` for what a person wants to be told of, one at a time and apart from the run.

    It has QTUI_EVENT (failure, end, confirm, pause or stall), QTUI_RUN, QTUI_UNIT, QTUI_STATE and QTUI_MESSAGE in its
    environment, and `log` for its output. But for questions, nothing is told before the run has taken `notify.after`
    seconds. `warn` is called once if a command cannot be run, or fails.
    """

    def __init__(
        self,
        notify: Notify,
        bus: EventBus,
        *,
        run: str,
        directory: str | None,
        log: Path | None,
        environment: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self._notify, self._run, self._directory, self._log = notify, run, directory, log
        self._environment, self._warn = environment, warn
        self._began = 0.0
        self._deadline: float | None = None
        self._waiting: SimpleQueue[_Message | None] = SimpleQueue()
        self._warned = False
        self._unsubscribe = bus.subscribe("*", self._hear)
        self._thread = threading.Thread(target=self._work, name="qtui-notify", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let what waits be told, for `SECONDS` at most in all, and end."""
        self._unsubscribe()
        self._deadline = time.monotonic() + SECONDS
        self._waiting.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join()

    # -- on the dispatcher's thread ----------------------------------------------------------------------

    def _hear(self, notice: Notice) -> None:
        if notice.run != self._run:
            return  # runs of one program share a bus
        if isinstance(notice.event, RunStarted):
            self._began = notice.event.at
        message = message_of(notice)
        if message is None or message.what not in self._notify.on:
            return
        early = notice.event.at - self._began < self._notify.after
        if (not early or message.what == "confirm") and self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(message)

    # -- on its own ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            if self._left() <= 0:
                continue
            fault = self._tell(message)
            if fault and not self._warned:
                self._warned = True
                self._warn(f"the notify command {fault}; this is told once")

    def _left(self) -> float:
        """The seconds that there are for a notification."""
        return SECONDS if self._deadline is None else self._deadline - time.monotonic()

    def _tell(self, message: _Message) -> str:
        """Run the command; returns what went wrong."""
        environment = {
            **self._environment,
            "QTUI_EVENT": message.what,
            "QTUI_RUN": self._run,
            "QTUI_UNIT": message.unit,
            "QTUI_STATE": message.state,
            "QTUI_MESSAGE": message.text.replace("\0", ""),
        }
        try:
            with open(self._log or os.devnull, "ab") as log:  # noqa: PTH123
                process = subprocess.Popen(
                    self._notify.run,
                    cwd=self._directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        try:
            code = process.wait(max(0.1, self._left()))
        except subprocess.TimeoutExpired:
            return f"took more than {SECONDS:g} s and was ended"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it has left behind
            process.wait()
        return f"ended with exit code {code}" if code else ""


def message_of(notice: Notice) -> _Message | None:
    """What a person is told about an event, if anything."""
    unit = notice.unit or ""
    match notice.event:
        case UnitFinished(state=state, error=error, cause=cause) if state in FAILURES:
            if notice.plan.table[notice.event.unit].allow_failure:
                return None
            return _Message("failure", unit, str(state), str(error or cause))
        case RunFinished(state=state):
            counts = ", ".join(f"{count} {name}" for name, count in notice.event.counts.items())
            return _Message("end", "", str(state), counts)
        case ConfirmRequested(question=question):
            return _Message("confirm", unit, "", question)
        case RunPaused(cause=cause):
            return _Message("pause", "", "", cause)
        case BrakeChanged(state=state) if state == HELD:
            return _Message("pause", "", "", brake_words(notice.event))
        case Warned(message=message) if message.startswith(STALLED):
            return _Message("stall", unit, "", message)
    return None
