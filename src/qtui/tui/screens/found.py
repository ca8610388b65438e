"""What a search of all logs has found, as a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult

from qtui.core.plan import ExecutionPlan
from qtui.tui.format import Glyphs, counted
from qtui.tui.keys import Key
from qtui.tui.logsearch import MOST_HITS_OF_ONE, AllLogsSearch, Hit
from qtui.tui.patterns import highlighted
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog
from qtui.tui.text import PLAIN, Span, clean, cut_middle, pad
from qtui.tui.widgets.lines import Line, Lines, set_row_count, set_title, theme_of

_FRAME_SECONDS: Final = 0.1
_STEPS: Final = {"down": 1, "j": 1, "up": -1, "k": -1}
_MOST_NAME: Final = 32
_MOST_TROUBLES: Final = 3


def progress(search: AllLogsSearch) -> str:
    """How far a search is, and what it has left out."""
    parts = [f"{search.searched:,} of {counted(search.total, 'log')}, {len(search.hits):,} found"]
    if search.full:
        parts.append("there may be more")
    if search.cut:
        parts.append(f"only the first {MOST_HITS_OF_ONE} of {counted(search.cut, 'log')}")
    if search.troubles:
        parts.append(f"{counted(len(search.troubles), 'log')} cannot be read")
    return ", ".join(parts)


def found_line(hit: Hit, plan: ExecutionPlan, name_width: int, *, ellipsis: str, earlier: bool) -> Line:
    """A row of the list: the unit, the attempt if it is an `earlier` one, the number of the line; its text follows."""
    unit = clean(plan.table[hit.unit].id) + (f" try {hit.attempt}" if earlier else "")
    name = pad(cut_middle(unit, name_width, ellipsis), name_width)
    return (Span(f"{name} ", Role.ACCENT), Span(f"{hit.number:>7,} ", Role.MUTED))


class FoundLines(Lines):
    """The list; lines are made when they are on the screen."""

    make: Callable[[int], Line] = staticmethod(lambda _at: ())

    def line(self, at: int) -> Line:
        """The line at this place."""
        return self.make(at)


class FoundList(Dialog[Hit | None], inherit_bindings=False):
    """Answers with the line that one wants to go to, or None. Lines come while it is open."""

    hints = (Key("enter", "go there"), Key("up down", "choose"), Key("esc", "close"))
    DEFAULT_CSS: ClassVar[str] = """
    FoundList { align: center middle; background: transparent; }
    #found {
        width: 100%;
        height: 100%;
        border: round ansi_bright_blue;
        border-title-style: bold;
        border-title-color: ansi_default;
        border-title-background: ansi_default;
    }
    .-ascii #found { border: ascii ansi_bright_blue; }
    """

    def __init__(
        self, glyphs: Glyphs, search: AllLogsSearch, plan: ExecutionPlan, latest: Callable[[int], int]
    ) -> None:
        super().__init__(glyphs)
        self._search, self._plan, self._latest = search, plan, latest
        self._at = 0
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield FoundLines(id="found")

    def on_mount(self) -> None:
        """Take what is found, as it is."""
        super().on_mount()
        self.set_interval(_FRAME_SECONDS, self._take)

    def on_unmount(self) -> None:
        """Nobody wants to know any more."""
        self._search.stop()

    def _take(self) -> None:
        search = self._search
        state = len(search.hits), search.searched, search.busy
        if state != self._drawn and self.is_current:
            self._drawn = state
            self.draw()

    def draw(self) -> None:
        """The lines that were found so far."""
        search = self._search
        box = self.query_one("#found", FoundLines)
        box.make = self._line
        box.ellipsis = self.glyphs.ellipsis
        hint = "enter goes there, esc closes" if search.hits else "esc closes"
        set_title(box, f"{clean(search.pattern.typed)}  {progress(search)}  {hint}")
        rows = max(1, len(search.hits)) + min(len(search.troubles), _MOST_TROUBLES)
        set_row_count(box, rows)
        box.keep_in_sight(self._at, max(1, box.size.height))

    def _line(self, at: int) -> Line:
        search, hits = self._search, self._search.hits
        if not hits and not at:
            return (Span("searching" if search.busy else "nothing was found", Role.MUTED),)
        if at >= len(hits):
            trouble = at - max(1, len(hits))
            return (Span(clean(search.troubles[trouble][2]), Role.WARNING),) if trouble < len(search.troubles) else ()
        hit = hits[at]
        box = self.query_one("#found", FoundLines)
        width = min(_MOST_NAME, box.size.width // 3)
        earlier = hit.attempt != self._latest(hit.unit)
        line = found_line(hit, self._plan, width, ellipsis=self.glyphs.ellipsis, earlier=earlier)
        if at != self._at:
            return (*line, *highlighted((Span(hit.text.lstrip(), PLAIN),), search.pattern, current=False))
        selected = theme_of(box).row(focused=True)
        text = "".join(span.text for span in line) + hit.text.lstrip()
        return (Span(pad(text, max(box.size.width, len(text))), selected),)

    def pressed(self, key: str, character: str | None) -> bool:  # noqa: ARG002
        """Enter, escape and moving; nothing else is meant for anything here."""
        page = max(1, self.query_one("#found", Lines).size.height - 1)
        steps = {**_STEPS, "pagedown": page, "pageup": -page, "ctrl+d": page // 2, "ctrl+u": -(page // 2)}
        match key:
            case "enter" if self._search.hits:
                self.close(self._search.hits[self._at])
            case "escape" | "q":
                self.close(None)
            case "g" | "home":
                self._move(-len(self._search.hits))
            case "G" | "end":
                self._move(len(self._search.hits))
            case _ if key in steps:
                self._move(steps[key])
            case _:
                pass
        return True

    def _move(self, step: int) -> None:
        self._at = min(max(self._at + step, 0), max(0, len(self._search.hits) - 1))
        self.draw()

    def on_click(self, event: events.Click) -> None:
        """A click on a line goes there."""
        box = self.query_one("#found", FoundLines)
        at = int(event.y + box.scroll_offset.y)
        if event.widget is box and 0 <= at < len(self._search.hits):
            self.close(self._search.hits[at])
