"""``qtui shell``: what a unit had around it, to try things out there."""

from __future__ import annotations

import os
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from terminal import Terminal, until
from told import Told, command

from qtui.cli.main import main
from qtui.cli.shell import command_of
from qtui.core.model import Argv, Call, QuantumUnit, Shell, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.store.journal import Head, JournalReader

RUN = "20260102-030405-abcd"
Look = Callable[..., tuple[int, str, str]]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Look:
    """Open a shell that is a script; its exit code, what it printed, and what was said before."""

    def open_shell(unit: str, script: str, run: str = RUN) -> tuple[int, str, str]:
        shell = tmp_path / "my-shell"
        shell.write_text(f"#!/bin/sh\n{script}\n")
        shell.chmod(0o700)
        monkeypatch.setenv("SHELL", str(shell))
        code = main(["shell", run, unit])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return open_shell


FLOW = """
[params]
day = "monday"
[units.fetch]
run = "echo got"
[units.one]
matrix = { n = [1, 2] }
run = "echo '{\\"n\\": '$QTUI_MATRIX_N'}' > $QTUI_RESULT"
[units.use]
needs = ["fetch", "one"]
run = "echo $GREETING $QTUI_PARAM_DAY; exit 3"
env = { GREETING = "hallo" }
cwd = "sub"
"""


def test_the_shell_has_the_units_directory_variables_results_and_command(qtui, workflow, tmp_path, look: Look) -> None:
    (tmp_path / "sub").mkdir()
    assert qtui(workflow(FLOW), "-q").returncode == 1

    script = 'pwd; cat $QTUI_NEEDS; echo $QTUI_UNIT $QTUI_ATTEMPT; echo $QTUI_RESULT; eval "$QTUI_COMMAND"'
    code, out, err = look("use", script, run="20")
    lines = out.splitlines()
    assert code == 3
    assert lines[0] == str(tmp_path / "sub")
    assert lines[1] == '{"fetch": {"exit_code": 0, "stdout": "got\\n"}, "one": [{"n": 1}, {"n": 2}]}'
    assert lines[2] == "use 1"
    assert not Path(lines[3]).parent.exists(), "its files are gone afterwards"
    assert lines[4] == "hallo monday"
    assert "failed: exit 3" in err
    assert "runs     echo $GREETING $QTUI_PARAM_DAY; exit 3" in err
    assert "missing" not in err
    assert look("fetch", "env", run="20")[1].count("QTUI_NEEDS") == 0


def test_it_is_no_part_of_the_run(tmp_path: Path, look: Look, state_home: Path) -> None:
    """A resume ends what carries the tags of a run's processes; and the run may go on meanwhile."""
    told = Told(command("a", cwd=str(tmp_path))).starts("a")
    directory = told.recorded(state_home)
    with directory.lock():
        code, out, err = look("a", "env; kill -9 $$")
    assert code == 137
    assert f"QTUI_RUN={RUN}\n" in out
    assert "QTUI_RECORD" not in out
    assert f"qtui: a of run {RUN} is running\n" in err
    reader = JournalReader(directory.journal)
    assert reader.view().states[0] is UnitState.RUNNING
    reader.close()


def test_secrets_come_from_here_or_are_told_to_be_missing(
    tmp_path: Path, look: Look, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"TOKEN": "***", "HEADER": "Bearer ***", "PLAIN": "p"}
    unit = command("a", cwd=str(tmp_path), env=env)
    Told(replace(unit, action=Shell(("curl -u ***",)))).fails("a").recorded(state_home)
    monkeypatch.setenv("TOKEN", "of today")
    code, out, err = look("a", 'echo "$TOKEN/$PLAIN/${HEADER-unset}"')
    assert (code, out) == (0, "of today/p/unset\n")
    assert "missing  $HEADER holds a secret, which is not recorded: set it" in err
    assert "missing  the command holds a secret" in err
    assert "$TOKEN" not in err


def test_needs_without_a_result_are_named(tmp_path: Path, look: Look, state_home: Path) -> None:
    told = Told(command("a"), command("b", "a", cwd=str(tmp_path), when="always")).fails("a").starts("b").ends("b")
    told.recorded(state_home)
    _, out, err = look("b", "cat $QTUI_NEEDS")
    assert out == "{}\n"
    assert "missing  the result of a: exit 3" in err


def test_needs_that_have_not_ended_are_named(tmp_path: Path, look: Look, state_home: Path) -> None:
    Told(command("a"), command("b", "a", cwd=str(tmp_path))).starts("a").recorded(state_home)
    _, out, err = look("b", "cat $QTUI_NEEDS")
    assert out == "{}\n"
    assert "missing  the result of a: it has not ended" in err


def test_what_cannot_be_opened_is_refused(tmp_path: Path, look: Look, state_home: Path, monkeypatch, capfd) -> None:
    Told(command("gone", cwd=str(tmp_path / "nowhere")), command("a", cwd=str(tmp_path))).recorded(state_home)
    code, _, err = look("gone", "true")
    assert (code, "nowhere: No such file" in err) == (2, True)
    monkeypatch.setenv("SHELL", "/no/such/shell")
    assert main(["shell", RUN, "a"]) == 2
    assert "cannot start /no/such/shell: No such file" in capfd.readouterr().err
    assert main(["shell", RUN, "b"]) == 2
    assert 'there is no unit "b"' in capfd.readouterr().err


def test_a_hostile_name_cannot_steer_the_terminal(tmp_path: Path, look: Look, state_home: Path) -> None:
    Told(command("evil\x1b[2J\x07", cwd=str(tmp_path))).fails("evil\x1b[2J\x07").recorded(state_home)
    assert not set(look("evil*", "true")[2]) & set("\x1b\x07")


def head(*words: str) -> Head:
    origin = {"words": list(words), "cwd": "/work"}
    plan, options = ExecutionPlan.build([command("a")]), RunOptions()
    return Head(
        run=RUN,
        name="flow",
        origin=origin,
        params={},
        plan=plan,
        options=options,
        directory=None,
        created=0,
        version="",
    )


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Argv(("grep", "a b", "$x")), "grep 'a b' '$x'"),
        (Shell(("echo $A",)), "echo $A"),
        (Shell(("cd x; true", "echo 'hi'")), "sh -c 'cd x; true' &&\nsh -c 'echo '\"'\"'hi'\"'\"''"),
        (Shell(("true",), ("bash", "-eu")), "bash -eu -c true"),
        (None, ""),
    ],
)
def test_a_shell_can_evaluate_what_a_command_runs(action: object, expected: str) -> None:
    text = command_of(QuantumUnit(id="a", action=action), head())
    assert text == expected
    assert subprocess.run(["sh", "-n", "-c", text]).returncode == 0


def test_a_function_is_run_by_the_command_that_the_run_began_with() -> None:
    unit = QuantumUnit(id="a[n=1]", action=Call(print, "steps:f"))
    began = head("-C", "sub", "flow.toml", "-p", "day=mon day", "-j", "3")
    assert command_of(unit, began) == "qtui -C /work/sub run --debug flow.toml 'a[n=1]' -p 'day=mon day'"
    assert command_of(unit, head()) == ""
    assert command_of(unit, head("--of-a-later-version", "flow.toml")) == ""


# -- in a terminal ---------------------------------------------------------------------------------------------------


@pytest.fixture
def outer(tmp_path: Path, state_home: Path):
    """A shell in a terminal, and in it the one that `qtui shell` has opened."""
    Told(command("a", cwd=str(tmp_path))).fails("a").recorded(state_home)
    screen = Terminal(
        program=("bash", "--norc", "--noprofile", "-i"), columns=100, cwd=tmp_path, SHELL="/bin/bash", PS1="prompt> "
    )
    screen.press(f"{sys.executable} -m qtui shell {RUN} a\r")
    screen.wait_for("exit leaves")
    screen.press("echo in$((1))side\r")
    screen.wait_for("in1side")
    # before it asks it takes the terminal once more, also from an outer shell that has it meanwhile
    until(lambda: screen.text().rstrip().endswith(("#", "$")), "it asks for the next command")
    yield screen
    screen.close()


def in_front(screen: Terminal) -> int:
    """The group of processes that has the terminal; for a moment it may have ended."""
    return os.tcgetpgrp(screen._process.child_fd)


def has_echo(screen: Terminal) -> bool:
    return bool(termios.tcgetattr(screen._process.child_fd)[3] & termios.ECHO)


def test_a_shell_that_stops_itself_gives_the_terminal_to_the_one_outside_until_it_is_wanted_again(outer) -> None:
    inner = in_front(outer)

    outer.press("suspend\r")
    until(lambda: outer.text() and in_front(outer) == outer.pid, "the outer shell is in front")
    outer.press("fg\r")
    until(lambda: outer.text() and in_front(outer) == inner, "the inner shell is in front again")
    outer.press("exit 3\r")
    until(lambda: outer.text() and in_front(outer) == outer.pid, "the inner shell has ended")
    outer.press("echo it ended with $?\r")
    outer.wait_for("it ended with 3")


@pytest.mark.parametrize("whom", ["qtui", "the shell"])
def test_who_is_killed_leaves_the_terminal_to_the_outer_shell_as_it_was(outer, whom: str) -> None:
    inner = psutil.Process(in_front(outer))

    (inner if whom == "the shell" else inner.parent()).kill()

    until(lambda: outer.text() and not inner.is_running(), "the inner shell is no more")
    until(lambda: outer.text() and in_front(outer) == outer.pid, "the outer shell is in front")
    outer.press("cat\r")
    until(lambda: outer.text() and in_front(outer) != outer.pid, "a program is in front")
    until(lambda: outer.text() and has_echo(outer), "it finds the modes of before")
