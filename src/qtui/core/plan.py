"""ExecutionPlan: units numbered once and validated as a DAG, with levels, ranks and the critical path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

from qtui.core.errors import CircularDependencyError, InvalidWorkflow, Problem, did_you_mean
from qtui.core.model import EMPTY, ExecutionMode, QuantumUnit, UnitState

DOT_COLORS: Mapping[UnitState, str] = {
    UnitState.PENDING: "white",
    UnitState.READY: "azure",
    UnitState.RUNNING: "lightskyblue",
    UnitState.RETRYING: "khaki",
    UnitState.CANCELING: "khaki",
    UnitState.COMPLETED: "palegreen",
    UnitState.FAILED: "salmon",
    UnitState.TIMEOUT: "plum",
    UnitState.SKIPPED: "lightgray",
    UnitState.CANCELED: "lightgray",
}


class Need(NamedTuple):
    """A dependency as written and the unit numbers it means; `many` if its result is a list of items' results."""

    name: str
    units: tuple[int, ...]
    many: bool


@dataclass(frozen=True, kw_only=True)
class ExecutionPlan:
    """A validated DAG of units. Inside the core a unit is its number: the index into `table`.

    `needs` and `feeds` are the edges by number, `declared` the dependencies as written, `ranks` the length of the
    longest path from a unit to an end (itself included; see `weight`), `typical` the median of the seconds that units
    are expected to take (0 if nothing is known of any), `lanes` where each unit runs when the workflow's mode is
    `mode`. `items` has the units of each item of each group, `item_of` the place of each unit's item in it, or -1.
    `added` has the units that others have added while they ran, by the number of those; the `dropped` ones of them are
    no longer added.

    A plan is never changed, but for one that `thawed` returned, which belongs to one owner: see `qtui.core.growth`.
    """

    table: Sequence[QuantumUnit]
    needs: Sequence[tuple[int, ...]]
    feeds: Sequence[tuple[int, ...]]
    declared: Sequence[tuple[Need, ...]]
    lanes: Sequence[ExecutionMode]
    ranks: Sequence[float]
    numbers: Mapping[str, int]
    items: tuple[tuple[int, ...], ...] = ()
    item_of: Sequence[int]
    added: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    dropped: Set[int] = frozenset()
    typical: float = 0.0
    mode: ExecutionMode = ExecutionMode.AUTO

    @classmethod
    def build(
        cls,
        units: Iterable[QuantumUnit],
        *,
        default_mode: ExecutionMode = ExecutionMode.AUTO,
        durations: Mapping[str, float] = EMPTY,
    ) -> ExecutionPlan:
        """Number the units in the order given, resolve their dependencies and validate the graph.

        `durations` says how many seconds units took before, by id or, for those of which that is not known, by family:
        where a unit has no estimate, that is its weight.
        Raises InvalidWorkflow with every fault found: no units, duplicate ids, unknown dependencies (with the
        closest name) and cycles with their paths; CircularDependencyError if cycles are all that is wrong.
        """
        table = tuple(units)
        problems: list[Problem] = []
        numbers: dict[str, int] = {}
        for number, unit in enumerate(table):
            if unit.id in numbers:
                first = table[numbers[unit.id]].source
                problems.append(
                    problem_of(unit, "this name is already taken", f"first used at {first}" if first else None)
                )
            numbers.setdefault(unit.id, number)
        if not table:
            problems.append(Problem(message="there is no unit to run", hint="add a [units.NAME] table"))
        declared = _Resolver(table, numbers, problems).resolve()
        needs = tuple(
            tuple(dict.fromkeys(number for need in unit_needs for number in need.units)) for unit_needs in declared
        )
        feeds = _reverse(needs)
        order = _topological(needs, feeds)
        if len(order) < len(table):
            cycles = find_cycles(needs, set(range(len(table))) - set(order))
            problems += [_cycle_problem(table, cycle) for cycle in cycles]
            if len(problems) == len(cycles):
                raise CircularDependencyError(problems, tuple(table[number].id for number in cycles[0]))
        if problems:
            raise InvalidWorkflow(problems)
        items, item_of = _items(table)
        expected = [unit.estimate or _taken(unit, durations) for unit in table]
        typical = _middle(expected)
        plan = cls(
            table=table,
            needs=needs,
            feeds=tuple(tuple(numbers_) for numbers_ in feeds),
            declared=declared,
            lanes=tuple(unit.lane(default_mode) for unit in table),
            ranks=tuple(_ranks(order, feeds, [weight(*each, typical) for each in zip(table, expected, strict=True)])),
            numbers=numbers,
            items=items,
            item_of=item_of,
            typical=typical,
            mode=default_mode,
        )
        plan.__dict__["order"] = tuple(order)  # as the property would find it
        return plan

    def thawed(self) -> ExecutionPlan:
        """A copy of which all parts that grow are lists and dictionaries of its own."""
        return replace(
            self,
            table=list(self.table),
            needs=list(self.needs),
            feeds=list(self.feeds),
            declared=list(self.declared),
            lanes=list(self.lanes),
            ranks=list(self.ranks),
            numbers=dict(self.numbers),
            item_of=list(self.item_of),
            added=dict(self.added),
            dropped=set(self.dropped),
        )

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def units(self) -> Mapping[str, QuantumUnit]:
        """The units by id, in the order they were declared."""
        return {unit.id: unit for unit in self.table}

    @cached_property
    def stars(self) -> tuple[int, ...]:
        """The units that need everything."""
        return tuple(n for n, needs in enumerate(self.declared) if any(need.name == "*" for need in needs))

    @cached_property
    def below_stars(self) -> Mapping[int, set[int]]:
        """The units below each of the units that need everything."""
        return {star: reached(self.feeds, star) for star in self.stars}

    @cached_property
    def order(self) -> tuple[int, ...]:
        """A topological order: needs come before what needs them."""
        return tuple(_topological(self.needs, self.feeds))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The length of the longest path to each unit."""
        return tuple(_depths(self.order, self.needs))

    @cached_property
    def levels(self) -> list[list[str]]:
        """Ids by depth: the units of one level do not depend on each other."""
        levels: list[list[str]] = [[] for _ in range(max(self.depths, default=-1) + 1)]
        for number, depth in enumerate(self.depths):
            levels[depth].append(self.table[number].id)
        return levels

    @cached_property
    def dependencies(self) -> Mapping[str, frozenset[str]]:
        """What each unit needs, by id."""
        return self._named(self.needs)

    @cached_property
    def dependents(self) -> Mapping[str, frozenset[str]]:
        """What needs each unit, by id."""
        return self._named(self.feeds)

    @cached_property
    def critical_path(self) -> list[str]:
        """The ids of one chain of dependencies that takes longest, first to last."""
        at = max((n for n, needs in enumerate(self.needs) if not needs), key=self.ranks.__getitem__)
        path = [at]
        while self.feeds[at]:
            at = max(self.feeds[at], key=self.ranks.__getitem__)
            path.append(at)
        return [self.table[number].id for number in path]

    @property
    def unit_count(self) -> int:
        """How many units there are."""
        return len(self.table)

    @property
    def max_parallel_units(self) -> int:
        """The size of the widest level."""
        return max(len(level) for level in self.levels)

    def named(self, number: int, name: str) -> tuple[int, ...]:
        """The units that `name`, an id or a family, means in the definition of unit `number`; empty if none."""
        if name in self.numbers:
            return (self.numbers[name],)
        unit = self.table[number]
        if unit.group:
            siblings = self.items[self.item_of[number]]
            if found := tuple(other for other in siblings if self.table[other].family == name):
                return found
        return tuple(self.families.get(name, ()))

    @cached_property
    def families(self) -> Mapping[str, Sequence[int]]:
        """The units of each family by its name."""
        families: dict[str, list[int]] = {}
        for number, unit in enumerate(self.table):
            if unit.family:
                families.setdefault(unit.family, []).append(number)
        return families

    def below(self, number: int) -> list[int]:
        """The numbers of all units that depend on `number`, directly or not, in topological order."""
        below = reached(self.feeds, number)
        return [at for at in self.order if at in below]

    def visualize(self, states: Mapping[str, UnitState] | None = None) -> str:
        """The graph in DOT; with `states` (by id) the nodes are coloured."""
        lines = [
            "digraph plan {",
            "  rankdir=LR;",
            '  node [shape=box, style="rounded,filled", fillcolor=white];',
        ]
        for unit in self.table:
            color = DOT_COLORS[states[unit.id]] if states and unit.id in states else "white"
            lines.append(f'  "{_quoted(unit.id)}" [fillcolor={color}];')
        for number, needs in enumerate(self.needs):
            target = _quoted(self.table[number].id)
            lines.extend(f'  "{_quoted(self.table[need].id)}" -> "{target}";' for need in needs)
        return "\n".join([*lines, "}", ""])

    def _named(self, edges: Sequence[Sequence[int]]) -> Mapping[str, frozenset[str]]:
        return {
            unit.id: frozenset(self.table[other].id for other in edges[number])
            for number, unit in enumerate(self.table)
        }


class _Resolver:
    """Turns dependencies as written into unit numbers: an exact id first, then a family, then a glob, then ``*``.

    Inside a group a family of the same group means the units of the same item.
    """

    def __init__(self, table: tuple[QuantumUnit, ...], numbers: Mapping[str, int], problems: list[Problem]) -> None:
        self._table, self._numbers, self._problems = table, numbers, problems
        self._families: dict[str, list[int]] = defaultdict(list)
        self._siblings: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for number, unit in enumerate(table):
            if unit.family:
                self._families[unit.family].append(number)
            if unit.group:
                self._siblings[unit.group, unit.item, unit.name].append(number)
        self._known = {*numbers, *self._families}
        # most dependencies are exact ids or families of many items: resolve each name once
        self._memo: dict[str, Need | None] = {}

    def resolve(self) -> tuple[tuple[Need, ...], ...]:
        declared = [
            tuple(need for name in unit.dependencies if (need := self._need(unit, number, name)))
            for number, unit in enumerate(self._table)
        ]
        if any(need.name == "*" for needs in declared for need in needs):
            declared = self._expand_star(declared)
        return tuple(declared)

    def _need(self, unit: QuantumUnit, number: int, name: str) -> Need | None:
        if name == "*":
            return Need("*", (), True)
        if unit.group and name not in self._numbers:
            siblings = self._siblings.get((unit.group, unit.item, name))
            if siblings:
                # one unit, unless it has a matrix of its own inside of the group
                many = self._table[siblings[0]].id != f"{name}{unit.item}"
                return Need(name, tuple(siblings), many)
        if name not in self._memo:
            self._memo[name] = self._lookup(name)
        need = self._memo[name]
        if need is None:
            self._problems.append(
                problem_of(unit, f'needs "{name}", which is not a unit', did_you_mean(name, self._known))
            )
        elif need.many and name not in self._families and number in need.units:
            # a unit cannot wait for itself; a glob that happens to match it means the others
            return need._replace(units=tuple(other for other in need.units if other != number))
        return need

    def _lookup(self, name: str) -> Need | None:
        if name in self._numbers:
            return Need(name, (self._numbers[name],), False)
        if name in self._families:
            return Need(name, tuple(self._families[name]), True)
        if any(sign in name for sign in "*?"):
            # brackets are part of an item's name, so they do not open a character class here
            pattern = name.replace("[", "[[]")
            found = tuple(n for n, unit in enumerate(self._table) if fnmatchcase(unit.id, pattern))
            return Need(name, found, True) if found else None
        return None

    def _expand_star(self, declared: list[tuple[Need, ...]]) -> list[tuple[Need, ...]]:
        """``*`` means every unit without ``*`` that does not itself need this one.

        What an earlier ``*`` has come to mean counts: of two units that would wait for each other's dependents, the
        first one declared does.
        """
        stars = {number for number, needs in enumerate(declared) if any(need.name == "*" for need in needs)}
        feeds = _reverse([[n for need in needs for n in need.units] for needs in declared])
        expanded = list(declared)
        for star in sorted(stars):
            below = reached(feeds, star)
            rest = tuple(n for n in range(len(self._table)) if n not in below and n not in stars)
            for number in rest:
                feeds[number].append(star)
            expanded[star] = tuple(Need("*", rest, True) if need.name == "*" else need for need in declared[star])
        return expanded


def meanings(unit: str, name: str) -> Iterator[str]:
    """What `name` may mean for a unit: the name as it is, or, in an included workflow, one beside the unit."""
    yield name
    inside = unit.partition("[")[0]
    while "." in inside:
        inside = inside.rpartition(".")[0]
        yield f"{inside}.{name}"


def problem_of(unit: QuantumUnit, message: str, hint: str | None = None) -> Problem:
    """What is wrong with a unit, and where that was written."""
    return Problem(message=message, where=str(unit.source) if unit.source else None, key=f"units.{unit.id}", hint=hint)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _reverse(edges: Sequence[Sequence[int]]) -> list[list[int]]:
    reverse: list[list[int]] = [[] for _ in edges]
    for number, others in enumerate(edges):
        for other in others:
            reverse[other].append(number)
    return reverse


def _topological(needs: Sequence[Sequence[int]], feeds: Sequence[Sequence[int]]) -> list[int]:
    """Kahn's algorithm on ints; shorter than `needs` if there is a cycle."""
    left = [len(others) for others in needs]
    order = [number for number, count in enumerate(left) if not count]
    for number in order:  # grows while it is read
        for fed in feeds[number]:
            left[fed] -= 1
            if not left[fed]:
                order.append(fed)
    return order


def typical_estimate(units: Iterable[QuantumUnit]) -> float:
    """The median of the estimates (of two in the middle, the longer), in seconds; 0 if no unit has one."""
    return _middle([unit.estimate for unit in units])


def weight(unit: QuantumUnit, expected: float | None, typical: float) -> float:
    """How long a unit that is expected to take so many seconds takes, counted in typical units.

    One of which nothing is known counts as typical, so that it stands well beside the others, and paths are as long as
    they have units where nothing is known of any. A milestone takes no time.
    """
    if expected:
        return expected / typical
    return 0 if unit.action is None else 1


def _taken(unit: QuantumUnit, durations: Mapping[str, float]) -> float | None:
    if unit.action is None:
        return None
    own = durations.get(unit.id)
    return durations.get(unit.name) if own is None else own


def _middle(seconds: Iterable[float | None]) -> float:
    known = sorted(each for each in seconds if each)
    return known[len(known) // 2] if known else 0.0


def _ranks(order: Sequence[int], feeds: Sequence[Sequence[int]], weights: list[float]) -> list[float]:
    ranks = weights.copy()
    for number in reversed(order):
        if fed := feeds[number]:
            ranks[number] += max([ranks[other] for other in fed])
    return ranks


def _depths(order: Sequence[int], needs: Sequence[Sequence[int]]) -> list[int]:
    depths = [0] * len(order)
    for number in order:
        if needed := needs[number]:
            depths[number] = 1 + max([depths[other] for other in needed])
    return depths


def _items(table: Sequence[QuantumUnit]) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """The units of each item of each group, and the item of each unit."""
    items: dict[tuple[str, str], list[int]] = {}
    for number, unit in enumerate(table):
        if unit.group:
            items.setdefault((unit.group, unit.item), []).append(number)
    item_of = [-1] * len(table)
    for place, members in enumerate(items.values()):
        for number in members:
            item_of[number] = place
    return tuple(map(tuple, items.values())), tuple(item_of)


def reached(feeds: Sequence[Sequence[int]], *numbers: int) -> set[int]:
    """All units that depend on `numbers`, directly or not; without these themselves, also in a cycle."""
    found = set(numbers)
    stack = list(numbers)
    while stack:
        further = [fed for fed in feeds[stack.pop()] if fed not in found]
        found.update(further)
        stack += further
    return found.difference(numbers)


def find_cycles(needs: Sequence[Iterable[int]] | Mapping[int, Iterable[int]], stuck: set[int]) -> list[list[int]]:
    """Cycles among the units that no topological order could place, one for each knot of them.

    Each begins and ends with its smallest unit. Walks needs inside `stuck` until a unit comes again; no recursion.
    """
    cycles: list[list[int]] = []
    left = set(stuck)
    while left:
        at = min(left)
        place: dict[int, int] = {}
        walk: list[int] = []
        while at in left and at not in place:
            place[at] = len(walk)
            walk.append(at)
            # a need that was in an earlier cycle's walk has left the set: this unit only hangs below that cycle
            at = next((need for need in needs[at] if need in left), -1)
        if at in place:
            cycle = walk[place[at] :]
            start = cycle.index(min(cycle))
            cycles.append([*cycle[start:], *cycle[:start], cycle[start]])
        left.difference_update(walk)
    return cycles


def _cycle_problem(table: tuple[QuantumUnit, ...], cycle: list[int]) -> Problem:
    unit = table[cycle[0]]
    path = " needs ".join(table[number].id for number in cycle)
    message = "needs itself" if len(cycle) == 2 else f"these units need each other: {path}"
    return problem_of(unit, message, "remove one of these needs")
