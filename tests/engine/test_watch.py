"""What units print tells how far they are; what they no longer do is told, too."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import UnitReady, UnitStarted, Warned
from qtui.core.folding import fold
from qtui.core.model import Call, ExecutionMode, QuantumUnit, Shell
from qtui.core.plan import ExecutionPlan
from qtui.core.session import LogChunk
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRequested, ProgressReported
from qtui.engine import watch
from qtui.engine.engine import Engine
from qtui.engine.watch import Watcher, progress_in


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.05)


def shell(*texts: str, id: str = "a", **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell(texts), **keys)


def warnings(engine: Engine) -> list[str]:
    return [record.event.message for record in engine.feed().take(0) if isinstance(record.event, Warned)]


def cancel(engine: Engine) -> None:
    engine.post(CancelRequested(tuple(range(len(engine.plan)))))
    assert engine.wait(GENEROUS) is not None


def progress(engine: Engine) -> tuple[float, float, str] | None:
    found = engine.view().unit(0).progress
    return (found.done, found.total, found.message) if found is not None else None


def test_a_command_announces_its_progress(start: Start) -> None:
    engine = start(shell("echo '::progress 61/100 nearly there'; sleep 300"))
    until(lambda: progress(engine) == (61.0, 100.0, "nearly there"), "its progress is known")
    cancel(engine)


def test_a_pattern_finds_progress_in_ordinary_output(start: Start) -> None:
    engine = start(shell(r"printf 'step 1/4\rstep 2/4\rstep 3/4'; sleep 300", progress=r"(?P<done>\d+)/(?P<total>\d+)"))
    until(lambda: progress(engine) == (3.0, 4.0, ""), "its progress is known")
    cancel(engine)


def count_rows() -> None:
    import time

    print("12 rows", flush=True)
    time.sleep(300)


def test_a_pattern_works_for_functions_in_processes(start: Start) -> None:
    unit = QuantumUnit(
        id="a", action=Call.of(count_rows), mode=ExecutionMode.PROCESS, progress=r"(?P<done>\d+) rows", grace=0.2
    )
    engine = start(unit)
    until(lambda: progress(engine) == (12.0, 0.0, ""), "its progress is known")
    cancel(engine)


def test_the_output_of_a_command_on_another_machine_is_watched_as_it_comes() -> None:
    run = Far(shell("make", mode=ExecutionMode.CUSTOM), b"::progress 2/5\n")
    Watcher(run).look(fold(run.view(), [UnitStarted(0, 1, ExecutionMode.CUSTOM, 1, 7, 1.0, "node-3")]), 2.0)
    assert Watcher.wanted(run.plan.table, ExecutionMode.AUTO)
    assert run.told == [ProgressReported(0, 1, 2.0, 5.0)]


class Far:
    """A run of one unit on another machine, and what has come of its output."""

    def __init__(self, unit: QuantumUnit, output: bytes) -> None:
        self.plan = ExecutionPlan.build([unit])
        self.output = output
        self.told: list[Any] = []

    @property
    def logs(self) -> Any:
        return self

    def read(self, _unit: int, _attempt: int, offset: int, limit: int) -> LogChunk:
        data = self.output[offset : offset + limit]
        return LogChunk(data, len(self.output), offset + len(data))

    def view(self) -> RunView:
        return fold(RunView.initial(self.plan), [UnitReady(0, 0.0)])

    def now(self) -> float:
        return 2.0

    def top_of(self, number: int) -> int:
        raise AssertionError(f"{number} has no process here")

    def post(self, stimulus: Any) -> None:
        self.told.append(stimulus)

    def warn(self, unit: int, message: str) -> None:
        self.told.append(message)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("::progress 1/2", (1.0, 2.0, "")),
        ("::progress 1/2\n::progress 2/2 done\nmore", (2.0, 2.0, "done")),
        ("say ::progress 1/2", None),
        ("::progress x/2", None),
        (f"::progress {'9' * 400}/2", None),
        ("", None),
    ],
)
def test_the_last_announcement_counts(text: str, found: tuple[float, float, str] | None) -> None:
    assert next(progress_in(text, None), None) == found


def test_what_a_pattern_takes_for_a_number_and_is_none_is_passed_over() -> None:
    pattern = re.compile(r"(?P<done>\S+) of (?P<total>\S+)")
    assert next(progress_in("3 of 4\nsome of them", pattern), None) == (3.0, 4.0, "")


def test_a_unit_that_is_silent_and_idle_is_told_of_once(start: Start) -> None:
    engine = start(shell("sleep 300", stall=0.3))
    until(lambda: warnings(engine), "a warning")
    assert [message.startswith("silent and idle for") for message in warnings(engine)] == [True]
    cancel(engine)
    assert len(warnings(engine)) == 1


def test_that_it_is_silent_is_known_of_it_until_it_speaks_again(start: Start, tmp_path: Path) -> None:
    os.mkfifo(go := tmp_path / "go")
    engine = start(shell(f"read go < {go}; echo again; sleep 300", stall=0.3))
    until(lambda: engine.view().silent, "it is silent")
    (since,) = engine.view().silent.values()
    began = engine.view().unit(0).started_at
    assert began is not None and began <= since <= engine.now() - 0.3
    go.write_text("go\n")
    until(lambda: not engine.view().silent, "it has spoken")
    until(lambda: engine.view().silent, "it is silent again")
    cancel(engine)
    assert not engine.view().silent


def test_a_unit_that_prints_or_computes_is_not_stalled(start: Start, tmp_path: Path) -> None:
    units = {
        "prints": ["while :; do echo still here; sleep 0.05; done"],
        "computes": ["while :; do :; done"],
        "computes-in-its-second-command": ["true", "while :; do :; done"],
    }
    engine = start(*(shell(*texts, id=name, cwd=str(tmp_path), stall=0.8) for name, texts in units.items()))
    marks = _looks(engine)
    until(lambda: marks() > 40, "it was looked at long enough")
    assert warnings(engine) == []
    cancel(engine)


def _looks(engine: Engine) -> Callable[[], int]:
    """How often the watcher has looked since."""
    assert engine._watcher is not None
    watcher, count = engine._watcher, [0]
    look = watcher.look

    def counted(*arguments: Any) -> None:
        count[0] += 1
        look(*arguments)

    watcher.look = counted  # type: ignore[method-assign]
    return lambda: count[0]


def test_where_nothing_can_be_watched_nobody_watches(start: Start) -> None:
    engine = start(QuantumUnit(id="a", action=Call.of(len), args={}, mode=ExecutionMode.THREAD, stall=0.1))
    assert engine._watcher is None
    assert engine.wait(GENEROUS) is not None
