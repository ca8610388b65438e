"""QuantumPartitioner: where units run, what units there may be, and the plans they make."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from library_plans import MODES, parse_dot, raises, sums
from library_waiting import GENEROUS

from qtui import (
    CircularDependencyError,
    ExecutionMode,
    InvalidWorkflow,
    QtuiError,
    QuantumPartitioner,
    QuantumTask,
    QuantumUnit,
    UnitState,
    WorkflowFailed,
    execute_quantum_plan,
    select_execution_strategy,
    select_optimal_workers,
    visualize_execution_plan,
)

# -- modes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*MODES, *map(ExecutionMode, MODES)])
def test_results_come_by_id_and_in_declared_order_whatever_the_mode(mode: Any):
    results = sums(QuantumPartitioner()).execute({"number": 4}, execution_mode=mode)
    assert list(results.items()) == [("given", 4), ("more", 5), ("times", 40), ("sum", 45)]


def test_the_mode_is_where_units_run():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(os.getpid, name="pid")
    partitioner.add_unit(threading.get_ident, name="thread")
    here = partitioner.execute()
    assert here["pid"] == os.getpid() and here["thread"] != threading.get_ident()
    assert partitioner.execute(execution_mode="process")["pid"] != os.getpid()


def test_a_unit_keeps_a_mode_of_its_own():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(os.getpid, name="alone", mode="process")
    partitioner.add_unit(os.getpid, name="here")
    results = partitioner.execute(execution_mode="thread")
    assert results["alone"] != os.getpid() and results["here"] == os.getpid()


@pytest.mark.parametrize(("mode", "workers"), [("sequential", 1), ("thread", 3)])
def test_workers_are_the_most_that_run_at_a_time(mode: str, workers: int):
    work, most = most_at_a_time(workers)
    partitioner = QuantumPartitioner(max_workers=3)
    for _ in range(6):
        partitioner.add_unit(work)
    partitioner.execute(execution_mode=mode)
    assert most == [workers]


def test_sequential_runs_coroutines_one_after_another_too():
    order: list[str] = []

    async def slow(context: Any) -> None:
        order.append("slow begins")
        await asyncio.sleep(0.02)
        order.append("slow ends")

    partitioner = QuantumPartitioner()
    partitioner.add_unit(slow, name="slow", priority=1)
    partitioner.add_unit(lambda: order.append("other"), name="other")
    partitioner.execute(execution_mode="sequential")
    assert order == ["slow begins", "slow ends", "other"]


def test_coroutines_run_beside_plain_functions_in_async_mode():
    async def wait(context: Any) -> str:
        await asyncio.sleep(0)
        return context["plain"]

    partitioner = QuantumPartitioner(default_execution_mode="async")
    partitioner.add_unit(threading.get_ident, name="plain")
    partitioner.add_unit(wait, ["plain"], "waiting")
    results = partitioner.execute()
    assert results["waiting"] == results["plain"] != threading.get_ident()


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_units_run_in_an_executor_that_stays_open(pool: Any):
    with pool(2) as executor:
        results = sums(QuantumPartitioner()).execute({"number": 1}, custom_executor=executor)
        assert results["sum"] == 12
        assert executor.submit(int, "7").result(GENEROUS) == 7


def test_an_added_unit_is_the_first_that_runs_in_the_executor():
    def adds(context: Any) -> str:
        context.add_unit(lambda: threading.current_thread().name, name="added", mode="custom")
        return threading.current_thread().name

    partitioner = QuantumPartitioner()
    partitioner.add_unit(adds, name="adder", mode="thread")
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        results = partitioner.execute(custom_executor=executor)
    assert results["added"].startswith("mine")
    assert not results["adder"].startswith("mine")


def test_custom_needs_an_executor_and_an_executor_custom():
    partitioner = sums(QuantumPartitioner())
    with pytest.raises(QtuiError, match="custom_executor"):
        partitioner.execute({"number": 1}, execution_mode="custom")
    with ThreadPoolExecutor(1) as executor, pytest.raises(QtuiError, match="custom"):
        partitioner.execute({"number": 1}, "thread", custom_executor=executor)


@pytest.mark.parametrize("mode", ["paralel", "command", None, 3])
def test_a_mode_that_is_none_is_told_with_those_there_are(mode: Any):
    with pytest.raises(QtuiError, match="sequential, thread, process, async"):
        QuantumPartitioner(default_execution_mode=mode)


@pytest.mark.parametrize("workers", [0, -1, 2.5, True, "four", 10**6])
def test_a_number_of_workers_that_cannot_be_is_refused(workers: Any):
    with pytest.raises(QtuiError, match="max_workers"):
        QuantumPartitioner(max_workers=workers)
    with pytest.raises(QtuiError, match="max_workers"):
        sums(QuantumPartitioner()).execute({"number": 1}, max_workers=workers)


# -- strategies --------------------------------------------------------------------------------------------------


def test_resource_balanced_sends_what_computes_to_processes():
    partitioner = QuantumPartitioner()
    for kind in ("cpu", "io", "async"):
        partitioner.add_unit(os.getpid, name=kind, metadata={"resource_type": kind})
    partitioner.add_unit(os.getpid, name="other")
    results = partitioner.execute_with_strategy({}, "resource_balanced")
    assert results["cpu"] != os.getpid()
    assert {results["io"], results["async"], results["other"]} == {os.getpid()}


def test_the_order_is_by_priority_and_then_by_the_longest_path():
    order: list[str] = []
    partitioner = QuantumPartitioner(max_workers=1)
    for name, priority in (("low", -1), ("none", 0), ("high", 5)):
        partitioner.add_unit(lambda name=name: order.append(name), name=name, priority=priority)
    partitioner.add_unit(lambda: order.append("long"), name="long")
    partitioner.add_unit(lambda: order.append("end"), ["long"], "end")
    partitioner.execute_with_strategy({}, "priority")
    assert order == ["high", "long", "none", "end", "low"]


def test_an_adaptive_run_does_what_every_run_does():
    assert sums(QuantumPartitioner(max_workers=2)).execute_with_strategy({"number": 2}, "adaptive")["sum"] == 23


def test_strategies_have_names():
    with pytest.raises(QtuiError, match="priority, resource_balanced, adaptive"):
        sums(QuantumPartitioner()).execute_with_strategy({"number": 1}, "clever")


# -- units -------------------------------------------------------------------------------------------------------


def test_units_have_names_of_their_own_when_none_is_given():
    partitioner = QuantumPartitioner()
    assert [partitioner.add_unit(int).id for _ in range(3)] == ["unit_0", "unit_1", "unit_2"]
    del partitioner.units["unit_0"]
    assert partitioner.add_unit(int).id == "unit_3"


def test_a_dependency_may_be_the_unit_itself_and_may_come_later():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda context: context["later"] + 1, ["later"], "early")
    later = partitioner.add_unit(lambda: 1, name="later")
    partitioner.add_unit(lambda context: context["later"] + 2, [later], "other")
    partitioner.add_unit(lambda context: context["later"] + 3, later, "third")
    assert partitioner.execute() == {"early": 2, "later": 1, "other": 3, "third": 4}


def test_what_was_added_can_be_looked_at_and_removed():
    partitioner = sums(QuantumPartitioner())
    assert list(partitioner.units) == ["given", "more", "times", "sum"]
    assert partitioner.units["sum"].dependencies == ("more", "times")
    del partitioner.units["sum"]
    assert "sum" not in partitioner.execute({"number": 1})


@pytest.mark.parametrize("name", ["döner 🥙", "openai/gpt-4", 'a "quoted" one', "back\\slash", "a b", "[0]", "a*"])
def test_any_printable_text_is_a_name(name: str):
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name=name)
    partitioner.add_unit(lambda context: context[name] + 1, [name], "after")
    for mode in ("thread", "process"):
        assert partitioner.execute(execution_mode=mode) == {name: 1, "after": 2}


@pytest.mark.parametrize("name", ["", "two\nlines", "\x1b[31m", "nul\0", "*", 7])
def test_what_cannot_be_shown_or_means_all_is_no_name(name: Any):
    with pytest.raises(InvalidWorkflow, match=r"test_partitioner\.py:\d+"):
        QuantumPartitioner().add_unit(int, name=name)


def test_faults_of_a_unit_name_the_line_that_adds_it():
    partitioner = QuantumPartitioner()
    here = sys._getframe().f_lineno
    with pytest.raises(InvalidWorkflow) as raised:
        partitioner.add_unit(int, name="bad", timeout=-1, retries="often", colour="red")
    assert f"test_partitioner.py:{here + 2}" in str(raised.value)
    assert {problem.key for problem in raised.value.problems} == {
        "units.bad.timeout",
        "units.bad.retries",
        "units.bad.colour",
    }
    assert not partitioner.units


def test_names_are_taken_once():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(int, name="a")
    with pytest.raises(InvalidWorkflow, match=r"already taken \(first used at .*test_partitioner\.py"):
        partitioner.add_unit(int, name="a")


@pytest.mark.parametrize("key", ["matrix", "group", "confirm", "run"])
def test_keys_that_have_no_place_in_the_library_are_refused(key: str):
    with pytest.raises(InvalidWorkflow, match=key):
        QuantumPartitioner().add_unit(int, **{key: "x"})


def test_a_function_that_cannot_be_called_is_refused_when_it_is_added():
    with pytest.raises(InvalidWorkflow, match="cannot be called"):
        QuantumPartitioner().add_unit(lambda one, two: None)
    with pytest.raises(InvalidWorkflow, match="not a value of type int"):
        QuantumPartitioner().add_unit(3)


def test_ready_units_run_as_they_are():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(QuantumUnit(id="a", action=lambda: 5))
    partitioner.add_unit(QuantumUnit(id="b", action=lambda context: context["a"] + 1, dependencies=["a"]))
    assert partitioner.execute() == {"a": 5, "b": 6}
    with pytest.raises(InvalidWorkflow, match="takes no other keys"):
        partitioner.add_unit(QuantumUnit(id="c", action=int), ["a"])


def most_at_a_time(together: int) -> tuple[Any, list[int]]:
    """A function that waits until so many run together, and what the most was that ever did."""
    going, most, lock, barrier = [0], [0], threading.Lock(), threading.Barrier(together)

    def work() -> None:
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
        barrier.wait(GENEROUS)
        with lock:
            going[0] -= 1

    return work, most


def test_nobody_answers_questions():
    with pytest.raises(InvalidWorkflow, match="nobody to answer"):
        QuantumPartitioner().add_unit(QuantumUnit(id="a", action=int, confirm="sure?"))


@pytest.mark.parametrize("settings", [{"grace": -1}, {"timeout": "soon"}, {"pools": {"gpu": 0}}, {"colour": "red"}])
def test_faults_of_settings_name_the_line_too(settings: dict[str, Any]):
    with pytest.raises(InvalidWorkflow, match=r"test_partitioner\.py:\d+"):
        QuantumPartitioner(**settings)


def test_units_share_pools_and_mutexes():
    work, most = most_at_a_time(2)
    partitioner = QuantumPartitioner(max_workers=6, pools={"gpu": 2})
    for _ in range(6):
        partitioner.add_unit(work, pools=["gpu"])
    partitioner.execute()
    assert most == [2]
    partitioner.add_unit(work, mutex="one")
    assert partitioner.definition().options.pools == {"gpu": 2, "mutex one": 1}
    with pytest.raises(InvalidWorkflow, match="tpu"):
        partitioner.add_unit(work, pools=["tpu"])


def test_there_must_be_a_unit():
    with pytest.raises(InvalidWorkflow, match="add_unit"):
        QuantumPartitioner().execute()


# -- plans -------------------------------------------------------------------------------------------------------


def test_the_plan_has_levels_and_a_critical_path():
    plan = sums(QuantumPartitioner()).build_execution_plan()
    assert plan.levels == [["given"], ["more", "times"], ["sum"]]
    assert plan.critical_path in (["given", "more", "sum"], ["given", "times", "sum"])
    assert (plan.unit_count, plan.max_parallel_units) == (4, 2)


def test_a_cycle_is_named():
    partitioner = QuantumPartitioner()
    for name, need in (("a", "b"), ("b", "c"), ("c", "a")):
        partitioner.add_unit(int, [need], name)
    with pytest.raises(CircularDependencyError, match="a needs b needs c needs a") as raised:
        partitioner.build_execution_plan()
    assert raised.value.path == ("a", "b", "c", "a")
    with pytest.raises(CircularDependencyError):
        partitioner.execute()


def test_an_unknown_dependency_is_told_with_the_closest_name():
    partitioner = sums(QuantumPartitioner())
    partitioner.add_unit(int, ["mor"], "last")
    with pytest.raises(InvalidWorkflow, match='did you mean "more"'):
        partitioner.execute({"number": 1})


def test_the_picture_of_a_plan_is_dot_whatever_units_are_called():
    names = ['say "hi"', "back\\", 'both\\"', "two\nlines", "über/ß 🚀", "a -> b; }", "\\n"]
    units = {
        name: QuantumUnit(id=name, action=int, dependencies=tuple(names[:place][-1:]))
        for place, name in enumerate(names)
    }
    nodes, edges = parse_dot(visualize_execution_plan(units))
    assert nodes == dict.fromkeys(names, "white")
    assert edges == set(pairwise(names))


def test_the_picture_shows_how_the_last_run_ended():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(int, name="good")
    partitioner.add_unit(raises("no"), name="bad")
    partitioner.add_unit(int, ["bad"], "below")
    assert set(parse_dot(partitioner.visualize_plan())[0].values()) == {"white"}
    with pytest.raises(WorkflowFailed):
        partitioner.execute()
    partitioner.add_unit(int, name="new")
    colours, edges = parse_dot(partitioner.visualize_plan())
    assert colours == {"good": "palegreen", "bad": "salmon", "below": "lightgray", "new": "white"}
    assert edges == {("bad", "below")}


# -- functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["parallel", "threaded", "async", "sequential"])
def test_a_plan_of_tasks_runs_without_a_partitioner(mode: str):
    tasks = {
        "a": QuantumTask(id="a", function=os.getpid),
        "b": QuantumTask(id="b", function=lambda context: context["a"] * context["k"], dependencies=["a"], retries=1),
    }
    results = execute_quantum_plan(tasks, {"k": 2}, max_workers=2, execution_mode=mode)
    assert results["b"] == 2 * results["a"]
    assert (results["a"] != os.getpid()) == (mode == "parallel")


def test_tasks_are_called_by_their_keys():
    task = QuantumTask(id="task", function=lambda: 1)
    assert execute_quantum_plan({"x": task, "y": task}, execution_mode="threaded") == {"x": 1, "y": 1}


def test_states_colour_the_picture_of_tasks():
    tasks = {"a": QuantumTask(id="a", function=int), "b": QuantumTask(id="b", function=int, dependencies=["a"])}
    assert parse_dot(visualize_execution_plan(tasks, {"a": UnitState.COMPLETED})) == (
        {"a": "palegreen", "b": "white"},
        {("a", "b")},
    )


def of_kinds(*kinds: str | None) -> QuantumPartitioner:
    partitioner = QuantumPartitioner()
    for kind in kinds:
        partitioner.add_unit(int, metadata={"resource_type": kind} if kind else None)
    return partitioner


def test_workers_suit_the_plan(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("qtui.definition.machine.cores", lambda: 4.0)

    def workers(*kinds: str | None) -> int:
        partitioner = of_kinds(*kinds)
        return select_optimal_workers(partitioner.units, partitioner.build_execution_plan())

    assert workers(*["cpu"] * 30) == 4
    assert workers(*["io"] * 30) == workers(*[None] * 30) == 8
    assert workers("cpu", "cpu") == 2


def test_the_mode_suits_the_units():
    async def wait() -> None: ...

    coroutines = QuantumPartitioner()
    coroutines.add_unit(wait)
    assert select_execution_strategy(of_kinds("io", "io", "cpu").units) is ExecutionMode.THREAD
    assert select_execution_strategy(of_kinds("io", None, "cpu").units) is ExecutionMode.PROCESS
    assert select_execution_strategy(of_kinds("async", "async", "cpu").units) is ExecutionMode.ASYNC
    assert select_execution_strategy(coroutines.units) is ExecutionMode.ASYNC
