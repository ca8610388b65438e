"""What a process finds when it begins: streams that are closed, full, or read by nobody, no home, and ctrl+c."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import GENEROUS, until

CLOSED = "from os import close, execv; [close(number) for number in {}]; execv({!r}, [{!r}, '-m', 'qtui', *{}])"

CAPACITY = 1 << 16
"""Bytes that a pipe holds, see pipe(7)."""

Written = Callable[..., subprocess.CompletedProcess[str]]


READERS = """
import subprocess, sys

def asks():
    try:
        input("name? ")
    except EOFError as error:
        print("nobody to ask:", error)

def copies():
    assert subprocess.run(["cat"], capture_output=True).stdout == b""

async def reads():
    assert sys.stdin.read() == "" and not sys.stdin.isatty()
"""

READING = """
[units.asks]
call = "readers:asks"
[units.copies]
call = "readers:copies"
[units.reads]
call = "readers:reads"
"""


@contextmanager
def full() -> Iterator[int]:
    """A file that takes nothing, as on a disk that is full."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, descriptor = os.pipe()
    os.close(reader)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Run ``qtui`` to its end, with pipes where nothing else is given."""

    def run(*arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE) -> object:
        command = [sys.executable, "-m", "qtui", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, timeout=GENEROUS
        )

    return run


@pytest.mark.parametrize("closed", [(0, 1, 2), (1,)])
def test_closed_standard_streams_break_nothing(workflow, tmp_path: Path, closed: tuple[int, ...]) -> None:
    path = workflow('[units.a]\nrun = "echo out; echo err >&2; echo done > ran"\n')
    code = CLOSED.format(closed, sys.executable, sys.executable, ["run", str(path)])

    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, timeout=GENEROUS)

    assert ended.returncode == 0
    assert (tmp_path / "ran").read_text() == "done\n"


@pytest.mark.parametrize("arguments", [["--help"], ["graph", "flow.toml"], ["schema"]])
def test_what_cannot_be_written_is_no_success(written: Written, workflow, arguments: list[str]) -> None:
    workflow('[units.a]\nrun = "true"\n')

    with full() as descriptor:
        ended = written(*arguments, stdout=descriptor)

    assert ended.returncode == 3
    assert re.fullmatch("qtui: (standard output cannot be written: )?No space left on device\n", ended.stderr)


def test_the_id_of_a_run_in_the_background_is_told_where_it_can_be(written: Written, called, workflow) -> None:
    workflow('[units.a]\nrun = "true"\n')

    with full() as descriptor:
        ended = written("run", "flow.toml", "--detach", stdout=descriptor)

    assert ended.returncode == 3
    assert re.match(r"qtui: the run goes on in the background; qtui attach \S+ shows it\n", ended.stderr)
    assert called("status", "--wait").returncode == 0


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["status"], 0), (["cancel", "2"], 1)])
def test_a_reader_who_has_gone_is_no_fault(written: Written, called, workflow, arguments: list[str], code: int) -> None:
    called("run", workflow('[units.a]\nrun = "true"\n'))

    with unread() as descriptor:
        ended = written(*arguments, stdout=descriptor)

    assert (ended.returncode, ended.stderr) == (code, "")


@pytest.mark.parametrize("nowhere", [full, unread])
def test_a_resume_whose_words_nobody_hears_goes_on(written: Written, called, workflow, tmp_path, nowhere) -> None:
    called("run", workflow('[units.a]\nrun = "test -e there && touch ran"\n'))
    (tmp_path / "there").touch()

    with nowhere() as descriptor:
        ended = written("resume", stderr=descriptor)

    assert ended.returncode == 0
    assert (tmp_path / "ran").exists()


def test_a_pipe_that_takes_nothing_for_the_moment_is_waited_for(written: Written) -> None:
    whole = written("schema").stdout
    reader, descriptor = os.pipe()
    os.set_blocking(descriptor, False)  # as processes leave it that share it, node among them
    with subprocess.Popen([sys.executable, "-m", "qtui", "schema"], stdout=descriptor) as process:
        os.close(descriptor)
        until(lambda: waiting_in(reader) == CAPACITY, "the pipe is full")
        with open(reader) as pipe:  # noqa: PTH123
            assert pipe.read() == whole
    assert len(whole) > CAPACITY
    assert process.returncode == 0


def waiting_in(pipe: int) -> int:
    """How many bytes nobody has read yet."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


HOMELESS = """
import os, pwd, sys
def unknown(number): raise KeyError(number)
pwd.getpwuid, sys.argv = unknown, ["qtui", "doctor"]
from qtui.cli.main import entry
entry()
"""


def test_who_has_no_home_is_told_where_runs_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)

    ended = subprocess.run([sys.executable, "-c", HOMELESS], capture_output=True, text=True, timeout=GENEROUS)

    assert "Traceback" not in ended.stderr
    assert "/.local/state/qtui" in ended.stdout


SLOW_IMPORT = """
import pathlib, time
pathlib.Path("importing").touch()
time.sleep(600)
"""


def test_ctrl_c_while_qtui_imports_itself_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text(SLOW_IMPORT)
    command, environment = [sys.executable, "-m", "qtui", "--help"], {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        until((tmp_path / "importing").exists, "it imports")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=GENEROUS)[1] == b""
    assert process.returncode == -signal.SIGINT


def test_a_complaint_that_nobody_hears_leaves_the_exit_code(written: Written) -> None:
    with unread() as descriptor:
        assert written("check", "nosuch.toml", stderr=descriptor).returncode == 2


# -- functions that read standard input --------------------------------------------------------------------


def test_keys_are_for_the_screen_and_functions_read_nothing(terminal, workflow) -> None:
    screen = terminal(workflow(f'{READING}[units.slow]\nrun = "sleep 60"\n', readers=READERS))
    modes = screen.modes_before
    screen.wait_for("3/4")
    screen.press("g", "\r")
    screen.wait_for("nobody to ask: EOF when reading a line")
    for _ in range(5):
        screen.press("?")
        screen.wait_for("esc closes")
        screen.press("\x1b")
        screen.wait_for(lambda shown: "esc closes" not in shown, "the help has closed")

    screen.signal(signal.SIGTERM)

    assert screen.exit_code() == 143
    assert screen.modes == modes


def test_in_plain_output_what_is_typed_answers_questions_and_functions_read_nothing(
    terminal, workflow, tmp_path: Path
) -> None:
    asking = '[units.publish]\nrun = "touch published"\nconfirm = "Publish now?"\nneeds = ["asks", "copies", "reads"]\n'
    screen = terminal(workflow(READING + asking, readers=READERS), "--ui", "plain")
    screen.wait_for("Answer y or n")
    screen.press("y\r")

    assert screen.exit_code() == 0
    assert (tmp_path / "published").exists()
    assert b"nobody to ask: EOF when reading a line" in screen.raw
