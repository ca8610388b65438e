"""The window of time that a timeline shows: which moment is in which cell, and what the axis says. Pure."""

from __future__ import annotations

from math import ceil, floor, log2
from typing import Final, NamedTuple

from qtui.core.quantities import shown_seconds

LEAST_CELL: Final = 1 / 64
MOST_CELL: Final = float(1 << 20)
"""The least and the most seconds of a cell."""

_DAY: Final = 86400.0
_TICKS: Final = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    21600,
    43200,
    _DAY,
)
_TICK_CELLS: Final = 11
"""The least cells between two labels of the axis."""
_PAN: Final = 1 / 4
"""Of the window."""
_NOW_UNTIL: Final = 9 / 10
"""How far the moment of now may get in a window that follows it, before it is put into its middle again."""


class Window(NamedTuple):
    """`width` cells of `cell` seconds each, from `begin` on (Unix seconds)."""

    begin: float
    cell: float
    width: int

    @property
    def end(self) -> float:
        """The moment behind the last cell."""
        return self.begin + self.cell * self.width

    def at(self, moment: float) -> int:
        """The cell of a moment: -1 for any before the window, `width` for any behind it."""
        return floor(min(max((moment - self.begin) / self.cell, -1.0), float(self.width)))

    def zoomed(self, steps: int, around: float) -> Window:
        """Half as much time for each of `steps`, twice as much for negative ones; `around` stays where it is."""
        cell = min(max(self.cell / 2**steps, LEAST_CELL), MOST_CELL)
        return self._replace(cell=cell, begin=around - (around - self.begin) * cell / self.cell)

    def panned(self, steps: int) -> Window:
        """Later by a quarter of the window for each of `steps`, earlier for negative ones."""
        return self._replace(begin=self.begin + steps * _PAN * self.width * self.cell)

    def holding(self, moment: float) -> Window:
        """The same window, moved to have `moment` in its middle if that is not in its first nine tenths: a window that
        follows the time moves seldom, as everything in it has to be drawn anew then."""
        if 0 <= (moment - self.begin) < _NOW_UNTIL * self.width * self.cell:
            return self
        return self.around(moment)

    def around(self, moment: float) -> Window:
        """The same window with `moment` in its middle."""
        return self._replace(begin=moment - self.width * self.cell / 2)


def whole(begin: float, end: float, width: int) -> Window:
    """The window from `begin` on that has room for `end`. Its scale is one of few, so that an end that is expected a
    little later draws nothing anew."""
    width = max(1, width)
    least = min(max((end - begin) / max(1, width - 1), LEAST_CELL), MOST_CELL)  # the end has a cell, too
    return Window(begin, 2 ** (ceil(2 * log2(least)) / 2), width)


def axis(window: Window, zero: float, *, now: bool) -> str:
    """The labels, each beginning in the cell of its moment: the time since `zero`, which is called ``now`` or ``0``."""
    seconds = next((tick for tick in _TICKS if tick >= _TICK_CELLS * window.cell), 0.0)
    if not seconds:
        seconds = _DAY * ceil(_TICK_CELLS * window.cell / _DAY)
    line = ""
    for tick in range(ceil((window.begin - zero) / seconds), floor((window.end - zero) / seconds) + 1):
        label = _label(tick * seconds, now=now)
        at = window.at(zero + tick * seconds)
        if len(line) <= at and at + len(label) <= window.width:
            line += " " * (at - len(line)) + label
    return line.ljust(window.width)


def _label(seconds: float, *, now: bool) -> str:
    if not seconds:
        return "now" if now else "0"
    sign = "-" if seconds < 0 else "+" if now else ""
    return f"{sign}{shown_seconds(round(abs(seconds), 1))}"


def span_of(seconds: float) -> str:
    """Whole seconds to read in a line: ``40s``, ``7m02s``, ``1h04m``, ``2d03h``."""
    whole_seconds = round(max(0.0, seconds))
    minutes, hours = whole_seconds // 60, whole_seconds // 3600
    if not minutes:
        return f"{whole_seconds}s"
    if not hours:
        return f"{minutes}m{whole_seconds % 60:02}s"
    return f"{hours}h{minutes % 60:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"
