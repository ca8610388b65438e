"""What a workflow does while another run of it goes on: real processes, which are refused, wait, or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from terminal import GENEROUS, Terminal, until

from qtui.store.rundir import RunDirectory, list_runs

HELD = """
[workflow]
name = "held"
concurrency = "{policy}"
[units.held]
run = "echo begun >> trace; until test -e go; do sleep 0.02; done"
"""


class Programs:
    """A workflow in a directory, and the program on it."""

    def __init__(self, directory: Path, called: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        self.directory, self.state, self._called = directory, directory / "state", called
        self._begun: list[subprocess.Popen[str]] = []

    def write(self, policy: str) -> None:
        (self.directory / "flow.toml").write_text(HELD.format(policy=policy))

    def begin(self, *words: str) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-m", "qtui", *(words or ("run", "flow.toml")), *self.how(words)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._begun.append(program)
        return program

    def how(self, words: tuple[str, ...]) -> tuple[str, ...]:
        ui = () if "--detach" in words else ("--ui", "plain")
        return (*ui, "--state-dir", str(self.state))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The program from its begin to its end, in this process."""
        return self._called(*(words or ("run", "flow.toml")), *self.how(words))

    def going(self, number: int) -> None:
        """Wait until so many runs have begun their unit."""
        trace = self.directory / "trace"
        until(lambda: trace.exists() and trace.read_text().count("begun") == number, f"{number} runs go on")

    def let_go(self) -> None:
        (self.directory / "go").touch()

    @property
    def runs(self) -> list[str]:
        return list_runs(self.state)

    def close(self) -> None:
        self.let_go()
        for program in self._begun:
            if program.poll() is None:
                program.kill()
            program.communicate()
        for run in self.runs:  # one that goes on in the background
            holder = RunDirectory.open(self.state, run).holder()
            if holder is not None:
                with suppress(OSError):
                    os.kill(holder.pid, signal.SIGKILL)


@pytest.fixture
def programs(tmp_path: Path, called: Callable[..., subprocess.CompletedProcess[str]]) -> Iterator[Programs]:
    begun = Programs(tmp_path, called)
    yield begun
    begun.close()


def line_of(program: subprocess.Popen[str]) -> str:
    assert program.stderr is not None
    return program.stderr.readline()


def test_a_second_run_is_refused_and_nothing_is_run(programs: Programs) -> None:
    programs.write("refuse")
    first = programs.begin()
    programs.going(1)

    second = programs()

    assert second.returncode == 2
    assert f"run {programs.runs[0]} (process {first.pid} on " in second.stderr
    assert "nothing was run" in second.stderr and "Traceback" not in second.stderr
    assert second.stdout == "" and len(programs.runs) == 1
    programs.let_go()
    assert first.wait(GENEROUS) == 0
    assert programs().returncode == 0


def test_a_run_that_is_killed_is_in_nobodys_way(programs: Programs) -> None:
    programs.write("refuse")
    first = programs.begin()
    programs.going(1)
    first.kill()
    first.wait()
    programs.let_go()

    assert programs().returncode == 0


def test_a_run_that_waits_says_for_whom_and_begins_when_its_turn_comes(programs: Programs) -> None:
    programs.write("queue")
    first = programs.begin()
    programs.going(1)
    second = programs.begin()

    assert f"qtui: waits for run {programs.runs[0]} (process {first.pid} on " in line_of(second)
    assert len(programs.runs) == 1
    programs.let_go()
    assert (first.wait(GENEROUS), second.wait(GENEROUS)) == (0, 0)
    assert len(programs.runs) == 2


def test_ctrl_c_ends_the_waiting_and_nothing_was_run(programs: Programs) -> None:
    programs.write("queue")
    programs.begin()
    programs.going(1)
    second = programs.begin()
    assert "waits" in line_of(second)

    second.send_signal(signal.SIGINT)

    assert second.wait(GENEROUS) == 130
    assert len(programs.runs) == 1
    third = programs.begin()
    assert "waits" in line_of(third)
    programs.let_go()
    assert third.wait(GENEROUS) == 0


def test_a_detached_run_waits_in_front_and_says_for_whom(programs: Programs) -> None:
    programs.write("queue")
    first = programs.begin()
    programs.going(1)
    second = programs.begin("run", "flow.toml", "--detach")

    assert f"qtui: waits for run {programs.runs[0]} (process {first.pid} on " in line_of(second)
    assert len(programs.runs) == 1
    programs.let_go()
    out, err = second.communicate(timeout=GENEROUS)
    assert second.returncode == 0
    assert out.strip() == programs.runs[1]
    assert "goes on in the background" in err


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", -15), ("SIGHUP", -1), ("SIGKILL", -9)])
def test_the_end_of_the_call_ends_the_waiting_of_a_detached_run(programs: Programs, number: str, code: int) -> None:
    programs.write("queue")
    programs.begin()
    programs.going(1)
    second = programs.begin("run", "flow.toml", "--detach")
    assert "waits" in line_of(second)
    (waiter,) = psutil.Process(second.pid).children()

    second.send_signal(signal.Signals[number])

    assert second.wait(GENEROUS) == code
    until(lambda: not waiter.is_running(), "nobody waits any more")
    assert not list((programs.state / "turns").glob("*.wait-*"))
    assert len(programs.runs) == 1


def test_a_waiter_that_is_killed_is_told_by_its_call(programs: Programs) -> None:
    programs.write("queue")
    programs.begin()
    programs.going(1)
    second = programs.begin("run", "flow.toml", "--detach")
    assert "waits" in line_of(second)
    (waiter,) = psutil.Process(second.pid).children()

    waiter.kill()

    assert second.wait(GENEROUS) == 137
    assert len(programs.runs) == 1


def test_runs_that_are_allowed_go_on_side_by_side_and_are_seen_by_one_that_is_not(programs: Programs) -> None:
    programs.write("allow")
    programs.begin()
    programs.begin()
    programs.going(2)
    programs.write("refuse")

    refused = programs()

    assert refused.returncode == 2 and "and its concurrency" in refused.stderr


def test_a_resume_is_refused_too_but_a_look_at_it_is_not(programs: Programs) -> None:
    programs.write("refuse")
    first = programs.begin()
    programs.going(1)
    first.kill()
    first.wait()
    (cut,) = programs.runs
    second = programs.begin()
    programs.going(2)

    refused = programs("resume", cut)
    looked = programs("resume", cut, "--dry-run")

    assert refused.returncode == 2
    assert f"(process {second.pid} on " in refused.stderr
    assert looked.returncode == 0 and "1 unit to run" in looked.stdout
    programs.let_go()
    assert second.wait(GENEROUS) == 0
    assert programs("resume", cut).returncode == 0


def test_a_resumed_run_is_in_the_way_of_a_new_one(programs: Programs) -> None:
    programs.write("refuse")
    first = programs.begin()
    programs.going(1)
    first.kill()
    first.wait()
    resumed = programs.begin("resume")
    programs.going(2)

    refused = programs()

    assert refused.returncode == 2
    assert f"run {programs.runs[0]} (process {resumed.pid} on " in refused.stderr


def test_a_resume_of_a_run_that_goes_on_is_told_so_at_once(programs: Programs) -> None:
    programs.write("queue")
    first = programs.begin()
    programs.going(1)

    refused = programs("resume")

    assert refused.returncode == 2
    assert f"process {first.pid} on " in refused.stderr and "drives it" in refused.stderr


def test_a_dry_run_needs_no_turn(programs: Programs) -> None:
    programs.write("refuse")
    programs.begin()
    programs.going(1)

    assert programs("run", "flow.toml", "--dry-run").returncode == 0


def test_a_unit_that_starts_its_own_workflow_does_not_wait_for_ever(programs: Programs) -> None:
    (programs.directory / "flow.toml").write_text(
        '[workflow]\nconcurrency = "queue"\n[units.again]\n'
        f'argv = ["{sys.executable}", "-m", "qtui", "run", "flow.toml", "--state-dir", "{programs.state}"]\n'
    )
    result = programs()

    assert result.returncode == 1
    assert "both would wait for ever" in result.stdout


def test_on_a_terminal_the_waiting_comes_before_the_screen(
    programs: Programs, terminal: Callable[..., Terminal]
) -> None:
    programs.write("queue")
    programs.begin()
    programs.going(1)
    screen = terminal("run", "flow.toml", "--state-dir", programs.state)
    screen.wait_for("waits for run")
    assert b"\x1b[?1049h" not in screen.raw

    screen.press("\x03")

    assert screen.exit_code() == 130
    assert len(programs.runs) == 1


def test_a_screen_is_drawn_once_the_turn_has_come(programs: Programs, terminal: Callable[..., Terminal]) -> None:
    programs.write("queue")
    programs.begin()
    programs.going(1)
    screen = terminal("run", "flow.toml", "--state-dir", programs.state)
    screen.wait_for("waits for run")
    programs.let_go()
    screen.wait_for(lambda _: b"\x1b[?1049h" in screen.raw, "the dashboard")
