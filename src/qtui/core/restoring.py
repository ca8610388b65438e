"""A machine that goes on from how a run stands. Pure."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heapify
from itertools import compress
from typing import Final, Self

from qtui.core.brakes import Brakes
from qtui.core.events import (
    ConfirmRequested,
    Event,
    UnitCanceling,
    UnitFinished,
    UnitReset,
    UnitRetrying,
    UnitStarted,
    UnitSubmitted,
)
from qtui.core.limits import WORKER, Limits
from qtui.core.machine import CANCELING, KILL_TIMER, PENDING, READY, RETRY_TIMER, RETRYING, RUNNING
from qtui.core.model import ENDS
from qtui.core.options import RunOptions
from qtui.core.standing import looks_up
from qtui.core.state import RunView
from qtui.core.wishes import WishingMachine

_AT_ONCE: Final = 2_500
"""Units between two pauses of `RestoredMachine.restoring`: one to three milliseconds."""


class RestoredMachine(WishingMachine):
    """Takes up a run where others have left it."""

    __slots__ = ()

    @classmethod
    def restore(cls, options: RunOptions, view: RunView) -> Self:
        """The scheduler that has emitted the events folded into `view`, and decides on as that one would.

        It needs no time: what is due follows from the events' own times. Its first decision carries a `WakeAt`.
        """
        steps = cls.restoring(options, view)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                restored: Self = end.value
                return restored

    @classmethod
    def restoring(cls, options: RunOptions, view: RunView) -> Generator[None, None, Self]:
        """The same in small steps, for who must not keep others waiting; the generator returns the scheduler."""
        self = cls(view.plan, options)
        yield
        plan = self._plan
        self._run, self._paused, self._stopping = view.state, view.paused, view.stopping
        self._unsaved, self._unmanned = view.unsaved, view.unmanned_at is not None
        self._started_at, self._opened_at = view.started_at or 0.0, view.opened_at or 0.0
        self._finished_at = view.finished.at if view.finished is not None else 0.0
        self._waited, self._waiting_since = view.waited, view.waiting_since
        self._left_behind = {key: left.worker for key, left in view.left_behind.items()}
        if view.opened_at is not None:
            self._add_run_timer()
        lanes = set(self._targets.of_lane)
        if view.workers or view.governed is not None:
            self._targets.restore(view.workers, view.lane_workers, view.governed)
        self._losses = dict(view.losses)
        self._peaks, self._durations, self._former = dict(view.peaks), view.durations, view.former
        if self._peaks or self._durations or lanes != self._targets.of_lane.keys():
            self._limits = Limits(plan, options, self._targets.of_lane, self._peaks, self._durations)
            yield
        self._resize_lanes()
        self._state = list(view.states)
        self._attempt, self._base = list(view.attempts), list(view.bases)
        self._generation = list(view.generations)
        self._brakes = Brakes(options.brakes, view.brakes)
        self._open_items = set(view.open_items)
        for item in self._open_items:
            self._ready.take(self._limits.of_item(item))
        for number, (last, begun) in enumerate(zip(view.last, view.begun, strict=True)):
            if last is not None:
                self._restore_unit(number, last, begun)
            if not (number + 1) % _AT_ONCE:
                yield
        yield
        still = [state not in ENDS for state in self._state]
        unmet = [each or not self._good(number) for number, each in enumerate(still)]
        self._left = [
            sum(map((still if handler else unmet).__getitem__, needs))
            for needs, handler in zip(plan.needs, self._handler, strict=True)
        ]
        yield
        self._open, self._open_handlers = sum(still), sum(compress(still, self._handler))
        self._undecided = {
            number
            for number in compress(range(len(plan)), self._handler)
            if (plan.table[number].when == "failure" and plan.needs[number])
            and not self._left[number]
            and self._state[number] is PENDING
        }
        self._adding = {number for number in plan.added if still[number]}
        if self._adding:
            self._held_back = {
                number
                for number, left in enumerate(self._left)
                if not left and self._state[number] is PENDING and self._adding_above(number) is not None
            }
        self._restore_gates()
        self._watch_handlers()
        taken = {slot for slot in (*self._slot, *self._left_behind.values()) if slot}
        self._slots_made = max(taken, default=0)
        self._free_slots = [slot for slot in range(1, self._slots_made + 1) if slot not in taken]
        heapify(self._timers)
        return self

    def _restore_unit(self, number: int, last: Event | None, begun: UnitSubmitted | UnitStarted | None) -> None:
        state = self._state[number]
        if begun is not None:
            self._begun_at[number] = begun.at
        if isinstance(last, UnitFinished):
            self._cause[number], self._because[number] = last.cause, last.because
            if last.fallback:
                self._fell_back.add(number)
            if last.cached:
                self._cached.add(number)
            if not self._handler[number]:
                self._plain_ended_at = max(self._plain_ended_at, last.at)
        elif isinstance(last, UnitReset) and last.forced:
            self._forced.add(number)
        elif state is READY and not isinstance(last, UnitSubmitted):
            self._restore_waiting(number, last, first=begun is None)
        elif state is RETRYING and isinstance(last, UnitRetrying):
            self._timers.append((last.at + last.delay, RETRY_TIMER, number, last.attempt))
        elif begun is not None and state in (RUNNING, CANCELING, READY):
            self._restore_active(number, last, begun)

    def _restore_waiting(self, number: int, last: Event | None, *, first: bool) -> None:
        if isinstance(last, ConfirmRequested):
            self._asked.add(number)
        elif looks_up(self._plan.table[number], last, first=first):
            self._checking.add(number)
        else:
            self._enqueue(number)

    def _restore_active(self, number: int, last: Event | None, begun: UnitSubmitted | UnitStarted) -> None:
        self._slot[number] = begun.worker
        self._active += 1
        self._load += WORKER // self._take_worker(number)
        terms = self._limits.own(number)
        self._ready.take(terms)
        if terms.holds:
            self._terms[number] = terms
        if isinstance(begun, UnitStarted):
            self._add_timeout(number, begun.at)
        else:
            self._unbegun.add(number)
        if isinstance(last, UnitCanceling):
            self._reason[number], self._cause[number] = last.reason, last.cause
            self._killing[number] = last.killing
            if not last.killing:
                self._timers.append((last.at + self._grace(number), KILL_TIMER, number, last.attempt))

    def _restore_gates(self) -> None:
        for scope in self._options.brakes:
            change = self._brakes.latest(scope)
            if change is not None:
                self._gate(change)
