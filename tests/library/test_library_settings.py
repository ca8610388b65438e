"""Settings, limits and names of the library: what cannot be right is refused at once, and nothing waits for ever."""

from __future__ import annotations

import inspect
import sys
import threading
from typing import Any

import pytest

import qtui
from qtui import ExecutionMode, InvalidWorkflow, QtuiError, QuantumPartitioner, QuantumTask, QuantumUnit, UsageError
from qtui.core.model import Call
from qtui.engine.bus import EventBus


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


@pytest.mark.parametrize(
    ("settings", "resources", "told"),
    [
        ({"cpus": 1}, {"cpus": 2}, "asks for 2 cpus of 1"),
        ({}, {"cpus": 4000}, "asks for 4000 cpus of"),
        ({"memory_limit": "1G"}, {"memory": "900G"}, "asks for 900G of the memory_limit of 1G"),
    ],
)
def test_a_unit_that_asks_for_more_than_there_is_is_refused(
    settings: dict[str, Any], resources: dict[str, Any], told: str
) -> None:
    partitioner = QuantumPartitioner(**settings)
    with pytest.raises(InvalidWorkflow, match=f"units.big.resources.*{told}"):
        partitioner.add_unit(lambda: 1, name="big", resources=resources)


@pytest.mark.parametrize(
    ("settings", "keys", "told"),
    [
        ({"cpus": 1}, {"cpus": 2}, "asks for 2 of the 1 cpus of the run"),
        ({"memory_limit": 1000}, {"memory": 1001}, "asks for 1001 of the 1000 bytes of memory of the run"),
        ({"pools": {"gpu": 1}}, {"pools": {"gpu": 2}}, 'asks for 2 slots of "gpu", which has 1'),
        ({}, {"pools": {"gpu": 2}}, 'asks for 2 slots of "gpu", which has 1'),
    ],
)
def test_a_unit_made_by_hand_that_asks_for_more_than_there_is_cannot_be_executed(
    settings: dict[str, Any], keys: dict[str, Any], told: str
) -> None:
    partitioner = QuantumPartitioner(**settings)
    partitioner.add_unit(QuantumUnit(id="big", action=Call.of(lambda: 1, {}), **keys))
    with pytest.raises(InvalidWorkflow, match=f"units.big: {told}"):
        partitioner.execute()


def test_a_task_that_asks_for_more_than_there_is_cannot_be_executed() -> None:
    with qtui.open_services() as services:
        workflow = services.manager.create_workflow("w", tasks=[QuantumTask(id="t", function=int)], cpus=1)
        unit = QuantumUnit(id="big", action=Call.of(lambda: 1, {}), cpus=2)
        services.manager.add_task(workflow, unit)
        with pytest.raises(InvalidWorkflow, match=r"units\.big: asks for 2 of the 1 cpus"):
            services.manager.execute_workflow(workflow)
        assert services.manager.get_workflow_status(workflow)["status"] == "CREATED"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_workers": 0}, "max_workers is a whole number"),
        ({"default_execution_mode": "bogus"}, 'there is no mode "bogus"'),
        ({"graze": 3}, "graze: unknown key"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_with_the_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidWorkflow, match=rf"test_library_settings.py:{here() + 1}: {told}"):
        QuantumPartitioner(**settings)


def test_a_bus_is_an_event_bus() -> None:
    with pytest.raises(TypeError, match="bus is an EventBus, not int"):
        QuantumPartitioner(bus=5)  # type: ignore[arg-type]


def test_a_bus_that_breaks_does_not_keep_the_end_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(EventBus):
        def deliver(self, *_: Any) -> Any:
            raise SystemExit("broken")

    partitioner = QuantumPartitioner(bus=Broken())
    partitioner.add_unit(lambda: 1, name="a")
    assert partitioner.execute() == {"a": 1}
    assert caplog.text.count("subscribers miss events, the bus raised SystemExit: broken") <= 1


def test_metadata_that_is_no_mapping_is_refused_with_the_line() -> None:
    with pytest.raises(InvalidWorkflow, match=rf"py:{here() + 1}: units\.a: metadata is a mapping .* not list"):
        QuantumPartitioner().add_unit(int, name="a", metadata=[1])  # type: ignore[arg-type]


def test_usage_errors_can_be_caught_by_name() -> None:
    assert issubclass(UsageError, QtuiError)
    with pytest.raises(qtui.UsageError):
        QuantumPartitioner().execute_with_strategy(strategy="bogus")


def test_threads_may_add_units_at_the_same_time() -> None:
    partitioner = QuantumPartitioner(default_execution_mode=ExecutionMode.SEQUENTIAL)
    refused: list[Exception] = []

    def add() -> None:
        for _ in range(100):
            try:
                partitioner.add_unit(int)
            except InvalidWorkflow as invalid:
                refused.append(invalid)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not refused
    assert list(partitioner.units) == [f"unit_{n}" for n in range(800)]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('units.nope.state == "completed"', 'asks about "nope", which is not a unit'),
        ("units.other.cached", 'asks about "other", which it does not need'),
    ],
)
def test_a_condition_about_a_unit_that_is_not_needed_is_refused(condition: str, told: str) -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(int, name="other")
    partitioner.add_unit(int, name="a", condition=condition)
    with pytest.raises(InvalidWorkflow, match=f"units.a: its condition {told}"):
        partitioner.execute()


def test_a_condition_may_ask_about_all_that_is_above() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(int, name="first")
    partitioner.add_unit(int, ["first"], "second")
    partitioner.add_unit(lambda: "ran", ["second"], "a", condition='units.first.state == "completed"')
    assert partitioner.execute()["a"] == "ran"


def test_any_printable_name_has_its_faults_told_under_that_name() -> None:
    with pytest.raises(InvalidWorkflow, match=r"units\.é x\.timeout: "):
        QuantumPartitioner().add_unit(int, name="é x", timeout=-1)
