"""Does what other processes ask of a run, and gives signs of life and of its cluster, on a thread of its own."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from typing import Final

from qtui.core.causes import told_by
from qtui.core.errors import QtuiError
from qtui.core.events import UnitCanceling
from qtui.core.futile import TOO_LATE, futile
from qtui.core.model import UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRequested, CancelRunRequested, InterruptRequested, Request, RetryRequested
from qtui.engine.engine import Engine
from qtui.store.clusterfile import remove_cluster, write_cluster
from qtui.store.commands import Command, CommandQueue, DifferencesAsked, put_aside
from qtui.store.errors import JournalDamaged
from qtui.store.rundir import RunDirectory
from qtui.store.runlock import HEARTBEAT_SECONDS, RunIsLive, RunLock

POLL_SECONDS: Final = 0.05
"""How often it is looked whether somebody has asked for something; without news that costs 2 µs."""

REOPEN_SECONDS: Final = 2.0
"""How often the file of requests is opened anew, for 0.4 ms: damage to it shows only then, as an open one is read from
memory."""

CLUSTER_SECONDS: Final = 1.0
"""How often it is written what the workers of a cluster do; of a hundred that takes 1 ms."""

DONE: Final = "done"
SAME_MOMENT: Final = 0.5
"""Who asks for a cancel within so many seconds of another has not seen that one on the screen yet."""

CAUGHT_UP_SECONDS: Final = 0.5
"""The view is a few milliseconds behind the decisions: for so long it is asked why nothing came of a request."""

ANOTHER_TRY: Final = f"{TOO_LATE}: it is another try by now"
JUST_CANCELED: Final = f"{TOO_LATE}: somebody else has just asked it to stop"
UNKNOWN: Final = "refused: this version of qtui does not know that request"
NO_UNIT: Final = "refused: the run has no unit {}"

_STOPPED: Final = frozenset({UnitState.CANCELING, UnitState.CANCELED})

Ask = Callable[[Request, Callable[[bool], None]], None]
"""Posts a request; whoever works it off tells whether anything came of it."""


class Steward:
    """Answers the requests in a run's `commands.db`: ``done``, or why nothing came of them (see `futile`). Tells `look`
    of the run's view all the time.

    Any process of the user may write to that file: nothing in it ends this thread. One that is damaged is put aside.
    """

    def __init__(
        self,
        directory: RunDirectory,
        lock: RunLock,
        engine: Engine,
        ask: Ask,
        edited: Callable[[int], str],
        look: Callable[[RunView], object],
    ) -> None:
        self._path, self._journal, self._cluster = directory.commands, directory.journal, directory.cluster
        self._lock, self._engine, self._ask = lock, engine, ask
        self._edited, self._look = edited, look
        self._queue: CommandQueue | None = None
        self._answers: dict[int, str] = {}  # by number: a request is done once, even if its answer cannot be written
        self._trouble = self._unlocked = ""
        self._taken = self._missed = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="qtui-steward", daemon=True)

    def start(self) -> None:
        """Begin to answer. What was asked of a process before this one came too late."""
        remove_cluster(self._cluster)
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
        beaten = opened = clustered = 0.0
        while True:
            over = self._over.wait(POLL_SECONDS)
            if not over:
                self._keep_lock()
            if time.monotonic() - beaten > HEARTBEAT_SECONDS:
                beaten = time.monotonic()
                self._lock.beat()
            if time.monotonic() - opened > REOPEN_SECONDS:
                opened = time.monotonic()
                if self._path.exists():  # or all of it is being removed, and a new file would be in the way
                    self._let_go()
            if time.monotonic() - clustered > CLUSTER_SECONDS:
                clustered = time.monotonic()
                self._tell_cluster()
            try:
                self._look(self._engine.view())
                self._answer_all(over)
                self._trouble = ""
            except Exception as error:  # noqa: BLE001  - the run still lives, and must be able to show it
                self._let_go()
                self._tell(error)
                self._over.wait(1.0)
            if over:
                self._let_go()
                remove_cluster(self._cluster)
                return

    def _keep_lock(self) -> None:
        """A lock whose file was removed is made anew. If somebody was quicker, the run is theirs, and this process
        stops: the journal takes the events of only one."""
        if self._taken:
            return
        try:
            missed, self._missed = self._missed, not self._lock.stands
            if missed and self._journal.exists():  # or all of it is being removed, and a new file would be in the way
                self._lock.keep()
            self._unlocked = ""
        except RunIsLive as error:
            self._taken = True
            self._engine.warn(
                -1, f"{error.holder} runs this run now, as its lock file was replaced: this process stops"
            )
            self._engine.post(InterruptRequested(signal.SIGTERM))
        except (QtuiError, OSError) as error:
            if self._unlocked != str(error):
                self._unlocked = str(error)
                self._engine.warn(-1, f"others cannot see that somebody runs this run: {error}")

    def _tell_cluster(self) -> None:
        """Others only look at it: what cannot be written is not told."""
        workers = self._engine.cluster()
        if (workers or self._cluster.exists()) and self._journal.exists():  # also that there are none any more
            with suppress(OSError):
                write_cluster(self._cluster, workers)

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
        if isinstance(request, DifferencesAsked):
            return self._differences(request.units)
        if outdated := self._outdated(request, command):
            return outdated
        told = threading.Event()
        came: list[bool] = []

        def answer(anything: bool) -> None:
            came.append(anything)
            told.set()

        self._ask(told_by(request, command.who), answer)
        while not told.wait(0.05):
            if self._over.is_set():
                return TOO_LATE
        if not came[0]:
            return self._why_nothing(request)
        self._await_view(request)
        return DONE

    def _differences(self, units: Iterable[int]) -> str:
        """How units differ on the disk; those that differ in the same way are told together."""
        differing: dict[str, list[int]] = {}
        for unit in units:
            if text := self._edited(unit):
                differing.setdefault(text, []).append(unit)
        return json.dumps(list(differing.items()))

    def _why_nothing(self, request: Request) -> str:
        deadline = time.monotonic() + CAUGHT_UP_SECONDS
        while not (why := futile(self._engine.view(), request)) and time.monotonic() < deadline:
            self._over.wait(0.01)
        return why or TOO_LATE

    def _outdated(self, request: Request, command: Command) -> str:
        """Says if what goes on now is not what was seen there, and must not be hit for it: another attempt, or what
        somebody else had asked to stop a moment before, which would be killed for being asked twice."""
        view = self._engine.view()
        # the run's clock never steps; the wall clock, by which those who ask note the time, may have
        asked = command.at + self._engine.now() - time.time()
        match request:
            case CancelRequested(units=(number,)) if command.attempt and view.attempts[number] != command.attempt:
                return ANOTHER_TRY
            case RetryRequested(units=(number,)) if command.attempt and view.attempts[number] != command.attempt:
                return ANOTHER_TRY
            case CancelRequested(units=units):
                last = [event for number in units if isinstance(event := view.last[number], UnitCanceling)]
                return JUST_CANCELED if any(asked < event.at + SAME_MOMENT for event in last) else ""
            case CancelRunRequested(how=how) if view.stopping is not None and view.stopping.how == how:
                return JUST_CANCELED if asked < view.stopping.at + SAME_MOMENT else ""
        return ""

    def _await_view(self, request: Request) -> None:
        """Wait until the view has what came of a cancel, so that the next one is judged by it."""
        deadline = time.monotonic() + CAUGHT_UP_SECONDS
        while not _shows(self._engine.view(), request) and time.monotonic() < deadline:
            self._over.wait(0.002)


def _shows(view: RunView, request: Request) -> bool:
    match request:
        case CancelRequested(units=units):
            return any(view.states[number] in _STOPPED for number in units)
        case CancelRunRequested():
            return view.stopping is not None or view.finished is not None
    return True
