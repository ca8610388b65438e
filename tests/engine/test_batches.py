"""Units of a batch queue for one worker, and each keeps its own state, result, try and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from engine_waiting import GENEROUS, Start, until
from process_units import error_of, process, run, value

from qtui.core.events import UnitRetrying, UnitStarted
from qtui.core.model import QuantumUnit, RetryPolicy, RunState, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.context import ExecutionContext
from qtui.engine.engine import Engine


def note(directory: str, name: int) -> int:
    """Leave a mark for each time that the unit runs; returns where it ran."""
    with Path(directory, f"{name}.{os.getpid()}").open("a") as file:
        file.write("x")
    return os.getpid()


def note_and_wait(directory: str, name: int) -> int:
    note(directory, name)
    until(lambda: Path(directory, "go").exists(), "go")
    return os.getpid()


def family(directory: Path, function: Any, count: int, batch: int | Literal["auto"], **keys: Any) -> list[QuantumUnit]:
    return [
        process(
            f"u[{n}]",
            function,
            args={"directory": str(directory), "name": n},
            family="u",
            mode="auto",
            batch=batch,
            **keys,
        )
        for n in range(count)
    ]


def times_run(directory: Path) -> Counter[int]:
    """How often each unit ran."""
    marks: Counter[int] = Counter()
    for mark in directory.glob("*.*"):
        marks[int(mark.stem)] += len(mark.read_text())
    return marks


def states(engine: Engine) -> list[UnitState]:
    return [unit.state for unit in engine.view().units]


def running(engine: Engine) -> list[int]:
    return [n for n, state in enumerate(engine.view().states) if state is UnitState.RUNNING]


@pytest.mark.parametrize("batch", ["auto", 7])
def test_every_unit_of_a_batch_runs_once_and_has_its_own_result(
    start: Start, tmp_path: Path, batch: int | Literal["auto"]
) -> None:
    engine = run(start, *family(tmp_path, note, 200, batch), workers=2)
    assert times_run(tmp_path) == dict.fromkeys(range(200), 1)
    assert all(isinstance(value(engine, f"u[{n}]"), int) for n in range(200))


def test_units_that_share_workers_need_no_more_processes_than_workers(start: Start, tmp_path: Path) -> None:
    engine = run(start, *family(tmp_path, note, 100, 10), workers=2)
    assert len({value(engine, f"u[{n}]") for n in range(100)}) <= 3  # the last worker may be one more for a moment


def test_a_unit_of_a_batch_that_fails_is_tried_again_alone(start: Start, tmp_path: Path) -> None:
    def fail_once(directory: str, name: int) -> None:
        note(directory, name)
        if name == 3 and len(next(Path(directory).glob("3.*")).read_text()) == 1:
            raise ValueError("once")

    engine = run(start, *family(tmp_path, fail_once, 12, 12, retry=RetryPolicy(max=1, delay=0.0)), workers=1)
    retried = [record.event.unit for record in engine.feed().take() if isinstance(record.event, UnitRetrying)]
    assert retried == [3]
    assert times_run(tmp_path) == {n: 2 if n == 3 else 1 for n in range(12)}


def test_they_begin_one_after_another(start: Start, tmp_path: Path) -> None:
    engine = start(*family(tmp_path, note_and_wait, 5, 5), workers=1)
    until(lambda: times_run(tmp_path) == {0: 1}, "the first runs")
    assert running(engine) == [0]
    (tmp_path / "go").touch()
    assert engine.wait(GENEROUS) is not None
    begun = [record.event.unit for record in engine.feed().take() if isinstance(record.event, UnitStarted)]
    assert begun == [0, 1, 2, 3, 4]


def test_a_unit_that_waits_in_a_batch_is_canceled_at_once_and_never_runs(start: Start, tmp_path: Path) -> None:
    engine = start(*family(tmp_path, note_and_wait, 4, 4), workers=1)
    until(lambda: times_run(tmp_path) == {0: 1}, "the first runs")
    engine.post(CancelRequested((2,)))
    until(lambda: states(engine)[2] is UnitState.CANCELED, "canceled")
    assert states(engine)[0] is UnitState.RUNNING
    (tmp_path / "go").touch()
    assert engine.wait(GENEROUS) is not None
    assert times_run(tmp_path) == {0: 1, 1: 1, 3: 1}


def test_canceling_the_one_that_runs_costs_the_others_nothing(start: Start, tmp_path: Path) -> None:
    engine = start(*family(tmp_path, note_and_wait, 6, 6), workers=1)
    until(lambda: times_run(tmp_path) == {0: 1}, "the first runs")
    engine.post(CancelRequested((0,)))
    until(lambda: states(engine)[0] is UnitState.CANCELED, "canceled")
    (tmp_path / "go").touch()
    assert engine.wait(GENEROUS) is not None
    assert states(engine)[1:] == [UnitState.COMPLETED] * 5
    assert times_run(tmp_path) == dict.fromkeys(range(6), 1)


def test_a_timeout_ends_one_unit_of_a_batch_and_counts_from_its_own_begin(start: Start, tmp_path: Path) -> None:
    def rest(directory: str, name: int) -> None:
        note(directory, name)
        time.sleep(60 if name == 1 else 0.05)

    engine = start(*family(tmp_path, rest, 4, 4, timeout=3.0, grace=0.2), workers=1)
    assert engine.wait(GENEROUS) is not None
    assert states(engine) == [UnitState.COMPLETED, UnitState.TIMEOUT, UnitState.COMPLETED, UnitState.COMPLETED]
    assert times_run(tmp_path) == dict.fromkeys(range(4), 1)


def test_a_worker_that_dies_takes_only_the_unit_with_it_that_ran(start: Start, tmp_path: Path) -> None:
    def die(directory: str, name: int) -> None:
        note(directory, name)
        if name == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = start(*family(tmp_path, die, 8, 8), workers=1)
    end = engine.wait(GENEROUS)
    assert end is not None
    assert end.state is RunState.FAILED
    assert error_of(engine, "u[2]").type == "lost"
    assert states(engine).count(UnitState.COMPLETED) == 7
    assert times_run(tmp_path) == dict.fromkeys(range(8), 1)


def test_what_a_unit_leaves_behind_ends_before_the_next_of_the_batch_begins(start: Start, tmp_path: Path) -> None:
    def leave(directory: str, name: int) -> None:
        note(directory, name)
        if name == 1:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    engine = start(*family(tmp_path, leave, 5, 5), workers=1)
    assert engine.wait(GENEROUS) is not None
    assert states(engine) == [UnitState.COMPLETED] * 5
    assert times_run(tmp_path) == dict.fromkeys(range(5), 1)


def test_many_cancels_at_any_moment_run_nothing_twice(start: Start, tmp_path: Path) -> None:
    engine = start(*family(tmp_path, note, 300, 16, grace=0.5), workers=2)
    for number in range(0, 300, 3):
        engine.post(CancelRequested((number,)))
    assert engine.wait(GENEROUS * 2) is not None
    ran = times_run(tmp_path)
    assert set(ran.values()) <= {1}
    completed = {n for n, state in enumerate(states(engine)) if state is UnitState.COMPLETED}
    assert completed >= {n for n in range(300) if n % 3}
    assert completed <= set(ran)


def test_what_a_unit_changes_in_its_process_is_not_there_for_the_next_of_the_batch(
    start: Start, tmp_path: Path
) -> None:
    def change(directory: str, name: int) -> int:
        note(directory, name)
        umask = os.umask(0o077 if name == 1 else 0o022)
        if name == 2:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        ignored = signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN and name > 2
        return 0o777 if ignored else umask

    engine = run(start, *family(tmp_path, change, 8, 8), workers=1)
    assert [value(engine, f"u[{n}]") for n in range(8)] == [0o022] * 8
    assert times_run(tmp_path) == dict.fromkeys(range(8), 1)


def test_the_deadline_of_a_unit_that_waits_in_a_batch_counts_from_its_own_begin(start: Start, tmp_path: Path) -> None:
    def left(context: ExecutionContext, directory: str, name: int) -> float:
        if name == 0:
            note_and_wait(directory, name)
        assert context.deadline is not None
        return context.deadline - time.time()

    engine = start(*family(tmp_path, left, 3, 3, timeout=1000.0), workers=1)
    until(lambda: times_run(tmp_path) == {0: 1}, "the first runs")
    sent = time.monotonic()
    until(lambda: time.monotonic() - sent > 1.0, "a second has passed since the others were sent")
    (tmp_path / "go").touch()
    assert engine.wait(GENEROUS) is not None
    waited, first = time.monotonic() - sent, value(engine, "u[0]")
    assert first <= 999.0
    assert all(value(engine, f"u[{n}]") > first + waited / 2 for n in (1, 2))
