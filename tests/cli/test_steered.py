"""A real run, steered and watched by other processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from terminal import GENEROUS

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


def test_what_others_ask_for_is_done_and_recorded_with_who_asked(qtui, process) -> None:
    run = json.loads(qtui("status", "--json").stdout)["run"]

    assert qtui("approve", run).stdout == "ask: done\n"
    until(process, event="unit_finished", unit="last", state="completed")
    assert qtui("pause", run).stdout == "done\n"
    assert "@" in str(until(process, event="run_paused")["cause"])
    assert qtui("unpause", run).stdout == "done\n"
    assert qtui("cancel", run, "slow").stdout == "slow: done\n"
    end = until(process, event="unit_finished", unit="slow")
    assert end["state"] == "canceled"
    assert "@" in str(end["cause"])
    assert process.wait(GENEROUS) == 130
    late = qtui("cancel", run, "slow")
    assert (late.returncode, late.stdout) == (1, "too late: the run has ended\n")
    assert qtui("status", run, "--wait").returncode == 130
    assert qtui("logs", run, "slow").stdout == "begun\n"
    assert qtui("doctor", run).returncode == 0


def test_a_run_whose_process_is_killed_is_lost_and_nothing_else_is_said_of_it(qtui, process) -> None:
    process.kill()
    process.wait(GENEROUS)

    data = json.loads(qtui("status", "--json").stdout)
    assert data["state"] == "lost"
    assert {unit["id"]: unit["state"] for unit in data["units"]} == {
        "slow": "interrupted",
        "ask": "ready",
        "last": "pending",
    }
    assert qtui("cancel", data["run"]).stdout.startswith("nobody answers: ")
    assert qtui("doctor", data["run"]).returncode == 0


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


def test_strange_requests_are_refused_and_the_next_good_one_is_done(qtui, process, state_home) -> None:
    path = commands_of(state_home)
    with closing(sqlite3.connect(path, timeout=GENEROUS)) as database:
        for text in STRANGE:
            database.execute("INSERT INTO command (who, at, request, attempt) VALUES ('x', 1, ?, 0)", (text,))
        database.commit()

    assert qtui("approve", path.parent.name).stdout == "ask: done\n"
    with closing(sqlite3.connect(path, timeout=GENEROUS)) as database:
        answers = [answer for (answer,) in database.execute("SELECT answer FROM command ORDER BY id")]
    assert len(answers) == len(STRANGE) + 1
    assert all(answer.startswith("refused: ") for answer in answers[:-1])
    assert answers[1] == "refused: the run has no unit -1"


def test_requests_that_cannot_be_read_are_put_aside_and_others_arrive(qtui, process, state_home) -> None:
    path = commands_of(state_home)
    with path.open("r+b") as file:
        file.write(b"garbage " * 100)
    path.with_name("commands.db-wal").write_bytes(b"")
    until(process, event="warning")

    assert qtui("approve", path.parent.name).stdout == "ask: done\n"
    assert path.with_name("commands.db.damaged-1").exists()
