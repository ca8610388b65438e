"""What is worse in a run than in those before it, as lines of text and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from qtui.cli.words import counted, duration, few
from qtui.core.quantities import shown_bytes
from qtui.core.regress import Flaky, Killed, Missed, Regressions, Slower
from qtui.tui.format import size_of
from qtui.tui.text import clean, cut_end

MOST: Final = 3
"""Lines of a kind; what else there is of it is counted."""

LONGEST_LINE: Final = 400

_NAMED: Final = 3


def regressed_lines(found: Regressions, most: int = MOST, width: int = LONGEST_LINE) -> Iterator[str]:
    """At most `most` lines of each kind, and none if there is nothing to tell. They are cut to `width` cells, but for
    those that have something to copy."""
    yield from _some([_slower(each) for each in found.slower], most, width)
    yield from _some([_flaky(each) for each in found.flaky], most, width)
    yield from _some([_missed(each) for each in found.missed], most, width)
    yield from _some([_killed(each) for each in found.killed], most, None)


def regressed_data(found: Regressions) -> dict[str, Any]:
    """The same, all of it, as JSON-ready data: lists by kind of what the classes of `qtui.core.regress` hold."""
    return {kind: [each._asdict() for each in of_kind] for kind, of_kind in found._asdict().items()}


def _some(lines: Sequence[str], most: int, width: int | None) -> Iterator[str]:
    more = f", and {len(lines) - most} more" if len(lines) > most else ""
    for place, line in enumerate(lines[:most], 1):
        rest = more if place == most else ""
        yield (line if width is None else cut_end(line, width - len(rest))) + rest


def _slower(each: Slower) -> str:
    p90, runs = duration(each.p90), counted(each.runs, "run")
    return f"slower: {clean(each.unit)} {duration(each.seconds)}, usually {duration(each.usual)} (p90 {p90} of {runs})"


def _flaky(each: Flaky) -> str:
    now = f" completed at try {each.tries}" if each.tries > 1 else ""
    often = f" (retries in {each.retried} of {counted(each.runs, 'run')})" if each.runs > 1 else ""
    return f"flaky: {clean(each.unit)}{now}{often}"


def _missed(each: Missed) -> str:
    return f"cache missed, though no input changed: {_names(each.units)}: {clean(each.reason)}"


def _killed(each: Killed) -> str:
    setting = f'resources.memory = "{shown_bytes(each.suggested)}"'
    also = "" if each.budgeted else ", with a memory_limit,"
    return (
        f"killed, probably out of memory: {_names(each.units)} peaked at {size_of(each.peak)}; "
        f"{setting}{also} would keep others from running beside it"
    )


def _names(units: Sequence[str]) -> str:
    return few(map(clean, units), len(units), _NAMED)
