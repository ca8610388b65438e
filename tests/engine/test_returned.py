"""Functions whose work does not begin when they are called: generators, and what returns a coroutine."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from qtui import InvalidWorkflow, QuantumPartitioner, QuantumUnit, Workflow, WorkflowFailed
from qtui.core.model import Call


async def fetch() -> int:
    return 1


async def pages() -> AsyncIterator[int]:
    yield 1


def rows() -> Iterator[int]:
    yield 1


class Rows:
    def __call__(self) -> Iterator[int]:
        yield 1


async def fetch_later() -> Any:
    return fetch()


# -- at the end of an attempt ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["sequential", "thread", "process", "async"])
def test_a_coroutine_that_a_function_returns_fails_it_and_is_named(mode: str) -> None:
    partitioner = QuantumPartitioner(max_workers=2)
    partitioner.add_unit(lambda: fetch(), name="plain")
    partitioner.add_unit(fetch_later, name="coroutine")
    with pytest.raises(WorkflowFailed) as failed:
        partitioner.execute(execution_mode=mode)
    message = "TypeError: fetch() returned a coroutine that nobody awaits: make the function async, and await it there"
    assert failed.value.errors == {"plain": message, "coroutine": message}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "pool",
    [lambda: ThreadPoolExecutor(1), lambda: ProcessPoolExecutor(1, get_context("spawn"))],
    ids=["threads", "processes"],
)
def test_so_it_does_in_an_executor(pool: Callable[[], Any]) -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: fetch(), name="a")
    with pool() as executor, pytest.raises(WorkflowFailed) as failed:
        partitioner.execute(custom_executor=executor)
    assert "fetch() returned a coroutine" in failed.value.errors["a"]


def test_an_async_generator_that_is_returned_fails_the_unit() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: pages(), name="a")
    with pytest.raises(WorkflowFailed) as failed:
        partitioner.execute()
    assert "pages() returned an async generator" in failed.value.errors["a"]


def test_a_generator_that_is_returned_is_a_value_like_others() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: (number for number in range(3)), name="a")
    partitioner.add_unit(lambda context: list(context["a"]), ["a"], "b")
    assert partitioner.execute()["b"] == [0, 1, 2]


# -- when a unit is declared -------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [rows, Rows(), functools.partial(rows)], ids=["function", "object", "partial"])
def test_a_generator_function_is_refused_where_it_is_added(function: Callable[..., Any]) -> None:
    for add in (Workflow("w").add_unit, QuantumPartitioner().add_unit):
        with pytest.raises(
            InvalidWorkflow, match=r"test_returned.py.*a generator function runs nothing of it .return a"
        ):
            add(function, name="a")


def test_an_async_generator_function_is_refused_where_it_is_added() -> None:
    with pytest.raises(InvalidWorkflow, match="an async generator runs nothing of it"):
        Workflow("w").add_unit(pages)


def test_it_is_refused_as_a_function_of_items_and_in_a_unit_made_by_hand() -> None:
    with pytest.raises(InvalidWorkflow, match="a generator function runs nothing of it"):
        Workflow("w").map(lambda item: (yield item), [1, 2], "a")
    with pytest.raises(InvalidWorkflow, match=r"units\.a: calling a generator function"):
        QuantumPartitioner().add_unit(QuantumUnit(id="a", action=Call.of(rows)))


def test_a_unit_that_adds_a_generator_function_fails() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda context: context.add_unit(rows) and None, name="a")
    with pytest.raises(WorkflowFailed) as failed:
        partitioner.execute()
    assert "a generator function runs nothing of it" in failed.value.errors["a"]


def test_a_decorator_that_makes_a_list_of_a_generator_makes_a_unit_of_it() -> None:
    @functools.wraps(rows)
    def listed() -> list[int]:
        return list(rows())

    partitioner = QuantumPartitioner()
    partitioner.add_unit(listed, name="a")
    assert partitioner.execute() == {"a": [1]}
