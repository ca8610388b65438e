"""``qtui run --debug``: one unit in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import GENEROUS

from qtui.cli.main import main

STEPS = """
import asyncio, sys, time

class Thing:
    def __repr__(self):
        return "a thing"

def thing():
    return Thing()

def use(context, number):
    print("got", context["thing"], number, context["params"]["day"], context.environment["GREETING"])
    context.log("logged")
    print("typed", sys.stdin.readline().strip())
    context.progress(1, 2)
    return [number]

async def fails():
    await asyncio.sleep(0)
    raise ValueError("no good")

def prints():
    while True:
        print("y" * 100)

def waits():
    print("begun", flush=True)
    time.sleep(60)
"""
FLOW = """
[params]
day = "monday"
[units.number]
run = "echo 7 > $QTUI_RESULT"
[units.thing]
call = "steps:thing"
[units.use]
needs = ["thing", "number"]
call = "steps:use"
args = { number = { from = "number" } }
env = { GREETING = "hallo" }
mode = "process"
[units.read]
needs = ["number"]
run = ["cat $QTUI_NEEDS", "read line; echo $line > $QTUI_RESULT; echo $line", "exit 4", "echo never"]
retries = 3
[units.fails]
call = "steps:fails"
[units.prints]
call = "steps:prints"
[units.waits]
call = "steps:waits"
[units.sleeps]
run = "trap 'exit 9' INT; echo begun; while :; do sleep 0.02; done"
[units.floods]
run = "yes"
[units.asks]
run = "echo published"
confirm = "Publish?"
"""


@pytest.fixture
def debug(workflow, tmp_path: Path):
    """Run one unit of the flow alone, with lines to read."""
    path = workflow(FLOW, steps=STEPS)

    def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qtui", "run", "--debug", str(path), *words],
            cwd=tmp_path, input=typed, capture_output=True, text=True, timeout=GENEROUS,
        )  # fmt: skip

    return run


def runs(state_home: Path) -> list[str]:
    return sorted(path.name for path in state_home.glob("qtui/runs/2*"))


def test_a_unit_gets_the_results_of_the_latest_run_and_what_is_typed(qtui, debug, state_home: Path) -> None:
    refused = debug("use")
    assert refused.returncode == 2
    assert "no run of the workflow has a result of thing, number; this makes it: qtui run" in refused.stderr
    assert qtui("flow.toml", "thing", "number", "-q").returncode == 0
    [run] = runs(state_home)

    called = debug("use", typed="hello\n")
    assert called.stdout == "got a thing 7 monday hallo\nlogged\ntyped hello\n"
    assert called.returncode == 0
    assert f"use alone: not recorded, no retries, no timeout; results of run {run}" in called.stderr
    assert "use returns [7]" in called.stderr

    commanded = debug("read", typed='"x"\n')
    assert commanded.stdout == '{"number": 7}\n"x"\n'
    assert commanded.returncode == 4
    assert runs(state_home) == [run], "nothing is recorded"


def test_a_function_that_raises_shows_its_own_frames(debug) -> None:
    ended = debug("fails")
    assert ended.returncode == 1
    _, begin, frame, *rest = ended.stderr.splitlines()
    assert begin == "Traceback (most recent call last):"
    assert frame.endswith("in fails")
    assert rest == [
        '    raise ValueError("no good")',
        "ValueError: no good",
        "qtui: fails has failed: ValueError",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--debug runs one unit"),
        (("use", "read"), "--debug runs one unit"),
        (("use", "-t", "tag"), "--debug runs one unit"),
        (("use", "--detach"), "leave out --detach"),
        (("use", "-n"), "leave out --detach and -n"),
    ],
)
def test_one_unit_runs_now(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--debug", "flow.toml", *words]) == 2
    assert told in capsys.readouterr().err


def test_what_is_not_there_or_asks_first_is_not_run(debug) -> None:
    assert "nope" in debug("nope").stderr
    refused = debug("asks")
    assert refused.returncode == 2
    assert "--yes=asks says yes" in refused.stderr
    assert debug("asks", "--yes").stdout == "published\n"


@pytest.mark.parametrize("unit", ["prints", "floods"])
def test_a_reader_that_has_enough_ends_it(workflow, tmp_path: Path, unit: str) -> None:
    path = workflow(FLOW, steps=STEPS)
    line = f"{sys.executable} -m qtui run --debug {path} {unit} | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=GENEROUS)
    assert ended.returncode == 141
    assert len(ended.stdout.splitlines()) == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("unit", "code"), [("waits", 130), ("sleeps", 9)])
def test_ctrl_c_interrupts_the_unit(workflow, tmp_path: Path, unit: str, code: int) -> None:
    path = workflow(FLOW, steps=STEPS)
    process = subprocess.Popen(
        [sys.executable, "-m", "qtui", "run", "--debug", str(path), unit],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=GENEROUS)
    assert process.returncode == code
    assert "Traceback" not in told


RAW = """
import os, sys, tty
def raw():
    tty.setraw(0)
    print("raw", end="", flush=True)
    os.read(0, 1)
"""
RAW_FLOW = """
[units.called]
call = "raws:raw"
[units.run]
run = "stty raw -echo; printf raw; kill -9 $$"
"""


@pytest.mark.parametrize("unit", ["called", "run"])
def test_modes_that_a_unit_leaves_behind_go_with_it(terminal, workflow, unit: str) -> None:
    screen = terminal("run", "--debug", workflow(RAW_FLOW, raws=RAW), unit)
    screen.wait_for("raw")
    screen.press("x")

    assert screen.exit_code() == (0 if unit == "called" else 137)
    assert screen.modes == screen.modes_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_modes_of_a_function_that_a_signal_ends_go_with_it(
    terminal, workflow, tmp_path: Path, number: signal.Signals
) -> None:
    screen = terminal("run", "--debug", workflow(RAW_FLOW, raws=RAW), "called", TMPDIR=str(tmp_path))
    screen.wait_for("raw")
    screen.signal(number)

    assert screen.exit_code() == 128 + number
    assert screen.modes == screen.modes_before
    assert not list(tmp_path.glob("qtui-*"))
