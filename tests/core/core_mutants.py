"""Schedulers with one planted bug each, which a checker worth its name must find: steps of units, and the run."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from qtui.core.events import UnitFinished
from qtui.core.model import LOST_LOOP, LOST_NEED, LOST_WORKER, Outcome, RunState, UnitError, UnitState
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import (
    Decision,
    LateReturned,
    ResultLost,
    Stimulus,
    TimerFired,
    UnitReturned,
    WakeAt,
)


def mutants(module: str) -> list[type[Scheduler]]:
    """The schedulers that a module defines."""
    kinds = [kind for kind in vars(sys.modules[module]).values() if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, Scheduler) and kind.__module__ == module]


class ForgetsToSkip(Scheduler):
    def _skip_for(self, number: int, need: int, now: float) -> None:
        pass


class StartsBeforeAllNeeds(Scheduler):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._left = [min(1, left) for left in self._left]


class StartsOneTooMany(Scheduler):
    def _fill(self, now: float) -> None:
        self._targets.together += 1
        super()._fill(now)
        self._targets.together -= 1


class StartsWhilePaused(Scheduler):
    def _fill(self, now: float) -> None:
        paused, self._paused = self._paused, False
        super()._fill(now)
        self._paused = paused


class LeavesAWorkerIdle(Scheduler):
    def _fill(self, now: float) -> None:
        if not self._active:
            super()._fill(now)


class BelievesLateMessages(Scheduler):
    def _on_returned(self, stimulus: UnitReturned, now: float) -> None:
        super()._on_returned(stimulus._replace(attempt=self._attempt[stimulus.unit]), now)


class LosesTheSlotOfACanceledUnit(Scheduler):
    def _on_returned(self, stimulus: UnitReturned, now: float) -> None:
        canceling = self._state[stimulus.unit] is UnitState.CANCELING
        super()._on_returned(stimulus, now)
        self._active += canceling


class SharesASlot(Scheduler):
    def _start(self, number: int, pid: int, now: float) -> None:
        self._slot[number] = 1
        super()._start(number, pid, now)


class IgnoresLostWorkers(Scheduler):
    def _on_returned(self, stimulus: UnitReturned, now: float) -> None:
        error = stimulus.outcome.error
        if error is None or error.type != "lost":
            super()._on_returned(stimulus, now)


class TriesOnceTooOften(Scheduler):
    def _failed(self, number: int, *args: Any) -> None:
        self._base[number] += 1
        super()._failed(number, *args)
        self._base[number] -= 1


class RetriesErrorsThatOnDoesNotName(Scheduler):
    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        super()._failed(number, state, error._replace(exit_code=3), outcome, now)


class RetriesWhatWasAbandoned(Scheduler):
    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        super()._failed(number, state, error, outcome._replace(abandoned=False), now)


class RetriesWhatWasCanceled(Scheduler):
    def _on_returned(self, stimulus: UnitReturned, now: float) -> None:
        if self._reason[stimulus.unit] == "cancel":
            self._reason[stimulus.unit] = "timeout"
        super()._on_returned(stimulus, now)


class RetriesBesideARunningNeed(Scheduler):
    def _failed(self, number: int, *args: Any) -> None:
        left, self._left[number] = self._left[number], 0
        super()._failed(number, *args)
        self._left[number] = left


class RetriesAtOnce(Scheduler):
    def _failed(self, number: int, *args: Any) -> None:
        super()._failed(number, *args)
        if self._state[number] is UnitState.RETRYING:
            self._make_ready(number, args[-1])


class RetriesThoughItFailsFast(Scheduler):
    def _starts_more(self, number: int) -> bool:
        return self._handler[number] or self._stopping is None


class ForgetsToFailFast(Scheduler):
    def _failed(self, *args: Any) -> None:
        options, self._options = self._options, replace(self._options, keep_going=True)
        super()._failed(*args)
        self._options = options


class ForgetsTimeouts(Scheduler):
    def _add_timeout(self, number: int, began: float) -> None:
        pass


class ForgetsToWake(Scheduler):
    def handle(self, stimulus: Stimulus, now: float) -> Decision:
        decision = super().handle(stimulus, now)
        return decision._replace(effects=[effect for effect in decision.effects if not isinstance(effect, WakeAt)])


class NeverKills(Scheduler):
    def _kill(self, number: int, now: float) -> None:
        pass


class KillsWithoutAWord(Scheduler):
    def _note_canceling(self, number: int, now: float) -> None:
        if not self._killing[number]:
            super()._note_canceling(number, now)


class LetsATimeoutOutrankAPerson(Scheduler):
    def _cancel_stopping(self, number: int, cause: str, now: float) -> None:
        self._kill(number, now)


class ForgetsToRevive(Scheduler):
    def _revive(self, number: int, now: float) -> None:
        pass


class LeavesDependentsReady(Scheduler):
    def _reset(self, number: int, cause: str, now: float, *, forced: bool = False) -> None:
        if self._state[number] is not UnitState.READY:
            super()._reset(number, cause, now, forced=forced)


class StrandsWaitingUnitsAtTheEnd(Scheduler):
    def _cancel_waiting(self, *args: Any, **keys: Any) -> None:
        pass


class EndsTwice(Scheduler):
    def _finish(self, *args: Any, **keys: Any) -> None:
        super()._finish(*args, **keys)
        self._events.append(next(event for event in self._events[::-1] if isinstance(event, UnitFinished)))


class ForgetsPriorities(Scheduler):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._limits.keys = [(0, 0, number) for number in range(len(self._plan))]


class ForgetsTheLimitsOfLanes(Scheduler):
    """Of the limits that `LIMITED` names."""

    LIMITED: tuple[str, ...] = ("lane ",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ready._free.update({limit: 10**9 for limit in self._ready._free if limit.startswith(self.LIMITED)})


class ForgetsPools(ForgetsTheLimitsOfLanes):
    LIMITED = ("pool ",)


class ForgetsCoresAndMemory(ForgetsTheLimitsOfLanes):
    LIMITED = ("cpus", "memory")


class NeverGivesBack(Scheduler):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ready.give_back = lambda terms: None  # type: ignore[method-assign]


class EndsWhatASignalCut(Scheduler):
    def _cut(self, number: int, now: float) -> None:
        self._finish(number, UnitState.CANCELED, now)


class StrandsWhatASignalCut(Scheduler):
    def _make_met_ready(self, now: float) -> None:
        if not any(self._attempt):
            super()._make_met_ready(now)


class WakesUnitsOfAFinishedRun(Scheduler):
    def _on_timer(self, stimulus: TimerFired, now: float) -> None:
        run, self._run = self._run, RunState.RUNNING
        super()._on_timer(stimulus, now)
        self._run = run


class FinishesTooEarly(Scheduler):
    def _end_waiting(self, *args: Any, **keys: Any) -> None:
        super()._end_waiting(*args, **keys)
        self._open -= 1


class LetsADrainReplaceAStop(Scheduler):
    def _note_stopping(self, stopping: Any) -> bool:
        self._stopping = None
        return super()._note_stopping(stopping)


class StartsBesideWhatCannotBeStopped(Scheduler):
    def _haunted(self, number: int) -> bool:
        return False


class ForgetsLateResults(Scheduler):
    def _on_late(self, stimulus: LateReturned, now: float) -> None:
        pass


class NeverFillsUpWithAbandonedAttempts(Scheduler):
    def _leave_behind(self, number: int, slot: int, now: float) -> None:
        self._most_abandoned += 1
        super()._leave_behind(number, slot, now)


class KeepsTheSlotsOfAbandonedAttempts(Scheduler):
    def _came_late(self, number: int, attempt: int, now: float) -> None:
        kept = dict(self._left_behind)
        super()._came_late(number, attempt, now)
        self._left_behind.update({key: slot for key, slot in kept.items() if key != (number, attempt)})


class ForgetsTheRunsTimeout(Scheduler):
    def _on_run_timeout(self, now: float) -> None:
        pass


class CountsLostLoopsAsTries(Scheduler):
    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        if error.type == LOST_LOOP:
            error = error._replace(type="lost")
        super()._failed(number, state, error, outcome, now)


class CountsLostWorkersAsTries(Scheduler):
    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        if error.type == LOST_WORKER:
            error = error._replace(type="lost")
        super()._failed(number, state, error, outcome, now)


class TriesLostWorkersForEver(Scheduler):
    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        self._losses.clear()
        super()._failed(number, state, error, outcome, now)


class RunsWhatIsNotIdempotentTwice(Scheduler):
    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        if error.type == LOST_WORKER:
            error = error._replace(type=LOST_NEED)
        super()._failed(number, state, error, outcome, now)


class MakesAnyLostResultAnew(Scheduler):
    def _on_result_lost(self, stimulus: ResultLost, now: float) -> None:
        if self._state[stimulus.unit] is UnitState.COMPLETED:
            self._retry(stimulus.unit, stimulus.cause, now, forced=False)


class StallsInSilence(Scheduler):
    def _stalled(self) -> bool:
        return False


STEPPING_WRONG = mutants(__name__)
