"""Process units for tests, and what came of them."""

from __future__ import annotations

from typing import Any

import psutil
from engine_waiting import GENEROUS, Start

from qtui.core.model import Call, ExecutionMode, QuantumUnit, RunState, UnitError
from qtui.engine.engine import Engine

PROCESS = ExecutionMode.PROCESS
MB = 1 << 20


def process(id: str, function: Any, needs: tuple[str, ...] = (), **keys: Any) -> QuantumUnit:
    keys.setdefault("mode", PROCESS)
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, **keys)


def run(start: Start, *units: QuantumUnit, **options: Any) -> Engine:
    engine = start(*units, **options)
    end = engine.wait(GENEROUS * 2)
    assert end is not None, engine.view().counts
    failed = {unit.id: str(unit.error) for unit in engine.view().units if unit.error}
    assert end.state is RunState.COMPLETED, failed
    return engine


def value(engine: Engine, id: str) -> Any:
    return engine.value_of(engine.plan.numbers[id])


def workers() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True) if child.name() == "qtui-worker"}


def log_of(engine: Engine, id: str) -> str:
    return engine.logs.read(engine.plan.numbers[id], 1, 0, MB).data.decode()


def error_of(engine: Engine, id: str) -> UnitError:
    end = engine.view().unit(engine.plan.numbers[id]).finished
    assert end is not None and end.error is not None
    return end.error
