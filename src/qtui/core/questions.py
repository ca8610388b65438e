"""What conditions ask about units: these must be above those that ask, or their ends would not be known in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from qtui.core.errors import did_you_mean
from qtui.core.plan import ExecutionPlan

NO_UNIT: Final = "which is not a unit"
NOT_NEEDED: Final = "which it does not need"
NEED_IT: Final = "add it to needs"

_CHUNK: Final = 1024
"""How many units are looked for at a time; a bit of every unit for each of them is held in memory."""


class WrongQuestion(NamedTuple):
    """The condition of unit `number` asks about `name`, and what is wrong with that."""

    number: int
    name: str
    wrong: str
    hint: str | None


def wrong_questions(plan: ExecutionPlan) -> Iterator[WrongQuestion]:
    """What the conditions of a plan's units ask in vain."""
    further: dict[int, list[tuple[int, str]]] = {}
    for number, unit in enumerate(plan.table):
        if unit.condition is None:
            continue
        needs = set(plan.needs[number])
        for name in unit.condition.units:
            asked = plan.named(number, name)
            if not asked:
                hint = did_you_mean(name, {plan.table[need].name for need in needs})
                yield WrongQuestion(number, name, NO_UNIT, hint)
            for other in asked:
                if other not in needs:
                    further.setdefault(other, []).append((number, name))
    for number, name in _not_above(plan, further):
        yield WrongQuestion(number, name, NOT_NEEDED, NEED_IT)


def _not_above(plan: ExecutionPlan, asked: Mapping[int, Sequence[tuple[int, str]]]) -> Iterator[tuple[int, str]]:
    """Of units and the names by which others ask about them, those askers that do not need them in the end."""
    targets = list(asked)
    for start in range(0, len(targets), _CHUNK):
        bits = {target: 1 << place for place, target in enumerate(targets[start : start + _CHUNK])}
        above = [0] * len(plan)
        for number in plan.order:
            found = 0
            for need in plan.needs[number]:
                found |= above[need] | bits.get(need, 0)
            above[number] = found
        for target, bit in bits.items():
            yield from (pair for pair in asked[target] if not above[pair[0]] & bit)
