"""Processes of coroutine units end with the coroutine."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until

from qtui import aio
from qtui.core.model import Call, QuantumUnit, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine


def unit(id: str, function: Any, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function), **keys)


def state(engine: Engine) -> UnitState:
    return engine.view().unit(0).state


def noted(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip(), "it runs")
    return int(path.read_text())


def test_a_program_gives_its_output_and_writes_it_to_the_log(start: Start) -> None:
    async def run(context: Any) -> aio.Completed:
        return await aio.shell("echo out $QTUI_UNIT $OWN; echo err >&2", env={"OWN": "own"})

    engine = start(unit("run", run))

    assert engine.wait(GENEROUS) is not None
    assert engine.results[0] == (0, b"out run own\n", b"err\n")
    assert sorted(engine.logs.read(0, 1, 0, 1000).data.splitlines()) == [b"err", b"out run own"]


async def test_a_program_that_fails_raises_with_its_output() -> None:
    with pytest.raises(aio.CommandFailed) as failed:
        await aio.shell("echo why >&2; exit 3")

    assert (failed.value.returncode, failed.value.stderr) == (3, b"why\n")
    assert str(failed.value).endswith("returned non-zero exit status 3. why")
    assert (await aio.shell("exit 3", check=False)).returncode == 3
    with pytest.raises(FileNotFoundError):
        await aio.program("no-such-program")


async def test_only_the_end_of_much_output_is_kept() -> None:
    completed = await aio.shell("yes | head -c 20000000; echo end")

    assert len(completed.stdout) == aio.OUTPUT_KEPT
    assert completed.stdout.endswith(b"y\nend\n")


@pytest.mark.parametrize("text", ["sleep 300", "trap '' TERM; sleep 300 & wait; sleep 300"])
def test_a_cancel_ends_the_program_and_its_children(start: Start, tmp_path: Path, text: str) -> None:
    async def run() -> None:
        await aio.shell(
            f"sleep 300 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; {text}", grace=0.2
        )

    engine = start(unit("run", run))
    pid = noted(tmp_path / "pid")
    engine.post(CancelRequested((0,)))

    assert engine.wait(GENEROUS) is not None
    assert state(engine) is UnitState.CANCELED
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_cancel_while_the_program_is_being_started_ends_its_children_too(tmp_path: Path) -> None:
    task = asyncio.create_task(
        aio.shell(f"sleep 300 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait")
    )
    while not psutil.Process().children():
        await asyncio.sleep(0)
    pid = noted(tmp_path / "pid")  # the loop has no turn meanwhile, so it has not connected the pipes
    task.cancel()

    await asyncio.wait({task}, timeout=GENEROUS)
    assert task.cancelled()
    deadline = time.monotonic() + GENEROUS  # it was killed, but has to get a core once more to end
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it goes on"
        await asyncio.sleep(0.01)


def test_a_function_runs_in_a_process_of_its_own(start: Start) -> None:
    async def run() -> Any:
        return await asyncio.gather(aio.to_process(os.getpid), aio.to_process(lambda n: n * 2, 21))

    engine = start(unit("run", run))

    assert engine.wait(GENEROUS) is not None
    pid, double = engine.results[0]
    assert pid != os.getpid()
    assert double == 42


def hang(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(300)


def test_a_cancel_kills_the_process_of_a_function(start: Start, tmp_path: Path) -> None:
    async def run() -> None:
        await aio.to_process(hang, str(tmp_path / "pid"))

    engine = start(unit("run", run))
    pid = noted(tmp_path / "pid")
    engine.post(CancelRequested((0,)))

    assert engine.wait(GENEROUS) is not None
    assert state(engine) is UnitState.CANCELED
    assert not psutil.pid_exists(pid)


async def test_a_function_that_raises_is_told_with_its_traceback() -> None:
    def fail() -> None:
        raise ValueError("no good")

    with pytest.raises(aio.CommandFailed) as failed:
        await aio.to_process(fail)

    assert b"ValueError: no good" in failed.value.stderr
