"""The async lane: coroutine functions as tasks of an event loop on a thread of its own."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Literal

from qtui.core.model import LOST_LOOP, ExecutionMode, Outcome, UnitError
from qtui.core.stimuli import InterruptUnit, KillUnit, LaneEffect, StartUnit
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.loop import Coroutine, UnitLoop

BLOCKED_SECONDS = 1.0
"""A loop that has not taken a turn for so long is blocked: by a unit, which is named."""

_CHECK_SECONDS = 0.25
_PROBE_SECONDS = 0.3


class CoroutineLane:
    """One task per unit. A unit is cancelled as any task is; one that will not end is abandoned after the grace.

    If it blocks the loop itself, the loop is given up with it: a new one takes the next units, and the others on the
    old one are reported as lost, so that they are tried again. A *watch* thread sees to that; it sleeps while nothing
    runs. `_running` is the arbiter: who pops an attempt from it makes the report.
    """

    mode = ExecutionMode.ASYNC

    def __init__(self) -> None:
        self._running: dict[tuple[int, int], Attempt] = {}
        self._loop: UnitLoop | None = None
        self._loops: list[UnitLoop] = []
        self._errands: SimpleQueue[KillUnit | bool | None] = SimpleQueue()
        self._watching = False
        self._closed = False

    def open(self, host: Host) -> None:
        """Start the watch; the loop starts with the first unit."""
        self._host = host
        threading.Thread(target=self._watch, name="qtui-async-watch", daemon=True).start()

    def post(self, effect: LaneEffect) -> None:
        """Hand a start or a cancellation to the loop, a kill to the watch."""
        if isinstance(effect, KillUnit):
            self._errands.put(effect)
        elif isinstance(effect, StartUnit):
            attempt = self._accept(effect)
            attempt.kept.loop.start(attempt)
        else:
            self._interrupt(effect)

    def keep(self, start: StartUnit) -> None:
        """A kept start becomes a task of the loop at once."""
        self._accept(start)

    def close(self) -> None:
        """Cancel every task and stop the loops."""
        if self._closed:
            return
        self._closed = True
        self._errands.put(None)
        for loop in self._loops:
            loop.stop()

    def _accept(self, start: StartUnit) -> Attempt:
        if self._loop is None:
            self._loop = UnitLoop(self._host, self._ended)
            self._loops.append(self._loop)
        attempt = self._running[start.unit, start.attempt] = self._host.attempt(start)
        attempt.kept = Coroutine(self._loop)
        if not self._watching:
            self._watching = True
            self._errands.put(True)
        return attempt

    def _interrupt(self, effect: InterruptUnit) -> None:
        attempt = self._running.get((effect.unit, effect.attempt))
        if attempt is not None:
            attempt.interrupted = True
            attempt.kept.loop.cancel(attempt)

    def _ended(self, attempt: Attempt, outcome: Outcome, value: Any) -> None:
        """On the loop's thread: an attempt's coroutine has ended."""
        if self._running.pop((attempt.start.unit, attempt.start.attempt), None) is None:
            if attempt.wait_for_fate() == "abandoned":
                self._host.late(attempt)
            return
        start = self._host.returned(attempt, outcome, value, self)
        if start is not None:
            following = self._running[start.unit, start.attempt]
            following.kept.loop.start(following)

    # -- the watch ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            try:
                errand = self._errands.get(timeout=_CHECK_SECONDS if self._watching else None)
            except Empty:
                self._watching = bool(self._running)
                if self._loop is not None:
                    self._look_after(self._loop)
                continue
            if errand is None:
                return
            if isinstance(errand, KillUnit):
                self._kill(errand)

    def _look_after(self, loop: UnitLoop) -> None:
        """Name the unit that blocks the loop, once for each attempt."""
        if loop.silent_for() < BLOCKED_SECONDS:
            return
        blocker, place = loop.blocker(self._running.values())
        if blocker is None or blocker.kept.told:
            return
        blocker.kept.told = True
        self._host.warn(
            blocker.start.unit,
            f"blocks the event loop for {loop.silent_for():.1f} s{place}: other coroutines wait "
            '(await asyncio.to_thread(...), or mode = "process" and a plain function)',
        )

    def _kill(self, effect: KillUnit) -> None:
        """Abandon an attempt that has not ended in its grace; and its loop, if it is that which it blocks."""
        key = effect.unit, effect.attempt
        attempt = self._running.get(key)
        if attempt is None:
            return
        loop: UnitLoop = attempt.kept.loop
        answers = loop.answers(_PROBE_SECONDS)
        blocks = not answers and loop.blocker([attempt])[0] is attempt
        if self._running.pop(key, None) is None:
            return  # it has just ended by itself
        if blocks:
            self._give_up(loop, attempt)
        self._report(attempt, Outcome(canceled=True, abandoned=True), "abandoned")

    def _give_up(self, loop: UnitLoop, blocker: Attempt) -> None:
        if self._loop is loop:
            self._loop = None
        error = UnitError(LOST_LOOP, f"its event loop was blocked by {blocker.unit.id} and given up")
        for key, attempt in list(self._running.items()):
            if attempt.kept.loop is loop and self._running.pop(key, None) is not None:
                self._report(attempt, Outcome(error), "lost")
        loop.stop()  # as soon as it can

    def _report(self, attempt: Attempt, outcome: Outcome, fate: Literal["abandoned", "lost"]) -> None:
        seconds = time.monotonic() - attempt.begun_at if attempt.begun_at is not None else 0.0
        self._host.returned(attempt, outcome._replace(seconds=seconds), None, None)
        attempt.fate = fate
