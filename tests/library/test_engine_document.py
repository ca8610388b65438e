"""A program that uses bus, state and manager together, from making a workflow to reading what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pyrsistent import PMap

from qtui import (
    Event,
    EventBus,
    EventType,
    ExecutionContext,
    QuantumUnit,
    RetryPolicy,
    Services,
    StateProjector,
    WorkflowManager,
    open_services,
)

GENEROUS = 20.0

TEXTS = {"alpha": "to be or not to be", "beta": "the rest is silence"}


def fetch(context: ExecutionContext, name: str) -> str:
    return str(context["texts"][name])


def count_words(context: ExecutionContext) -> dict[str, int]:
    words = [word for name in ("fetch_alpha", "fetch_beta") for word in context[name].split()]
    return {word: words.count(word) for word in words}


def report(context: ExecutionContext, top: int) -> list[str]:
    counts = context["count_words"]
    return sorted(counts, key=lambda word: (-counts[word], word))[:top]


def tasks() -> list[QuantumUnit]:
    return [
        QuantumUnit(id="fetch_alpha", action=fetch, args={"name": "alpha"}, priority=3),
        QuantumUnit(id="fetch_beta", action=fetch, args={"name": "beta"}),
        QuantumUnit(
            id="count_words",
            action=count_words,
            dependencies=("fetch_alpha", "fetch_beta"),
            description="counts the words of all texts",
        ),
    ]


@pytest.fixture
def services() -> Iterator[Services]:
    with open_services() as services:
        yield services


def test_the_container_has_one_of_each_part(services: Services) -> None:
    assert isinstance(services.bus, EventBus)
    assert isinstance(services.state_projector, StateProjector)
    assert isinstance(services.manager, WorkflowManager)
    assert services.manager.state_projector is services.state_projector
    assert services.state_projector.get_state() == {"tasks": {}, "workflows": {}}


def test_a_workflow_from_its_making_to_its_report(services: Services) -> None:
    manager, projector = services.manager, services.state_projector
    log: list[tuple[str, str | None]] = []
    results: dict[str, Any] = {}
    for event_type in EventType:
        services.bus.subscribe(event_type, lambda event: log.append((event.type.name, event.data.get("task_id"))))
    services.bus.subscribe(
        EventType.TASK_COMPLETED, lambda event: results.update({event.data["task_id"]: event.data["result"]})
    )

    workflow_id = manager.create_workflow("Word count", "Counts words", tasks())
    task_id = manager.add_task(
        workflow_id,
        QuantumUnit(id="report", action=report, args={"top": 2}, dependencies=("count_words",)),
    )
    assert task_id == "report"
    assert manager.get_task_status("report") == {"id": "report", "workflow_id": workflow_id, "status": "PENDING"}
    assert manager.get_workflow_status(workflow_id)["status"] == "CREATED"

    execution_id = manager.execute_workflow(workflow_id, {"texts": TEXTS})
    status = manager.wait(workflow_id, GENEROUS)

    assert status is not None
    assert (status["status"], status["execution_id"], status["task_count"]) == ("COMPLETED", execution_id, 4)
    assert status["task_results"]["report"] == {"status": "COMPLETED", "result": ["be", "to"]}
    assert results["count_words"]["to"] == 2
    assert projector.project("workflow_status") == {workflow_id: "COMPLETED"}
    assert sorted(projector.project("completed_tasks")) == ["count_words", "fetch_alpha", "fetch_beta", "report"]
    assert projector.project("completed_tasks")[-2:] == ["count_words", "report"]
    assert projector.project("failed_tasks") == []
    assert projector.get_state()["tasks"]["count_words"]["description"] == "counts the words of all texts"
    assert log[0] == ("WORKFLOW_CREATED", None)
    assert log[1:5] == [("TASK_PENDING", unit) for unit in ("fetch_alpha", "fetch_beta", "count_words", "report")]
    assert log[5] == ("WORKFLOW_STARTED", None)
    assert log.index(("TASK_COMPLETED", "fetch_beta")) < log.index(("TASK_STARTED", "count_words"))
    assert log[-2:] == [("TASK_COMPLETED", "report"), ("WORKFLOW_COMPLETED", None)]


def test_tasks_of_one_level_run_side_by_side(services: Services) -> None:
    together = threading.Barrier(3)
    workflow_id = services.manager.create_workflow("fan out", max_workers=3)
    for number in range(3):
        services.manager.add_task(workflow_id, lambda: together.wait(GENEROUS) >= 0, name=f"agent_{number}")
    services.manager.add_task(
        workflow_id,
        lambda context: [context[f"agent_{number}"] for number in range(3)],
        dependencies=[f"agent_{number}" for number in range(3)],
        name="gather",
    )
    services.manager.execute_workflow(workflow_id)

    status = services.manager.wait(workflow_id, GENEROUS)
    assert status is not None
    assert status["task_results"]["gather"]["result"] == [True, True, True]


def test_a_task_that_fails_at_first_is_tried_again(services: Services) -> None:
    tries: list[float] = []

    def flaky(_context: ExecutionContext) -> int:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise ConnectionError("try again")
        return len(tries)

    workflow_id = services.manager.create_workflow("flaky")
    services.manager.add_task(
        workflow_id,
        QuantumUnit(id="flaky", action=flaky, retry=RetryPolicy(max=2, delay=0.01)),
    )
    services.manager.execute_workflow(workflow_id)

    status = services.manager.wait(workflow_id, GENEROUS)
    assert status is not None
    assert status["task_results"]["flaky"]["result"] == 3
    assert services.manager.get_task_status("flaky")["attempt"] == 3  # type: ignore[index]


def test_a_failed_task_fails_the_workflow_and_skips_what_needs_it(services: Services) -> None:
    failures: list[Event[Any]] = []
    services.bus.subscribe(EventType.TASK_FAILED, failures.append)
    services.bus.subscribe(EventType.WORKFLOW_FAILED, failures.append)
    workflow_id = services.manager.create_workflow("Word count", tasks=tasks())
    services.manager.execute_workflow(workflow_id, {"texts": {"alpha": "only this one"}})

    status = services.manager.wait(workflow_id, GENEROUS)

    assert status is not None and status["status"] == "FAILED"
    assert "fetch_beta: KeyError: 'beta'" in status["error"]
    assert status["task_results"]["count_words"]["status"] == "SKIPPED"
    assert services.state_projector.project("failed_tasks") == ["fetch_beta"]
    assert services.state_projector.project("completed_tasks") == ["fetch_alpha"]
    assert [event.type for event in failures] == [EventType.TASK_FAILED, EventType.WORKFLOW_FAILED]
    assert failures[0].data["error"] == "KeyError: 'beta'"
    assert failures[1].data["error"] == "1 failed, 1 skipped"


def test_a_bus_of_ones_own_with_middleware_source_and_history() -> None:
    bus = EventBus(history_limit=2)
    heard: list[Event[Any]] = []

    def stamp(event: Event[Any]) -> Event[Any] | None:
        return None if event.data.get("secret") else replace(event, data={**event.data, "stamped": True})

    bus.add_middleware(stamp)
    undo = bus.subscribe(EventType.TASK_COMPLETED, heard.append, source="agent")
    for number, source in enumerate(["agent", "other", "agent"]):
        bus.publish(EventType.TASK_COMPLETED, {"number": number}, source=source)
    bus.publish(EventType.TASK_COMPLETED, {"secret": True}, source="agent")
    undo()
    bus.publish(EventType.TASK_COMPLETED, {"number": 9}, source="agent")

    assert [event.data for event in heard] == [{"number": 0, "stamped": True}, {"number": 2, "stamped": True}]
    assert [event.data["number"] for event in bus.history] == [2, 9]


def test_a_state_of_ones_own_is_updated_with_dicts_and_read_through_projections() -> None:
    projector = StateProjector({"tasks": {}, "workflows": {}})
    projector.add_projection(
        "task_status",
        lambda state: {task_id: task.get("status") for task_id, task in state.get("tasks", {}).items()},
    )

    for task_id, status in (("a", "RUNNING"), ("b", "RUNNING"), ("a", "COMPLETED")):
        projector.update_state(
            lambda state, task_id=task_id, status=status: {  # type: ignore[misc]
                **state,
                "tasks": {
                    **state.get("tasks", {}),
                    task_id: {**state.get("tasks", {}).get(task_id, {}), "status": status},
                },
            }
        )

    assert projector.project("task_status") == {"a": "COMPLETED", "b": "RUNNING"}
    assert isinstance(projector.get_state()["tasks"]["a"], PMap)
    projector.reset()
    assert projector.project("task_status") == {}
