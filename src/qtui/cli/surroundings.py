"""What a unit has around it when it runs without its run: its directory, its variables, and the results it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from qtui.core.errors import BrokenResult
from qtui.core.events import UnitFinished
from qtui.core.masking import MASK
from qtui.core.model import ExecutionMode, QuantumUnit, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.stimuli import StartUnit
from qtui.engine import variables
from qtui.engine.packing import Packed, load_value, pack
from qtui.engine.workers.base import Attempt
from qtui.engine.workers.exchange import CommandFiles, NeedsFiles
from qtui.store.journal import Head, JournalReader
from qtui.store.resultkey import load_key
from qtui.store.results import ResultStore, ResultUnusable, Verified
from qtui.store.rundir import RunDirectory

HIDDEN: Final = MASK.decode()


class Known(NamedTuple):
    """How a unit ended in a recorded run: its state, why it has no result (empty if it has one), and the result."""

    state: UnitState
    cause: str = ""
    value: Any = None


class Recorded:
    """A recorded run, which may go on: what it began with, what is known of it, and how its units ended.

    Raises QtuiError if the record cannot be read.
    """

    def __init__(self, state_dir: Path, directory: RunDirectory) -> None:
        self._state_dir, self._directory = state_dir, directory
        self.run = directory.run
        with closing(JournalReader(directory.journal)) as reader:
            self.head: Head = reader.head
            self.view: RunView = reader.view()

    def known(self, ids: Sequence[str]) -> dict[str, Known]:
        """How these units ended, by id; those that it had not, or that have no end, are left out. Raises QtuiError."""
        found = {}
        with closing(JournalReader(self._directory.journal)) as reader:
            for unit_id in ids:
                number = self.view.plan.numbers.get(unit_id)
                last = self.view.last[number] if number is not None else None
                if number is not None and isinstance(last, UnitFinished):
                    found[unit_id] = self._ended(reader, self.view.plan.table[number], last)
        return found

    def _ended(self, reader: JournalReader, unit: QuantumUnit, end: UnitFinished) -> Known:
        if end.state is not UnitState.COMPLETED:
            return Known(end.state, end.cause or str(end.error or end.state))
        if end.fallback:
            return Known(end.state, value=unit.fallback.value if unit.fallback is not None else None)
        stored = reader.result(unit.id)
        if stored is None:
            return Known(end.state)
        try:
            value = self._store.load(stored)
        except ResultUnusable as error:
            return Known(end.state, str(error))
        return Known(end.state, value=Packed(*value) if isinstance(value, Verified) else value)

    @cached_property
    def _store(self) -> ResultStore:
        return ResultStore(self._directory, load_key(self._state_dir), None, pack)


_NOT_RUN: Final = Known(UnitState.PENDING, "it has not ended")


@dataclass(kw_only=True)
class Alone:
    """A run in which one unit runs and nothing is recorded, as contexts and commands see it (RunFacts, Results).

    `known` are the ends of what it needs, by number; `folder` is for files. `told` collects what people should know.
    """

    plan: ExecutionPlan
    params: Mapping[str, Any]
    known: Mapping[int, Known]
    folder: str
    run: str
    told: list[str] = field(default_factory=list)

    @cached_property
    def results(self) -> list[Any]:
        """Values by number."""
        return [self.known[number].value if number in self.known else None for number in range(len(self.plan))]

    def value_of(self, number: int) -> Any:
        """The value of a need. Raises BrokenResult if it is not there, or cannot be loaded."""
        end = self.known.get(number, _NOT_RUN)
        if end.state is not UnitState.COMPLETED or end.cause:
            raise BrokenResult(f"{self.plan.table[number].id} has no result: {end.cause}")
        value = self.results[number]
        if isinstance(value, Packed):
            value = self.results[number] = load_value(value, self.plan.table[number].id)
        return value

    def state_of(self, number: int) -> UnitState:
        """The state of a need; one whose result is not there counts as failed, as nobody can use it."""
        end = self.known.get(number, _NOT_RUN)
        return UnitState.FAILED if end.cause and end.state is UnitState.COMPLETED else end.state

    def cause_of(self, number: int) -> str:
        """Why a need has no result."""
        return self.known.get(number, _NOT_RUN).cause

    def added_to(self, _number: int) -> Sequence[int]:
        """Nothing: what units add is not there without their run."""
        return ()

    def value_path(self, name: str) -> str:
        """The file `name`, which is gone afterwards."""
        return f"{self.folder}/{name}"

    def report_progress(self, _number: int, _attempt: int, _done: float, _total: float, _message: str) -> None:
        """There is no row that would show it."""

    def warn(self, _unit: int, message: str) -> None:
        """Keep it for people."""
        self.told.append(message)

    def environment_of(self, number: int) -> dict[str, str]:
        """The environment of a unit; what the record must not have of it is as it is here, or not there."""
        given = {**variables.of_run(os.environ, self.run, self.params), **variables.of_unit(self.plan.table[number])}
        return {name: present for name, value in given.items() if (present := _present(name, value)) is not None}

    def missing(self, number: int) -> list[str]:
        """The variables of a unit that hold a secret which is not set here."""
        given = {**variables.of_run({}, self.run, self.params), **variables.of_unit(self.plan.table[number])}
        return [name for name, value in given.items() if _present(name, value) is None]

    def files(self, number: int, attempt: int) -> CommandFiles:
        """The files that an attempt is handed. Raises OSError if they cannot be written."""
        start = StartUnit(number, attempt, ExecutionMode.COMMAND, 0)
        return CommandFiles(self, NeedsFiles(self), Attempt(start, self.plan.table[number]))


def _present(name: str, value: str) -> str | None:
    return os.environ.get(name) if HIDDEN in value else value


@contextmanager
def alone(plan: ExecutionPlan, params: Mapping[str, Any], known: Mapping[str, Known], run: str) -> Iterator[Alone]:
    """A run of one unit of `plan`, with the ends of others by id. Its files are gone in the end."""
    numbers = {plan.numbers[name]: end for name, end in known.items()}
    with TemporaryDirectory(prefix="qtui-") as folder:
        yield Alone(plan=plan, params=params, known=numbers, folder=folder, run=run)


def needs_of(plan: ExecutionPlan, number: int) -> list[str]:
    """The ids of what a unit needs."""
    return [plan.table[need].id for need in plan.needs[number]]
