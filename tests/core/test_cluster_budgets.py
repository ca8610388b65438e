"""What units take of a cluster's machines is nothing of this machine's budgets."""

from __future__ import annotations

from core_driver import SUCCESS, Run

from qtui.core.growth import limit_problems
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan

CUSTOM, THREAD = ExecutionMode.CUSTOM, ExecutionMode.THREAD


def unit(name: str, mode: ExecutionMode, **keys: object) -> QuantumUnit:
    return QuantumUnit(id=name, action=lambda: None, mode=mode, **keys)  # type: ignore[arg-type]


def test_only_units_of_this_machine_hold_its_cores_and_memory() -> None:
    far = [unit(f"far{n}", CUSTOM, cpus=3, memory=3 << 30) for n in range(3)]
    near = [unit(f"near{n}", THREAD, cpus=3, memory=3 << 30) for n in range(3)]

    run = Run(*far, *near, executor="dask", workers=9, cpus=4, memory=4 << 30)

    assert {run.plan.table[number].id for number in run.held} == {"far0", "far1", "far2", "near0"}


def test_another_executor_may_use_the_cores_of_this_machine() -> None:
    run = Run(*(unit(f"far{n}", CUSTOM, cpus=3) for n in range(3)), executor="pools:make", workers=9, cpus=4)

    assert len(run.held) == 1


def test_memory_that_a_family_has_used_in_a_cluster_holds_nobody_back_here() -> None:
    far = [unit(f"far{n}", CUSTOM, family="far") for n in range(6)]
    run = Run(*far, executor="dask", workers=4, adaptive=True, memory_target=1 << 30)

    run.returns("far0", SUCCESS._replace(peak_memory=5 << 30))

    assert len(run.held) == 4


def test_a_unit_that_is_added_may_ask_for_more_than_this_machine_has_if_it_runs_in_a_cluster() -> None:
    large = unit("large", ExecutionMode.AUTO, cpus=64, memory=1 << 40)
    budgets = RunOptions(executor="dask", mode=CUSTOM, cpus=4, memory=1 << 30)

    there = ExecutionPlan.build([large], default_mode=CUSTOM)
    here = ExecutionPlan.build([large], default_mode=THREAD)

    assert list(limit_problems(there, large, budgets)) == []
    assert len(list(limit_problems(here, large, budgets))) == 2


def test_units_without_a_mode_run_elsewhere_if_the_workflow_says_so() -> None:
    assert RunOptions().elsewhere == RunOptions(executor="pools:make", mode=CUSTOM).elsewhere == frozenset()
    assert RunOptions(executor="dask").elsewhere == {CUSTOM}
    assert RunOptions(executor="dask", mode=CUSTOM).elsewhere == {CUSTOM, ExecutionMode.AUTO}
