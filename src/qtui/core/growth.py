"""How a plan grows while it runs: by the units that a running unit has added.

They need the unit that has added them. No other unit comes to need them, but for those that need ``*`` and have not
begun. What a unit adds when it runs again takes the place of what it had added before.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from itertools import islice
from typing import Final, NamedTuple, cast

from qtui.core.errors import Problem, did_you_mean
from qtui.core.limits import is_mutex
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan, Need, find_cycles, meanings, problem_of, reached, typical_estimate, weight
from qtui.core.questions import NEED_IT, NO_UNIT, NOT_NEEDED

STAR: Final = "*"
MOST_TOLD: Final = 20
"""How many faults are told of what is added; of the rest, in how many units there are some."""

_MOST_HINTED: Final = 5
"""For how many of them the closest of all names is looked for, which takes long where there are many."""

_DERIVED: Final = ("order", "depths", "levels", "units", "dependencies", "dependents", "critical_path")


class Growth(NamedTuple):
    """What has become of the units that were added: their numbers, of which those from `first` on are new to the plan,
    and the units from earlier that are no longer added, with all that those had added. `stars` are the units that need
    everything."""

    numbers: list[int]
    first: int
    dropped: list[int]
    stars: tuple[int, ...]


def problems_of(
    plan: ExecutionPlan, by: int, units: Sequence[QuantumUnit], options: RunOptions, begun: Collection[int] = ()
) -> list[Problem]:
    """What is wrong with the units that `by` wants to add; empty if the plan can grow by them.

    `begun` are the units that need everything and wait no more.
    """
    names = _Names(plan, by, units)
    problems: list[Problem] = []
    more = 0
    seen: dict[str, QuantumUnit] = {}
    for unit in units:
        faults = _faults(names, unit, seen, options, hints=len(problems) < _MOST_HINTED)
        if len(problems) < MOST_TOLD:
            problems += islice(faults, MOST_TOLD)
        else:
            more += next(faults, None) is not None
        seen.setdefault(unit.id, unit)
    if more:
        problems.append(Problem(message=f"and {more} more of its units have faults"))
    if not problems:
        problems += _cycle_problems(names, units)
    if not problems:
        problems += islice(_question_problems(names, units), MOST_TOLD)
    if not problems and options.group_pools:
        problems += _pool_problems(names, units, options, begun)
    return problems


def _faults(
    names: _Names, unit: QuantumUnit, seen: Mapping[str, QuantumUnit], options: RunOptions, *, hints: bool
) -> Iterator[Problem]:
    """What is wrong with one of the units, the ones before it being `seen`."""
    plan = names.plan
    taken = seen.get(unit.id)
    if taken is None and unit.id in plan.numbers and unit.id not in names.earlier:
        taken = plan.table[plan.numbers[unit.id]]
    if taken is not None:
        where = f"first used at {taken.source}; " if taken.source else ""
        yield problem_of(unit, "this name is already taken", f"{where}give every unit its own")
    yield from limit_problems(plan, unit, options)
    for name in unit.dependencies:
        if name == STAR:
            yield problem_of(unit, "a unit that is added cannot need everything", "name the units that it needs")
        elif names.need(unit, name) is None:
            hint = did_you_mean(name, (*names.numbers, *plan.numbers)) if hints else None
            yield problem_of(unit, f'needs "{name}", which is not a unit', hint)


def grow(plan: ExecutionPlan, by: int, units: Sequence[QuantumUnit], begun: Collection[int] = ()) -> Growth:
    """Add units that have no problems to a thawed plan, in place; see `UnitsAdded`."""
    names = _Names(plan, by, units)
    first, numbers, dropped = len(plan), [names.numbers[unit.id] for unit in units], names.dropped
    again = [number for number in numbers if number < first]
    _detach(plan, (*dropped, *again))
    for star in plan.stars if dropped or again else ():
        # what is added again may join once more, and what has begun with it goes on with it
        _leave(plan, star, set(dropped) if star in begun else {*dropped, *again})
    table, lanes = cast("list[QuantumUnit]", plan.table), cast("list[ExecutionMode]", plan.lanes)
    for number, unit in zip(numbers, units, strict=True):
        if number >= first:
            _append(plan, unit)
            continue
        if table[number].family != unit.family:
            plan.__dict__.pop("families", None)
        table[number], lanes[number] = unit, unit.lane(plan.mode)
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
    _note_added(plan, by, numbers, dropped)
    joining = numbers
    if plan.stars and (dropped or again):
        _give_way(plan)
        # what was below one that needs everything may be so no more
        joining = [each for added in plan.added.values() for each in added if each not in plan.dropped]
    _join_stars(plan, joining, begun)
    _rank(plan, numbers)
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


def robbed(old: ExecutionPlan, new: ExecutionPlan) -> list[int]:
    """The units of `new`, which has replaced `old`, whose additions did not come with them: one of those is now called
    like a unit of the workflow. They have to run again."""
    adders = []
    for by, added in old.added.items():
        adder = new.numbers.get(old.table[by].id)
        if adder is not None and not new.added.get(adder) and any(n not in old.dropped for n in added):
            adders.append(adder)
    return adders


class _Names:
    """What names mean for the units that are added: one of them, or a unit of the plan that is still there then.

    `earlier` are those that `by` had added before. `dropped` are those of them that it adds no more, with all that they
    had added themselves.
    """

    def __init__(self, plan: ExecutionPlan, by: int, units: Sequence[QuantumUnit]) -> None:
        self.plan, self._by = plan, by
        self.earlier = {plan.table[number].id: number for number in plan.added.get(by, ())}
        self.numbers: dict[str, int] = {}
        self._families: dict[str, list[int]] = defaultdict(list)
        self._meant: dict[str, tuple[int, ...] | None] = {}
        self._sorted: list[tuple[str, int]] = []
        count = len(plan)
        for unit in units:
            number = self.earlier.get(unit.id)
            if number is None and unit.id not in self.numbers:
                number, count = count, count + 1
            self.numbers.setdefault(unit.id, number if number is not None else -1)
            if unit.family:
                self._families[unit.family].append(self.numbers[unit.id])
        left = [number for name, number in self.earlier.items() if name not in self.numbers]
        self.dropped = [number for number in left if number not in plan.dropped]
        for number in self.dropped:  # grows while it is read
            self.dropped += (added for added in plan.added.get(number, ()) if added not in plan.dropped)
        self._leaving = frozenset(self.dropped)

    def declared(self, unit: QuantumUnit) -> tuple[Need, ...]:
        """The needs of a unit; the one that adds it comes first."""
        adder = Need(self.plan.table[self._by].id, (self._by,), False)
        needs = [self.need(unit, name) for name in unit.dependencies]
        return tuple(dict.fromkeys([adder, *(need for need in needs if need is not None)]))

    def need(self, unit: QuantumUnit, name: str) -> Need | None:
        """What `name` means for `unit`: that name, or one beside the unit in an included workflow."""
        for meaning in meanings(unit.id, name):
            if meaning in self.numbers:
                return Need(name, (self.numbers[meaning],), False)
            if meaning in self.plan.numbers and meaning not in self.earlier:
                return Need(name, (self.plan.numbers[meaning],), False)
            if meaning not in self._meant:
                self._meant[meaning] = self._many(meaning)
            found = self._meant[meaning]
            if found is not None:
                own = self.numbers[unit.id]
                if own in found and not self._is_family(meaning):
                    # a unit cannot wait for itself; a glob that happens to match it means the others
                    found = tuple(number for number in found if number != own)
                return Need(name, found, True)
        return None

    def asked(self, name: str) -> Sequence[int]:
        """The units that a condition means by a name."""
        if name in self.numbers:
            return (self.numbers[name],)
        if name in self.plan.numbers:
            return (self.plan.numbers[name],)
        return self._families.get(name) or self.plan.families.get(name, ())

    def _is_family(self, name: str) -> bool:
        return name in self._families or name in self.plan.families

    def _many(self, name: str) -> tuple[int, ...] | None:
        """The units of a family, or those that a glob matches."""
        if name in self._families:
            return tuple(self._families[name])
        if name in self.plan.families:
            return tuple(number for number in self.plan.families[name] if not self._gone(number))
        if any(sign in name for sign in "*?"):
            return self._matching(name) or None
        return None

    def _gone(self, number: int) -> bool:
        return number in self.plan.dropped or number in self._leaving

    def _matching(self, name: str) -> tuple[int, ...]:
        """The units that a glob matches. They are looked for among the names that begin as it does."""
        if not self._sorted:
            there = {unit: number for unit, number in self.plan.numbers.items() if not self._gone(number)}
            self._sorted = sorted({**there, **self.numbers}.items())
        parts = name.replace("?", "*").split("*")
        begin, end = parts[0], parts[-1]  # cheaper than to match
        # brackets are part of an item's name, so they do not open a character class here
        matches = re.compile(translate(name.replace("[", "[[]"))).match
        found = []
        for unit, number in islice(self._sorted, bisect_left(self._sorted, (begin,)), None):
            if not unit.startswith(begin):
                break
            if unit.endswith(end) and matches(unit):
                found.append(number)
        return tuple(sorted(found))


def limit_problems(plan: ExecutionPlan, unit: QuantumUnit, options: RunOptions) -> Iterator[Problem]:
    """What a unit that comes to a run that goes on asks for, and the run does not have."""
    custom = ExecutionMode.CUSTOM in (unit.mode, plan.mode) and unit.lane(plan.mode) is ExecutionMode.CUSTOM
    if custom and not options.executor and ExecutionMode.CUSTOM not in plan.lanes:
        yield problem_of(unit, 'mode = "custom" needs a workflow with an executor')
    for pool, slots in unit.pools.items():
        there = options.pools.get(pool, 1 if is_mutex(pool) else None)
        if there is None:
            yield problem_of(unit, f'there is no pool "{pool}"', did_you_mean(pool, options.pools))
        elif slots > there:
            yield problem_of(unit, f'asks for {slots} slots of "{pool}", which has {there}')
    if unit.lane(plan.mode) in options.elsewhere:
        return
    if options.cpus is not None and unit.cpus > options.cpus:
        yield problem_of(unit, f"asks for {unit.cpus:g} of the {options.cpus:g} cpus of the run")
    if options.memory is not None and unit.memory > options.memory:
        yield problem_of(unit, f"asks for {unit.memory} of the {options.memory} bytes of memory of the run")


def _cycle_problems(names: _Names, units: Sequence[QuantumUnit]) -> Iterator[Problem]:
    """Units that are added can need each other, also by way of others that need what is added again.

    What needs everything gives way, so nothing that it needs makes a cycle.
    """
    plan, leaving = names.plan, {*names.dropped, *names.plan.stars}
    needs: dict[int, Iterable[int]] = {
        names.numbers[unit.id]: {need for each in names.declared(unit) for need in each.units} for unit in units
    }
    below = [number for number in needs if number < len(plan)]
    for number in below:  # grows while it is read
        for fed in plan.feeds[number]:
            if fed not in needs and fed not in leaving:
                needs[fed] = plan.needs[fed]
                below.append(fed)
    waiting = {number: sum(need in needs for need in found) for number, found in needs.items()}
    feeds: dict[int, list[int]] = defaultdict(list)
    for number, found in needs.items():
        for need in found:
            feeds[need].append(number)
    free = [number for number, count in waiting.items() if not count]
    for number in free:  # grows while it is read
        for fed in feeds[number]:
            waiting[fed] -= 1
            if not waiting[fed]:
                free.append(fed)
    stuck = {number for number, count in waiting.items() if count}
    added = {names.numbers[unit.id]: unit for unit in units}
    for cycle in islice(find_cycles(needs, stuck), 1):
        path = ", ".join((added[number] if number in added else plan.table[number]).id for number in cycle[:-1])
        first = next(added[number] for number in cycle if number in added)
        yield problem_of(first, f"these units need each other: {path}", "remove one of these needs")


def _question_problems(names: _Names, units: Sequence[QuantumUnit]) -> Iterator[Problem]:
    """What conditions of units that are added ask of units that are not there, or that they do not need."""
    added: dict[int, set[int]] = {}
    for unit in units if any(unit.condition is not None for unit in units) else ():
        added[names.numbers[unit.id]] = {need for each in names.declared(unit) for need in each.units}
    for unit in units:
        for name in unit.condition.units if unit.condition is not None else ():
            left = set(names.asked(name))
            if not left:
                known = (need.name for need in names.declared(unit))
                yield problem_of(unit, f'asks about "{name}", {NO_UNIT}', did_you_mean(name, known))
            above = list(added[names.numbers[unit.id]]) if left else []
            seen = set(above)
            while left and above:
                at = above.pop()
                left.discard(at)
                further = set(added[at] if at in added else names.plan.needs[at]) - seen
                seen |= further
                above += further
            if left:
                yield problem_of(unit, f'asks about "{name}", {NOT_NEEDED}', NEED_IT)


def _pool_problems(
    names: _Names, units: Sequence[QuantumUnit], options: RunOptions, begun: Collection[int]
) -> Iterator[Problem]:
    """What is added must not want a pool that items of a group hold while they wait for it, as ``*`` makes them do."""
    plan = names.plan
    for star in plan.stars:
        if star in begun:
            continue
        below = {star, *plan.below_stars[star]}
        holders = dict(_held_while_waiting(plan, options, below))
        for unit in units if holders else ():
            number = names.numbers[unit.id]
            if any(need in below for each in names.declared(unit) for need in each.units):
                below.add(number)
                continue
            for pool in unit.pools.keys() & holders.keys() if unit.action is not None else ():
                if _held_at_most(plan, options, pool) + unit.pools[pool] > options.pools[pool]:
                    message = f'wants "{pool}", which items of [groups.{holders[pool]}] hold while they wait for'
                    yield problem_of(unit, f"{message} {plan.table[star].id}, which needs all units, and so this one")


def _held_while_waiting(plan: ExecutionPlan, options: RunOptions, below: Collection[int]) -> Iterator[tuple[str, str]]:
    """The pools of which items of groups hold some while they wait for one of those below, with the group."""
    for members in plan.items:
        group = plan.table[members[0]].group
        waits = any(number in below for number in members)
        begins_before = any(number not in below and plan.table[number].action is not None for number in members)
        if waits and begins_before:
            yield from ((pool, group) for pool in options.group_pools.get(group, ()))


def _held_at_most(plan: ExecutionPlan, options: RunOptions, pool: str) -> int:
    """How many slots of a pool all items of groups hold together."""
    groups = (plan.table[members[0]].group for members in plan.items)
    return sum(options.group_pools.get(group, {}).get(pool, 0) for group in groups)


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


def _detach(plan: ExecutionPlan, numbers: Iterable[int]) -> None:
    """Units of earlier need nothing any more, and only what is there for good needs them."""
    needs, feeds = cast("list[tuple[int, ...]]", plan.needs), cast("list[tuple[int, ...]]", plan.feeds)
    fewer: dict[int, set[int]] = defaultdict(set)
    for number in numbers:
        for need in needs[number]:
            fewer[need].add(number)
        needs[number] = ()
        cast("list[tuple[Need, ...]]", plan.declared)[number] = ()
    for need, gone in fewer.items():
        feeds[need] = tuple(fed for fed in feeds[need] if fed not in gone)


def _give_way(plan: ExecutionPlan) -> None:
    """Units that need everything do not need what needs them now, by way of what is added again."""
    for star in plan.stars:
        _leave(plan, star, reached(plan.feeds, star).intersection(plan.needs[star]))
    plan.__dict__.pop("below_stars", None)


def _join_stars(plan: ExecutionPlan, numbers: list[int], begun: Collection[int]) -> None:
    """Let units that need everything, and have not begun, need the new units, but for those that are below them."""
    below = plan.below_stars
    feeds = cast("list[tuple[int, ...]]", plan.feeds)
    needs, declared = cast("list[tuple[int, ...]]", plan.needs), cast("list[tuple[Need, ...]]", plan.declared)
    for star in plan.stars:
        found = [n for n in numbers if star in needs[n] or not below[star].isdisjoint(needs[n])]
        for number in found:  # grows while it is read
            if number not in below[star]:
                below[star].add(number)
                found += feeds[number]
    for star in plan.stars:
        joining = tuple(number for number in numbers if number not in below[star] and star not in feeds[number])
        if not joining or star in begun:
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
    if gone.isdisjoint(plan.needs[star]):
        return
    needs, declared = cast("list[tuple[int, ...]]", plan.needs), cast("list[tuple[Need, ...]]", plan.declared)
    feeds = cast("list[tuple[int, ...]]", plan.feeds)
    for number in gone.intersection(needs[star]):
        feeds[number] = tuple(fed for fed in feeds[number] if fed != star)
    needs[star] = tuple(need for need in needs[star] if need not in gone)
    declared[star] = tuple(
        need._replace(units=tuple(each for each in need.units if each not in gone)) for need in declared[star]
    )
