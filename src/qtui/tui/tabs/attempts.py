"""The attempts of units, kept while their events pass: what a view, which knows the latest one only, cannot tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast, get_args

from qtui.core.events import (
    CacheMissed,
    Event,
    LateResult,
    PlanReplaced,
    UnitAbandoned,
    UnitFinished,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    UnitStarted,
    UnitSubmitted,
)
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.tui.eventnames import EventNames
from qtui.tui.format import Look, look_of_state

MOST_KEPT: Final = 50
"""Attempts of one unit; of more the latest are told."""

_MOST_STEPS: Final = 400
"""Events of one unit; the earlier half of more is dropped. An attempt has four at most."""

_MOST_WAITING: Final = 20_000
"""Events that are kept without being told apart by unit, which takes 1 to 2 us each: most runs have no more, and nobody
may ever ask. Of more the first ones are told apart as new ones come: 50,000 at once were 70 ms in which no key was
heard."""

Begun = UnitSubmitted | UnitStarted
Ended = UnitFinished | UnitRetrying | UnitReset
Step = Begun | Ended | UnitAbandoned | LateResult


class Attempt(NamedTuple):
    """One attempt: how it began, how it ended if it has, and that it was left behind if it was."""

    begun: Begun
    ended: Ended | None = None
    left: UnitAbandoned | None = None
    returned: bool = False

    @property
    def number(self) -> int:
        """Its number; attempts of a unit count on through its generations."""
        return self.begun.attempt


class Attempts:
    """The attempts of a run's units from the event on that comes first, by id: numbers change with the plan.

    Events are kept as they come, told apart by unit when somebody asks, or when there are many of them, and made
    attempts of for the unit that is asked for: there may be ten thousands of events a second, and a person looks at one
    unit. `plan` is the one that holds before the first event.
    """

    def __init__(self, plan: ExecutionPlan) -> None:
        self.begin_anew(plan)

    def begin_anew(self, plan: ExecutionPlan) -> None:
        """Forget all; `plan` holds before the next event."""
        self._names = EventNames(plan)
        self._waiting: list[Event] = []
        self._steps: dict[str, list[Step]] = {}
        self._missed: dict[str, str] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Take what has happened, in order."""
        self._waiting += [event for event in events if type(event) in _KEPT]
        if (more := len(self._waiting) - _MOST_WAITING) > 0:
            self._sort(more)

    def _sort(self, count: int | None = None) -> None:
        """Tell apart by unit what waits, or the first `count` of it."""
        waiting = self._waiting[:count]
        del self._waiting[:count]
        by_number: defaultdict[int, list[Step]] = defaultdict(list)
        for event in waiting:
            if isinstance(event, UnitsAdded | PlanReplaced):
                self._keep(by_number)
                by_number.clear()
                self._names.id_of(event)
            elif isinstance(event, CacheMissed):
                self._missed[self._names.id_of(event)] = event.reason
            else:
                step = cast(Step, event)
                by_number[step.unit].append(step)
        self._keep(by_number)

    def _keep(self, by_number: Mapping[int, list[Step]]) -> None:
        """Keep these events, by the numbers that units have by now, under their ids."""
        for new in by_number.values():
            steps = self._steps.setdefault(self._names.id_of(new[0]), [])
            steps += new
            if len(steps) > _MOST_STEPS:
                del steps[: -_MOST_STEPS // 2]

    def of(self, view: RunView, unit: int) -> list[Attempt]:
        """What is known of a unit's attempts, in order; the latest one from the view, if no event of it has passed."""
        self._sort()
        known = attempts_of(self._steps.get(view.plan.table[unit].id, ()))[-MOST_KEPT:]
        begun, last = view.begun[unit], view.last[unit]
        if begun is None or (known and known[-1].number >= begun.attempt):
            return known
        return [*known, Attempt(begun, last if isinstance(last, UnitFinished | UnitRetrying) else None)]

    def missed(self, unit: str) -> str:
        """Why no earlier result of the unit was used the last time; empty if one was, or nobody has looked."""
        self._sort()
        return self._missed.get(unit, "")


def attempts_of(steps: Iterable[Step]) -> list[Attempt]:
    """The attempts that these events of one unit tell of."""
    known: list[Attempt] = []
    for event in steps:
        if isinstance(event, UnitSubmitted | UnitStarted):
            if known and known[-1].number == event.attempt:
                known[-1] = known[-1]._replace(begun=event)
            else:
                known.append(Attempt(event))
        elif isinstance(event, UnitAbandoned | LateResult):
            for at, attempt in enumerate(known):
                if attempt.number == event.attempt:
                    left = event if isinstance(event, UnitAbandoned) else attempt.left
                    known[at] = attempt._replace(left=left, returned=isinstance(event, LateResult))
        elif known and known[-1].ended is None:
            known[-1] = known[-1]._replace(ended=event)
    return known


def look_of_attempt(view: RunView, number: int, attempt: Attempt) -> Look:
    """How an attempt of a unit has ended, or how it is."""
    match attempt.ended:
        case None:
            state = view.states[number] if view.attempts[number] == attempt.number else UnitState.RUNNING
            return look_of_state(state, view)
        case UnitRetrying(error=error):
            return Look.TIME if error.type == "timeout" else Look.FAIL
        case UnitReset():
            return Look.CANC
        case UnitFinished(fallback=True):
            return Look.FAIL
        case UnitFinished(state=state):
            return look_of_state(state, view, allowed=view.plan.table[number].allow_failure)


_KEPT: Final[frozenset[type[Event]]] = frozenset((*get_args(Step), CacheMissed, UnitsAdded, PlanReplaced))
