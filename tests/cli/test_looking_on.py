"""`qtui attach`, `qtui replay` and `qtui` alone, as they are typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from terminal import Terminal, until
from told import Told, command

from qtui.attached import AttachedSession
from qtui.cli.plain import PlainLines

Qtui = Callable[..., subprocess.CompletedProcess[str]]
Open = Callable[..., Terminal]
Write = Callable[..., Path]

FAILS = """
[workflow]
name = "nightly"
[units.fetch]
run = "echo rows"
[units.bad]
needs = ["fetch"]
run = "exit 3"
"""
WAITS = """
[workflow]
name = "nightly"
[units.fetch]
run = "until [ -e go ]; do sleep 0.05; done"
[units.report]
needs = ["fetch"]
run = "echo reported"
"""


@pytest.fixture
def failed(called: Qtui, workflow: Write) -> None:
    """A run that has failed."""
    assert called("run", workflow(FAILS), "--ui", "plain").returncode == 1


@pytest.mark.usefixtures("failed")
def test_attach_without_a_terminal_prints_the_run_and_has_its_exit_code(called: Qtui) -> None:
    shown = called("attach")
    assert shown.returncode == 1
    assert "ok    fetch" in shown.stdout
    assert "FAIL  bad" in shown.stdout
    assert "nightly: failed" in shown.stdout
    lines = [json.loads(line) for line in called("attach", "--ui", "json").stdout.splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("run_started", "run_finished")


@pytest.mark.usefixtures("failed")
def test_a_replay_needs_a_terminal_and_says_what_does_without(called: Qtui) -> None:
    refused = called("replay")
    assert refused.returncode == 2
    assert "qtui attach --ui plain" in refused.stderr


@pytest.mark.parametrize("command", ["attach", "replay"])
def test_a_run_that_is_not_there_is_named(command: str, terminal: Open) -> None:
    screen = terminal(command, "nothing")
    assert screen.exit_code() == 2
    assert "nothing" in screen.text()
    assert "Traceback" not in screen.text()


@pytest.mark.parametrize("arguments", [("--at", "noon"), ("--speed", "0"), ("--speed", "-1"), ("--speed", "nan")])
def test_impossible_times_and_speeds_are_refused(arguments: tuple[str, str], called: Qtui) -> None:
    refused = called("replay", *arguments)
    assert refused.returncode == 2
    assert arguments[1] in refused.stderr or "expected one argument" in refused.stderr


def test_two_terminals_follow_a_run_and_leaving_does_not_touch_it(
    terminal: Open, workflow: Write, tmp_path: Path
) -> None:
    runner = terminal("run", str(workflow(WAITS)), "--ui", "plain")
    runner.wait_for("start fetch")
    first, second = terminal("attach"), terminal("attach", "--read-only", columns=120, rows=40)
    first.wait_for("attached  RUNNING")
    second.wait_for("read-only  RUNNING")
    second.press("x")
    second.wait_for("this screen only reads")
    first.press("q")
    assert first.exit_code() == 0
    first.wait_for("the run goes on; qtui attach")
    (tmp_path / "go").touch()
    second.wait_for("read-only  OK")
    second.press("q")
    assert second.exit_code() == 0
    second.wait_for("nightly: completed in")
    assert runner.exit_code() == 0


def test_ctrl_c_ends_the_lines_and_says_that_the_run_goes_on(terminal: Open, workflow: Write, tmp_path: Path) -> None:
    flow = workflow(WAITS + '[units.bad]\nrun = "exit 3"\n')
    runner = terminal("run", str(flow), "--ui", "plain")
    runner.wait_for("FAIL  bad")
    lines = terminal("attach", "--ui", "plain")
    lines.wait_for("FAIL  bad")
    lines.press("\x03")
    assert lines.exit_code() == 0
    assert "the run goes on; qtui attach" in lines.text()
    (tmp_path / "go").touch()
    assert runner.exit_code() == 1


def test_lines_that_are_left_early_have_no_end(tmp_path: Path) -> None:
    directory = Told(command("fetch")).starts("fetch").recorded(tmp_path, "20260101-030405-abcd")
    with directory.lock(), closing(AttachedSession(directory)) as session:
        out = StringIO()
        lines = PlainLines(session, out)
        session.close()
        lines.follow()
    assert "fetch" in out.getvalue()
    assert "unfinished" not in out.getvalue()


def test_an_attached_screen_steers_the_run(terminal: Open, workflow: Write) -> None:
    runner = terminal("run", str(workflow(WAITS)), "--ui", "plain")
    runner.wait_for("start fetch")
    screen = terminal("attach")
    screen.wait_for("attached  RUNNING")
    screen.press("x")
    screen.wait_for("cancel fetch; 1 dependent will be skipped")
    screen.press("y")
    screen.wait_for("CANCELED")
    screen.press("q")
    assert screen.exit_code() == 130
    assert runner.exit_code() == 130


@pytest.mark.usefixtures("failed")
def test_a_replay_stands_where_it_was_told_and_gives_the_terminal_back(terminal: Open, called: Qtui) -> None:
    screen = terminal("replay", "--at", "0")
    screen.wait_for("replay")
    screen.wait_for("paused  x1    0:00:00.000")
    called("prune", "--max-size", "0", "--unfinished")
    screen.press("]", "]", "]", "]", "]", "]", "]", "]")
    screen.wait_for("FAILED")
    screen.press("x")
    screen.wait_for("this is a replay")
    screen.press("q")
    assert screen.exit_code() == 0
    assert called("attach").returncode == 1, "what somebody has open is not pruned"
    assert screen.modes == screen.modes_before


@pytest.mark.usefixtures("failed")
def test_qtui_alone_offers_runs_and_does_what_was_picked(terminal: Open, tmp_path: Path) -> None:
    (tmp_path / "flow.toml").rename(tmp_path / "qtui.toml")
    screen = terminal()
    screen.wait_for("Workflows here  1")
    screen.wait_for("Runs  1")
    screen.press("j", "\r")
    screen.wait_for("replay  ")
    screen.wait_for("1 failed: f next")
    screen.press("q")
    assert screen.exit_code() == 0


def test_a_picked_workflow_runs_as_if_it_had_been_typed(terminal: Open, workflow: Write, tmp_path: Path) -> None:
    workflow(WAITS, "qtui.toml")
    (tmp_path / "go").touch()
    screen = terminal()
    screen.wait_for("› run     qtui.toml")
    screen.press("\r")
    screen.wait_for("finished; q quits")
    screen.press("q")
    assert screen.exit_code() == 0
    until(lambda: "nightly: completed" in screen.text(), "the summary")


def test_leaving_the_picker_does_nothing(terminal: Open) -> None:
    screen = terminal()
    screen.wait_for("qtui init writes a small workflow")
    screen.press("q")
    assert screen.exit_code() == 0
    assert screen.modes == screen.modes_before


def test_qtui_alone_without_a_terminal_prints_its_help(qtui: Qtui) -> None:
    shown = qtui()
    assert shown.returncode == 0
    assert "qtui WORKFLOW" in shown.stdout
