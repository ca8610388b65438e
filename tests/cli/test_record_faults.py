"""Runs whose record gets into trouble: full disks, places that cannot be written, files that go away, and secrets."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from terminal import GENEROUS, until

from qtui.core.events import JournalChanged, UnitFinished
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory, list_runs

ROOT = os.geteuid() == 0
Qtui = Callable[..., subprocess.CompletedProcess[str]]


class Program:
    """``qtui run`` in the background, writing to a file."""

    def __init__(self, directory: Path, state: Path, *words: str, shell: str = "", **env: str) -> None:
        self.state, self.output = state, directory / "output"
        command = [sys.executable, "-m", "qtui", "run", *words, "--ui", "plain", "--state-dir", str(state)]
        if shell:
            command = ["sh", "-c", f'{shell}; exec "$@"', "sh", *command]
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def record(self) -> RunDirectory:
        return RunDirectory.open(self.state, list_runs(self.state)[-1])

    def events(self) -> list[object]:
        with closing(JournalReader(self.record.journal)) as reader:
            assert reader.problems() == []
            return list(reader.after(0))

    def states(self) -> dict[str, str]:
        with closing(JournalReader(self.record.journal)) as reader:
            return {unit.id: str(unit.state) for unit in reader.view().units}

    def unsaved(self) -> bool:
        return "the record is not written any more" in self.said

    def end(self) -> int:
        return self.process.wait(GENEROUS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def begin(flow: str, *words: str, state: Path | None = None, shell: str = "", **env: str) -> Program:
        (tmp_path / "flow.toml").write_text(flow)
        programs.append(Program(tmp_path, state or tmp_path / "state", "flow.toml", *words, shell=shell, **env))
        return programs[-1]

    yield begin
    for program in programs:
        program.close()


Begin = Callable[..., Program]

STEPS = """
[workflow]
workers = 3
[units.first]
run = "touch first; while ! test -e go; do sleep 0.02; done"
[units.chatter]
run = "touch chatter; while ! test -e hush; do sleep 0.02; done"
[units.spark]
run = "touch spark; while ! test -e flash; do sleep 0.02; done"
[units.last]
needs = ["first"]
run = "touch last"
"""
"""Three units that end when they may, and a last one."""


def under_way(program: Program, directory: Path) -> None:
    """The three units run, and the journal has that."""
    until(lambda: all((directory / name).exists() for name in ("first", "chatter", "spark")), "three units run")
    until(lambda: list(program.states().values()).count("running") == 3, "the journal has that")


def let(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).touch()


def in_trouble(program: Program, directory: Path) -> None:
    """The journal cannot be written: one unit ends, for the run to notice that, and then `first` does."""
    let(directory, "flash")
    until(program.unsaved, "it is told")
    let(directory, "go")
    until(lambda: "ok    first" in program.said, "what runs ends")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    if not ROOT:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


# -- a disk that is full ---------------------------------------------------------------------------------


def test_a_disk_that_fills_up_stops_new_starts_until_there_is_room(
    begin: Begin, tmp_path: Path, small_disk: Path
) -> None:
    program = begin(STEPS, state=small_disk / "state")
    under_way(program, tmp_path)
    ballast = fill(small_disk)
    in_trouble(program, tmp_path)
    assert not (tmp_path / "last").exists()
    assert "the disk is full" in program.said or "the disk reports an error" in program.said
    ballast.unlink()
    until((tmp_path / "last").exists, "it goes on when there is room")
    let(tmp_path, "hush")

    assert program.end() == 0, program.said
    assert "Traceback" not in program.said
    assert set(program.states().values()) == {"completed"}
    events = program.events()
    causes = [event.cause for event in events if isinstance(event, JournalChanged)]
    assert len(causes) >= 2 and causes[-1] == ""
    ends = [event.unit for event in events if isinstance(event, UnitFinished)]
    assert sorted(ends) == [0, 1, 2, 3], "nothing is lost or written twice"


def test_a_run_whose_end_cannot_be_written_exits_with_an_error_and_can_be_resumed(
    begin: Begin, tmp_path: Path, small_disk: Path, called: Qtui
) -> None:
    program = begin(STEPS.replace('needs = ["first"]', ""), state=small_disk / "state")
    until(lambda: all((tmp_path / name).exists() for name in ("first", "chatter", "spark")), "three units run")
    let(tmp_path, "hush", "flash")
    until(lambda: list(program.states().values()).count("completed") == 3, "the journal has that only one is left")
    ballast = fill(small_disk)
    let(tmp_path, "go")

    assert program.end() == 3
    assert "the record of the run is not complete" in program.said
    assert "Traceback" not in program.said
    ballast.unlink()
    result = called("resume", "--ui", "plain", "--state-dir", program.state)
    assert result.returncode == 0, result.stderr
    assert "1 unit to run, 3 kept" in result.stderr


def test_a_full_disk_at_the_begin_is_told_and_nothing_runs(begin: Begin, tmp_path: Path, small_disk: Path) -> None:
    (small_disk / "state").mkdir(mode=0o700)
    fill(small_disk)
    program = begin(STEPS, state=small_disk / "state")

    assert program.end() in (2, 3)
    assert "Traceback" not in program.said
    assert re.search(r"No space left|the disk is full|the disk reports an error", program.said), program.said
    assert not (tmp_path / "first").exists()


TALK = """
[units.talk]
run = '''echo begun; touch first; while ! test -e full; do sleep 0.02; done
seq 100000; touch said; while ! test -e free; do sleep 0.02; done; echo "there is room"'''
"""


def test_a_log_says_where_output_was_lost_to_a_full_disk(
    begin: Begin, tmp_path: Path, small_disk: Path, called: Qtui
) -> None:
    program = begin(TALK, state=small_disk / "state")
    until((tmp_path / "first").exists, "it runs")
    ballast = fill(small_disk)
    let(tmp_path, "full")
    until((tmp_path / "said").exists, "it has written what is lost")
    ballast.unlink()
    let(tmp_path, "free")

    assert program.end() == 0, program.said
    assert "talk: some of its output is lost: No space left on device" in program.said
    shown = called("logs", "--state-dir", program.state, program.record.run, "talk").stdout
    before, line, after = shown.partition("\n[qtui: output was lost here: No space left on device]\n")
    written = "\n".join(["begun", *map(str, range(1, 100_001)), "there is room\n"])
    assert line and written.startswith(before) and written.endswith(after)
    assert after.endswith("there is room\n") and len(before + after) < len(written)


def test_a_limit_on_the_size_of_files_stops_new_starts_until_it_is_lifted(begin: Begin, tmp_path: Path) -> None:
    program = begin(STEPS)
    under_way(program, tmp_path)
    _, most = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (4096, most))
    in_trouble(program, tmp_path)
    assert not (tmp_path / "last").exists()
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (most, most))
    until((tmp_path / "last").exists, "it goes on")
    let(tmp_path, "hush")

    assert program.end() == 0, program.said
    assert "Traceback" not in program.said
    assert set(program.states().values()) == {"completed"}


# -- places that cannot be written -------------------------------------------------------------------------


def test_a_state_directory_that_is_a_file_is_told(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("mine")
    program = begin(STEPS)

    assert program.end() == 2
    assert str(tmp_path / "state") in program.said and "Traceback" not in program.said
    assert (tmp_path / "state").read_text() == "mine" and not (tmp_path / "first").exists()


@pytest.fixture
def read_only(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory in which nobody can make anything; for root only a disk is like that."""
    if not ROOT:
        place = tmp_path / "place"
        place.mkdir(mode=0o555)
        yield place
        place.chmod(0o755)
        return
    disk: Path = request.getfixturevalue("small_disk")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    yield disk


def test_a_state_directory_that_may_only_be_read_is_told(begin: Begin, tmp_path: Path, read_only: Path) -> None:
    program = begin(STEPS, state=read_only / "state")

    assert program.end() == 2
    assert re.search("Permission denied|Read-only file system", program.said), program.said
    assert str(read_only / "state") in program.said and "--state-dir" in program.said
    assert "Traceback" not in program.said and not (tmp_path / "first").exists()


# -- files that go away ------------------------------------------------------------------------------------


def test_a_journal_that_is_deleted_while_its_run_goes_on_is_written_again(begin: Begin, tmp_path: Path) -> None:
    program = begin(STEPS)
    under_way(program, tmp_path)
    path = program.record.journal
    for file in path.parent.glob("journal.db*"):
        file.unlink()
    in_trouble(program, tmp_path)
    until((tmp_path / "last").exists, "it goes on")
    let(tmp_path, "hush")

    assert program.end() == 0, program.said
    assert program.unsaved() and "somebody has removed the file" in program.said
    assert "Traceback" not in program.said
    assert set(program.states().values()) == {"completed"}
    ends = [event.unit for event in program.events() if isinstance(event, UnitFinished)]
    assert sorted(ends) == [0, 1, 2, 3], "what was in the deleted file is in the new one"


def test_a_directory_that_is_deleted_under_its_run_is_told_and_no_unit_is_harmed(begin: Begin, tmp_path: Path) -> None:
    program = begin(STEPS)
    under_way(program, tmp_path)
    aside = program.record.path.rename(tmp_path / "aside")  # at once: a run that writes refills what is being emptied
    shutil.rmtree(aside)
    in_trouble(program, tmp_path)
    program.process.send_signal(signal.SIGTERM)

    assert program.end() == 143
    assert "the record of the run is not complete" in program.said
    assert "Traceback" not in program.said


# -- secrets -----------------------------------------------------------------------------------------------

SECRET = "hunter2-Zq8!x"
SECRETS = """
[secrets]
names = ["TOKEN", "OTHER"]
[params.key]
required = true
[units.shell]
run = "echo ${{ params.key }} $TOKEN"
env = { TOKEN = "hunter2-Zq8!x" }
[units.argv]
run = ["echo", "${{ params.key }}"]
idempotent = false
[units.fails]
run = "echo $OTHER >&2; exit 3"
description = "with hunter2-Zq8!x in it"
allow_failure = true
[units.told]
call = "steps:told"
args = { key = "${{ params.key }}" }
"""


STEPS_THAT_TELL = """
def told(context, key):
    context.record_metric("key", key)
    context.progress(1, 2, key)
    print(key)
    raise RuntimeError(key)
"""


def test_nothing_of_a_secret_is_in_the_record(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(STEPS_THAT_TELL)
    program = begin(SECRETS, "-p", f"key={SECRET}", "-e", f"OTHER={SECRET}", "--keep-going", TOKEN=SECRET)

    assert program.end() == 1, program.said
    files = [path for path in program.state.rglob("*") if path.is_file()]
    assert {"journal.db", "history.db"} <= {path.name for path in files}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in program.said
    logs = b"".join(path.read_bytes() for path in program.record.logs.iterdir())
    assert logs.count(b"***") >= 4, "it was there, and is masked"
    with closing(JournalReader(program.record.journal)) as reader:
        words = reader.head.origin["words"]
        assert f"OTHER={SECRET}" not in words and any("***" in word for word in words)


def test_a_run_with_a_secret_on_its_command_line_tells_why_it_cannot_be_resumed(
    begin: Begin, tmp_path: Path, called: Qtui
) -> None:
    (tmp_path / "steps.py").write_text(STEPS_THAT_TELL)
    program = begin(SECRETS, "-p", f"key={SECRET}", "-e", f"OTHER={SECRET}", TOKEN=SECRET)
    program.end()

    result = called("resume", "--state-dir", program.state)

    assert result.returncode == 2
    assert "secret on its command line" in result.stderr
