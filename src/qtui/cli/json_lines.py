"""``--ui json``: one event a line on standard output. The format is documented in docs/events.md."""

from __future__ import annotations

import json
from typing import TextIO

from qtui.core.events import UnitsAdded, to_plain
from qtui.core.growth import grow
from qtui.core.session import RunSession


class JsonLines:
    """Writes a run's record as JSON lines until its feed is closed."""

    def __init__(self, session: RunSession, out: TextIO) -> None:
        self._session = session
        self._out = out

    def follow(self) -> None:
        """Write until nothing more will come. Raises BrokenPipeError when the reader has gone."""
        feed, plan = self._session.feed(), self._session.plan
        while not feed.closed:
            records = feed.take(timeout=0.5)
            for record in records:
                if isinstance(record.event, UnitsAdded):
                    plan = plan if plan is not self._session.plan else plan.thawed()
                    grow(plan, record.event.unit, record.event.units)
                line = {"seq": record.seq, "run": self._session.run, **to_plain(record.event, plan)}
                self._out.write(json.dumps(line, default=str) + "\n")
            if records:
                self._out.flush()
