"""What the library was made for, as whole programs: plans made by functions, monitored, recovered and cached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from qtui import (
    ExecutionMode,
    QuantumPartitioner,
    UnitState,
    WorkflowFailed,
    select_execution_strategy,
    select_optimal_workers,
)

# -- the stages of a small import of data ------------------------------------------------------------------------


def load_data(context: Any) -> list[int]:
    return [int(word) for word in context["input_data"].split()]


def process_data(context: Any) -> list[int]:
    return [number**2 for number in context["load_data"]]


def validate_data(context: Any) -> bool:
    return all(number > 0 for number in context["load_data"])


def store_results(context: Any) -> dict[str, Any]:
    return {"stored": sum(context["process_data"]), "valid": context["validate_data"]}


def import_of_data(**options: Any) -> QuantumPartitioner:
    partitioner = QuantumPartitioner(**options)
    partitioner.add_unit(fn=load_data, dependencies=[], name="load_data")
    partitioner.add_unit(fn=process_data, dependencies=["load_data"], name="process_data")
    partitioner.add_unit(fn=validate_data, dependencies=["load_data"], name="validate_data")
    partitioner.add_unit(fn=store_results, dependencies=["process_data", "validate_data"], name="store_results")
    return partitioner


RESULTS = {
    "load_data": [1, 2, 3],
    "process_data": [1, 4, 9],
    "validate_data": True,
    "store_results": {"stored": 14, "valid": True},
}


def test_a_plan_is_looked_at_and_executed():
    partitioner = import_of_data(max_workers=4)
    plan = partitioner.build_execution_plan()
    assert [sorted(level) for level in plan.levels] == [
        ["load_data"],
        ["process_data", "validate_data"],
        ["store_results"],
    ]
    assert plan.critical_path[0] == "load_data" and plan.critical_path[-1] == "store_results"
    assert plan.dependencies["store_results"] == {"process_data", "validate_data"}
    assert plan.dependents["load_data"] == {"process_data", "validate_data"}
    assert (plan.unit_count, plan.max_parallel_units) == (4, 2)
    assert "load_data" in plan.visualize()
    assert partitioner.execute({"input_data": "1 2 3"}) == RESULTS


@pytest.mark.parametrize(
    "mode", [mode for mode in ExecutionMode if mode in ("sequential", "thread", "process", "async")]
)
def test_the_same_plan_gives_the_same_results_in_every_mode(mode: ExecutionMode):
    partitioner = import_of_data(default_execution_mode=mode)
    assert partitioner.execute(context={"input_data": "1 2 3"}) == RESULTS


@pytest.mark.parametrize("strategy", ["priority", "resource_balanced", "adaptive"])
def test_the_same_plan_gives_the_same_results_with_every_strategy(strategy: str):
    assert import_of_data(max_workers=2).execute_with_strategy({"input_data": "1 2 3"}, strategy) == RESULTS


def test_callbacks_measure_a_run_that_overrides_mode_and_workers():
    partitioner = import_of_data(max_workers=8, default_execution_mode=ExecutionMode.PROCESS)
    measured: dict[str, dict[str, float]] = {}

    def start_monitor(unit_id: str) -> None:
        measured[unit_id] = {"start_time": time.time()}

    def end_monitor(unit_id: str, result: Any) -> None:
        entry = measured[unit_id]
        entry["end_time"] = time.time()
        entry["duration"] = entry["end_time"] - entry["start_time"]

    partitioner.on_unit_start = start_monitor
    partitioner.on_unit_complete = end_monitor
    results = partitioner.execute(context={"input_data": "1 2 3"}, execution_mode=ExecutionMode.THREAD, max_workers=4)
    assert results == RESULTS
    assert measured.keys() == RESULTS.keys()
    assert 0 <= max(entry["duration"] for entry in measured.values()) < 60


def test_a_monitored_run_leaves_its_metrics():
    partitioner = import_of_data()
    assert partitioner.execute_with_monitoring({"input_data": "1 2 3"}) == RESULTS
    metrics = partitioner.last_execution_metrics
    assert (metrics["total_units"], metrics["completed_units"], metrics["failed_units"]) == (4, 4, 0)
    assert metrics["end_time"] - metrics["start_time"] == metrics["total_duration"]
    times = metrics["unit_times"]
    assert times["load_data"]["end"] <= times["store_results"]["start"]
    assert all(entry["error"] is None for entry in times.values())
    started = [entry["unit"] for entry in metrics["execution_trace"] if entry["event"] == "start"]
    assert started[0] == "load_data" and started[-1] == "store_results"


# -- errors ------------------------------------------------------------------------------------------------------


def pipeline_on(fetch: Any, **keys: Any) -> QuantumPartitioner:
    def process(context: Any) -> dict[str, Any]:
        data = context["fetch_data"]
        if data["status"] == "error":
            return {"processed": False}
        return {"processed": True, "result": sum(data["data"])}

    partitioner = QuantumPartitioner(max_workers=4)
    partitioner.add_unit(fn=fetch, dependencies=[], name="fetch_data", timeout=5.0, **keys)
    partitioner.add_unit(fn=process, dependencies=["fetch_data"], name="process_data")
    return partitioner


def test_a_source_that_fails_once_is_asked_again():
    asked: list[str] = []

    def fetch(context: Any) -> dict[str, Any]:
        asked.append(context["api_url"])
        if len(asked) == 1:
            raise ConnectionError("reset by peer")
        return {"status": "ok", "data": [20, 22]}

    results = pipeline_on(fetch, retries=3).execute({"api_url": "https://example.com/api"})
    assert results["process_data"] == {"processed": True, "result": 42}
    assert asked == ["https://example.com/api"] * 2


def unreachable(context: Any) -> None:
    raise ConnectionError(f"cannot reach {context['api_url']}")


def test_a_source_that_keeps_failing_is_replaced_by_its_fallback():
    partitioner = pipeline_on(
        unreachable,
        retries={"max": 3, "delay": 0},
        metadata={"fallback_value": {"status": "error", "data": []}, "resource_type": "io"},
    )
    results = partitioner.execute_with_recovery({"api_url": "nowhere"})
    assert results == {"fetch_data": {"status": "error", "data": []}, "process_data": {"processed": False}}


def test_without_a_fallback_the_failure_is_raised_and_what_there_is_can_be_had():
    partitioner = pipeline_on(unreachable)
    partitioner.add_unit(fn=lambda context: "done", name="unrelated")
    try:
        partitioner.execute({"api_url": "nowhere"})
    except Exception as error:  # as a caller would who does not know its type
        assert isinstance(error, WorkflowFailed)
        assert "fetch_data: ConnectionError: cannot reach nowhere" in str(error)
    else:
        pytest.fail("a failed run returned")
    assert partitioner.get_partial_results() == {"unrelated": "done"}
    assert [unit.id for unit in partitioner.get_failed_units()] == ["fetch_data"]
    assert partitioner.completed_units == {"unrelated"} and partitioner.failed_units == {"fetch_data"}


def test_nothing_of_a_run_is_kept_in_its_units():
    partitioner = import_of_data()
    before = dict(partitioner.units)
    partitioner.execute({"input_data": "1 2 3"})
    assert partitioner.units == before
    assert {state.value for state in UnitState} >= {"pending", "running", "completed", "failed", "skipped", "timeout"}


# -- plans that functions make -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Provider:
    id: str
    answer: str

    def generate(self, query: str) -> str:
        return f"{self.answer} to {query}"


def plan_of_providers(providers: list[Provider], max_workers: int = 3) -> QuantumPartitioner:
    partitioner = QuantumPartitioner(max_workers=max_workers, default_execution_mode=ExecutionMode.THREAD)
    for provider in providers:
        partitioner.add_unit(
            fn=lambda ctx, p=provider: p.generate(ctx["query"]),
            dependencies=[],
            name=f"provider_{provider.id}",
            timeout=10.0,
            metadata={"resource_type": "io", "provider": provider.id},
        )
    partitioner.add_unit(
        fn=lambda ctx: sorted(ctx.unit_results.values()),
        dependencies=[f"provider_{provider.id}" for provider in providers],
        name="aggregate",
    )
    return partitioner


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_several_providers_are_asked_side_by_side(mode: str):
    partitioner = plan_of_providers([Provider("a", "yes"), Provider("b/small", "no")])
    assert partitioner.units["provider_a"].metadata["provider"] == "a"
    assert partitioner.units["provider_a"].kind == "io"
    results = partitioner.execute({"query": "tea?"}, execution_mode=mode)
    assert results["aggregate"] == ["no to tea?", "yes to tea?"]


@dataclass(frozen=True)
class Document:
    id: str
    text: str


def plan_of_documents(documents: list[Document], model: Any) -> QuantumPartitioner:
    partitioner = QuantumPartitioner(max_workers=4)
    for i, document in enumerate(documents):
        partitioner.add_unit(
            fn=lambda ctx, d=document: d.text.strip(),
            dependencies=[],
            name=f"extract_{i}",
            metadata={"document_id": document.id, "resource_type": "cpu"},
        )
        partitioner.add_unit(
            fn=lambda ctx, i=i: ctx[f"extract_{i}"].split(),
            dependencies=[f"extract_{i}"],
            name=f"chunk_{i}",
            metadata={"document_id": document.id, "resource_type": "cpu"},
        )
        partitioner.add_unit(
            fn=lambda ctx, i=i, model=model: [model(chunk) for chunk in ctx[f"chunk_{i}"]],
            dependencies=[f"chunk_{i}"],
            name=f"embed_{i}",
            metadata={"document_id": document.id, "resource_type": "io"},
        )
    embeddings = [f"embed_{i}" for i in range(len(documents))]
    partitioner.add_unit(
        fn=lambda ctx: sum(len(ctx[name]) for name in embeddings), dependencies=embeddings, name="index"
    )
    return partitioner


@pytest.mark.parametrize("strategy", ["priority", "resource_balanced", "adaptive"])
def test_documents_go_through_their_stages(strategy: str):
    partitioner = plan_of_documents([Document("x", " one two "), Document("y", "three")], len)
    results = partitioner.execute_with_strategy({}, strategy)
    assert (results["embed_0"], results["embed_1"], results["index"]) == ([3, 3], [5], 3)
    assert partitioner.build_execution_plan().max_parallel_units == 2


class Agent:
    def process(self, query: str, *known: Any) -> str:
        return f"{query}{''.join(f'+{each}' for each in known)}"

    def get_required_tools(self) -> list[str]:
        return ["search", "calculator"]

    def process_tool(self, reasoning: str, tool: str) -> str:
        return f"{tool}({reasoning})"

    def generate_response(self, query: str, reasoning: str, tools: dict[str, str]) -> str:
        return f"{query}: {reasoning} with {', '.join(sorted(tools.values()))}"


def test_tools_join_a_plan_while_it_is_made():
    agents = {name: Agent() for name in ("retrieval", "reasoning", "tool", "response")}
    partitioner = QuantumPartitioner(max_workers=len(agents))
    partitioner.add_unit(
        fn=lambda ctx: agents["retrieval"].process(ctx["query"]),
        name="retrieval_agent",
        metadata={"agent_type": "retrieval", "resource_type": "io"},
    )
    partitioner.add_unit(
        fn=lambda ctx: agents["reasoning"].process(ctx["query"], ctx["retrieval_agent"]),
        dependencies=["retrieval_agent"],
        name="reasoning_agent",
        metadata={"agent_type": "reasoning", "resource_type": "cpu"},
    )
    for tool in agents["reasoning"].get_required_tools():
        partitioner.add_unit(
            fn=lambda ctx, t=tool: agents["tool"].process_tool(ctx["reasoning_agent"], tool=t),
            dependencies=["reasoning_agent"],
            name=f"tool_agent_{tool}",
        )
    tool_units = [unit_id for unit_id in partitioner.units if unit_id.startswith("tool_agent_")]
    partitioner.add_unit(
        fn=lambda ctx: agents["response"].generate_response(
            ctx["query"], ctx["reasoning_agent"], {unit_id: ctx[unit_id] for unit_id in tool_units}
        ),
        dependencies=["reasoning_agent", *tool_units],
        name="response_agent",
    )
    response = partitioner.execute({"query": "q"})["response_agent"]
    assert response == "q: q+q with calculator(q+q), search(q+q)"


# -- what suits a plan, and what need not be done again ----------------------------------------------------------


def test_workers_and_mode_follow_from_what_units_say_of_themselves():
    partitioner = plan_of_providers([Provider(str(number), "yes") for number in range(3)])
    plan = partitioner.build_execution_plan()
    workers = select_optimal_workers(partitioner.units, plan)
    mode = select_execution_strategy(partitioner.units)
    assert 1 <= workers <= plan.max_parallel_units == 3 and mode is ExecutionMode.THREAD
    assert partitioner.execute({"query": "?"}, mode, workers)["aggregate"] == ["yes to ?"] * 3


def test_results_are_used_again_for_the_keys_that_count():
    computed: list[int] = []

    def square(context: Any) -> int:
        computed.append(context["number"])
        return context["number"] ** 2

    partitioner = QuantumPartitioner()
    partitioner.add_unit(fn=square, name="square", metadata={"cacheable": True, "cache_keys": ["number"]})
    partitioner.add_unit(fn=lambda ctx: ctx["square"] + ctx["offset"], dependencies=["square"], name="moved")
    results = [partitioner.execute({"number": number, "offset": offset}) for number, offset in ((3, 1), (3, 2), (4, 1))]
    assert [result["moved"] for result in results] == [10, 11, 17]
    assert computed == [3, 4]
    assert (partitioner.cache_hits, partitioner.cache_misses, len(partitioner.cache)) == (1, 2, 2)
