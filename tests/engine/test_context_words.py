"""What a unit is told that asks its context for something that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qtui import QuantumPartitioner, WorkflowFailed
from qtui.core.model import UnitError


def look(context: Any) -> Any:
    return context["yeer"]


def ask(context: Any) -> Any:
    return context["other"]


def add_what_cannot_be(context: Any) -> None:
    context.add_unit(3)


def error_of(function: Callable[..., Any], mode: str) -> UnitError:
    """What is told of a unit that calls `function`, beside another one and with an input."""
    partitioner = QuantumPartitioner(default_execution_mode=mode)
    partitioner.add_unit(lambda: 1, name="other")
    partitioner.add_unit(function, name="a")
    errors = []
    partitioner.on_unit_error = lambda _unit, error: errors.append(error)
    with pytest.raises(WorkflowFailed):
        partitioner.execute({"year": 2024})
    (error,) = errors
    return error


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_a_name_that_there_is_not_is_said_to_be_none_with_the_nearest(mode: str) -> None:
    message = error_of(look, mode).message
    assert message == 'there is no input, and no need of a, called "yeer" (did you mean "year"?)'


def test_of_a_unit_that_there_is_it_is_said_that_it_is_not_needed() -> None:
    assert error_of(ask, "thread").message == 'a does not need "other", so it cannot see its result'


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("function", [look, add_what_cannot_be])
def test_the_traceback_of_what_qtui_refuses_ends_at_the_line_that_asked(
    function: Callable[..., Any], mode: str
) -> None:
    shown = error_of(function, mode).traceback
    assert f"in {function.__name__}" in shown
    assert "qtui/engine" not in shown and "qtui/definition" not in shown
