"""Who holds what of workers and limits, and how that is told. Pure, from a view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from qtui.core.batching import batch_size
from qtui.core.brakes import HELD, PROBING, passes
from qtui.core.events import BrakeChanged, GovernorChanged, UnitSubmitted, WorkersChanged
from qtui.core.limits import CPUS, MEMORY, MILLI, WORKER, Limits, capacities, lane_limit
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import Room, Terms
from qtui.core.state import RunView

MOST_NAMED = 3
"""How many holders are named; the rest are counted."""


class Share(NamedTuple):
    """What there is of a limit, ``pool NAME``, ``mutex NAME``, ``cpus``, ``memory`` or ``lane NAME``, what of it is in
    use, and by whom; with what a unit wants of it, if that is asked for. Of what a cluster is sent, whether that is
    `unmanned`: without workers."""

    limit: str
    used: int
    capacity: int
    holders: tuple[str, ...]
    wanted: int = 0
    unmanned: bool = False

    @property
    def words(self) -> str:
        """How much of it is in use."""
        if self.limit == CPUS:
            return f"{self.used / MILLI:g} of {self.capacity / MILLI:g} in use"
        if self.limit == MEMORY:
            return f"{self.used / _MEGA:,.0f}M of {self.capacity / _MEGA:,.0f}M in use"
        if self.limit.startswith(_LANE) and self.capacity >= WORKER:  # as of the lanes that have targets
            used, most = -(-self.used // WORKER), self.capacity // WORKER
            return f"has {used}, takes {most} at a time" if self._of_cluster else f"{used} of {most} workers busy"
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
        """Who holds it, which is told first, as rows are cut at their end, and what of it is missing."""
        if self.limit.startswith(_LANE) and self.capacity >= WORKER:
            used, most = -(-self.used // WORKER), self.capacity // WORKER
            if self._of_cluster:
                if self.unmanned:
                    return "the cluster has no workers"
                return f"the cluster takes {units_words(most)} at a time" + (f", and has {used}" if used > most else "")
            return f"{used} of {most} {self.limit.removeprefix(_LANE)} workers busy"
        amounts = _amounts(self.limit, self.wanted, self.used, self.capacity)
        return f"held by {_named(self.holders)} ({amounts})" if self.holders else amounts

    @property
    def _of_cluster(self) -> bool:
        """Whether it is how many units a cluster is sent: of all that custom units run in, only that has a target."""
        return self.limit == lane_limit(ExecutionMode.CUSTOM)


_MEGA = 1 << 20
_LANE = "lane "


class _Held(NamedTuple):
    """What one unit, or an item with these `units`, holds of a limit."""

    name: str
    amount: int
    units: Sequence[int]


class Holders:
    """What units and items of groups hold of a run's workers, lanes, pools and budgets.

    `limits` are the terms of their starts. `active` are the units that hold a worker, and `busy` is how many workers
    have units: those that share one count as one. Of these `waiting` units have been sent to a cluster, if the run has
    a `cluster`, and have not begun there.
    """

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.busy = self.waiting = 0
        self.cluster = ExecutionMode.CUSTOM in options.elsewhere
        self.active: Collection[int] = ()
        self._options = options
        self._held: dict[str, list[_Held]] = {}
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
        if self.cluster:
            sent = (number for number in self.active if view.plan.lanes[number] is ExecutionMode.CUSTOM)
            self.waiting = sum(type(view.last[number]) is UnitSubmitted for number in sent)
        for lane, target in view.lane_workers.items():
            self._capacity[lane_limit(ExecutionMode(lane))] = target * WORKER
        held: dict[str, list[_Held]] = defaultdict(list)
        for number in self.active:
            for limit, amount in self.limits.own(number).holds:
                held[limit].append(_Held(self._plan.table[number].id, amount, (number,)))
        for item in sorted(view.open_items):
            members = self._plan.items[item]
            first = self._plan.table[members[0]]
            for limit, amount in self.limits.of_item(item).holds:
                held[limit].append(_Held(f"{first.group}{first.item}", amount, members))
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
            if not self._are_over(self._plan.items[item], ending):
                room.take(limits.of_item(item))
        for scope, change in view.brakes.items():
            left = passes(change, (view.begun[number].at for number in active if scope in limits.scopes[number]))
            if left is not None:
                room.limit_passes(scope, left)
        return room, self._load(active)

    def of(self, limit: str) -> list[str]:
        """The names of who holds something of ``pool NAME``, ``mutex NAME``, ``cpus`` or ``memory``."""
        return [each.name for each in self._held.get(limit, ())]

    def share(self, limit: str, wanted: int = 0, ending: Collection[int] = ()) -> Share:
        """How things are with a limit; who gives it back once the units in `ending` have ended is not named."""
        held = self._held.get(limit, ())
        used = sum(each.amount for each in held)
        names = tuple(each.name for each in held if not ending or not self._are_over(each.units, ending))
        # a mutex that came with a unit
        return Share(limit, used, self._capacity.get(limit, 1), names, wanted, self._view.unmanned_at is not None)

    def _are_over(self, units: Sequence[int], ending: Collection[int]) -> bool:
        """Whether all of the units have ended once those in `ending` have."""
        states = self._view.states
        return all(states[unit].ended or unit in ending for unit in units)

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
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def bounded(cluster: bool) -> str:
    """What a person sets a number of: ``workers``, or the ``units at a time`` that a `cluster` is sent, begun or not,
    whose workers are not the run's."""
    return "units at a time" if cluster else "workers"


def workers_words(event: WorkersChanged, *, cluster: bool = False) -> str:
    """How many units may run at a time from now on, and why; `cluster` as in `bounded`."""
    if event.lane == ExecutionMode.CUSTOM:  # some of the units that it is sent wait there: that number says nothing
        return f"units {event.cause}"
    if event.lane:
        return f"{event.lane} workers {event.cause}"
    return f"{_counted(event.target, cluster)}: {event.cause}"


def _counted(count: int, cluster: bool) -> str:
    return f"{count} {bounded(cluster) if count != 1 else 'unit at a time' if cluster else 'worker'}"


def room_words(workers: int, lanes: Mapping[str, int], *, cluster: bool = False) -> str:
    """Where units run, of all lanes together up to `workers` and in these of each: ``4 workers``, ``4 workers and a
    cluster``. Nobody counts coroutines, and of a cluster the size is known once it is there; `cluster` as in `bounded`,
    where no lane has a number of its own."""
    here = sum(target for lane, target in lanes.items() if lane != ExecutionMode.CUSTOM)
    most = min(here, workers) if lanes else workers
    told = _counted(most, cluster and not lanes) if most else ""
    return " and ".join(filter(None, (told, "a cluster" if ExecutionMode.CUSTOM in lanes else "")))


def units_words(count: int) -> str:
    """``1 unit``, ``8 units``."""
    return f"{count} unit{'' if count == 1 else 's'}"


def governor_words(event: GovernorChanged, *, cluster: bool = False) -> str:
    """Who decides how many units run at a time; `cluster` as in `bounded`."""
    adapted = "adapted" if cluster else "adapted to the machine"
    return f"the number of {bounded(cluster)} is {adapted if event.on else 'fixed'}: {event.cause}"


def held_brakes(view: RunView) -> list[str]:
    """The brakes that hold starts now, in words."""
    return [brake_words(brake) for brake in view.brakes.values() if brake.state in (HELD, PROBING)]


def brake_words(brake: BrakeChanged) -> str:
    """What a brake stands on, and why it holds."""
    kind, _, name = brake.scope.partition(":")
    where = f"{kind} {name}: " if name else ""
    trying = ", one unit tries" if brake.state == PROBING else ""
    return f"{where}{brake.failures} failure{'' if brake.failures == 1 else 's'} in a row{trying}"
