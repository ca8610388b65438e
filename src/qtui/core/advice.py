"""What is allowed in a workflow and yet hardly meant."""

from __future__ import annotations

from collections.abc import Iterator

from qtui.core.errors import Problem
from qtui.core.model import ExecutionMode
from qtui.core.plan import ExecutionPlan

_THREADS = (ExecutionMode.THREAD, ExecutionMode.SEQUENTIAL)


def advise(plan: ExecutionPlan) -> Iterator[Problem]:
    """A warning for each family whose timeout cannot be enforced: threads cannot be stopped from outside."""
    told = set()
    for number, unit in enumerate(plan.table):
        if unit.timeout is None or plan.lanes[number] not in _THREADS or unit.name in told:
            continue
        told.add(unit.name)
        yield Problem(
            message=f"its timeout of {unit.timeout:g} s cannot be enforced: "
            "a thread cannot be stopped, only left behind",
            where=str(unit.source) if unit.source is not None else None,
            key=f"units.{unit.name}",
            hint='mode = "process" can be, or call context.check() now and then',
        )
