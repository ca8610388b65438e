"""The thread pool that thread, sequential and command lanes are made of."""

from __future__ import annotations

import os
import threading
import time
from queue import SimpleQueue
from typing import Any

from qtui.core.model import ExecutionMode, Outcome
from qtui.core.stimuli import InterruptUnit, KillUnit, LaneEffect, StartUnit
from qtui.engine.failure import describe_exception
from qtui.engine.workers.base import Attempt, Host

_Key = tuple[int, int]


class PooledLane:
    """Runs attempts on daemon threads of its own, as many as there are attempts at a time.

    A *hand* thread starts new threads and carries out stops, so that neither happens under the turn lock.
    Whoever pops an attempt from `_running` (its thread at the end, or the hand that abandons it) makes the one
    report about it.
    """

    mode: ExecutionMode

    def __init__(self, mode: ExecutionMode) -> None:
        self.mode = mode
        self._starts: SimpleQueue[Attempt | None] = SimpleQueue()
        self._errands: SimpleQueue[LaneEffect | bool | None] = SimpleQueue()
        self._running: dict[_Key, Attempt] = {}
        self._arbiter = threading.Lock()
        self._threads = 0
        self._made = 0
        self._closed = False
        self._pid = os.getpid()

    # -- to be filled in by lanes ------------------------------------------------------------------------

    def perform(self, attempt: Attempt) -> tuple[Outcome, Any]:
        """Run the attempt on this thread: its outcome and value."""
        raise NotImplementedError

    def interrupt(self, attempt: Attempt) -> None:
        """Ask a running attempt to stop."""
        raise NotImplementedError

    def kill(self, attempt: Attempt) -> None:
        """Stop a running attempt by force, or abandon it."""
        raise NotImplementedError

    # -- the lane ----------------------------------------------------------------------------------------

    def open(self, host: Host) -> None:
        """Start the hand; workers start when there is work."""
        self._host = host
        threading.Thread(target=self._do_errands, name=f"qtui-{self.mode}-hand", daemon=True).start()

    def post(self, effect: LaneEffect) -> None:
        """Queue a start or an errand."""
        if isinstance(effect, StartUnit):
            attempt = self._accept(effect)
            self._starts.put(attempt)
            if len(self._running) > self._threads:
                self._errands.put(True)
        else:
            self._errands.put(effect)

    def keep(self, start: StartUnit) -> None:
        """Note a start that the reporting thread goes on with itself."""
        self._accept(start)

    def close(self) -> None:
        """Kill what runs and end the threads."""
        if self._closed:
            return
        self._closed = True
        for attempt in list(self._running.values()):
            attempt.interrupted = True
            self.interrupt(attempt)
            self.kill(attempt)
        for _ in range(self._made):
            self._starts.put(None)
        self._errands.put(None)

    def abandon(self, attempt: Attempt) -> None:
        """Leave a thread that cannot be stopped to itself and report so; its place is free for a new thread."""
        with self._arbiter:
            if self._running.pop(_key(attempt.start), None) is None:
                return  # it has just ended by itself
            begun = attempt.begun_at is not None
            self._threads -= begun
        seconds = time.monotonic() - (attempt.begun_at or time.monotonic())
        self._host.returned(attempt, Outcome(canceled=True, abandoned=begun, seconds=seconds), None, None)
        attempt.fate = "abandoned"

    def _accept(self, start: StartUnit) -> Attempt:
        attempt = self._running[_key(start)] = self._host.attempt(start)
        return attempt

    def _do_errands(self) -> None:
        while (errand := self._errands.get()) is not None:
            if isinstance(errand, bool):
                self._add_thread()
                continue
            attempt = self._running.get((errand.unit, errand.attempt))
            if attempt is None:
                continue
            if isinstance(errand, InterruptUnit):
                attempt.interrupted = True
                self.interrupt(attempt)
            elif isinstance(errand, KillUnit):
                self.kill(attempt)

    def _add_thread(self) -> None:
        while len(self._running) > self._threads and not self._closed:
            self._made += 1
            thread = threading.Thread(target=self._work, name=f"qtui-{self.mode}-{self._made}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no thread to give: try again while the queue waits
                self._made -= 1
                if self._threads:
                    return
                time.sleep(0.05)
            else:
                self._threads += 1

    def _work(self) -> None:
        thread = threading.get_native_id()
        attempt: Attempt | None = None
        while True:
            attempt = attempt or self._starts.get()
            if attempt is None or self._closed:
                return  # a unit that is killed at the end makes room for another, which is not to begin any more
            with self._arbiter:
                wanted = _key(attempt.start) in self._running
                attempt.begun_at = time.monotonic()
            attempt.thread = thread
            if not wanted:  # killed while it waited in the queue
                attempt = None
                continue
            try:
                outcome, value = self.perform(attempt)
            except BaseException as raised:  # noqa: BLE001  - no descriptor left, say: still one report, and the thread lives
                outcome, value = Outcome(describe_exception(raised)), None
            if os.getpid() != self._pid:
                os._exit(outcome.error is not None)  # a child that the unit forked: there can be only one qtui
            if self._running.pop(_key(attempt.start), None) is None:
                attempt.wait_for_fate()
                self._host.late(attempt)  # abandoned meanwhile; another thread has taken this one's place
                return
            start = self._host.returned(attempt, outcome, value, self)
            attempt = self._running.get(_key(start)) if start is not None else None


def _key(start: StartUnit) -> _Key:
    return start.unit, start.attempt
