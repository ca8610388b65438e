"""A run in the hands of a test: the scheduler, the attempts its lanes would hold, and the view of what it said."""

from __future__ import annotations

from typing import Any

from core_steps import check_steps

from qtui.core.events import Event, RunFinished, UnitStarted, UnitSubmitted, Warned
from qtui.core.folding import fold
from qtui.core.model import Action, Argv, Call, ExecutionMode, Outcome, QuantumUnit, UnitError
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView, UnitView
from qtui.core.stimuli import (
    CancelRequested,
    Effect,
    InterruptUnit,
    KillUnit,
    ProgressReported,
    RetryRequested,
    RunRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    WakeAt,
)

SUCCESS = Outcome()


def work(context: object) -> None:
    """Stands for a user's function; the core never calls it."""


async def coroutine_work(context: object) -> None:
    """Stands for a user's coroutine function."""


WORK, COROUTINE, COMMAND = Call(work), Call(coroutine_work), Argv(("true",))


def unit(name: str, *needs: str, action: Action | None = WORK, **keys: Any) -> QuantumUnit:
    """A unit that runs in the thread lane unless told otherwise."""
    return QuantumUnit(id=name, dependencies=needs, action=action, **{"mode": ExecutionMode.THREAD, **keys})


def milestone(name: str, *needs: str) -> QuantumUnit:
    return unit(name, *needs, action=None, mode=ExecutionMode.AUTO)


def plan_of(*units: QuantumUnit, mode: ExecutionMode = ExecutionMode.AUTO) -> ExecutionPlan:
    return ExecutionPlan.build(units, default_mode=mode)


def warnings(said: list[Event]) -> list[str]:
    """What the warnings among these events say."""
    return [event.message for event in said if isinstance(event, Warned)]


class Run:
    """Feeds stimuli, keeps the attempts that lanes hold, and folds every event into `view`."""

    def __init__(self, *units: QuantumUnit, begin: bool = True, **options: Any) -> None:
        self.options = RunOptions(**options)
        self.plan = plan_of(*units, mode=self.options.mode)
        self.scheduler = Scheduler(self.plan, self.options)
        self.view = RunView.initial(self.plan)
        self.now = 0.0
        self.wake: float | None = None
        self.held: dict[int, StartUnit] = {}
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        if begin:
            self.send(RunRequested("test"))

    def send(self, stimulus: Stimulus) -> list[Event]:
        """What the scheduler says to `stimulus`; its effects are in `effects`."""
        decision = self.scheduler.handle(stimulus, self.now)
        for event in decision.events:
            after = fold(self.view, [event])
            assert not check_steps(self.view, after)
            self.view = after
        for effect in decision.effects:
            match effect:
                case WakeAt():
                    self.wake = effect.at
                case StartUnit():
                    self.held[effect.unit] = effect
                case _:
                    pass
        self.events += decision.events
        self.effects = decision.effects
        return decision.events

    def ask(self, request: Stimulus) -> list[Event]:
        """Send what a person asks for; a restored twin decides the same."""
        twin = Scheduler.restore(self.options, self.view).handle(request, self.now)
        said = self.send(request)
        assert twin.events == said
        return said

    def number(self, name: str) -> int:
        return self.plan.numbers[name]

    # -- what lanes and clocks say ---------------------------------------------------------------------

    def returns(self, name: str, outcome: Outcome) -> list[Event]:
        start = self.held.pop(self.number(name))
        return self.send(UnitReturned(start.unit, start.attempt, outcome))

    def succeed(self, *names: str) -> None:
        for name in names:
            self.returns(name, SUCCESS)

    def fail(self, name: str, error: str = "ValueError", **keys: Any) -> list[Event]:
        return self.returns(name, Outcome(error=UnitError(error, "went wrong", **keys)))

    def stopped(self, name: str) -> list[Event]:
        """The attempt ended because it was asked to."""
        return self.returns(name, Outcome(canceled=True))

    def begins(self, name: str, pid: int = 0) -> list[Event]:
        start = self.held[self.number(name)]
        return self.send(UnitBegan(start.unit, start.attempt, pid))

    def progress(self, name: str, done: float, total: float) -> list[Event]:
        start = self.held[self.number(name)]
        return self.send(ProgressReported(start.unit, start.attempt, done, total))

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass; the timer fires at the moment it was set for, as often as it comes due."""
        end, events = self.now + seconds, []
        while self.wake is not None and self.wake <= end:
            self.now, self.wake = max(self.wake, self.now), None
            events += self.send(TimerFired())
        self.now = end
        return events

    # -- what people say -------------------------------------------------------------------------------

    def cancel(self, *names: str) -> list[Event]:
        return self.send(CancelRequested(tuple(map(self.number, names))))

    def retry(self, *names: str, scope: Any = "unit") -> list[Event]:
        return self.send(RetryRequested(tuple(map(self.number, names)), scope))

    # -- what can be seen ------------------------------------------------------------------------------

    def unit(self, name: str) -> UnitView:
        return self.view.unit(self.number(name))

    def states(self) -> dict[str, str]:
        return {view.id: str(view.state) for view in self.view.units}

    def state(self, name: str) -> str:
        return str(self.unit(name).state)

    @property
    def running(self) -> set[str]:
        """The units that lanes hold."""
        return {self.plan.table[number].id for number in self.held}

    @property
    def started(self) -> list[str]:
        """The units handed to lanes, in order, one entry for each attempt."""
        seen: dict[tuple[int, int], str] = {}
        for event in self.events:
            if isinstance(event, UnitSubmitted | UnitStarted):
                seen.setdefault((event.unit, event.attempt), self.plan.table[event.unit].id)
        return list(seen.values())

    @property
    def interrupted(self) -> set[str]:
        """The units that the latest decision asked to stop."""
        return {self.plan.table[effect.unit].id for effect in self.effects if isinstance(effect, InterruptUnit)}

    @property
    def killed(self) -> set[str]:
        """The units that the latest decision had killed."""
        return {self.plan.table[effect.unit].id for effect in self.effects if isinstance(effect, KillUnit)}

    @property
    def finished(self) -> RunFinished:
        assert self.view.finished is not None, f"the run goes on: {self.states()}"
        return self.view.finished

    @property
    def end(self) -> tuple[str, int]:
        """How the run ended, and its exit code."""
        return str(self.finished.state), self.finished.exit_code

    def said(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]
