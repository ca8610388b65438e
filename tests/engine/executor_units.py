"""Units for executors, and what came of them."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from engine_waiting import GENEROUS

from qtui.core.events import UnitFinished, Warned
from qtui.core.model import Call, ExecutionMode, QuantumUnit, UnitState
from qtui.engine.engine import Engine

MB = 1 << 20


def custom(id: str, function: Callable[..., Any], needs: tuple[str, ...] = (), **keys: Any) -> QuantumUnit:
    keys.setdefault("mode", ExecutionMode.CUSTOM)
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, **keys)


def facts(engine: Engine, kind: type) -> list[Any]:
    return [record.event for record in engine.feed().take(0) if isinstance(record.event, kind)]


def ended(engine: Engine) -> dict[str, UnitFinished]:
    """Wait for the end of the run; the end of each unit, of which there is exactly one."""
    assert engine.wait(GENEROUS) is not None, engine.view().counts
    ends = facts(engine, UnitFinished)
    assert Counter(end.unit for end in ends) == Counter(range(len(engine.plan)))
    internal = [warned.message for warned in facts(engine, Warned) if "internal error" in warned.message]
    assert not internal
    return {engine.plan.table[end.unit].id: end for end in ends}


def message_of(end: UnitFinished) -> str:
    assert end.error is not None
    return str(end.error)


def runs(engine: Engine, id: str) -> Callable[[], bool]:
    return lambda: engine.state_of(engine.plan.numbers[id]) is UnitState.RUNNING


def spawned(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


def nothing() -> None:
    pass
