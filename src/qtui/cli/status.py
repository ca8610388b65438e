"""``qtui status``: how a run is going, once, for a person or a script."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len

from qtui.cli.answers import LOOK_SECONDS, questions
from qtui.cli.naming import units_named
from qtui.cli.reaching import gone, opened, state_dir_of
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
from qtui.cli.telling import tell
from qtui.cli.words import counted
from qtui.core.cutting import is_cut, told_counts
from qtui.core.errors import EXIT_INTERNAL, EXIT_OK
from qtui.core.state import RunView, UnitView
from qtui.core.why import Reasons
from qtui.tui.format import ASCII, UNICODE, Glyphs, Look, cause_of, clock, look_of, prefers_ascii, short_clock
from qtui.tui.text import clean, cut_end, cut_middle, pad

if TYPE_CHECKING:
    from qtui.attached import AttachedSession

FORECAST_SECONDS: Final = 0.25
"""How much CPU may go to the question when the run ends."""

MOST_ROWS: Final = 40
"""How many units are listed for a person; a script takes ``--json``."""

NARROWEST: Final = 40
UNCUT: Final = 1 << 16
"""More cells than a line has: where there is no terminal, nothing is cut."""

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
    """Tell what is known now, of units that are named all that is in their way, and return 0; with ``--wait``, at the
    end of the run, and return its exit code; questions to a person are told on standard error meanwhile.

    A run that is lost has no end: it is told at once, with or without ``--wait``, which returns 3 then. 2 if there is
    no such run or unit, or its record cannot be read.
    """
    with opened(options) as session:
        if options.wait:
            _wait(session)
        lost, view, now = session.lost, session.view(), session.now()
        starts, left = cut_starts(session, view), _left(session, options)
        if session.trouble and not lost:
            tell(session.trouble)
        reasons = Reasons(view.plan, session.options)
        reasons.update(view, lost=lost)
        chosen = units_named(view.plan, options.units) if options.units else None
        if options.json:
            data = {**run_data(session.run, view, now, lost=lost, starts=starts), "left": left}
            if chosen is not None:
                data["units"] = [{**data["units"][n], "why": reasons.all_words(n, now)} for n in chosen]
            print(json.dumps(data, indent=2, default=str))
        else:
            glyphs = ASCII if prefers_ascii(os.environ, sys.stdout.encoding) else UNICODE
            columns = shutil.get_terminal_size((USUAL_WIDTH, 24)).columns if sys.stdout.isatty() else UNCUT
            width = max(columns, NARROWEST)
            if chosen is None:
                text = left["text"] if left is not None else ""
                lines = status_lines(
                    session.run, view, reasons, now, glyphs, width, lost=lost, starts=starts, left=text
                )
            else:
                lines = unit_lines(view, reasons, chosen, now, glyphs, width, lost=lost, starts=starts)
            for line in lines:
                print(line)
    if not options.wait:
        return EXIT_OK
    return view.finished.exit_code if view.finished is not None else EXIT_INTERNAL


def _left(session: AttachedSession, options: argparse.Namespace) -> dict[str, Any] | None:
    """The seconds until a run that goes on has ended, as ``p10``, ``p50`` and ``p90``, and as ``text`` in words; None
    where nothing is known of its units."""
    if session.lost or session.view().state.ended:
        return None
    # imported here: only who asks for a run that goes on pays for it
    from qtui.cli.earlier import past_in, seconds_of
    from qtui.tui.forecaster import told_at_once
    from qtui.tui.outlook import left_words

    told = told_at_once(session, seconds_of(past_in(state_dir_of(options))(session)), FORECAST_SECONDS)
    if told is None:
        return None
    now = session.now()
    p10, p50, p90 = (round(seconds, 3) for seconds in told.left(now))
    return {"p10": p10, "p50": p50, "p90": p90, "text": left_words(told, told.view, now)}


def _wait(session: AttachedSession) -> None:
    """Wait for the end of the run, or until it is lost; what it waits for a person with meanwhile is told."""
    told: set[str] = set()
    while session.wait(LOOK_SECONDS) is None and not session.lost:
        waiting = {question.text: question.spare for question in questions(session)}
        for text in waiting.keys() - told:
            tell(f"{text} {waiting[text]}")
        told = set(waiting)


def status_lines(
    run: str,
    view: RunView,
    reasons: Reasons,
    now: float,
    glyphs: Glyphs,
    width: int = USUAL_WIDTH,
    *,
    lost: bool = False,
    starts: Starts = NO_STARTS,
    left: str = "",
) -> Iterator[str]:
    """The run in lines of at most `width` cells: its state, counts, and its units, those that run first; `reasons` are
    those of the view, and `left` tells how long the run is expected to take, if anybody knows."""
    at = moment_of(view, now, lost)
    for line in _head(run, view, at, lost, left):
        yield cut_end(line, width, glyphs.ellipsis)
    units = sorted(view.units, key=lambda unit: _ORDER.index(_rank(unit, lost)))
    shown = units[:MOST_ROWS]
    ids = min(max((cell_len(clean(unit.id)) for unit in shown), default=0), max(12, width * 2 // 5))
    if shown:
        yield ""
    for unit in shown:
        yield cut_end(_row(unit, reasons, at, glyphs, ids, lost, starts), width, glyphs.ellipsis)
    if hidden := len(units) - len(shown):
        yield cut_end(f"and {counted(hidden, 'more unit')}; --json has them all", width, glyphs.ellipsis)


def unit_lines(
    view: RunView,
    reasons: Reasons,
    numbers: Sequence[int],
    now: float,
    glyphs: Glyphs,
    width: int = USUAL_WIDTH,
    *,
    lost: bool = False,
    starts: Starts = NO_STARTS,
) -> Iterator[str]:
    """The rows of some units, and below each of those that wait all that is in its way."""
    at = moment_of(view, now, lost)
    ids = max(cell_len(clean(view.plan.table[number].id)) for number in numbers)
    for number in numbers:
        row = _row(view.unit(number), reasons, at, glyphs, min(ids, max(12, width * 2 // 5)), lost, starts)
        yield cut_end(row, width, glyphs.ellipsis)
        for why in reasons.all_words(number, at):
            yield cut_end(f"  {clean(why)}", width, glyphs.ellipsis)


def _head(run: str, view: RunView, at: float, lost: bool, left: str) -> Iterator[str]:
    yield f"{clean(view.name) or 'run'}  {run}"
    state = run_state(view, lost)
    words = f"{state} {'after' if view.state.ended or lost else 'for'} {took(view, at, lost, clock)}"
    if not view.state.ended and not lost:
        words += ", paused" if view.paused else ""
        words += f", stopping: {clean(view.stopping.cause)}" if view.stopping is not None else ""
        words += f", {left}" if left else ""
    if view.finished is not None:
        words += f", exit code {view.finished.exit_code}"
    yield words
    if view.unsaved and not view.state.ended:
        yield f"the record cannot be written: {clean(view.unsaved)}; nothing new starts"
    if lost and not view.state.ended:
        yield gone(run)
    counts = ", ".join(f"{count} {state}" for state, count in told_counts(view, lost).items())
    yield f"{counted(len(view.plan), 'unit')}: {counts}" if counts else "no units"


def _rank(unit: UnitView, lost: bool) -> Look:
    """Where the unit stands: what was cut stands where it stood when it ran."""
    return Look.RUN if is_cut(unit.view, unit.number, lost) else look_of(unit)


def _row(unit: UnitView, reasons: Reasons, at: float, glyphs: Glyphs, ids: int, lost: bool, starts: Starts) -> str:
    look = look_of(unit)
    sign, word = glyphs.sign(look), str(look)
    cause = cause_of(unit, at, reasons.words(unit.number, at))
    if is_cut(unit.view, unit.number, lost):
        sign, word = glyphs.sign(Look.CANC), "cut"
        cause = clean(told_cause(unit, at, lost, short_clock))
    elif unit.number in unit.view.stale:
        cause = f"stale: {clean(unit.view.stale[unit.number])}"
    # "at least" has no place in the column of times: the cause tells it
    time = unit_took(unit, at, lost, starts, short_clock) if not was_lost(unit, lost) else ""
    name = pad(cut_middle(clean(unit.id), ids, glyphs.ellipsis), ids)
    return f"{sign} {word:<{_WORD_CELLS}} {name}  {time:>{_CLOCK_CELLS}}  {cause}".rstrip()
