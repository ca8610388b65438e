"""How long a graph of sleeps takes, beside the shortest that any order could make of it: what the order is worth."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from graphlib import TopologicalSorter
from queue import SimpleQueue

from benchmarks.graphs import Graph
from benchmarks.model import Case, Group, Metrics, Row, Unit
from benchmarks.runs import complete

WORKERS = 4
SEED = 7
SHORTEST_SLEEP, LONGEST_SLEEP = 0.001, 0.050


def groups() -> Iterator[Group]:
    """The groups of this file."""
    yield _group("loose", partial(_random_graph, reach=60, most=3, roots=0.1), 1.02)
    yield _group("tight", partial(_random_graph, reach=15, most=3, roots=0.03), 1.04)


def _group(shape: str, make: Callable[[random.Random, int], Graph], goal: float) -> Group:
    return Group(
        key=f"makespan-{shape}",
        title=f"500 sleeps of 1-50 ms in a {shape} random graph, {WORKERS} threads; first start to last end",
        size=500,
        quick=20,
        unit=Unit(name="ms", factor=1e3, divided=False),
        base=("fifo", "shortest"),
        cases={
            "fifo": Case(run=partial(_measured, make, _fifo)),
            "qtui": Case(run=partial(_measured, make, partial(_qtui, estimated=False))),
            "qtui-estimates": Case(run=partial(_measured, make, partial(_qtui, estimated=True))),
        },
        rows=(
            Row(label="the longer of the longest path and the work by worker", case="fifo", metric="shortest"),
            Row(label="graphlib + ThreadPoolExecutor: first in, first out", case="fifo"),
            Row(label="qtui, durations unknown", case="qtui", goal=goal),
            Row(label="qtui, each unit's duration as its estimate", case="qtui-estimates", goal=goal),
            Row(label="qtui, durations unknown, with opening and closing", case="qtui", metric="whole"),
            Row(
                label="graphlib + ThreadPoolExecutor, beside the sleeps as they came out",
                case="fifo",
                base=("fifo", "slept"),
            ),
            Row(
                label="qtui, durations unknown, beside the sleeps as they came out", case="qtui", base=("qtui", "slept")
            ),
        ),
        digits=3,
    )


class Sleeps:
    """A graph of sleeps that notes when each began and ended."""

    def __init__(self, needs: Graph, seconds: list[float]) -> None:
        self.needs, self.seconds = needs, seconds
        self._began, self._ended = [0.0] * len(seconds), [0.0] * len(seconds)

    def sleep(self, number: int) -> None:
        """Do what this unit does."""
        self._began[number] = time.perf_counter()
        time.sleep(self.seconds[number])
        self._ended[number] = time.perf_counter()

    def metrics(self, whole: float) -> Metrics:
        """Seconds from the first start to the last end, and the least that they could have been.

        `slept` is that least for sleeps as long as they came out: on a busy machine all of them are late.
        """
        slept = [ended - began for began, ended in zip(self._began, self._ended, strict=True)]
        took = max(self._ended) - min(self._began)
        return {"run": took, "whole": whole, "shortest": self._shortest(self.seconds), "slept": self._shortest(slept)}

    def _shortest(self, durations: list[float]) -> float:
        """No order can take less than the longest path, nor than the work shared out evenly."""
        ends: list[float] = []
        for needs, seconds in zip(self.needs, durations, strict=True):
            ends.append(seconds + max((ends[need] for need in needs), default=0.0))
        return max(*ends, sum(durations) / WORKERS)


def _random_graph(rng: random.Random, size: int, *, reach: int, most: int, roots: float) -> Graph:
    """Each unit needs up to `most` of the `reach` units before it; a `roots` part of them needs nothing."""
    graph: list[tuple[int, ...]] = []
    for number in range(size):
        before = range(max(0, number - reach), number)
        alone = not before or rng.random() < roots
        graph.append(() if alone else tuple(rng.sample(before, min(len(before), rng.randint(1, most)))))
    return graph


def _measured(make: Callable[[random.Random, int], Graph], run: Callable[[Sleeps], float], size: int) -> Metrics:
    rng = random.Random(SEED)
    graph = make(rng, size)
    sleeps = Sleeps(graph, [rng.uniform(SHORTEST_SLEEP, LONGEST_SLEEP) for _ in graph])
    return sleeps.metrics(run(sleeps))


def _fifo(sleeps: Sleeps) -> float:
    begun = time.perf_counter()
    sorter = TopologicalSorter(dict(enumerate(sleeps.needs)))
    sorter.prepare()
    ended: SimpleQueue[tuple[int, Future[None]]] = SimpleQueue()

    def note(number: int, future: Future[None]) -> None:
        ended.put((number, future))

    with ThreadPoolExecutor(WORKERS) as pool:
        while sorter.is_active():
            for number in sorter.get_ready():
                pool.submit(sleeps.sleep, number).add_done_callback(partial(note, number))
            number, future = ended.get()
            future.result()
            sorter.done(number)
    return time.perf_counter() - begun


def _qtui(sleeps: Sleeps, *, estimated: bool) -> float:
    from qtui import Workflow

    workflow = Workflow("makespan", mode="thread", workers=WORKERS)
    for number, needs in enumerate(sleeps.needs):
        keys = {"estimate": sleeps.seconds[number]} if estimated else {}
        names = [f"u{need}" for need in needs]
        workflow.add_unit(sleeps.sleep, names, name=f"u{number}", args={"number": number}, **keys)
    return complete(workflow.definition()).whole
