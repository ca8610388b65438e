"""A run whose journal has come to harm goes on with what can be read of it."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from qtui.listing import known_runs
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory, list_runs

Qtui = Callable[..., subprocess.CompletedProcess[str]]

CHAIN = """
[units.first]
call = "steps:first"
[units.second]
needs = ["first"]
call = "steps:second"
[units.third]
needs = ["second"]
call = "steps:third"
"""
STEPS = """
from pathlib import Path
def note(name):
    with open("trace", "a") as file: file.write(name + "\\n")
def first(context): note("first"); return 1
def second(context): note("second"); return context["first"] + 1
def third(context):
    note("third")
    assert context["second"] == 2
    if not Path("go").exists(): raise ValueError("not yet")
"""


def failed(called: Qtui, workflow: Callable[..., Path], state_home: Path) -> RunDirectory:
    workflow(CHAIN, steps=STEPS)
    assert called("run", "flow.toml", "--ui", "plain").returncode == 1
    state = state_home / "qtui"
    return RunDirectory.open(state, list_runs(state)[-1])


def harm(directory: RunDirectory, statement: str) -> None:
    with closing(sqlite3.connect(directory.journal, isolation_level=None)) as database:
        database.execute(statement)


def test_what_the_lost_events_told_is_done_again(
    called: Qtui, workflow: Callable[..., Path], tmp_path: Path, state_home: Path
) -> None:
    directory = failed(called, workflow, state_home)
    with closing(JournalReader(directory.journal)) as reader:
        kept = reader.last_seq()
    assert called("resume", "--ui", "plain").returncode == 1
    harm(directory, f"UPDATE batch SET data = 'nonsense' WHERE first > {kept}")
    damaged = directory.journal.read_bytes()
    (tmp_path / "go").touch()
    result = called("resume", "--ui", "plain")

    assert result.returncode == 0, result.stderr
    assert f"the journal was damaged: events 1 to {kept} of it are kept; " in result.stderr
    assert (tmp_path / "trace").read_text().split() == ["first", "second", "third", "third", "third"]
    assert directory.journal.with_name("journal.db.damaged-1").read_bytes() == damaged
    with closing(JournalReader(directory.journal)) as reader:
        assert reader.problems() == []
    assert "damaged" not in called("doctor", directory.run).stdout


def test_a_dry_run_tells_what_a_resume_would_make_of_a_damaged_journal_and_writes_nothing(
    called: Qtui, workflow: Callable[..., Path], state_home: Path
) -> None:
    directory = failed(called, workflow, state_home)
    known = [run.summary for run in known_runs(state_home / "qtui")]
    before = content(directory.path)
    told = called("resume", "-n")
    assert (told.returncode, content(directory.path)) == (0, before)
    assert [run.summary for run in known_runs(state_home / "qtui")] == known, "nor does the index hear of it"

    harm(directory, "UPDATE batch SET data = 'nonsense'")
    for path in directory.path.glob("journal.db-*"):
        path.unlink()
    before = content(directory.path)
    told = called("resume", "-n")

    assert told.returncode == 0, told.stderr
    assert "the journal is damaged: a resume keeps what can be read of it" in told.stderr
    assert "resume: 3 units to run, 0 kept" in told.stdout
    assert content(directory.path) == before


def content(directory: Path) -> dict[str, bytes | None]:
    paths = sorted(directory.rglob("*"))
    return {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in paths}


def test_a_journal_that_has_lost_all_events_begins_anew(
    called: Qtui, workflow: Callable[..., Path], tmp_path: Path, state_home: Path
) -> None:
    directory = failed(called, workflow, state_home)
    harm(directory, "UPDATE batch SET data = 'nonsense'")
    (tmp_path / "go").touch()
    result = called("resume", "--ui", "plain")

    assert result.returncode == 0, result.stderr
    assert "no event of it is kept" in result.stderr
    assert (tmp_path / "trace").read_text().split() == ["first", "second", "third"] * 2


def test_results_that_cannot_be_read_are_made_again(
    called: Qtui, workflow: Callable[..., Path], tmp_path: Path, state_home: Path
) -> None:
    directory = failed(called, workflow, state_home)
    harm(directory, "UPDATE result SET why = CAST(x'ff' AS TEXT)")
    (tmp_path / "go").touch()
    result = called("resume", "--ui", "plain")

    assert result.returncode == 0, result.stderr
    assert "it was lost when the journal was damaged" in result.stderr
    assert (tmp_path / "trace").read_text().split() == ["first", "second", "third"] * 2


def test_of_a_live_run_nothing_is_recovered(called: Qtui, workflow: Callable[..., Path], state_home: Path) -> None:
    directory = failed(called, workflow, state_home)
    harm(directory, "UPDATE batch SET data = 'nonsense'")
    with directory.lock():
        result = called("resume", "--ui", "plain")

    assert result.returncode == 2
    assert not list(directory.path.glob("*damaged*"))
