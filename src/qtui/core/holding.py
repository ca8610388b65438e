"""Who holds what of workers and limits, and how that is told. Pure, from a view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from qtui.core.batching import batch_size
from qtui.core.brakes import HELD, PROBING, passes
from qtui.core.events import BrakeChanged, GovernorChanged, WorkersChanged
from qtui.core.limits import CPUS, MEMORY, MILLI, WORKER, Limits, capacities, is_mutex, lane_limit
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import Room, Terms
from qtui.core.state import RunView

MOST_NAMED = 3
"""How many holders are named; the rest are counted."""


class Share(NamedTuple):
    """What there is of a limit, ``pool NAME``, ``mutex NAME``, ``cpus``, ``memory`` or ``lane NAME``, what of it is in
    use, and by whom; with what a unit wants of it, if that is asked for."""

    limit: str
    used: int
    capacity: int
    holders: tuple[str, ...]
    wanted: int = 0

    @property
    def name(self) -> str:
        """What people call it."""
        return self.limit.removeprefix("pool ") if is_mutex(self.limit.removeprefix("pool ")) else self.limit

    @property
    def words(self) -> str:
        """How much of it is in use."""
        if self.limit == CPUS:
            return f"{self.used / MILLI:g} of {self.capacity / MILLI:g} in use"
        if self.limit == MEMORY:
            return f"{self.used / _MEGA:,.0f}M of {self.capacity / _MEGA:,.0f}M in use"
        if self.limit.startswith(_LANE) and self.capacity >= WORKER:  # as of the lanes that have targets
            return f"{-(-self.used // WORKER)} of {self.capacity // WORKER} workers busy"
        return f"{self.used} of {self.capacity} in use"

    @property
    def wanted_words(self) -> str:
        """How much of it is wanted; empty where that is one."""
        if self.limit == CPUS:
            return f"wants {self.wanted / MILLI:g}"
        if self.limit == MEMORY:
            return f"wants {self.wanted / _MEGA:,.0f}M"
        return "" if self.limit.startswith(_LANE) or self.wanted == 1 else f"wants {self.wanted}"

    @property
    def shortage(self) -> str:
        """What of it is missing, and who holds it."""
        if self.limit.startswith(_LANE) and self.capacity >= WORKER:
            workers = f"{-(-self.used // WORKER)} of {self.capacity // WORKER}"
            return f"{workers} {self.limit.removeprefix(_LANE)} workers busy"
        return f"{_amounts(self.limit, self.wanted, self.used, self.capacity)}{_named(self.holders)}"


_MEGA = 1 << 20
_LANE = "lane "


class Holders:
    """What units and items of groups hold of a run's workers, lanes, pools and budgets.

    `limits` are the terms of their starts. `active` are the units that hold a worker, and `busy` is how many workers
    have units: those that share one count as one.
    """

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.busy = 0
        self.active: Collection[int] = ()
        self._options = options
        self._held: dict[str, list[tuple[str, int]]] = {}
        self._know(RunView.initial(plan), {})

    def _know(self, view: RunView, batches: Mapping[str, int]) -> None:
        plan, lanes = view.plan, view.lane_workers
        self._view, self._plan, self._lanes, self._peaks, self._batches = view, plan, set(lanes), view.peaks, batches
        self.limits = Limits(plan, self._options, frozenset(map(ExecutionMode, lanes)), view.peaks, view.durations)
        self._capacity, self._asked = capacities(self._options), self.limits.asked
        self._share_workers = any(unit.batch is not None for unit in plan.table)

    def update(self, view: RunView, active: Collection[int]) -> None:
        """Count anew, `active` being the units that hold a worker."""
        batches = _batches(view)
        same = view.plan is self._plan and view.peaks == self._peaks and view.lane_workers.keys() == self._lanes
        if not same or batches != self._batches:
            self._know(view, batches)
        self._view, self.active = view, tuple(active)
        self.busy = -(-self._load(self.active) // WORKER)
        for lane, target in view.lane_workers.items():
            self._capacity[lane_limit(ExecutionMode(lane))] = target * WORKER
        held: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for number in self.active:
            for limit, amount in self.limits.own(number).holds:
                held[limit].append((self._plan.table[number].id, amount))
        for item in sorted(view.open_items):
            first = self._plan.table[self._plan.items[item][0]]
            for limit, amount in self.limits.of_item(item).holds:
                held[limit].append((f"{first.group}{first.item}", amount))
        self._held = held

    def _load(self, active: Collection[int]) -> int:
        if not self._share_workers:
            return WORKER * len(active)
        return sum(WORKER // self.limits.batch(number) for number in active)

    def room(self, ending: Collection[int]) -> tuple[Room, int]:
        """What will be left once the units in `ending` have ended, if nothing starts, and what all others take of
        workers (each is `WORKER`)."""
        view, limits = self._view, self.limits
        active = [number for number in self.active if number not in ending]
        room = Room(self._capacity)
        for number in active:
            room.take(Terms(limits.own(number).holds))
        for item in view.open_items:
            if not all(view.states[unit].ended or unit in ending for unit in self._plan.items[item]):
                room.take(limits.of_item(item))
        for scope, change in view.brakes.items():
            left = passes(change, (view.begun[number].at for number in active if scope in limits.scopes[number]))
            if left is not None:
                room.limit_passes(scope, left)
        return room, self._load(active)

    def of(self, limit: str) -> list[str]:
        """The names of who holds something of ``pool NAME``, ``cpus`` or ``memory``."""
        return [name for name, _ in self._held.get(limit, ())]

    def share(self, limit: str, wanted: int = 0) -> Share:
        """How things are with a limit."""
        held = self._held.get(limit, ())
        used = sum(amount for _, amount in held)
        # a mutex that came with a unit
        return Share(limit, used, self._capacity.get(limit, 1), tuple(name for name, _ in held), wanted)

    def wanted(self, number: int) -> list[Share]:
        """How things are with each limit that counts for a unit."""
        begun = self._plan.item_of[number] in self._view.open_items
        _, terms = self.limits.of(number, item_begun=begun)
        return [self.share(limit, amount) for limit, amount in terms.holds]

    @property
    def shares(self) -> list[Share]:
        """How things are with pools, mutexes and budgets that units ask for, in this order."""
        names = [name for name in self._capacity if name in self._asked and not name.startswith(_LANE)]
        names += [name for name in self._held if name not in self._capacity and not name.startswith(_LANE)]
        budgets = [name for name in (CPUS, MEMORY) if name in names]
        return [self.share(name) for name in (*(name for name in names if name not in budgets), *budgets)]


def _batches(view: RunView) -> dict[str, int]:
    """How many units share a worker, of each family for which that follows from how long its units take."""
    plan = view.plan
    firsts = {name: plan.families.get(name, (plan.numbers.get(name, -1),))[0] for name in view.durations}
    return {
        name: batch_size(plan.table[first], plan.lanes[first], view.durations)
        for name, first in firsts.items()
        if first >= 0
    }


def _amounts(limit: str, amount: int, used: int, capacity: int) -> str:
    if limit == CPUS:
        return f"{limit}: wants {amount / MILLI:g}, {(capacity - used) / MILLI:g} of {capacity / MILLI:g} free"
    if limit == MEMORY:
        free, most = (capacity - used) / _MEGA, capacity / _MEGA
        return f"{limit}: wants {amount / _MEGA:.0f}M, {free:.0f}M of {most:.0f}M free"
    return f"{limit} {used}/{capacity}"


def _named(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f", held by {', '.join(names[:MOST_NAMED])}{more}"


def workers_words(event: WorkersChanged) -> str:
    """How many units may run at a time from now on, and why."""
    if event.lane:
        return f"{event.lane} workers {event.cause}"
    return f"{event.target} worker{'' if event.target == 1 else 's'}: {event.cause}"


def governor_words(event: GovernorChanged) -> str:
    """Who decides how many units run at a time."""
    return f"the number of workers is {'adapted to the machine' if event.on else 'fixed'}: {event.cause}"


def held_brakes(view: RunView) -> list[str]:
    """The brakes that hold starts now, in words."""
    return [brake_words(brake) for brake in view.brakes.values() if brake.state in (HELD, PROBING)]


def brake_words(brake: BrakeChanged) -> str:
    """What a brake stands on, and why it holds."""
    kind, _, name = brake.scope.partition(":")
    where = f"{kind} {name}: " if name else ""
    trying = ", one unit tries" if brake.state == PROBING else ""
    return f"{where}{brake.failures} failure{'' if brake.failures == 1 else 's'} in a row{trying}"
