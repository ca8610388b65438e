"""Groups whose items would wait for ever for what they hold themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from qtui.core.model import QuantumUnit
from qtui.core.plan import ExecutionPlan


def deadlocks(plan: ExecutionPlan, group_pools: Mapping[str, Collection[str]]) -> Iterator[tuple[QuantumUnit, str]]:
    """A unit and what is wrong with it, for each group whose items hold pools while they may wait in vain.

    An item holds its group's pools from its first start on. If it then waits for a unit outside that wants one of these
    pools, or that waits for other items, which cannot begin, nobody ever goes on. All items of a group are alike, so
    the first tells.
    """
    for group, pools in group_pools.items():
        item = next((members for members in plan.items if plan.table[members[0]].group == group), ())
        above = {number: _above(plan, number) for number in item}
        for number in item:
            waits = next(_vain(plan, group, pools, number, above), None)
            if waits is not None:
                yield plan.table[number], waits
                break


def _vain(
    plan: ExecutionPlan, group: str, pools: Collection[str], number: int, above: Mapping[int, set[int]]
) -> Iterator[str]:
    for need in sorted(above[number]):
        outside = plan.table[need]
        # what every unit of the item waits for is over before the item begins
        if outside.group == group or all(need in each for each in above.values()):
            continue
        held = ", ".join(sorted(pools))
        if wanted := sorted(set(pools) & outside.pools.keys()):
            yield f"waits for {outside.id} while its item holds {held}, and {outside.id} wants {wanted[0]} too"
        if any(plan.table[other].group == group for other in _above(plan, need)):
            yield f"waits for {outside.id} while its item holds {held}, and {outside.id} waits for other items"


def _above(plan: ExecutionPlan, number: int) -> set[int]:
    found: set[int] = set()
    stack = [number]
    while stack:
        further = set(plan.needs[stack.pop()]) - found
        found |= further
        stack += further
    return found
