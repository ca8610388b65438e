"""Which units of a run a person means."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from qtui.core.errors import UsageError, did_you_mean
from qtui.core.plan import ExecutionPlan


def units_named(plan: ExecutionPlan, words: Iterable[str]) -> list[int]:
    """The units that ids, names of families, or globs mean, in which brackets stand for themselves; each once.

    Raises UsageError for a word that means none.
    """
    found: dict[int, None] = {}
    for word in words:
        found |= dict.fromkeys(_meant(plan, word))
    return list(found)


def unit_named(plan: ExecutionPlan, word: str) -> int:
    """The one unit that a word means. Raises UsageError for none, and for several."""
    found = _meant(plan, word)
    if len(found) > 1:
        some = ", ".join(plan.table[number].id for number in found[:3])
        raise UsageError(f'"{word}" means {len(found)} units: {some}{" ..." if len(found) > 3 else ""}; name one')
    return found[0]


def _meant(plan: ExecutionPlan, word: str) -> list[int]:
    if word in plan.numbers:
        return [plan.numbers[word]]
    pattern = word.replace("[", "[[]")
    found = [number for number, unit in enumerate(plan.table) if word == unit.family or fnmatchcase(unit.id, pattern)]
    if not found:
        names = {name for unit in plan.table for name in (unit.id, unit.name)}
        hint = did_you_mean(word, names) or "`qtui status` lists the units"
        raise UsageError(f'there is no unit "{word}" in this run ({hint})')
    return found
