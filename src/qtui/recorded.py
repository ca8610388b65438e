"""What sessions share whose run is known from its directory alone: the logs there, and where to begin in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from qtui.core.events import Event, PlanReplaced
from qtui.core.folding import fold
from qtui.core.logtimes import UNTIMED, LogTimes
from qtui.core.plan import ExecutionPlan
from qtui.core.session import LogChunk
from qtui.core.state import RunView
from qtui.engine.files import RunFiles
from qtui.engine.logs import LogStore
from qtui.store.journal import JournalReader

FEW_EVENTS: Final = 20_000
"""A record of fewer events is read from the first one on: that takes a tenth of a second."""

LATEST_EVENTS: Final = 2_000
"""How many events of a longer record are read: what an events pane shows."""

NO_LOG: Final = LogChunk(b"", 0, 0)


class _FilesOfOthers(RunFiles):
    """The files that another process writes: nothing is made here."""

    def existing(self, name: str) -> str | None:
        """That directory, if it is there."""
        path = self.root() / name
        return str(path) if path.is_dir() else None


class RecordedLogs:
    """The logs in the directory of a run. Units are numbers of the plan that is given; others have no log."""

    def __init__(self, directory: Path) -> None:
        self._files = _FilesOfOthers(directory)

    def read(self, plan: ExecutionPlan, unit: int, attempt: int, offset: int, limit: int) -> LogChunk:
        """A piece of an attempt's output; see RunSession."""
        return LogStore(self._files, plan).read(unit, attempt, offset, limit) if unit < len(plan) else NO_LOG

    def times(self, plan: ExecutionPlan, unit: int, attempt: int) -> LogTimes:
        """When the lines of it were written."""
        return LogStore(self._files, plan).times(unit, attempt) if unit < len(plan) else UNTIMED

    def path(self, plan: ExecutionPlan, unit: int, attempt: int) -> str | None:
        """The file of an attempt's output, or None."""
        path = LogStore(self._files, plan).existing(unit, attempt) if unit < len(plan) else None
        return str(path) if path is not None else None


def read_latest(reader: JournalReader, upto: int) -> tuple[RunView, list[Event]]:
    """A view to begin with, and the events behind it as far as `upto`: all of a short record, the latest of a long one;
    of one plan."""
    opening = reader.view(0 if upto < FEW_EVENTS else upto - LATEST_EVENTS)
    return of_one_plan(opening, reader.after(opening.seq, upto - opening.seq) if upto > opening.seq else [])


def of_one_plan(opening: RunView, events: list[Event]) -> tuple[RunView, list[Event]]:
    """A view and the events behind it, from the latest replacement of the plan on: that gives numbers to units anew."""
    replaced = [at for at, event in enumerate(events, 1) if isinstance(event, PlanReplaced)]
    begin = replaced[-1] if replaced else 0
    return fold(opening, events[:begin]) if begin else opening, events[begin:]
