"""Groups whose items could wait for ever for pools that items hold, their own or those of each other.

A unit takes all it wants at once and gives it back when its attempt is over, so units alone never wait for each other.
An item of a group is different: it holds the pools of its group from its first start to its last end, and meanwhile it
may wait, for its own units and for those that they need. A run stands still only if each of the items that are open
waits for a pool that one of them holds. So there is an arrow from a group to another, or to itself, if its items may
wait for a unit that wants a pool which items of the other hold; and without a circle of arrows no run stands still.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from qtui.core.model import QuantumUnit
from qtui.core.plan import ExecutionPlan

GroupPools = Mapping[str, Mapping[str, int]]


class Deadlock(NamedTuple):
    """What is wrong, and with which unit: the key that says so is the first of `keys` that it has."""

    unit: QuantumUnit
    keys: tuple[str, ...]
    message: str
    hint: str


def deadlocks(plan: ExecutionPlan, group_pools: GroupPools, slots: Mapping[str, int]) -> Iterator[Deadlock]:
    """The circles in which items may wait for ever; every group is in one of them at most.

    `slots` are the sizes of the pools. A pool with slots for all the items that hold it, and for the unit beside them
    that wants most of it, keeps nobody waiting for ever. What is over before the items of a group begin neither waits
    for them nor keeps them waiting. What a unit of an item waits for by ``*`` nobody knows before the run.
    """
    told: set[str] = set()
    for number in plan.stars:
        unit = plan.table[number]
        pools = group_pools.get(unit.group, {}) if unit.group and unit.group not in told else {}
        if pools:
            told.add(unit.group)
            yield Deadlock(unit, ("needs", "dependencies"), *_needs_everything(unit, pools))
    search = _Search(plan, group_pools, slots)
    for group in search.groups:
        circle = search.circle(group) if group not in told else []
        if circle:
            told.update(wait.group for wait in circle)
            yield search.described(circle)


class _Wait(NamedTuple):
    """An item of `group` may wait for the unit `wanting`, which wants `pool`, which items of `holder` hold.

    `inside` says that the unit is of that item itself; `begins` that the pool is one that its own item would hold.
    """

    group: str
    item: int
    wanting: int
    pool: str
    inside: bool
    begins: bool
    holder: str = ""


@dataclass(slots=True)
class _Group:
    """A group whose items hold pools that may be short, by what its items need outside.

    `over` are the units that have surely ended before any of its items begins.
    """

    held: frozenset[str]
    members: set[int] = field(default_factory=set)
    items: dict[frozenset[int], list[int]] = field(default_factory=lambda: defaultdict(list))
    over: set[int] = field(default_factory=set)
    waits: list[_Wait] = field(default_factory=list)


class _Search:
    """The groups that hold what may be short, and the arrows between them."""

    def __init__(self, plan: ExecutionPlan, group_pools: GroupPools, slots: Mapping[str, int]) -> None:
        self._plan, self._pools = plan, group_pools
        self._most = self._most_wanted()
        self._short = frozenset(pool for pool, most in self._most.items() if most > slots.get(pool, 0))
        self.groups: dict[str, _Group] = {}
        for name, pools in group_pools.items():
            if held := self._short.intersection(pools):
                self.groups[name] = _Group(held)
        self._read_items()
        for name, group in self.groups.items():
            group.over = self._over_before(group)
            group.waits = list(self._waits(name, group))
        self.arrows = {name: self._arrows(name) for name in self.groups}

    def _most_wanted(self) -> dict[str, int]:
        """The slots of each pool of groups that could be wanted at a time while only items hold some."""
        most: dict[str, int] = defaultdict(int)
        for members in self._plan.items:
            for pool, count in self._pools.get(self._plan.table[members[0]].group, {}).items():
                most[pool] += count
        beside = dict.fromkeys(most, 0)
        for number in range(len(self._plan)):
            for pool, count in self._own(number).items():
                if pool in beside:
                    beside[pool] = max(beside[pool], count)
        return {pool: count + beside[pool] for pool, count in most.items()}

    def _own(self, number: int) -> Mapping[str, int]:
        """What a unit wants for itself: nothing of what its item holds, and nothing if it never starts."""
        unit = self._plan.table[number]
        if unit.action is None or not unit.pools:
            return {}
        held = self._pools.get(unit.group, {}) if unit.group else {}
        return {pool: count for pool, count in unit.pools.items() if pool not in held}

    def _read_items(self) -> None:
        for item, members in enumerate(self._plan.items):
            group = self.groups.get(self._plan.table[members[0]].group)
            if group is not None:
                group.members.update(members)
                needs = frozenset(need for number in members for need in self._plan.needs[number])
                group.items[needs.difference(members)].append(item)

    # -- what is over ------------------------------------------------------------------------------------

    def _over_before(self, group: _Group) -> set[int]:
        """What has ended when an item begins, whichever of its units is the first to start."""
        plan = self._plan
        over: set[int] | None = None
        looked_at: set[tuple[tuple[int, ...], bool]] = set()
        for number in sorted(group.members):
            unit, needs = plan.table[number], tuple(plan.needs[number])
            # what starts after another unit of its item has what that one waited for behind it
            later = any(plan.item_of[need] == plan.item_of[number] and plan.table[need].action for need in needs)
            if unit.action is None or (later and not unit.is_handler) or (needs, unit.is_handler) in looked_at:
                continue
            looked_at.add((needs, unit.is_handler))
            found = self._over_when(number)
            over = found if over is None else over & found
        return over or set()

    def _over_when(self, number: int) -> set[int]:
        """What has ended when the unit starts. Needs of a handler may have ended without waiting for their own."""
        table, needs = self._plan.table, self._plan.needs
        over: set[int] = set()
        stack, seen = [number], {number}
        while stack:
            at = stack.pop()
            over.update(needs[at])
            if not table[at].is_handler:
                further = [need for need in needs[at] if need not in seen]
                seen.update(further)
                stack += further
        return over

    # -- who waits for what ------------------------------------------------------------------------------

    def _waits(self, name: str, group: _Group) -> Iterator[_Wait]:
        """What the items of a group may wait for while they hold their pools, but for who holds it."""
        plan = self._plan
        for number in sorted(group.members):
            # before its first start it takes this with what the item holds; but there may be further attempts
            for pool in self._short.intersection(self._own(number)):
                yield _Wait(name, plan.item_of[number], number, pool, inside=True, begins=False)
        for outside, items in group.items.items():
            for number in sorted(_with_needs(plan, outside) - group.over):
                if plan.table[number].action is None:
                    continue
                other = next((item for item in items if item != plan.item_of[number]), None)
                if other is None:
                    continue  # the item's own
                begins = self._pools.get(plan.table[number].group, {}) if plan.table[number].group else {}
                for pool in sorted(self._short.intersection({*self._own(number), *begins})):
                    yield _Wait(name, other, number, pool, inside=False, begins=pool in begins)

    def _arrows(self, name: str) -> dict[str, _Wait]:
        """A reason to wait for items of each group that those of `name` may wait for."""
        group = self.groups[name]
        arrows: dict[str, _Wait] = {}
        for holder, other in self.groups.items():
            if other is not group and (group.members <= other.over or other.members <= group.over):
                continue  # items of one are never open together with items of the other
            for wait in group.waits:
                if wait.pool in other.held and wait.wanting not in other.over:
                    arrows[holder] = wait._replace(holder=holder)
                    break
        return arrows

    def circle(self, start: str) -> list[_Wait]:
        """The shortest way along the arrows from a group back to itself; empty if there is none."""
        came: dict[str, _Wait] = {}
        queue = deque([start])
        while queue and start not in came:
            for holder, wait in self.arrows[queue.popleft()].items():
                if holder not in came:
                    came[holder] = wait
                    queue.append(holder)
        if start not in came:
            return []
        way = [came[start]]
        while way[-1].group != start:
            way.append(came[way[-1].group])
        return way[::-1]

    # -- in words ----------------------------------------------------------------------------------------

    def described(self, circle: list[_Wait]) -> Deadlock:
        """The circle for people, at the first of the units that wait."""
        first = circle[0]
        table = self._plan.table
        hint = "let the first unit of the group need it, or take the pools in the units instead"
        inside = next((wait for wait in circle if wait.inside), None)
        if inside is not None:
            held = f'let [groups.{inside.group}] hold "{inside.pool}" as well'
            hint = f"{held}, or take the pools in the units instead"
        elif len(circle) == 1:
            hint = f'{hint}, or give "{first.pool}" {self._most[first.pool]} slots'
        if len(circle) == 1:
            wanting = table[first.wanting].id
            message = self._waits_holding(first, self._waiting(first))
            message += f", and {f'the item of {wanting}' if first.begins else wanting} wants {first.pool} too"
        else:
            message = ", and ".join(self._waits_holding(wait, self._wanting(wait)) for wait in circle)
        unit = table[first.wanting if first.inside else self._waiter(first)]
        return Deadlock(unit, ("pools", "mutex") if first.inside else ("needs", "dependencies"), message, hint)

    def _waits_holding(self, wait: _Wait, what: str) -> str:
        return f"{what} while its item holds {', '.join(sorted(self._pools[wait.group]))}"

    def _wanting(self, wait: _Wait) -> str:
        if wait.inside:
            return f"{self._plan.table[wait.wanting].id} wants {wait.pool}"
        return f"{self._waiting(wait)}, {'whose item' if wait.begins else 'which'} wants {wait.pool},"

    def _waiting(self, wait: _Wait) -> str:
        return f"{self._plan.table[self._waiter(wait)].id} waits for {self._plan.table[wait.wanting].id}"

    def _waiter(self, wait: _Wait) -> int:
        """The unit of the item that waits for the one outside, directly or for what needs it."""
        plan = self._plan
        own = set(plan.items[wait.item])
        return next(
            number
            for number in plan.items[wait.item]
            if wait.wanting in _with_needs(plan, [need for need in plan.needs[number] if need not in own])
        )


def _needs_everything(unit: QuantumUnit, pools: Mapping[str, int]) -> tuple[str, str]:
    """What is wrong with `*` in a group that holds pools, and what to do about it."""
    held = ", ".join(sorted(pools))
    message = f"{unit.id} needs everything while its item holds {held}, and so also units that may be added and want it"
    return message, "name the units that it needs, or take the pools in the units instead"


def _with_needs(plan: ExecutionPlan, units: Iterable[int]) -> set[int]:
    """The units and all that they need, directly or not."""
    found = set(units)
    stack = list(found)
    while stack:
        further = set(plan.needs[stack.pop()]) - found
        found |= further
        stack += further
    return found
