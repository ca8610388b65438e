"""What the library says to those who give it what it cannot use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qtui import EventBus, InvalidWorkflow, QuantumPartitioner, QuantumUnit, Workflow
from qtui.core.errors import UsageError

# -- metadata ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"resource_type": "gpu"}, r"resource_type: expected one of cpu, io, async, not 'gpu'"),
        ({"resource_type": ["cpu"]}, r"resource_type: expected one of cpu, io, async, not \['cpu'\]"),
        ({"cacheable": "no"}, "cacheable: expected True or False, not 'no'"),
        ({"cacheable": True, "cache_keys": "day"}, "cache_keys: expected a list of names, not 'day'"),
        ({"cacheable": True, "cache_keys": [1]}, r"cache_keys: expected a list of names, not \[1\]"),
    ],
)
def test_metadata_that_means_nothing_is_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=rf"test_library_words\.py:\d+: units\.a\.metadata\.{message}"):
        QuantumPartitioner().add_unit(lambda: 1, name="a", metadata=metadata)
    with pytest.raises(InvalidWorkflow, match=rf"units\.b\.metadata\.{message}"):
        QuantumPartitioner().add_unit(QuantumUnit(id="b", metadata=metadata))


def test_other_entries_of_metadata_are_the_users_own() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="a", metadata={"provider": "x", "cacheable": False, "cache_keys": ("day",)})
    assert partitioner.execute() == {"a": 1}


# -- hints -------------------------------------------------------------------------------------------------


def test_hints_are_in_the_words_of_python() -> None:
    with pytest.raises(InvalidWorkflow, match=r'there is no pool "gpu" \(declare it: pools=\{"gpu": 2\}\)'):
        QuantumPartitioner().add_unit(lambda: 1, name="a", pools={"gpu": 2})
    with pytest.raises(InvalidWorkflow, match=r'there is no pool "gpu" \(declare it: pools=\{"gpu": 1\}\)'):
        Workflow("w").command("a", "true", pools=["gpu"])
    workflow = Workflow("w")
    workflow.add_unit(lambda: 1, name="a", group="x")
    with pytest.raises(InvalidWorkflow, match=r'there is no group "x" \(declare it: groups=\{"x": \{\.\.\.\}\}\)'):
        workflow.definition()


def test_a_key_that_the_library_does_not_have_is_one_fault() -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        QuantumPartitioner().add_unit(lambda: 1, name="a", group="x")
    assert [(problem.key, problem.message) for problem in refused.value.problems] == [("units.a.group", "unknown key")]


def test_an_executor_and_a_mode_that_do_not_fit_are_told_apart() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="a")
    with pytest.raises(UsageError, match='mode "custom" needs an executor: give custom_executor'):
        partitioner.execute(execution_mode="custom")
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match='mode "thread" uses no custom_executor'):
        partitioner.execute(execution_mode="thread", custom_executor=pool)


@pytest.mark.parametrize("name", ["TASK_FAILED", "task_failed", "EventType.TASK_FAILED"])
def test_who_writes_an_event_type_as_a_text_is_told_so(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(EventType\.TASK_FAILED is one\)"):
        EventBus().subscribe(name, print)


# -- what values look like ---------------------------------------------------------------------------------


def test_a_unit_shows_only_what_it_says() -> None:
    assert repr(QuantumUnit(id="a")) == "QuantumUnit(id='a')"
    shown = repr(QuantumUnit(id="a", dependencies=("b",), timeout=3.0, tags=frozenset({"x"})))
    assert shown == "QuantumUnit(id='a', dependencies=('b',), timeout=3.0, tags=frozenset({'x'}))"


def test_a_context_shows_its_unit_and_what_it_has() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="a")
    partitioner.add_unit(lambda context: repr(context), ["a"], "b")
    assert partitioner.execute({"day": 1})["b"] == "<ExecutionContext of b, attempt 1: a, day>"


def test_a_notice_does_not_show_the_whole_plan() -> None:
    partitioner, heard = QuantumPartitioner(), []
    partitioner.bus.subscribe("unit_finished", heard.append)
    partitioner.add_unit(lambda: 1, name="a")
    partitioner.add_unit(lambda: 2, name="other")
    partitioner.execute()
    assert "UnitFinished" in repr(heard[0]) and "ExecutionPlan" not in repr(heard[0])


def test_the_picture_has_what_units_have_added_until_the_plan_is_another_one() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda context: context.add_unit(lambda: 2, name="added") and None, name="a")
    partitioner.execute()
    assert '"added" [fillcolor=palegreen]' in partitioner.visualize_plan()
    assert '"a" -> "added"' in partitioner.visualize_plan()
    partitioner.add_unit(lambda: 3, name="later")
    assert '"later"' in partitioner.visualize_plan() and '"added"' not in partitioner.visualize_plan()
