"""Old runs go when a run has ended, and nobody has to wait for that."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from library_waiting import eventually

from qtui import tidying
from qtui.services import open_services
from qtui.store.rundir import RunDirectory, run_directories
from qtui.tidying import Tidying


def left_behind(state: Path, run: str, days: float) -> str:
    """What a version without a journal has left of a run."""
    path = RunDirectory.create(state, run).path
    then = time.time() - days * 86400
    (path / "log").write_text("old")
    for each in (path / "log", path):
        os.utime(each, (then, then))
    return run


def test_after_a_run_old_ones_go_and_the_newest_stay(tmp_path: Path) -> None:
    state, path = tmp_path / "state", tmp_path / "flow.toml"
    path.write_text('[units.a]\nrun = "true"\n')
    left_behind(state, "20250101-000000-old", 200)
    recent = left_behind(state, "20260101-000000-recent", 2)
    with open_services(state) as services:
        session = services.manager.start(services.manager.load(str(path)))
        assert session.wait(30.0) is not None
        session.close()
    eventually(lambda: run_directories(state) == [recent, session.run], "the old run is gone")


def test_the_run_itself_is_spared_however_old_it_seems(tmp_path: Path) -> None:
    own, old = (left_behind(tmp_path, f"20250101-00000{number}-run", 200) for number in range(2))
    pruning = Tidying(tmp_path)
    pruning.begin(own)
    eventually(lambda: run_directories(tmp_path) == [own], "the other one is gone")
    pruning.close()
    assert old not in run_directories(tmp_path)


def test_the_end_of_a_program_waits_only_a_moment_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(tidying, "prune", lambda *_, **__: over.wait() and [])
    pruning = Tidying(tmp_path)
    pruning.begin("run")
    pruning.close()
    assert not over.is_set(), "it came back although the work goes on"
    over.set()


def test_a_program_that_ends_many_runs_looks_for_old_ones_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(tidying, "prune", lambda _, spare: begun.append(spare) or [])
    pruning = Tidying(tmp_path)
    for number in range(5):
        pruning.begin(f"run{number}")
    pruning.close()
    assert begun == [{"run0"}]


def test_trouble_is_a_warning_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "runs").write_text("in the way")
    pruning = Tidying(tmp_path)
    pruning.begin("run")
    eventually(lambda: "old runs cannot be removed" in caplog.text, "a warning")
    pruning.close()
