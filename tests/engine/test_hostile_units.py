"""Units that turn on what runs them: each is still stopped in time, and harms nobody but itself."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until

from qtui import aio
from qtui.core.model import Call, ExecutionMode, QuantumUnit, Shell, UnitState
from qtui.engine.context import MOST_METRICS, MOST_TEXT
from qtui.engine.engine import Engine
from qtui.engine.failure import MOST_MESSAGE, describe_exception
from qtui.engine.wire import MOST_BYTES, FrameReader


def unit(id: str, function: Any, mode: ExecutionMode, *needs: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function), mode=mode, dependencies=needs, **keys)


def states(engine: Engine) -> list[str]:
    assert engine.wait(GENEROUS * 3) is not None
    return [str(view.state) for view in engine.view().units]


# -- those that stop what watches over them --------------------------------------------------------------


def test_a_command_that_stops_its_keeper_still_times_out(start: Start) -> None:
    engine = start(QuantumUnit(id="a", action=Shell(("kill -STOP $PPID; sleep 300",)), timeout=0.5, grace=0.2))

    assert states(engine) == ["timeout"]


def test_units_still_start_after_one_that_stopped_the_warden(start: Start) -> None:
    stop = "read -r _ _ _ warden _ < /proc/$PPID/stat; kill -STOP $warden"
    engine = start(
        QuantumUnit(id="a", action=Shell((stop,))),
        *(QuantumUnit(id=f"b{n}", action=Shell(("true",)), dependencies=("a",)) for n in range(3)),
        workers=3,
    )

    assert states(engine) == ["completed"] * 4


# -- those that leave their process changed --------------------------------------------------------------


def set_an_alarm() -> None:
    signal.alarm(1)


def wait_for_an_alarm() -> None:
    time.sleep(1.5)


def block_term_and_lower_limits() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    os.umask(0o777)
    sys.setrecursionlimit(200)


def describe_process() -> tuple[Any, ...]:
    umask = os.umask(0o22)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return mask, resource.getrlimit(resource.RLIMIT_FSIZE)[0], umask, sys.getrecursionlimit()


def test_an_alarm_does_not_go_off_in_the_next_unit(start: Start) -> None:
    process = ExecutionMode.PROCESS
    engine = start(unit("a", set_an_alarm, process), unit("b", wait_for_an_alarm, process, "a"), workers=1)

    assert states(engine) == ["completed", "completed"]


def test_the_next_unit_finds_a_process_like_the_first_one_did(start: Start) -> None:
    process = ExecutionMode.PROCESS
    engine = start(
        unit("before", describe_process, process),
        unit("a", block_term_and_lower_limits, process, "before"),
        unit("after", describe_process, process, "a"),
        workers=1,
    )

    assert states(engine) == ["completed"] * 3
    assert engine.value_of(2) == engine.value_of(0)


# -- those that fork -------------------------------------------------------------------------------------


def fork_and_come_back() -> int:
    return os.fork()


async def fork_and_come_back_from_a_coroutine() -> int:
    return os.fork()


@pytest.mark.parametrize("function", [fork_and_come_back, fork_and_come_back_from_a_coroutine])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_a_thread_does_not_go_on_as_qtui(start: Start, tmp_path: Path, function: Any) -> None:
    def note() -> None:
        with Path(tmp_path / "ran").open("a") as file:
            file.write(f"{os.getpid()}\n")

    engine = start(unit("a", function, ExecutionMode.THREAD), unit("b", note, ExecutionMode.THREAD, "a"))

    assert states(engine) == ["completed", "completed"]
    child = engine.value_of(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "ran").read_text() == f"{os.getpid()}\n"


# -- those with terminals of their own -------------------------------------------------------------------


def test_a_command_may_send_its_output_away_from_its_terminal(start: Start) -> None:
    text = "exec > /dev/null 2>&1; sleep 0.2; echo still here > /dev/tty"
    engine = start(QuantumUnit(id="a", action=Shell((text,)), pty=True))

    assert states(engine) == ["completed"]
    assert engine.logs.read(0, 1, 0, 1000).data == b"still here\n"


# -- those that say too much -----------------------------------------------------------------------------


class Odd(str):
    """A text that marshal does not take."""


class OddError(Exception):
    def __str__(self) -> str:
        return Odd("odd")


def raise_odd() -> None:
    raise OddError


def test_an_error_with_a_text_of_its_own_class_arrives(start: Start) -> None:
    engine = start(unit("a", raise_odd, ExecutionMode.PROCESS))

    assert states(engine) == ["failed"]
    assert str(engine.view().unit(0).error) == "OddError: odd"


def test_of_a_very_long_error_the_beginning_and_the_end_are_kept() -> None:
    error = describe_exception(ValueError("begin" + "x" * 1_000_000 + "end"))

    assert len(error.message) < MOST_MESSAGE + 100
    assert error.message.startswith("begin")
    assert error.message.endswith("end")
    assert "characters were left out" in error.message


@pytest.mark.parametrize("mode", [ExecutionMode.THREAD, ExecutionMode.PROCESS])
def test_what_stays_in_the_record_is_limited(start: Start, mode: ExecutionMode) -> None:
    def record(context: Any) -> None:
        context.record_metric("text", "x" * 1_000_000)
        context.progress(1, 2, "x" * 1_000_000)
        for number in range(MOST_METRICS):
            context.record_metric(f"m{number}", number)

    engine = start(unit("a", record, mode))

    assert states(engine) == ["failed"]
    view = engine.view().unit(0)
    assert f"a unit may record {MOST_METRICS} metrics" in str(view.error)
    assert view.finished is not None
    assert len(view.finished.metrics["text"]) == MOST_TEXT
    assert view.progress is None or len(view.progress.message) == MOST_TEXT


@pytest.mark.parametrize("done", [float("nan"), float("inf"), "much", None])
def test_progress_is_a_finite_number(start: Start, done: Any) -> None:
    engine = start(unit("a", lambda context: context.progress(done, 1), ExecutionMode.THREAD))

    assert states(engine) == ["failed"]


def test_what_announces_a_giant_message_is_none() -> None:
    with pytest.raises(ValueError, match="no message"):
        FrameReader().feed((MOST_BYTES + 1).to_bytes(4, "little"))


def write_nonsense_everywhere() -> None:
    for fd in range(3, 64):
        try:
            os.write(fd, b"\xff" * 64)
        except OSError:
            continue
    time.sleep(300)


def test_a_unit_that_writes_to_qtuis_own_descriptors_loses_its_worker(start: Start) -> None:
    engine = start(unit("a", write_nonsense_everywhere, ExecutionMode.PROCESS))

    assert states(engine) == ["failed"]
    assert engine.view().unit(0).state is UnitState.FAILED


# -- those that would live on ----------------------------------------------------------------------------

PROGRAM = """
    import asyncio, pathlib, sys, time
    from qtui import aio
    from qtui.core.model import Call, QuantumUnit
    from qtui.core.options import RunOptions
    from qtui.core.plan import ExecutionPlan
    from qtui.engine.engine import Engine
    from qtui.engine.files import RunFiles

    def stay():
        open("{called}", "w").close()
        time.sleep(300)

    async def run():
        # more than a pipe holds: once the shell is past it, qtui reads, and the shell hangs on its pipe
        full = "head -c 200000 /dev/zero; echo $$ > {pid}; sleep 300 & wait"
        await asyncio.gather(aio.shell(full), aio.to_process(stay))

    unit = QuantumUnit(id="a", action=Call.of(run))
    files = RunFiles(pathlib.Path("{files}"))
    engine = Engine(ExecutionPlan.build([unit]), RunOptions(), run="r", name="n", files=files)
    engine.begin()
    engine.wait()
"""


def test_processes_of_coroutines_die_with_qtui(tmp_path: Path) -> None:
    program = textwrap.dedent(PROGRAM).format(pid=tmp_path / "pid", called=tmp_path / "called", files=tmp_path)
    qtui = subprocess.Popen([sys.executable, "-c", program])
    try:
        until(lambda: (tmp_path / "pid").exists(), "the shell runs")
        until(lambda: (tmp_path / "called").exists(), "the function runs")
        until(lambda: len(psutil.Process(qtui.pid).children(recursive=True)) >= 3, "all of them run")
        family = psutil.Process(qtui.pid).children(recursive=True)
    finally:
        os.kill(qtui.pid, signal.SIGKILL)
        qtui.wait()

    def gone(process: psutil.Process) -> bool:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    until(lambda: all(map(gone, family)), "they died with qtui")


async def test_a_program_inherits_nothing_but_its_lifeline() -> None:
    completed = await aio.shell("ls /proc/self/fd | wc -l")

    assert int(completed.stdout) == 5  # with that of ls itself
    assert threading.active_count() >= 1
