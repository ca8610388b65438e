"""Who holds what, and why a ready unit has not started. Pure, from a view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from qtui.core.batching import batch_size
from qtui.core.brakes import HELD, PROBING
from qtui.core.events import BrakeChanged, ConfirmRequested, GovernorChanged, UnitReady, WorkersChanged
from qtui.core.limits import CPUS, MEMORY, MILLI, WORKER, Limits, capacities, is_mutex, lane_limit, scopes_of
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
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
    def short(self) -> bool:
        """Whether there is less left than is wanted."""
        return self.used + self.wanted > self.capacity

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


_MEGA = 1 << 20
_LANE = "lane "


class Holders:
    """What units and items of groups hold of a run's workers, lanes, pools and budgets."""

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.busy = 0
        """How many workers have units; those that share one count as one."""
        self._options = options
        self._held: dict[str, list[tuple[str, int]]] = {}
        self._know(RunView.initial(plan), {})

    def _know(self, view: RunView, batches: Mapping[str, int]) -> None:
        plan, lanes = view.plan, view.lane_workers
        self._plan, self._lanes, self._peaks, self._batches = plan, set(lanes), view.peaks, batches
        self._limits = Limits(plan, self._options, frozenset(map(ExecutionMode, lanes)), view.peaks, view.durations)
        self._capacity = capacities(self._options)
        self._lane_limits = {lane_limit(ExecutionMode(lane)) for lane in lanes}
        self._share_workers = any(unit.batch is not None for unit in plan.table)

    def update(self, view: RunView, active: Collection[int]) -> None:
        """Count anew, `active` being the units that hold a worker."""
        batches = _batches(view)
        same = view.plan is self._plan and view.peaks == self._peaks and view.lane_workers.keys() == self._lanes
        if not same or batches != self._batches:
            self._know(view, batches)
        load = sum(WORKER // self._limits.batch(number) if self._share_workers else WORKER for number in active)
        self.busy = -(-load // WORKER)
        for lane, target in view.lane_workers.items():
            self._capacity[lane_limit(ExecutionMode(lane))] = target * WORKER
        held: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for number in active:
            for limit, amount in self._limits.own(number).holds:
                held[limit].append((self._plan.table[number].id, amount))
        for item in sorted(view.open_items):
            first = self._plan.table[self._plan.items[item][0]]
            for limit, amount in self._limits.of_item(item).holds:
                held[limit].append((f"{first.group}{first.item}", amount))
        self._held = held

    def of(self, limit: str) -> list[str]:
        """The names of who holds something of ``pool NAME``, ``cpus`` or ``memory``."""
        return [name for name, _ in self._held.get(limit, ())]

    def share(self, limit: str, wanted: int = 0) -> Share:
        """How things are with a limit."""
        held = self._held.get(limit, ())
        used = sum(amount for _, amount in held)
        # a mutex that came with a unit
        return Share(limit, used, self._capacity.get(limit, 1), tuple(name for name, _ in held), wanted)

    def wanted(self, view: RunView, number: int) -> list[Share]:
        """How things are with each limit that counts for a unit."""
        begun = self._plan.item_of[number] in view.open_items
        _, terms = self._limits.of(number, item_begun=begun)
        return [self.share(limit, amount) for limit, amount in terms.holds]

    @property
    def shares(self) -> list[Share]:
        """How things are with pools, mutexes and budgets, in this order."""
        names = [name for name in self._capacity if not name.startswith(_LANE)]
        names += [name for name in self._held if name not in self._capacity and not name.startswith(_LANE)]
        budgets = [name for name in (CPUS, MEMORY) if name in names]
        return [self.share(name) for name in (*(name for name in names if name not in budgets), *budgets)]

    def shortage(self, view: RunView, number: int) -> str:
        """The limit that keeps a unit from starting, with who holds it; empty if there is enough of all."""
        for share in self.wanted(view, number):
            if share.short:
                limit, used, capacity = share.limit, share.used, share.capacity
                if limit in self._lane_limits:
                    workers = (-(-used // WORKER), capacity // WORKER)
                    return "{} of {} {} workers busy".format(*workers, limit.removeprefix(_LANE))
                return f"{_amounts(limit, share.wanted, used, capacity)}{_named(share.holders)}"
        return ""


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


def held_by_brake(view: RunView, options: RunOptions, number: int) -> str:
    """The brake that holds starts of the unit, in words; empty if there is none."""
    for scope in scopes_of(view.plan.table[number], options) if view.brakes else ():
        brake = view.brakes.get(scope)
        if brake is not None and brake.state in (HELD, PROBING):
            return f"held: {brake_words(brake)}"
    return ""


def brake_words(brake: BrakeChanged) -> str:
    """What a brake stands on, and why it holds."""
    kind, _, name = brake.scope.partition(":")
    where = f"{kind} {name}: " if name else ""
    trying = ", one unit tries" if brake.state == PROBING else ""
    return f"{where}{brake.failures} failure{'' if brake.failures == 1 else 's'} in a row{trying}"


def waits_for(view: RunView, options: RunOptions, holders: Holders, number: int) -> str:
    """Why a ready unit that holds no worker has not started, in a few words; empty if it is about to."""
    last = view.last[number]
    if isinstance(last, ConfirmRequested):
        return last.question
    first = view.attempts[number] == view.bases[number]
    if isinstance(last, UnitReady) and first and view.plan.table[number].cache is not None:
        return "looking for an earlier result"
    if view.paused and view.stopping is None:
        return "paused"
    return held_by_brake(view, options, number) or holders.shortage(view, number) or _busy(view, holders)


def _busy(view: RunView, holders: Holders) -> str:
    busy = holders.busy + view.stuck
    if busy < view.workers:
        return ""
    kept = f", {view.stuck} by abandoned attempts" if view.stuck else ""
    return f"{busy} of {view.workers} workers busy{kept}"
