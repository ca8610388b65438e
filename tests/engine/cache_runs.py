"""Units with a cache, and what is left of a run of them."""

from __future__ import annotations

import os
from pathlib import Path

from engine_waiting import GENEROUS

from qtui.core.events import CacheMissed, UnitFinished, Warned
from qtui.core.model import CachePolicy, Call, QuantumUnit, Shell, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.engine.cache import ResultCache
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles

CACHE = CachePolicy()


class Ran:
    """What a run left: why units missed or hit, its warnings and its values."""

    def __init__(self, engine: Engine, values: list[object]) -> None:
        events = [record.event for record in engine.feed().take(0)]
        ids = [unit.id for unit in engine.plan.table]
        self.values = dict(zip(ids, values, strict=True))
        self.missed = {ids[event.unit]: event.reason for event in events if isinstance(event, CacheMissed)}
        self.unchanged = {ids[event.unit] for event in events if isinstance(event, CacheMissed) and event.unchanged}
        ends = [event for event in events if isinstance(event, UnitFinished)]
        self.hits = {ids[event.unit]: event.cause for event in ends if event.cached}
        self.states = {ids[event.unit]: event.state for event in ends}
        self.warnings = [event.message for event in events if isinstance(event, Warned)]


class CachedRuns:
    """Runs with one state directory."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._engines: list[Engine] = []

    def begin(self, *units: QuantumUnit, params=None, workflow="test", with_cache=True, **options) -> Engine:
        """Begin a run."""
        self._state.mkdir(exist_ok=True)
        engine = Engine(
            ExecutionPlan.build(units),
            RunOptions(**{"workers": 4, **options}),
            run=f"test-{os.getpid()}",
            name="test",
            files=RunFiles(self._state / f"run{len(self._engines)}"),
            params=params,
            cache=ResultCache(self._state, workflow) if with_cache else None,
        )
        self._engines.append(engine)
        engine.begin()
        return engine

    def run(self, *units: QuantumUnit, **keys) -> Ran:
        """Run units to their end, and close the run."""
        engine = self.begin(*units, **keys)
        assert engine.wait(GENEROUS) is not None
        completed = [engine.state_of(number) is UnitState.COMPLETED for number in range(len(units))]
        values = [engine.value_of(number) if completed[number] else None for number in range(len(units))]
        engine.close()
        return Ran(engine, values)

    def close(self) -> None:
        """Close every run."""
        for engine in self._engines:
            engine.close()


def shell(text: str, id: str = "unit", cache: CachePolicy | None = CACHE, **keys) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell((text,)), cache=cache, **keys)


def call(function, id: str = "unit", cache: CachePolicy | None = CACHE, args=None, **keys) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function, args or {}), args=args or {}, cache=cache, **keys)


def lines(path: Path) -> int:
    """How often a command that appends to a file has run."""
    return len(path.read_text().splitlines()) if path.exists() else 0
