"""Who holds what, and why a ready unit has not started. Pure, from a view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from qtui.core.batching import batch_size
from qtui.core.brakes import HELD, PROBING
from qtui.core.events import BrakeChanged, ConfirmRequested, GovernorChanged, UnitReady, WorkersChanged
from qtui.core.limits import CPUS, MEMORY, MILLI, WORKER, Limits, capacities, lane_limit, scopes_of
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView

MOST_NAMED = 3
"""How many holders are named; the rest are counted."""


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

    def shortage(self, view: RunView, number: int) -> str:
        """The limit that keeps a unit from starting, with who holds it; empty if there is enough of all."""
        item = self._plan.item_of[number]
        _, terms = self._limits.of(number, item_begun=item in view.open_items)
        for limit, amount in terms.holds:
            used = sum(each for _, each in self._held.get(limit, ()))
            capacity = self._capacity.get(limit, 1)  # a mutex that came with a unit
            if used + amount > capacity:
                if limit in self._lane_limits:
                    workers = (-(-used // WORKER), capacity // WORKER)
                    return "{} of {} {} workers busy".format(*workers, limit.removeprefix("lane "))
                return f"{_amounts(limit, amount, used, capacity)}{_named(self.of(limit))}"
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
        mega = 1 << 20
        return f"{limit}: wants {amount / mega:.0f}M, {(capacity - used) / mega:.0f}M of {capacity / mega:.0f}M free"
    return f"{limit} {used}/{capacity}"


def _named(names: list[str]) -> str:
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
