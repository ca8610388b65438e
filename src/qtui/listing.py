"""The runs of a user, as their directories, the index of them and, where that knows too little, their journals tell."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from qtui.core.cutting import told_counts
from qtui.core.errors import QtuiError
from qtui.core.state import RunView
from qtui.recordkeeping import completions_of
from qtui.store.history import Completions, History, RunSummary
from qtui.store.journal import JournalReader
from qtui.store.rundir import Holder, RunDirectory, last_change, latest_runs, list_runs


class KnownRun(NamedTuple):
    """A run with a record. `holder` is the process that runs it, or None; `fault` says why its record cannot be read,
    and then little else is known. `changed` is when its record last changed (Unix seconds)."""

    summary: RunSummary
    holder: Holder | None = None
    fault: str = ""
    changed: float = 0.0

    @property
    def lost(self) -> bool:
        """True if it has no end, and nobody runs it."""
        return self.summary.ended is None and self.holder is None and not self.fault


def known_runs(state_dir: Path, workflow: str | None = None, limit: int = 50) -> list[KnownRun]:
    """The latest runs, of all workflows or of the one with that name or file, in the order of `latest_runs`.

    The index knows those that have ended; of the others, and of those that somebody has taken up again, their journals
    tell. Raises UsageError if the place is not safe.
    """
    names = latest_runs(state_dir)
    if not names:
        return []
    summaries = {summary.run: summary for summary in complete_index(state_dir).runs(limit=len(names))}
    found: list[KnownRun] = []
    for name in names:
        if len(found) == limit:
            break
        summary = summaries.get(name)
        if summary is not None and not _is_of(summary, workflow):
            continue
        known = _known(state_dir, name, summary)
        if _is_of(known.summary, workflow):
            found.append(known)
    return found


def complete_index(state_dir: Path) -> History:
    """The index, which knows what units took in every run that has a record: if it was made anew, or by an older
    version, the journals are read, some 0.3 s for each run of 10,000 units. Raises UsageError if the place is not safe.
    """
    history = History(state_dir)
    if not history.complete and (names := list_runs(state_dir)):
        history.rebuild(_all_told(state_dir, sorted(names)))  # ids begin with their time
    return history


def _is_of(run: RunSummary, workflow: str | None) -> bool:
    if workflow is None or workflow in (run.name, run.source):
        return True
    return bool(run.source) and os.path.realpath(workflow) == os.path.realpath(run.source)


def _read(directory: RunDirectory, *, live: bool = False) -> tuple[RunSummary, RunView, Mapping[str, Any]]:
    """What a journal says in short, and in full, and the run's params. Raises JournalError.

    A run that is not `live` went on until its last event, as far as anybody knows.
    """
    with closing(JournalReader(directory.journal)) as reader:
        head, view = reader.head, reader.view()
    end = view.finished
    summary = RunSummary(
        run=directory.run,
        name=head.name,
        source=str(head.origin.get("source") or ""),
        directory=head.directory or "",
        began=head.created,
        ended=end.at if end is not None else None,
        seconds=view.elapsed(time.time() if live else view.updated_at),
        state=str(view.state),
        exit_code=end.exit_code if end is not None else None,
        counts=told_counts(view, lost=not live and end is None),
    )
    return summary, view, head.params


def _known(state_dir: Path, name: str, summary: RunSummary | None) -> KnownRun:
    changed = 0.0
    try:
        directory = RunDirectory.open(state_dir, name)
        holder, changed = directory.holder(), last_change(directory.path) / 1e9
        if summary is None or summary.ended is None or holder is not None:
            # its end, or that it goes on, may not have reached the index
            summary, *_ = _read(directory, live=holder is not None)
        return KnownRun(summary, holder, changed=changed)
    except (QtuiError, OSError) as error:
        unknown = RunSummary(run=name, name="", source="", directory="", began=0.0)
        return KnownRun(summary or unknown, fault=str(error), changed=changed)


def _all_told(state_dir: Path, names: Iterable[str]) -> Iterator[tuple[RunSummary, Completions]]:
    for name in names:
        try:
            summary, view, params = _read(RunDirectory.open(state_dir, name))
        except QtuiError:
            continue  # `known_runs` tells of it
        yield summary, completions_of(view, params=params)
