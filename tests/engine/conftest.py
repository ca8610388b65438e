"""Real engines for the tests of this directory, and a check that each test leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from engine_waiting import Start, until

from qtui.core.model import QuantumUnit, RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.engine.bus import EventBus
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run of some units; closed at the end of the test."""
    engines: list[Engine] = []

    def start(*units: QuantumUnit, bus: EventBus | None = None, params: dict[str, object] | None = None, **options):
        plan = ExecutionPlan.build(units)
        run = Engine(
            plan,
            RunOptions(**{"workers": 4, **options}),
            run="test",
            name="test",
            files=RunFiles(tmp_path / f"run{len(engines)}"),
            params=params,
            bus=bus,
        )
        engines.append(run)
        run.begin()
        return run

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Every thread and child process that a test made is gone soon after it (abandoned threads end by themselves)."""
    before = set(threading.enumerate())
    yield
    until(lambda: not [t for t in set(threading.enumerate()) - before if t.is_alive()], "all threads ended")
    until(lambda: not psutil.Process().children(recursive=True), "all child processes ended")
