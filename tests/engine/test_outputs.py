"""Files that units promise to make, on every lane: there after a success, set aside after anything else."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import UnitFinished
from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, RetryPolicy, Shell, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine

LANES = [
    ExecutionMode.THREAD,
    ExecutionMode.SEQUENTIAL,
    ExecutionMode.ASYNC,
    ExecutionMode.PROCESS,
    ExecutionMode.COMMAND,
]


def unit(mode: ExecutionMode, function: Any, cwd: Path, **keys: Any) -> QuantumUnit:
    """A unit of a lane that calls `function` with its directory as a text."""
    keys = {"id": "unit", "cwd": str(cwd), **keys}
    if mode is ExecutionMode.COMMAND:
        text = f"import os\n{textwrap.dedent(inspect.getsource(function))}\n{function.__name__}({str(cwd)!r})"
        return QuantumUnit(action=Argv((sys.executable, "-I", "-c", text)), **keys)

    async def in_loop():
        await asyncio.sleep(0)
        return function(str(cwd))

    called = in_loop if mode is ExecutionMode.ASYNC else lambda: function(str(cwd))
    return QuantumUnit(action=Call(called, wants_context=False), mode=mode, **keys)


def end(engine: Engine) -> UnitFinished:
    assert engine.wait(GENEROUS) is not None
    finished = engine.view().unit(0).finished
    assert finished is not None
    return finished


def shell(text: str, cwd: Path, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id="unit", action=Shell((text,)), cwd=str(cwd), **keys)


def tree(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the unit works."""
    directory = tmp_path / "place"
    directory.mkdir()
    return directory


def make(directory: str) -> None:
    with open(f"{directory}/made", "w") as file:  # noqa: PTH123
        file.write("whole")


def make_half(directory: str) -> None:
    with open(f"{directory}/made", "w") as file:  # noqa: PTH123
        file.write("half")
    raise SystemExit(3)


@pytest.mark.parametrize("mode", LANES)
def test_what_was_promised_and_made_is_a_success(start: Start, place: Path, mode: ExecutionMode) -> None:
    assert end(start(unit(mode, make, place, outputs=("made",)))).state is UnitState.COMPLETED
    assert tree(place) == {"made": "whole"}


@pytest.mark.parametrize("mode", LANES)
def test_what_was_promised_and_not_made_is_a_failure(start: Start, place: Path, mode: ExecutionMode) -> None:
    engine = start(unit(mode, make, place, outputs=("made", "out/x")))

    finished = end(engine)
    assert finished.state is UnitState.FAILED
    assert finished.error is not None
    assert (finished.error.type, finished.error.message) == ("MissingOutput", "did not make out/x")
    assert tree(place) == {"made.partial": "whole"}
    assert engine.results[0] is None


@pytest.mark.parametrize("mode", LANES)
def test_what_a_failed_attempt_made_is_set_aside(start: Start, place: Path, mode: ExecutionMode) -> None:
    assert end(start(unit(mode, make_half, place, outputs=("made",)))).state is UnitState.FAILED
    assert tree(place) == {"made.partial": "half"}


def test_what_a_canceled_attempt_made_is_set_aside(start: Start, place: Path) -> None:
    engine = start(shell("echo half > made; sleep 300", place, outputs=("made",), grace=0.1))
    until((place / "made").exists, "it has begun to write")

    engine.post(CancelRequested((0,)))

    assert end(engine).state is UnitState.CANCELED
    assert tree(place) == {"made.partial": "half\n"}


def test_what_an_abandoned_attempt_makes_late_is_set_aside_then(start: Start, place: Path) -> None:
    release = threading.Event()

    def late() -> None:
        release.wait(GENEROUS)
        (place / "made").write_text("late")

    engine = start(QuantumUnit(id="late", action=Call.of(late), cwd=str(place), outputs=("made",), grace=0.05))
    until(lambda: engine.view().unit(0).state is UnitState.RUNNING, "it runs")
    engine.post(CancelRequested((0,)))
    assert end(engine).abandoned

    release.set()

    until((place / "made.partial").exists, "it is set aside")


def test_the_next_attempt_begins_without_what_the_last_one_left(start: Start, place: Path) -> None:
    text = 'test ! -e made || exit 9; echo "$QTUI_ATTEMPT" > made; test "$QTUI_ATTEMPT" = 3'
    engine = start(shell(text, place, outputs=("made",), retry=RetryPolicy(max=2, delay=0)))

    assert end(engine).state is UnitState.COMPLETED
    assert tree(place) == {"made": "3\n", "made.partial": "2\n"}


def test_what_was_there_and_was_not_touched_stays(start: Start, place: Path) -> None:
    (place / "old").write_text("of yesterday")
    (place / "folder").mkdir()
    (place / "folder" / "inside").write_text("of yesterday")
    before = tree(place)

    assert end(start(shell("exit 1", place, outputs=("old", "folder/", "never")))).state is UnitState.FAILED

    assert tree(place) == before


@pytest.mark.parametrize("text", ["echo more >> old", "echo > new; mv new old", "rm old; mkdir old; echo > old/x"])
def test_what_was_there_and_was_changed_is_set_aside(start: Start, place: Path, text: str) -> None:
    (place / "old").write_text("of yesterday\n")
    os.utime(place / "old", (1, 1))

    assert end(start(shell(f"{text}; exit 1", place, outputs=("old",)))).state is UnitState.FAILED

    assert not (place / "old").exists()
    assert (place / "old.partial").exists()


def test_a_directory_is_set_aside_whole_if_anything_in_it_was_changed(start: Start, place: Path) -> None:
    (place / "folder" / "deep").mkdir(parents=True)
    (place / "folder" / "deep" / "old").write_text("of yesterday\n")
    text = "sleep 0.05; echo more >> folder/deep/old; exit 1"

    assert end(start(shell(text, place, outputs=("folder/",)))).state is UnitState.FAILED

    assert tree(place) == {"folder.partial/deep/old": "of yesterday\nmore\n"}


def test_what_is_set_aside_takes_the_place_of_what_was_before(start: Start, place: Path) -> None:
    text = 'mkdir folder; echo "$QTUI_ATTEMPT" > folder/x; echo "$QTUI_ATTEMPT" > file; exit 1'
    (place / "file.partial").mkdir()
    engine = start(shell(text, place, outputs=("folder", "file"), retry=RetryPolicy(max=1, delay=0)))

    assert end(engine).state is UnitState.FAILED
    assert tree(place) == {"folder.partial/x": "2\n", "file.partial": "2\n"}


def test_a_link_is_set_aside_and_not_what_it_leads_to(start: Start, place: Path) -> None:
    (place / "target").write_text("precious")
    (place / "link.partial").symlink_to(place / "target")

    assert end(start(shell("ln -s target link; exit 1", place, outputs=("link",)))).state is UnitState.FAILED

    assert (place / "target").read_text() == "precious"
    assert (place / "link.partial").is_symlink()
    assert not (place / "link").is_symlink()


def test_a_link_that_leads_nowhere_is_no_output(start: Start, place: Path) -> None:
    finished = end(start(shell("ln -s nowhere link", place, outputs=("link",))))

    assert finished.error is not None and finished.error.message == "did not make link"


def test_outputs_may_be_patterns(start: Start, place: Path) -> None:
    (place / "b.txt.partial").write_text("of yesterday")
    failed = start(shell("echo half > a.txt; exit 1", place, outputs=("*.txt", "*.txt*")))
    assert end(failed).state is UnitState.FAILED
    assert tree(place) == {"a.txt.partial": "half\n", "b.txt.partial": "of yesterday"}

    finished = end(start(shell("true", place, outputs=("*.txt", "a[1].md"))))
    assert finished.error is not None and finished.error.message == "did not make *.txt and a[1].md"

    assert end(start(shell("touch 'a[1].md'", place, outputs=("a[1].md",)))).state is UnitState.COMPLETED


def test_what_cannot_be_renamed_is_told(start: Start, place: Path) -> None:
    name = "x" * 250  # with .partial it is longer than a name can be
    engine = start(shell(f"echo half > {name}; exit 1", place, outputs=(name,)))

    assert end(engine).state is UnitState.FAILED
    until(lambda: _warnings(engine), "it is told")
    assert "unfinished, and it cannot be renamed: File name too long" in _warnings(engine)[0]


def _warnings(engine: Engine) -> list[str]:
    return [record.event.message for record in engine.feed().take(0) if hasattr(record.event, "message")]
