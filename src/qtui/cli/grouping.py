"""The output of units between the lines of a run: as blocks at their ends, so that it is not mixed, or as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from qtui.cli.folds import Page
from qtui.cli.manner import INDENT, Manner
from qtui.cli.streams import Growing, Line, painted
from qtui.core.plan import ExecutionPlan
from qtui.core.session import LogChunk, RunSession
from qtui.tui.format import time_of_day
from qtui.tui.text import clean, clean_lines

LOOK_SECONDS: Final = 0.2
"""How often it is looked what units that run have printed, where somebody wants to know at once."""

BLOCK_LIMIT: Final = 1 << 20
"""Of a block so many bytes are shown; it says where the rest is."""


class _Going(NamedTuple):
    """An attempt that goes on."""

    attempt: int
    log: Growing
    prefix: str


class UnitOutput:
    """Writes what the units of a run print to a page."""

    def __init__(self, session: RunSession, page: Page, manner: Manner) -> None:
        self._session, self._page, self._manner = session, page, manner
        self._going: dict[int, _Going] = {}
        self._looked_at = 0.0

    def began(self, plan: ExecutionPlan, unit: int, attempt: int) -> None:
        """An attempt begins."""
        if self._manner.looks:
            self._going[unit] = self._attempt(plan, unit, attempt)

    def look(self) -> bool:
        """Take up what has been printed since, if it is time; says whether something was written to the page."""
        now, written = self._session.now(), False
        if not self._going or now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        for going in self._going.values():
            if self._manner.streams:
                for line in going.log.lines(now, BLOCK_LIMIT):
                    self._page.line(self._shown(line, going.prefix))
                    written = True
            else:
                going.log.look(now)
        return written

    def ended(
        self, plan: ExecutionPlan, unit: int, attempt: int, title: str, at: float, *, failed: bool, story: str = ""
    ) -> None:
        """An attempt has ended, as the line `title` tells and, for one that failed, its traceback, `story`."""
        going = self._going.pop(unit, None)
        if going is None or going.attempt != attempt:
            going = self._attempt(plan, unit, attempt)
        if self._manner.streams:
            for line in (*going.log.lines(at), *going.log.rest(at)):
                self._page.line(self._shown(line, going.prefix))
            if going.log.trouble:
                self._page.line(f"{going.prefix}{_unread(going.log)}")
        self._page.block(title, self._block(going, unit, at, story, failed=failed), at)

    def forget(self, unit: int) -> None:
        """No attempt of the unit goes on."""
        self._going.pop(unit, None)

    def forget_all(self) -> None:
        """Nothing goes on, and units may have other numbers from here on."""
        self._going.clear()

    def _block(self, going: _Going, unit: int, at: float, story: str, *, failed: bool) -> Iterator[str]:
        if self._manner.shows(failed=failed):
            for line in going.log.lines(at, BLOCK_LIMIT):
                yield self._shown(line, going.prefix)
            if left := going.log.left:
                yield f"{INDENT}... {left} more bytes: {self._session.log_path(unit, going.attempt)}"
            else:
                yield from (self._shown(line, going.prefix) for line in going.log.rest(at))
            if going.log.trouble:
                yield f"{INDENT}{_unread(going.log)}"
        if story and self._manner.output != "none":
            yield from (f"{INDENT}{line}" for line in clean_lines(story))

    def _shown(self, line: Line, prefix: str) -> str:
        clock = f"{time_of_day(line.at)} " if self._manner.timestamps else ""
        return f"{prefix}{clock}{painted(line.text, color=self._manner.color)}"

    def _attempt(self, plan: ExecutionPlan, unit: int, attempt: int) -> _Going:
        def read(offset: int, limit: int) -> LogChunk:
            return self._session.read_log(unit, attempt, offset, limit)

        known = plan.table[unit]
        prefix = self._manner.before(self._session.run, clean(known.id), clean(known.name), attempt)
        return _Going(attempt, Growing(read), prefix)


def _unread(log: Growing) -> str:
    """What stands where output would, had it been read."""
    return f"... {clean(log.trouble)}"
