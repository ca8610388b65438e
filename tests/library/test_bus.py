"""EventBus: subscribers by type and by name, publishing, middleware, history; in real runs too."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from qtui.core.events import Warned
from qtui.core.model import RunState
from qtui.core.session import Record
from qtui.engine.bus import Event, EventBus, EventType, Notice
from qtui.manager import LiveSession, WorkflowManager
from qtui.workflow import Workflow

GENEROUS = 20.0
"""Seconds to wait for something that takes milliseconds when all is well."""

Run = Callable[..., list[Record]]


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def run(bus: EventBus) -> Iterator[Run]:
    """Run a workflow to its end, and return its record."""
    manager = WorkflowManager(bus=bus, state_dir=None)

    def run(workflow: Workflow) -> list[Record]:
        session: LiveSession = manager.start(workflow.definition())
        assert session.wait(GENEROUS) is not None
        return session.feed().take(0)

    yield run
    manager.close()


def three_units() -> Workflow:
    """One unit completes with 41, one fails, one is skipped for it."""
    workflow = Workflow("three", mode="thread", workers=1)
    workflow.add_unit(lambda: 41, name="good", priority=1)
    workflow.add_unit(lambda: [][0], name="bad")
    workflow.add_unit(lambda context: context["bad"], ["bad"], name="after")
    return workflow


# -- subscribing and publishing ------------------------------------------------------------------------------


def test_a_subscriber_gets_what_is_published_before_publish_returns(bus: EventBus) -> None:
    heard: list[Event[Any]] = []
    bus.subscribe(EventType.TASK_STARTED, heard.append)

    event_id = bus.publish(EventType.TASK_STARTED, {"task_id": "a"}, source="here")
    bus.publish(EventType.TASK_COMPLETED, {"task_id": "a"})

    assert [(event.id, event.type, event.data, event.source) for event in heard] == [
        (event_id, EventType.TASK_STARTED, {"task_id": "a"}, "here")
    ]
    assert heard[0].timestamp > 0


def test_every_event_has_an_id_of_its_own(bus: EventBus) -> None:
    assert len({bus.publish(EventType.TASK_STARTED) for _ in range(100)}) == 100


def test_the_returned_function_undoes_one_subscription_and_may_be_called_twice(bus: EventBus) -> None:
    heard: list[Any] = []
    undo = bus.subscribe(EventType.TASK_STARTED, heard.append)
    bus.subscribe(EventType.TASK_STARTED, heard.append)

    bus.publish(EventType.TASK_STARTED)
    assert len(heard) == 2
    undo()
    undo()
    bus.publish(EventType.TASK_STARTED)
    assert len(heard) == 3


def test_a_subscriber_that_nobody_else_holds_is_called(bus: EventBus) -> None:
    heard: list[Any] = []

    class Listener:
        def hear(self, event: Event[Any]) -> None:
            heard.append(event.data)

    bus.subscribe(EventType.TASK_STARTED, Listener().hear)
    bus.subscribe(EventType.TASK_STARTED, lambda event: heard.append(event.data))
    bus.publish(EventType.TASK_STARTED, 1)

    assert heard == [1, 1]


def test_with_a_source_only_what_comes_from_there_is_heard(bus: EventBus) -> None:
    here, everywhere = [], []
    bus.subscribe(EventType.TASK_STARTED, lambda event: here.append(event.data), source="".join(["he", "re"]))
    bus.subscribe(EventType.TASK_STARTED, lambda event: everywhere.append(event.data))

    bus.publish(EventType.TASK_STARTED, 1, source="here")
    bus.publish(EventType.TASK_STARTED, 2, source="there")
    bus.publish(EventType.TASK_STARTED, 3)

    assert (here, everywhere) == ([1], [1, 2, 3])


def test_subscribers_are_called_in_the_order_in_which_they_subscribed(bus: EventBus) -> None:
    called: list[int] = []
    for number in range(50):
        source = "here" if number % 2 else None
        bus.subscribe(EventType.TASK_STARTED, lambda _event, number=number: called.append(number), source=source)

    bus.publish(EventType.TASK_STARTED, source="here")

    assert called == list(range(50))


def test_a_handler_that_unsubscribes_another_keeps_it_from_being_called(bus: EventBus) -> None:
    heard: list[str] = []
    bus.subscribe(EventType.TASK_STARTED, lambda _event: undo())
    undo = bus.subscribe(EventType.TASK_STARTED, lambda _event: heard.append("never"))

    bus.publish(EventType.TASK_STARTED)

    assert heard == []


def test_handlers_may_publish_and_subscribe(bus: EventBus) -> None:
    heard: list[Any] = []

    def on_started(event: Event[Any]) -> None:
        bus.subscribe(EventType.TASK_COMPLETED, lambda completed: heard.append(completed.data))
        bus.publish(EventType.TASK_COMPLETED, event.data + 1)

    bus.subscribe(EventType.TASK_STARTED, on_started)
    bus.publish(EventType.TASK_STARTED, 1)

    assert heard == [2]


def test_what_handlers_raise_comes_out_of_publish_when_all_were_called(bus: EventBus) -> None:
    heard: list[Any] = []

    def broken(_event: Event[Any]) -> None:
        raise ValueError("my own bug")

    bus.subscribe(EventType.TASK_STARTED, broken)
    bus.subscribe(EventType.TASK_STARTED, lambda _event: {}["missing"])
    bus.subscribe(EventType.TASK_STARTED, heard.append)

    with pytest.raises(ExceptionGroup, match=r"TASK_STARTED: .*broken.* raised") as raised:
        bus.publish(EventType.TASK_STARTED)

    assert [type(error) for error in raised.value.exceptions] == [ValueError, KeyError]
    assert len(heard) == len(bus.history) == 1


def test_an_unknown_event_or_handler_is_refused(bus: EventBus) -> None:
    with pytest.raises(ValueError, match=r"unit_finnished\" .did you mean \"unit_finished\""):
        bus.subscribe("unit_finnished", print)
    with pytest.raises(TypeError, match="a handler is a function, not int"):
        bus.subscribe(EventType.TASK_STARTED, 3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="publish takes an EventType, not str"):
        bus.publish("unit_finished")  # type: ignore[arg-type]


def test_many_threads_may_use_a_bus(bus: EventBus) -> None:
    heard: list[int] = []
    bus.subscribe(EventType.TASK_STARTED, lambda event: heard.append(event.data))
    begin = threading.Barrier(4)

    def work() -> None:
        begin.wait()
        for number in range(300):
            bus.subscribe(EventType.TASK_STARTED, lambda _event: None)()
            bus.publish(EventType.TASK_STARTED, number)
            assert bus.history

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(heard) == sorted(4 * list(range(300)))


# -- middleware and history ----------------------------------------------------------------------------------


def test_middleware_changes_and_drops_what_subscribers_and_history_see(bus: EventBus) -> None:
    heard: list[Any] = []
    bus.subscribe(EventType.TASK_STARTED, lambda event: heard.append(event.data))
    bus.add_middleware(lambda event: None if event.data == "secret" else event)
    bus.add_middleware(lambda event: replace(event, data=f"<{event.data}>"))

    bus.publish(EventType.TASK_STARTED, "open")
    dropped = bus.publish(EventType.TASK_STARTED, "secret")

    assert heard == [event.data for event in bus.history] == ["<open>"]
    assert dropped


def test_middleware_that_raises_or_returns_nonsense_lets_the_event_go_on(bus: EventBus) -> None:
    heard: list[Any] = []
    bus.subscribe(EventType.TASK_STARTED, lambda event: heard.append(event.data))
    bus.add_middleware(lambda event: event.data["missing"])
    bus.add_middleware(lambda event: event.data)

    with pytest.raises(ExceptionGroup) as raised:
        bus.publish(EventType.TASK_STARTED, {"a": 1})

    assert [type(error) for error in raised.value.exceptions] == [KeyError, TypeError]
    assert heard == [{"a": 1}]


def test_history_keeps_the_last_events_only() -> None:
    bus = EventBus(history_limit=3)
    for number in range(5):
        bus.publish(EventType.TASK_STARTED, number)

    assert [event.data for event in bus.history] == [2, 3, 4]


# -- runs ------------------------------------------------------------------------------------------------------


def test_a_run_tells_of_its_tasks_by_type(bus: EventBus, run: Run) -> None:
    heard: list[Event[Any]] = []
    for event_type in EventType:
        bus.subscribe(event_type, heard.append)

    run(three_units())

    assert [(event.type.name, event.data.get("task_id"), event.data["status"]) for event in heard if event.type] == [
        ("WORKFLOW_STARTED", None, "RUNNING"),
        ("TASK_STARTED", "good", "RUNNING"),
        ("TASK_COMPLETED", "good", "COMPLETED"),
        ("TASK_STARTED", "bad", "RUNNING"),
        ("TASK_FAILED", "bad", "FAILED"),
        ("TASK_SKIPPED", "after", "SKIPPED"),
        ("WORKFLOW_FAILED", None, "FAILED"),
    ]
    data = {(event.type, event.data.get("task_id")): event.data for event in heard}
    assert data[EventType.TASK_COMPLETED, "good"]["result"] == 41
    assert data[EventType.TASK_FAILED, "bad"]["error"] == "IndexError: list index out of range"
    assert data[EventType.TASK_SKIPPED, "after"]["cause"] == "because bad"
    assert data[EventType.WORKFLOW_FAILED, None]["error"] == "1 failed, 1 skipped"
    assert data[EventType.WORKFLOW_STARTED, None]["task_count"] == 3
    assert len({event.source for event in heard}) == 1
    assert [event.timestamp for event in heard] == sorted(event.timestamp for event in heard)


def test_subscribers_by_name_get_the_same_events_in_the_order_of_the_record(bus: EventBus, run: Run) -> None:
    by_name: list[Notice] = []
    finished: list[Notice] = []
    by_type: list[Event[Any]] = []
    bus.subscribe("*", by_name.append)
    bus.subscribe("unit_finished", finished.append)
    bus.subscribe(EventType.TASK_FAILED, by_type.append)

    record = run(three_units())

    assert [(notice.seq, notice.event) for notice in by_name] == [tuple(each) for each in record]
    assert [notice for notice in by_name if notice.name == "unit_finished"] == finished
    assert [notice.unit for notice in finished] == ["good", "bad", "after"]
    assert by_type == [notice for notice in finished if notice.unit == "bad"]


def test_events_of_runs_can_be_chosen_by_their_source(bus: EventBus, run: Run) -> None:
    heard: list[str | None] = []
    bus.subscribe("run_started", lambda notice: bus.subscribe("unit_finished", hear, source=notice.run))

    def hear(notice: Notice) -> None:
        heard.append(notice.source)

    run(three_units())
    run(three_units())

    assert [heard.count(source) for source in dict.fromkeys(heard)] == [3, 3]


def test_middleware_changes_what_subscribers_see_of_a_run_and_never_its_record(bus: EventBus, run: Run) -> None:
    heard: list[tuple[str, Any]] = []
    names: list[str] = []
    bus.subscribe("*", lambda notice: names.append(notice.name))
    bus.subscribe(EventType.TASK_COMPLETED, lambda event: heard.append((event.data["task_id"], event.data["result"])))
    bus.subscribe(EventType.TASK_FAILED, lambda event: heard.append((event.data["task_id"], None)))

    def mask(event: Event[Any]) -> Event[Any] | None:
        if event.type is EventType.TASK_FAILED:
            return None
        if event.type is EventType.TASK_COMPLETED:
            return replace(event, data={**event.data, "result": "***"})
        return event

    bus.add_middleware(mask)
    record = run(three_units())

    assert heard == [("good", "***")]
    assert names.count("unit_finished") == 2
    assert sum(type(each.event).__name__ == "UnitFinished" for each in record) == 3
    assert not any(isinstance(each.event, Warned) for each in record)


def test_middleware_may_put_an_event_of_its_own_in_the_place_of_a_runs(bus: EventBus, run: Run) -> None:
    heard: list[Any] = []
    names: list[str] = []
    bus.subscribe(EventType.TASK_COMPLETED, lambda event: heard.append(event.data))
    bus.subscribe("unit_finished", lambda notice: names.append(str(notice.unit)))
    bus.add_middleware(
        lambda event: Event(type=event.type, data="mine") if event.type is EventType.TASK_COMPLETED else event
    )

    record = run(three_units())

    assert heard == ["mine"]
    assert names == ["bad", "after"]  # who subscribes by name gets what runs tell, and nothing else
    assert not any(isinstance(each.event, Warned) for each in record)


def test_a_subscriber_that_raises_harms_neither_run_nor_others_and_is_named(bus: EventBus) -> None:
    heard: list[Any] = []
    held = threading.Event()

    def broken(_event: Event[Any]) -> None:
        raise ValueError("my own bug")

    def leaving(_event: Event[Any]) -> None:
        sys.exit(3)

    bus.subscribe(EventType.TASK_STARTED, broken, source=None)
    bus.subscribe("run_started", leaving)
    bus.subscribe(EventType.TASK_COMPLETED, heard.append)
    bus.subscribe("warning", lambda notice: held.set() if "my own bug" in notice.event.message else None)
    workflow = Workflow("w", mode="thread")
    workflow.add_unit(lambda: held.wait(GENEROUS), name="a")
    manager = WorkflowManager(bus=bus, state_dir=None)
    session = manager.start(workflow.definition())
    end = session.wait(GENEROUS)
    warnings = [each.event.message for each in session.feed().take(0) if isinstance(each.event, Warned)]
    manager.close()

    assert end is not None and end.state is RunState.COMPLETED
    assert heard[0].data["result"] is True
    assert any("broken raised ValueError at unit_started: my own bug" in warning for warning in warnings)
    assert any("leaving raised SystemExit at run_started: 3" in warning for warning in warnings)


def test_the_history_has_what_a_run_told_though_nobody_listened(bus: EventBus, run: Run) -> None:
    record = run(three_units())

    history = bus.history
    assert [(event.seq, event.event) for event in history if isinstance(event, Notice)] == [tuple(r) for r in record]
    assert [event.type for event in history if event.type is not None][-2:] == [
        EventType.TASK_SKIPPED,
        EventType.WORKFLOW_FAILED,
    ]
    bus.subscribe(EventType.TASK_FAILED, lambda _event: None)
    run(three_units())
    assert len(bus.history) == 2 * len(record)


def test_results_are_only_loaded_for_those_who_ask(bus: EventBus, run: Run) -> None:
    """What cannot be loaded here is told in the place of the result; dependents elsewhere are not touched."""
    workflow = Workflow("w", mode="process")
    workflow.add_unit(_unloadable, name="a")
    heard: list[Any] = []
    bus.subscribe("unit_finished", lambda notice: heard.append(notice.data))
    run(workflow)
    bus.subscribe(EventType.TASK_COMPLETED, lambda event: heard.append(event.data))
    run(workflow)

    assert [(data["status"], "result" in data) for data in heard] == [("COMPLETED", False)] * 3
    assert heard[0]["error"] is None
    assert "the result of a cannot be loaded: RuntimeError: not here" in heard[2]["error"]


class _OnlyThere:
    """A value that loads in no other process than the one that made it."""

    def __reduce__(self) -> Any:
        return _load, (os.getpid(),)


def _load(maker: int) -> _OnlyThere:
    if os.getpid() != maker:
        raise RuntimeError("not here")
    return _OnlyThere()


def _unloadable() -> Any:
    return _OnlyThere()
