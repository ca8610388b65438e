"""What is told about logout: logind's answers are those of stub programs, the reading of them is ours."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.cli.linger import lingering

SESSION = "/org/freedesktop/systemd1/unit/session_2d12_2escope"
MANAGER = "/org/freedesktop/systemd1/unit/user_401000_2eservice"
SERVICE = "/org/freedesktop/systemd1/unit/cron_2eservice"

Logind = Callable[..., None]


@pytest.fixture
def logind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logind:
    """Put a logind in place that answers as told."""

    def place(unit: str, *, kill: bool, lingers: bool, only: str = "as 0", excluded: str = 'as 1 "nobody"') -> None:
        bus = f"""case "$*" in
            *GetUnitByPID*) echo 'o "{unit}"';;
            *KillUserProcesses*) printf '%s\\n' 'b {str(kill).lower()}' '{only}' '{excluded}';;
            *) exit 1;;
        esac"""
        programs = tmp_path / "programs"
        programs.mkdir()
        for name, body in (("busctl", bus), ("loginctl", f"echo Linger={'yes' if lingers else 'no'}")):
            (programs / name).write_text(f"#!/bin/sh\n{body}\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(programs))

    return place


def test_a_session_that_ends_with_all_it_has_started_is_told_with_the_command_that_helps(logind: Logind) -> None:
    logind(SESSION, kill=True, lingers=False)

    said = lingering()
    assert "KillUserProcesses=yes" in said
    assert "`loginctl enable-linger`" in said
    assert "systemd-run --user --scope" in said


def test_lingering_alone_does_not_save_what_is_in_a_session(logind: Logind) -> None:
    logind(SESSION, kill=True, lingers=True)

    said = lingering()
    assert "systemd-run --user --scope" in said
    assert "enable-linger" not in said


def test_what_the_users_manager_runs_needs_lingering_and_no_more(logind: Logind) -> None:
    logind(MANAGER, kill=False, lingers=False)

    assert "`loginctl enable-linger`" in lingering()


@pytest.mark.parametrize(
    ("unit", "kill", "lingers"),
    [(SESSION, False, False), (SESSION, False, True), (MANAGER, True, True), (SERVICE, True, False)],
)
def test_nothing_is_told_where_logout_ends_nothing(logind: Logind, unit: str, kill: bool, lingers: bool) -> None:
    logind(unit, kill=kill, lingers=lingers)

    assert lingering() == ""


def test_a_user_may_be_excluded(logind: Logind) -> None:
    me = getpass.getuser()
    logind(SESSION, kill=True, lingers=False, excluded=f'as 2 "nobody" "{me}"')
    assert lingering() == ""


@pytest.mark.parametrize(("only", "told"), [("{me}", True), ("nobody", False)])
def test_the_only_users_to_be_killed_are_those_that_are_named(logind: Logind, only: str, told: bool) -> None:
    logind(SESSION, kill=False, lingers=False, only=f'as 1 "{only.format(me=getpass.getuser())}"')

    assert bool(lingering()) == told


def test_without_logind_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert lingering() == ""
