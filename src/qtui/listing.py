"""The runs of a user, as their directories, the index of them and, where that knows too little, their journals tell."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from qtui.core.errors import QtuiError
from qtui.recordkeeping import durations_of
from qtui.store.history import Durations, History, RunSummary
from qtui.store.journal import JournalReader
from qtui.store.rundir import Holder, RunDirectory, list_runs


class KnownRun(NamedTuple):
    """A run with a record. `holder` is the process that runs it, or None; `fault` says why its record cannot be read,
    and then little else is known."""

    summary: RunSummary
    holder: Holder | None = None
    fault: str = ""

    @property
    def lost(self) -> bool:
        """True if it has no end, and nobody runs it."""
        return self.summary.ended is None and self.holder is None and not self.fault


def known_runs(state_dir: Path, source: str | None = None, limit: int = 50) -> list[KnownRun]:
    """The latest runs, of one workflow's file or of all, newest first. Raises UsageError if the place is not safe."""
    names = list_runs(state_dir)
    if not names:
        return []
    history = History(state_dir)
    if not history.complete:
        history.rebuild(_all_summaries(state_dir, names))
    summaries = {summary.run: summary for summary in history.runs(limit=len(names))}
    found: list[KnownRun] = []
    for name in reversed(names):
        if len(found) == limit:
            break
        summary = summaries.get(name)
        if source is not None and summary is not None and summary.source != source:
            continue
        known = _known(state_dir, name, summary)
        if source is None or known.summary.source == source:
            found.append(known)
    return found


def summarized(directory: RunDirectory) -> tuple[RunSummary, Durations]:
    """What a journal says in short. Raises JournalError."""
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
        state=str(view.state),
        exit_code=end.exit_code if end is not None else None,
        counts={state: count for state, count in end.counts.items() if count} if end is not None else {},
    )
    return summary, durations_of(view)


def _known(state_dir: Path, name: str, summary: RunSummary | None) -> KnownRun:
    try:
        directory = RunDirectory.open(state_dir, name)
        holder = directory.holder()
        if summary is None or (summary.ended is None and holder is None):
            summary, _ = summarized(directory)  # its end may not have reached the index
        return KnownRun(summary, holder)
    except QtuiError as error:
        unknown = RunSummary(run=name, name="", source="", directory="", began=0.0)
        return KnownRun(summary or unknown, fault=str(error))


def _all_summaries(state_dir: Path, names: list[str]) -> list[tuple[RunSummary, Durations]]:
    found = []
    for name in names:
        try:
            found.append(summarized(RunDirectory.open(state_dir, name)))
        except QtuiError:
            continue  # `known_runs` tells of it
    return found
