"""What stands to the left of the lines of a log: when each was written; pure."""

from __future__ import annotations

from typing import Final

from qtui.tui.format import clock, time_of_day
from qtui.tui.rounds import Round


class Gutter(Round):
    """What the gutter tells; in the order in which a key goes through them."""

    NONE = "nothing"
    CLOCK = "clock"
    ELAPSED = "elapsed"


WIDTH: Final = 9
"""Cells of a gutter that tells something, with the space behind it."""
MIN_TEXT: Final = 20
"""Cells that lines have at least: where there are fewer, there is no gutter."""

UNKNOWN: Final = "-"


def gutter_width(gutter: Gutter, width: int) -> int:
    """How many of `width` cells the gutter takes."""
    return WIDTH if gutter is not Gutter.NONE and width >= WIDTH + MIN_TEXT else 0


def gutter_text(gutter: Gutter, at: float | None, began: float | None) -> str:
    """The time of a line that was written `at`, by an attempt that `began` then; `UNKNOWN` if one cannot tell."""
    told = UNKNOWN
    if at is not None and gutter is Gutter.CLOCK:
        told = time_of_day(at)
    elif at is not None and began is not None and gutter is Gutter.ELAPSED:
        told = clock(max(0.0, at - began))
    return f"{told:>{WIDTH - 1}} "
