"""What stands on the terminal until the dashboard is there: importing that takes a third of a second.

Plain escape sequences, as nothing is imported yet that could draw.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final

from qtui.cli import shepherd
from qtui.cli.standard import keyboard
from qtui.tui.charset import ascii_only
from qtui.tui.text import clean, cut_end

# what is pasted meanwhile must come as that, not as keys
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[?2004h"
_LEAVE: Final = "\x1b[0m\x1b[?2004l\x1b[?1049l\x1b[?25h"
_ROWS_ABOVE, _ROWS_BELOW = 3, 3
_NAME_COLUMN: Final = 17
"""Where names of units begin in the dashboard, too."""

_INPUT_FLAGS, _LOCAL_FLAGS, _CHARACTERS = 0, 3, 6
"""Places among the modes that `tcgetattr` returns."""


class Sketch:
    """What was drawn, and the modes that the terminal had before; None if it is none."""

    def __init__(self, modes: list[Any] | None) -> None:
        self.modes = modes
        self._drawn = True
        self._undone = False

    def taken(self) -> None:
        """The dashboard has the terminal from now on, and leaves the other screen by itself."""
        self._drawn = False

    def undo(self) -> None:
        """Give the terminal back as it was, unless that has happened, or somebody else has it by now."""
        if self._undone:
            return
        self._undone = True
        if self._drawn:
            _write(_LEAVE)
            if (front := shepherd.front()) is not None:
                front.drawn(False)
        with suppress(termios.error, OSError):
            if self.modes is not None and os.tcgetpgrp(keyboard()) == os.getpgrp():
                termios.tcsetattr(keyboard(), termios.TCSANOW, self.modes)


@contextmanager
def sketched(title: str, names: Iterable[str], *, ascii: bool) -> Iterator[Sketch]:  # noqa: A002
    """While this holds, a sketch of the dashboard is on the terminal, or what takes its place; keys that are typed
    meanwhile are not echoed, and wait for it."""
    columns, rows = _size()
    plain = ascii or ascii_only(sys.__stderr__)
    if (front := shepherd.front()) is not None:
        front.drawn(True)  # from here on it has something to put right if this process is killed
    sketch = Sketch(_listen())
    try:
        _write(_ENTER + "".join(sketch_of(title, names, columns, rows, ascii=plain)))
        yield sketch
    finally:
        sketch.undo()


def sketch_of(title: str, names: Iterable[str], columns: int, rows: int, *, ascii: bool) -> Iterator[str]:  # noqa: A002
    """The rows of the sketch, each with the sequence that puts it into its place; none is wider than the terminal."""
    room = max(0, rows - _ROWS_ABOVE - _ROWS_BELOW)
    yield _row(1, f"\x1b[1m{_shown(title, columns - 12, ascii=ascii)}\x1b[0m  STARTING" if columns > 20 else "STARTING")
    for row, name in enumerate(islice(names, room), _ROWS_ABOVE + 1):
        left = _NAME_COLUMN if columns >= 2 * _NAME_COLUMN else 1
        yield _row(row, f"{' ' * left}\x1b[2m{_shown(name, columns - left - 2, ascii=ascii)}\x1b[0m")


def _row(row: int, text: str) -> str:
    return f"\x1b[{row};1H {text}"


def _shown(text: str, width: int, *, ascii: bool) -> str:  # noqa: A002
    """`text` without anything that could steer the terminal, in at most `width` cells."""
    if ascii:
        return cut_end(clean(text).encode("ascii", "replace").decode(), max(0, width), "...")
    return cut_end(clean(text), max(0, width), "…")


def _size() -> tuple[int, int]:
    try:
        columns, rows = os.get_terminal_size(2)
    except OSError:
        return 80, 24
    return (columns, rows) if columns and rows else (80, 24)


def _listen() -> list[Any] | None:
    """Have the terminal keep each key as it is typed, as the dashboard does; returns the modes before.

    Ctrl+c still ends the program, which may take long to begin; ctrl+z, with which the sketch would stay, is for the
    dashboard.
    """
    keys = keyboard()
    try:
        before, modes = termios.tcgetattr(keys), termios.tcgetattr(keys)
        modes[_INPUT_FLAGS] &= ~(termios.ICRNL | termios.IXON)
        modes[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
        modes[_CHARACTERS][termios.VMIN], modes[_CHARACTERS][termios.VTIME] = 1, 0
        modes[_CHARACTERS][termios.VSUSP] = os.fpathconf(keys, "PC_VDISABLE").to_bytes(1, "big")
        termios.tcsetattr(keys, termios.TCSANOW, modes)
    except termios.error:
        return None
    return before


def _write(text: str) -> None:
    with suppress(OSError):  # a terminal that has gone is told of elsewhere
        os.write(2, text.encode(getattr(sys.__stderr__, "encoding", None) or "ascii", "replace"))
