"""What the units of events are called, although a unit's number means something else once the plan was replaced."""

from __future__ import annotations

from qtui.core.events import Event, PlanReplaced, UnitsAdded
from qtui.core.growth import grow, replaced
from qtui.core.plan import ExecutionPlan
from qtui.tui.text import clean


class EventNames:
    """Follows the record from where `plan` holds; takes its events in order."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self._begin(plan)

    def name_of(self, event: Event) -> str:
        """The name, fit for the screen, of the unit that the next event is about; empty if it is about the whole run.

        Also of a unit that is not known, which the first event after a gap may have added.
        """
        match event:
            case UnitsAdded():
                self._growth.append(event)
                for unit in event.units:
                    if unit.id not in self._numbers:
                        self._numbers[unit.id] = len(self._names)
                        self._names.append(clean(unit.id) or "?")
            case PlanReplaced():
                plan = self._plan.thawed() if self._growth else self._plan
                for growth in self._growth:
                    grow(plan, growth.unit, growth.units, growth.begun)
                self._begin(replaced(plan, event.units, event.mode))
        number = getattr(event, "unit", -1)
        return self._names[number] if 0 <= number < len(self._names) else ""

    def _begin(self, plan: ExecutionPlan) -> None:
        self._plan = plan
        self._growth: list[UnitsAdded] = []
        self._names = [clean(unit.id) or "?" for unit in plan.table]
        self._numbers = dict(plan.numbers)
