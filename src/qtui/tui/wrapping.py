"""Texts and lines that are too long, in lines that are not, broken between words. Pure.

What units print is wrapped otherwise (see `wrapped`): cell by cell, so that nothing of it is lost, not even spaces.
"""

from __future__ import annotations

from rich.cells import cell_len

from qtui.tui.text import clean


def wrapped(text: str, width: int) -> list[str]:
    """`text` without anything that could steer a terminal, in lines of at most `width` cells; a line break begins a new
    line."""
    parts = text.splitlines() or [""]
    return [line for part in parts for line in broken(clean(part).rstrip(), max(1, width))]


def broken(line: str, width: int) -> list[str]:
    """A line in pieces of at most `width` cells; between words, if there are some."""
    pieces = []
    while len(line) > width or cell_len(line) > width:
        end = min(len(line), width)
        while end > 1 and cell_len(line[:end]) > width:
            end -= 1
        space = line.rfind(" ", width // 3, end + 1)
        if end < len(line) and line[: max(space, 0)].strip():
            end = space
        pieces.append(line[:end].rstrip())
        line = line[end:].lstrip(" ")
    return [*pieces, line] if line or not pieces else pieces
