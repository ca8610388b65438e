"""A run that never was, as its events would tell it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from qtui.core.events import Event, RunFinished, RunStarted, RunStopping, UnitFinished, UnitReady, UnitStarted
from qtui.core.folding import fold
from qtui.core.model import Argv, ExecutionMode, QuantumUnit, RunState, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.engine.files import RunFiles
from qtui.engine.logs import LogStore
from qtui.store.journal import Head, Journal
from qtui.store.rundir import RunDirectory


class Told:
    """Each call adds events to `view`; a unit's number is its place among `units`."""

    def __init__(self, *units: QuantumUnit, name: str = "flow") -> None:
        self.name, self.plan = name, ExecutionPlan.build(units)
        self.view = RunView.initial(self.plan)
        self.events: list[Event] = []
        self.written = 0
        self.add(RunStarted(100.0, name, 4))

    def add(self, *events: Event) -> Told:
        self.view = fold(self.view, events)
        self.events += events
        return self

    def starts(self, unit: str, at: float = 101.0) -> Told:
        number = self.view.plan.numbers[unit]
        attempt = self.view.attempts[number] + 1
        return self.add(
            UnitReady(number, at), UnitStarted(number, attempt, ExecutionMode.COMMAND, self.view.active + 1, 7, at)
        )

    def ends(self, unit: str, state: UnitState = UnitState.COMPLETED, at: float = 103.0, **keys: Any) -> Told:
        number = self.view.plan.numbers[unit]
        begun = self.view.unit(number).started_at
        took = at - begun if begun is not None else 0.0
        return self.add(UnitFinished(number, self.view.attempts[number], 1, state, at, took, **keys))

    def fails(self, unit: str, code: int = 3, traceback: str = "") -> Told:
        error = UnitError("exit", f"exit {code}", traceback, code)
        return self.starts(unit).ends(unit, UnitState.FAILED, error=error)

    def stops(self) -> Told:
        return self.add(RunStopping(104.0, "stop", "canceled by you"))

    def over(self, state: RunState, code: int) -> Told:
        return self.add(RunFinished(state, {}, 10.0, code, 110.0))

    def recorded(
        self, state_home: Path, run: str = "20260102-030405-abcd", source: str = "", **params: object
    ) -> RunDirectory:
        """The directory of this run, as the process that ran it would leave it when it is killed."""
        directory = RunDirectory.create(state_home / "qtui", run)
        head = Head(
            run=run,
            name=self.name,
            origin={"words": ["flow.toml"], "cwd": "/", "source": source},
            params=params,
            plan=self.plan,
            options=RunOptions(),
            directory=None,
            created=99.0,
            version="0",
        )
        with closing(Journal.create(directory.journal, head)) as journal:
            journal.append(1, self.events)
        self.written = len(self.events)
        return directory

    def log(self, directory: RunDirectory, unit: str, attempt: int = 1) -> Path:
        """Where the output of an attempt is."""
        return Path(LogStore(RunFiles(directory.path), self.plan).path(self.plan.numbers[unit], attempt))

    def goes_on(self, directory: RunDirectory) -> None:
        """Write down what was told since."""
        with closing(Journal.reopen(directory.journal)) as journal:
            journal.append(self.written + 1, self.events[self.written :])
        self.written = len(self.events)


def command(name: str, *needs: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=name, action=Argv(("true",)), dependencies=needs, **keys)
