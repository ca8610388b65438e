"""What is known of a run goes over to another plan, by the ids of its units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyrsistent import PVector, pvector

from qtui.core.events import ConfirmRequested, PlanReplaced, UnitFinished, UnitSubmitted
from qtui.core.growth import replaced
from qtui.core.model import UnitState

if TYPE_CHECKING:
    from qtui.core.state import RunView


def carried(view: RunView, event: PlanReplaced) -> RunView:
    """The view with another plan: what is known of a unit goes on under its id."""
    plan = replaced(view.plan, event.units, event.mode)
    numbers = {old: plan.numbers.get(unit.id, -1) for old, unit in enumerate(view.plan.table)}
    came_from = {new: old for old, new in numbers.items() if new >= 0}

    def renumbered(event: Any) -> Any:
        if event is None:
            return None
        if isinstance(event, UnitFinished) and event.because >= 0:
            event = event._replace(because=numbers[event.because])
        return event._replace(unit=numbers[event.unit])

    def column(of: PVector[Any], new: Any) -> PVector[Any]:
        return pvector([of[came_from[n]] if n in came_from else new for n in range(len(plan))])

    last = pvector(map(renumbered, column(view.last, None)))
    states = column(view.states, UnitState.PENDING)
    counts = {**dict.fromkeys(UnitState, 0), **Counter(states)}
    begun_items = {
        plan.item_of[numbers[n]] for item in view.open_items for n in view.plan.items[item] if numbers[n] >= 0
    }
    return replace(
        view,
        plan=plan,
        states=states,
        attempts=column(view.attempts, 0),
        bases=column(view.bases, 0),
        generations=column(view.generations, 1),
        begun=pvector(map(renumbered, column(view.begun, None))),
        last=last,
        progress=pvector(map(renumbered, column(view.progress, None))),
        counts=counts,
        submitted=sum(isinstance(event, UnitSubmitted) for event in last),
        asked=sum(isinstance(event, ConfirmRequested) for event in last),
        left_behind={
            (numbers[unit], attempt): abandoned._replace(unit=numbers[unit])
            for (unit, attempt), abandoned in view.left_behind.items()
            if numbers[unit] >= 0
        },
        open_items=frozenset(
            item for item in begun_items if item >= 0 and not all(states[n].ended for n in plan.items[item])
        ),
        former=_former(view, plan.numbers),
        stale={numbers[unit]: cause for unit, cause in view.stale.items() if numbers[unit] >= 0},
        missed={numbers[unit]: reason for unit, reason in view.missed.items() if numbers[unit] >= 0},
        losses={numbers[unit]: times for unit, times in view.losses.items() if numbers[unit] >= 0},
        silent={numbers[unit]: since for unit, since in view.silent.items() if numbers[unit] >= 0},
    )


def _former(view: RunView, there: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The attempts and the generation of the units that have begun, and are not in the plan any more."""
    lost = {
        unit.id: (view.attempts[number], view.generations[number])
        for number, unit in enumerate(view.plan.table)
        if view.attempts[number]
    }
    return {name: known for name, known in {**view.former, **lost}.items() if name not in there}
