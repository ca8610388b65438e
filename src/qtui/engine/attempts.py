"""The attempts that go on: what each has to begin with, and what has come of it when it is over."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from qtui.core.model import ExecutionMode, Outcome
from qtui.engine.adoption import Adoption
from qtui.engine.context import ExecutionContext, RunFacts
from qtui.engine.logs import LogStore
from qtui.engine.maskedtexts import TextMasks
from qtui.engine.outliving import OUTLIVING
from qtui.engine.outputs import Outputs
from qtui.engine.workers.base import Attempt

_THREADS: Final = frozenset({ExecutionMode.THREAD, ExecutionMode.SEQUENTIAL})
"""The lanes whose attempts live on in this process when their run is closed."""


class Attempts:
    """Opens and concludes attempts, each on the thread of its lane.

    `facts` is what contexts read. Units that an attempt adds go through `adoption`, texts of outcomes through `texts`
    if there are secrets, and `warn` is told of outputs that cannot be taken away. `record` is the tag of
    the run's record, empty if it has none.
    """

    def __init__(
        self,
        facts: RunFacts,
        logs: LogStore,
        adoption: Adoption,
        texts: TextMasks | None,
        warn: Callable[[int, str], None],
        record: str,
    ) -> None:
        self._facts, self._logs, self._adoption, self._texts, self._warn = facts, logs, adoption, texts, warn
        self._record = record
        self._home = os.getcwd()  # noqa: PTH109
        self._going_on: dict[int, Attempt] = {}

    def open(self, attempt: Attempt, deadline: float | None) -> ExecutionContext:
        """Make the attempt's context; `deadline` is when it times out, on the run's clock."""
        number, tried = attempt.start.unit, attempt.start.attempt
        unit = attempt.unit
        if unit.outputs:
            attempt.outputs = Outputs(unit.outputs, unit.cwd or self._home)
        self._going_on[number] = attempt
        attempt.context = ExecutionContext(self._facts, number, tried, self._logs.writer(number, tried), deadline)
        return attempt.context

    def conclude(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """The attempt is over: its outcome with the units that it adds, a failure if its outputs or those will not do.

        Secrets are masked already here, for brakes compare errors with what was recorded.
        """
        self._going_on.pop(attempt.start.unit, None)
        if outcome.abandoned and self._record and attempt.start.lane in _THREADS:
            OUTLIVING.add(self._record, attempt.unit.id, attempt.start.attempt)
        if attempt.outputs is not None:
            outcome = attempt.outputs.checked(outcome)
            if outcome.error is not None or outcome.canceled:
                self.set_aside(attempt)
        if attempt.context is not None:
            attempt.context.end()
            if attempt.context.additions:
                outcome = outcome._replace(added=attempt.context.additions)
        if outcome.added and outcome.error is None and not outcome.canceled:
            outcome = self._adoption.adopted(outcome)
        return outcome if self._texts is None else self._texts.outcome(outcome)

    def came_late(self, attempt: Attempt) -> None:
        """An abandoned attempt has ended by itself."""
        self.set_aside(attempt)
        OUTLIVING.ended(self._record, attempt.unit.id, attempt.start.attempt)

    def set_aside(self, attempt: Attempt) -> None:
        """Take unfinished outputs out of the way, so that nobody takes them for finished ones."""
        for error in attempt.outputs.set_aside() if attempt.outputs is not None else ():
            message = f"left {error.filename} unfinished, and it cannot be renamed: {error.strerror}"
            self._warn(attempt.start.unit, message)

    def going_on(self) -> list[Attempt]:
        """Those that are open right now."""
        return list(self._going_on.values())

    def top_of(self, number: int) -> int:
        """The process below which all are that a running unit has started; 0 if there is none."""
        attempt = self._going_on.get(number)
        return attempt.keeper.pid if attempt is not None and attempt.keeper is not None else 0
