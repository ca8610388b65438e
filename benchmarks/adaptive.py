"""Adaptive workers beside fixed numbers of them: units that wait, units that compute, and memory that others fill."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.model import MILLISECONDS, Case, Group, Metrics, Row, Unit
from benchmarks.noops import scratch

if TYPE_CHECKING:
    from qtui import Workflow
    from qtui.core.session import RunSession

MOST = 64
SERVER_PLACES = 12
FILLED = 1000 << 20
LEFT = 600 << 20
"""The helper fills so many bytes, and the limit leaves only so many of them free."""

_HOLD = """
import sys
held = b"x" * int(sys.argv[1])
print("full", flush=True)
sys.stdin.readline()
"""
SECONDS = Unit(name="s ", factor=1.0, divided=False)


def groups() -> Iterator[Group]:
    """The groups of this file; their sizes are seconds."""
    yield _throughput("adaptive-wait", "units that sleep 100 ms, in threads", wait, "thread", (8, 16, 32, MOST))
    yield _throughput(
        "adaptive-server",
        f"units that a server with {SERVER_PLACES} places serves, worse if more come, in threads",
        serve,
        "thread",
        (4, 8, 12, 16, 32),
    )
    yield _throughput("adaptive-cpu", "units of 20 ms of pure Python, in processes", compute, "process", (1, 2, 3, 4))
    yield Group(
        key="adaptive-memory",
        title=f"others fill {FILLED >> 20} MB where {LEFT >> 20} are left, while units sleep 100 ms (seconds)",
        size=20,
        quick=4,
        unit=SECONDS,
        base=("adaptive", "parked"),
        cases={"adaptive": Case(run=_spike)},
        rows=(
            Row(label="from memory being short until the first worker is parked", case="adaptive", metric="parked"),
            Row(label="from memory being free until all workers are back", case="adaptive", metric="back"),
        ),
    )


def _throughput(key: str, what: str, work: Callable[[], object], mode: str, fixed: Sequence[int]) -> Group:
    # a unit's time is that of the run for each unit that has ended
    each = Unit(name="ms", factor=MILLISECONDS.factor, divided=False)
    return Group(
        key=key,
        title=f"{what} (ms of wall clock per unit)",
        size=24,
        quick=2,
        unit=each,
        base=("fixed", "best"),
        cases={
            "fixed": Case(run=partial(_fixed, work, mode, fixed)),
            "adaptive": Case(run=partial(_adaptive, work, mode)),
        },
        rows=(
            Row(label=f"the best of {', '.join(map(str, fixed))} workers", case="fixed", metric="best"),
            Row(label=f"the worst of {', '.join(map(str, fixed))} workers", case="fixed", metric="worst"),
            Row(
                label="adaptive, once half of the time is over",
                case="adaptive",
                metric="later",
                goal=1.11,
            ),
            Row(label="adaptive, from the beginning", case="adaptive", metric="all"),
        ),
    )


def wait() -> None:
    """Wait 100 ms for nothing."""
    time.sleep(0.1)


_served = 0


def serve() -> None:
    """Wait for a server: 100 ms for each turn; who comes when all places are taken makes it slower for all."""
    global _served
    _served += 1
    beyond = max(0, _served - SERVER_PLACES)
    time.sleep(0.1 * max(1.0, _served / SERVER_PLACES) * (1.0 + beyond / SERVER_PLACES))
    _served -= 1


def compute() -> None:
    """Use 20 ms of a core."""
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass


def _workflow(
    work: Callable[[], object], mode: str, seconds: float, workers: int | None, limit: str | None = None
) -> Workflow:
    from qtui import Workflow

    workflow = Workflow("adaptive", mode=mode, workers=workers or "auto", max_workers=MOST, memory_limit=limit)
    # more than can be done in the time
    for number in range(int(seconds * (MOST * 10 if mode == "thread" else 100)) + MOST):
        workflow.add_unit(work, name=f"u{number}")
    return workflow


def _fixed(work: Callable[[], object], mode: str, counts: Sequence[int], size: int) -> Metrics:
    """Each number of workers for half of the time; its first two seconds do not count."""
    each = {}
    begun = time.perf_counter()
    for count in counts:
        with _Running(_workflow(work, mode, size / 2 + 2, count)) as running:
            running.pass_time(min(2.0, size / 4))
            each[count] = running.time_each(size / 2)
    return {"run": time.perf_counter() - begun, "best": min(each.values()), "worst": max(each.values())}


def _adaptive(work: Callable[[], object], mode: str, size: int) -> Metrics:
    begun = time.perf_counter()
    with _Running(_workflow(work, mode, size, None)) as running:
        whole = running.time_each(size / 2)
        later = running.time_each(size / 2)
        workers = running.workers()
    return {
        "run": time.perf_counter() - begun,
        "later": later,
        "all": 2.0 / (1.0 / whole + 1.0 / later),
        "workers": workers,
    }


def _spike(size: int) -> Metrics:
    """Take memory after a quarter of the time, for a quarter of it, and wait until all is as it was."""
    begun = time.perf_counter()
    _workflow(wait, "thread", 3 * size, None)  # so that what qtui itself needs is in use
    limit = f"{(_memory_used() + LEFT) >> 20}M"
    with _Running(_workflow(wait, "thread", 3 * size, None, limit)) as running:
        running.pass_time(size / 4)
        before = running.workers()
        command = [sys.executable, "-c", _HOLD, str(FILLED)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as helper:
            assert helper.stdout is not None
            helper.stdout.readline()
            parked = running.time_until(lambda: running.workers() < before)
            running.pass_time(size / 4)
            helper.communicate("enough\n")
        back = running.time_until(lambda: running.workers() >= before)
    return {"run": time.perf_counter() - begun, "parked": parked, "back": back}


class _Running:
    """A run that goes on meanwhile."""

    def __init__(self, workflow: Workflow) -> None:
        self._definition = workflow.definition()

    def __enter__(self) -> _Running:
        from qtui import open_services

        self._scratch = scratch()
        self._services = open_services(Path(self._scratch.__enter__()))
        self._session: RunSession = self._services.__enter__().manager.start(self._definition)
        return self

    def __exit__(self, *raised: object) -> None:
        self._session.close()
        self._services.__exit__(None, None, None)
        self._scratch.__exit__(None, None, None)

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)

    def time_each(self, seconds: float) -> float:
        """Let so much time pass; returns the seconds for each unit that has ended in it."""
        begun, before = time.perf_counter(), self._ended()
        time.sleep(seconds)
        return (time.perf_counter() - begun) / max(self._ended() - before, 1)

    def time_until(self, condition: Callable[[], bool], most: float = 60.0) -> float:
        """The seconds until a condition comes true. Raises TimeoutError."""
        begun = time.perf_counter()
        while not condition():
            if time.perf_counter() - begun > most:
                raise TimeoutError(f"not within {most:.0f} s: {self._session.view().lane_workers}")
            time.sleep(0.02)
        return time.perf_counter() - begun

    def workers(self) -> int:
        """How many units may run at a time."""
        return self._session.view().workers

    def _ended(self) -> int:
        return self._session.view().ended


def _memory_used() -> int:
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return (int(facts["MemTotal"].split()[0]) - int(facts["MemAvailable"].split()[0])) * 1024
