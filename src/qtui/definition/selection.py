"""A part of a workflow: units by name, with what they need or what needs them, by tag, or all but some."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import EXIT_NOTHING_SELECTED, Problem, QtuiError, UsageError, did_you_mean
from qtui.core.model import FromUnit, QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.definition.values import quoted

_STAR = "*"


class NothingSelected(QtuiError):
    """A selection that leaves no unit to run."""

    exit_code = EXIT_NOTHING_SELECTED


def select(
    definition: WorkflowDefinition, names: Sequence[str] = (), tags: Sequence[str] = (), exclude: Sequence[str] = ()
) -> WorkflowDefinition:
    """The workflow with only the units that are chosen by `names` or `tags`, and what they need; without both, all.

    A name is an id, a family or a glob, in which brackets stand for themselves. ``+NAME`` says what a bare name means:
    with what it needs; ``NAME+`` adds its dependents and what those need. `exclude` takes names without signs. What
    needs an excluded unit is left out as well, and so is a handler with nothing left to handle; `advice` tells of both.
    A need that is ``"*"`` brings in nothing by itself: it means the other units that are chosen.

    Raises UsageError for a name or tag that nothing has, and `NothingSelected` if no unit is left.
    """
    if not (names or tags or exclude):
        return definition
    selection = _Selection(ExecutionPlan.build(definition.units))
    excluded = {number for name in exclude for number in selection.named(name, "exclude")}
    wanted = selection.wanted(names, tags)
    left_out = selection.left_out(excluded)
    # needs are followed among what is left: nothing is to run only for a unit that cannot
    chosen = selection.with_needs(wanted, left_out)
    missed = selection.with_needs(wanted)
    reasons = {number: why for number, why in left_out.items() if number in missed and why}
    advice = tuple(_told(selection.plan, reasons))
    if not chosen:
        raise NothingSelected("\n".join(["no unit is left to run", *map(str, advice)]))
    units = tuple(selection.cut(number, chosen) for number in sorted(chosen))
    return replace(definition, units=units, advice=(*definition.advice, *advice))


def named_units(plan: ExecutionPlan, names: Sequence[str]) -> frozenset[str]:
    """The ids of the units that names mean, as in `select`, but without what they need. Raises UsageError."""
    wanted = _Selection(plan).wanted(names, ()) if names else ()
    return frozenset(plan.table[number].id for number in wanted if number not in plan.dropped)


class _Selection:
    """Units of a plan by number."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self.plan = plan
        self._families: dict[str, list[int]] = {}
        self._tags: dict[str, list[int]] = {}
        for number, unit in enumerate(plan.table):
            if unit.family:
                self._families.setdefault(unit.family, []).append(number)
            for tag in unit.tags:
                self._tags.setdefault(tag, []).append(number)

    def named(self, name: str, what: str = "select") -> Sequence[int]:
        """The units that a name means: an id first, then a family, then a glob. Raises UsageError if there is none."""
        if name in self.plan.numbers:
            return (self.plan.numbers[name],)
        if name in self._families:
            return self._families[name]
        if any(sign in name for sign in "*?"):
            pattern = name.replace("[", "[[]")
            found = [number for number, unit in enumerate(self.plan.table) if fnmatchcase(unit.id, pattern)]
            if found:
                return found
        hint = did_you_mean(name, {*self.plan.numbers, *self._families})
        raise UsageError(f"cannot {what} {quoted(name)}: there is no such unit" + (f" ({hint})" if hint else ""))

    def wanted(self, names: Sequence[str], tags: Sequence[str]) -> set[int]:
        """The units that names and tags mean, with dependents where they are asked for, but without needs."""
        if not (names or tags):
            return set(range(len(self.plan)))
        wanted: set[int] = set()
        for name in names:
            bare = name.removeprefix("+").removesuffix("+")
            found = self.named(bare)
            wanted.update(self._with_dependents(found) if name.endswith("+") else found)
        for tag in tags:
            if tag not in self._tags:
                hint = did_you_mean(tag, self._tags)
                raise UsageError(f"no unit has the tag {quoted(tag)}" + (f" ({hint})" if hint else ""))
            wanted.update(self._tags[tag])
        return wanted

    def _with_dependents(self, start: Iterable[int]) -> set[int]:
        return _reached(start, self.plan.feeds.__getitem__)

    def with_needs(self, start: Iterable[int], without: Container[int] = ()) -> set[int]:
        """Units and what they need, directly or not, as if those of `without` were not there.

        Of ``*`` only those count whose results or ends a unit asks for by name.
        """

        def needed(number: int) -> list[int]:
            needs = self.plan.declared[number]
            found = [other for need in needs if need.name != _STAR for other in need.units]
            if any(need.name == _STAR for need in needs):
                for name in _asked(self.plan.table[number]):
                    found += self.plan.named(number, name)
            return [other for other in found if other not in without]

        return _reached((number for number in start if number not in without), needed)

    def left_out(self, excluded: Container[int]) -> dict[int, str]:
        """What cannot be there without the excluded units, with the reason; it is empty for these themselves."""
        out: dict[int, str] = {}
        for number in self.plan.order:  # needs come first, so one pass is enough
            why = "" if number in excluded else self._why_out(number, out)
            if why is not None:
                out[number] = why
        return out

    def _why_out(self, number: int, out: Mapping[int, str]) -> str | None:
        if not out:
            return None
        unit, needs = self.plan.table[number], self.plan.declared[number]
        named = [other for need in needs if need.name != _STAR for other in need.units]
        lost = [other for other in named if other in out]
        if lost and not unit.is_handler:
            return f"needs {quoted(self.plan.table[lost[0]].id)}"
        if lost and len(lost) == len(named) and all(need.name != _STAR for need in needs):
            return "has nothing left to handle"
        gone = next((name for name in _asked(unit) if self._gone(number, name, out)), None)
        return None if gone is None else f"asks for {quoted(gone)}"

    def _gone(self, number: int, name: str, out: Container[int]) -> bool:
        """Whether all units are left out that `name` means in a unit's arguments or condition."""
        means = [need.units for need in self.plan.declared[number] if need.name == name]
        units = means[0] if means else self.plan.named(number, name)
        return bool(units) and all(other in out for other in units)

    def cut(self, number: int, chosen: Container[int]) -> QuantumUnit:
        """The unit without needs that mean nothing any more: their names could mean something else now, or nothing."""
        unit, needs = self.plan.table[number], self.plan.declared[number]
        kept = [need.name for need in needs if need.name == _STAR or any(other in chosen for other in need.units)]
        return unit if len(kept) == len(needs) else replace(unit, dependencies=tuple(kept))


def _asked(unit: QuantumUnit) -> Iterator[str]:
    yield from (value.need for value in unit.args.values() if isinstance(value, FromUnit))
    yield from unit.condition.units if unit.condition is not None else ()


def _reached(start: Iterable[int], following: Callable[[int], Iterable[int]]) -> set[int]:
    reached = set(start)
    stack = list(reached)
    while stack:
        for other in following(stack.pop()):
            if other not in reached:
                reached.add(other)
                stack.append(other)
    return reached


def _told(plan: ExecutionPlan, reasons: Mapping[int, str]) -> Iterator[Problem]:
    """What is left out and why, once for a family."""
    families: dict[str, list[int]] = {}
    for number in sorted(reasons):
        families.setdefault(plan.table[number].name, []).append(number)
    for name, numbers in families.items():
        unit, why = plan.table[numbers[0]], reasons[numbers[0]]
        message = f"is left out, because it {why}"
        if len(numbers) > 1:
            message = f"{len(numbers)} units are left out, {unit.id} because it {why}"
        where = str(unit.source) if unit.source is not None else None
        yield Problem(message=message, where=where, key=f"units.{unit.id if len(numbers) == 1 else name}")
