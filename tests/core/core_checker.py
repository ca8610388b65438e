"""The invariants of a run, checked after every decision against the events alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtui.core.events import (
    UNIT_EVENTS,
    Event,
    LateResult,
    RunFinished,
    RunReopened,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitAbandoned,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitReset,
    UnitRetrying,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.machine import QUEUEING_LANES
from qtui.core.model import FAILURES, LOST_LOOP, ExecutionMode, Outcome, RunOptions, RunState, UnitError, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView, check_steps, fold
from qtui.core.stimuli import (
    CancelRequested,
    CancelRunRequested,
    Decision,
    InterruptUnit,
    KillUnit,
    LateReturned,
    RetryRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitReturned,
    WakeAt,
)

COMPLETED, CANCELED, SKIPPED = UnitState.COMPLETED, UnitState.CANCELED, UnitState.SKIPPED
PENDING, READY, RETRYING = UnitState.PENDING, UnitState.READY, UnitState.RETRYING
RUNNING, CANCELING = UnitState.RUNNING, UnitState.CANCELING

FOLLOWERS = {
    "nothing": {"ready", "finished skipped", "finished canceled"},
    "reset": {"ready", "finished skipped", "finished canceled"},
    "ready": {"submitted", "started", "finished completed", "finished canceled", "reset"},
    "submitted": {"started", "canceling", "retrying", "finished failed", "finished completed"},
    "started": {"canceling", "retrying", "finished completed", "finished failed"},
    "canceling": {"canceling", "retrying", "reset", "finished canceled", "finished timeout", "finished completed"},
    "retrying": {"ready", "reset", "finished canceled"},
    "finished": {"reset"},
}
"""What may follow a unit's event; written down anew here, not taken from the table of steps."""


class Violation(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def word(event: Event | None) -> str:
    return "nothing" if event is None else type(event).__name__.removeprefix("Unit").lower()


class Checker:
    """Watches one run: `held` are the attempts that lanes have, `wake` is the time the timer is set for."""

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.plan, self.options = plan, options
        self.view = RunView.initial(plan)
        self.held: dict[int, StartUnit] = {}
        self.wake: float | None = None
        self._now = 0.0
        self._stimulus: Stimulus = TimerFired()
        self._answer = ""
        sequential = options.mode is ExecutionMode.SEQUENTIAL
        workers = 1 if sequential else min(options.workers, options.max_workers)
        self._most_abandoned = workers if options.max_abandoned is None else options.max_abandoned

    def see(self, stimulus: Stimulus, now: float, decision: Decision, scheduler: Scheduler) -> None:
        """Raises Violation if `decision`, the scheduler's answer to `stimulus`, breaks an invariant."""
        before, held_before = self.view, dict(self.held)
        self._stimulus, self._now = stimulus, now
        self._answer = ""
        if isinstance(stimulus, TimerFired):
            self.wake = None
        if isinstance(stimulus, UnitReturned):
            self._returned(stimulus, decision)
        if isinstance(stimulus, LateReturned):
            said = [e for e in decision.events if isinstance(e, LateResult)]
            require(len(said) == (tuple(stimulus) in before.left_behind), f"{stimulus} led to {said}")
        for event in decision.events:
            self._event(event)
        self._effects(decision, held_before)
        require(fold(before, decision.events) == self.view, "folding a batch differs from folding one by one")
        self._arrays(scheduler)
        self._wishes(before)
        warned = [e for e in decision.events if isinstance(e, Warned) and e.message.startswith("stalled by")]
        require(len(warned) == (self.view.stalled and not before.stalled), f"stalled: {self.view.stalled}, {warned}")
        for number in range(len(self.plan)):
            self._resting(number)
        self._timers()
        self._progress()

    # -- one event ---------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        before = self.view
        if isinstance(event, UNIT_EVENTS):
            require(before.state in (RunState.RUNNING, RunState.PENDING), f"{event} while the run is {before.state}")
            self._unit_event(event)
        self.view = fold(before, [event])
        require(not check_steps(before, self.view), f"illegal step: {check_steps(before, self.view)}")
        match event:
            case UnitSubmitted():
                self._took_slot(event)
            case UnitStarted() if not before.unit(event.unit).submitted:
                self._took_slot(event)
            case RunStarted() | WorkersChanged():
                most = 1 if self.options.mode is ExecutionMode.SEQUENTIAL else self.options.max_workers
                require(1 <= self.view.workers <= most, f"{self.view.workers} workers of {most}")
            case RunStopping():
                order = ("drain", "timeout", "stop", "interrupt")
                harder = before.stopping is None or order.index(event.how) > order.index(before.stopping.how)
                require(harder, f"{event} after {before.stopping}")
            case UnitAbandoned():
                keeps = len(before.left_behind) >= self._most_abandoned
                require((event.worker > 0) == keeps, f"{event} beside {len(before.left_behind)} others")
            case LateResult():
                require((event.unit, event.attempt) in before.left_behind, f"{event} of an attempt that was not left")
                require((event.worker > 0) == (before.stuck > 0), f"{event}, {before.stuck} slots are kept")
                require(self.view.stuck == max(0, before.stuck - 1), f"{self.view.stuck} slots are kept after {event}")
            case RunReopened():
                require(before.state.ended, "a run that goes on was reopened")
            case RunUnpaused():
                require(before.paused, "unpaused without a pause")
            case RunFinished():
                self._run_finished(event)
            case _:
                pass

    def _unit_event(self, event: Any) -> None:
        if isinstance(event, UnitProgress):
            require(self.view.states[event.unit] is RUNNING, "progress of a unit that does not run")
            return
        last = self.view.last[event.unit]
        name = word(event) + (f" {event.state}" if isinstance(event, UnitFinished) else "")
        require(name in FOLLOWERS[word(last)], f"{event} after {last}")
        match event:
            case UnitReady():
                require(self._met(event.unit), f"{event} before its needs have completed")
                if isinstance(last, UnitRetrying):
                    require(self._due(last), f"{event} before the back-off of {last} is over")
            case UnitSubmitted() | UnitStarted():
                self._check_start(event)
            case UnitReset():
                require(event.generation == self.view.generations[event.unit] + 1, f"generation of {event}")
            case UnitFinished():
                self._check_end(event)
            case _:
                require(event.attempt == self.view.attempts[event.unit], f"attempt of {event}")

    def _due(self, last: UnitRetrying) -> bool:
        by_person = isinstance(self._stimulus, RetryRequested) and last.unit in self._stimulus.units
        return by_person or self._now >= last.at + last.delay

    def _check_start(self, event: UnitSubmitted | UnitStarted) -> None:
        number, view = event.unit, self.view
        lane = self.plan.lanes[number]
        require(event.lane is lane, f"{event} in the wrong lane")
        if isinstance(view.last[number], UnitSubmitted):
            submitted = (view.attempts[number], view.begun[number].worker)
            require((event.attempt, event.worker) == submitted, f"{event} is not the attempt that was submitted")
            return
        require((lane in QUEUEING_LANES) == isinstance(event, UnitSubmitted), f"{event} in the lane {lane}")
        require(view.state is RunState.RUNNING and not view.paused and view.stopping is None, f"{event} now")
        require(self._met(number), f"{event} before its needs have completed")
        require(event.attempt == view.attempts[number] + 1, f"attempt of {event}")
        tries = event.attempt - view.bases[number]
        require(tries <= self.plan.table[number].retry.max + 1, f"{event} is try {tries}")
        require(not self._haunted(number), f"{event} beside an abandoned attempt")
        better = [v for v in self._waiting() if self._key(v) < self._key(number) and self._fits(v)]
        require(not better, f"{event} before {better}")

    def _check_end(self, event: UnitFinished) -> None:
        number, view = event.unit, self.view
        require(event.generation == view.generations[number], f"generation of {event}")
        require(event.attempt == view.attempts[number], f"attempt of {event}")
        if event.state is SKIPPED:
            require(self._has_bad_need(number), f"{event} without a need that ended badly")
        if view.states[number] is READY and event.state is COMPLETED:
            without_work = self.plan.table[number].action is None or event.fallback
            require(without_work, f"{event} of a unit that never started")

    def _took_slot(self, event: UnitSubmitted | UnitStarted) -> None:
        require(event.unit not in self.held, f"{event} beside another attempt of the unit")
        taken = {start.worker for start in self.held.values()}
        taken |= {left.worker for left in self.view.left_behind.values()}
        require(event.worker >= 1 and event.worker not in taken, f"the slot of {event} is taken")
        self.held[event.unit] = StartUnit(event.unit, event.attempt, event.lane, event.worker)
        most = self.view.workers - self.view.stuck
        require(len(self.held) <= most, f"{len(self.held)} units for {most} workers")
        for lane, most in self._limits():
            held = sum(start.lane is lane for start in self.held.values())
            require(held <= most, f"{held} units in the lane {lane}")

    def _run_finished(self, event: RunFinished) -> None:
        view, states = self.view, set(self.view.states)
        require(not self.held, f"the run finished before {self.held}")
        unended = [state for state in view.states if not state.ended]
        if view.stopping is not None and view.stopping.how == "interrupt" and unended:
            expected, code = RunState.INTERRUPTED, 128 + view.stopping.signal
        elif view.stopping is not None and view.stopping.how == "timeout" and CANCELED in states:
            expected, code = RunState.FAILED, 124
        elif CANCELED in states and (view.stopping is not None or not states & FAILURES):
            expected, code = RunState.CANCELED, 130
        elif states & FAILURES:
            expected, code = RunState.FAILED, 1
        else:
            expected, code = RunState.COMPLETED, 0
        require((event.state, event.exit_code) == (expected, code), f"{event} instead of {expected}, {code}")
        require(event.state is RunState.INTERRUPTED or not unended, f"the run finished with {unended}")
        require(event.counts == {str(s): list(view.states).count(s) for s in states}, f"counts of {event}")

    # -- what an answer must be --------------------------------------------------------------------------

    def _returned(self, stimulus: UnitReturned, decision: Decision) -> None:
        number = stimulus.unit
        start = self.held.get(number)
        if start is None or start.attempt != stimulus.attempt:
            require(not decision.events, f"late message led to {decision.events}")
            return
        del self.held[number]
        expected = self._expected(number, stimulus.outcome)
        besides = (UnitStarted, UnitAbandoned)
        mine = [e for e in decision.events if getattr(e, "unit", -1) == number and not isinstance(e, besides)]
        abandoned = [e for e in decision.events if isinstance(e, UnitAbandoned)]
        require(len(abandoned) == stimulus.outcome.abandoned, f"{stimulus} led to {abandoned}")
        require(bool(mine), f"{stimulus} led to nothing")
        first = mine[0]
        said = f"{word(first)} {first.state}" if isinstance(first, UnitFinished) else word(first)
        fallback = isinstance(first, UnitFinished) and first.fallback
        require((said, fallback) == expected, f"{stimulus} led to {first} instead of {expected}")

    def _expected(self, number: int, outcome: Outcome) -> tuple[str, bool]:
        """What follows from the rules of ends: the event's word, and whether it is a fallback."""
        unit, last = self.plan.table[number], self.view.last[number]
        reason = last.reason if isinstance(last, UnitCanceling) else ""
        if reason == "cancel":
            return "finished canceled", False
        if reason == "interrupt":
            return "reset", False
        if not reason and outcome.error is None and not outcome.canceled:
            return "finished completed", False
        error = UnitError("timeout", "") if reason else outcome.error or UnitError("lost", "")
        tries = self.view.attempts[number] - self.view.bases[number]
        again = tries <= unit.retry.max and unit.retry.covers(error) and not outcome.abandoned
        again = again or (error.type == LOST_LOOP and not outcome.abandoned)
        if again and self._starts_more() and not self._has_bad_need(number):
            return "retrying", False
        if unit.fallback is not None:
            return "finished completed", True
        return ("finished timeout" if reason else "finished failed"), False

    def _starts_more(self) -> bool:
        failing_fast = not self.options.keep_going and bool(FAILURES & set(self.view.states))
        return self.view.stopping is None and not failing_fast

    def _wishes(self, before: RunView) -> None:
        match self._stimulus:
            case CancelRequested(units=numbers) if not before.state.ended:
                for number in numbers:
                    if not before.states[number].ended:
                        self._stops(number, kill=before.states[number] is CANCELING)
            case CancelRunRequested(how=how) if before.state is RunState.RUNNING:
                interrupted = before.stopping is not None and before.stopping.how == "interrupt"
                for number in range(len(self.plan)):
                    if number in self.held:
                        require(how != "stop" or self.view.states[number] is CANCELING, "a held unit was not stopped")
                    else:
                        require(interrupted or self.view.states[number].ended, "a waiting unit was not canceled")
            case _:
                pass

    def _stops(self, number: int, *, kill: bool) -> None:
        last = self.view.last[number]
        if self.view.states[number] is CANCELING:
            require(last.reason == "cancel" and (last.killing or not kill), f"a cancel led to {last}")
        else:
            require(self.view.states[number] in (CANCELED, SKIPPED), f"canceled, but {self.view.states[number]}")

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

    # -- what holds between decisions --------------------------------------------------------------------

    def _arrays(self, scheduler: Scheduler) -> None:
        view = self.view
        require(list(view.states) == scheduler._state, f"states: {list(view.states)} and {scheduler._state}")
        require(list(view.attempts) == scheduler._attempt, "attempts differ")
        require(list(view.bases) == scheduler._base, "attempts before this generation differ")
        require(list(view.generations) == scheduler._generation, "generations differ")
        require(view.counts == {state: list(view.states).count(state) for state in UnitState}, "counts differ")
        holding = {n for n in range(len(self.plan)) if self._holds(n)}
        require(holding == set(self.held), f"holding {holding}, lanes have {set(self.held)}")
        require(view.active == len(self.held), f"{view.active} active, lanes have {len(self.held)}")

    def _holds(self, number: int) -> bool:
        return self.view.states[number] in (RUNNING, CANCELING) or self.view.unit(number).submitted

    def _resting(self, number: int) -> None:
        state, view = self.view.states[number], self.view
        story = f"{self.plan.table[number].id} is {state}"
        if state is SKIPPED:
            require(self._has_bad_need(number), f"{story} though no need ended badly")
        elif state is PENDING:
            require(not self._has_bad_need(number), f"{story} though a need ended badly")
            if view.state is RunState.RUNNING and view.stopping is None:
                require(not self._met(number) or self._haunted(number), f"{story} though its needs have completed")
        elif state is RETRYING or (state is READY and number not in self.held):
            require(self._met(number), f"{story} though a need has not completed")

    def _timers(self) -> None:
        if self.view.state is not RunState.RUNNING:
            return
        due = min(self._dues(), default=None)
        if due is None:
            return
        require(self.wake is not None and self.wake <= due, f"woken at {self.wake}, but due at {due}")
        if isinstance(self._stimulus, TimerFired):
            require(due > self._now, f"what was due at {due} is not done at {self._now}")

    def _dues(self) -> Iterator[float]:
        stopping = self.view.stopping
        if self.options.timeout is not None and (stopping is None or stopping.how == "drain"):
            assert self.view.opened_at is not None
            yield self.view.opened_at + self.options.timeout
        for number, unit in enumerate(self.plan.table):
            last, begun = self.view.last[number], self.view.begun[number]
            match self.view.states[number]:
                case UnitState.RETRYING:
                    yield last.at + last.delay
                case UnitState.RUNNING if unit.timeout is not None:
                    yield begun.at + unit.timeout
                case UnitState.CANCELING if not last.killing:
                    yield last.at + (self.options.grace if unit.grace is None else unit.grace)

    def _progress(self) -> None:
        """Something goes on, or a person must act; and no worker idles beside a unit that could start."""
        view = self.view
        if view.state is not RunState.RUNNING:
            return
        require(view.ended < len(self.plan), "all units have ended, the run goes on")
        waiting = self._waiting()
        if view.stopping is not None:
            require(bool(self.held), "the run was told to end, nothing runs, and it goes on")
        else:
            more = bool(waiting) if view.paused else False
            going = bool(self.held) or more or RETRYING in view.states
            require(going or self._waits_for_late_results(), f"deadlock: {list(view.states)}")
        if not view.paused and view.stopping is None and len(self.held) + view.stuck < view.workers:
            idle = [number for number in waiting if self._fits(number)]
            require(not idle, f"a worker idles beside {idle}")

    def _waits_for_late_results(self) -> bool:
        return self.view.stuck > 0 or any(self._haunted(number) for number in range(len(self.plan)))

    def _haunted(self, number: int) -> bool:
        return any(unit == number for unit, _ in self.view.left_behind)

    def _waiting(self) -> list[int]:
        return [n for n, state in enumerate(self.view.states) if state is READY and n not in self.held]

    def _fits(self, number: int) -> bool:
        lane = self.plan.lanes[number]
        held = sum(start.lane is lane for start in self.held.values())
        return all(held < most for limited, most in self._limits() if limited is lane)

    def _limits(self) -> tuple[tuple[ExecutionMode, int], ...]:
        return ((ExecutionMode.SEQUENTIAL, 1), (ExecutionMode.ASYNC, self.options.max_async))

    def _key(self, number: int) -> tuple[int, int, int]:
        return (-self.plan.table[number].priority, -self.plan.ranks[number], number)

    def _met(self, number: int) -> bool:
        return all(self.view.states[need] is COMPLETED for need in self.plan.needs[number])

    def _has_bad_need(self, number: int) -> bool:
        states = (self.view.states[need] for need in self.plan.needs[number])
        return any(state.ended and state is not COMPLETED for state in states)
