"""How a unit of a plan gets another definition while the run goes on; the graph stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from qtui.core.growth import limit_problems
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan

_FIXED: Final[Mapping[str, str]] = {
    "dependencies": "what it needs has changed",
    "family": "its matrix has changed",
    "group": "its group has changed",
    "item": "its group has changed",
    "is_handler": "when it runs has changed",
}
"""The parts of a definition that others count on, and what is told when one of them is another."""


def obstacle(plan: ExecutionPlan, number: int, unit: QuantumUnit, options: RunOptions) -> str:
    """Why `unit` cannot take the place of unit `number`, in words; empty if it can."""
    old = plan.table[number]
    changed = next((words for part, words in _FIXED.items() if getattr(old, part) != getattr(unit, part)), "")
    if not changed and options.group_pools and old.pools != unit.pools:
        changed = "what it holds has changed"  # items of groups could come to wait for each other
    return changed or next((problem.message for problem in limit_problems(plan, unit, options)), "")


def redefine(plan: ExecutionPlan, number: int, unit: QuantumUnit) -> None:
    """Let a unit of a thawed plan be `unit`, for which there is no obstacle. Its rank stays what it was."""
    cast("list[QuantumUnit]", plan.table)[number] = unit
    cast("list[ExecutionMode]", plan.lanes)[number] = unit.lane(plan.mode)
    plan.__dict__.pop("units", None)
