"""Numbers, times and names as lines of text say them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from qtui.core.model import UnitState

STATE_WORDS: Final = {
    UnitState.COMPLETED: "ok",
    UnitState.FAILED: "FAIL",
    UnitState.TIMEOUT: "TIME",
    UnitState.SKIPPED: "skip",
    UnitState.CANCELED: "CANC",
}
"""How an end is told in one short word; what is bad is in capitals."""

MOST_NAMED: Final = 5


def duration(seconds: float) -> str:
    """A span of time to read in a line: ``0.04s``, ``12.3s``, ``4m07s``, ``2h05m``."""
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else f"{whole // 3600}h{whole // 60 % 60:02}m"


def counted(number: int, noun: str) -> str:
    """``1 unit``, ``2000 units``: without commas, as scripts may read such lines; on screens see `tui.format`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def few(names: Iterable[str], count: int, most: int = MOST_NAMED) -> str:
    """The first `most` of `count` names: ``a, b and 3 more``."""
    shown: Sequence[str] = list(islice(names, most))
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f"{', '.join(shown)}{more}"
