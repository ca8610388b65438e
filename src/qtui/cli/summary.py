"""How a run ended, on one screen: what failed and why, what took longest, and how to go on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest
from shlex import quote
from typing import Final

from rich.cells import cell_len

from qtui.cli.alike import Alike, alike_failures
from qtui.cli.earlier import AskPast
from qtui.cli.folds import harmless
from qtui.cli.regressed import LONGEST_LINE, MOST, regressed_lines
from qtui.cli.rundata import LOST, run_state, took
from qtui.cli.streams import painted
from qtui.cli.words import STATE_WORDS, counted, duration, few
from qtui.core.cutting import told_counts
from qtui.core.model import EMPTY, RunState, UnitState
from qtui.core.regress import Pasts, Regressions, regressions
from qtui.core.session import RunSession
from qtui.core.state import RunView, UnitView
from qtui.core.stimuli import LEFT_OUT_BY
from qtui.tui.text import clean, clean_lines, cut_end, cut_middle

SCREEN: Final = 24
"""Lines that most screens have."""

LOWEST: Final = 10
"""On a lower screen the end of it is seen."""

PAGES: Final = 200
"""Lines where nobody has to scroll: in files, and on the pages of CI servers."""

TAIL_LINES: Final = 20
TAIL_BYTES: Final = 64 * 1024
_INDENT: Final = "    "
_LOG: Final = f"{_INDENT}log: "
_LEAST_TAIL: Final = 3
_AROUND: Final = 3
"""Rows of a failure beside its output and the path of its log: a space, what failed, and how many are alike."""

_SLOWEST: Final = 5
_TELLING_SECONDS: Final = 1.0
"""What took less is not worth a word."""


def summary(session: RunSession, ask_past: AskPast | None = None, *, brief: bool = False, told: str = "") -> list[str]:
    """The lines for standard output: no more than the terminal has, or some pages where it is none. `ask_past` tells
    what units took in earlier runs."""
    pasts = ask_past(session) if ask_past is not None else EMPTY
    if not sys.stdout.isatty():
        return summary_lines(session, PAGES, brief=brief, pasts=pasts, told=told)
    size = shutil.get_terminal_size((80, SCREEN))
    rows = max(LOWEST, size.lines - 1)  # the prompt comes below
    return summary_lines(session, rows, size.columns, brief=brief, pasts=pasts, told=told)


def summary_lines(
    session: RunSession,
    rows: int = SCREEN,
    width: int = LONGEST_LINE,
    *,
    brief: bool = False,
    pasts: Pasts = EMPTY,
    told: str = "",
) -> list[str]:
    """The end of the run in at most `rows` rows of `width` cells: failures by cause, each with the last lines of the
    first unit, then what else there is to know, and last of all the counts. What units wrote is cut; paths, commands
    and counts are whole, and may take several rows.

    `brief` leaves out what took longest, and what is worse than in the runs that `pasts` tells of, and what ended the
    run is left out if it is what has been `told` already. Only as many logs are read as are shown.
    """
    view = session.view()
    units = [unit for unit in view.units if unit.number not in view.plan.dropped]
    found = regressions(view, session.options, pasts).here
    worse = regressed_lines(Regressions(killed=found.killed) if brief else found, _most(rows), width)
    slowest = () if brief else _slowest(units, width)
    notes = [*slowest, *worse, *_notes(units, width), *_resume(session, view)]
    end = ["", *notes, *([""] if notes else []), _counts(session, view, units, told)]
    return [harmless(line) for line in (*_failures(session, view, rows - _rows(end, width), width), *end)]


def _most(rows: int) -> int:
    """How many lines there may be of each kind of what is worse than before: failures need the room."""
    return max(1, min(MOST, rows // 8))


def _rows(lines: Iterable[str], width: int) -> int:
    """How many rows of a screen they take."""
    return sum(max(1, -(-cell_len(line) // width)) for line in lines)


# -- failures ----------------------------------------------------------------------------------------------


def _failures(session: RunSession, view: RunView, rows: int, width: int) -> Iterator[str]:
    """As many causes as have room for some lines of output; the room that is left goes to more of these."""
    causes = alike_failures(view)
    around = _AROUND + _path_rows(session, view, causes, width)
    least = around + _LEAST_TAIL
    for place, failure in enumerate(causes):
        left = causes[place:]
        rest = _rest(session, left)
        room = rows if rows >= len(left) * least else rows - _rows(rest, width)
        fitting = min(len(left), room // least)
        if place and not fitting:
            yield from rest
            return
        lines = list(_failure(session, view, failure, room // max(1, fitting) - around, width))
        rows -= _rows(lines, width)
        yield from lines


def _rest(session: RunSession, causes: Sequence[Alike]) -> list[str]:
    """What is said of causes that have no room."""
    failures = counted(sum(len(failure.units) for failure in causes), "failure")
    return ["", f"and {counted(len(causes), 'more cause')} of {failures}: qtui report {session.run}"]


def _path_rows(session: RunSession, view: RunView, causes: Sequence[Alike], width: int) -> int:
    """How many rows the path of a log takes; they are all about as long."""
    first = view.unit(causes[0].units[0]) if causes else None
    path = session.log_path(first.number, first.attempt) if first is not None else None
    return _rows([f"{_LOG}{path}"], width)


def _failure(session: RunSession, view: RunView, failure: Alike, rows: int, width: int) -> Iterator[str]:
    first = view.unit(failure.units[0])
    badge = " (allowed)" if failure.allowed else ""
    yield ""
    yield cut_end(f"{STATE_WORDS[first.state]} {clean(first.id)}: {clean(first.cause)}", width - len(badge)) + badge
    for line in _last_lines(session, first)[-max(_LEAST_TAIL, rows) :]:
        cut = cut_middle if line.startswith('  File "') else cut_end  # the end of a path is what tells where
        yield cut(f"{_INDENT}{line}", width)
    if (path := session.log_path(first.number, first.attempt)) is not None:
        yield f"{_LOG}{path}"
    if alike := len(failure.units) - 1:
        names = few((clean(view.plan.table[number].id) for number in failure.units[1:]), alike)
        yield cut_end(f"{_INDENT}and {alike} more alike: {names}", width)


def _last_lines(session: RunSession, unit: UnitView) -> list[str]:
    """The last lines of an attempt's output, and of the traceback behind it, none of them empty."""
    story = clean_lines(unit.error.traceback) if unit.error is not None and unit.error.traceback else []
    return [line for line in (*tail_of(session, unit), *story[-TAIL_LINES:]) if line.strip()]


def tail_of(session: RunSession, unit: UnitView) -> list[str]:
    """The last lines that the unit's last attempt has written, fit for a terminal."""
    if not unit.attempt:
        return []
    chunk = session.read_log(unit.number, unit.attempt, -TAIL_BYTES)
    if chunk.trouble:
        return [clean(chunk.trouble)]
    text = chunk.data.decode("utf-8", "replace")
    lines = text.removesuffix("\n").split("\n")[-TAIL_LINES:] if text else []
    return [painted(line, color=False) for line in lines]


# -- all the rest ------------------------------------------------------------------------------------------


def _slowest(units: Sequence[UnitView], width: int) -> Iterator[str]:
    """What took longest, if that was long, and not all there was."""
    took = [(end.duration, -unit.number, unit) for unit in units if (end := unit.finished) is not None and end.attempt]
    longest = nlargest(_SLOWEST, took)
    if len(took) > 1 and longest[0][0] >= _TELLING_SECONDS:
        named = [f"{clean(unit.id)} {duration(seconds)}" for seconds, _, unit in longest]
        while len(named) > 1 and cell_len(f"slowest: {', '.join(named)}") > width:
            named.pop()  # half a time is none
        yield cut_end(f"slowest: {', '.join(named)}", width)


def _notes(units: Sequence[UnitView], width: int) -> Iterator[str]:
    """What must not be taken for plain success."""
    ends = [(clean(unit.id), unit.finished) for unit in units if unit.finished is not None]
    fallbacks = [name for name, end in ends if end.fallback and not end.set_aside]
    if fallbacks:
        yield cut_end(f"went on with their fallbacks: {few(fallbacks, len(fallbacks))}", width)
    by_hand: dict[str, list[str]] = {}
    for name, end in ends:
        if end.set_aside or (end.state is UnitState.SKIPPED and end.cause.startswith(LEFT_OUT_BY)):
            by_hand.setdefault(clean(end.cause), []).append(name)
    for cause, names in by_hand.items():
        yield cut_end(f"{cause}: {few(names, len(names))}", width)
    stale = [clean(unit.id) for unit in units if unit.number in unit.view.stale]
    if stale:
        yield cut_end(f"stale, kept from before: {few(stale, len(stale))}", width)


def _resume(session: RunSession, view: RunView) -> Iterator[str]:
    """How to go on, if there is something left."""
    end = view.finished
    left = len(view.plan) - len(view.plan.dropped) - view.counts[UnitState.COMPLETED]
    if end is not None and end.exit_code and left > 0 and not session.trouble:
        yield f"qtui resume {quote(session.run)} goes on with what has not completed"
        # what ends a run without a signal is a cluster that cannot be had
        if view.state is RunState.INTERRUPTED and view.ended_by and session.options.address is not None:
            yield f"qtui resume {quote(session.run)} --address ADDRESS does so on another cluster"


def _counts(session: RunSession, view: RunView, units: Sequence[UnitView], told: str) -> str:
    end = view.finished
    ends = [unit.finished for unit in units if unit.finished is not None]
    completed = (
        (sum(each.cached for each in ends), "from the cache"),
        (sum(each.fallback and not each.set_aside for each in ends), "by fallback"),
        (sum(each.set_aside for each in ends), "marked as done"),
    )
    how = ", ".join(f"{count} {words}" for count, words in completed if count)
    counts = {state: f"{count} {state}" for state, count in told_counts(view, session.lost).items()}
    if how:
        counts[UnitState.COMPLETED] += f" ({how})"
    told_units = ", ".join(counts.values())
    if view.abandoned:
        told_units += f"; {view.abandoned} abandoned, which end with qtui"
    state = run_state(view, session.lost) if end is not None or session.lost else "unfinished"
    ended_so = view.state in (RunState.FAILED, RunState.INTERRUPTED)
    why = f": {clean(view.ended_by)}" if ended_so and view.ended_by not in ("", told) else ""
    lasted = took(view, session.now(), session.lost, duration)
    return f"{clean(view.name)}: {state} {'after' if state == LOST else 'in'} {lasted}{why} ({told_units})"
