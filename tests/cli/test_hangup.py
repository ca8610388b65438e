"""The terminal vanishes while a run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from terminal import GENEROUS, Terminal, engine_of, holds_a_terminal, until

LONG = """
[workflow]
name = "long"
grace = 2
{settings}
[units.waits]
run = "touch begun; while ! test -e go; do sleep 0.05; done; echo went"
[units.writes]
needs = ["waits"]
run = "echo written > done"
"""
CONTINUES = LONG.format(settings="")
CANCELS = LONG.format(settings='on_hangup = "cancel"')


def shown(terminal: Terminal, tmp_path: Path) -> psutil.Process:
    """The process that runs the engine, once the screen shows the unit that waits."""
    until((tmp_path / "begun").exists, "the unit runs")
    terminal.wait_for("waits")
    return engine_of(terminal)


def test_the_run_goes_on_headless_and_the_process_ends_with_it(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CONTINUES))
    engine = shown(screen, tmp_path)

    screen.hang_up()

    until(lambda: not holds_a_terminal(engine), "it lets go of the terminal")
    assert os.getsid(engine.pid) == engine.pid, "nothing that ends the old session reaches it"
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run completes")
    until(lambda: not engine.is_running(), "the process ends")
    (log,) = tmp_path.glob("state/qtui/runs/*/detached.log")
    assert "long: completed" in log.read_text()


def test_a_headless_run_needs_hardly_any_processor(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CONTINUES))
    engine = shown(screen, tmp_path)
    screen.hang_up()
    until(lambda: not holds_a_terminal(engine), "it lets go of the terminal")

    # the first seconds may still have the end of the screen in them; a program that reads a dead terminal never rests
    until(lambda: used_cores(engine, 1) < 0.05, "it rests")
    (tmp_path / "go").touch()
    until(lambda: not engine.is_running(), "the process ends")


def used_cores(process: psutil.Process, seconds: float) -> float:
    before, begin = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - begin)


def test_on_hangup_cancel_stops_the_run(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CANCELS))
    engine = shown(screen, tmp_path)

    screen.hang_up()

    until(lambda: not engine.is_running(), "the run is interrupted")
    assert not (tmp_path / "done").exists()
    (log,) = tmp_path.glob("state/qtui/runs/*/detached.log")
    assert "long: interrupted" in log.read_text()


def test_on_hangup_cancel_in_a_terminal_that_is_still_there(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CANCELS))
    modes = screen.modes_before
    shown(screen, tmp_path)

    screen.signal(signal.SIGHUP)

    assert screen.exit_code() == 129
    assert screen.modes == modes
    assert bytes(screen.raw).rfind(b"\x1b[?1049l") > bytes(screen.raw).rfind(b"\x1b[?1049h")


def test_hup_alone_gives_the_terminal_back_and_the_run_goes_on(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CONTINUES))
    modes = screen.modes_before
    engine = shown(screen, tmp_path)

    screen.signal(signal.SIGHUP)

    assert screen.exit_code() == 129
    assert screen.modes == modes
    assert b"the run goes on without a screen; qtui attach" in screen.raw
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run completes")
    until(lambda: not engine.is_running(), "the process ends")


def test_a_headless_run_is_interrupted_by_term(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CONTINUES))
    engine = shown(screen, tmp_path)
    screen.hang_up()
    until(lambda: not holds_a_terminal(engine), "it lets go of the terminal")

    engine.terminate()

    until(lambda: not engine.is_running(), "the process ends")
    (log,) = tmp_path.glob("state/qtui/runs/*/detached.log")
    assert "long: interrupted" in log.read_text()


def test_a_stopped_screen_whose_terminal_vanishes_leaves_the_run_going(terminal, workflow, tmp_path: Path) -> None:
    bash = terminal(program=("bash", "--norc", "--noprofile", "-i"))
    bash.press(f"{sys.executable} -m qtui {workflow(CONTINUES)}\r")
    until((tmp_path / "begun").exists, "the unit runs")
    bash.wait_for("RUNNING")
    (front,) = psutil.Process(bash.pid).children()
    (engine,) = front.children()
    bash.press("\x1a")
    bash.wait_for("Stopped")

    bash.hang_up()

    until(lambda: not holds_a_terminal(engine), "it lets go of the terminal")
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists, "the run completes")
    until(lambda: not engine.is_running(), "the process ends")


@pytest.mark.parametrize(("ui", "settings", "ends"), [("plain", "", 0), ("json", "", 0), ("plain", "cancel", 129)])
def test_without_a_screen_a_hangup_takes_the_terminal_but_not_the_files(
    workflow, tmp_path: Path, ui: str, settings: str, ends: int
) -> None:
    path = workflow(CANCELS if settings else CONTINUES)
    master, slave = os.openpty()
    with (tmp_path / "out").open("wb") as out:
        program = subprocess.Popen(
            [sys.executable, "-m", "qtui", "--ui", ui, str(path)],
            cwd=tmp_path,
            stdin=slave,
            stdout=out,
            stderr=slave,
            start_new_session=True,
        )
    os.close(slave)
    until((tmp_path / "begun").exists, "the unit runs")

    os.close(master)
    for _ in range(3):  # shell and kernel each send one, some twice
        program.send_signal(signal.SIGHUP)

    until(lambda: program.poll() is not None or not holds_a_terminal(psutil.Process(program.pid)), "it lets go")
    (tmp_path / "go").touch()
    assert program.wait(GENEROUS) == ends
    assert (tmp_path / "done").exists() == (ends == 0)
    lines = (tmp_path / "out").read_text().splitlines()
    if ui == "json":
        assert json.loads(lines[-1])["state"] == "completed"
    else:
        assert any(("long: completed" if ends == 0 else "long: interrupted") in line for line in lines)


@pytest.mark.parametrize("ui", ["tui", "plain"])
def test_quit_tells_what_everything_is_doing(terminal, workflow, tmp_path: Path, ui: str) -> None:
    screen = terminal(workflow(CONTINUES), "--ui", ui)
    until((tmp_path / "begun").exists, "the unit runs")
    screen.wait_for("waits")

    screen.signal(signal.SIGQUIT)

    screen.wait_for("threads and state are in")
    (dump,) = tmp_path.glob("state/qtui/runs/*/quit.txt")
    text = dump.read_text()
    assert "most recent call first" in text, "the stacks"
    assert "'waits' running, attempt 1, pid " in text
    assert "qtui-signals" in text, "the names of threads"
    assert dump.stat().st_mode & 0o777 == 0o600
    (tmp_path / "go").touch()
    screen.wait_for("long  OK" if ui == "tui" else "long: completed")
    screen.press("q")
    assert screen.exit_code() == 0


def test_a_run_that_nobody_asked_leaves_no_empty_dump(terminal, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow('[units.a]\nrun = "true"\n'))
    screen.wait_for("finished; q quits")
    screen.press("q")

    assert screen.exit_code() == 0
    assert not list(tmp_path.glob("state/qtui/runs/*/quit.txt"))


def test_the_record_of_a_run_that_lost_its_terminal_is_whole(terminal, qtui, workflow, tmp_path: Path) -> None:
    screen = terminal(workflow(CONTINUES))
    engine = shown(screen, tmp_path)
    screen.hang_up()
    until(lambda: not holds_a_terminal(engine), "it lets go of the terminal")
    (tmp_path / "go").touch()

    status = qtui("status", "--json", "--wait")

    assert status.returncode == 0, status.stderr
    told = json.loads(status.stdout)
    assert told["state"] == "completed"
    assert {unit["id"]: unit["state"] for unit in told["units"]} == {"waits": "completed", "writes": "completed"}


def test_a_terminal_that_vanishes_after_the_screen_was_left_takes_nothing_else_with_it(tmp_path: Path) -> None:
    script = """
import os, tempfile
from qtui.cli.screen import cleared_terminal
with tempfile.TemporaryFile() as stray, cleared_terminal(stray) as held:
    pass
others = [os.open(f"other{number}", os.O_CREAT | os.O_RDWR) for number in range(8)]  # the numbers that came free
held.drop("rest")
print("said")
assert [os.readlink(f"/proc/self/fd/{each}")[-6:] for each in others] == [f"other{number}" for number in range(8)]
assert os.readlink("/proc/self/fd/0") == os.devnull
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "rest").read_text() == "said\n"
