"""Which panes a terminal of a given size shows; pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Pane(StrEnum):
    """The panes, in the order of their number keys; the value is the widget's id."""

    UNITS = "units"
    LOG = "log"
    WORKERS = "workers"
    EVENTS = "events"
    TIMELINE = "timeline"


LOWER: Final = (Pane.LOG, Pane.WORKERS, Pane.EVENTS, Pane.TIMELINE)
"""The panes that take turns in one place when there is no room for all."""

LOWEST: Final = (Pane.WORKERS, Pane.EVENTS, Pane.TIMELINE)
"""The panes in the lowest row where there is room for several: the timeline takes the place of the other two."""

LOW: Final = 10
"""The height in cells below which the header is one line."""


class Arrangement(StrEnum):
    """How the panes are placed; the value is a class of the screen."""

    LINE = "line"
    """Nothing but one line."""
    MICRO = "micro"
    """One pane at a time."""
    SMALL = "small"
    """Units above one other pane."""
    STACK = "stack"
    """Units and log above workers and events, one above the other."""
    SIDE = "side"
    """Units beside one other pane."""
    GRID = "grid"
    """Units and log above workers and events."""
    LARGE = "large"
    """Units, log, and a column of why and workers, above the timeline and the events."""


def arrangement_for(width: int, height: int) -> Arrangement:
    """The arrangement for a terminal of this size, in cells."""
    if width < 20 or height < 5:
        return Arrangement.LINE
    if width < 60 or height < 16:
        return Arrangement.SIDE if width >= 100 and height >= 10 else Arrangement.MICRO
    if width >= 180 and height >= 50:
        return Arrangement.LARGE
    if width >= 100:
        return Arrangement.GRID if height >= 30 else Arrangement.SIDE
    return Arrangement.STACK if height >= 40 else Arrangement.SMALL


def panes_shown(
    arrangement: Arrangement, *, lower: Pane, focused: Pane, zoomed: bool, lowest: Pane = Pane.EVENTS
) -> frozenset[Pane]:
    """The panes on show, given which of the lower ones was looked at last, which of the lowest, and which pane has the
    focus."""
    if arrangement is Arrangement.LINE:
        return frozenset()
    if zoomed or arrangement is Arrangement.MICRO:
        return frozenset({focused})
    if arrangement in (Arrangement.SMALL, Arrangement.SIDE):
        return frozenset({Pane.UNITS, lower})
    if arrangement is Arrangement.LARGE:
        return frozenset(Pane)
    hidden = (Pane.WORKERS, Pane.EVENTS) if lowest is Pane.TIMELINE else (Pane.TIMELINE,)
    return frozenset(Pane) - frozenset(hidden)
