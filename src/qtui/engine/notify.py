"""Tells people of what happens in a run, by a command of theirs; whatever that does, the run goes on."""

from __future__ import annotations

import errno
import os
import selectors
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from qtui.core.brakes import HELD
from qtui.core.definition import Notify
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
from qtui.core.masking import masks_of
from qtui.core.model import FAILURES
from qtui.engine.bus import EventBus, Notice
from qtui.engine.variables import MOST_TEXT
from qtui.engine.workers.keepers import Keeper, Keepers
from qtui.engine.workers.slots import describe_exit

SECONDS: Final = 30.0
"""How long one notification may take before it is killed, and how long all together may keep qtui from leaving."""

MOST_WAITING: Final = 100
"""How many may wait for their turn: of a thousand failures in a row nobody reads the hundred-and-first."""

LOG_BYTES: Final = 1 << 20
"""How much is kept of what notifications print."""

GRACE_SECONDS: Final = 0.5
"""How long what a notification leaves behind has to end when it is told to."""

KILL_SECONDS: Final = 5.0
"""How long a notification that was killed is waited for; only what is in uninterruptible sleep takes that long."""

STALLED: Final = "silent and idle"
"""How the warning about a stalled unit begins."""

_HEARD: Final = (
    "run_started",
    "unit_finished",
    "run_finished",
    "confirm_requested",
    "run_paused",
    "brake_changed",
    "warning",
)


class _Message(NamedTuple):
    what: str
    unit: str
    state: str
    text: str


class Notifier:
    """Runs the command of `notify` for what a person wants to be told of, one at a time and apart from the run.

    It has QTUI_EVENT (failure, end, confirm, pause or stall), QTUI_RUN, QTUI_UNIT, QTUI_STATE and QTUI_MESSAGE in its
    environment. The first and the last of its output go to `log`, without `secrets`. It runs below a keeper, as units
    do, so nothing of it stays behind. But for questions, nothing is told before the run has taken `notify.after`
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
        secrets: Iterable[str] = (),
    ) -> None:
        self._notify, self._run, self._warn = notify, run, warn
        self._directory = directory or os.getcwd()  # noqa: PTH109
        self._log = str(log or "")
        self._keepers = Keepers(environment, masks=masks_of(secrets))
        self._keeper: Keeper | None = None
        self._began = 0.0
        self._deadline: float | None = None
        self._waiting: SimpleQueue[_Message | None] = SimpleQueue()
        self._warned = False
        self._unsubscribe = [bus.subscribe(name, self._hear) for name in _HEARD]
        self._thread = threading.Thread(target=self._work, name="qtui-notify", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let what waits be told, for `SECONDS` at most in all, and end."""
        for undo in self._unsubscribe:
            undo()
        self._deadline = time.monotonic() + SECONDS
        self._waiting.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._let_go()
        self._keepers.close(KILL_SECONDS)

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
                kept = f", its output is in {self._log}" if os.path.isfile(self._log) else ""  # noqa: PTH113
                self._warn(f'the notify command "{_shown(self._notify.run)}" {fault}{kept}; this is told once')

    def _left(self) -> float:
        """The seconds that there are for a notification."""
        return SECONDS if self._deadline is None else self._deadline - time.monotonic()

    def _tell(self, message: _Message) -> str:
        """Run the command; returns what went wrong."""
        # no process starts with a variable of more than 128 kB, or with one that cannot be encoded
        text = message.text[:MOST_TEXT].replace("\0", "").encode("utf-8", "replace").decode()
        variables = {
            "QTUI_EVENT": message.what,
            "QTUI_RUN": self._run,
            "QTUI_UNIT": message.unit,
            "QTUI_STATE": message.state,
            "QTUI_MESSAGE": text,
        }
        try:
            if self._keeper is None:
                self._keeper = self._keepers.keeper()
            self._keeper.run(
                self._notify.run, variables, self._directory, log=self._log, limit=LOG_BYTES, grace=GRACE_SECONDS
            )
            return self._outcome(self._keeper, time.monotonic() + max(0.1, self._left()))
        except OSError as error:
            self._let_go()
            return f"cannot be started: {error.strerror or error}"
        except EOFError:
            self._let_go()
            return "was ended, for somebody has killed its keeper"

    def _outcome(self, keeper: Keeper, deadline: float) -> str:
        """Wait until nothing is left of the command, which is killed at `deadline`; returns what went wrong."""
        late, trouble = False, ""
        with selectors.DefaultSelector() as selector:
            selector.register(keeper.channel, selectors.EVENT_READ)
            while True:
                ready = selector.select(min(1.0, max(0.0, deadline - time.monotonic())))
                for report in keeper.receive() if ready else ():
                    match report:
                        case ("failed", number, name):
                            return f"cannot be started: {_not_started(number, name)}"
                        case ("log", number):
                            trouble = f"has output that cannot be kept: {os.strerror(number)}"
                        case ("ended", code, *_) if not late:
                            return f"ended with {describe_exit(code)}" if code else trouble
                        case ("ended", *_):
                            return _late()
                if time.monotonic() < deadline:
                    keeper.wake()  # the command may have stopped it
                elif late:
                    self._let_go()
                    return _late()
                else:
                    late, deadline = True, time.monotonic() + KILL_SECONDS
                    keeper.wake()
                    keeper.kill()

    def _let_go(self) -> None:
        """Have the keeper kill what it has, and end."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None


def _shown(command: tuple[str, ...]) -> str:
    """A command as people have written it; its first line."""
    text = command[2] if command[:2] == ("sh", "-c") and len(command) == 3 else shlex.join(command)
    return (text.strip().splitlines() or [""])[0]


def _late() -> str:
    return f"took more than {SECONDS:g} s and was ended"


def _not_started(number: int, name: Any) -> str:
    return f"{name}: {os.strerror(number)}" if name and number == errno.ENOENT else os.strerror(number)


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
