"""Many process units do everything wrong while others kill and cancel them: all ends are right, nothing is left."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
from chaos_units import behave, exit_early, hang, kill_itself, leave, leave_a_child, raise_error, return_a_lock
from engine_waiting import Start

from qtui.core.events import UnitFinished
from qtui.core.model import Call, ExecutionMode, QuantumUnit, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine

UNITS = 1500 if os.environ.get("QTUI_SOAK") else 700
LONGEST = 300.0
"""Seconds; the run takes about ten."""


FAULTS = {
    raise_error: "ValueError",
    kill_itself: "lost",
    leave: "lost",
    exit_early: "SystemExit",
    return_a_lock: "ResultError",
    hang: "timeout",
}


def workers_of_qtui() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.name() == "qtui-worker":
                found.append(child)
    return found


@pytest.mark.parametrize("seed", [1])
def test_a_chaos_of_faults_leaves_right_ends_and_nothing_else(start: Start, seed: int) -> None:
    chance = random.Random(seed)
    kinds = [behave if chance.random() > 0.26 else chance.choice(list(FAULTS)) for _ in range(UNITS)]
    kinds = [leave_a_child if kind is behave and chance.random() < 0.01 else kind for kind in kinds]
    engine = start(*(unit(number, kind) for number, kind in enumerate(kinds)), workers=4)

    canceled: set[int] = set()
    shot = 0
    while engine.wait(0.05) is None:
        assert engine.view().elapsed(engine.now()) < LONGEST, engine.view().counts
        running = [number for number in range(UNITS) if engine.view().states[number] is UnitState.RUNNING]
        if running and chance.random() < 0.5:
            canceled.add(chance.choice(running))
            engine.post(CancelRequested(tuple(canceled)))
        workers = workers_of_qtui()
        if workers and chance.random() < 0.3:
            shot += 1
            with suppress(psutil.NoSuchProcess):
                chance.choice(workers).kill()

    assert shot and canceled
    ends = [engine.view().unit(number).finished for number in range(UNITS)]
    wrong = [(kind, end) for kind, end in zip(kinds, ends, strict=True) if not is_right(engine, kind, end, canceled)]
    assert wrong == []
    good = [end for kind, end in zip(kinds, ends, strict=True) if kind in (behave, leave_a_child)]
    assert sum(end.error is not None for end in good if end) <= shot, "only a unit whose worker was shot is lost"


def unit(number: int, kind: Callable[[int], Any]) -> QuantumUnit:
    args = {"number": number}
    timeout = 0.2 if kind is hang else None
    action = Call.of(kind, args)
    return QuantumUnit(
        id=f"u{number}", action=action, args=args, mode=ExecutionMode.PROCESS, timeout=timeout, grace=0.05
    )


def is_right(engine: Engine, kind: Callable[[int], Any], end: UnitFinished | None, canceled: set[int]) -> bool:
    assert end is not None
    if end.state is UnitState.CANCELED:
        return end.unit in canceled
    if end.error is not None:  # a unit whose worker was shot is lost, whatever it would have done
        return end.error.type in (FAULTS.get(kind), "lost")
    return kind in (behave, leave_a_child) and engine.value_of(end.unit) == end.unit**2
