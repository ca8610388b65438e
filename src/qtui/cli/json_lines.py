"""``--ui json``: one event a line on standard output. The format is documented in docs/events.md."""

from __future__ import annotations

import json
from typing import Final, TextIO

from qtui.cli.answers import NOBODY, questions
from qtui.cli.telling import tell
from qtui.core.events import PlanReplaced, UnitRedefined, UnitsAdded, to_plain
from qtui.core.growth import grow, replaced
from qtui.core.redefining import redefine
from qtui.core.session import RunSession

REMIND: Final = 60.0
"""Seconds of silence after which standard error is told once more that the run waits for a person."""


class JsonLines:
    """Writes a run's record as JSON lines until its feed is closed.

    When nothing runs any more and a person is waited for, standard error is told of that: nobody else would be.
    """

    def __init__(self, session: RunSession, out: TextIO) -> None:
        self._session = session
        self._out = out
        self._told: list[str] = []
        self._told_at = 0.0

    def follow(self) -> None:
        """Write until nothing more will come. Raises BrokenPipeError when the reader has gone."""
        feed, plan = self._session.feed(), self._session.opening.plan
        while not feed.closed:
            records = feed.take(timeout=0.5)
            for record in records:
                if isinstance(record.event, UnitsAdded | UnitRedefined):
                    plan = plan.thawed() if isinstance(plan.table, tuple) else plan
                if isinstance(record.event, UnitsAdded):
                    grow(plan, record.event.unit, record.event.units, record.event.begun)
                elif isinstance(record.event, UnitRedefined):
                    redefine(plan, record.event.unit, record.event.definition)
                elif isinstance(record.event, PlanReplaced):
                    plan = replaced(plan, record.event.units, record.event.mode)
                line = {"seq": record.seq, "run": self._session.run, **to_plain(record.event, plan)}
                self._out.write(json.dumps(line, default=str) + "\n")
            if records:
                self._out.flush()
            else:
                self._remind()

    def _remind(self) -> None:
        asked = [] if self._session.view().active else questions(self._session)
        waiting = [f"{question.text} {NOBODY}; {question.spare}" for question in asked]
        now = self._session.now()
        if waiting and (waiting != self._told or now - self._told_at >= REMIND):
            for words in waiting:
                tell(words)
            self._told_at = now
        self._told = waiting
