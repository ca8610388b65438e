"""Plans of ready units: run them, draw them, and find out what suits them, without keeping a partitioner."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from qtui.core.model import Call, ExecutionMode, QuantumUnit, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.definition import machine
from qtui.partitioner import QuantumPartitioner
from qtui.taskunits import caller, make_unit, with_metadata

_WORDS: Final = {"parallel": ExecutionMode.PROCESS, "threaded": ExecutionMode.THREAD}


def QuantumTask(  # noqa: N802  - to those who use it, it is a class: what it makes is a QuantumUnit
    id: str,  # noqa: A002
    function: Callable[..., Any],
    dependencies: Iterable[str] = (),
    timeout: float | None = None,
    retries: int = 0,
    priority: int = 0,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> QuantumUnit:
    """A unit that calls `function`, for `execute_quantum_plan` and `QuantumPartitioner.add_unit`."""
    keys = {"dependencies": dependencies, "timeout": timeout, "retries": retries, "priority": priority, "tags": tags}
    return with_metadata(make_unit(function, id, keys, metadata or {}, caller()))


def execute_quantum_plan(
    tasks: Mapping[str, QuantumUnit],
    context: Mapping[str, Any] | None = None,
    max_workers: int | None = None,
    execution_mode: str = "parallel",
) -> dict[str, Any]:
    """Run units, and return their results by id; see `QuantumPartitioner.execute`.

    The keys of `tasks` are the ids. `execution_mode` is ``parallel`` (processes), ``threaded`` or an ExecutionMode.
    """
    partitioner = QuantumPartitioner(max_workers=max_workers, name="plan")
    for name, unit in tasks.items():
        partitioner.add_unit(unit if unit.id == name else replace(unit, id=name))
    return partitioner.execute(context, _WORDS.get(execution_mode, execution_mode))


def visualize_execution_plan(tasks: Mapping[str, QuantumUnit], states: Mapping[str, UnitState] | None = None) -> str:
    """The plan of these units in DOT, coloured by `states` if they are given."""
    units = [unit if unit.id == name else replace(unit, id=name) for name, unit in tasks.items()]
    return ExecutionPlan.build(units).visualize(states)


def select_optimal_workers(units: Mapping[str, QuantumUnit], execution_plan: ExecutionPlan) -> int:
    """How many workers suit the plan: as many as can be busy, one for each core if most units compute, else two."""
    computing = sum(_resource_type(unit, "io") == "cpu" for unit in units.values())
    cores = math.ceil(machine.cores())
    most = cores if computing > len(units) - computing else 2 * cores
    return min(execution_plan.max_parallel_units, most)


def select_execution_strategy(units: Mapping[str, QuantumUnit]) -> ExecutionMode:
    """The mode that suits most units: coroutines, threads or, also if nothing is said of them, processes."""
    kinds = [_resource_type(unit, "cpu") for unit in units.values()]
    waiting, computing, coroutines = (kinds.count(kind) for kind in ("io", "cpu", "async"))
    if coroutines > computing + waiting:
        return ExecutionMode.ASYNC
    return ExecutionMode.THREAD if waiting > computing else ExecutionMode.PROCESS


def _resource_type(unit: QuantumUnit, otherwise: str) -> str:
    if isinstance(unit.action, Call) and unit.action.is_async:
        return "async"
    return str(unit.metadata.get("resource_type") or unit.kind or otherwise)
