"""Plain lines: ends that are no plain success or failure, and the bell."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from terminal import GENEROUS


def test_an_allowed_failure_is_told_and_counted_as_such(qtui, workflow) -> None:
    toml = '[units.lint]\nrun = "exit 4"\nallow_failure = true\n[units.next]\nneeds = ["lint"]\nrun = "true"\n'
    result = qtui(workflow(toml))

    assert result.returncode == 0
    end = next(line for line in result.stdout.splitlines() if "FAIL  lint" in line)
    assert end.endswith("  allowed  exit 4")
    assert "FAIL lint: exit 4 (allowed)" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("(1 completed, 1 failed (allowed))")
    assert qtui("history").stdout.splitlines()[1].endswith("  2, 1 failed (allowed)")


def test_a_unit_that_is_skipped_by_its_condition_says_so(qtui, workflow) -> None:
    toml = '[params]\nfull = false\n[units.a]\nrun = "true"\nif = "params.full"\n[units.b]\nrun = "true"\n'
    result = qtui(workflow(toml))

    assert "skip  a  its condition does not hold: params.full" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("(1 completed, 1 skipped)")


@pytest.mark.parametrize(
    ("notify", "command", "rings"),
    [
        ('bell = "always"', "true", True),
        ('bell = "failure"', "true", False),
        ('bell = "failure"', "false", True),
        ('bell = "never"', "false", False),
        ('bell = "always"\nafter = "10m"', "false", False),
    ],
)
def test_the_bell_rings_at_the_end_if_it_is_to(terminal, workflow, notify: str, command: str, rings: bool) -> None:
    screen = terminal(workflow(f'[notify]\n{notify}\n[units.a]\nrun = "{command}"\n'), "--ui", "plain")
    screen.exit_code()

    assert (b"\a" in screen.raw) == rings


def test_the_bell_is_for_terminals_only(qtui, workflow) -> None:
    assert "\a" not in qtui(workflow('[notify]\nbell = "always"\n[units.a]\nrun = "true"\n')).stdout


SIGNALED = """
[workflow]
grace = 30
[units.work]
run = "trap 'echo asked' TERM; echo begun; while ! test -e end; do sleep 0.05; done"
[units.clean-up]
needs = ["work"]
when = "always"
run = "true"
"""


@pytest.mark.parametrize(
    ("number", "again"), [(signal.SIGINT, "ctrl+c again kills it"), (signal.SIGTERM, "a second signal kills it")]
)
def test_a_signal_is_told_with_what_it_means(workflow, tmp_path, number: signal.Signals, again: str) -> None:
    path = workflow(SIGNALED)
    process = subprocess.Popen(
        [sys.executable, "-m", "qtui", "run", str(path)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    read = iter(process.stdout.readline, "")
    assert any("start work" in line for line in read)
    process.send_signal(number)
    told = next(line for line in read if "stopping: " in line)
    (tmp_path / "end").touch()
    rest = process.communicate(timeout=GENEROUS)[0]

    assert told.endswith(
        f"stopping: interrupted; 1 unit asked to stop, {again}; "
        'not run after a signal: 1 unit with when = "always" or "failure"\n'
    )
    assert "cut   work  was cut by the signal; run it again to finish it" in rest
    assert "start clean-up" not in rest


def test_a_brake_that_stops_the_run_says_what_still_goes_on(qtui, workflow) -> None:
    toml = """
        [workflow]
        workers = 2
        max_failures = { count = 1, then = "stop" }
        [units.bad]
        run = "while ! test -e begun; do sleep 0.02; done; exit 6"
        [units.long]
        run = "touch begun; sleep 0.5"
        [units.later]
        needs = ["long"]
        run = "true"
        """
    result = qtui(workflow(toml))

    assert "the run: stopped for good, 1 failure in a row; what has a worker goes on: 1 unit\n" in result.stdout
    assert "ok    long" in result.stdout
    assert "CANC  later  stopped: 1 failure in a row" in result.stdout
    assert result.returncode == 1


def test_failures_of_commands_count_as_one_kind_by_their_last_line(qtui, workflow) -> None:
    toml = """
        [workflow]
        workers = 1
        max_failures = { count = 2, same = true, then = "stop" }
        [units.a]
        run = "echo disk full >&2; exit 6"
        [units.b]
        run = "echo cannot reach host 1 >&2; exit 6"
        [units.c]
        run = "echo cannot reach host 22 >&2; exit 6"
        [units.d]
        run = "touch started"
        """
    result = qtui(workflow(toml))

    kind = '2 failures in a row of one kind ("exit 6: cannot reach host #")'
    assert f"the run: stopped for good, {kind}\n" in result.stdout
    assert f"CANC  d  stopped: {kind}" in result.stdout


def test_a_resume_is_offered_only_where_there_is_something_left(qtui, workflow) -> None:
    good = qtui(workflow('[units.a]\nrun = "true"\n[units.b]\nrun = "false"\nallow_failure = true\n'), "--ui", "plain")
    bad = qtui(workflow('[units.a]\nrun = "true"\n[units.b]\nrun = "false"\n'), "--ui", "plain")

    assert "qtui resume" not in good.stdout
    assert "goes on with what has not completed" in bad.stdout


def test_in_a_locale_of_ascii_alone_other_signs_are_told_as_escapes(qtui, workflow) -> None:
    path = workflow('[workflow]\nname = "café"\n[units.a]\nrun = "true"\n')
    done = qtui("run", path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9: completed" in done.stdout
    assert "Traceback" not in done.stderr
