"""The invariants that hold between decisions, whatever was decided."""

from __future__ import annotations

from collections.abc import Iterator

from core_rules import BrakeModel, Rules

from qtui.core.events import ConfirmRequested, UnitReady
from qtui.core.model import ExecutionMode, RunState, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView
from qtui.core.stimuli import CheckCache, StartUnit, Stimulus, TimerFired

PENDING, READY, RETRYING = UnitState.PENDING, UnitState.READY, UnitState.RETRYING
RUNNING, CANCELING, SKIPPED = UnitState.RUNNING, UnitState.CANCELING, UnitState.SKIPPED


class Violation(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


class Watch:
    """What is known of one run.

    `held` are the attempts that lanes have, `wake` is the time the timer is set for, `checks` are the questions to the
    cache that nobody has answered.
    """

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.plan, self.first, self.options = plan, plan, options
        self.rules = Rules(plan, options)
        self.view = RunView.initial(plan)
        self.held: dict[int, StartUnit] = {}
        self.wake: float | None = None
        self.checks: list[CheckCache] = []
        self.brakes = BrakeModel(self.rules)
        self._now = 0.0
        self._stimulus: Stimulus = TimerFired()
        self._passed: dict[int, set[int]] = {}  # of units that need everything, what came when they had begun
        self._items: set[int] = set()  # items of groups that have begun and not ended
        self._said: dict[int, set[str]] = {n: set() for n in range(len(plan))}  # of each unit in this generation
        self.losses: dict[int, int] = {}  # how often a generation was tried again because a worker or a need was lost
        self._waited, self._only_waits, self._waited_before = 0.0, False, False
        sequential = options.mode is ExecutionMode.SEQUENTIAL
        workers = 1 if sequential else min(options.workers, options.max_workers)
        self._most_abandoned = workers if options.max_abandoned is None else options.max_abandoned

    def check_rest(self, scheduler: Scheduler) -> None:
        """Raises Violation if something does not hold after a decision."""
        waits = self.view.state is RunState.RUNNING and bool(self.asked()) and not self.held
        self._waited_before, self._only_waits = self._only_waits, waits
        self._arrays(scheduler)
        for number in range(len(self.plan)):
            self._resting(number)
        self._timers()
        self._progress()

    def _arrays(self, scheduler: Scheduler) -> None:
        view = self.view
        require(list(view.states) == scheduler._state, f"states: {list(view.states)} and {scheduler._state}")
        if view.plan is not self.first:
            require(view.plan.thawed() == scheduler.plan, "plans differ")
        require(list(view.attempts) == scheduler._attempt, "attempts differ")
        require(view.losses == scheduler._losses == self.losses, f"losses: {view.losses} and {scheduler._losses}")
        require(all(view.states[number] is RUNNING for number in view.silent), f"silent and not running: {view.silent}")
        require(list(view.bases) == scheduler._base, "attempts before this generation differ")
        require(list(view.generations) == scheduler._generation, "generations differ")
        require(view.counts == {state: list(view.states).count(state) for state in UnitState}, "counts differ")
        holding = {n for n in range(len(self.plan)) if view.states[n] in (RUNNING, CANCELING) or view.unit(n).submitted}
        require(holding == set(self.held), f"holding {holding}, lanes have {set(self.held)}")
        require(view.active == len(self.held), f"{view.active} active, lanes have {len(self.held)}")
        require(view.open_items == self._items, f"begun items: {view.open_items} and {self._items}")
        require(view.asked == len(self.asked()), f"{view.asked} questions, but {self.asked()}")
        seen = {scope: view.brakes[scope].state if scope in view.brakes else "open" for scope in self.options.brakes}
        require(seen == self.brakes.states, f"brakes: {seen}, but by the rules {self.brakes.states}")
        for scope, brake in view.brakes.items():
            counted = self.brakes.failures[scope]
            require(brake.state != "open" or brake.failures == counted, f"{brake}, but {counted} by the rules")
        if view.state is RunState.RUNNING:
            since = view.waiting_since
            waited = view.waited + (0.0 if since is None else self._now - since)
            require(waited == self._waited, f"waited for answers {waited} s, but by the rules {self._waited} s")
            require((since is not None) == self._only_waits, f"waiting since {since}")

    def _resting(self, number: int) -> None:
        state, view = self.view.states[number], self.view
        story = f"{self.plan.table[number].id} is {state}"
        if state is SKIPPED and view.last[number].cause.startswith("because "):
            require(self.rules.bad_need(view, number), f"{story} though no need ended badly")
        elif state is PENDING:
            require(not self.rules.bad_need(view, number), f"{story} though a need ended badly")
            interrupted = view.stopping is not None and view.stopping.how == "interrupt"
            held = self._haunted(number) or self.rules.held_back(view, number)
            if view.state is RunState.RUNNING and not interrupted and not held:
                open_ = self.plan.table[number].when == "failure" and self.rules.blamed(view, number) is None
                require(open_ or not self.rules.met(view, number), f"{story} though its needs have ended well")
        elif state is RETRYING or (state is READY and number not in self.held):
            require(self.rules.met(view, number), f"{story} though a need has not ended well")
            require(not self.rules.held_back(view, number), f"{story} though it may have to be added again")

    def _timers(self) -> None:
        if self.view.state is not RunState.RUNNING:
            return
        due = min(self._dues(), default=None)
        if due is None:
            return
        require(self.wake is not None and self.wake <= due, f"woken at {self.wake}, but due at {due}")
        if isinstance(self._stimulus, TimerFired):
            # set in this very decision: for handlers without time, or since the run's own time counts again
            fresh = self.options.handler_timeout == 0.0 or self._waited_before > self._only_waits
            require(due > self._now or fresh, f"what was due at {due} is not done at {self._now}")

    def _dues(self) -> Iterator[float]:
        view, stopping = self.view, self.view.stopping
        if self.options.timeout is not None and (stopping is None or stopping.how == "drain") and not self._only_waits:
            yield self._timeout_due()
        for number, unit in enumerate(self.plan.table):
            last, begun = view.last[number], view.begun[number]
            match view.states[number]:
                case UnitState.RETRYING:
                    yield last.at + last.delay
                case UnitState.RUNNING if unit.timeout is not None:
                    yield begun.at + unit.timeout
                case UnitState.CANCELING if not last.killing:
                    yield last.at + (self.options.grace if unit.grace is None else unit.grace)
        yield from (due for scope in self.options.brakes if (due := self.brakes.due(scope)) is not None)
        if stopping is not None and stopping.how != "interrupt":
            plain = [n for n in range(len(self.plan)) if not self.rules.handler(n)]
            left = any(not state.ended and state is not CANCELING for state in view.states)
            if left and all(view.states[n].ended for n in plain):
                yield max([stopping.at, *(view.last[n].at for n in plain)]) + self.options.handler_timeout

    def _timeout_due(self) -> float:
        assert self.view.opened_at is not None and self.options.timeout is not None
        return self.view.opened_at + self.options.timeout + self._waited

    def _progress(self) -> None:
        """Something goes on, or a person must act; and no worker idles beside a unit that could start."""
        view = self.view
        if view.state is not RunState.RUNNING:
            return
        require(view.ended < len(self.plan), "all units have ended, the run goes on")
        unanswered = {(check.unit, check.generation) for check in self.checks}
        for number in self._checking():
            require((number, view.generations[number]) in unanswered, f"nobody was asked for a result of {number}")
        waiting = self._waiting()
        if view.stopping is not None and view.stopping.how == "interrupt":
            require(bool(self.held), "the run was interrupted, nothing runs, and it goes on")
            return
        held = view.paused and view.stopping is None
        held = held or any(self.rules.scopes[number] & self.brakes.shut() for number in waiting)
        late = view.stuck > 0 or any(self._haunted(number) for number in range(len(self.plan)))
        by_itself = bool(self.held or self._checking() or late) or RETRYING in view.states
        require(by_itself or bool(self.asked() or (held and waiting)), f"deadlock: {list(view.states)}")
        if view.stopping is not None or not view.paused:
            idle = self._startable()[:1]
            load = sum(map(self.rules.share, (*self.held, *idle)))
            require(not idle or load > view.workers - view.stuck, f"a worker idles beside {idle}")

    def _startable(self) -> list[int]:
        return self.rules.startable(self._waiting(), self.held, self._items, self.brakes.shut())

    def _haunted(self, number: int) -> bool:
        return any(unit == number for unit, _ in self.view.left_behind)

    def asked(self) -> set[int]:
        """The units that wait for a person's yes."""
        return {n for n, last in enumerate(self.view.last) if isinstance(last, ConfirmRequested)}

    def _checking(self) -> set[int]:
        """Ready units for which the cache is being asked: all that have one, before their first attempt."""
        fresh = {n for n, last in enumerate(self.view.last) if isinstance(last, UnitReady)}
        return {
            n for n in fresh if self.plan.table[n].cache is not None and not self._said[n] & {"submitted", "started"}
        }

    def _waiting(self) -> list[int]:
        """Ready units that wait for nothing but a worker and what they are to hold."""
        apart = self.asked() | self._checking() | self.held.keys()
        return [n for n, state in enumerate(self.view.states) if state is READY and n not in apart]
