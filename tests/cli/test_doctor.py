"""``qtui doctor``: a whole journal, journals that lie, and the machine."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from told import Told, command

from qtui.cli.doctor import Verdict, machine_findings
from qtui.core.events import UnitFinished, UnitReady, UnitStarted
from qtui.core.model import ExecutionMode, RunState, UnitState
from qtui.store.journal import Journal
from qtui.store.rundir import RunDirectory

Qtui = Callable[..., subprocess.CompletedProcess[str]]


def finished() -> Told:
    return Told(command("a"), command("b", "a")).starts("a").ends("a").starts("b").ends("b").over(RunState.COMPLETED, 0)


def told_of(called: Qtui, *words: str) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and what was said by the word in front."""
    result = called("doctor", *words)
    assert "Traceback" not in result.stderr
    said: dict[str, list[str]] = {}
    for line in (result.stdout + result.stderr).splitlines():
        word, _, rest = line.partition(" ")
        said.setdefault(word, []).append(rest.strip())
    return result.returncode, said


def change(directory: RunDirectory, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(directory.journal, isolation_level=None)) as database:
        database.execute(statement, values)


def test_a_run_whose_states_follow_from_its_events_is_well(called: Qtui, state_home: Path) -> None:
    finished().recorded(state_home)
    code, said = told_of(called, "abcd")

    assert (code, list(said)) == (0, ["ok"])
    assert said["ok"] == [
        "process    the run is over: completed",
        "journal    whole, events 1 to 8 without a gap",
        "steps      8 events, each step a legal one",
        "states     as the events say: 2 of 2 units have ended",
        "results    0 kept",
    ]


def test_a_lost_run_is_no_fault_of_the_journal(called: Qtui, state_home: Path) -> None:
    Told(command("a")).starts("a").recorded(state_home)
    code, said = told_of(called, "abcd")

    assert code == 0
    assert said["note"] == ["process    the process that ran it is gone: qtui resume 20260102-030405-abcd"]


def test_whoever_runs_a_live_run_is_named(called: Qtui, state_home: Path) -> None:
    with Told(command("a")).starts("a").recorded(state_home).lock():
        _, said = told_of(called, "abcd")

    assert said["ok"][0] == f"process    live: process {os.getpid()} on {os.uname().nodename} runs it"


def test_a_step_that_no_unit_can_make_is_found(called: Qtui, state_home: Path) -> None:
    told = Told(command("a"))
    told.add(UnitStarted(0, 1, ExecutionMode.COMMAND, 1, 7, 101.0))  # it was never ready
    told.add(UnitFinished(0, 1, 1, UnitState.COMPLETED, 102.0), UnitReady(0, 103.0))
    told.recorded(state_home)
    code, said = told_of(called, "abcd")

    assert code == 1
    assert said["BAD"] == [
        "steps      event 2: a: pending -> running",
        "steps      event 4: a: completed -> ready",
    ]


def test_a_checkpoint_that_does_not_follow_from_the_events_is_found(called: Qtui, state_home: Path) -> None:
    told = finished()
    directory = told.recorded(state_home)
    lie = Told(command("a"), command("b", "a")).starts("a").fails("b").view
    with closing(Journal.reopen(directory.journal)) as journal:
        journal.checkpoint(replace(lie, seq=8))
    code, said = told_of(called, "abcd")

    assert code == 1
    assert "states     a is running, but its events say completed" in said["BAD"]
    assert "states     b is failed, but its events say completed" in said["BAD"]
    assert "states     a checkpoint has a `finished` that does not follow from the events" in said["BAD"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM batch",
        "UPDATE batch SET first = first + 1, last = last + 1",
        "UPDATE batch SET data = replace(data, 'completed', 'canceled')",
        "UPDATE batch SET data = 'nonsense'",
        "UPDATE batch SET last = last + 1",
    ],
)
def test_events_that_were_changed_or_lost_are_found(called: Qtui, state_home: Path, statement: str) -> None:
    directory = finished().recorded(state_home)
    with closing(Journal.reopen(directory.journal)) as journal:
        journal.append(9, [UnitReady(0, 120.0)])  # something behind, so that there is a gap
    change(directory, f"{statement} WHERE first = 1")
    code, said = told_of(called, "abcd")

    assert code != 0
    assert any("damaged" in line for lines in said.values() for line in lines)


def test_of_a_damaged_journal_it_is_told_what_is_left(called: Qtui, state_home: Path) -> None:
    directory = finished().recorded(state_home)
    with closing(Journal.reopen(directory.journal)) as journal:
        journal.append(9, [UnitReady(0, 120.0)])
    change(directory, "UPDATE batch SET data = 'nonsense' WHERE first = 9")
    before = directory.journal.read_bytes()
    code, said = told_of(called, "abcd")

    assert code == 1
    assert said["BAD"] == [
        f"journal    {directory.journal}: the journal is damaged: event 9 and those after it have"
        " changed since they were written"
    ]
    assert said["note"][-1].startswith(f"rest       events 1 to 8 of it are whole: qtui resume {directory.run} ")
    assert directory.journal.read_bytes() == before


def test_a_journal_that_lacks_a_column_is_a_damaged_one(called: Qtui, state_home: Path) -> None:
    directory = finished().recorded(state_home)
    change(directory, "DROP INDEX batch_at")
    change(directory, "ALTER TABLE batch DROP COLUMN at")

    assert called("status", "abcd").returncode == 2
    assert told_of(called, "abcd")[0] == 1


def test_a_journal_of_garbage_is_told_of_and_left_alone(called: Qtui, state_home: Path) -> None:
    directory = finished().recorded(state_home)
    directory.journal.write_bytes(b"garbage " * 1000)
    code, said = told_of(called, "abcd")

    assert code != 0
    assert any(str(directory.journal) in line for lines in said.values() for line in lines)
    assert directory.journal.read_bytes() == b"garbage " * 1000


def test_the_machine_is_well_where_nothing_has_run_yet(called: Qtui, state_home: Path) -> None:
    code, said = told_of(called)

    assert code == 0
    assert any(line.startswith("state ") for line in said["ok"])
    assert "terminal   none here, so runs write plain lines" in said["ok"]


def test_a_state_directory_that_others_may_write_to_is_a_fault(called: Qtui, state_home: Path) -> None:
    (state_home / "qtui" / "runs").mkdir(parents=True)
    (state_home / "qtui").chmod(0o777)
    code, said = told_of(called)

    assert code == 1
    assert "chmod 700" in said["BAD"][0]


def test_a_state_directory_that_cannot_be_is_a_fault_and_the_rest_is_told(called: Qtui, tmp_path: Path) -> None:
    code, said = told_of(called, "--state-dir", str(tmp_path / ("x" * 300) / "state"))

    assert code == 1
    assert [words.split()[0] for words in said["BAD"]] == ["state"]
    assert "settings" in said["ok"][-1]


def test_a_key_that_others_may_read_is_a_fault(state_home: Path) -> None:
    state_home.mkdir(mode=0o700)
    key = state_home / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o644)

    assert [each.what for each in machine_findings(state_home) if each.verdict is Verdict.BAD] == ["key"]


def test_logout_is_a_note_with_the_command_that_helps(called: Qtui, tmp_path: Path, state_home: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    bus = """case "$*" in
        *GetUnitByPID*) echo 'o "/org/freedesktop/systemd1/unit/session_2d3_2escope"';;
        *) printf '%s\\n' 'b true' 'as 0' 'as 1 "nobody"';;
    esac"""
    for name, body in (("busctl", bus), ("loginctl", "echo Linger=no")):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    result = called("doctor", PATH=f"{programs}:{os.environ['PATH']}")

    assert result.returncode == 0
    note = next(line for line in result.stdout.splitlines() if line.startswith("note  logout"))
    assert "`loginctl enable-linger`" in note
