"""Does what other processes ask of a run, and gives signs of life, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from qtui.core.errors import QtuiError
from qtui.core.events import UnitCanceling
from qtui.core.stimuli import CancelRequested, Request
from qtui.engine.engine import Engine
from qtui.store.commands import Command, CommandQueue, put_aside
from qtui.store.errors import JournalDamaged
from qtui.store.rundir import RunDirectory
from qtui.store.runlock import HEARTBEAT_SECONDS, RunLock

POLL_SECONDS: Final = 0.05
"""How often it is looked whether somebody has asked for something; without news that costs 2 µs."""

DONE: Final = "done"
SAME_MOMENT: Final = 0.5
"""Who asks for a cancel within so many seconds of another has not seen that one on the screen yet."""

TOO_LATE: Final = "too late"
UNKNOWN: Final = "refused: this version of qtui does not know that request"
NO_UNIT: Final = "refused: the run has no unit {}"

Ask = Callable[[Request, Callable[[bool], None]], None]
"""Posts a request; whoever works it off tells whether anything came of it."""


class Steward:
    """Answers the requests in a run's `commands.db`: ``done``, ``too late`` if nothing came of it, or ``refused``.

    Any process of the user may write to that file: nothing in it ends this thread. One that is damaged is put aside.
    """

    def __init__(self, directory: RunDirectory, lock: RunLock, engine: Engine, ask: Ask) -> None:
        self._path, self._lock, self._engine, self._ask = directory.commands, lock, engine, ask
        self._queue: CommandQueue | None = None
        self._answers: dict[int, str] = {}  # by number: a request is done once, even if its answer cannot be written
        self._trouble = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="qtui-steward", daemon=True)

    def start(self) -> None:
        """Begin to answer. What was asked of a process before this one came too late."""
        with suppress(QtuiError), closing(CommandQueue(self._path)) as queue:
            for command in queue.pending():
                queue.answer(command.id, TOO_LATE)
        self._thread.start()

    def close(self) -> None:
        """Answer what has been asked so far, and end."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _work(self) -> None:
        beaten = 0.0
        while True:
            over = self._over.wait(POLL_SECONDS)
            if time.monotonic() - beaten > HEARTBEAT_SECONDS:
                beaten = time.monotonic()
                self._lock.beat()
            try:
                self._answer_all(over)
                self._trouble = ""
            except Exception as error:  # noqa: BLE001  - the run still lives, and must be able to show it
                self._let_go()
                self._tell(error)
                self._over.wait(1.0)
            if over:
                self._let_go()
                return

    def _answer_all(self, over: bool) -> None:
        self._queue = self._queue or CommandQueue(self._path)
        if not (self._queue.changed() or over):
            return
        for command in self._queue.pending():
            if command.id not in self._answers:
                self._answers[command.id] = self._answer(command)
            self._queue.answer(command.id, self._answers[command.id])
        self._answers.clear()

    def _let_go(self) -> None:
        queue, self._queue = self._queue, None
        with suppress(Exception):  # what is wrong with it has been told
            if queue is not None:
                queue.close()

    def _tell(self, error: Exception) -> None:
        """Warn of trouble with the file, once, and put a damaged one aside."""
        trouble = str(error) if isinstance(error, QtuiError) else f"{type(error).__name__}: {error}"
        if isinstance(error, JournalDamaged):
            try:
                aside = put_aside(self._path)
                self._answers.clear()
                self._engine.warn(-1, f"requests of other terminals were lost: {trouble} (now {aside.name}; made anew)")
                return
            except QtuiError as failed:
                trouble = str(failed)
        if trouble != self._trouble:
            self._trouble = trouble
            self._engine.warn(-1, f"requests from other terminals do not arrive: {trouble}")

    def _answer(self, command: Command) -> str:
        try:
            return self._obey(command)
        except Exception as error:  # noqa: BLE001  - whatever it is, somebody waits for the answer
            told = f"{type(error).__name__}: {error}"
            self._engine.warn(-1, f"a request of {command.who} failed: {told}")
            return f"refused: {told}"

    def _obey(self, command: Command) -> str:
        request = command.request
        if request is None:
            return UNKNOWN
        units: tuple[int, ...] = getattr(request, "units", ())
        size = len(self._engine.view().plan)
        missing = next((number for number in units if not 0 <= number < size), None)
        if missing is not None:
            return NO_UNIT.format(missing)
        if self._outdated(request, command):
            return TOO_LATE
        told = threading.Event()
        came: list[bool] = []

        def answer(anything: bool) -> None:
            came.append(anything)
            told.set()

        self._ask(_by(request, command.who), answer)
        while not told.wait(0.05):
            if self._over.is_set():
                return TOO_LATE
        return DONE if came[0] else TOO_LATE

    def _outdated(self, request: Request, command: Command) -> bool:
        """True if what goes on now is not what was seen there, and must not be hit for it: another attempt, or one that
        somebody else had asked to stop a moment before, which would be killed for being asked twice."""
        if not isinstance(request, CancelRequested) or len(request.units) != 1:
            return False
        view, number = self._engine.view(), request.units[0]
        if command.attempt and view.attempts[number] != command.attempt:
            return True
        last = view.last[number]
        # the run's clock never steps; the wall clock, by which those who ask note the time, may have
        asked = command.at + self._engine.now() - time.time()
        return isinstance(last, UnitCanceling) and asked < last.at + SAME_MOMENT


def _by(request: Request, who: str) -> Request:
    """The request with who has made it in its cause, instead of "you"."""
    cause = getattr(request, "cause", None)
    if cause is None or not cause.endswith(" by you"):
        return request
    return request._replace(cause=f"{cause.removesuffix('you')}{who}")  # type: ignore[call-arg]
