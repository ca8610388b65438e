"""Process units that compute: how much of two cores arrives."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.graphs import wide
from benchmarks.model import MILLISECONDS, Case, Group, Metrics, Row
from benchmarks.noops import scratch
from benchmarks.pools import LABELS, MODULES, POOLS, WORKERS, run_graph, warm_pool
from benchmarks.runs import add_gate, complete, process_workflow
from benchmarks.work import burn, read_stamp

_LOOP = """
import sys
from benchmarks.work import burn
count = int(sys.argv[1])
burn()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(count):
    burn()
print("done", flush=True)
"""


def groups() -> Iterator[Group]:
    """The group of this file."""
    cases = {name: Case(run=partial(_pool, name), needs_modules=MODULES.get(name, ())) for name in POOLS}
    cases["bare"] = Case(run=_bare_loops)
    cases["qtui"] = Case(run=_qtui)
    cold = [Row(label=f"{LABELS[name]}, pool opened and closed", case=name, metric="cold") for name in POOLS]
    yield Group(
        key="cpu",
        title="200 units of about 6 ms of pure Python on 2 workers (ms of wall clock per unit)",
        size=200,
        quick=4,
        unit=MILLISECONDS,
        base=("bare", "run"),
        cases=cases,
        rows=(
            Row(label="two bare loops, each a process", case="bare"),
            *(Row(label=f"{LABELS[name]}, workers ready", case=name) for name in POOLS),
            Row(label="qtui, workers ready", case="qtui", goal=1.05),
            *cold,
            Row(label="qtui, from the definition in hand until closed", case="qtui", metric="cold"),
        ),
    )


def _bare_loops(size: int) -> Metrics:
    """Half of the work in each of two fresh interpreters; their start-up is not counted."""
    command = [sys.executable, "-c", _LOOP, str(size // WORKERS)]
    root = Path(__file__).parents[1]
    loops = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        for _ in range(WORKERS)
    ]
    _expect(loops, "ready")
    begun = time.perf_counter()
    for loop in loops:
        assert loop.stdin is not None
        loop.stdin.write("go\n")
        loop.stdin.flush()
    _expect(loops, "done")
    ended = time.perf_counter()
    for loop in loops:
        loop.communicate()
    return {"run": ended - begun}


def _expect(loops: list[subprocess.Popen[str]], word: str) -> None:
    for loop in loops:
        assert loop.stdout is not None
        if (line := loop.stdout.readline()) != f"{word}\n":
            raise RuntimeError(f"a bare loop said {line!r} instead of {word}")


def _pool(name: str, size: int) -> Metrics:
    with scratch() as directory:
        opened = time.perf_counter()
        with POOLS[name]() as submit:
            warm_pool(submit, directory)
            begun = time.perf_counter()
            run_graph(submit, wide(size), burn)
            ended = time.perf_counter()
        return {"run": ended - begun, "cold": time.perf_counter() - opened}


def _qtui(size: int) -> Metrics:
    with scratch() as directory:
        workflow = process_workflow("cpu")
        gate, stamped = add_gate(workflow, directory)
        for number in range(size):
            workflow.add_unit(burn, [gate], name=f"u{number}")
        run = complete(workflow.definition())
        return {"run": run.finished - read_stamp(stamped), "cold": run.whole}
