"""A real run, steered and watched by other processes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from terminal import GENEROUS
from terminal import until as eventually

from qtui.attached import AttachedSession
from qtui.core.stimuli import CancelRequested, CancelRunRequested, Request
from qtui.store.rundir import RunDirectory
from qtui.store.runlock import here, take_lock

FLOW = """
[units.slow]
run = "echo begun; exec sleep 600"
[units.ask]
run = "true"
confirm = "Sure?"
[units.last]
needs = ["ask"]
run = "true"
"""


@pytest.fixture
def process(workflow, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The run, once `slow` has begun."""
    words = [sys.executable, "-m", "qtui", str(workflow(FLOW)), "--ui", "json"]
    with subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        until(process, event="unit_started", unit="slow")
        yield process
        process.kill()


def until(process: subprocess.Popen[str], **wanted: str) -> dict[str, object]:
    """The next event that is so."""
    for line in process.stdout or ():
        event: dict[str, object] = json.loads(line)
        if wanted.items() <= event.items():
            return event
    raise AssertionError(f"{wanted} has not come")


def test_what_others_ask_for_is_done_and_recorded_with_who_asked(called, process, state_home: Path) -> None:
    run = json.loads(called("status", "--json").stdout)["run"]

    assert called("approve", run).stdout == "ask: done\n"
    until(process, event="unit_finished", unit="last", state="completed")
    assert called("pause", run).stdout == "done\n"
    assert "@" in str(until(process, event="run_paused")["cause"])
    again = called("pause", run)
    assert (again.returncode, again.stdout) == (0, "nothing to do: the run is paused already\n")
    assert called("unpause", run).stdout == "done\n"
    silent = called("approve", run, "slow")
    assert (silent.returncode, silent.stdout) == (1, "slow: refused: slow does not ask, it is running\n")
    past = called("cancel", run, "last")
    assert (past.returncode, past.stdout) == (1, "last: too late: last has completed\n")
    with closing(sqlite3.connect(state_home / "qtui" / "runs" / run / "commands.db")) as database:
        answers = [answer for (answer,) in database.execute("SELECT answer FROM command ORDER BY id DESC LIMIT 2")]
    assert answers == ["too late: last has completed", "refused: slow does not ask, it is running"]
    assert called("cancel", run, "slow").stdout == "slow: done\n"
    end = until(process, event="unit_finished", unit="slow")
    assert end["state"] == "canceled"
    assert "@" in str(end["cause"])
    assert process.wait(GENEROUS) == 130
    late = called("cancel", run, "slow")
    assert (late.returncode, late.stdout) == (1, "too late: the run has ended\n")
    assert called("status", run, "--wait").returncode == 130
    assert called("logs", run, "slow").stdout == "begun\n"
    assert called("doctor", run).returncode == 0


STUBBORN = """
[workflow]
grace = 60
[units.slow]
run = "trap 'echo not yet' TERM; echo begun; until test -e go; do sleep 0.02; done"
"""


@pytest.mark.parametrize("request_made", [CancelRunRequested(), CancelRequested((0,))])
def test_two_who_cancel_at_the_same_moment_do_not_kill(
    qtui, called, workflow, tmp_path: Path, state_home: Path, request_made: Request
) -> None:
    started = qtui(workflow(STUBBORN), "--detach")
    directory = RunDirectory.open(state_home / "qtui", started.stdout.strip())
    with closing(AttachedSession(directory, who="one")) as one, closing(AttachedSession(directory, who="two")) as two:
        try:
            eventually(lambda: "begun" in called("logs", directory.run, "slow").stdout, "the unit runs")
            for session in (one, two):
                session.request(request_made)
            eventually(lambda: all(session.answers()[0].text for session in (one, two)), "both are answered")
            texts = [session.answers()[0].text for session in (one, two)]
            assert sorted(texts) == ["done", "too late: somebody else has just asked it to stop"]
            eventually(lambda: "not yet" in called("logs", directory.run, "slow").stdout, "the unit is asked to stop")
        finally:
            (tmp_path / "go").touch()
        assert one.wait(GENEROUS) is not None


def test_a_run_whose_lock_file_is_removed_makes_it_anew_and_nobody_takes_it_for_lost(
    called, process, state_home: Path
) -> None:
    lock = commands_of(state_home).with_name("lock")
    lock.unlink()
    eventually(lock.exists, "there is a new one")

    assert json.loads(called("status", "--json").stdout)["state"] == "running"
    refused = called("resume")
    assert (refused.returncode, f"process {process.pid}" in refused.stderr) == (2, True), refused.stderr


def test_a_run_that_somebody_else_has_taken_stops(process, state_home: Path) -> None:
    directory = RunDirectory.open(state_home / "qtui", commands_of(state_home).parent.name)
    with take_lock(directory.path / "other", directory.run, here()):
        (directory.path / "other").rename(directory.path / "lock")
        told = until(process, event="warning")
        assert str(told["message"]).startswith(f"process {os.getpid()} on ")
        assert process.wait(GENEROUS) == 143


def test_a_run_whose_process_is_killed_is_lost_and_nothing_else_is_said_of_it(called, process) -> None:
    process.kill()
    process.wait(GENEROUS)

    data = json.loads(called("status", "--json").stdout)
    assert data["state"] == "lost"
    assert {unit["id"]: unit["state"] for unit in data["units"]} == {
        "slow": "interrupted",
        "ask": "ready",
        "last": "pending",
    }
    assert called("cancel", data["run"]).stdout.startswith("nobody answers: ")
    assert called("doctor", data["run"]).returncode == 0


STRANGE = (
    '{"request": "CancelRequested", "units": ["x"]}',
    '{"request": "CancelRequested", "units": [-1]}',
    '{"request": "RetryRequested", "units": [99]}',
    '{"request": "WorkersRequested", "target": Infinity}',
    '{"request": "PauseRequested", "cause": 5}',
    "[" * 100_000,
)


def commands_of(state_home: Path) -> Path:
    (path,) = state_home.glob("qtui/runs/*/commands.db")
    return path


def test_strange_requests_are_refused_and_the_next_good_one_is_done(called, process, state_home) -> None:
    path = commands_of(state_home)
    with closing(sqlite3.connect(path, timeout=GENEROUS)) as database:
        for text in STRANGE:
            database.execute("INSERT INTO command (who, at, request, attempt) VALUES ('x', 1, ?, 0)", (text,))
        database.commit()

    assert called("approve", path.parent.name).stdout == "ask: done\n"
    with closing(sqlite3.connect(path, timeout=GENEROUS)) as database:
        answers = [answer for (answer,) in database.execute("SELECT answer FROM command ORDER BY id")]
    assert len(answers) == len(STRANGE) + 1
    assert all(answer.startswith("refused: ") for answer in answers[:-1])
    assert answers[1] == "refused: the run has no unit -1"


def test_requests_that_cannot_be_read_are_put_aside_and_others_arrive(called, process, state_home) -> None:
    path = commands_of(state_home)
    # from here on the run has the file open, and what it knows of it does not come from the disk
    assert called("pause", path.parent.name).stdout == "done\n"
    with path.open("r+b") as file:
        file.write(b"garbage " * 100)
    path.with_name("commands.db-wal").write_bytes(b"")
    until(process, event="warning")

    assert called("approve", path.parent.name).stdout == "ask: done\n"
    assert path.with_name("commands.db.damaged-1").exists()
