"""Failures by cause: those that look alike are one thing to know, and one thing to do something about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from qtui.core.events import UnitFinished
from qtui.core.model import FAILURES, SAYS_ALL, UnitError
from qtui.core.state import RunView

_PATH: Final = re.compile(r"\S*/\S*")
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")
_LONGEST_LINE: Final = 4096
"""How much of a last line is looked at: what differs beyond that differs for nobody."""


class FailureCause(NamedTuple):
    """Failed units that look alike.

    `signature` is the same for all of them (see there), `words` say it to people. `units` are in the order in which
    they ended.
    """

    signature: str
    units: tuple[int, ...]
    words: str


def signature(error: UnitError) -> str:
    """What failures of one cause have in common: exit code or exception, and the last line, without numbers and paths,
    of what a command printed or else of the message."""
    kind, last = _said(error)
    last = _NUMBER.sub("#", _PATH.sub("PATH", last)).strip()
    return f"{kind}: {last}" if last else kind


def _said(error: UnitError) -> tuple[str, str]:
    """Exit code or exception, and the last line."""
    kind, text = error.type, error.message
    if error.exit_code is not None:
        kind = f"exit {error.exit_code}"
        text = error.last_line or text.removeprefix(kind)
    lines = text.strip().splitlines()
    return kind, lines[-1][:_LONGEST_LINE] if lines else ""


def causes_of(view: RunView, units: Iterable[int] | None = None) -> tuple[FailureCause, ...]:
    """The causes of the failures and timeouts of a run: what hit most units first, then what came first.

    `units` are those to look at, by default all; of those that have not failed nothing is said. O(units).
    """
    found: dict[str, list[UnitFinished]] = {}
    for number in range(len(view.plan)) if units is None else units:
        end = view.last[number] if view.states[number] in FAILURES else None
        if isinstance(end, UnitFinished):
            alike = signature(end.error) if end.error is not None else end.cause or end.state.value
            found.setdefault(alike, []).append(end)
    causes = []
    for alike, ends in found.items():
        ends.sort(key=lambda end: (end.at, end.unit))
        causes.append((-len(ends), ends[0].at, ends[0].unit, alike))
    return tuple(
        FailureCause(alike, tuple(end.unit for end in found[alike]), _words(alike, found[alike]))
        for *_, alike in sorted(causes)
    )


def rounds(causes: Sequence[FailureCause]) -> list[tuple[int, int]]:
    """The failed units, each with the number of its cause, in the order to look at them: one of each cause, then the
    next of each."""
    turns = [(turn, at, unit) for at, cause in enumerate(causes) for turn, unit in enumerate(cause.units)]
    return [(unit, at) for _, at, unit in sorted(turns)]


def _words(alike: str, ends: list[UnitFinished]) -> str:
    """The cause in words: a signal by its name, no type where the message says it all, and of a single failure its
    numbers and paths."""
    error = ends[0].error
    if error is None:
        return alike
    if error.exit_code is not None and error.exit_code < 0:
        return error.message
    if len(ends) == 1:
        alike = ": ".join(filter(None, _said(error)))
    return alike.removeprefix(f"{error.type}: ") if error.type in SAYS_ALL else alike
