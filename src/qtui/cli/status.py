"""``qtui status``: how a run is going, once, for a person or a script."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len

from qtui.cli.reaching import gone, opened
from qtui.cli.rundata import (
    NO_STARTS,
    Starts,
    cut_starts,
    moment_of,
    run_data,
    run_state,
    told_cause,
    took,
    unit_took,
    was_lost,
)
from qtui.cli.words import counted
from qtui.core.cutting import counts_of, is_cut
from qtui.core.errors import EXIT_INTERNAL, EXIT_OK
from qtui.core.events import ConfirmRequested
from qtui.core.model import UnitState
from qtui.core.state import RunView, UnitView
from qtui.tui.format import ASCII, UNICODE, Glyphs, Look, cause_of, clock, look_of, prefers_ascii, short_clock
from qtui.tui.text import clean, cut_end, cut_middle, pad

MOST_ROWS: Final = 40
"""How many units are listed for a person; a script takes ``--json``."""

NARROWEST: Final = 40
USUAL_WIDTH: Final = 80

_ORDER: Final = (
    Look.RUN,
    Look.STOP,
    Look.ASK,
    Look.RETRY,
    Look.FAIL,
    Look.TIME,
    Look.QUEUE,
    Look.READY,
    Look.WAIT,
    Look.CANC,
    Look.SKIP,
    Look.OK,
    Look.HIT,
)
_CLOCK_CELLS: Final = 5
_WORD_CELLS: Final = 5


def status(options: argparse.Namespace) -> int:
    """Tell what is known now, and return 0; with ``--wait``, at the end of the run, and return its exit code.

    A run that is lost has no end: it is told at once, with or without ``--wait``, which returns 3 then. 2 if there is
    no such run, or its record cannot be read.
    """
    with opened(options) as session:
        if options.wait:
            session.wait()
        lost, view, now = session.lost, session.view(), session.now()
        starts = cut_starts(session, view)
        if session.trouble and not lost:
            print(f"qtui: {clean(session.trouble)}", file=sys.stderr)
        if options.json:
            print(json.dumps(run_data(session.run, view, now, lost=lost, starts=starts), indent=2, default=str))
        else:
            glyphs = ASCII if prefers_ascii(os.environ, sys.stdout.encoding) else UNICODE
            width = shutil.get_terminal_size((USUAL_WIDTH, 24)).columns if sys.stdout.isatty() else USUAL_WIDTH
            width = max(width, NARROWEST)
            for line in status_lines(session.run, view, now, glyphs, width, lost=lost, starts=starts):
                print(line)
    if not options.wait:
        return EXIT_OK
    return view.finished.exit_code if view.finished is not None else EXIT_INTERNAL


def status_lines(
    run: str,
    view: RunView,
    now: float,
    glyphs: Glyphs,
    width: int = USUAL_WIDTH,
    *,
    lost: bool = False,
    starts: Starts = NO_STARTS,
) -> Iterator[str]:
    """The run in lines of at most `width` cells: its state, counts, and its units, those that run first."""
    at = moment_of(view, now, lost)
    for line in _head(run, view, at, lost):
        yield cut_end(line, width, glyphs.ellipsis)
    units = sorted(view.units, key=lambda unit: _ORDER.index(_rank(unit, lost)))
    shown = units[:MOST_ROWS]
    ids = min(max((cell_len(clean(unit.id)) for unit in shown), default=0), max(12, width * 2 // 5))
    if shown:
        yield ""
    for unit in shown:
        yield cut_end(_row(unit, at, glyphs, ids, lost, starts), width, glyphs.ellipsis)
    if left := len(units) - len(shown):
        yield cut_end(f"and {counted(left, 'more unit')}; --json has them all", width, glyphs.ellipsis)


def _head(run: str, view: RunView, at: float, lost: bool) -> Iterator[str]:
    yield f"{clean(view.name) or 'run'}  {run}"
    state = run_state(view, lost)
    words = f"{state} {'after' if view.state.ended or lost else 'for'} {took(view, at, lost, clock)}"
    if not view.state.ended and not lost:
        words += ", paused" if view.paused else ""
        words += f", stopping: {clean(view.stopping.cause)}" if view.stopping is not None else ""
    if view.finished is not None:
        words += f", exit code {view.finished.exit_code}"
    yield words
    if view.unsaved and not view.state.ended:
        yield f"the record cannot be written: {clean(view.unsaved)}; nothing new starts"
    if lost and not view.state.ended:
        yield gone(run)
    counts = ", ".join(f"{count} {state}" for state, count in _counts(view, lost))
    yield f"{counted(len(view.plan), 'unit')}: {counts}" if counts else "no units"


def _counts(view: RunView, lost: bool) -> Iterator[tuple[str, int]]:
    """How many units are in each state; what is ready and waits for a person's yes does not wait for a worker."""
    for state, count in counts_of(view, lost).items():
        if state != UnitState.READY or lost:
            yield state, count
            continue
        if view.asked:
            yield "asking", view.asked
        if count > view.asked:
            yield state, count - view.asked


def _rank(unit: UnitView, lost: bool) -> Look:
    """Where the unit stands: what was cut stands where it stood when it ran."""
    return Look.RUN if is_cut(unit.view, unit.number, lost) else look_of(unit)


def _row(unit: UnitView, at: float, glyphs: Glyphs, ids: int, lost: bool, starts: Starts) -> str:
    look = look_of(unit)
    sign, word = glyphs.sign(look), str(look)
    cause = cause_of(unit, at)
    if is_cut(unit.view, unit.number, lost):
        sign, word = glyphs.sign(Look.CANC), "cut"
        cause = clean(told_cause(unit, at, lost, short_clock))
    elif isinstance(last := unit.view.last[unit.number], ConfirmRequested):
        cause = clean(last.question)
    elif unit.number in unit.view.stale:
        cause = f"stale: {clean(unit.view.stale[unit.number])}"
    elif unit.state is UnitState.PENDING and not cause:
        cause = _needs(unit)
    # "at least" has no place in the column of times: the cause tells it
    time = unit_took(unit, at, lost, starts, short_clock) if not was_lost(unit, lost) else ""
    name = pad(cut_middle(clean(unit.id), ids, glyphs.ellipsis), ids)
    return f"{sign} {word:<{_WORD_CELLS}} {name}  {time:>{_CLOCK_CELLS}}  {cause}".rstrip()


def _needs(unit: UnitView) -> str:
    """What the unit waits for, where that is one other."""
    view = unit.view
    needs = [need for need in view.plan.needs[unit.number] if not view.states[need].ended]
    return f"needs {clean(view.plan.table[needs[0]].id)}" if len(needs) == 1 else ""
