"""All that can be told of a run before it begins: the schedule, what the cache holds, the memory of units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from qtui.cli.earlier import seconds_of
from qtui.cli.words import counted
from qtui.core.definition import WorkflowDefinition
from qtui.core.plan import ExecutionPlan
from qtui.core.planned import Fate, Planned, plan_run, skipped
from qtui.manager import WorkflowManager

if TYPE_CHECKING:
    from qtui.engine.foreseen import Foreseen
    from qtui.store.pasts import UnitPast


class Memory(NamedTuple):
    """The bytes that a unit is expected to need: what it declares, or the most that it has used in earlier runs."""

    bytes: int
    declared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The run as `planned`; by unit number what the `cache` would say and the `memory`, where there is something to
    say; `runs` is from how many earlier runs a unit is known, by number, and `cpu` the CPU seconds that those units use
    together that have something to do, in time or not."""

    planned: Planned
    cache: Mapping[int, Foreseen]
    memory: Mapping[int, Memory]
    runs: Mapping[int, int]
    cpu: float

    @property
    def assumed(self) -> list[str]:
        """What the run would go by that nobody knows, in words."""
        due = {unit.number for unit in self.planned.units if unit.due}
        still_open = sum(found.hit is None for number, found in self.cache.items() if number in due)
        miss = "a miss" if still_open == 1 else "misses"
        told = [f"{counted(still_open, 'open look-up')} of the cache taken for {miss}"] if still_open else []
        return [*self.planned.assumed, *told]


def outlook_of(manager: WorkflowManager, definition: WorkflowDefinition) -> Outlook:
    """What a run of the workflow would be like now; nothing is run. Raises InvalidWorkflow."""
    plan, options = manager.plan(definition), definition.options
    cache: Mapping[int, Foreseen] = {}
    if any(unit.cache is not None for unit in plan.table):
        cache = manager.foresee(definition, plan, skipped(plan, options))
    pasts = manager.past(definition, plan)
    hits = [number for number, found in cache.items() if found.hit]
    planned = plan_run(plan, options, seconds_of(pasts), hits)
    running = {unit.number for unit in planned.units if unit.fate is Fate.RUN} | planned.late
    known = {plan.numbers[unit]: past for unit, past in pasts.items()}
    return Outlook(
        planned=planned,
        cache=cache,
        memory=_memory_of(plan, known),
        runs={number: sum(past.alike) or len(past.alike) for number, past in known.items()},
        cpu=sum(fmean(past.cpu or (0.0,)) for number, past in known.items() if number in running),
    )


def _memory_of(plan: ExecutionPlan, known: Mapping[int, UnitPast]) -> dict[int, Memory]:
    found = {number: Memory(peak, False) for number, past in known.items() if (peak := max(past.peaks, default=0))}
    return found | {number: Memory(unit.memory, True) for number, unit in enumerate(plan.table) if unit.memory}
