"""The invariants of each event, checked against the events before it alone."""

from __future__ import annotations

from typing import Any

from core_resting import Watch, require

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
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    UnitSilent,
    UnitStarted,
    UnitSubmitted,
    WorkersChanged,
)
from qtui.core.folding import fold
from qtui.core.machine import QUEUEING_LANES
from qtui.core.model import LOST_NEED, LOST_WORKER, STEPS, ExecutionMode, RunState, UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    RedefineRequested,
    ResultLost,
    RetryRequested,
    SetAsideRequested,
    StartUnit,
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


class StepWatch(Watch):
    """Looks at each event of a run: what is known before it must allow it."""

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
        if isinstance(event, UnitProgress | UnitSilent):
            require(self.view.states[event.unit] is RUNNING, f"{event} of a unit that does not run")
            return
        number, said = event.unit, self._said[event.unit]
        last = self.view.last[number]
        if self._set_aside(event):
            said.add(word(event))
            return
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
                lost = self._stimulus == ResultLost(number, event.cause) and self.view.states[number] is COMPLETED
                require(event.losses == (self.losses.get(number, 0) + 1 if lost else 0), f"losses of {event}")
                require(event.losses <= 3, f"{event} for ever")
                self.losses.pop(number, None)
                if event.losses:
                    self.losses[number] = event.losses
                return
            case UnitFinished():
                self._check_end(event)
            case _:
                require(event.attempt == self.view.attempts[number], f"attempt of {event}")
                if isinstance(event, UnitRetrying) and event.error.type in (LOST_WORKER, LOST_NEED):
                    self.losses[number] = self.losses.get(number, 0) + 1
        said.add(word(event))

    def _set_aside(self, event: Any) -> bool:
        """Whether a person has the run do without a unit: that may come at any time but while it runs."""
        wish = self._stimulus
        if not (isinstance(wish, SetAsideRequested) and isinstance(event, UnitFinished) and event.unit in wish.units):
            return False
        if event.cause != wish.cause:
            return False
        require(event.unit not in self.held, f"{event} while it runs")
        require(not self.view.states[event.unit].ended, f"{event} of a unit that has ended")
        expected = (COMPLETED, True) if wish.how == "done" else (SKIPPED, False)
        require((event.state, event.fallback) == expected, f"{wish} led to {event}")
        require(event.attempt == self.view.attempts[event.unit], f"attempt of {event}")
        require(event.generation == self.view.generations[event.unit], f"generation of {event}")
        return True

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
            signal = view.stopping.signal
            expected, code = RunState.INTERRUPTED, 128 + signal if signal else 1
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


def check_steps(before: RunView, after: RunView) -> list[str]:
    """The illegal steps between two views that are one event apart; empty when all is well."""
    return [
        f"{unit.id}: {old} -> {new}"
        for unit, old, new in zip(before.plan.table, before.states, after.states, strict=False)
        if old is not new and new not in STEPS[old]
    ]
