"""The process in front of the shell: the run is let go of, stopped for, or killed, and the terminal is given back."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from terminal import Terminal, engine_of, holds_a_terminal, until

LONG = """
[workflow]
name = "long"
grace = 2
[units.waits]
run = "touch begun; while ! test -e go; do sleep 0.05; done; echo went"
[units.writes]
needs = ["waits"]
run = "echo written > done"
"""
PROMPT = "ready> "
MODES = (b"1049", b"1000", b"1003", b"1006", b"1004", b"2004")


def assert_given_back(terminal: Terminal, modes: list[object]) -> None:
    assert terminal.modes == modes
    for mode in MODES:
        switched = re.findall(rb"\x1b\[\?" + mode + rb"([hl])", bytes(terminal.raw))
        assert switched[-1:] == [b"l"], mode
    assert re.findall(rb"\x1b\[\?25([hl])", bytes(terminal.raw))[-1:] == [b"h"], "the cursor is seen"
    assert bytes(terminal.raw).count(b"\x1b[<u") >= bytes(terminal.raw).count(b"\x1b[>"), "the keyboard's protocol"


@pytest.fixture
def shell(terminal, tmp_path: Path) -> Callable[[], Terminal]:
    """An interactive shell that minds its jobs."""

    def start() -> Terminal:
        bash = terminal(program=("bash", "--norc", "--noprofile", "-i"), PS1=PROMPT, HISTFILE="")
        bash.wait_for(PROMPT)
        return bash

    return start


def type_line(shell: Terminal, *words: object) -> None:
    shell.press(" ".join(map(str, words)) + "\r")


def start_in(shell: Terminal, workflow: Path) -> None:
    type_line(shell, sys.executable, "-m qtui", workflow)
    shell.wait_for("RUNNING")


def prompts(shell: Terminal) -> int:
    return shell.text().count(PROMPT.strip())


def test_d_lets_a_run_go_on_without_the_terminal(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(LONG))
    modes = screen.modes
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")
    engine = engine_of(screen)

    screen.press("D")

    assert screen.exit_code() == 0
    assert_given_back(screen, modes)
    assert re.search(rb"the run goes on; qtui attach \S+ shows it", bytes(screen.raw))
    assert engine.is_running() and os.getsid(engine.pid) == engine.pid, "it has a session of its own"
    assert not holds_a_terminal(engine)
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run goes on")
    until(lambda: not engine.is_running(), "the process ends with its run")
    (log,) = tmp_path.glob("state/qtui/runs/*/detached.log")
    assert "long: completed" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_where_logind_ends_everything_at_logout_d_says_so_and_what_helps(terminal, workflow, tmp_path: Path) -> None:
    stubs = tmp_path / "bin"
    stubs.mkdir()
    unit = "/org/freedesktop/systemd1/unit/session_2d3_2escope"
    bus = f"""case "$*" in
*GetUnitByPID*) echo 'o "{unit}"' ;;
*) printf 'b true\\nas 0\\nas 1 "nobody-else"\\n' ;;
esac"""
    for name, body in (("busctl", bus), ("loginctl", "echo Linger=no")):
        (stubs / name).write_text(f"#!/bin/sh\n{body}\n")
        (stubs / name).chmod(0o755)
    screen = terminal(workflow(LONG), PATH=f"{stubs}:{os.environ['PATH']}")
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")

    screen.press("D")

    assert screen.exit_code() == 0
    said = b" ".join(bytes(screen.raw).split())
    assert b"logind ends what was started in this session when you log out" in said
    assert b"`loginctl enable-linger`" in said
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run goes on")


def test_the_question_before_leaving_offers_to_let_the_run_go_on(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")

    screen.press("q")
    screen.wait_for("let it go on without a screen")
    screen.press("D")

    assert screen.exit_code() == 0
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run goes on")


def test_d_after_the_end_only_leaves(terminal, workflow) -> None:
    screen = terminal(workflow('[units.bad]\nrun = "exit 3"\n'))
    screen.wait_for("FAILED")

    screen.press("D")

    assert screen.exit_code() == 1


def test_a_killed_child_leaves_the_terminal_as_it_was(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(LONG))
    modes = screen.modes
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")
    assert screen.modes != modes

    engine_of(screen).kill()

    assert screen.exit_code() == 137
    assert_given_back(screen, modes)
    assert re.search(rb"killed by SIGKILL; what had ended is kept: qtui resume \S+", bytes(screen.raw))


def test_when_the_process_in_front_is_killed_the_run_goes_on(shell, workflow, tmp_path: Path) -> None:
    bash = shell()
    start_in(bash, workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")
    (front,) = psutil.Process(bash.pid).children()
    (engine,) = front.children()

    front.kill()

    bash.wait_for("Killed")
    until(lambda: not holds_a_terminal(engine), "it lets go of the terminal")
    type_line(bash, "echo still", "here")
    bash.wait_for("still here")
    assert re.findall(rb"\x1b\[\?1049([hl])", bytes(bash.raw))[-1:] == [b"l"]
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run goes on")
    until(lambda: not engine.is_running(), "the process ends with its run")


@pytest.mark.parametrize("arguments", ["flow.toml", ""])
def test_when_the_process_in_front_is_killed_the_next_program_finds_the_terminal_as_it_was(
    terminal, workflow, tmp_path: Path, arguments: str
) -> None:
    workflow(LONG)
    script = f"{sys.executable} -m qtui {arguments}; read line; echo got $line"
    screen = terminal(program=("sh", "-c", script))
    screen.wait_for("RUNNING" if arguments else "flow.toml")
    screen.wait_for(lambda _: screen.modes != screen.modes_before, "it is drawn")
    (front,) = psutil.Process(screen.pid).children()
    (engine,) = front.children()

    front.kill()

    until(lambda: screen.modes == screen.modes_before, "lines are edited and echoed again")
    screen.press("typed\r")
    screen.wait_for("got typed")
    assert_given_back(screen, screen.modes_before)
    (tmp_path / "go").touch()
    if arguments:
        until((tmp_path / "done").exists, "the run goes on")
    until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, "the process ends")


def test_ctrl_z_gives_the_prompt_and_fg_the_screen_while_the_run_goes_on(shell, workflow, tmp_path: Path) -> None:
    bash = shell()
    start_in(bash, workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")

    bash.press("\x1a")
    bash.wait_for("Stopped")
    bash.wait_for(lambda _shown: prompts(bash) >= 1, "the prompt")
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run goes on while the screen is stopped")
    type_line(bash, "echo the shell", "answers")
    bash.wait_for("the shell answers")

    type_line(bash, "fg")
    bash.wait_for("finished; q quits")
    bash.press("q")
    bash.wait_for("long: completed")
    type_line(bash, "echo code=$?")
    bash.wait_for("code=0")


def test_bg_leaves_it_stopped_and_the_run_going(shell, workflow, tmp_path: Path) -> None:
    bash = shell()
    start_in(bash, workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")
    bash.press("\x1a")
    bash.wait_for("Stopped")
    (front,) = psutil.Process(bash.pid).children()
    (engine,) = front.children()

    type_line(bash, "bg")
    bash.wait_for("&")
    until(lambda: front.status() == psutil.STATUS_STOPPED, "it waits to be brought forward")
    assert engine.status() != psutil.STATUS_STOPPED
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run goes on")

    type_line(bash, "fg")
    bash.wait_for("finished; q quits")
    bash.press("q")
    bash.wait_for("long: completed")


def test_killing_the_stopped_job_interrupts_the_run(shell, workflow, tmp_path: Path) -> None:
    bash = shell()
    start_in(bash, workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")
    bash.press("\x1a")
    bash.wait_for("Stopped")

    (front,) = psutil.Process(bash.pid).children()

    type_line(bash, "kill %1")

    until(lambda: not front.is_running(), "both processes end")
    type_line(bash, "")
    bash.wait_for("Exit 143")
    modes = termios.tcgetattr(bash._process.child_fd)
    assert modes[3] & termios.ISIG
    assert not (tmp_path / "done").exists()


def test_where_no_shell_could_bring_it_back_ctrl_z_only_redraws(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")
    drawn = screen.raw.count(b"\x1b[?1049h")

    screen.press("\x1a")

    until(lambda: screen.text() and screen.raw.count(b"\x1b[?1049h") > drawn, "it is drawn anew")
    (tmp_path / "go").touch()
    screen.wait_for("finished; q quits")
    screen.press("q")
    assert screen.exit_code() == 0


def test_a_stop_signal_to_the_engine_itself_stops_nothing(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(LONG))
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")

    engine_of(screen).send_signal(signal.SIGTSTP)

    (tmp_path / "go").touch()
    screen.wait_for("finished; q quits")
    screen.press("q")
    assert screen.exit_code() == 0


def test_a_signal_to_the_whole_group_counts_once(terminal, workflow, tmp_path: Path) -> None:
    polite = LONG.replace("touch begun; while", "trap 'sleep 0.5; touch polite; exit 1' TERM; touch begun; while")
    screen = terminal(workflow(polite))
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")

    os.killpg(os.getpgid(screen.pid), signal.SIGTERM)

    assert screen.exit_code() == 143
    assert (tmp_path / "polite").exists(), "the second signal, which kills, was none"


def test_started_in_the_background_it_waits_to_be_brought_forward(shell, workflow, tmp_path: Path) -> None:
    bash = shell()
    type_line(bash, sys.executable, "-m qtui", workflow(LONG), "&")

    until(lambda: [each.status() for each in psutil.Process(bash.pid).children()] == [psutil.STATUS_STOPPED], "stopped")
    assert not (tmp_path / "begun").exists()
    type_line(bash, "fg")

    bash.wait_for("RUNNING")
    (tmp_path / "go").touch()
    bash.wait_for("finished; q quits")
    bash.press("q")
    bash.wait_for("long: completed")


@pytest.mark.parametrize("arguments", [("--ui", "plain"), ("--ui", "json"), ("-n",)])
def test_what_draws_no_screen_does_not_fork(terminal, workflow, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    toml = '[units.who]\ncall = "who:main"\n'
    module = "import os, pathlib\ndef main():\n    pathlib.Path('pid').write_text(str(os.getpid()))\n"
    screen = terminal(workflow(toml.replace("call", 'mode = "thread"\ncall'), who=module), *arguments)

    assert screen.exit_code() == 0
    if arguments != ("-n",):
        assert int((tmp_path / "pid").read_text()) == screen.pid
