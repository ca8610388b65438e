"""A run in the hands of another process than the one that began it."""

from __future__ import annotations

from typing import Any

from core_driver import Run

from qtui.core.folding import fold
from qtui.core.model import QuantumUnit
from qtui.core.resuming import Resumption, Wishes, resume
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import ResumeRequested


class Resumed(Run):
    """The run of a process that has gone, in the hands of another one; `units` are the workflow's by now."""

    def __init__(self, gone: Run, *units: QuantumUnit, later: float = 1000.0, **wishes: Any) -> None:
        options = {name: getattr(gone.options, name) for name in gone.options.__slots__}
        added = {number for numbers in gone.view.plan.added.values() for number in numbers}
        table = gone.view.plan.table
        made = units or tuple(each for number, each in enumerate(table) if number not in added)
        super().__init__(*made, begin=False, **options)
        self.now = gone.now + later
        self.how: Resumption = resume(gone.view, made, self.options, Wishes(**wishes), self.now, replan=bool(units))
        assert fold(gone.view, self.how.events).states == self.how.view.states, "the events tell all"
        self.view = self.how.view
        self.scheduler = Scheduler.restore(self.how.options, self.view)
        self.plan = self.scheduler.plan
        self.events += self.how.events
        self.send(ResumeRequested())

    @property
    def why(self) -> dict[str, str]:
        return {self.plan.table[number].id: reason for number, reason in self.how.reasons.items()}
