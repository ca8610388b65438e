"""The attempts of units, kept while their events pass: what a view, which knows the latest one only, cannot tell."""

from __future__ import annotations

from collections.abc import Iterable
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
from qtui.core.plan import ExecutionPlan
from qtui.core.session import Record
from qtui.core.state import RunView
from qtui.tui.eventnames import EventNames

MOST_KEPT: Final = 50
"""Attempts of one unit; of more the latest are told."""

_MOST_STEPS: Final = 400
"""Events of one unit; the earlier half of more is dropped. An attempt has four at most."""

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

    Events are kept as they are, and made attempts of when somebody wants to see them: there may be ten thousand events
    a second, and a person looks at one unit. `plan` is the one that holds before the first event.
    """

    def __init__(self, plan: ExecutionPlan) -> None:
        self.begin_anew(plan)

    def begin_anew(self, plan: ExecutionPlan) -> None:
        """Forget all; `plan` holds before the next event."""
        self._names = EventNames(plan)
        self._steps: dict[str, list[Step]] = {}
        self._missed: dict[str, str] = {}

    def take(self, records: Iterable[Record]) -> None:
        """Take what has happened, in order."""
        for _, event in records:
            kind = type(event)
            if kind in _STEPS:
                unit = self._names.id_of(event)
                steps = self._steps.get(unit)
                if steps is None:
                    steps = self._steps[unit] = []
                steps.append(cast(Step, event))
                if len(steps) > _MOST_STEPS:
                    del steps[: _MOST_STEPS // 2]
            elif kind in _CHANGES:
                self._names.id_of(event)
            elif isinstance(event, CacheMissed):
                self._missed[self._names.id_of(event)] = event.reason

    def of(self, view: RunView, unit: int) -> list[Attempt]:
        """What is known of a unit's attempts, in order; the latest one from the view, if no event of it has passed."""
        known = attempts_of(self._steps.get(view.plan.table[unit].id, ()))[-MOST_KEPT:]
        begun, last = view.begun[unit], view.last[unit]
        if begun is None or (known and known[-1].number >= begun.attempt):
            return known
        return [*known, Attempt(begun, last if isinstance(last, UnitFinished | UnitRetrying) else None)]

    def missed(self, unit: str) -> str:
        """Why no earlier result of the unit was used the last time; empty if one was, or nobody has looked."""
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


_STEPS: Final[frozenset[type[Event]]] = frozenset(get_args(Step))
_CHANGES: Final[frozenset[type[Event]]] = frozenset((UnitsAdded, PlanReplaced))
"""Of what only the names have to hear."""
