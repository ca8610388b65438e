"""Long lines broken over rows, and moving through them row by row; pure.

Where one looks is a line and a row in it: how many rows all lines take is never known, so a million of them cost
nothing until they are on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, get_character_cell_size

from qtui.tui.text import Span

Row = tuple[Span, ...]

_WIDE: Final = "\ufe0f"  # makes what stands before it an emoji, of two cells


class Place(NamedTuple):
    """A row of a line."""

    line: int = 0
    row: int = 0


def wrap(line: Sequence[Span], width: int) -> list[Row]:
    """`line` in rows of at most `width` cells; at least one. A wide character is never cut."""
    if width < 2 or sum(cell_len(span.text) for span in line) <= width:
        return [tuple(line)]
    rows: list[Row] = []
    row: list[Span] = []
    room = width
    for text, style in line:
        at = 0
        while at < len(text):
            end = _fitting(text, at, room)
            if end > at:
                row.append(Span(text[at:end], style))
                room -= cell_len(text[at:end])
                at = end
            if at < len(text):
                rows.append(tuple(row))
                row, room = [], width
    return [*rows, tuple(row)]


def _fitting(text: str, at: int, room: int) -> int:
    """How far `text` goes from `at` on in `room` cells, with the marks that take none."""
    if (piece := text[at : at + room]).isascii() and (len(piece) < room or text[at + room : at + room + 1].isascii()):
        return at + len(piece)
    while at < len(text):
        room -= 1 if text[at] == _WIDE else get_character_cell_size(text[at])
        if room < 0:
            return at
        at += 1
    return at


def moved(place: Place, rows: int, height_of: Callable[[int], int], last: Place) -> Place:
    """The place that is `rows` below (above, if negative) `place`, between the first row of all and `last`.
    `height_of` says how many rows a line takes."""
    line, row = place
    while rows < 0 and (line, row) > (0, 0):
        if row >= -rows:
            return min(Place(line, row + rows), last)
        rows += row
        if line == 0:
            return Place()
        line, rows = line - 1, rows + 1
        row = height_of(line) - 1
    while rows > 0 and (line, row) < last:
        left = height_of(line) - 1 - row
        if rows <= left:
            return min(Place(line, row + rows), last)
        line, row, rows = line + 1, 0, rows - left - 1
    return min(Place(line, row), last)


def end_place(count: int, height: int, height_of: Callable[[int], int]) -> Place:
    """The first row on the screen when the last of `count` lines ends at the last of its `height` rows."""
    room = height
    if room <= 0:
        return Place()
    for line in range(count - 1, -1, -1):
        rows = height_of(line)
        if rows >= room:
            return Place(line, rows - room)
        room -= rows
    return Place()
