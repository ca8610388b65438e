"""What every screen of qtui has in common: the terminal's own colours, ASCII where that is all there is, and errors
that reach whoever asked for the screen."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App, ReturnType
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor

from qtui.tui.format import ASCII, UNICODE, prefers_ascii
from qtui.tui.theme import DARK, MONO, Theme


class AsciiOnly(LineFilter):
    """Puts ``?`` in place of what an ASCII terminal cannot show: names and output may hold anything."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Textual's hook: one line; every cell stays where it is."""
        return [segment if segment.text.isascii() else self._replaced(segment) for segment in segments]

    def _replaced(self, segment: Segment) -> Segment:
        text = "".join(char if char.isascii() else "?" * cell_len(char) for char in segment.text)
        return Segment(text, segment.style)


class Drawn(App[ReturnType], inherit_bindings=False):
    """An application that fills the terminal.

    `ascii` draws with ASCII only; `color` True or False overrides NO_COLOR, which decides if it is None.
    """

    CSS_PATH = "dashboard.tcss"
    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    ALLOW_SELECT = False

    def __init__(self, *, ascii: bool = False, color: bool | None = None) -> None:  # noqa: A002
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self._glyphs = ASCII if ascii else UNICODE
        self._color = color
        if color is not None:
            self.no_color = not color
        self._outside = sys.stdout, sys.stderr
        self.palette: Theme = MONO if self.no_color else DARK
        self.failure: Exception | None = None

    def on_mount(self) -> None:
        """Undo what Textual does to standard output and error: it drops what is printed, but prints of units are
        for their logs. When it ends, Textual gives back the streams it found, which are these."""
        sys.stdout, sys.stderr = self._outside
        if not self.is_headless:
            # Textual's handlers would stop the process; no "ignore" either, which programs of units would inherit
            for number in (signal.SIGTSTP, signal.SIGCONT):
                signal.signal(number, lambda *_: None)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's hook: what is done to every line; `color` decides on colours."""
        filters = [each for each in super().get_line_filters() if not isinstance(each, Monochrome | NoColor)]
        if self.no_color:
            filters.append(NoColor())
        if not self._glyphs.unicode:
            filters.append(AsciiOnly())
        return filters

    def _handle_exception(self, error: Exception) -> None:
        """Textual's hook for what nobody caught: keep it for `draw` instead of printing it."""
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()

    def panic(self, *renderables: Any) -> None:
        """Textual's hook for errors of its input thread: told as a broken screen, like those of widgets."""
        self.failure = self.failure or RuntimeError("the terminal sent something that cannot be read")
        super().panic(*renderables)
        self._exit_renderables.clear()

    def draw(self) -> ReturnType | None:
        """Fill the terminal until the person leaves; call it on the main thread.

        Raises whatever broke the screen, with the terminal restored.
        """
        result = self.run()
        if self.failure is not None:
            raise self.failure
        return result


def needs_ascii(asked: bool) -> bool:
    """Whether to draw with ASCII only: because it was asked for, or as the terminal shows no more."""
    return asked or prefers_ascii(os.environ, getattr(sys.__stderr__, "encoding", None))
