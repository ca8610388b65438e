"""The invariants of a run, checked after every decision against the events alone."""

from __future__ import annotations

from typing import Any

from core_resting import Watch, require
from core_rules import Rules

from qtui.core.events import (
    UNIT_EVENTS,
    CacheMissed,
    ConfirmRequested,
    Event,
    GovernorChanged,
    LateResult,
    RunFinished,
    RunReopened,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitAbandoned,
    UnitApproved,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.machine import QUEUEING_LANES
from qtui.core.model import FAILURES, LOST_LOOP, ExecutionMode, Outcome, RunState, UnitError, UnitState
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView, check_steps, fold
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CancelRequested,
    CancelRunRequested,
    CheckCache,
    Decision,
    InterruptUnit,
    KillUnit,
    LateReturned,
    RedefineRequested,
    ReleaseRequested,
    RetryRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitReturned,
    WakeAt,
    WorkersRequested,
)

COMPLETED, CANCELED, SKIPPED = UnitState.COMPLETED, UnitState.CANCELED, UnitState.SKIPPED
PENDING, READY, RETRYING = UnitState.PENDING, UnitState.READY, UnitState.RETRYING
RUNNING, CANCELING = UnitState.RUNNING, UnitState.CANCELING

WAITED = {"submitted", "started", "finished completed", "finished canceled", "reset"}
FOLLOWERS = {
    "nothing": {"ready", "finished skipped", "finished canceled"},
    "reset": {"ready", "finished skipped", "finished canceled"},
    "ready": WAITED | {"cachemissed", "confirmrequested"},
    "cachemissed": WAITED | {"confirmrequested"},
    "confirmrequested": {"approved", "finished canceled", "reset"},
    "approved": WAITED,
    "submitted": {"started", "canceling", "retrying", "finished failed", "finished completed"},
    "started": {"canceling", "retrying", "finished completed", "finished failed"},
    "canceling": {"canceling", "retrying", "reset", "finished canceled", "finished timeout", "finished completed"},
    "retrying": {"ready", "reset", "finished canceled"},
    "finished": {"reset"},
}
"""What may follow a unit's event; written down anew here, not taken from the table of steps."""

HARDER = ("drain", "timeout", "stop", "interrupt")


def word(event: Event | None) -> str:
    return "nothing" if event is None else type(event).__name__.removeprefix("Unit").lower()


class Checker(Watch):
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
            case RetryRequested() | RedefineRequested():
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
        number, generation, hit, reason = stimulus
        if self.view.state.ended or number not in self._checking() or generation != self.view.generations[number]:
            require(not decision.events, f"an answer that came too late led to {decision.events}")
            return
        first: Any = next(iter(decision.events), None)
        if hit:
            require(isinstance(first, UnitFinished) and first.cached and first.unit == number, f"a hit led to {first}")
        else:
            require(first == CacheMissed(number, reason, self._now), f"a miss led to {first}")

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
        begun_at = self._now if said == "finished completed" and not fallback else self.view.begun[number].at
        if not self.view.unit(number).submitted:
            begun_at = self.view.begun[number].at
        self.brakes.ended(
            number, "failed" if fallback else how[said], getattr(first, "error", None), begun_at, self._now
        )

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
        again = again or (error.type == LOST_LOOP and not outcome.abandoned)
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

    # -- one event ---------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        before = self.view
        if isinstance(event, UNIT_EVENTS):
            require(before.state in (RunState.RUNNING, RunState.PENDING), f"{event} while the run is {before.state}")
            self._unit_event(event)
        self.view = fold(before, [event])
        self.rules.govern(self.view.lane_workers)
        require(not check_steps(before, self.view), f"illegal step: {check_steps(before, self.view)}")
        match event:
            case UnitSubmitted():
                self._took_slot(event)
            case UnitStarted() if not before.unit(event.unit).submitted:
                self._took_slot(event)
            case UnitFinished():
                ended = {i for i in self._items if all(self.view.states[n].ended for n in self.rules.members[i])}
                self._items -= ended
                self.rules.ended_well(event)
                self.rules.used_up(event.unit, event.peak_memory)
                require(self.view.peaks == self.rules.peaks, f"{event}: expected are {self.view.peaks}")
            case UnitsAdded():
                self._grown(event, before)
            case UnitRedefined():
                self._redefined(event, before)
            case RunReopened():
                require(before.state.ended, "a run that goes on was reopened")
                self._waited = 0.0
            case RunUnpaused():
                require(before.paused, "unpaused without a pause")
            case RunFinished():
                self._run_finished(event)
            case _:
                self._run_event(event, before)
        if isinstance(event, UnitSubmitted | UnitStarted):
            self.brakes.began(event.unit)

    def _grown(self, event: UnitsAdded, before: RunView) -> None:
        """The plan has grown, and what was there needs what it needed."""
        old, plan = before.plan, self.view.plan
        adder = plan.table[event.unit].id
        ids = [unit.id for unit in event.units]
        require(len(set(ids)) == len(ids) and len(plan.numbers) == len(plan.table), f"{event}: ids are not unique")
        require(len(plan.order) == len(plan), f"{event}: units need each other")
        left = {n for n in old.added.get(event.unit, ()) if old.table[n].id not in ids}
        gone = {old.table[n].id for n in self.rules.with_additions(left)}
        require({plan.table[n].id for n in plan.dropped} >= gone, f"{event}: {gone} are still there")
        for unit in event.units:
            number = plan.numbers[unit.id]
            needed = {plan.table[need].id for need in plan.needs[number]}
            require({adder, *unit.dependencies} <= needed | set(plan.families), f"{unit.id} needs {needed}")
            require(number not in plan.dropped, f"{unit.id} was dropped")
            require(before.plan.numbers.get(unit.id, -1) not in self.held, f"{unit.id} runs")
        for number, needs in enumerate(old.needs):
            added = plan.table[number].id in (*ids, *gone)
            require(added or number in plan.stars or needs == plan.needs[number], f"{event} changed unit {number}")
        for star in plan.stars:
            below = {star, *plan.below(star), *plan.stars, *plan.dropped}
            begun = star != event.unit and star in self.held
            missing = set(range(len(plan))) - below - set(plan.needs[star])
            passed = self._passed.setdefault(star, set())  # what came too late for it
            passed |= missing if begun else set()
            require(missing <= passed, f"{event}: {missing} are not needed by {star}")
            require(not begun or set(plan.needs[star]) <= set(old.needs[star]), f"{star} has begun before {event}")
        self.plan = plan
        self.rules.know(plan)
        self._said |= {number: set() for number in range(len(old), len(plan))}

    def _redefined(self, event: UnitRedefined, before: RunView) -> None:
        """One unit is another, and nothing else is."""
        old, plan = before.plan, self.view.plan
        number, unit = event.unit, event.definition
        require(before.states[number] is PENDING, f"{event} of a unit that is {before.states[number]}")
        require(plan.table[number] is unit and list(plan.needs) == list(old.needs), f"{event} is not in the plan")
        require(unit.dependencies == old.table[number].dependencies, f"{event} changes the graph")
        others = [n for n in range(len(plan)) if n != number and plan.table[n] is not old.table[n]]
        require(not others, f"{event} changes {others}")
        self.plan = plan
        self.rules.know(plan)

    def _run_event(self, event: Event, before: RunView) -> None:
        match event:
            case GovernorChanged():
                require(before.governed is not event.on, f"{event} changes nothing")
            case RunStarted() | WorkersChanged():
                most = 1 if self.options.mode is ExecutionMode.SEQUENTIAL else self.options.max_workers
                require(1 <= self.view.workers <= most, f"{self.view.workers} workers of {most}")
                require(
                    not self.view.lane_workers or bool(self.view.governed), f"{event} for a lane, but a person decides"
                )
                if isinstance(event, WorkersChanged) and event.lane:
                    require(self.view.governed is True, f"{event} though a person decides")
                lanes = [target for target in self.view.lane_workers.values() if not 1 <= target <= most]
                require(not lanes, f"{lanes} workers of a lane, of {most}")
            case RunStopping():
                harder = before.stopping is None or HARDER.index(event.how) > HARDER.index(before.stopping.how)
                require(harder, f"{event} after {before.stopping}")
                require(event.how != "timeout" or self._now >= self._timeout_due(), f"{event} before its time")
            case UnitAbandoned():
                keeps = len(before.left_behind) >= self._most_abandoned
                require((event.worker > 0) == keeps, f"{event} beside {len(before.left_behind)} others")
            case LateResult():
                require((event.unit, event.attempt) in before.left_behind, f"{event} of an attempt that was not left")
                require((event.worker > 0) == (before.stuck > 0), f"{event}, {before.stuck} slots are kept")
                require(self.view.stuck == max(0, before.stuck - 1), f"{self.view.stuck} slots are kept after {event}")
            case _:
                pass

    def _unit_event(self, event: Any) -> None:
        if isinstance(event, UnitProgress):
            require(self.view.states[event.unit] is RUNNING, "progress of a unit that does not run")
            return
        number, said = event.unit, self._said[event.unit]
        last = self.view.last[number]
        name = word(event) + (f" {event.state}" if isinstance(event, UnitFinished) else "")
        require(name in FOLLOWERS[word(last)], f"{event} after {last}")
        match event:
            case UnitReady():
                self._check_ready(event, last)
            case CacheMissed():
                require(self.plan.table[number].cache is not None, f"{event} without a cache")
            case ConfirmRequested():
                wanted = self.rules.wants_answer(number) and not said & {"confirmrequested", "started", "submitted"}
                require(wanted and (number not in self._checking()), f"{event} of nobody, or once more")
            case UnitApproved():
                require(isinstance(self._stimulus, ApproveRequested), f"{event} though nobody said so")
            case UnitSubmitted() | UnitStarted():
                self._check_start(event)
            case UnitReset():
                require(event.generation == self.view.generations[number] + 1, f"generation of {event}")
                said.clear()
                return
            case UnitFinished():
                self._check_end(event)
            case _:
                require(event.attempt == self.view.attempts[number], f"attempt of {event}")
        said.add(word(event))

    def _check_ready(self, event: UnitReady, last: Event | None) -> None:
        number, view = event.unit, self.view
        require(self.rules.met(view, number), f"{event} before its needs have ended well")
        if isinstance(last, UnitRetrying):
            wish = self._stimulus.retry if isinstance(self._stimulus, RedefineRequested) else self._stimulus
            by_person = isinstance(wish, RetryRequested) and number in wish.units
            require(by_person or self._now >= last.at + last.delay, f"{event} before the back-off of {last} is over")
            return
        require(self.rules.holds(view, number), f"{event} though its condition is false")
        if self.plan.table[number].when == "failure":
            require(self.rules.blamed(view, number) is True, f"{event} though no need has failed")

    def _check_start(self, event: UnitSubmitted | UnitStarted) -> None:
        number, view = event.unit, self.view
        lane, unit = self.plan.lanes[number], self.plan.table[number]
        require(event.lane is lane, f"{event} in the wrong lane")
        if isinstance(view.last[number], UnitSubmitted):
            submitted = (view.attempts[number], view.begun[number].worker)
            require((event.attempt, event.worker) == submitted, f"{event} is not the attempt that was submitted")
            return
        require((lane in QUEUEING_LANES) == isinstance(event, UnitSubmitted), f"{event} in the lane {lane}")
        may = view.state is RunState.RUNNING and self.rules.may_start(view.stopping, view.paused, number)
        require(may, f"{event} now")
        require(self.rules.met(view, number), f"{event} before its needs have ended well")
        require(event.attempt == view.attempts[number] + 1, f"attempt of {event}")
        tries = event.attempt - view.bases[number]
        require(tries <= unit.retry.max + 1, f"{event} is try {tries}")
        require(not self._haunted(number), f"{event} beside an abandoned attempt")
        require(not self.rules.held_back(view, number), f"{event} though it may have to be added again")
        said = self._said[number]
        require("approved" in said or not self.rules.wants_answer(number), f"{event} though nobody has said yes")
        require("cachemissed" in said or unit.cache is None, f"{event} before the cache was asked")
        shut = self.rules.scopes[number] & self.brakes.shut()
        require(not shut, f"{event} though its brakes hold: {shut}")
        best = self._startable()
        require(best[:1] == [number], f"{event} before {best}")

    def _check_end(self, event: UnitFinished) -> None:
        number, view = event.unit, self.view
        require(event.generation == view.generations[number], f"generation of {event}")
        require(event.attempt == view.attempts[number], f"attempt of {event}")
        if event.state is SKIPPED:
            self._check_skip(event)
        tried = self._said[number] & {"submitted", "started"}
        require(not (event.cached and tried), f"{event} though the unit has run")
        if view.states[number] is READY and event.state is COMPLETED:
            without_work = self.plan.table[number].action is None or event.fallback or event.cached
            require(without_work, f"{event} of a unit that never started")
            wanted = self.rules.wants_answer(number) and not event.cached and not event.fallback
            require("approved" in self._said[number] or not wanted, f"{event} though nobody has said yes")

    def _check_skip(self, event: UnitFinished) -> None:
        number, view = event.unit, self.view
        if event.cause.startswith("because "):
            require(self.rules.bad_need(view, number), f"{event} without a need that ended badly")
            return
        require(self.rules.met(view, number), f"{event} before its needs have ended")
        if event.cause.endswith("no longer adds it"):
            require(number in view.plan.dropped, f"{event} though it is added")
        elif event.cause.startswith("its condition does not hold: "):
            require(not self.rules.holds(view, number), f"{event} though its condition is true")
        else:
            for_failures = self.plan.table[number].when == "failure"
            require(for_failures and self.rules.blamed(view, number) is False, f"{event} though a need has failed")

    def _took_slot(self, event: UnitSubmitted | UnitStarted) -> None:
        require(event.unit not in self.held, f"{event} beside another attempt of the unit")
        taken = {start.worker for start in self.held.values()}
        taken |= {left.worker for left in self.view.left_behind.values()}
        require(event.worker >= 1 and event.worker not in taken, f"the slot of {event} is taken")
        batch = int(1 / self.rules.share(event.unit))
        self.held[event.unit] = StartUnit(event.unit, event.attempt, event.lane, event.worker, batch)
        most = self.view.workers - self.view.stuck
        load = sum(map(self.rules.share, self.held))
        require(load <= most, f"{event}: {load} of {most} workers")
        takes = set(self.rules.holdings(event.unit))
        if (item := self.plan.item_of[event.unit]) >= 0 and item not in self._items:
            self._items.add(item)
            takes |= set(self.rules.item_holdings(item))
        used = self.rules.used(self.held, self._items)
        # of memory, more than there is may be held by now, when what others were given has turned out to be too little
        over = {limit: used[limit] for limit in takes if used[limit] > self.rules.capacity[limit]}
        require(not over, f"{event}: held {over} of {self.rules.capacity}")

    def _run_finished(self, event: RunFinished) -> None:
        view, states = self.view, set(self.view.states)
        require(not self.held, f"the run finished before {self.held}")
        unended = [state for state in view.states if not state.ended]
        failed = bool(self.rules.failures(view))
        if view.stopping is not None and view.stopping.how == "interrupt" and unended:
            expected, code = RunState.INTERRUPTED, 128 + view.stopping.signal
        elif view.stopping is not None and view.stopping.how == "timeout" and CANCELED in states:
            expected, code = RunState.FAILED, 124
        elif CANCELED in states and (view.stopping is not None or not failed):
            expected, code = RunState.CANCELED, 130
        elif failed:
            expected, code = RunState.FAILED, 1
        else:
            expected, code = RunState.COMPLETED, 0
        require((event.state, event.exit_code) == (expected, code), f"{event} instead of {expected}, {code}")
        require(event.state is RunState.INTERRUPTED or not unended, f"the run finished with {unended}")
        require(event.counts == {str(s): list(view.states).count(s) for s in states}, f"counts of {event}")

    # -- what a decision must have done ------------------------------------------------------------------

    def _wishes(self, before: RunView) -> None:
        match self._stimulus:
            case CancelRequested(units=numbers) if not before.state.ended:
                for number in numbers:
                    if not before.states[number].ended:
                        self._stops(number, kill=before.states[number] is CANCELING)
            case CancelRunRequested(how=how) if before.state is RunState.RUNNING:
                self._stops_run(how, before)
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
