"""``qtui history``: the runs there are, and what got slower."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from rich.cells import cell_len

from qtui.cli.reaching import state_dir_of
from qtui.cli.rundata import LOST
from qtui.cli.slower import LEAST_RUNS, Times, slower, times_of
from qtui.cli.status import NARROWEST, USUAL_WIDTH
from qtui.cli.words import duration
from qtui.core.errors import EXIT_OK, QtuiError
from qtui.core.model import UnitState
from qtui.listing import KnownRun, known_runs
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory
from qtui.tui.format import ASCII, UNICODE, prefers_ascii, short_clock
from qtui.tui.text import clean, cut_end, pad

NAME_CELLS: Final = 16
MOST_SLOWER: Final = 5
DAMAGED: Final = "unreadable"


TimesOf = Callable[[KnownRun], Times]
"""How long the units of a run took."""


def history(options: argparse.Namespace) -> int:
    """List the runs that go on and then the others, what changed last before the rest, and for each workflow what its
    latest run took longer for."""
    state_dir = state_dir_of(options)
    runs = known_runs(state_dir, options.workflow, options.limit)
    width = shutil.get_terminal_size((USUAL_WIDTH, 24)).columns if sys.stdout.isatty() else None
    ellipsis = (ASCII if prefers_ascii(os.environ, sys.stdout.encoding) else UNICODE).ellipsis
    for line in history_lines(runs, time.time(), lambda run: _times(state_dir, run)):
        print(line if width is None else cut_end(line, max(width, NARROWEST), ellipsis))
    return EXIT_OK


def _state(run: KnownRun) -> str:
    return DAMAGED if run.fault else LOST if run.lost else run.summary.state


def _times(state_dir: Path, run: KnownRun) -> Times:
    try:
        with closing(JournalReader(RunDirectory.open(state_dir, run.summary.run).journal)) as reader:
            return times_of(reader.view())
    except QtuiError:
        return {}


def history_lines(runs: Sequence[KnownRun], now: float, times: TimesOf) -> Iterator[str]:
    """The list as lines; some may be longer than a terminal is wide."""
    if not runs:
        yield "no runs"
        return
    names = min(NAME_CELLS, max(len("workflow"), *(cell_len(clean(run.summary.name)) for run in runs)))
    ids = max(len(run.summary.run) for run in runs)
    states = max(len("state"), *(len(_state(run)) for run in runs))
    yield f"{'run':<{ids}}  {'ago':>5}  {'took':>6}  {'state':<{states}}  {'workflow':<{names}}  units"
    for run in runs:
        ago = "now" if run.holder is not None else short_clock(max(0.0, now - run.changed))
        took = _took(run) if not run.fault else ""
        found = {state: count for state, count in run.summary.counts.items() if count}
        counts = ", ".join([str(sum(found.values())), *_not_completed(found)]) if found else ""
        name = pad(clean(run.summary.name), names)
        yield f"{run.summary.run:<{ids}}  {ago:>5}  {took:>6}  {_state(run):<{states}}  {name}  {counts}".rstrip()
    yield from _slower_lines(runs, times)


def _took(run: KnownRun) -> str:
    """How long processes ran it; of a lost run, nobody knows how long it went on after its last event."""
    return f"{'>' if run.lost else ''}{duration(run.summary.seconds)}"


def _not_completed(counts: Mapping[str, int]) -> Iterator[str]:
    return (f"{count} {state}" for state, count in counts.items() if state != UnitState.COMPLETED)


def _slower_lines(runs: Sequence[KnownRun], times: TimesOf) -> Iterator[str]:
    by_workflow: dict[tuple[str, str], list[KnownRun]] = {}
    for run in runs:
        if run.summary.ended is not None:
            by_workflow.setdefault((run.summary.source, run.summary.name), []).append(run)
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
