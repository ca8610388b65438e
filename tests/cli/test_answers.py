"""Questions in lines: params before the run, confirmations and brakes while it goes on, with a terminal and without."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import GENEROUS, until

from qtui.cli import json_lines, plain
from qtui.core.session import RunSession
from qtui.core.stimuli import ApproveRequested, ReleaseRequested
from qtui.services import open_services

PARAMS = """
[params]
day = { type = "str", required = true, pattern = '\\d+', help = "Which day" }
size = { choices = ["small", "large"], required = true }
[units.a]
run = "echo $QTUI_PARAM_DAY $QTUI_PARAM_SIZE > made"
"""
CONFIRM = """
[units.publish]
run = "touch published"
confirm = "Publish now?"
[units.after]
needs = ["publish"]
run = "true"
"""
BRAKE = """
[workflow]
workers = 1
max_failures = 1
[units.bad]
run = "exit 1"
priority = 1
[units.next]
run = "touch went-on"
"""


# -- params ----------------------------------------------------------------------------------------------


def test_params_that_must_be_given_are_asked_for(terminal, workflow, tmp_path) -> None:
    screen = terminal(workflow(PARAMS), "--ui", "plain")

    screen.wait_for("day: Which day (text that matches \\d+)")
    screen.press("\r", "monday\r")
    screen.wait_for('"monday" does not match the pattern')
    screen.press("20\r")
    screen.wait_for("size: one of small, large")
    screen.press("smal\r")
    screen.wait_for('did you mean "small"?')
    screen.press("small\r")

    assert screen.exit_code() == 0
    assert (tmp_path / "made").read_text() == "20 small\n"
    assert screen.raw.count(b"day = ") == 3, "an empty line asks again"


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_who_gives_up_answering_runs_nothing(terminal, workflow, tmp_path, key: str) -> None:
    screen = terminal(workflow(PARAMS))
    screen.wait_for("day = ")

    screen.press(key)

    assert screen.exit_code() == 130
    assert not (tmp_path / "made").exists()
    assert b"Traceback" not in screen.raw


@pytest.mark.parametrize("arguments", [[], ["--ui", "json"]])
def test_in_ci_nobody_is_asked(terminal, workflow, arguments: list[str]) -> None:
    screen = terminal(workflow(PARAMS), *arguments, CI="true")

    assert screen.exit_code() == 2
    assert b"a value is required" in screen.raw
    assert b"a value is required: small, large" in screen.raw


def test_what_is_given_is_not_asked_for(terminal, workflow, tmp_path) -> None:
    screen = terminal(workflow(PARAMS), "--ui", "plain", "-p", "size=large")
    screen.wait_for("day = ")
    screen.press("7\r")

    assert screen.exit_code() == 0
    assert b"size = " not in screen.raw


# -- confirmations and brakes ----------------------------------------------------------------------------


def test_a_yes_lets_the_unit_run(terminal, workflow, tmp_path) -> None:
    screen = terminal(workflow(CONFIRM), "--ui", "plain")
    screen.wait_for("publish: Publish now? Answer y or n, then enter.")
    screen.press("maybe\r")
    screen.wait_for(lambda shown: shown.count("Answer y or n") == 2, "the question again")
    assert not (tmp_path / "published").exists()

    screen.press("y\r")

    assert screen.exit_code() == 0
    assert (tmp_path / "published").exists()
    assert b"approved by you" in screen.raw


def test_a_no_cancels_the_unit(terminal, workflow, tmp_path) -> None:
    screen = terminal(workflow(CONFIRM), "--ui", "plain")
    screen.wait_for("Answer y or n")

    screen.press("n\r")

    assert screen.exit_code() == 130
    assert not (tmp_path / "published").exists()
    assert b"declined by you" in screen.raw


def test_what_was_typed_before_is_no_answer(terminal, workflow, tmp_path) -> None:
    toml = CONFIRM + '[units.first]\nrun = "while ! test -e go; do sleep 0.05; done"\n'
    screen = terminal(workflow(toml.replace("confirm", 'needs = ["first"]\nconfirm')), "--ui", "plain")
    screen.wait_for("start first")
    screen.press("y\r")
    (tmp_path / "go").touch()

    screen.wait_for("Answer y or n")
    screen.press("n\r")

    assert screen.exit_code() == 130
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize(("answer", "went_on", "code"), [("y", True, 1), ("n", False, 130)])
def test_a_brake_asks_whether_to_go_on(terminal, workflow, tmp_path, answer: str, went_on: bool, code: int) -> None:
    screen = terminal(workflow(BRAKE), "--ui", "plain")
    screen.wait_for("the run is held after 1 failure in a row. Go on? Answer y or n")

    screen.press(f"{answer}\r")

    assert screen.exit_code() == code
    assert (tmp_path / "went-on").exists() == went_on


def test_without_a_terminal_the_line_says_how_to_answer_beforehand(workflow, tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "qtui", "run", str(workflow(CONFIRM))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "--yes=publish" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=GENEROUS)[0]

    assert "needs your yes: Publish now?" in lines[-2]
    how = r"qtui approve \S+ publish says yes, --yes=publish beforehand"
    assert re.fullmatch(rf"    nobody can be asked here: ctrl\+c ends the run; {how}\n", lines[-1])
    assert process.returncode == 130, rest
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (CONFIRM, "publish: Publish now? nobody can be asked here: ctrl+c ends the run; qtui approve "),
        (
            BRAKE,
            'the run is held after 1 failure in a row. Go on? nobody can be asked here: ctrl+c ends the run; then = "',
        ),
    ],
)
def test_json_tells_standard_error_that_a_person_is_waited_for(workflow, tmp_path, toml: str, told: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "qtui", "run", str(workflow(toml)), "--ui", "json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, more = process.communicate(timeout=GENEROUS)

    assert line.startswith(f"qtui: {told}")
    assert more == "", "it is told once, not at every look"
    assert all(json.loads(each)["seq"] for each in out.splitlines()), "standard output has events alone"


def test_json_repeats_what_it_waits_for(workflow, monkeypatch, capsys) -> None:
    monkeypatch.setattr(json_lines, "REMIND", 0.0)
    with open_services() as services:
        session = services.manager.start(services.manager.load(str(workflow(CONFIRM))))
        writer = threading.Thread(target=json_lines.JsonLines(session, io.StringIO()).follow)
        writer.start()
        told, deadline = "", time.monotonic() + GENEROUS
        while told.count("publish: Publish now?") < 2:
            assert time.monotonic() < deadline, told
            told += capsys.readouterr().err
        session.request(ApproveRequested((0,)))
        assert session.wait(GENEROUS) is not None
        session.close()
        writer.join()


@contextmanager
def followed(path: Path) -> Iterator[tuple[RunSession, io.StringIO]]:
    """A run whose plain lines are written to a buffer; ends with the run."""
    out = io.StringIO()
    with open_services() as services:
        session = services.manager.start(services.manager.load(str(path)))
        writer = threading.Thread(target=plain.PlainLines(session, out).follow)
        writer.start()
        yield session, out
        assert session.wait(GENEROUS) is not None
        session.close()
        writer.join()


def wait_until(out: io.StringIO, text: str) -> None:
    until(lambda: text in out.getvalue(), text)


def test_a_run_that_only_waits_says_so_now_and_then(workflow, monkeypatch) -> None:
    monkeypatch.setattr(plain, "HEARTBEAT", 0.1)
    with followed(workflow(CONFIRM)) as (session, out):
        wait_until(out, "still waiting for your yes: publish; nobody can be asked here: ctrl+c ends the run\n")
        session.request(ApproveRequested((0,)))

    assert "yes   publish  approved by you" in out.getvalue()


def test_a_brake_is_told_and_repeated(workflow, monkeypatch) -> None:
    monkeypatch.setattr(plain, "HEARTBEAT", 0.1)
    with followed(workflow(BRAKE)) as (session, out):
        wait_until(out, "brake the run: starts nothing new, 1 failure in a row")
        wait_until(out, "    nobody can be asked here: ctrl+c ends the run; then = ")
        wait_until(out, "still held: the run, 1 failure in a row; nobody can be asked here: ctrl+c ends the run\n")
        session.request(ReleaseRequested())

    assert "brake the run: starts again, released by you" in out.getvalue()


def test_a_brake_that_lets_one_unit_try_needs_nobody(workflow, monkeypatch) -> None:
    monkeypatch.setattr(plain, "HEARTBEAT", 0.1)
    toml = BRAKE.replace("max_failures = 1", 'max_failures = { count = 1, probe = "10m" }')
    with followed(workflow(toml)) as (session, out):
        wait_until(out, "still held: the run, 1 failure in a row\n")
        session.request(ReleaseRequested())

    assert "nobody can be asked" not in out.getvalue()


def test_who_can_be_asked_is_not_told_how_to_do_without(terminal, workflow) -> None:
    screen = terminal(workflow(CONFIRM), "--ui", "plain")
    screen.wait_for("Answer y or n")
    screen.press("y\r")

    assert screen.exit_code() == 0
    assert b"nobody can be asked" not in screen.raw
