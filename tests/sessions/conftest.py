"""Runs on record: by a scheduler in virtual time, whose events go to a journal as an engine's do."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core"))

from recorded_run import RecordedRun, eventually

from qtui.store.rundir import RunDirectory


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """The directory of a run that is still to begin."""
    return RunDirectory.create(tmp_path / "state", "20260102-030405-abcd")


@pytest.fixture
def start(directory: RunDirectory) -> Iterator[Callable[..., RecordedRun]]:
    """Begin a run; its process lets go of it at the end of the test."""
    runs: list[RecordedRun] = []

    def begin(*units: object, **keys: object) -> RecordedRun:
        runs.append(RecordedRun(directory, *units, **keys))
        return runs[-1]

    yield begin
    for run in runs:
        run.leave()


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """What a session has started ends when it is closed."""
    before = set(threading.enumerate())
    yield
    eventually(lambda: not [t for t in set(threading.enumerate()) - before if t.is_alive()], "all threads ended")
