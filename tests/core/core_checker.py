"""The invariants of a run, checked after every decision against the events alone."""

from __future__ import annotations

from typing import Any

from core_resting import require
from core_rules import Rules
from core_steps import CANCELED, CANCELING, COMPLETED, HARDER, SKIPPED, StepWatch, word

from qtui.core.events import (
    CacheMissed,
    LateResult,
    RunReopened,
    UnitAbandoned,
    UnitApproved,
    UnitCanceling,
    UnitFinished,
    UnitReset,
    UnitsAdded,
    UnitStarted,
    Warned,
)
from qtui.core.folding import fold
from qtui.core.model import FAILURES, LOST_LOOP, LOST_NEED, LOST_WORKER, Outcome, RunState, UnitError
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CancelRequested,
    CancelRunRequested,
    CheckCache,
    Decision,
    EditRequested,
    InterruptUnit,
    KillUnit,
    LateReturned,
    RedefineRequested,
    ReleaseRequested,
    ResultLost,
    RetryRequested,
    SetAsideRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitReturned,
    WakeAt,
    WorkersRequested,
)


class Checker(StepWatch):
    """Looks at every event of a run, and at what each stimulus led to."""

    def see(self, stimulus: Stimulus, now: float, decision: Decision, scheduler: Scheduler) -> None:
        """Raises Violation if `decision`, the scheduler's answer to `stimulus`, breaks an invariant."""
        before, held_before = self.view, dict(self.held)
        self._waited += now - self._now if self._only_waits else 0.0
        self._stimulus, self._now = stimulus, now
        self._answers(stimulus, decision)
        for event in decision.events:
            self._event(event)
        self._effects(decision, held_before)
        require(fold(before, decision.events) == self.view, "folding a batch differs from folding one by one")
        self.check_rest(scheduler)
        given_up = [e for e in decision.events if isinstance(e, Warned) and e.message.startswith("can never start")]
        require(not given_up, f"the run stood still: {given_up}")
        self._wishes(before)
        self._halts(before, decision)
        if isinstance(stimulus, WorkersRequested):
            require(not self.view.governed, f"{stimulus}, and the governor goes on")
        warned = [e for e in decision.events if isinstance(e, Warned) and e.message.startswith("stalled by")]
        require(len(warned) == (self.view.stalled and not before.stalled), f"stalled: {self.view.stalled}, {warned}")

    # -- what an answer must be --------------------------------------------------------------------------

    def _answers(self, stimulus: Stimulus, decision: Decision) -> None:
        match stimulus:
            case TimerFired():
                self.wake = None
                if self.view.state is RunState.RUNNING:
                    self.brakes.time(self._now, {number: self.view.begun[number].at for number in self.held})
            case UnitReturned():
                self._returned(stimulus, decision)
            case LateReturned():
                said = [e for e in decision.events if isinstance(e, LateResult)]
                require(len(said) == (tuple(stimulus) in self.view.left_behind), f"{stimulus} led to {said}")
            case CacheChecked():
                self._cache_answered(stimulus, decision)
            case ApproveRequested(units=numbers):
                approved = {e.unit for e in decision.events if isinstance(e, UnitApproved)}
                asked = set() if self.view.state.ended else self.asked() & set(numbers)
                require(approved == asked, f"{stimulus} approved {approved} instead of {asked}")
            case ReleaseRequested(scopes=scopes):
                self.brakes.release(scopes or self.options.brakes, self._now)
            case RetryRequested() | RedefineRequested() | EditRequested() | SetAsideRequested():
                self._retried(decision)
            case _:
                pass

    def _retried(self, decision: Decision) -> None:
        """What a person wants to run again lets go of the brakes that had stopped it."""
        wanted = {event.unit for event in decision.events if isinstance(event, UnitReset)}
        if decision.events and isinstance(decision.events[0], RunReopened):
            wanted |= {number for number, state in enumerate(self.view.states) if not state.ended}
        rules = Rules(fold(self.view, decision.events).plan, self.options)  # by what units are from now on
        scopes = {scope for number in wanted for scope in rules.scopes[number]}
        self.brakes.release([scope for scope in scopes if self.brakes.states[scope] == "stopped"], self._now)

    def _cache_answered(self, stimulus: CacheChecked, decision: Decision) -> None:
        number, generation, hit, reason, unchanged = stimulus
        if self.view.state.ended or number not in self._checking() or generation != self.view.generations[number]:
            require(not decision.events, f"an answer that came too late led to {decision.events}")
            return
        first: Any = next(iter(decision.events), None)
        if hit:
            require(isinstance(first, UnitFinished) and first.cached and first.unit == number, f"a hit led to {first}")
        else:
            require(first == CacheMissed(number, reason, self._now, unchanged), f"a miss led to {first}")

    def _returned(self, stimulus: UnitReturned, decision: Decision) -> None:
        number = stimulus.unit
        start = self.held.get(number)
        if start is None or start.attempt != stimulus.attempt:
            require(not decision.events, f"late message led to {decision.events}")
            return
        del self.held[number]
        expected = self._expected(number, stimulus.outcome)
        besides = (UnitStarted, UnitAbandoned, UnitsAdded)
        mine = [e for e in decision.events if getattr(e, "unit", -1) == number and not isinstance(e, besides)]
        abandoned = [e for e in decision.events if isinstance(e, UnitAbandoned)]
        require(len(abandoned) == stimulus.outcome.abandoned, f"{stimulus} led to {abandoned}")
        require(bool(mine), f"{stimulus} led to nothing")
        first = mine[0]
        said = f"{word(first)} {first.state}" if isinstance(first, UnitFinished) else word(first)
        fallback = isinstance(first, UnitFinished) and first.fallback
        require((said, fallback) == expected, f"{stimulus} led to {first} instead of {expected}")
        how = {"finished completed": "succeeded", "finished canceled": "canceled", "reset": "canceled"}
        how |= {"retrying": "retrying", "finished failed": "failed", "finished timeout": "failed"}
        begun_at = self._now if self._has_run(number, stimulus.outcome) else self.view.begun[number].at
        self.brakes.ended(
            number, "failed" if fallback else how[said], getattr(first, "error", None), begun_at, self._now
        )

    def _has_run(self, number: int, outcome: Outcome) -> bool:
        """Whether only the attempt's result says that it has begun, even if what it wants to add is not to be had."""
        last = self.view.last[number]
        stopped = isinstance(last, UnitCanceling) and bool(last.reason)
        return self.view.unit(number).submitted and not stopped and outcome.error is None and not outcome.canceled

    def _expected(self, number: int, outcome: Outcome) -> tuple[str, bool]:
        """What follows from the rules of ends: the event's word, and whether it is a fallback."""
        unit, last = self.plan.table[number], self.view.last[number]
        reason = last.reason if isinstance(last, UnitCanceling) else ""
        if reason == "cancel":
            return "finished canceled", False
        if reason == "interrupt":
            return "reset", False
        if not reason and outcome.error is None and not outcome.canceled:
            if self.rules.may_add(number, outcome.added):
                return "finished completed", False
            outcome = outcome._replace(error=UnitError("InvalidWorkflow", ""))
        error = UnitError("timeout", "") if reason else outcome.error or UnitError("lost", "")
        tries = self.view.attempts[number] - self.view.bases[number]
        again = tries <= unit.retry.max and unit.retry.covers(error) and not outcome.abandoned
        losses = self.losses.get(number, 0)
        free = error.type == LOST_LOOP or (error.type in (LOST_WORKER, LOST_NEED) and losses < 3)
        again = again or (free and not outcome.abandoned)
        again = again and (unit.idempotent or error.type != LOST_WORKER)
        if again and self._starts_more(number) and not self.rules.bad_need(self.view, number):
            return "retrying", False
        if unit.fallback is not None:
            return "finished completed", True
        return ("finished timeout" if reason else "finished failed"), False

    def _starts_more(self, number: int) -> bool:
        """Whether a unit may be tried again, for all that the run and brakes say."""
        stopping = self.view.stopping
        if self.rules.handler(number):
            return stopping is None or stopping.how != "interrupt"
        failing_fast = not self.options.keep_going and bool(self.rules.failures(self.view))
        stopped = any(self.brakes.states[scope] == "stopped" for scope in self.rules.scopes[number])
        return stopping is None and not failing_fast and not stopped

    # -- what a decision must have done ------------------------------------------------------------------

    def _wishes(self, before: RunView) -> None:
        match self._stimulus:
            case CancelRequested(units=numbers) if not before.state.ended:
                for number in numbers:
                    if not before.states[number].ended:
                        self._stops(number, kill=before.states[number] is CANCELING)
            case CancelRunRequested(how=how) if before.state is RunState.RUNNING:
                self._stops_run(how, before)
            case ResultLost(unit=number):
                again = self.view.generations[number] > before.generations[number]
                due = before.states[number] is COMPLETED and before.stopping is None and not before.state.ended
                require(not again or (due and self.plan.table[number].idempotent), f"{number} was run again")
            case _:
                pass

    def _stops(self, number: int, *, kill: bool) -> None:
        last = self.view.last[number]
        if self.view.states[number] is CANCELING:
            require(last.reason == "cancel" and (last.killing or not kill), f"a cancel led to {last}")
        else:
            require(self.view.states[number] in (CANCELED, SKIPPED), f"canceled, but {self.view.states[number]}")

    def _stops_run(self, how: str, before: RunView) -> None:
        """A cancel of the run spares handlers, unless the run had been told to end before."""
        stopping, states = before.stopping, self.view.states
        interrupted = stopping is not None and stopping.how == "interrupt"
        told = stopping is not None and (stopping.how == "timeout" or HARDER.index(how) <= HARDER.index(stopping.how))
        for number in range(len(self.plan)):
            if self.rules.handler(number) and not told:
                spared = states[number] is not CANCELED or before.states[number] is CANCELED
                stopped = states[number] is CANCELING and before.states[number] is not CANCELING
                require(spared and not stopped, f"a handler was {states[number]} with the run")
            elif number in self.held:
                require(how != "stop" or states[number] is CANCELING, "a held unit was not stopped")
            else:
                require(interrupted or states[number].ended, "a waiting unit was not canceled")

    def _halts(self, before: RunView, decision: Decision) -> None:
        """Where a run, a brake or failing fast has put an end to things, nothing waits but handlers."""
        view, plain = self.view, [n for n in range(len(self.plan)) if not self.rules.handler(n) and n not in self.held]
        waiting = [number for number in plain if not view.states[number].ended]
        if view.state is RunState.RUNNING and view.stopping is not None and view.stopping.how != "interrupt":
            require(not waiting, f"{waiting} still wait in a run that is ending")
        if view.stopping is not None and view.stopping.how == "timeout":
            running = [n for n in self.held if not self.rules.handler(n) and view.states[n] is not CANCELING]
            require(not running, f"{running} still run after the run's timeout")
        ended = [e for e in decision.events if isinstance(e, UnitFinished) and e.state in FAILURES]
        if not self.options.keep_going and any(not self.plan.table[e.unit].allow_failure for e in ended):
            require(not waiting, f"{waiting} still wait in a run that fails fast")
        if view.state is RunState.RUNNING and view.stopping is None:
            stopped = {scope for scope, state in self.brakes.states.items() if state == "stopped"}
            left = [number for number in waiting if self.rules.scopes[number] & stopped]
            require(not left, f"{left} still wait though a brake has stopped them")

    def _effects(self, decision: Decision, held_before: dict[int, StartUnit]) -> None:
        started = [start for number, start in self.held.items() if held_before.get(number) is not start]
        effects = decision.effects
        require([e for e in effects if isinstance(e, StartUnit)] == started, f"{effects} for {started}")
        stops = [e for e in decision.events if isinstance(e, UnitCanceling)]
        asked = {(e.unit, e.attempt) for e in stops if not e.killing}
        require({(e.unit, e.attempt) for e in effects if isinstance(e, InterruptUnit)} == asked, "interrupts")
        killed = [(e.unit, e.attempt) for e in effects if isinstance(e, KillUnit)]
        require(set(killed) <= {(e.unit, e.attempt) for e in stops if e.killing}, f"{killed} without a word")
        for effect in effects:
            if isinstance(effect, WakeAt):
                self.wake = effect.at
        self.checks += [effect for effect in effects if isinstance(effect, CheckCache)]
