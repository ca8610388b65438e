"""What the record of a run costs: units that do nothing on four threads, with and without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from benchmarks.graphs import SHAPES
from benchmarks.model import MICROSECONDS, Case, Group, Metrics, Row
from benchmarks.noops import scratch
from benchmarks.runs import RUN_SECONDS
from benchmarks.work import noop

if TYPE_CHECKING:
    from qtui.core.definition import WorkflowDefinition

WORKERS = 4


def groups() -> Iterator[Group]:
    """Wide and layered; both the time on the clock and that of the processor."""
    for shape, with_record, without in (("wide", 0.8, 0.5), ("layered", 1.0, 0.65)):
        yield Group(
            key=f"record-{shape}",
            title=f"10,000 units that do nothing, {shape}, {WORKERS} threads; from the definition in hand to the end",
            size=10_000,
            quick=100,
            unit=MICROSECONDS,
            base=("pool", "run"),
            cases={
                "pool": Case(run=partial(_pool, shape)),
                "without": Case(run=partial(_qtui, shape, False)),
                "with": Case(run=partial(_qtui, shape, True)),
            },
            rows=(
                Row(label="graphlib + ThreadPoolExecutor", case="pool"),
                Row(label="qtui without a record", case="without", goal=without),
                Row(label="qtui with its record", case="with", goal=with_record),
                *(
                    Row(label=f"CPU: {label}", case=case, metric="cpu", base=("pool", "cpu"))
                    for label, case in (("the pool", "pool"), ("without a record", "without"), ("with it", "with"))
                ),
                Row(label="CPU of the thread that records", case="with", metric="recorder", base=("pool", "cpu")),
                Row(label="the same without a record", case="without", metric="recorder", base=("pool", "cpu")),
            ),
        )


def _pool(shape: str, size: int) -> Metrics:
    graph = SHAPES[shape](size)
    cpu, begun = time.process_time(), time.perf_counter()
    sorter = TopologicalSorter(dict(enumerate(graph)))
    sorter.prepare()
    done: SimpleQueue[int] = SimpleQueue()
    with ThreadPoolExecutor(WORKERS) as pool:
        while sorter.is_active():
            for number in sorter.get_ready():
                pool.submit(noop).add_done_callback(_telling(done, number))
            sorter.done(done.get())
    return {"run": time.perf_counter() - begun, "cpu": time.process_time() - cpu}


def _telling(done: SimpleQueue[int], number: int) -> Callable[[Future[Any]], None]:
    return lambda _future: done.put(number)


def _qtui(shape: str, recorded: bool, size: int) -> Metrics:
    from qtui import Workflow

    workflow = Workflow("recording", workers=WORKERS)
    for number, needs in enumerate(SHAPES[shape](size)):
        workflow.add_unit(noop, [f"u{need}" for need in needs], name=f"u{number}")
    definition = workflow.definition()
    with scratch() as directory:
        return _run(definition, directory / "state" if recorded else None)


def _run(definition: WorkflowDefinition, state: Path | None) -> Metrics:
    from qtui import WorkflowManager
    from qtui.engine.bus import EventBus

    cpu, begun = time.process_time(), time.perf_counter()
    manager = WorkflowManager(bus=EventBus(), state_dir=state)
    try:
        session = manager.start(definition)
        recorder = next(each for each in threading.enumerate() if each.name == "qtui-recorder")
        end = session.wait(RUN_SECONDS)
        if end is None or end.exit_code != 0:
            raise RuntimeError("the run did not complete")
        recording = time.clock_gettime(time.pthread_getcpuclockid(recorder.ident or 0))
    finally:
        manager.close()
    return {"run": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "recorder": recording}
