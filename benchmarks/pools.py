"""The process pools to compare with, and what a careful user drives them with: graphlib and a queue."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from benchmarks.graphs import Graph
from benchmarks.work import fifo_pair, warm

WORKERS = 2

Submit = Callable[..., "Future[Any]"]
Pool = Callable[[], AbstractContextManager[Submit]]


@contextmanager
def _executor(method: str) -> Iterator[Submit]:
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context(method)) as pool:
        yield pool.submit


@contextmanager
def _pebble() -> Iterator[Submit]:
    from pebble import ProcessPool  # part of the bench extra

    # its workers are started by a thread of its own, where fork is not safe
    with ProcessPool(max_workers=WORKERS, context=multiprocessing.get_context("forkserver")) as pool:

        def submit(function: Callable[..., Any], *args: Any) -> Future[Any]:
            return pool.schedule(function, args=args)  # type: ignore[no-any-return]

        yield submit


POOLS: Mapping[str, Pool] = {
    # fork is safe here, because a sample's process has one thread when the pool starts; and it is the quickest
    "ppe-fork": partial(_executor, "fork"),
    # what a program with threads can use
    "ppe-forkserver": partial(_executor, "forkserver"),
    "pebble": _pebble,
}
LABELS = {
    "ppe-fork": "graphlib + ProcessPoolExecutor, fork",
    "ppe-forkserver": "graphlib + ProcessPoolExecutor, forkserver",
    "pebble": "graphlib + Pebble, forkserver",
}
MODULES: Mapping[str, tuple[str, ...]] = {"pebble": ("pebble",)}


def run_graph(submit: Submit, graph: Graph, function: Callable[[], object]) -> None:
    """Call the function once for each unit of the graph, in order of their needs."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for number, needs in enumerate(graph):
        sorter.add(number, *needs)
    sorter.prepare()
    ended: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()

    def note(number: int, future: Future[Any]) -> None:
        ended.put((number, future))

    while sorter.is_active():
        for number in sorter.get_ready():
            submit(function).add_done_callback(partial(note, number))
        number, future = ended.get()
        future.result()
        sorter.done(number)


def warm_pool(submit: Submit, directory: Path, kind: str = "bytes") -> None:
    """Return when both workers have answered."""
    fifos = fifo_pair(directory / "warm")
    for future in [submit(warm, fifos, me, kind) for me in (0, 1)]:
        future.result()
