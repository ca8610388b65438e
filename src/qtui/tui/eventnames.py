"""What the units of events are called, although a unit's number means something else once the plan was replaced."""

from __future__ import annotations

from typing import Final

from qtui.core.events import Event, PlanReplaced, UnitsAdded
from qtui.core.growth import grow, replaced
from qtui.core.plan import ExecutionPlan

_CHANGES: Final = (UnitsAdded, PlanReplaced)


class EventNames:
    """Follows the record from where `plan` holds; takes its events in order."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self._begin(plan)

    def id_of(self, event: Event) -> str:
        """The id of the unit that the next event is about; empty if it is about the whole run, or a unit that is not
        known: the first event after a gap may be about one that was added in it.
        """
        if type(event) in _CHANGES:
            self._follow(event)
        number = getattr(event, "unit", -1)
        return self._ids[number] if 0 <= number < len(self._ids) else ""

    def _follow(self, event: Event) -> None:
        match event:
            case UnitsAdded():
                self._growth.append(event)
                for unit in event.units:
                    if unit.id not in self._numbers:
                        self._numbers[unit.id] = len(self._ids)
                        self._ids.append(unit.id)
            case PlanReplaced():
                plan = self._plan.thawed() if self._growth else self._plan
                for growth in self._growth:
                    grow(plan, growth.unit, growth.units, growth.begun)
                self._begin(replaced(plan, event.units, event.mode))

    def _begin(self, plan: ExecutionPlan) -> None:
        self._plan = plan
        self._growth: list[UnitsAdded] = []
        self._ids = [unit.id for unit in plan.table]
        self._numbers = dict(plan.numbers)
