"""What each unit holds while it runs, which gates it passes, and where it stands in the order of starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from math import lcm
from typing import Final

from qtui.core.batching import MOST_BATCHED, Durations, batch_size
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import FREE, Key, Terms

MILLI: Final = 1000
"""Cores are counted in thousandths: sums of fractions stay exact."""

CPUS: Final = "cpus"
MEMORY: Final = "memory"
NOTED_PEAK: Final = 64 << 20
_PEAK_STEP: Final = 16 << 20
"""Peaks of memory count from `NOTED_PEAK` bytes on, rounded up to steps, so that what is learned seldom changes."""

WORKER: Final = lcm(*range(1, MOST_BATCHED + 1))
"""What a unit takes of workers unless it shares one: divisible by all sizes of batches, so that sums are exact."""

POOL: Final = "pool "
"""How the limit of a pool begins, if the pool was declared."""

MUTEX: Final = "mutex "
"""How the names of pools begin that need not be declared: there is one of each, and the limit has the same name."""

EMPTY_LANES: Final[Mapping[ExecutionMode, int]] = {}
EMPTY_PEAKS: Final[Mapping[str, int]] = {}
EMPTY_DURATIONS: Final[Durations] = {}
_OWN_LIMITS: Final = frozenset({ExecutionMode.SEQUENTIAL, ExecutionMode.ASYNC})


def is_mutex(pool: str) -> bool:
    """Whether a pool that no run declares is there all the same, with one slot."""
    return pool.startswith(MUTEX)


def pool_limit(pool: str) -> str:
    """The name of the limit that a pool is: ``pool NAME``, or ``mutex NAME``."""
    return pool if is_mutex(pool) else f"{POOL}{pool}"


def lane_limit(lane: ExecutionMode) -> str:
    """The name of the limit on the units of a lane."""
    return f"lane {lane}"


def capacities(options: RunOptions, lanes: Mapping[ExecutionMode, int] = EMPTY_LANES) -> dict[str, int]:
    """How much there is of each limit of a run: lanes, the budgets, and its pools."""
    limits = {lane_limit(ExecutionMode.SEQUENTIAL): 1, lane_limit(ExecutionMode.ASYNC): options.max_async}
    if options.cpus is not None:
        limits[CPUS] = round(options.cpus * MILLI)
    budget = memory_budget(options)
    if budget is not None:
        limits[MEMORY] = budget
    limits |= {lane_limit(lane): target * WORKER for lane, target in lanes.items()}
    return limits | {pool_limit(name): slots for name, slots in options.pools.items()}


def memory_budget(options: RunOptions) -> int | None:
    """The bytes that units may fill together, by what they declare or what others of their family have used."""
    if options.memory is not None:
        return options.memory
    return options.memory_target if options.adaptive else None


def learned_peak(unit: QuantumUnit, peaks: Mapping[str, int], used: int) -> int | None:
    """What is to be expected of units of this family from now on, in bytes, if one that used `used` changes that."""
    if unit.memory or used < NOTED_PEAK:
        return None
    rounded = -(-used // _PEAK_STEP) * _PEAK_STEP
    return rounded if rounded > peaks.get(unit.name, 0) else None


def scopes_of(unit: QuantumUnit, options: RunOptions) -> tuple[str, ...]:
    """The brakes that a unit's failures count for, and that hold its starts; none for handlers."""
    if not options.brakes or unit.is_handler:
        return ()
    named = ["", *(f"tag:{tag}" for tag in sorted(unit.tags)), *(f"pool:{pool}" for pool in unit.pools)]
    if unit.group:
        named.append(f"group:{unit.group}")
        named += [f"pool:{pool}" for pool in options.group_pools.get(unit.group, ())]
    return tuple(dict.fromkeys(scope for scope in named if scope in options.brakes))


class Limits:
    """The terms and the order of the starts of a plan's units.

    The order is priority, then the longest remaining path, then as declared. Units of a group rank with the first unit
    of their item, and those of items that have begun come before those of items that have not: items finish one after
    another, and what they hold is free early. Units of `lanes` are limited for each lane, too. `peaks` are the bytes
    to expect of units that declare none, by family; `durations` tell how many units share a worker.
    """

    def __init__(
        self,
        plan: ExecutionPlan,
        options: RunOptions,
        lanes: Collection[ExecutionMode] = frozenset(),
        peaks: Mapping[str, int] = EMPTY_PEAKS,
        durations: Durations = EMPTY_DURATIONS,
    ) -> None:
        self._plan, self._options, self._peaks = plan, options, dict(peaks)
        self._durations = durations
        self._budget = memory_budget(options)
        self._elsewhere = options.elsewhere
        self._limited = _OWN_LIMITS.union(lanes)
        none: tuple[str, ...] = ()
        self.scopes = [scopes_of(unit, options) for unit in plan.table] if options.brakes else [none] * len(plan)
        limited, peaks = self._limited, self._peaks
        self.terms = [
            self._terms(unit, lane, scopes)
            if unit.pools or unit.cpus or unit.memory or scopes or lane in limited or peaks
            else FREE  # as of most: a call for each of 10,000 takes 3 ms
            for unit, lane, scopes in zip(plan.table, plan.lanes, self.scopes, strict=True)
        ]
        """What each unit itself takes."""
        self._item_terms = [
            Terms(_pools(options.group_pools.get(plan.table[members[0]].group, {}))) for members in plan.items
        ]
        self.keys: list[Key] = [
            (-unit.priority, -rank, n) for n, (unit, rank) in enumerate(zip(plan.table, plan.ranks, strict=True))
        ]
        """Where each unit stands in the order, unless it is in an item that has begun; see `of`."""
        self._begun_keys: dict[int, Key] = {}
        place = -sum(map(len, plan.items))
        for members in plan.items:
            rank = max(plan.ranks[number] for number in members)
            for number in members:
                priority = -plan.table[number].priority
                self.keys[number] = (priority, -rank, number)
                self._begun_keys[number] = (priority, -rank, place)
                place += 1

    def learn(self, numbers: Iterable[int]) -> None:
        """Take up units that have come to the plan since, in ascending order, or that have another definition now."""
        for number in numbers:
            unit, lane = self._plan.table[number], self._plan.lanes[number]
            scopes = scopes_of(unit, self._options)
            own = self._terms(unit, lane, scopes)
            key = self._key(number)
            place = slice(number, number + 1)  # which may be the end
            self.scopes[place], self.terms[place], self.keys[place] = [scopes], [own], [key]

    def _key(self, number: int) -> Key:
        priority, item = -self._plan.table[number].priority, self._plan.item_of[number]
        if item < 0:
            return priority, -self._plan.ranks[number], number
        _, rank, place = self._begun_keys[number]
        self._begun_keys[number] = (priority, rank, place)
        return priority, rank, number

    def learn_peak(self, number: int, peak: int) -> list[int]:
        """Expect `peak` bytes of units of this one's family; returns the units for which that makes a difference."""
        name = self._plan.table[number].name
        self._peaks[name] = peak
        return self._renew(number) if self._budget is not None else []

    def learn_durations(self, number: int, durations: Durations) -> list[int]:
        """A unit has completed; returns the units for which that changes how many share a worker."""
        unit, lane = self._plan.table[number], self._plan.lanes[number]
        before, self._durations = self._batch(unit, lane), durations
        return self._renew(number) if self._batch(unit, lane) != before else []

    def _renew(self, number: int) -> list[int]:
        """Find out anew what the units of this one's family take."""
        family = list(self._plan.families.get(self._plan.table[number].name, (number,)))
        for other in family:
            self.terms[other] = self._terms(self._plan.table[other], self._plan.lanes[other], self.scopes[other])
        return family

    def _batch(self, unit: QuantumUnit, lane: ExecutionMode) -> int:
        return 1 if unit.batch is None else batch_size(unit, lane, self._durations)

    def batch(self, number: int) -> int:
        """How many units like this one share a worker."""
        return self._batch(self._plan.table[number], self._plan.lanes[number])

    def of(self, number: int, *, item_begun: bool) -> tuple[Key, Terms]:
        """The key and the terms of a unit; the first start of an item also takes what the item holds."""
        if item_begun:
            return self._begun_keys[number], self.terms[number]
        item = self._plan.item_of[number]
        own = self.terms[number]
        if item < 0 or not self._item_terms[item].holds:
            return self.keys[number], own
        return self.keys[number], Terms(_sum(own.holds, self._item_terms[item].holds), own.gates)

    def _terms(self, unit: QuantumUnit, lane: ExecutionMode, scopes: tuple[str, ...]) -> Terms:
        here = lane not in self._elsewhere  # what it takes of another machine is nothing of the budgets
        memory = (unit.memory or (self._peaks.get(unit.name, 0) if self._peaks else 0)) if here else 0
        cpus = unit.cpus if here else 0.0
        if not (unit.pools or cpus or memory or scopes or lane in self._limited):
            return FREE
        options = self._options
        holds = []
        if lane in self._limited:
            holds.append((lane_limit(lane), 1 if lane in _OWN_LIMITS else WORKER // self._batch(unit, lane)))
        # what the whole chain of an item holds, its units do not hold once more
        held = options.group_pools.get(unit.group, {}) if unit.group else {}
        holds += _pools({name: count for name, count in unit.pools.items() if name not in held})
        if cpus and options.cpus is not None:
            holds.append((CPUS, round(cpus * MILLI)))
        if memory and self._budget is not None:
            holds.append((MEMORY, min(memory, self._budget)))  # one that wants more than there is runs alone
        return Terms(tuple(holds), scopes)

    @property
    def asked(self) -> frozenset[str]:
        """The limits that some unit or item takes something of."""
        every = {terms.holds for terms in (*self.terms, *self._item_terms)}
        return frozenset(limit for holds in every for limit, _ in holds)

    def own(self, number: int) -> Terms:
        """What a unit itself takes."""
        return self.terms[number]

    def of_item(self, item: int) -> Terms:
        """What an item of a group holds from its first start to its last end."""
        return self._item_terms[item]


def _pools(pools: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((pool_limit(name), count) for name, count in sorted(pools.items()))


def _sum(*holds: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    total: dict[str, int] = defaultdict(int)
    for each in holds:
        for limit, amount in each:
            total[limit] += amount
    return tuple(total.items())
