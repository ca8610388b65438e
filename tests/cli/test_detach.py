"""``qtui run --detach``."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import psutil
import pytest
from terminal import until

LONG = """
[workflow]
name = "long"
[params]
word = { type = "str" }
[units.waits]
run = '''
echo $QTUI_DETACHED > inherited; touch begun
while ! test -e go; do sleep 0.05; done; echo said ${{ params.word }}'''
[units.writes]
needs = ["waits"]
run = "pwd > done; exec sleep 0"
"""


def runner() -> psutil.Process:
    """The process that runs it: started by one that has ended."""
    (found,) = [
        each
        for each in psutil.process_iter(["cmdline", "environ"])
        if "-P" in (each.info["cmdline"] or []) and "--detach" in each.info["cmdline"]
        if (each.info["environ"] or {}).get("XDG_STATE_HOME") == os.environ["XDG_STATE_HOME"]
    ]
    return found


@pytest.mark.parametrize("ui", ["auto", "plain", "json"])
def test_it_returns_with_the_runs_id_and_the_run_goes_on(qtui, workflow, tmp_path: Path, ui: str) -> None:
    flow = workflow(LONG, name="flow.toml")

    done = qtui(flow, "--detach", "--ui", ui, "-p", "word=hello")

    assert done.returncode == 0, done.stderr
    run = done.stdout.strip()
    assert f"qtui attach {run}" in done.stderr
    directory = tmp_path / "state/qtui/runs" / run
    assert directory.is_dir()
    process = runner()
    assert os.getsid(process.pid) == process.pid
    until((tmp_path / "begun").exists, "the unit runs")
    assert (tmp_path / "inherited").read_text().strip() == ""
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run completes")
    until(lambda: not process.is_running(), "the process ends")
    log = (directory / "detached.log").read_text()
    assert "said hello" in log or ui == "json"
    assert ('"state":"completed"' in log.replace(" ", "")) if ui == "json" else "long: completed" in log


def test_status_tells_when_a_run_that_goes_on_ends(qtui, called, workflow, tmp_path: Path) -> None:
    toml = '[units.slow]\nestimate = "20m"\nrun = "touch begun; while ! test -e go; do sleep 0.05; done"\n'
    flow = workflow(toml, name="flow.toml")
    run = qtui(flow, "--detach").stdout.strip()
    until((tmp_path / "begun").exists, "the unit runs")

    head = called("status", run).stdout.splitlines()[1]
    left = json.loads(called("status", run, "--json").stdout)["left"]
    (tmp_path / "go").touch()
    assert called("status", run, "--wait").returncode == 0

    assert re.match(r"running for 0:\d\d:\d\d, about \d+m left", head), head
    assert 0 < left["p10"] <= left["p50"] <= left["p90"]
    assert (left["incomplete"], left["times_out"]) == (0, False)
    assert re.match(r"about \d+m left", left["text"])
    assert json.loads(called("status", run, "--json").stdout)["left"] is None


def test_what_cannot_run_is_told_at_once(qtui, workflow, tmp_path: Path) -> None:
    done = qtui(workflow('[units.a]\nneeds = ["b"]\nrun = "true"\n'), "--detach")

    assert (done.returncode, done.stdout) == (2, "")
    assert 'units.a: needs "b", which is not a unit' in done.stderr
    assert not (tmp_path / "state/qtui/runs").exists()


def test_what_fails_in_the_other_process_is_told_with_its_exit_code(qtui, workflow, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("")

    done = qtui(workflow('[units.a]\nrun = "true"\n'), "--detach", "--state-dir", tmp_path / "blocked")

    assert done.returncode == 2
    assert done.stdout == ""
    assert "blocked" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_wants_no_screen(qtui, workflow) -> None:
    done = qtui(workflow('[units.a]\nrun = "true"\n'), "--detach", "--ui", "tui")

    assert done.returncode == 2


def test_a_module_that_prints_does_not_spoil_the_runs_id(qtui, workflow, tmp_path: Path) -> None:
    path = workflow('[units.a]\ncall = "loud:main"\n', loud="print('imported')\ndef main(): pass\n")

    done = qtui(path, "--detach")

    assert re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]+\n", done.stdout)
    until(lambda: "completed" in (tmp_path / f"state/qtui/runs/{done.stdout.strip()}/detached.log").read_text(), "ends")


def test_a_relative_directory_counts_once(qtui, workflow, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    workflow('[units.a]\nrun = "pwd > here"\n', name="sub/flow.toml")

    done = qtui("-C", "sub", "flow.toml", "--detach")

    assert done.returncode == 0, done.stderr
    until((tmp_path / "sub/here").exists, "the unit ran where it should")
    until(lambda: "completed" in (tmp_path / f"state/qtui/runs/{done.stdout.strip()}/detached.log").read_text(), "ends")


def test_params_are_asked_for_before_the_terminal_is_let_go(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(LONG), "--detach")
    screen.wait_for("word =")
    screen.press("typed\r")

    assert screen.exit_code() == 0
    found = re.search(rb"qtui attach (\S+) shows it", bytes(screen.raw))
    assert found
    process = runner()
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run completes")
    until(lambda: not process.is_running(), "the process ends")
    assert "said typed" in (tmp_path / "state/qtui/runs" / found[1].decode() / "detached.log").read_text()
