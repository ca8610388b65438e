"""A run as Markdown, for a pull request, a wiki or a mail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from qtui.cli.alike import alike_failures
from qtui.cli.junit import Tail
from qtui.cli.regressed import regressed_lines
from qtui.cli.rundata import (
    NO_STARTS,
    Starts,
    is_allowed,
    moment_of,
    run_state,
    took,
    unit_state,
    unit_took,
)
from qtui.cli.words import counted, duration, few
from qtui.core.cutting import cut_cause, is_cut, told_counts
from qtui.core.regress import Regressions
from qtui.core.state import RunView, UnitView
from qtui.tui.text import clean, clean_lines

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$@:]|(?<=www)\.)", re.IGNORECASE)
MOST_CAUSES: Final = 50
MOST_ALIKE: Final = 20
"""How many failures are told with what they printed, and how many more are named with each."""

MOST_WORSE: Final = 20
"""Lines of each kind of what is worse than before."""

NO_WORSE: Final = Regressions()

_FENCE: Final = re.compile("`{3,}")


def markdown(
    run: str,
    view: RunView,
    now: float,
    tail: Tail,
    *,
    lost: bool = False,
    starts: Starts = NO_STARTS,
    worse: Regressions = NO_WORSE,
) -> str:
    """The report: how the run ended, each failure with the last lines of its output, what is `worse` than in earlier
    runs, and a table of all units."""
    return "\n".join(_lines(run, view, moment_of(view, now, lost), tail, lost, starts, worse)) + "\n"


def _lines(
    run: str, view: RunView, at: float, tail: Tail, lost: bool, starts: Starts, worse: Regressions
) -> Iterator[str]:
    state, counts = run_state(view, lost), told_counts(view, lost)
    yield f"# {plain(view.name or run)}: {state}"
    yield ""
    yield f"- Run: {plain(run)}"
    if view.started_at is not None:
        yield f"- Began: {datetime.fromtimestamp(view.started_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield f"- Took: {took(view, at, lost, duration)}"
    if view.finished is not None:
        yield f"- Exit code: {view.finished.exit_code}"
    yield f"- Units: {', '.join(f'{count} {state}' for state, count in counts.items())}"
    yield from _failures(view, tail)
    if any(worse):
        yield ""
        yield "## Worse than before"
        yield ""
        yield from (f"- {plain(line)}" for line in regressed_lines(worse, MOST_WORSE))
    yield ""
    yield "## Units"
    yield ""
    yield "| Unit | State | Tries | Took | Cause |"
    yield "|---|---|--:|--:|---|"
    for unit in view.units:
        cells = (
            plain(unit.id),
            unit_state(unit, lost),
            str(unit.attempt) if unit.attempt else "",
            unit_took(unit, at, lost, starts, duration),
            plain(cut_cause(unit) if is_cut(view, unit.number, lost) else unit.cause),
        )
        yield f"| {' | '.join(cells)} |"


def _failures(view: RunView, tail: Tail) -> Iterator[str]:
    """One of each cause, and who else it has hit."""
    causes = alike_failures(view)
    if causes:
        yield ""
        yield "## Failures"
    for cause in causes[:MOST_CAUSES]:
        yield from _failure(view.unit(cause.units[0]), tail)
        if alike := len(cause.units) - 1:
            names = (plain(view.plan.table[number].id) for number in cause.units[1:])
            yield ""
            yield f"And {alike} more alike: {few(names, alike, MOST_ALIKE)}"
    if rest := causes[MOST_CAUSES:]:
        units = sum(len(cause.units) for cause in rest)
        yield ""
        yield f"And {counted(len(rest), 'more cause')} of {counted(units, 'failure')}, which are in the table."


def _failure(unit: UnitView, tail: Tail) -> Iterator[str]:
    yield ""
    yield f"### {plain(unit.id)}{' (allowed to fail)' if is_allowed(unit) else ''}"
    yield ""
    yield f"{unit.state}: {plain(unit.cause)}"
    traceback = clean_lines(unit.error.traceback) if unit.error is not None and unit.error.traceback else []
    shown = [*tail(unit), *traceback]
    if shown:
        fence = "`" * max([3, *(len(ticks) + 1 for line in shown for ticks in _FENCE.findall(line))])
        yield ""
        yield f"{fence}text"
        yield from shown
        yield fence


def plain(text: str) -> str:
    """Any text as words of a paragraph or cells of a table: nothing in it is taken for markup, link or mention."""
    return _MARKUP.sub(r"\\\1", clean(text))
