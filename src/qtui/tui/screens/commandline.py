"""The command line: a line at the bottom of the screen, and above it how it may go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from qtui.tui.commands import Complaint, Deed, Scene, is_private, parse
from qtui.tui.completing import common_beginning, complete
from qtui.tui.format import Glyphs
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog, paragraph
from qtui.tui.screens.typing import Typed
from qtui.tui.text import PLAIN, Span, clean, cut_end
from qtui.tui.widgets.lines import Line, Lines

MOST_REMEMBERED: Final = 200
"""Lines of the history."""

_MOST_TOLD: Final = 3  # lines of what is wrong


class History:
    """The lines that were carried out, the last one last. What may hold a secret is not kept."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Remember a line, once, as the last."""
        line = line.strip()
        if line and not is_private(line):
            self._lines = [*(other for other in self._lines if other != line), line][-MOST_REMEMBERED:]

    def lines(self) -> tuple[str, ...]:
        """All lines."""
        return tuple(self._lines)


class CommandLine(Dialog[Deed | None], inherit_bindings=False):
    """Answers with what the line asks for, or None. What is wrong with a line is told in place, and it stays.

    `scene` tells what the line is about at the moment: units may come while it is typed.
    """

    typed_ahead = True

    def __init__(self, glyphs: Glyphs, scene: Callable[[], Scene], history: History, text: str = "") -> None:
        super().__init__(glyphs)
        self._scene = scene
        self._history = history
        self._text = text
        self._places = [*history.lines(), text]
        self._place = len(self._places) - 1
        self._offered: tuple[int, tuple[str, ...], int] | None = None  # where, what, and which one stands there
        self._complaint = self._about = ""  # what is wrong, and with which line

    def compose(self) -> ComposeResult:
        """Textual's hook: what may follow, and the line."""
        with Vertical(id="command-box"):
            yield Lines(id="command-offers")
            with Horizontal():
                yield Lines(id="command-sign")
                yield Typed(self._text, id="command", taken=self.taken)

    @property
    def line(self) -> Typed:
        """The line that is typed."""
        return self.query_one(Typed)

    def draw(self) -> None:
        """What may follow, or what is wrong."""
        self.query_one("#command-sign", Lines).show([(Span(":", Role.KEY),)])
        offers, box = self.query_one("#command-offers", Lines), self.query_one("#command-box", Vertical)
        lines = self._above(self.app.size.width)
        offers.styles.height = len(lines)
        box.styles.height = len(lines) + 1
        offers.show(lines)

    def on_input_changed(self) -> None:
        """Another line may go on otherwise. This may come late, when enter was typed right behind the line."""
        if self.line.value != self._about:
            self._complaint = ""
        self.draw()

    def pressed(self, key: str, character: str | None) -> bool:
        """Enter, escape, tab and the arrows; all else is typed."""
        if key not in ("tab", "shift+tab"):
            self._offered = None
        match key:
            case "enter":
                self._carry_out()
            case "escape":
                self.close(None)
            case "backspace" if not self.line.value:
                self.close(None)
            case "tab":
                self._complete(1)
            case "shift+tab":
                self._complete(-1)
            case "up" | "ctrl+p":
                self._recall(-1)
            case "down" | "ctrl+n":
                self._recall(1)
            case _:
                return self.line.take(character)
        return True

    def _carry_out(self) -> None:
        line = self.line.value
        deed = parse(line, self._scene())
        if isinstance(deed, Complaint):
            if deed.text:
                self._complaint, self._about = deed.text, line
                self.draw()
            else:
                self.close(None)
            return
        self._history.add(line)
        self.close(deed)

    def _complete(self, step: int) -> None:
        """Put what all candidates have in common; where that is there already, one after another."""
        if self._offered is not None:
            start, words, at = self._offered
            at = (at + step) % len(words)
            self._offered = start, words, at
            self._put(start, words[at])
            return
        line = self.line.value[: self.line.cursor_position]
        offers = complete(line, self._scene())
        if not offers.words:
            return
        shared = common_beginning(offers.words)
        if len(offers.words) == 1:
            self._put(offers.start, shared if shared.endswith("=") else f"{shared} ")
        elif len(shared) > len(line) - offers.start:
            self._put(offers.start, shared)
        else:
            at = 0 if step > 0 else len(offers.words) - 1
            self._offered = offers.start, offers.words, at
            self._put(offers.start, offers.words[at])

    def _put(self, start: int, word: str) -> None:
        field = self.line
        behind = field.value[field.cursor_position :]
        field.value = field.value[:start] + word + behind
        field.cursor_position = start + len(word)
        self.draw()

    def _recall(self, step: int) -> None:
        """Another line of the history; what was typed is behind its end."""
        self._places[self._place] = self.line.value
        self._place = min(max(self._place + step, 0), len(self._places) - 1)
        self.line.put(self._places[self._place])

    def _above(self, width: int) -> list[Line]:
        if self._complaint:
            return paragraph(self._complaint, width, Role.ERROR)[:_MOST_TOLD]
        if self._offered is not None:
            _, words, at = self._offered
            return [offers_line(words, width, self.glyphs.ellipsis, at)]
        offers = complete(self.line.value[: self.line.cursor_position], self._scene())
        return [offers_line(offers.words, width, self.glyphs.ellipsis, usage=offers.usage)]


def offers_line(words: tuple[str, ...], width: int, ellipsis: str, at: int = -1, usage: str = "") -> Line:
    """The candidates as one line in `width` cells, from the one at `at` on if there is not room for all before it."""
    spans = [Span(" ", PLAIN)]
    left = width - 1
    if usage:
        shown = cut_end(usage, left, ellipsis)
        spans.append(Span(shown, Role.TEXT))
        left -= cell_len(shown)
    first = 0
    if at > 0 and sum(cell_len(word) + 2 for word in words[: at + 1]) > left:
        first = at
    for place, word in enumerate(words[first:], first):
        cells = cell_len(clean(word)) + 2
        if cells > left - (2 if place + 1 < len(words) else 0):
            spans.append(Span(f" {ellipsis}"[:left], Role.MUTED))
            break
        spans.append(Span("  " if usage or place > first else "", PLAIN))
        spans.append(Span(clean(word), Role.KEY if place == at else Role.MUTED))
        left -= cells
    return tuple(spans)
