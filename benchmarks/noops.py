"""Process units that do nothing: bursts, one after the other, and what getting ready costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.graphs import SHAPES, Graph, chain
from benchmarks.model import MICROSECONDS, MILLISECONDS, Case, Group, Metrics, Row
from benchmarks.pools import LABELS, MODULES, POOLS, run_graph, warm_pool
from benchmarks.runs import add_gate, add_warm_workers, complete, process_workflow
from benchmarks.work import noop, read_stamp


def groups() -> Iterator[Group]:
    """All groups of this file."""
    for shape, goal in (("wide", 0.3), ("layered", 0.4)):
        for size in (1_000, 10_000):
            yield _burst(shape, size, goal)
    yield _one_by_one()
    yield _start_up()


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for stamps and fifos."""
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        yield Path(path)


# -- bursts --------------------------------------------------------------------------------------------------


def _burst(shape: str, size: int, goal: float) -> Group:
    cases = {name: _pool_case(name, partial(_burst_pool, name, shape)) for name in POOLS}
    cases["qtui"] = Case(run=partial(_burst_qtui, shape))
    return Group(
        key=f"noop-{shape}-{size // 1000}k",
        title=f"{size:,} units that do nothing, {shape}, 2 workers; from the graph in hand, pool opened and closed",
        size=size,
        quick=30,
        unit=MICROSECONDS,
        base=("ppe-fork", "run"),
        cases=cases,
        rows=(
            *(Row(label=LABELS[name], case=name) for name in POOLS),
            Row(label="qtui, from the definition in hand", case="qtui", goal=goal),
            Row(label="qtui, and building the Workflow", case="qtui", metric="built_and_run"),
        ),
    )


def _pool_case(name: str, run: Callable[[int], Metrics]) -> Case:
    return Case(run=run, needs_modules=MODULES.get(name, ()))


def _burst_pool(name: str, shape: str, size: int) -> Metrics:
    graph = SHAPES[shape](size)
    begun = time.perf_counter()
    with POOLS[name]() as submit:
        run_graph(submit, graph, noop)
    return {"run": time.perf_counter() - begun}


def _burst_qtui(shape: str, size: int) -> Metrics:
    graph = SHAPES[shape](size)
    begun = time.perf_counter()
    workflow = process_workflow("burst")
    _add_noops(workflow.add_unit, graph)
    definition = workflow.definition()
    built = time.perf_counter() - begun
    run = complete(definition)
    return {"run": run.whole, "built_and_run": built + run.whole}


def _add_noops(add_unit: Callable[..., object], graph: Graph, *, first_needs: tuple[str, ...] = ()) -> None:
    for number, needs in enumerate(graph):
        names = [f"u{need}" for need in needs] if number else first_needs
        add_unit(noop, names, name=f"u{number}")


# -- one by one ----------------------------------------------------------------------------------------------


def _one_by_one() -> Group:
    cases = {name: _pool_case(name, partial(_one_by_one_pool, name)) for name in POOLS}
    cases["qtui"] = Case(run=_one_by_one_qtui)
    return Group(
        key="one-by-one",
        title="1,000 units that do nothing, each after the one before: submit to result, both workers ready before",
        size=1_000,
        quick=20,
        unit=MICROSECONDS,
        base=("ppe-fork", "run"),
        cases=cases,
        rows=(
            *(Row(label=LABELS[name].removeprefix("graphlib + "), case=name) for name in POOLS),
            Row(label="qtui", case="qtui"),
        ),
    )


def _one_by_one_pool(name: str, size: int) -> Metrics:
    with scratch() as directory, POOLS[name]() as submit:
        warm_pool(submit, directory)
        begun = time.perf_counter()
        for _ in range(size):
            submit(noop).result()
        return {"run": time.perf_counter() - begun}


def _one_by_one_qtui(size: int) -> Metrics:
    with scratch() as directory:
        workflow = process_workflow("chain")
        gate, stamped = add_gate(workflow, directory)
        _add_noops(workflow.add_unit, chain(size), first_needs=(gate,))
        run = complete(workflow.definition())
        return {"run": run.finished - read_stamp(stamped)}


# -- start-up ------------------------------------------------------------------------------------------------


def _start_up() -> Group:
    cases = {name: _pool_case(name, partial(_start_up_pool, name)) for name in POOLS}
    cases["qtui"] = Case(run=_start_up_qtui)
    return Group(
        key="start-up",
        title="Open, have 2 workers answer at the same time, close",
        size=2,
        quick=2,
        items=1,
        unit=MILLISECONDS,
        base=("ppe-fork", "run"),
        cases=cases,
        rows=(
            *(Row(label=LABELS[name].removeprefix("graphlib + "), case=name) for name in POOLS),
            Row(label="qtui until both have answered", case="qtui", metric="answered"),
            Row(label="qtui", case="qtui"),
        ),
    )


def _start_up_pool(name: str, _size: int) -> Metrics:
    with scratch() as directory:
        begun = time.perf_counter()
        with POOLS[name]() as submit:
            warm_pool(submit, directory)
        return {"run": time.perf_counter() - begun}


def _start_up_qtui(_size: int) -> Metrics:
    with scratch() as directory:
        workflow = process_workflow("start-up")
        add_warm_workers(workflow, directory)
        run = complete(workflow.definition())
        return {"run": run.whole, "answered": run.finished - run.begun}
