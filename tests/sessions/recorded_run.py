"""A run whose scheduler is driven by the test, and recorded as the engine records it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core_driver import Run

from qtui.core.events import Event
from qtui.core.folding import fold
from qtui.core.model import QuantumUnit
from qtui.core.state import RunView
from qtui.core.stimuli import RunRequested, Stimulus
from qtui.store.commands import CommandQueue
from qtui.store.journal import Head, Journal
from qtui.store.rundir import RunDirectory

START = 1_700_000_000.0
GENEROUS = 20.0


def eventually(true: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and give it."""
    deadline = time.monotonic() + GENEROUS
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {GENEROUS:g} s: {what}"
        time.sleep(0.005)
    return found


def known(view: RunView) -> Any:
    """All that a view tells, but for what units do: functions are not in the record."""
    return replace(view, plan=None), [(each.unit.id, view.plan.needs[each.number]) for each in view.units]


class RecordedRun(Run):
    """Every decision is one transaction of the journal; the run's lock is held until `leave`."""

    def __init__(
        self, directory: RunDirectory, *units: QuantumUnit, at: float = START, silent: bool = False, **options: Any
    ) -> None:
        super().__init__(*units, begin=False, **options)
        self.directory, self.now = directory, at
        self.lock, self._left = directory.lock(), False
        head = Head(
            run=directory.run,
            name="demo",
            origin={"words": ["qtui", "run", "demo.toml"], "cwd": "/", "source": ""},
            params={},
            plan=self.plan,
            options=self.options,
            directory=None,
            created=at,
            version="test",
        )
        self.journal = Journal.create(directory.journal, head)
        self.commands = CommandQueue(directory.commands)
        if not silent:
            self.send(RunRequested("demo"))

    def send(self, stimulus: Stimulus) -> list[Event]:
        before = self.view.seq
        events = super().send(stimulus)
        if events:
            self.journal.append(before + 1, events)
        return events

    def record(self, *events: Event) -> None:
        """Events that no stimulus leads to."""
        self.journal.append(self.view.seq + 1, events)
        self.view = fold(self.view, events)
        self.events += events

    def log(self, unit: int, attempt: int, text: bytes) -> None:
        """What an attempt writes."""
        self.directory.logs.mkdir(exist_ok=True)
        name = self.view.plan.table[unit].id
        (self.directory.logs / f"{name}.{attempt}.log").write_bytes(text)

    def leave(self) -> None:
        """The process lets go of the run, finished or not."""
        if not self._left:
            self._left = True
            self.journal.close()
            self.commands.close()
            self.lock.release()
