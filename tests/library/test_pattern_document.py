"""Ways to divide work: fixed plans, plans that grow with their data, and plans made of smaller plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from qtui import (
    CircularDependencyError,
    QuantumPartitioner,
    QuantumTask,
    QuantumUnit,
    UnitState,
    execute_quantum_plan,
    visualize_execution_plan,
)

# -- methods and closures as units -------------------------------------------------------------------------------


class Agent:
    def __init__(self, name: str, after: str | None) -> None:
        self.name, self.after = name, after

    def act(self, context: Any) -> str:
        return f"{context[self.after]} > {self.name}" if self.after else self.name


def test_methods_of_objects_are_units():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(fn=Agent("retrieve", None).act, dependencies=[], name="knowledge")
    partitioner.add_unit(fn=Agent("analyze", "knowledge").act, dependencies=["knowledge"], name="analysis")
    partitioner.add_unit(fn=Agent("use tools", "analysis").act, dependencies=["analysis"], name="tools")
    assert partitioner.execute({})["tools"] == "retrieve > analyze > use tools"


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_work_is_divided_and_put_together_again(mode: str):
    chunks = ["a few", "words in", "three chunks"]
    partitioner = QuantumPartitioner(default_execution_mode=mode)
    for i, chunk in enumerate(chunks):
        partitioner.add_unit(fn=lambda ctx, c=chunk: len(c) * ctx["weight"], dependencies=[], name=f"chunk_{i}")
    partitioner.add_unit(
        fn=lambda ctx: sum(ctx[f"chunk_{i}"] for i in range(len(chunks))),
        dependencies=[f"chunk_{i}" for i in range(len(chunks))],
        name="combined",
    )
    assert partitioner.execute({"weight": 2}, max_workers=2)["combined"] == 2 * sum(map(len, chunks))


# -- a fixed plan ------------------------------------------------------------------------------------------------


def read(context: Any) -> list[int]:
    return context["numbers"]


def doubled(context: Any) -> list[int]:
    return [2 * number for number in context["task1"]]


def checked(context: Any) -> bool:
    return all(number >= 0 for number in context["task1"])


def stored(context: Any) -> tuple[list[int], bool]:
    return context["task2"], context["task3"]


TASKS = {
    "task1": QuantumTask(id="task1", function=read, dependencies=[]),
    "task2": QuantumTask(id="task2", function=doubled, dependencies=["task1"], priority=3, tags={"slow"}),
    "task3": QuantumTask(id="task3", function=checked, dependencies=["task1"], retries=1),
    "task4": QuantumTask(id="task4", function=stored, dependencies=["task2", "task3"], timeout=60),
}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"execution_mode": "threaded", "max_workers": 2},
        {"execution_mode": "async"},
        {"execution_mode": "sequential"},
    ],
)
def test_a_fixed_plan_is_a_dictionary_of_tasks(keys: dict[str, Any]):
    assert execute_quantum_plan(TASKS, {"numbers": [1, 2]}, **keys) == {
        "task1": [1, 2],
        "task2": [2, 4],
        "task3": True,
        "task4": ([2, 4], True),
    }


def test_a_task_is_a_unit_without_a_state():
    assert all(isinstance(task, QuantumUnit) for task in TASKS.values())
    task = TASKS["task2"]
    assert (task.id, task.dependencies, task.priority, task.tags) == ("task2", ("task1",), 3, {"slow"})
    assert not hasattr(task, "status") and not hasattr(task, "result")


def test_the_picture_has_the_states_that_are_given():
    picture = visualize_execution_plan(TASKS, {"task1": UnitState.COMPLETED, "task2": UnitState.RUNNING})
    assert '"task1" [fillcolor=palegreen];' in picture
    assert '"task2" [fillcolor=lightskyblue];' in picture
    assert '"task4" [fillcolor=white];' in picture
    assert '"task1" -> "task2";' in picture


def test_tasks_that_need_each_other_are_found_before_any_runs():
    ran: list[str] = []
    tasks = {
        name: QuantumTask(id=name, function=lambda: ran.append("ran"), dependencies=[need])
        for name, need in (("egg", "hen"), ("hen", "egg"))
    }
    with pytest.raises(CircularDependencyError, match="egg needs hen needs egg"):
        execute_quantum_plan(tasks, {}, execution_mode="threaded")
    assert ran == []


# -- a plan that grows with its data -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Segment:
    id: str
    words: tuple[str, ...]
    requires_validation: bool = False


@dataclass(frozen=True)
class Data:
    segments: list[Segment] = field(default_factory=list)


def add_processing(data: Data, partitioner: QuantumPartitioner) -> None:
    ends = []
    for segment in data.segments:
        name = f"process_segment_{segment.id}"
        partitioner.add_unit(fn=lambda ctx, s=segment: len(s.words), dependencies=["data_loading"], name=name)
        if segment.requires_validation:
            partitioner.add_unit(
                fn=lambda ctx, need=name: ctx[need] if ctx[need] > 1 else 0,
                dependencies=[name],
                name=f"validate_segment_{segment.id}",
            )
            name = f"validate_segment_{segment.id}"
        ends.append(name)
    partitioner.add_unit(fn=lambda ctx: sum(ctx.unit_results.values()), dependencies=ends, name="result_aggregation")


def test_what_is_found_in_the_data_decides_on_the_rest_of_the_plan():
    loaded: list[int] = []

    def load(context: Any) -> Data:
        loaded.append(1)
        return Data([Segment("a", ("x", "y")), Segment("b", ("z",), True), Segment("c", ("u", "v", "w"), True)])

    partitioner = QuantumPartitioner()
    partitioner.add_unit(fn=load, dependencies=[], name="data_loading", metadata={"cacheable": True})
    data = partitioner.execute({})["data_loading"]
    add_processing(data, partitioner)
    results = partitioner.execute({})
    assert results["result_aggregation"] == 2 + 0 + 3
    assert results["data_loading"] is data and loaded == [1]


# -- a plan made of smaller plans --------------------------------------------------------------------------------


def tasks_of_document(document: str) -> tuple[dict[str, QuantumUnit], str]:
    extract, analyze, index = f"extract_{document}", f"analyze_{document}", f"index_{document}"
    tasks = {
        extract: QuantumTask(id=extract, function=lambda ctx: ctx["library"][document], dependencies=[]),
        analyze: QuantumTask(id=analyze, function=lambda ctx: ctx[extract].split(), dependencies=[extract]),
        index: QuantumTask(id=index, function=lambda ctx: sorted(set(ctx[analyze])), dependencies=[analyze]),
    }
    return tasks, index


@pytest.mark.parametrize("mode", ["parallel", "threaded"])
def test_smaller_plans_make_up_a_larger_one(mode: str):
    library = {"first": "b a b", "second": "c"}
    tasks: dict[str, QuantumUnit] = {}
    ends = []
    for document in library:
        of_document, end = tasks_of_document(document)
        tasks.update(of_document)
        ends.append(end)
    tasks["aggregate"] = QuantumTask(
        id="aggregate", function=lambda ctx: [word for end in ends for word in ctx[end]], dependencies=ends
    )
    results = execute_quantum_plan(tasks, {"library": library}, execution_mode=mode)
    assert len(results) == 7 and results["aggregate"] == ["a", "b", "c"]
