"""Units that add units in runs of the library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from library_waiting import GENEROUS

from qtui import ExecutionContext, InvalidWorkflow, QuantumPartitioner, WorkflowFailed, open_services

Add = Callable[[ExecutionContext], Any]


def growing(add: Add, **keys: Any) -> QuantumPartitioner:
    partitioner = QuantumPartitioner(max_workers=4)
    partitioner.add_unit(add, name="adder", **keys)
    return partitioner


def why(add: Add, inputs: dict[str, Any] | None = None, mode: str = "thread") -> str:
    """What is told of an adder that fails."""
    partitioner = growing(add)
    partitioner.add_unit(lambda: "kept", name="other")
    with pytest.raises(WorkflowFailed) as raised:
        partitioner.execute(inputs, mode)
    assert raised.value.results == {"other": "kept"}
    return raised.value.errors["adder"]


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_a_question_that_nobody_can_answer_is_a_failure_of_who_adds_it(mode: str) -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(int, name="asking", confirm="Really?")

    assert "units.asking: asks a question, and in the library there is nobody to answer it" in why(add, mode=mode)


def test_a_question_that_nobody_can_answer_fails_an_execution_of_a_manager() -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(int, name="asking", confirm="Really?")

    with open_services() as services:
        workflow = services.manager.create_workflow("w", tasks=[add])
        services.manager.execute_workflow(workflow)
        status = services.manager.wait(workflow, GENEROUS)
    assert status is not None and status["status"] == "FAILED"
    assert "nobody to answer it" in status["error"]


@pytest.mark.parametrize("kept_in", ["memory", "directory"])
def test_a_unit_that_adds_units_runs_again_whatever_the_cache_holds(kept_in: str, tmp_path: Path) -> None:
    partitioner = QuantumPartitioner(state_dir=tmp_path if kept_in == "directory" else None)
    partitioner.add_unit(lambda context: context.add_unit(lambda: 2, name="added") and 1, name="adder", cache=True)
    expected = {"adder": 1, "added": 2}
    assert [set(partitioner.execute()) for _ in range(2)] == [set(expected)] * 2
    assert partitioner.cache_hits == 0


@pytest.mark.parametrize("kept_in", ["memory", "directory"])
def test_results_of_added_units_count_for_the_cache_of_who_may_read_them(kept_in: str, tmp_path: Path) -> None:
    partitioner = QuantumPartitioner(state_dir=tmp_path if kept_in == "directory" else None)

    def add(context: ExecutionContext) -> str:
        made = context["made"]
        context.add_unit(lambda: made, name="part")
        return "same"

    partitioner.add_unit(add, name="adder")
    partitioner.add_unit(lambda: "late", ["*"], "last")
    partitioner.add_unit(
        lambda context: context.added["part"], ["adder", "last"], "reader", cache=True, cache_keys=["adder"]
    )
    assert [partitioner.execute({"made": made})["reader"] for made in (1, 2, 2)] == [1, 2, 2]
    assert partitioner.cache_hits == 1


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_an_added_unit_may_have_any_printable_name(mode: str) -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(lambda: 3, name="é x")
        context.add_unit(lambda context: context["é x"], ["é x"], name="a/b")

    assert growing(add).execute(execution_mode=mode)["a/b"] == 3


@pytest.mark.parametrize("name", ["", "*", "a\nb", "\x1b[31m", "params", "text"])
def test_a_name_that_cannot_be_is_told_at_the_line_that_adds_it(name: str) -> None:
    def add(context: ExecutionContext) -> str:
        try:
            context.add_unit(int, name=name)
        except InvalidWorkflow as invalid:
            return str(invalid)
        return "taken"

    assert "test_library_growth.py:" in growing(add).execute({"text": "input"})["adder"]


def test_functions_without_a_name_are_called_after_who_adds_them() -> None:
    def add(context: ExecutionContext) -> list[str]:
        return [context.add_unit(lambda: 1).id, context.add_unit(lambda: 2).id]

    partitioner = QuantumPartitioner()
    partitioner.add_unit(add)
    partitioner.add_unit(add, name="other adder")
    results = partitioner.execute()
    assert results["unit_0"] == ["unit_0-unit_0", "unit_0-unit_1"]
    assert results["other adder"] == ["other_adder-unit_0", "other_adder-unit_1"]
    assert len(results) == 6


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_units_that_were_just_added_may_be_named_by_themselves(mode: str) -> None:
    def add(context: ExecutionContext) -> None:
        parts = context.map(lambda item: item + 1, [1, 2], "part")
        first = context.add_unit(lambda: 5, name="first")
        context.add_unit(lambda context: (context["part[1]"], context["first"]), [first, *parts], name="sum")
        context.add_unit(lambda context: context["first"], first, name="copy")

    results = growing(add).execute(execution_mode=mode)
    assert (results["sum"], results["copy"]) == ((3, 5), 5)


def test_threads_of_a_unit_may_add_at_the_same_time() -> None:
    def add(context: ExecutionContext) -> None:
        threads = [threading.Thread(target=lambda: [context.add_unit(lambda: 1) for _ in range(20)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(growing(add).execute()) == 81


@pytest.mark.parametrize("static", [False, True])
def test_an_added_mutex_keeps_units_apart(static: bool) -> None:
    running, together = [0], [0]
    lock = threading.Lock()

    def work(context: ExecutionContext) -> None:
        with lock:
            running[0] += 1
            together[0] = max(together[0], running[0])
        context.sleep(0.05)
        with lock:
            running[0] -= 1

    def add(context: ExecutionContext) -> None:
        for number in range(3):
            context.add_unit(work, name=f"u{number}", mutex="one")

    partitioner = growing(add, priority=1)
    if static:
        partitioner.add_unit(work, name="static", mutex="one")
    assert len(partitioner.execute()) == 4 + static
    assert together == [1]


def test_a_mutex_that_is_called_like_a_pool_is_another_one() -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(int, name="a", mutex="gpu")
        context.add_unit(int, name="b", pools={"gpu": 2})

    partitioner = QuantumPartitioner(pools={"gpu": 2})
    partitioner.add_unit(add, name="adder")
    assert set(partitioner.execute()) == {"adder", "a", "b"}


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('units.nope.state == "completed"', 'asks about "nope", which is not a unit'),
        ("units.other.cached", 'asks about "other", which it does not need'),
        ("units.sibling.cached", 'asks about "sibling", which it does not need'),
    ],
)
def test_a_condition_about_a_unit_that_is_not_needed_is_a_failure_of_who_adds_it(condition: str, told: str) -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(int, name="sibling")
        context.add_unit(int, name="a", condition=condition)

    assert f"units.a: {told}" in why(add)


def test_a_condition_of_an_added_unit_may_ask_about_all_that_is_above() -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(int, ["other"], name="sibling")
        for name in ("adder", "other", "sibling"):
            context.add_unit(lambda: "ran", ["sibling"], f"asks {name}", condition=f'units.{name}.state == "completed"')

    partitioner = growing(add)
    partitioner.add_unit(int, name="other")
    results = partitioner.execute()
    assert [results[f"asks {name}"] for name in ("adder", "other", "sibling")] == ["ran"] * 3
