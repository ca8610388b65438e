"""Schedulers with one planted bug each: what ends mean for others, questions, pools, items of groups and brakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from core_mutants import mutants

from qtui.core.brakes import PROBING
from qtui.core.events import BrakeChanged, UnitReady
from qtui.core.growth import Growth
from qtui.core.limits import capacities
from qtui.core.machine import PROBE_TIMER
from qtui.core.model import FAILURES, RunState, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import FREE, Key, ReadyQueue, Terms
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CheckCache,
    ReleaseRequested,
)

# -- ends, conditions and handlers -----------------------------------------------------------------------


class AllowsNoFailure(Scheduler):
    def _good(self, number: int) -> bool:
        return self._state[number] is UnitState.COMPLETED


class FailsTheRunForAllowedFailures(Scheduler):
    def _first_failure(self) -> int | None:
        return next((number for number, state in enumerate(self._state) if state in FAILURES), None)


class IgnoresConditions(Scheduler):
    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        units = tuple(replace(unit, condition=None) for unit in plan.table)
        super().__init__(replace(plan, table=units), options)


class RunsFailureHandlersWithoutAFailure(Scheduler):
    def _failure_above(self, number: int) -> bool | None:
        return True


class SeesNoFailureBehindSkippedUnits(Scheduler):
    def _failure_above(self, number: int) -> bool | None:
        return any(self._state[need] in FAILURES for need in self._needs[number])


class ForgetsTheUndecided(Scheduler):
    def _settle(self, now: float) -> None:
        self._undecided.clear()
        super()._settle(now)


class SkipsHandlers(Scheduler):
    def _tell_dependents(self, number: int, now: float) -> None:
        handler, self._handler = self._handler, [False] * len(self._plan)
        super()._tell_dependents(number, now)
        self._handler = handler


class CancelsHandlersWithTheRun(Scheduler):
    def _cancel_waiting(self, *args: Any, **keys: Any) -> None:
        super()._cancel_waiting(*args, **{**keys, "handlers": True})


class StopsHandlersWithTheRun(Scheduler):
    def _stop_all(self, *args: Any, **keys: Any) -> None:
        super()._stop_all(*args, **{**keys, "handlers": True})


class HoldsHandlersOfAStoppedRunForAPause(Scheduler):
    def _fill(self, now: float) -> None:
        if not self._paused:
            super()._fill(now)


class GivesHandlersAllTheTime(Scheduler):
    def _watch_handlers(self) -> None:
        pass


class StartsHandlersAfterASignal(Scheduler):
    def _fill(self, now: float) -> None:
        stopping = self._stopping
        if stopping is not None and stopping.how == "interrupt":
            self._stopping = stopping._replace(how="stop")
        super()._fill(now)
        self._stopping = stopping


class RunsNoHandlerAgain(Scheduler):
    def _revive(self, number: int, now: float) -> None:
        handler, self._handler = self._handler, [False] * len(self._plan)
        super()._revive(number, now)
        self._handler = handler


# -- questions and earlier results -----------------------------------------------------------------------


class NeverAsks(Scheduler):
    def _ask(self, number: int, now: float) -> None:
        self._enqueue(number)


class AsksOnceInALife(Scheduler):
    def _ask(self, number: int, now: float) -> None:
        if self._generation[number] > 1:
            self._enqueue(number)
        else:
            super()._ask(number, now)


class AsksForWhatWasApproved(Scheduler):
    def _ask(self, number: int, now: float) -> None:
        options, self._options = self._options, replace(self._options, approved=())
        super()._ask(number, now)
        self._options = options


class AsksAtEveryTry(Scheduler):
    def _make_ready(self, number: int, now: float) -> None:
        if self._state[number] is UnitState.RETRYING and self._plan.table[number].confirm:
            self._step(number, UnitState.READY)
            self._events.append(UnitReady(number, now))
            self._ask(number, now)
        else:
            super()._make_ready(number, now)


class AnswersAfterTheEnd(Scheduler):
    def _on_approve(self, stimulus: ApproveRequested, now: float) -> None:
        run, self._run = self._run, RunState.RUNNING
        super()._on_approve(stimulus, now)
        self._run = run


class CountsTheTimeOfQuestions(Scheduler):
    def _count_waiting(self, now: float) -> None:
        pass


class BelievesStaleAnswersOfTheCache(Scheduler):
    def _on_cache(self, stimulus: CacheChecked, now: float) -> None:
        super()._on_cache(stimulus._replace(generation=self._generation[stimulus.unit]), now)


class RunsInSpiteOfAHit(Scheduler):
    def _on_cache(self, stimulus: CacheChecked, now: float) -> None:
        super()._on_cache(stimulus._replace(hit=False), now)


class ForgetsTheCacheOfAReopenedRun(Scheduler):
    def _on_retry(self, *args: Any) -> None:
        super()._on_retry(*args)
        ready = {event.unit for event in self._events if isinstance(event, UnitReady)}
        self._effects = [e for e in self._effects if not isinstance(e, CheckCache) or e.unit in ready]


# -- pools, items and brakes -----------------------------------------------------------------------------


class UnfairQueue(ReadyQueue):
    """Offers whatever fits, though something larger has waited for it."""

    def push(self, number: int, key: Key, terms: Terms = FREE) -> None:
        self._terms = {**getattr(self, "_terms", {}), number: terms}
        super().push(number, key, terms)

    def pop(self, fits: Callable[[int], bool] | None = None) -> tuple[int, Terms] | None:
        for *_, number in sorted(entry for entry in self._queued if entry is not None):
            terms = self._terms[number]
            passes = all(self._passes.get(gate, 1) for gate in terms.gates)
            room = fits is None or fits(number)
            if passes and room and all(self._free[limit] >= amount for limit, amount in terms.holds):
                self.discard(number)
                self.take(terms)
                return number, terms
        return None


class LetsSmallUnitsStarveLargeOnes(Scheduler):
    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        super().__init__(plan, options)
        self._ready = UnfairQueue(len(plan), capacities(options))


class LetsItemsGoEarly(Scheduler):
    def _close_item(self, item: int) -> None:
        if item in self._open_items:
            self._open_items.discard(item)
            self._ready.give_back(self._limits.of_item(item))


class KeepsWhatItemsHold(Scheduler):
    def _close_item(self, item: int) -> None:
        free = dict(self._ready._free)
        super()._close_item(item)
        self._ready._free = free


class TakesNothingForItems(Scheduler):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._limits._item_terms = [FREE] * len(self._limits._item_terms)


class ForgetsWhichItemsHaveBegun(Scheduler):
    def _begin_item(self, number: int, taken: Terms) -> Terms:
        terms = super()._begin_item(number, taken)
        item = self._plan.item_of[number]
        for other in self._plan.items[item] if item >= 0 else ():
            if other in self._ready:
                self._ready.push(other, *self._limits.of(other, item_begun=False))
        return terms


class HoldsNothing(Scheduler):
    def _gate(self, change: BrakeChanged) -> None:
        super()._gate(change)
        self._ready.open(change.scope)


class LetsEveryoneTry(Scheduler):
    def _gate(self, change: BrakeChanged) -> None:
        super()._gate(change)
        if change.state == PROBING:
            self._ready.open(change.scope)


class LetsNobodyTry(Scheduler):
    def _gate(self, change: BrakeChanged) -> None:
        super()._gate(change)
        self._timers = [timer for timer in self._timers if timer[1] != PROBE_TIMER]


class LetsThemTryAtTheTimeOfAnEarlierHold(Scheduler):
    def _on_other_timer(self, kind: int, place: int, due: float, now: float) -> None:
        super()._on_other_timer(kind, place, now + 2.0, now)


class NeverCountsASuccess(Scheduler):
    def _brake(self, number: int, state: UnitState, *args: Any) -> None:
        if state is not UnitState.COMPLETED:
            super()._brake(number, state, *args)


class CountsTriesForBrakes(Scheduler):
    def _brake(self, number: int, state: UnitState, *args: Any) -> None:
        super()._brake(number, UnitState.FAILED if state is UnitState.RETRYING else state, *args)


class ForgetsWhoTried(Scheduler):
    def _brake(self, number: int, state: UnitState, *args: Any) -> None:
        if state is not UnitState.CANCELED:
            super()._brake(number, state, *args)


class StopsNothingForGood(Scheduler):
    def _apply_brake(self, change: BrakeChanged, now: float, **keys: Any) -> None:
        self._events.append(change)
        self._gate(change)


class KeepsStoppedWhatAPersonRetries(Scheduler):
    def _release_stopped(self, *args: Any) -> None:
        pass


class NeverLetsGo(Scheduler):
    def _on_release(self, stimulus: ReleaseRequested, now: float) -> None:
        pass


class LearnsNoPeaks(Scheduler):
    def _learn_peak(self, number: int, used: int) -> None:
        pass


class LearnsPeaksTooLate(Scheduler):
    def _count_anew(self, numbers: Iterable[int]) -> None:
        pass


class AddsNothingToWhatNeedsEverything(Scheduler):
    def _make_room(self, growth: Growth) -> None:
        super()._make_room(growth._replace(stars=()))


class RevivesNothing(Scheduler):
    def _revive(self, number: int, now: float) -> None:
        pass


class DropsNothing(Scheduler):
    def _drop(self, number: int, now: float) -> None:
        pass


class HoldsNothingBack(Scheduler):
    def _adding_above(self, number: int) -> int | None:
        return None


class LeavesWhatNeedsEverythingReady(Scheduler):
    def _look_at_star(self, star: int, by: int, now: float, *, freed: bool) -> None:
        if self._state[star] is not UnitState.READY:
            super()._look_at_star(star, by, now, freed=freed)


class StrandsWhatNeedsEverything(Scheduler):
    def _look_at_star(self, star: int, by: int, now: float, *, freed: bool) -> None:
        if self._state[star] is not UnitState.PENDING:
            super()._look_at_star(star, by, now, freed=freed)


class WelcomesEverybody(Scheduler):
    def _welcome(self, numbers: Sequence[int], now: float) -> None:
        pass


class KeepsLanesAsTheyAre(Scheduler):
    def _resize_lanes(self) -> None:
        pass


class NeverTakesOver(Scheduler):
    def _take_over(self, cause: str, now: float) -> None:
        pass


class TakesOverQuietly(Scheduler):
    def _take_over(self, cause: str, now: float) -> None:
        self._targets.take_over()


class SetsAsideOnlyForNow(Scheduler):
    def _let_be_done(self, number: int, cause: str, now: float) -> None:
        super()._let_be_done(number, cause, now)
        self._ended.pop(number, None)  # nobody hears of it


class LeavesWhatASetAsideUnitHadSkipped(Scheduler):
    def _let_be_done(self, number: int, cause: str, now: float) -> None:
        revive, self._revive = self._revive, lambda *_: None  # type: ignore[method-assign]
        super()._let_be_done(number, cause, now)
        self._revive = revive  # type: ignore[method-assign]


class EditsBehindTheBackOfTheQueue(Scheduler):
    def _redefine_waiting(self, number: int, cause: str, now: float) -> None:
        if self._state[number] is UnitState.PENDING:
            super()._redefine_waiting(number, cause, now)
        else:
            self._redefine(number, cause, now)


RULING_WRONG = mutants(__name__)
