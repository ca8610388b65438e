"""``qtui prune``: what goes, what stays, and what is said of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from told import Told, command

from qtui.core.model import RunState

Qtui = Callable[..., subprocess.CompletedProcess[str]]
OLD, NEW, CUT = "20260101-030405-aaaa", "20260102-030405-bbbb", "20260103-030405-cccc"


@pytest.fixture
def runs(state_home: Path) -> Path:
    """The directories of runs: an old one, a new one, and an old one that was cut."""
    for run in (OLD, NEW):
        Told(command("a")).starts("a").ends("a").over(RunState.COMPLETED, 0).recorded(state_home, run)
    Told(command("a")).starts("a").recorded(state_home, CUT)
    directories = state_home / "qtui" / "runs"
    then = time.time() - 40 * 86400
    for run in (OLD, CUT):
        for path in (*(directories / run).rglob("*"), directories / run):
            os.utime(path, (then, then))
    return directories


def left(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir())


def test_old_runs_go_but_not_those_that_could_go_on(called: Qtui, runs: Path) -> None:
    result = called("prune", "--older-than", "30d")

    assert result.returncode == 0
    assert left(runs) == [NEW, CUT]
    first, count, spared = result.stdout.splitlines()
    assert first.split()[0] == OLD
    assert "40 days ago" in first
    assert count.startswith("1 run deleted, ")
    assert spared == "1 run spared: not finished, or in use now; --unfinished deletes those that nobody runs"


def test_cut_runs_go_if_that_is_asked_for(called: Qtui, runs: Path) -> None:
    result = called("prune", "--older-than", "30d", "--unfinished")

    assert left(runs) == [NEW] and "spared" not in result.stdout


def test_a_dry_run_only_tells(called: Qtui, runs: Path) -> None:
    result = called("prune", "--older-than", "30d", "-n")

    assert result.stdout.splitlines()[1].startswith("1 run would be deleted, ")
    assert left(runs) == [OLD, NEW, CUT]


def test_a_limit_of_size_alone_says_nothing_of_age(called: Qtui, runs: Path) -> None:
    assert called("prune", "--max-size", "1G").stdout == "0 runs deleted, 0B\n"
    assert left(runs) == [OLD, NEW, CUT]

    called("prune", "--max-size", "0")
    assert left(runs) == [CUT]


def test_without_limits_those_hold_that_hold_after_each_run(called: Qtui, runs: Path) -> None:
    assert called("prune").stdout == "0 runs deleted, 0B\n"


@pytest.mark.parametrize("words", [["--older-than", "soon"], ["--max-size", "-1G"], ["--older-than", "30"]])
def test_limits_that_mean_nothing_are_usage_errors(called: Qtui, runs: Path, words: list[str]) -> None:
    assert called("prune", *words).returncode == 2
    assert left(runs) == [OLD, NEW, CUT]
