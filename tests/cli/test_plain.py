"""Plain lines: ends that are no plain success or failure, and the bell."""

from __future__ import annotations

import pytest


def test_an_allowed_failure_is_told_and_counted_as_such(qtui, workflow) -> None:
    toml = '[units.lint]\nrun = "exit 4"\nallow_failure = true\n[units.next]\nneeds = ["lint"]\nrun = "true"\n'
    result = qtui(workflow(toml))

    assert result.returncode == 0
    end = next(line for line in result.stdout.splitlines() if "FAIL  lint" in line)
    assert end.endswith("  allowed  exit 4")
    assert "FAIL lint: exit 4 (allowed)" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("(1 completed, 1 failed, 1 allowed to fail)")


def test_a_unit_that_is_skipped_by_its_condition_says_so(qtui, workflow) -> None:
    toml = '[params]\nfull = false\n[units.a]\nrun = "true"\nif = "params.full"\n[units.b]\nrun = "true"\n'
    result = qtui(workflow(toml))

    assert "skip  a  not if params.full" in result.stdout
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
