"""A value of 10 MB handed down a chain of process units, and a result of 300 MB.

A chain is free to stay in the worker that has the value. To force the value into the other worker, every step of the
second graph is two units that need the same value and end only when both have it: one of them must be elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.model import MEGABYTES, MILLISECONDS, Case, Group, Metrics, Row
from benchmarks.noops import scratch
from benchmarks.pools import LABELS, MODULES, POOLS, warm_pool
from benchmarks.runs import add_warm_workers, complete, process_workflow
from benchmarks.work import (
    copied,
    fifo_pair,
    make_stamped,
    make_value,
    read_stamp,
    step_twin,
    step_unit,
    swallow,
    swallow_twin,
    swallow_unit,
)

HAND_OVERS = 10
LARGE = 300_000_000


def groups() -> Iterator[Group]:
    """All groups of this file."""
    yield _chain("numpy", 0.3)
    yield _chain("bytes", 0.5)
    yield _large_result()


def _chain(kind: str, goal: float) -> Group:
    modules = ("numpy",) if kind == "numpy" else ()
    cases = {
        name: Case(run=partial(_chain_pool, name, kind), needs_modules=(*modules, *MODULES.get(name, ())))
        for name in POOLS
    }
    cases["qtui"] = Case(run=partial(_chain_qtui, kind), needs_modules=modules)
    cases["qtui-forced"] = Case(run=partial(_forced_qtui, kind), needs_modules=modules)
    return Group(
        key=f"handover-{kind}",
        title=f"10 MB of {kind} down a chain of 11 units, workers ready (ms per hand-over)",
        size=10_000_000,
        quick=2_000_000,
        items=HAND_OVERS,
        unit=MILLISECONDS,
        base=("ppe-fork", "run"),
        cases=cases,
        rows=(
            *(Row(label=LABELS[name].removeprefix("graphlib + "), case=name) for name in POOLS),
            Row(label="qtui, into the other worker", case="qtui-forced", goal=goal, note="moved"),
            Row(label="qtui, free to stay", case="qtui", goal=0.1, note="moved"),
        ),
    )


def _chain_pool(name: str, kind: str, size: int) -> Metrics:
    with scratch() as directory, POOLS[name]() as submit:
        warm_pool(submit, directory, kind)
        stamped = directory / "made"
        value = submit(make_stamped, kind, size, str(stamped)).result()
        for _ in range(HAND_OVERS - 1):
            value = submit(copied, value).result()
        if submit(swallow, value).result() != size:
            raise RuntimeError("the value did not arrive")
        return {"run": time.perf_counter() - read_stamp(stamped)}


def _chain_qtui(kind: str, size: int) -> Metrics:
    with scratch() as directory:
        workflow, stamped = process_workflow("chain"), directory / "made"
        ready = add_warm_workers(workflow, directory, kind)
        workflow.add_unit(make_stamped, ready, name="v0", args={"kind": kind, "size": size, "path": str(stamped)})
        for number in range(1, HAND_OVERS + 1):
            function, need = step_unit if number < HAND_OVERS else swallow_unit, f"v{number - 1}"
            workflow.add_unit(function, [need], name=f"v{number}", args={"need": need})
        run = complete(workflow.definition())
        chain = [run.pids[f"v{number}"] for number in range(HAND_OVERS + 1)]
        moved = sum(before != after for before, after in pairwise(chain))
        return {"run": run.finished - read_stamp(stamped), "moved": moved}


def _forced_qtui(kind: str, size: int) -> Metrics:
    with scratch() as directory:
        workflow, stamped = process_workflow("twins"), directory / "made"
        ready = add_warm_workers(workflow, directory, kind)
        workflow.add_unit(make_stamped, ready, name="v0", args={"kind": kind, "size": size, "path": str(stamped)})
        for number in range(1, HAND_OVERS + 1):
            need, fifos = f"v{number - 1}", fifo_pair(directory / f"step{number}")
            shared = {"need": need, "fifos": fifos}
            if number < HAND_OVERS:
                workflow.add_unit(step_twin, [need], name=f"v{number}", args=shared)
            else:
                workflow.add_unit(swallow_twin, [need], name=f"v{number}", args={**shared, "me": 0})
            workflow.add_unit(swallow_twin, [need], name=f"w{number}", args={**shared, "me": 1})
        run = complete(workflow.definition())
        return {"run": run.finished - read_stamp(stamped), "moved": _steps_that_moved(run.pids)}


def _steps_that_moved(pids: Mapping[str, int]) -> int:
    """In how many steps one of the twins was in another process than the value's maker."""
    steps = range(1, HAND_OVERS + 1)
    return sum({pids[f"v{step}"], pids[f"w{step}"]} != {pids[f"v{step - 1}"]} for step in steps)


# -- a large result ------------------------------------------------------------------------------------------


def _large_result() -> Group:
    names = ("ppe-fork", "pebble")
    cases = {name: Case(run=partial(_large_pool, name), needs_modules=MODULES.get(name, ())) for name in names}
    cases["qtui-asked"] = Case(run=partial(_large_qtui, asked=True))
    cases["qtui-used"] = Case(run=partial(_large_qtui, asked=False))
    labels = {
        **{name: LABELS[name].removeprefix("graphlib + ") + ", result()" for name in names},
        "qtui-asked": "qtui, session.result()",
        "qtui-used": "qtui, used by another unit only",
    }
    memory = {"metric": "peak", "base": ("ppe-fork", "peak"), "unit": MEGABYTES}
    return Group(
        key="large-result",
        title="A result of 300 MB: until it is there, opening included; and by how much the parent grew for it",
        size=LARGE,
        quick=3_000_000,
        items=1,
        unit=MILLISECONDS,
        base=("ppe-fork", "run"),
        cases=cases,
        rows=(
            *(Row(label=label, case=name) for name, label in labels.items()),
            *(Row(label=f"memory: {label}", case=name, **memory) for name, label in labels.items()),  # type: ignore[arg-type]
        ),
    )


def _large_pool(name: str, size: int) -> Metrics:
    before = _start_peak()
    begun = time.perf_counter()
    with POOLS[name]() as submit:
        value = submit(make_value, "bytes", size).result()
        ended = time.perf_counter()
    return {"run": ended - begun, "peak": _peak(value, size) - before}


def _large_qtui(size: int, *, asked: bool) -> Metrics:
    workflow = process_workflow("large")
    workflow.add_unit(make_value, name="make", args={"kind": "bytes", "size": size})
    if not asked:
        workflow.add_unit(swallow_unit, ["make"], name="use", args={"need": "make"})
    definition = workflow.definition()
    before = _start_peak()
    run = complete(definition, ask="make" if asked else None)
    return {"run": run.asked - run.begun, "peak": _peak(run.value if asked else b"", size if asked else 0) - before}


def _start_peak() -> int:
    """Forget the highest memory use so far; the bytes in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _peak(value: bytes, size: int) -> int:
    if len(value) != size:
        raise RuntimeError(f"{len(value)} bytes arrived instead of {size}")
    return _memory("VmHWM")


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
