"""The line to type what is searched for in logs."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from qtui.tui.format import Glyphs
from qtui.tui.patterns import BadPattern, Pattern
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog
from qtui.tui.screens.typing import Typed
from qtui.tui.text import Span, clean, cut_end
from qtui.tui.widgets.lines import Lines


class SearchLine(Dialog[Pattern | None], inherit_bindings=False):
    """Answers with what to search for, or None. What is wrong with an expression is told in place, and it stays.

    `what` says what will be searched, and `again` is what enter alone searches for.
    """

    typed_ahead = True

    DEFAULT_CSS: ClassVar[str] = """
    SearchLine { align: left bottom; background: transparent; }
    #search-box { height: 2; background: ansi_default; }
    #search-box Horizontal { height: 1; }
    #search-told { height: 1; }
    #search-sign { width: 1; height: 1; }
    #search { width: 1fr; height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default; }
    """

    def __init__(self, glyphs: Glyphs, what: str, again: str = "") -> None:
        super().__init__(glyphs)
        self._what = f"{what}; enter: {again}" if again else what
        self._again = again
        self._complaint = ("", "")  # about which text, and what

    def compose(self) -> ComposeResult:
        """Textual's hook: what is searched or wrong, and the line."""
        with Vertical(id="search-box"):
            yield Lines(id="search-told")
            with Horizontal():
                yield Lines(id="search-sign")
                yield Typed(id="search", taken=self.taken)

    def draw(self) -> None:
        """What is searched, or what is wrong."""
        about, complaint = self._complaint
        wrong = complaint and about == self.query_one(Typed).value
        text, role = (complaint, Role.ERROR) if wrong else (self._what, Role.MUTED)
        shown = cut_end(f" {clean(text)}", self.app.size.width, self.glyphs.ellipsis)
        self.query_one("#search-told", Lines).show([(Span(shown, role),)])
        self.query_one("#search-sign", Lines).show([(Span("/", Role.KEY),)])

    def on_input_changed(self) -> None:
        """Another text may be right."""
        self.draw()

    def pressed(self, key: str, character: str | None) -> bool:
        """Enter and escape; all else is typed."""
        line = self.query_one(Typed)
        match key:
            case "enter":
                self._search(line.value or self._again)
            case "escape":
                self.close(None)
            case "backspace" if not line.value:
                self.close(None)
            case _:
                return line.take(character)
        return True

    def _search(self, typed: str) -> None:
        if not typed:
            self.close(None)
            return
        try:
            self.close(Pattern(typed))
        except BadPattern as error:
            self._complaint = typed, str(error)
            self.draw()
