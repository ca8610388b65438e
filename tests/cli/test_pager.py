"""The pager has the terminal for itself, and gives it back however it ends, or whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import termios
from pathlib import Path

import psutil
import pytest
from terminal import Terminal, engine_of, until

TALKING = """
[workflow]
grace = 1
[units.talk]
run = "echo the first line; echo the last line; exec sleep 300"
"""
SHOWS = 'echo paged "$1"; exec sleep 300'
"""A pager that sets modes as pagers do, and leaves them."""


@pytest.fixture
def paged(workflow, tmp_path: Path):
    """A dashboard, begun from a shell, and its pager, in front of it."""
    path = workflow(TALKING)
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\nstty raw -echo\n{SHOWS}\n")
    pager.chmod(0o700)
    screen = Terminal(
        program=("bash", "--norc", "--noprofile", "-i"), columns=100, cwd=tmp_path, PAGER=str(pager), PS1="prompt> "
    )
    screen.press(f"{sys.executable} -m qtui {path}\r")
    screen.wait_for("the last line")
    screen.press("O")
    screen.wait_for("paged ")
    (shepherd,) = psutil.Process(screen.pid).children()
    (engine,) = shepherd.children()
    shown = next(child for child in engine.children() if child.pid == os.tcgetpgrp(screen._process.child_fd))
    yield screen, shepherd, engine, shown
    for process in (shown, engine, shepherd):
        if process.is_running():
            process.kill()
    screen.close()


def echoes(screen: Terminal) -> bool:
    return bool(termios.tcgetattr(screen._process.child_fd)[3] & termios.ECHO)


def answers(screen: Terminal) -> None:
    """The shell has the terminal, and what it runs finds the modes that it should."""
    screen.press("cat\r")
    until(lambda: screen.text() and echoes(screen), "what the shell starts has the modes of before")
    screen.press("\x04")
    until(lambda: screen.text() and not echoes(screen), "the shell edits lines again")
    screen.press("echo all of this\r")
    screen.wait_for("\nall of this")


@pytest.mark.parametrize(
    ("whom", "number"),
    [("engine", signal.SIGKILL), *(("shepherd", number) for number in (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM))],
)
def test_who_is_killed_while_a_pager_is_up_leaves_the_terminal_to_the_shell(paged, whom: str, number: int) -> None:
    screen, shepherd, engine, shown = paged

    (engine if whom == "engine" else shepherd).send_signal(number)

    until(lambda: screen.text() and not shown.is_running(), "the pager ends")
    until(lambda: screen.text() and os.tcgetpgrp(screen._process.child_fd) == screen.pid, "the shell is in front")
    answers(screen)


def test_a_killed_pager_leaves_no_mode_behind(terminal, workflow, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\nstty raw -echo\nprintf '\\033[?1h'\n{SHOWS}\n")
    pager.chmod(0o700)
    screen = terminal(workflow(TALKING), columns=100, PAGER=str(pager))
    screen.wait_for("the last line")
    screen.press("O")
    screen.wait_for("paged ")
    shown = next(child for child in engine_of(screen).children() if child.pid == os.tcgetpgrp(screen._process.child_fd))

    shown.kill()
    screen.wait_for("any key goes back")
    assert b"\x1b[?1h" in bytes(screen.raw).rpartition(b"\x1b[?1l")[0]
    screen.press("\x03")  # would be for the run, were it a signal
    screen.wait_for("pager ended with code -9")
    assert "Leave" not in screen.text()
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130
    assert screen.modes == screen.modes_before


def test_a_pager_that_ends_well_leaves_no_mode_behind_either(terminal, workflow, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nprintf '\\033[?6h\\033[5;10r\\033[4h\\033(0\\033[?7l'; sleep 1.1\n")
    pager.chmod(0o700)
    screen = terminal(workflow(TALKING), PAGER=str(pager))
    screen.wait_for("the last line")
    screen.press("O")
    until(lambda: screen.text() and b"\x1b[5;10r" in screen.raw, "the pager")
    left = screen.raw.rindex(b"\x1b[5;10r")
    screen.wait_for("? help")
    until(lambda: screen.text() and b"\x1b[?6l\x1b[r" in screen.raw[left:], "all rows")
    for usual in (b"\x1b[4l", b"\x1b(B", b"\x1b[?7h"):
        assert usual in screen.raw[left:]
    screen.wait_for(lambda text: "RUNNING" in text.splitlines()[0] and "? help" in text.splitlines()[-1], "all of it")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_what_a_pager_prints_that_does_not_wait_can_be_read(terminal, workflow) -> None:
    screen = terminal(workflow(TALKING), columns=100, PAGER="cat")
    screen.wait_for("the last line")
    screen.press("O")
    screen.wait_for("any key goes back")
    screen.press("x")
    screen.wait_for("? help")

    screen.press("O")
    screen.wait_for("any key goes back")
    screen.signal(signal.SIGTERM)
    assert screen.exit_code() == 143
    assert screen.modes == screen.modes_before
