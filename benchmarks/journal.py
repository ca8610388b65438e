"""What it costs to keep the journal of a run, and to look into one of a million events."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.model import MICROSECONDS, MILLISECONDS, Case, Group, Metrics, Row
from benchmarks.noops import scratch
from qtui.core.events import Event, RunStarted, UnitFinished, UnitReady, UnitReset, UnitStarted
from qtui.core.folding import fold
from qtui.core.model import Argv, ExecutionMode, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.store.journal import Head, Journal, JournalReader

UNITS = 10_000
BATCH = 300
LOOKS = 20


def groups() -> list[Group]:
    """Writing, by CPU time for each event; and reading, with the file in the cache of the system."""
    return [
        Group(
            key="journal-write",
            title=f"the events of a run of {UNITS} units, {BATCH} in each transaction",
            size=200_000,
            quick=3_000,
            unit=MICROSECONDS,
            base=("json", "run"),
            cases={"json": Case(run=_encode), "journal": Case(run=_write)},
            rows=(
                Row(label="json.dumps of the same fields", case="json"),
                Row(label="append", case="journal"),
                Row(label="checkpoints beside that", case="journal", metric="checkpoints"),
            ),
        ),
        Group(
            key="journal-read",
            title=f"a journal of a million events of {UNITS} units",
            size=1_000_000,
            quick=20_000,
            unit=MILLISECONDS,
            base=("read", "run"),
            cases={"read": Case(run=_read)},
            rows=(
                Row(label="open it: the plan and the last state", case="read"),
                Row(label="the state at a moment, on average", case="read", metric="mean"),
                Row(label=f"the slowest of {LOOKS} moments", case="read", metric="slowest"),
            ),
            items=1,
        ),
    ]


def _plan(size: int) -> ExecutionPlan:
    count = min(UNITS, size // 4)
    return ExecutionPlan.build([QuantumUnit(id=f"unit-{n}", action=Argv(("true",))) for n in range(count)])


def _history(plan: ExecutionPlan) -> Iterator[Event]:
    """A run that never ends: every unit runs, and then all of them are reset and run again."""
    at, generation = 1_700_000_000.123456, 1
    yield RunStarted(at, "demo", 4)
    while True:
        for unit in range(len(plan)):
            at += 0.0012345
            if generation > 1:
                yield UnitReset(unit, generation, "retried by you", at)
            yield UnitReady(unit, at)
            yield UnitStarted(unit, generation, ExecutionMode.COMMAND, 1 + unit % 4, 1000 + unit, at)
            yield UnitFinished(unit, generation, generation, UnitState.COMPLETED, at, 0.0012345)
        generation += 1


def _batches(plan: ExecutionPlan, size: int) -> Iterator[list[Event]]:
    events = islice(_history(plan), size)
    while batch := list(islice(events, BATCH)):
        yield batch


def _encode(size: int) -> Metrics:
    spent = 0.0
    for batch in _batches(_plan(size), size):
        begun = time.process_time()
        json.dumps([("event", *event) for event in batch])
        spent += time.process_time() - begun
    return {"run": spent}


def _write(size: int) -> Metrics:
    with scratch() as directory:
        return _written(directory / "journal.db", size)


def _written(path: Path, size: int) -> Metrics:
    plan = _plan(size)
    head = Head(
        run="benchmark",
        name="demo",
        origin={},
        params={},
        plan=plan,
        options=RunOptions(),
        directory=None,
        created=0.0,
        version="",
    )
    journal, view = Journal.create(path, head), RunView.initial(plan)
    append = checkpoints = 0.0
    for batch in _batches(plan, size):
        begun = time.process_time()
        journal.append(journal.last + 1, batch)
        append += time.process_time() - begun
        view = fold(view, batch)
        begun = time.process_time()
        if journal.checkpoint_due(len(plan)):
            journal.checkpoint(view)
        checkpoints += time.process_time() - begun
    journal.close()
    return {"run": append, "checkpoints": checkpoints}


def _read(size: int) -> Metrics:
    with scratch() as directory:
        path = directory / "journal.db"
        _written(path, size)
        begun = time.perf_counter()
        reader = JournalReader(path)
        last = reader.view().seq
        opening = time.perf_counter() - begun
        chance = random.Random(1)
        looks = []
        for _ in range(LOOKS):
            begun = time.perf_counter()
            reader.view(chance.randrange(last))
            looks.append(time.perf_counter() - begun)
        reader.close()
    return {"run": opening, "mean": sum(looks) / LOOKS, "slowest": max(looks)}
