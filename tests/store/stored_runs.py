"""Runs as journals have them, made without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qtui.core.events import (
    Event,
    RunFinished,
    RunStarted,
    UnitFinished,
    UnitReady,
    UnitReset,
    UnitStarted,
)
from qtui.core.folding import fold
from qtui.core.model import ExecutionMode, QuantumUnit, RunState, Shell, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.store.journal import Head, Journal

START = 1_700_000_000.0


def units(count: int) -> list[QuantumUnit]:
    return [QuantumUnit(id=f"u{n}", action=Shell((f"echo {n}",))) for n in range(count)]


def head_of(plan: ExecutionPlan, **given: Any) -> Head:
    values: dict[str, Any] = {
        "run": "20260101-000000-abcd",
        "name": "demo",
        "origin": {"words": ["qtui", "demo.toml"], "cwd": "/work", "source": "demo.toml"},
        "params": {},
        "options": RunOptions(),
        "directory": None,
        "created": START,
        "version": "1.0",
    }
    return Head(plan=plan, **{**values, **given})


def history(plan: ExecutionPlan, generations: int = 1) -> Iterator[Event]:
    """Every unit runs once in each generation."""
    at = START
    yield RunStarted(at, "demo", 4)
    for generation in range(1, generations + 1):
        for unit in range(len(plan)):
            at += 0.001
            if generation > 1:
                yield UnitReset(unit, generation, "retried by you", at)
            yield UnitReady(unit, at)
            yield UnitStarted(unit, generation, ExecutionMode.COMMAND, 1 + unit % 4, 1000 + unit, at)
            yield UnitFinished(unit, generation, generation, UnitState.COMPLETED, at, 0.001, cpu_seconds=0.25)
    yield RunFinished(RunState.COMPLETED, {"completed": len(plan)}, at - START, 0, at)


def write(path: Path, plan: ExecutionPlan, events: list[Event], *, batch: int = 7, checkpoint: int = 0) -> None:
    """A finished journal of these events; with a checkpoint after each `checkpoint` batches."""
    journal = Journal.create(path, head_of(plan))
    view = RunView.initial(plan)
    for number, at in enumerate(range(0, len(events), batch), 1):
        part = events[at : at + batch]
        journal.append(at + 1, part)
        if checkpoint:
            view = fold(view, part)
            if number % checkpoint == 0:
                journal.checkpoint(view)
    journal.close()
