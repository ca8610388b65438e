"""WorkflowManager for programs that make their workflows task by task; every run here is a real one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from qtui import CircularDependencyError, ExecutionContext, InvalidWorkflow, QuantumUnit, Services, open_services
from qtui.core.errors import UsageError
from qtui.core.projector import StateProjector
from qtui.engine.bus import Event, EventBus, EventType
from qtui.manager import WorkflowManager

GENEROUS = 20.0
"""Seconds to wait for something that takes milliseconds when all is well."""


@pytest.fixture
def services() -> Iterator[Services]:
    threads = set(threading.enumerate())
    with open_services() as services:
        yield services
    deadline = time.monotonic() + GENEROUS
    while left := [each for each in set(threading.enumerate()) - threads if each.is_alive()]:
        assert time.monotonic() < deadline, f"threads left behind: {left}"
        time.sleep(0.005)
    assert not psutil.Process().children(recursive=True)


@pytest.fixture
def manager(services: Services) -> WorkflowManager:
    return services.manager


def task(name: str, function: Callable[..., Any], *needs: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=name, action=function, dependencies=needs, **keys)


def failing(_context: ExecutionContext) -> None:
    raise ValueError("no such page")


def double(context: ExecutionContext) -> int:
    return 2 * int(context["number"])


def hear(bus: EventBus, *types: EventType) -> list[Event[Any]]:
    heard: list[Event[Any]] = []
    for event_type in types or EventType:
        bus.subscribe(event_type, heard.append)
    return heard


def ended(manager: WorkflowManager, workflow: str) -> dict[str, Any]:
    status = manager.wait(workflow, GENEROUS)
    assert status is not None, "the execution did not end"
    return status


# -- one workflow ----------------------------------------------------------------------------------------------


def test_a_workflow_made_task_by_task_is_executed_in_the_background(manager: WorkflowManager) -> None:
    go = threading.Event()
    workflow = manager.create_workflow("report", "the weekly one", [task("fetch", lambda: go.wait(GENEROUS) and 20)])
    assert manager.add_task(workflow, task("sum", lambda context: context["fetch"] + context["more"], "fetch")) == "sum"
    before = manager.get_workflow_status(workflow)
    assert (before["status"], before["task_count"], before["name"]) == ("CREATED", 2, "report")
    assert "started_at" not in before and "task_results" not in before

    execution = manager.execute_workflow(workflow, {"more": 3})
    assert manager.wait(workflow, 0.0) is None
    during = manager.get_workflow_status(workflow)
    assert (during["status"], during["execution_id"], "completed_at" in during) == ("RUNNING", execution, False)
    go.set()

    status = ended(manager, workflow)
    assert status["status"] == "COMPLETED"
    assert status["task_results"] == {
        "fetch": {"status": "COMPLETED", "result": 20},
        "sum": {"status": "COMPLETED", "result": 23},
    }
    assert status["created_at"] <= status["started_at"] <= status["completed_at"]
    assert status["duration"] == pytest.approx(status["completed_at"] - status["started_at"])
    assert (status["id"], status["description"], "error" in status) == (workflow, "the weekly one", False)


def test_tasks_see_which_workflow_and_execution_they_are_part_of(manager: WorkflowManager) -> None:
    given = {"city": "Oslo"}
    workflow = manager.create_workflow("w", tasks=[task("all", lambda context: dict(context))])

    execution = manager.execute_workflow(workflow, given)

    seen = ended(manager, workflow)["task_results"]["all"]["result"]
    assert seen == {"city": "Oslo", "workflow_id": workflow, "execution_id": execution}
    assert given == {"city": "Oslo"}


def test_functions_may_be_added_with_the_keys_of_a_unit(manager: WorkflowManager) -> None:
    workflow = manager.create_workflow("w", max_workers=1)
    manager.add_task(workflow, lambda: 20, name="number")
    assert manager.add_task(workflow, double, dependencies=["number"], name="twice", retries=2) == "twice"
    manager.execute_workflow(workflow)

    assert ended(manager, workflow)["task_results"]["twice"] == {"status": "COMPLETED", "result": 40}


def test_results_made_in_processes_are_there_when_the_run_is_gone(manager: WorkflowManager) -> None:
    large = QuantumUnit(id="large", action=_large, kind="cpu")
    workflow = manager.create_workflow("w", tasks=[large], default_execution_mode="process")
    manager.execute_workflow(workflow)

    result = ended(manager, workflow)["task_results"]["large"]["result"]
    assert len(result) == 3 << 20
    assert manager.get_task_status("large", workflow)["result"] is result  # type: ignore[index]


def _large() -> bytes:
    return b"x" * (3 << 20)


def test_a_failure_is_told_with_what_became_of_the_rest(manager: WorkflowManager) -> None:
    workflow = manager.create_workflow("w")
    for each in (task("good", lambda: 1), task("bad", failing), task("after", lambda: 2, "bad")):
        manager.add_task(workflow, each)
    manager.execute_workflow(workflow)

    status = ended(manager, workflow)
    assert status["status"] == "FAILED"
    assert status["task_results"] == {
        "good": {"status": "COMPLETED", "result": 1},
        "bad": {"status": "FAILED", "result": None, "error": "ValueError: no such page"},
        "after": {"status": "SKIPPED", "result": None, "error": "because bad"},
    }
    assert status["error"] == "bad: ValueError: no such page\nafter: because bad"


def test_the_status_of_a_task_follows_its_run(manager: WorkflowManager) -> None:
    began, go = threading.Event(), threading.Event()

    def waiting() -> str:
        began.set()
        assert go.wait(GENEROUS)
        return "done"

    workflow = manager.create_workflow("w", tasks=[task("a", waiting), task("b", failing, "a")])
    assert manager.get_task_status("a") == {"id": "a", "workflow_id": workflow, "status": "PENDING"}

    manager.execute_workflow(workflow)
    assert began.wait(GENEROUS)
    _until(lambda: _status(manager, "a") == "RUNNING")
    assert _status(manager, "b") == "PENDING"
    go.set()
    ended(manager, workflow)

    a, b = manager.get_task_status("a"), manager.get_task_status("b", workflow)
    assert a is not None and b is not None
    assert (a["status"], a["result"], a["attempt"]) == ("COMPLETED", "done", 1)
    assert a["started_at"] <= a["completed_at"] <= b["started_at"]
    assert (b["status"], b["error"]) == ("FAILED", "ValueError: no such page")
    assert manager.get_task_status("nobody") is None


def _status(manager: WorkflowManager, name: str) -> str:
    found = manager.get_task_status(name)
    assert found is not None
    return str(found["status"])


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.005)


def test_a_workflow_may_be_executed_again_with_more_tasks(services: Services) -> None:
    manager = services.manager
    workflow = manager.create_workflow("w", tasks=[task("number", lambda context: context["n"])])
    manager.execute_workflow(workflow, {"n": 1})
    first = ended(manager, workflow)
    manager.add_task(workflow, task("twice", double, "number"))
    heard = hear(services.bus)
    manager.execute_workflow(workflow, {"n": 5})
    second = ended(manager, workflow)

    assert first["execution_id"] != second["execution_id"]
    assert second["task_results"]["twice"]["result"] == 10
    assert [(event.type, event.data.get("task_id")) for event in heard[:3]] == [
        (EventType.TASK_PENDING, "number"),
        (EventType.TASK_PENDING, "twice"),
        (EventType.WORKFLOW_STARTED, None),
    ]


# -- several workflows -----------------------------------------------------------------------------------------


def test_several_workflows_run_at_once(manager: WorkflowManager) -> None:
    together = threading.Barrier(3)
    workflows = [
        manager.create_workflow(
            f"w{number}", tasks=[task("meet", lambda: together.wait(GENEROUS)), task("id", lambda c: c["n"], "meet")]
        )
        for number in range(3)
    ]
    for number, workflow in enumerate(workflows):
        manager.execute_workflow(workflow, {"n": number})

    statuses = [ended(manager, workflow) for workflow in workflows]
    assert [status["status"] for status in statuses] == 3 * ["COMPLETED"]
    assert [status["task_results"]["id"]["result"] for status in statuses] == [0, 1, 2]
    assert [manager.get_task_status("id", each)["result"] for each in workflows] == [0, 1, 2]  # type: ignore[index]
    assert manager.get_task_status("id")["workflow_id"] == workflows[-1]  # type: ignore[index]


def test_a_cancelled_workflow_stops_and_others_go_on(services: Services) -> None:
    manager = services.manager
    began, go = threading.Event(), threading.Event()
    heard = hear(services.bus, EventType.TASK_CANCELLED, EventType.WORKFLOW_COMPLETED, EventType.WORKFLOW_FAILED)

    def long(context: ExecutionContext) -> None:
        began.set()
        context.sleep(GENEROUS)

    stopped = manager.create_workflow("stopped", tasks=[task("long", long), task("after", lambda: 1, "long")])
    other = manager.create_workflow("other", tasks=[task("short", lambda: go.wait(GENEROUS))])
    manager.execute_workflow(stopped)
    manager.execute_workflow(other)
    assert began.wait(GENEROUS)

    manager.cancel(stopped)
    status = ended(manager, stopped)
    assert manager.get_workflow_status(other)["status"] == "RUNNING"
    go.set()

    assert status["status"] == "CANCELED"
    assert {name: result["status"] for name, result in status["task_results"].items()} == {
        "long": "CANCELED",
        "after": "CANCELED",
    }
    assert ended(manager, other)["status"] == "COMPLETED"
    told = [(event.type, event.source, event.data.get("task_id")) for event in heard]
    assert (EventType.TASK_CANCELLED, stopped, "long") in told
    assert told[-2:] == [(EventType.WORKFLOW_FAILED, stopped, None), (EventType.WORKFLOW_COMPLETED, other, None)]
    manager.cancel(stopped)  # has ended: nothing happens
    assert manager.get_workflow_status(stopped) == status


def test_processes_of_a_cancelled_workflow_are_gone(manager: WorkflowManager, tmp_path: Path) -> None:
    began = tmp_path / "began"
    workflow = manager.create_workflow("w", default_execution_mode="process", grace=0.2)
    manager.add_task(workflow, _stubborn, name="stubborn", args={"began": str(began)})
    manager.execute_workflow(workflow)
    _until(began.exists)

    manager.cancel(workflow)

    assert ended(manager, workflow)["status"] == "CANCELED"
    assert not psutil.Process().children(recursive=True)


def _stubborn(began: str) -> None:
    Path(began).touch()
    while True:
        try:
            time.sleep(GENEROUS)
        except BaseException:
            continue


def test_leaving_the_block_cancels_what_still_runs() -> None:
    began, stopped = threading.Event(), threading.Event()

    def long(context: ExecutionContext) -> None:
        began.set()
        try:
            context.sleep(GENEROUS)
        finally:
            stopped.set()

    with open_services() as services:
        workflow = services.manager.create_workflow("w", tasks=[task("long", long), task("after", long, "long")])
        services.manager.execute_workflow(workflow)
        assert began.wait(GENEROUS)

    assert stopped.is_set()
    status = services.manager.get_workflow_status(workflow)
    assert status["status"] == "CANCELED"
    assert status["task_results"]["long"]["error"] == "the manager was closed"


# -- what is refused -------------------------------------------------------------------------------------------


def test_a_workflow_that_runs_takes_no_tasks_and_no_second_execution(manager: WorkflowManager) -> None:
    go = threading.Event()
    workflow = manager.create_workflow("w", tasks=[task("a", lambda: go.wait(GENEROUS))])
    manager.execute_workflow(workflow)

    with pytest.raises(UsageError, match='workflow "w" is being executed'):
        manager.add_task(workflow, task("b", lambda: 1))
    with pytest.raises(UsageError, match='workflow "w" is being executed'):
        manager.execute_workflow(workflow)
    go.set()

    assert ended(manager, workflow)["task_count"] == 1


def test_what_cannot_run_is_refused_at_once_and_stays_as_it_was(services: Services) -> None:
    manager = services.manager
    heard = hear(services.bus, EventType.WORKFLOW_STARTED)
    circle = manager.create_workflow("circle", tasks=[task("a", double, "b"), task("b", double, "a")])
    empty = manager.create_workflow("empty")
    twice = manager.create_workflow("twice", tasks=[task("a", lambda: 1)])

    with pytest.raises(CircularDependencyError, match=r"a.*b.*a"):
        manager.execute_workflow(circle)
    with pytest.raises(InvalidWorkflow, match="there is no unit to run"):
        manager.execute_workflow(empty)
    with pytest.raises(InvalidWorkflow, match="also the name of an input"):
        manager.execute_workflow(twice, {"a": 1})
    with pytest.raises(InvalidWorkflow, match=f"{Path(__file__).name}:.*this name is already taken"):
        manager.add_task(twice, task("a", lambda: 2))
    with pytest.raises(InvalidWorkflow):
        manager.create_workflow("never", tasks=[3])  # type: ignore[list-item]

    assert {manager.get_workflow_status(each)["status"] for each in (circle, empty, twice)} == {"CREATED"}
    assert len(services.state_projector.project("workflow_status")) == 3
    assert heard == []


def test_unknown_workflows_and_tasks_are_named(manager: WorkflowManager) -> None:
    workflow = manager.create_workflow("w", tasks=[task("fetch", lambda: 1)])
    for call in (manager.execute_workflow, manager.get_workflow_status, manager.wait, manager.cancel):
        with pytest.raises(UsageError, match="there is no workflow nowhere here"):
            call("nowhere")
    with pytest.raises(UsageError, match="there is no workflow nowhere here"):
        manager.add_task("nowhere", task("a", lambda: 1))
    with pytest.raises(UsageError, match=r'no task "fetsh" .did you mean "fetch"'):
        manager.get_task_status("fetsh", workflow)
    for call in (manager.wait, manager.cancel):
        with pytest.raises(UsageError, match='workflow "w" was never executed'):
            call(workflow)


# -- events and state ------------------------------------------------------------------------------------------


def test_events_tell_the_life_of_a_workflow(services: Services) -> None:
    heard = hear(services.bus)
    manager = services.manager
    workflow = manager.create_workflow("w", max_workers=1)
    manager.add_task(workflow, task("good", lambda: [1], priority=1))
    manager.add_task(workflow, task("bad", failing))
    execution = manager.execute_workflow(workflow)
    ended(manager, workflow)

    assert [(event.type.name, event.data.get("task_id")) for event in heard if event.type] == [
        ("WORKFLOW_CREATED", None),
        ("TASK_PENDING", "good"),
        ("TASK_PENDING", "bad"),
        ("WORKFLOW_STARTED", None),
        ("TASK_STARTED", "good"),
        ("TASK_COMPLETED", "good"),
        ("TASK_STARTED", "bad"),
        ("TASK_FAILED", "bad"),
        ("WORKFLOW_FAILED", None),
    ]
    assert {event.source for event in heard} == {event.data["workflow_id"] for event in heard} == {workflow}
    assert {event.data.get("execution_id") for event in heard[3:]} == {execution}
    assert heard[5].data["result"] == [1]
    assert heard[-1].data["successful_tasks"] == 1


def test_tasks_that_a_task_adds_are_told_of_and_counted(services: Services) -> None:
    def split(context: ExecutionContext) -> int:
        for number in range(2):
            context.add_unit(lambda number=number: number, name=f"part_{number}")
        return 2

    heard = hear(services.bus, EventType.TASK_PENDING, EventType.TASK_COMPLETED)
    workflow = services.manager.create_workflow("w", tasks=[task("split", split)], max_workers=1)
    services.manager.execute_workflow(workflow)
    status = ended(services.manager, workflow)

    assert [(event.type.name, event.data["task_id"], event.data.get("added_by")) for event in heard if event.type] == [
        ("TASK_PENDING", "split", None),
        ("TASK_PENDING", "part_0", "split"),
        ("TASK_PENDING", "part_1", "split"),
        ("TASK_COMPLETED", "split", None),
        ("TASK_COMPLETED", "part_0", None),
        ("TASK_COMPLETED", "part_1", None),
    ]
    assert (status["status"], status["task_count"]) == ("COMPLETED", 3)
    assert status["task_results"]["part_1"] == {"status": "COMPLETED", "result": 1}
    assert services.manager.get_task_status("part_1")["status"] == "COMPLETED"  # type: ignore[index]
    assert set(services.state_projector.project("completed_tasks")) == {"split", "part_0", "part_1"}


def test_subscribers_can_choose_one_workflow_before_it_runs(services: Services) -> None:
    manager, heard = services.manager, []
    first, second = (manager.create_workflow(name, tasks=[task("a", lambda: 1)]) for name in "ab")
    services.bus.subscribe(EventType.TASK_COMPLETED, lambda event: heard.append(event.source), source=second)
    for workflow in (first, second):
        manager.execute_workflow(workflow)
        ended(manager, workflow)

    assert heard == [second]


def test_projections_follow_the_run_and_are_ahead_of_subscribers(services: Services) -> None:
    manager, projector = services.manager, services.state_projector
    seen: list[str] = []

    def look(event: Event[Any]) -> None:
        task_id = event.data["task_id"]
        seen.append(f"{task_id} {projector.project('task_status')[task_id]}")

    for event_type in (EventType.TASK_STARTED, EventType.TASK_COMPLETED, EventType.TASK_FAILED):
        services.bus.subscribe(event_type, look)
    workflow = manager.create_workflow("w", max_workers=1)
    for each in (task("one", lambda: [1], priority=2), task("two", lambda: 2, priority=1), task("bad", failing)):
        manager.add_task(workflow, each)
    assert projector.project("task_status") == {"one": "PENDING", "two": "PENDING", "bad": "PENDING"}
    assert projector.project("workflow_status") == {workflow: "CREATED"}

    manager.execute_workflow(workflow)
    ended(manager, workflow)

    assert seen == ["one RUNNING", "one COMPLETED", "two RUNNING", "two COMPLETED", "bad RUNNING", "bad FAILED"]
    assert projector.project("completed_tasks") == ["one", "two"]
    assert projector.project("failed_tasks") == ["bad"]
    assert projector.project("workflow_status") == {workflow: "FAILED"}
    entry = projector.get_state()["tasks"]["one"]
    assert (entry["workflow_id"], entry["result"], type(entry["result"])) == (workflow, [1], list)
    assert projector.get_state()["tasks"]["bad"]["error"] == "ValueError: no such page"


def test_a_second_execution_begins_with_pending_tasks_in_the_projections(services: Services) -> None:
    manager, projector = services.manager, services.state_projector
    workflow = manager.create_workflow("w", tasks=[task("a", lambda context: context["n"]), task("b", lambda: 1, "a")])
    manager.execute_workflow(workflow, {"n": 1})
    ended(manager, workflow)
    at_start: list[dict[str, str]] = []
    services.bus.subscribe(EventType.WORKFLOW_STARTED, lambda _event: at_start.append(projector.project("task_status")))
    manager.execute_workflow(workflow, {"n": 2})
    ended(manager, workflow)

    assert at_start == [{"a": "PENDING", "b": "PENDING"}]
    assert projector.get_state()["tasks"]["a"]["result"] == 2


def test_a_task_id_of_two_workflows_stands_for_the_one_last_heard_of(services: Services) -> None:
    manager, projector = services.manager, services.state_projector
    good = manager.create_workflow("good", tasks=[task("same", lambda: 1)])
    bad = manager.create_workflow("bad", tasks=[task("same", failing)])
    for workflow, status in ((bad, "FAILED"), (good, "COMPLETED")):
        manager.execute_workflow(workflow)
        ended(manager, workflow)
        assert projector.project("task_status") == {"same": status}
        assert projector.get_state()["tasks"]["same"]["workflow_id"] == workflow
    assert "error" not in projector.get_state()["tasks"]["same"]
    assert manager.get_task_status("same", bad)["status"] == "FAILED"  # type: ignore[index]
    workflows = projector.get_state()["workflows"]
    assert workflows[good]["tasks"]["same"]["status"] == "COMPLETED"
    assert workflows[bad]["tasks"]["same"]["status"] == "FAILED"
    assert workflows[bad]["tasks"]["same"]["error"] == "ValueError: no such page"


def test_tasks_are_known_by_workflow_also_of_one_that_was_never_told_of(services: Services) -> None:
    held = (EventType.WORKFLOW_CREATED, EventType.WORKFLOW_STARTED, EventType.WORKFLOW_COMPLETED)
    services.bus.add_middleware(lambda event: None if event.type in held else event)
    workflow = services.manager.create_workflow("w", tasks=[task("a", lambda: 1)])
    services.manager.execute_workflow(workflow)
    ended(services.manager, workflow)
    assert services.state_projector.get_state()["workflows"][workflow]["tasks"]["a"]["result"] == 1
    assert services.state_projector.project("workflow_status") == {}


def test_middleware_never_changes_what_the_manager_answers(services: Services) -> None:
    manager = services.manager
    services.bus.add_middleware(lambda event: None if event.type is EventType.TASK_FAILED else event)
    workflow = manager.create_workflow("w", tasks=[task("bad", failing)])
    manager.execute_workflow(workflow)

    assert ended(manager, workflow)["task_results"]["bad"]["status"] == "FAILED"
    assert manager.get_task_status("bad")["status"] == "FAILED"  # type: ignore[index]
    assert services.state_projector.project("failed_tasks") == []  # a projection is a subscriber like others


def test_subscribers_that_raise_keep_the_manager_from_nothing(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_event: Event[Any]) -> None:
        raise RuntimeError("my own bug")

    for event_type in EventType:
        services.bus.subscribe(event_type, broken)
    with caplog.at_level(logging.WARNING, "qtui"):
        workflow = services.manager.create_workflow("w", tasks=[task("a", lambda: 1)])
        services.manager.execute_workflow(workflow)
        assert ended(services.manager, workflow)["status"] == "COMPLETED"

    told = [record.getMessage() for record in caplog.records]
    assert any("broken raised at WORKFLOW_CREATED" in message for message in told)
    assert services.state_projector.project("task_status") == {"a": "COMPLETED"}


def test_a_subscriber_that_exits_does_not_lose_the_id_of_a_new_workflow(services: Services) -> None:
    def leave(_event: Event[Any]) -> None:
        raise SystemExit("enough")

    services.bus.subscribe(EventType.WORKFLOW_CREATED, leave)
    workflow = services.manager.create_workflow("w", tasks=[task("a", lambda: 1)])
    services.manager.execute_workflow(workflow)
    assert ended(services.manager, workflow)["status"] == "COMPLETED"


def test_nothing_is_executed_by_a_manager_that_was_closed() -> None:
    with open_services() as services:
        workflow = services.manager.create_workflow("w", tasks=[task("a", lambda: 1)])
    with pytest.raises(UsageError, match='"w" cannot be executed: the manager was closed'):
        services.manager.execute_workflow(workflow)
    assert services.manager.get_workflow_status(workflow)["status"] == "CREATED"


def test_a_workflow_takes_no_bus_of_its_own(manager: WorkflowManager) -> None:
    with pytest.raises(InvalidWorkflow, match=r"test_manager\.py:\d+: a workflow has the bus of its manager"):
        manager.create_workflow("w", bus=EventBus())


def test_a_manager_uses_the_state_it_is_given() -> None:
    projector = StateProjector({"mine": 1})
    manager = WorkflowManager(bus=EventBus(), state_projector=projector)
    workflow = manager.create_workflow("w", tasks=[task("a", lambda: 1)])
    manager.execute_workflow(workflow)
    ended(manager, workflow)
    manager.close()

    assert projector.project("completed_tasks") == ["a"]
    assert projector.get_state()["mine"] == 1
    projector.reset()
    assert projector.project("task_status") == {}
