"""``qtui history``: the runs there are, and what got slower."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from rich.cells import cell_len

from qtui.cli.plain import duration
from qtui.cli.reaching import state_dir_of
from qtui.cli.rundata import counts_of, moment_of, run_state
from qtui.cli.slower import LEAST_RUNS, Times, slower, times_of
from qtui.cli.status import NARROWEST, USUAL_WIDTH
from qtui.core.errors import EXIT_OK, QtuiError
from qtui.core.model import UnitState
from qtui.store.history import History, RunSummary
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory, list_runs
from qtui.tui.format import ASCII, UNICODE, prefers_ascii, short_clock
from qtui.tui.text import clean, cut_end, pad

NAME_CELLS: Final = 16
MOST_SLOWER: Final = 5
DAMAGED: Final = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run as a line of a list. `began` is Unix seconds, None before that."""

    run: str
    workflow: str = ""
    source: str = ""
    state: str = DAMAGED
    ended: bool = False
    began: float | None = None
    seconds: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)


TimesOf = Callable[[PastRun], Times]
"""How long the units of a run took."""


def history(options: argparse.Namespace) -> int:
    """List the newest runs, the newest first, and for each workflow what its latest run took longer for."""
    state_dir = state_dir_of(options)
    runs = list(islice(past_runs(state_dir, options.workflow), options.limit))
    width = shutil.get_terminal_size((USUAL_WIDTH, 24)).columns if sys.stdout.isatty() else USUAL_WIDTH
    ellipsis = (ASCII if prefers_ascii(os.environ, sys.stdout.encoding) else UNICODE).ellipsis
    for line in history_lines(runs, time.time(), lambda run: _times(state_dir, run)):
        print(cut_end(line, max(width, NARROWEST), ellipsis))
    return EXIT_OK


def past_runs(state_dir: Path, workflow: str | None = None) -> Iterator[PastRun]:
    """The runs there are, newest first; only those of `workflow`, the name or the file of one, if that is given.

    The index knows those that have ended; what it does not know is in their journals. A run whose journal cannot be
    read is among them. Raises UsageError if the place is not safe.
    """
    runs = list_runs(state_dir)
    known = {each.run: each for each in History(state_dir).runs(limit=len(runs))} if runs else {}
    for run in reversed(runs):
        summary = known.get(run)
        if summary is not None and summary.ended is not None:
            found = _indexed(summary, summary.ended)
        else:
            found = _journaled(state_dir, run)
        if workflow is None or workflow == found.workflow or (found.source and _same_file(workflow, found.source)):
            yield found


def _indexed(summary: RunSummary, ended: float) -> PastRun:
    return PastRun(
        run=summary.run,
        workflow=summary.name,
        source=summary.source,
        state=summary.state,
        ended=True,
        began=summary.began,
        seconds=max(0.0, ended - summary.began),
        counts={state: count for state, count in summary.counts.items() if count},
    )


def _journaled(state_dir: Path, run: str) -> PastRun:
    try:
        directory = RunDirectory.open(state_dir, run)
        with closing(JournalReader(directory.journal)) as reader:
            head, view = reader.head, reader.view()
        lost = view.finished is None and directory.holder() is None
    except QtuiError:  # doctor says why; the others are still worth a list
        return PastRun(run=run)
    return PastRun(
        run=run,
        workflow=head.name,
        source=str(head.origin.get("source") or ""),
        state=run_state(view, lost),
        ended=view.finished is not None,
        began=view.started_at,
        seconds=view.elapsed(moment_of(view, time.time(), lost)),
        counts=counts_of(view, lost),
    )


def _times(state_dir: Path, run: PastRun) -> Times:
    try:
        with closing(JournalReader(RunDirectory.open(state_dir, run.run).journal)) as reader:
            return times_of(reader.view())
    except QtuiError:
        return {}


def _same_file(given: str, source: str) -> bool:
    return os.path.realpath(given) == os.path.realpath(source)


def history_lines(runs: Sequence[PastRun], now: float, times: TimesOf) -> Iterator[str]:
    """The list as lines; some may be longer than a terminal is wide."""
    if not runs:
        yield "no runs"
        return
    names = min(NAME_CELLS, max(len("workflow"), *(cell_len(clean(run.workflow)) for run in runs)))
    ids = max(len(run.run) for run in runs)
    states = max(len("state"), *(len(run.state) for run in runs))
    yield f"{'run':<{ids}}  {'ago':>5}  {'took':>6}  {'state':<{states}}  {'workflow':<{names}}  units"
    for run in runs:
        ago = short_clock(max(0.0, now - run.began)) if run.began is not None else ""
        took = duration(run.seconds) if run.began is not None else ""
        counts = ", ".join([str(sum(run.counts.values())), *_not_completed(run.counts)]) if run.counts else ""
        name = pad(clean(run.workflow), names)
        yield f"{run.run:<{ids}}  {ago:>5}  {took:>6}  {run.state:<{states}}  {name}  {counts}".rstrip()
    yield from _slower_lines(runs, times)


def _not_completed(counts: Mapping[str, int]) -> Iterator[str]:
    return (f"{count} {state}" for state, count in counts.items() if state != UnitState.COMPLETED)


def _slower_lines(runs: Sequence[PastRun], times: TimesOf) -> Iterator[str]:
    by_workflow: dict[tuple[str, str], list[PastRun]] = {}
    for run in runs:
        if run.ended:
            by_workflow.setdefault((run.source, run.workflow), []).append(run)
    for (_, workflow), (latest, *before) in by_workflow.items():
        if len(before) < LEAST_RUNS:
            continue
        found = slower(times(latest), [times(run) for run in before])
        if not found:
            continue
        yield ""
        yield f"slower in the latest run of {clean(workflow)}, against the median of those before:"
        names = max(cell_len(clean(each.family)) for each in found[:MOST_SLOWER])
        for each in found[:MOST_SLOWER]:
            more = f"+{(each.now / each.before - 1) * 100:.0f} %" if each.before else ""
            name = pad(clean(each.family), names)
            yield f"  {name}  {duration(each.before):>6} -> {duration(each.now):>6}  {more}".rstrip()
        if len(found) > MOST_SLOWER:
            yield f"  and {len(found) - MOST_SLOWER} more"
