"""``qtui history``: the runs there are, and what got worse."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from rich.cells import cell_len

from qtui.cli.earlier import past_of
from qtui.cli.reaching import state_dir_of
from qtui.cli.regressed import regressed_lines
from qtui.cli.rundata import LOST
from qtui.cli.status import NARROWEST, UNCUT, USUAL_WIDTH
from qtui.cli.words import duration
from qtui.core.errors import EXIT_OK, QtuiError
from qtui.core.facts import RunFacts
from qtui.core.model import UnitState
from qtui.core.regress import Regressions, regressions
from qtui.listing import KnownRun, known_runs
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory
from qtui.tui.charset import ascii_only
from qtui.tui.format import ASCII, UNICODE, short_clock
from qtui.tui.text import clean, cut_end, pad

NAME_CELLS: Final = 16
DAMAGED: Final = "unreadable"
_INDENT: Final = "  "


def history(options: argparse.Namespace) -> int:
    """List the runs that go on and then the others, what changed last before the rest, and for each workflow what is
    worse in its latest run than before."""
    state_dir = state_dir_of(options)
    runs = known_runs(state_dir, options.workflow, options.limit)
    on_screen = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((USUAL_WIDTH, 24)).columns, NARROWEST) if on_screen else UNCUT
    ellipsis = (ASCII if ascii_only(sys.stdout) else UNICODE).ellipsis
    for line in history_lines(runs, time.time()):
        print(cut_end(line, width, ellipsis))
    for line in _worse_lines(state_dir, runs, width):
        print(line)
    return EXIT_OK


def _state(run: KnownRun) -> str:
    return DAMAGED if run.fault else LOST if run.lost else run.summary.state


def history_lines(runs: Sequence[KnownRun], now: float) -> Iterator[str]:
    """The list as lines; some may be longer than a terminal is wide."""
    if not runs:
        yield "no runs"
        return
    names = min(NAME_CELLS, max(len("workflow"), *(cell_len(clean(run.summary.name)) for run in runs)))
    ids = max(len(run.summary.run) for run in runs)
    states = max(len("state"), *(len(_state(run)) for run in runs))
    yield f"{'run':<{ids}}  {'ago':>5}  {'took':>6}  {'state':<{states}}  {'workflow':<{names}}  units"
    for run in runs:
        at = run.changed if run.holder is None else run.summary.ended  # who looks at an end changes nothing
        ago = "now" if at is None else short_clock(max(0.0, now - at))
        took = _took(run) if not run.fault else ""
        found = {state: count for state, count in run.summary.counts.items() if count}
        counts = ", ".join([str(sum(found.values())), *_not_completed(found)]) if found else ""
        name = pad(clean(run.summary.name), names)
        yield f"{run.summary.run:<{ids}}  {ago:>5}  {took:>6}  {_state(run):<{states}}  {name}  {counts}".rstrip()


def _took(run: KnownRun) -> str:
    """How long processes ran it; of a lost run, nobody knows how long it went on after its last event."""
    return f"{'>' if run.lost else ''}{duration(run.summary.seconds)}"


def _not_completed(counts: Mapping[str, int]) -> Iterator[str]:
    return (f"{count} {state}" for state, count in counts.items() if state != UnitState.COMPLETED)


def _worse_lines(state_dir: Path, runs: Sequence[KnownRun], width: int) -> Iterator[str]:
    """What is worse in the latest run of each workflow that has ended. One journal is read of each."""
    latest: dict[tuple[str, str], KnownRun] = {}
    for run in runs:
        if run.summary.ended is not None:
            latest.setdefault((run.summary.source, run.summary.name), run)
    for (source, workflow), run in latest.items():
        lines = list(regressed_lines(_worse(state_dir, run.summary.run, source), width=width - len(_INDENT)))
        if lines:
            yield ""
            yield f"in the latest run of {clean(workflow)}:"
            yield from (_INDENT + line for line in lines)


def _worse(state_dir: Path, run: str, source: str) -> Regressions:
    try:
        with closing(JournalReader(RunDirectory.open(state_dir, run).journal)) as reader:
            view, head = reader.view(), reader.head
    except QtuiError:
        return Regressions()
    return regressions(view, head.options, past_of(state_dir, RunFacts(params=head.params, source=source), view.plan))
