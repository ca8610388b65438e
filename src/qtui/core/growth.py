"""How a plan grows while it runs: by the units that a running unit has added.

They need the unit that has added them. No other unit comes to need them, but for those that need ``*``. What a unit
adds when it runs again takes the place of what it had added before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, cast

from qtui.core.errors import Problem, did_you_mean
from qtui.core.model import ExecutionMode, QuantumUnit, RunOptions
from qtui.core.plan import ExecutionPlan, Need, meanings, problem_of, typical_estimate, weight

STAR: Final = "*"
_DERIVED: Final = ("order", "depths", "levels", "units", "dependencies", "dependents", "critical_path")


class Growth(NamedTuple):
    """What has become of the units that were added: their numbers, of which those from `first` on are new to the plan,
    and the units from earlier that are no longer added. `stars` are the units that need everything."""

    numbers: list[int]
    first: int
    dropped: list[int]
    stars: tuple[int, ...]


def problems_of(plan: ExecutionPlan, by: int, units: Sequence[QuantumUnit], options: RunOptions) -> list[Problem]:
    """What is wrong with the units that `by` wants to add; empty if the plan can grow by them."""
    names = _Names(plan, by, units)
    problems: list[Problem] = []
    seen: dict[str, QuantumUnit] = {}
    for unit in units:
        taken = seen.get(unit.id)
        if taken is None and unit.id in plan.numbers and unit.id not in names.earlier:
            taken = plan.table[plan.numbers[unit.id]]
        if taken is not None:
            where = f"first used at {taken.source}; " if taken.source else ""
            problems.append(problem_of(unit, "this name is already taken", f"{where}give every unit its own"))
        seen.setdefault(unit.id, unit)
        problems += limit_problems(plan, unit, options)
        for name in unit.dependencies:
            if name == STAR:
                hint = "name the units that it needs"
                problems.append(problem_of(unit, "a unit that is added cannot need everything", hint))
            elif names.need(unit, name) is None:
                message = f'needs "{name}", which is not a unit'
                problems.append(problem_of(unit, message, did_you_mean(name, (*seen, *plan.numbers))))
    if not problems:
        problems += _cycle_problems(names, units)
    return problems


def grow(plan: ExecutionPlan, by: int, units: Sequence[QuantumUnit]) -> Growth:
    """Add units that have no problems to a thawed plan, in place."""
    names = _Names(plan, by, units)
    first, numbers = len(plan), [names.numbers[unit.id] for unit in units]
    numbers_now = set(numbers)
    dropped = [number for number in names.earlier.values() if number not in numbers_now | plan.dropped]
    again = [number for number in numbers if number < first]
    for number in (*dropped, *again):
        _detach(plan, number)
    if dropped or again:
        for star in plan.stars:
            _leave(plan, star, {*dropped, *again})  # what is added again may join once more
        plan.__dict__.pop("below_stars", None)  # paths may have gone
    table, lanes = cast("list[QuantumUnit]", plan.table), cast("list[ExecutionMode]", plan.lanes)
    for number, unit in zip(numbers, units, strict=True):
        if number < first:
            table[number], lanes[number] = unit, unit.lane(plan.mode)
        else:
            _append(plan, unit)
    edges = cast("list[tuple[int, ...]]", plan.needs)
    declared, feeds = cast("list[tuple[Need, ...]]", plan.declared), cast("list[tuple[int, ...]]", plan.feeds)
    fed: dict[int, list[int]] = defaultdict(list)
    for number, unit in zip(numbers, units, strict=True):
        declared[number] = names.declared(unit)
        edges[number] = tuple(dict.fromkeys(need for each in declared[number] for need in each.units))
        for need in edges[number]:
            fed[need].append(number)
    for need, more in fed.items():
        feeds[need] += tuple(more)
    if plan.stars:
        _join_stars(plan, numbers)
    _rank(plan, numbers)
    _note_added(plan, by, numbers, dropped)
    return Growth(numbers, first, dropped, plan.stars)


def replaced(plan: ExecutionPlan, units: Sequence[QuantumUnit], mode: ExecutionMode) -> ExecutionPlan:
    """The plan of `units` and of what those of them that are in `plan` have added there.

    Raises InvalidWorkflow if the units make no plan.
    """
    new = ExecutionPlan.build(units, default_mode=mode)
    if not plan.added:
        return new
    new = new.thawed()
    for by, added in plan.added.items():
        adder = new.numbers.get(plan.table[by].id)
        kept = [plan.table[number] for number in added if number not in plan.dropped]
        if adder is not None and all(unit.id not in new.numbers for unit in kept):
            grow(new, adder, kept)
    return new


class _Names:
    """What names mean for the units that are added: one of them, or a unit of the plan."""

    def __init__(self, plan: ExecutionPlan, by: int, units: Sequence[QuantumUnit]) -> None:
        self._plan, self._by = plan, by
        self.earlier = {plan.table[number].id: number for number in plan.added.get(by, ())}
        self.numbers: dict[str, int] = {}
        self._families: dict[str, list[int]] = defaultdict(list)
        count = len(plan)
        for unit in units:
            number = self.earlier.get(unit.id)
            if number is None and unit.id not in self.numbers:
                number, count = count, count + 1
            self.numbers.setdefault(unit.id, number if number is not None else -1)
            if unit.family:
                self._families[unit.family].append(self.numbers[unit.id])

    def declared(self, unit: QuantumUnit) -> tuple[Need, ...]:
        """The needs of a unit; the one that adds it comes first."""
        adder = Need(self._plan.table[self._by].id, (self._by,), False)
        needs = [self.need(unit, name) for name in unit.dependencies]
        return tuple(dict.fromkeys([adder, *(need for need in needs if need is not None)]))

    def need(self, unit: QuantumUnit, name: str) -> Need | None:
        """What `name` means for `unit`: that name, or one beside the unit in an included workflow."""
        for meaning in meanings(unit.id, name):
            found = self._found(meaning)
            if found is not None:
                units, many = found
                return Need(name, units, many)
        return None

    def _found(self, name: str) -> tuple[tuple[int, ...], bool] | None:
        plan = self._plan
        if name in self.numbers:
            return (self.numbers[name],), False
        if name in plan.numbers and name not in self.earlier:
            return (plan.numbers[name],), False
        if name in self._families:
            return tuple(self._families[name]), True
        if name in plan.families:
            return tuple(number for number in plan.families[name] if number not in plan.dropped), True
        if any(sign in name for sign in "*?"):
            pattern = name.replace("[", "[[]")
            ids = {
                **{unit: number for unit, number in plan.numbers.items() if unit not in self.earlier},
                **self.numbers,
            }
            found = tuple(number for unit, number in ids.items() if fnmatchcase(unit, pattern))
            return (found, True) if found else None
        return None


def limit_problems(plan: ExecutionPlan, unit: QuantumUnit, options: RunOptions) -> Iterator[Problem]:
    """What a unit that comes to a run that goes on asks for, and the run does not have."""
    custom = unit.lane(plan.mode) is ExecutionMode.CUSTOM
    if custom and not options.executor and ExecutionMode.CUSTOM not in plan.lanes:
        yield problem_of(unit, 'mode = "custom" needs a workflow with an executor')
    for pool, slots in unit.pools.items():
        if pool not in options.pools:
            yield problem_of(unit, f'there is no pool "{pool}"', did_you_mean(pool, options.pools))
        elif slots > options.pools[pool]:
            yield problem_of(unit, f'asks for {slots} slots of "{pool}", which has {options.pools[pool]}')
    if options.cpus is not None and unit.cpus > options.cpus:
        yield problem_of(unit, f"asks for {unit.cpus:g} of the {options.cpus:g} cpus of the run")
    if options.memory is not None and unit.memory > options.memory:
        yield problem_of(unit, f"asks for {unit.memory} of the {options.memory} bytes of memory of the run")


def _cycle_problems(names: _Names, units: Sequence[QuantumUnit]) -> Iterator[Problem]:
    """A cycle can only be among the units that are added: nothing else needs them."""
    needs = {names.numbers[unit.id]: {need for each in names.declared(unit) for need in each.units} for unit in units}
    inside = {number: found & needs.keys() for number, found in needs.items()}
    waiting = {number: len(found) for number, found in inside.items()}
    feeds: dict[int, list[int]] = defaultdict(list)
    for number, found in inside.items():
        for need in found:
            feeds[need].append(number)
    free = [number for number, count in waiting.items() if not count]
    for number in free:  # grows while it is read
        for fed in feeds[number]:
            waiting[fed] -= 1
            if not waiting[fed]:
                free.append(fed)
    stuck = [unit for unit in units if waiting[names.numbers[unit.id]]]
    if stuck:
        message = f"these units need each other: {', '.join(unit.id for unit in stuck[:6])}"
        yield problem_of(stuck[0], message, "remove one of these needs")


def _append(plan: ExecutionPlan, unit: QuantumUnit) -> None:
    number = len(plan)
    cast("dict[str, int]", plan.numbers)[unit.id] = number
    if unit.family:
        cast("dict[str, list[int]]", plan.families).setdefault(unit.family, []).append(number)
    cast("list[QuantumUnit]", plan.table).append(unit)
    cast("list[ExecutionMode]", plan.lanes).append(unit.lane(plan.mode))
    cast("list[tuple[int, ...]]", plan.needs).append(())
    cast("list[tuple[Need, ...]]", plan.declared).append(())
    cast("list[tuple[int, ...]]", plan.feeds).append(())
    cast("list[float]", plan.ranks).append(1)
    cast("list[int]", plan.item_of).append(-1)


def _detach(plan: ExecutionPlan, number: int) -> None:
    """A unit of earlier needs nothing any more, and only what is there for good needs it."""
    needs, feeds = cast("list[tuple[int, ...]]", plan.needs), cast("list[tuple[int, ...]]", plan.feeds)
    for need in needs[number]:
        feeds[need] = tuple(fed for fed in feeds[need] if fed != number)
    needs[number] = ()
    cast("list[tuple[Need, ...]]", plan.declared)[number] = ()


def _join_stars(plan: ExecutionPlan, numbers: list[int]) -> None:
    """Let units that need everything need the new units, but for those that are below them."""
    below = plan.below_stars
    for star in plan.stars:
        reached = [number for number in numbers if not below[star].union((star,)).isdisjoint(plan.needs[number])]
        for number in reached:  # grows while it is read
            if number not in below[star]:
                below[star].add(number)
                reached += plan.feeds[number]
    feeds = cast("list[tuple[int, ...]]", plan.feeds)
    needs, declared = cast("list[tuple[int, ...]]", plan.needs), cast("list[tuple[Need, ...]]", plan.declared)
    for star in plan.stars:
        joining = tuple(number for number in numbers if number not in below[star] and star not in feeds[number])
        if not joining:
            continue
        for number in joining:
            feeds[number] += (star,)
        needs[star] += joining
        declared[star] = tuple(
            need._replace(units=need.units + joining) if need.name == STAR else need for need in declared[star]
        )
        for other in plan.stars:
            if not below[other].isdisjoint(joining):
                below[other].update((star,), below[star])


def _rank(plan: ExecutionPlan, numbers: list[int]) -> None:
    """Rank the new units, in reverse topological order; those that were there keep their ranks.

    So ranks go on being counted in what was typical when the first estimates were known.
    """
    if not plan.typical:
        plan.__dict__["typical"] = typical_estimate(plan.table[number] for number in numbers)
    new, ranks = set(numbers), cast("list[float]", plan.ranks)
    waiting = {number: sum(fed in new for fed in plan.feeds[number]) for number in numbers}
    free = [number for number in numbers if not waiting[number]]
    for number in free:  # grows while it is read
        longest = max((ranks[fed] for fed in plan.feeds[number]), default=0)
        unit = plan.table[number]
        ranks[number] = weight(unit, unit.estimate, plan.typical) + longest
        for need in plan.needs[number]:
            if need in new:
                waiting[need] -= 1
                if not waiting[need]:
                    free.append(need)


def _note_added(plan: ExecutionPlan, by: int, numbers: list[int], dropped: list[int]) -> None:
    ever = tuple(dict.fromkeys((*plan.added.get(by, ()), *numbers)))
    cast("dict[int, tuple[int, ...]]", plan.added)[by] = ever
    gone = cast("set[int]", plan.dropped)
    gone.update(dropped)
    gone.difference_update(numbers)
    for name in _DERIVED:
        plan.__dict__.pop(name, None)


def _leave(plan: ExecutionPlan, star: int, gone: set[int]) -> None:
    """A unit that needs everything does not need these any more."""
    needs, declared = cast("list[tuple[int, ...]]", plan.needs), cast("list[tuple[Need, ...]]", plan.declared)
    feeds = cast("list[tuple[int, ...]]", plan.feeds)
    for number in gone.intersection(needs[star]):
        feeds[number] = tuple(fed for fed in feeds[number] if fed != star)
    needs[star] = tuple(need for need in needs[star] if need not in gone)
    declared[star] = tuple(
        need._replace(units=tuple(each for each in need.units if each not in gone)) for need in declared[star]
    )
