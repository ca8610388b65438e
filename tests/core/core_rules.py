"""The rules of a run, written down anew: what follows for a unit from a view, and for brakes from how attempts end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any

from qtui.core.events import RunStopping, UnitFinished
from qtui.core.model import FAILURES, ExecutionMode, QuantumUnit, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView

COMPLETED, CANCELED, SKIPPED = UnitState.COMPLETED, UnitState.CANCELED, UnitState.SKIPPED
PENDING, READY = UnitState.PENDING, UnitState.READY


class Rules:
    """What the plan and the options ask for; every answer follows from the view alone."""

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.options = options
        self.capacity: dict[str, float] = {"sequential": 1, "async": options.max_async, **options.pools}
        self.capacity |= {} if options.cpus is None else {"cpus": options.cpus}
        memory = options.memory or (options.memory_target if options.adaptive else None)
        self.capacity |= {} if memory is None else {"memory": memory}
        self.peaks: dict[str, int] = {}
        self.took: dict[str, list[float]] = {}
        self.know(plan)

    def know(self, plan: ExecutionPlan) -> None:
        """The plan is this from now on."""
        self.plan = plan
        self.units, self.needs = plan.table, plan.needs
        self.everyone = range(len(plan))
        self.members: dict[int, list[int]] = {}
        for number in self.everyone:
            if (item := plan.item_of[number]) >= 0:
                self.members.setdefault(item, []).append(number)
        self.scopes = [self._scopes(number) for number in self.everyone]
        self.adders = {number: adder for adder, added in plan.added.items() for number in added}

    def handler(self, number: int) -> bool:
        return self.units[number].when in ("failure", "always")

    def held_back(self, view: RunView, number: int) -> bool:
        """True while a unit runs again that has added this one, or what has added it, however far above."""
        adder = self.adders.get(number)
        return adder is not None and (not view.states[adder].ended or self.held_back(view, adder))

    # -- ends ----------------------------------------------------------------------------------------------

    def good(self, view: RunView, number: int) -> bool:
        state = view.states[number]
        return state is COMPLETED or (state in FAILURES and self.units[number].allow_failure)

    def failures(self, view: RunView) -> list[int]:
        """The units whose failure is not allowed."""
        return [number for number in self.everyone if view.states[number] in FAILURES and not self.good(view, number)]

    def met(self, view: RunView, number: int) -> bool:
        if self.handler(number):
            return all(view.states[need].ended for need in self.needs[number])
        return all(self.good(view, need) for need in self.needs[number])

    def bad_need(self, view: RunView, number: int) -> bool:
        """True if a need keeps the unit from ever running."""
        needs = [] if self.handler(number) else self.needs[number]
        return any(view.states[need].ended and not self.good(view, need) for need in needs)

    def blamed(self, view: RunView, number: int) -> bool | None:
        """Whether a failure is behind the end of a need, None while that depends on units that have not ended."""
        answers = [self._failed(view, need, direct=True) for need in self.needs[number]]
        return True if True in answers else None if None in answers else False

    def _failed(self, view: RunView, number: int, *, direct: bool = False) -> bool | None:
        state, last = view.states[number], view.last[number]
        if not state.ended:
            return None
        if state in FAILURES:
            return direct or not self.good(view, number)
        if state is CANCELED:
            return isinstance(last, UnitFinished) and last.because >= 0
        if state is SKIPPED and last.cause.startswith("because"):
            answers = [self._failed(view, need) for need in self.needs[number]]
            return True if True in answers else None if None in answers else False
        return False

    def holds(self, view: RunView, number: int) -> bool:
        """Whether the unit's condition is true, if it has one."""
        condition = self.units[number].condition
        return condition is None or condition.holds(lambda name, fact: self._fact(view, number, name, fact))

    def _fact(self, view: RunView, number: int, name: str, fact: str) -> Any:
        me = self.units[number]
        family = [n for n in self.everyone if self.units[n].family == name]
        own = [n for n in family if me.group and (self.units[n].group, self.units[n].item) == (me.group, me.item)]
        named = [n for n in self.everyone if self.units[n].id == name] or own or family
        if fact == "state":
            states = {str(view.states[n]) for n in named}
            return states.pop() if len(states) == 1 else "mixed"
        return any(isinstance(end := view.last[n], UnitFinished) and getattr(end, fact) for n in named)

    def wants_answer(self, number: int) -> bool:
        unit = self.units[number]
        return bool(unit.confirm) and not any(fnmatchcase(unit.id, pattern) for pattern in self.options.approved)

    def govern(self, lane_workers: Mapping[str, int]) -> None:
        """While the governor decides, lanes have targets of their own."""
        for lane in ("thread", "command", "process"):
            self.capacity.pop(lane, None)
        self.capacity |= lane_workers

    # -- starts --------------------------------------------------------------------------------------------

    def may_start(self, stopping: RunStopping | None, paused: bool, number: int) -> bool:
        """What pauses and the end of the run let start."""
        if stopping is None:
            return not paused
        return self.handler(number) and stopping.how != "interrupt"

    def _scopes(self, number: int) -> set[str]:
        unit = self.units[number]
        if self.handler(number):
            return set()
        pools = {*unit.pools, *self.options.group_pools.get(unit.group, ())}
        scopes = {"", *(f"tag:{tag}" for tag in unit.tags), *(f"pool:{pool}" for pool in pools)}
        return (scopes | {f"group:{unit.group}"} if unit.group else scopes) & set(self.options.brakes)

    def holdings(self, number: int) -> Counter[str]:
        """What the unit itself holds while it has a worker."""
        unit, lane = self.units[number], self.plan.lanes[number]
        held_by_item = self.options.group_pools.get(unit.group, {}) if unit.group else {}
        held = Counter({pool: slots for pool, slots in unit.pools.items() if pool not in held_by_item})
        if str(lane) in self.capacity:
            held[str(lane)] = self.share(number)  # type: ignore[assignment]
        memory = min(unit.memory or self.peaks.get(unit.name, 0), self.capacity.get("memory", 0))
        held["cpus"], held["memory"] = unit.cpus, memory  # type: ignore[assignment]
        return Counter({limit: amount for limit, amount in held.items() if amount and limit in self.capacity})

    def may_add(self, adder: int, units: Sequence[QuantumUnit]) -> bool:
        """Whether the plan may grow by these units."""
        ids = [unit.id for unit in units]
        own = {self.units[number].id for number in self.plan.added.get(adder, ())}
        others = {unit.id for unit in self.units} - own
        families = {unit.family for unit in self.units}
        dropped = self.with_additions({self.plan.numbers[name] for name in own.difference(ids)})
        waits = {unit.id: set(unit.dependencies) - families for unit in units}
        for number in {*self.everyone}.difference(dropped, self.plan.stars):  # what a star needs gives way
            waits.setdefault(self.units[number].id, {self.units[need].id for need in self.needs[number]})
        waits = {name: needs & waits.keys() for name, needs in waits.items()}
        while free := [name for name, needs in waits.items() if not needs]:
            waits = {name: needs - set(free) for name, needs in waits.items() if name not in free}
        return (
            len(set(ids)) == len(ids)
            and others.isdisjoint(ids)
            and all({*unit.dependencies} <= {*ids, *others, *families} for unit in units)
            and not waits
            and all(unit.pools[pool] <= self.options.pools.get(pool, 0) for unit in units for pool in unit.pools)
            and all(
                unit.cpus <= (self.options.cpus or 9) and unit.memory <= (self.options.memory or 9) for unit in units
            )
        )

    def with_additions(self, numbers: set[int]) -> set[int]:
        """These units and all that they have added."""
        found = set(numbers)
        for number in numbers:
            found |= self.with_additions(set(self.plan.added.get(number, ())))
        return found

    def share(self, number: int) -> Fraction:
        """What the unit takes of a worker."""
        unit = self.units[number]
        if unit.batch is None or self.plan.lanes[number] is not ExecutionMode.PROCESS:
            return Fraction(1)
        if unit.batch != "auto":
            return Fraction(1, unit.batch)
        seconds = self.took.get(unit.name, [])
        if not seconds:
            return Fraction(1)
        size = 64
        while size > 1 and size * sum(seconds) / len(seconds) > 0.05:
            size //= 2
        return Fraction(1, size)

    def ended_well(self, event: UnitFinished) -> None:
        """How long units of a family take tells how many of them share a worker."""
        if event.state is COMPLETED and not event.cached and self.units[event.unit].batch == "auto":
            self.took.setdefault(self.units[event.unit].name, []).append(event.duration)

    def used_up(self, number: int, memory: int) -> None:
        """A unit has ended that used so much: others of its family will."""
        unit, step = self.units[number], 16 << 20
        if memory >= 64 << 20 and not unit.memory:
            self.peaks[unit.name] = max(self.peaks.get(unit.name, 0), (memory + step - 1) // step * step)

    def item_holdings(self, item: int) -> Counter[str]:
        return Counter(self.options.group_pools.get(self.units[self.members[item][0]].group, {}))

    def used(self, held: Iterable[int], items: Iterable[int]) -> Counter[str]:
        """What these units and these items hold together."""
        total: Counter[str] = Counter()
        for number in held:
            total.update(self.holdings(number))
        for item in items:
            total.update(self.item_holdings(item))
        return total

    def key(self, number: int, items: set[int]) -> tuple[int, ...]:
        """The place in the order of starts; units of items that have begun come first among equals."""
        item = self.plan.item_of[number]
        ranks = [self.plan.ranks[other] for other in self.members.get(item, [number])]
        begun = (0, item) if item in items else (1, 0)
        return (-self.units[number].priority, -max(ranks), *begun, number)

    def startable(self, waiting: list[int], held: Iterable[int], items: set[int], shut: set[str]) -> list[int]:
        """The waiting units that might start next, best first; `shut` scopes let nothing through."""
        used = self.used(held, items)
        found: list[int] = []
        short: set[str] = set()
        for number in sorted(waiting, key=lambda n: self.key(n, items)):
            if self.scopes[number] & shut:
                continue
            wanted = self.holdings(number)
            if (item := self.plan.item_of[number]) >= 0 and item not in items:
                wanted.update(self.item_holdings(item))
            lacking = {limit for limit, amount in wanted.items() if used[limit] + amount > self.capacity[limit]}
            if not lacking and short.isdisjoint(wanted):
                found.append(number)
            short |= lacking
        return found


class BrakeModel:
    """The state of each brake, counted anew."""

    def __init__(self, rules: Rules) -> None:
        self._rules, self._brakes = rules, rules.options.brakes
        self.states = dict.fromkeys(self._brakes, "open")
        self.since = dict.fromkeys(self._brakes, 0.0)
        self.failures = dict.fromkeys(self._brakes, 0)
        self._looks: dict[str, object] = dict.fromkeys(self._brakes)
        self.tried: dict[str, int] = {}

    def shut(self) -> set[str]:
        """The scopes in which nothing may start now."""
        return {
            scope
            for scope, state in self.states.items()
            if state in ("held", "stopped") or (state == "probing" and self.tried[scope])
        }

    def began(self, number: int) -> None:
        """An attempt has started, or one that was handed to its lane earlier begins: it shows how things are now."""
        for scope in self._rules.scopes[number]:
            if self.states[scope] == "probing":
                self.tried[scope] += 1

    def ended(self, number: int, how: str, error: UnitError | None, begun_at: float, now: float) -> None:
        """An attempt is over: `how` is succeeded, failed, retrying or canceled."""
        for scope in self._rules.scopes[number]:
            state = self.states[scope]
            if state == "probing" and begun_at >= self.since[scope]:
                self._to(scope, "open" if how == "succeeded" else "held", now)
            elif state == "open" and how == "succeeded":
                self.failures[scope] = 0
            elif state == "open" and how == "failed":
                assert error is not None
                self._count(scope, error, now)

    def _count(self, scope: str, error: UnitError, now: float) -> None:
        brake = self._brakes[scope]
        looks = error.exit_code if error.exit_code is not None else (error.type, re.sub(r"[\d.]+", "#", error.message))
        alike = self._looks[scope] == looks or not brake.same
        self.failures[scope] = self.failures[scope] + 1 if alike or not self.failures[scope] else 1
        self._looks[scope] = looks
        if self.failures[scope] >= brake.count:
            self._to(scope, "held" if brake.then == "pause" else "stopped", now)

    def time(self, now: float, begun_at: Mapping[int, float]) -> None:
        """What is held long enough may be tried; `begun_at` has the units that lanes hold."""
        for scope in self._brakes:
            if (due := self.due(scope)) is not None and due <= now:
                self._to(scope, "probing", now)
                # begun in this very moment, though handed to its lane before
                self.tried[scope] = sum(at >= now for n, at in begun_at.items() if scope in self._rules.scopes[n])

    def due(self, scope: str) -> float | None:
        """When a unit of the scope may try, if that is a matter of time."""
        probe = self._brakes[scope].probe
        return self.since[scope] + probe if probe is not None and self.states[scope] == "held" else None

    def release(self, scopes: Iterable[str], now: float) -> None:
        for scope in scopes:
            if self.states[scope] != "open":
                self._to(scope, "open", now)

    def _to(self, scope: str, state: str, now: float) -> None:
        self.states[scope], self.since[scope] = state, now
        self.tried[scope] = 0
        if state == "open":
            self.failures[scope] = 0
