"""The picker: workflows here and runs of this user, to run, attach to, replay or resume."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from qtui.tui.drawn import Drawn, needs_ascii
from qtui.tui.format import Glyphs
from qtui.tui.keys import Group, Key
from qtui.tui.picking import RESUME, RUN, Choice, Entry, Offer, PickerRow, name_cells, row_spans, rows_of
from qtui.tui.roles import AUTO, Role
from qtui.tui.screens.help import Help
from qtui.tui.screens.secondrun import SecondRun
from qtui.tui.text import PLAIN, Span, clean, pad
from qtui.tui.widgets.filter import FilterInput
from qtui.tui.widgets.lines import Line, Lines, set_row_count, theme_of
from qtui.tui.widgets.status import KeyLine

LOOK_SECONDS: Final = 2.0
"""How often is looked whether there are other runs, or they are in other states."""

HINTS: Final = (
    Key("enter", "what the row says"),
    Key("r", "resume"),
    Key("/", "filter"),
    Key("?", "help"),
    Key("q", "quit"),
    Key("j k", "down, up"),
    Key("g G", "first, last"),
)
"""What the key line says, most needed first."""

KEYS: Final[Group] = (
    "Keys",
    (
        Key("j k ↓ ↑", "down, up"),
        Key("g G", "first, last"),
        Key("pgdn pgup", "ten rows down, up; ^d ^u too"),
        Key("enter", "do what the row begins with; a double click too"),
        Key("r", "resume the run"),
        Key("/", "filter the rows; esc shows all again"),
        Key("?", "this help"),
        Key("q ^c", "quit"),
    ),
)
"""What the help says."""


class PickerList(Lines, can_focus=True):
    """The rows. The selection is an entry, so it stays with its run when others come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", show=False),
        Binding("k,up", "move(-1)", show=False),
        Binding("g,home", "move(-100000)", show=False),
        Binding("G,end", "move(100000)", show=False),
        Binding("pagedown,ctrl+d", "move(10)", show=False),
        Binding("pageup,ctrl+u", "move(-10)", show=False),
        Binding("enter", "screen.pick", show=False),
    ]

    def __init__(self, offer: Offer, glyphs: Glyphs) -> None:
        super().__init__(id="choices")
        self._offer = offer
        self._glyphs = glyphs
        self._filter = ""
        self._rows: list[PickerRow] = []
        self._target = ""
        self._lay_out()

    @property
    def entry(self) -> Entry | None:
        """The selected entry; None if there is none to select."""
        at = self._at()
        return self._rows[at].entry if at is not None else None

    def offer(self, offer: Offer) -> None:
        """Show this instead of the former."""
        if offer != self._offer:
            self._offer = offer
            self._lay_out()

    def filter(self, text: str) -> None:
        """Show only rows that hold `text`."""
        self._filter = clean(text)
        self._lay_out()

    def line(self, at: int) -> Line:
        """The row at this place."""
        if at >= len(self._rows):
            return ()
        width, row = self.size.width, self._rows[at]
        chosen = row.entry is not None and row.entry.choice.target == self._target
        spans = row_spans(row, width, name_cells(self._offer, width), self._glyphs, selected=chosen)
        if not chosen:
            return spans
        style = theme_of(self).row(focused=self.has_focus)
        return tuple(Span(span.text, style) for span in spans)

    def _lay_out(self) -> None:
        self._rows = rows_of(self._offer, self._filter)
        if self._at() is None:
            targets = [row.entry.choice.target for row in self._rows if row.entry is not None]
            self._target = self._offer.first if self._offer.first in targets else next(iter(targets), "")
        if self.is_mounted:
            set_row_count(self, len(self._rows))
            self._reveal()

    def _at(self) -> int | None:
        targets = ((at, row.entry.choice.target) for at, row in enumerate(self._rows) if row.entry is not None)
        return next((at for at, target in targets if target == self._target), None)

    def _reveal(self) -> None:
        at, top, height = self._at() or 0, self.scroll_offset.y, max(1, self.size.height)
        if at < top or at >= top + height:
            # the heading above the first row comes into view with it
            self.scroll_to(y=max(0, at - 1 if at < top else at - height + 1), animate=False, force=True)
        self.refresh()

    def action_move(self, count: int) -> None:
        """Select the entry `count` below, or the last there is."""
        entries = [at for at, row in enumerate(self._rows) if row.entry is not None]
        at = self._at()
        if at is None or not entries:
            return
        entry = self._rows[entries[min(max(entries.index(at) + count, 0), len(entries) - 1)]].entry
        assert entry is not None
        self._target = entry.choice.target
        self._reveal()

    def on_mount(self) -> None:
        """Say how many rows there are."""
        set_row_count(self, len(self._rows))

    def on_resize(self) -> None:
        """Keep the selection on the screen."""
        self._reveal()

    def on_focus(self) -> None:
        """The selected row looks different with the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """The selected row looks different without the focus."""
        self.refresh()

    async def on_click(self, event: events.Click) -> None:
        """Select the row under the pointer; pick it on the second click."""
        at = event.y + self.scroll_offset.y
        entry = self._rows[at].entry if 0 <= at < len(self._rows) else None
        if entry is not None:
            self._target = entry.choice.target
            self._reveal()
            if event.chain == 2:
                await self.run_action("screen.pick")


class PickerScreen(Screen[None], inherit_bindings=False):
    """The list, with a line above and two below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", show=False),
        Binding("r", "other", show=False),
        Binding("question_mark,f1", "help", show=False),
        Binding("escape", "back", show=False),
        Binding("q", "app.leave", show=False),
    ]

    def __init__(self, title: str, look: Callable[[], Offer], glyphs: Glyphs) -> None:
        super().__init__(classes="" if glyphs.unicode else "-ascii")
        self._heading = clean(title)
        self._look = look
        self._glyphs = glyphs
        self._first = look()
        self._told = False

    def compose(self) -> ComposeResult:
        """Textual's hook: the parts of the screen."""
        yield Lines(id="picker-title")
        yield PickerList(self._first, self._glyphs)
        yield Lines(id="status")
        steers: dict[str, Callable[[], None]] = {
            "enter": self._enter_filter,
            "escape": self.action_back,
            "down": partial(self._step_filtered, 1),
            "up": partial(self._step_filtered, -1),
        }
        yield FilterInput(steers, "part of a name, state or date")
        yield KeyLine(HINTS)

    def on_mount(self) -> None:
        """Begin to look for what changes."""
        self._write(self._first)
        self.set_focus(self.choices)
        self.set_interval(LOOK_SECONDS, self._refresh)

    @property
    def choices(self) -> PickerList:
        """The list."""
        return self.query_one(PickerList)

    async def _refresh(self) -> None:
        offer = await asyncio.to_thread(self._look)  # the disk may be slow
        self.choices.offer(offer)
        self._write(offer)

    def _write(self, offer: Offer) -> None:
        width = self.app.size.width
        self.query_one("#picker-title", Lines).show([(Span(pad(f" qtui  {self._heading}", width), Role.TITLE),)])
        notes = "; ".join(map(clean, offer.notes))
        if not offer.workflows and not offer.runs and not notes:
            notes = "no workflow here and no run yet: qtui init writes a small workflow to start from"
        if not self._told:
            self._say(notes, Role.WARNING)

    def _say(self, text: str, role: Role) -> None:
        self.query_one("#status", Lines).show([(Span(f" {text}", role if text else PLAIN),)])

    def heard(self) -> None:
        """A key has come, of which nothing has been done yet: what was said of the row is read."""
        self._told = False

    def on_resize(self) -> None:
        """Draw for the new width."""
        if self.query(PickerList):
            self.choices.refresh()

    def action_pick(self) -> None:
        """Do what the selected row says; a second run beside one that goes on is asked first."""
        if (entry := self.choices.entry) is None:
            return
        if entry.live is None:
            self.app.exit(entry.choice)
        else:
            self.app.push_screen(SecondRun(entry, self._glyphs), self._answered)

    def _answered(self, choice: Choice | None) -> None:
        if choice is not None:
            self.app.exit(choice)

    def action_other(self) -> None:
        """Resume the run, whether that is what enter does or the other thing that may be done with it."""
        entry = self.choices.entry
        if entry is None:
            return
        choice = next((each for each in (entry.choice, entry.other) if each and each.action == RESUME), None)
        if choice is not None:
            self.app.exit(choice)
        else:
            why = "enter runs it, only runs are resumed" if entry.choice.action == RUN else "there is nothing to resume"
            self._say(f"{clean(entry.name)}: {why}", Role.ACCENT)
            self._told = True

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help(self._glyphs, [KEYS], states=False))

    def action_filter(self) -> None:
        """Begin to type a filter."""
        self.add_class("-filtering")
        line = self.query_one(FilterInput)
        line.value = ""
        self.set_focus(line)

    def on_input_changed(self) -> None:
        """Filter while it is typed. This may come late, when enter or an arrow was typed right behind the text."""
        if self.has_class("-filtering"):
            self._filter_as_typed()

    def _filter_as_typed(self) -> None:
        self.choices.filter(self.query_one(FilterInput).value)

    def _enter_filter(self) -> None:
        self._filter_as_typed()
        self._close_filter()

    def _step_filtered(self, step: int) -> None:
        self._filter_as_typed()
        self.choices.action_move(step)

    def action_back(self) -> None:
        """Escape: all rows again."""
        self._close_filter()
        self.choices.filter("")

    def _close_filter(self) -> None:
        self.remove_class("-filtering")
        self.set_focus(self.choices)


class Picker(Drawn[Choice], inherit_bindings=False):
    """Ends with what was picked, or None. `look` is called for what there is, from any thread, again and again."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "leave", show=False, priority=True)]

    def __init__(
        self,
        title: str,
        look: Callable[[], Offer],
        *,
        ascii: bool = False,  # noqa: A002
        color: bool | None = None,
        theme: str = AUTO,
    ) -> None:
        super().__init__(ascii=ascii, color=color, theme=theme)
        self.title = title
        self._look = look

    def get_default_screen(self) -> Screen[None]:
        """Textual's hook: the first screen."""
        return PickerScreen(self.title, self._look, self._glyphs)

    def heard(self) -> None:
        """What was said of a row is read."""
        if isinstance(screen := self.screen, PickerScreen):
            screen.heard()

    def action_leave(self) -> None:
        """Pick nothing."""
        self.exit(None)


def pick(
    title: str,
    look: Callable[[], Offer],
    *,
    ascii: bool = False,  # noqa: A002
    color: bool | None = None,
    theme: str = AUTO,
) -> Choice | None:
    """Let the person pick on the terminal."""
    return Picker(title, look, ascii=needs_ascii(ascii), color=color, theme=theme).draw()
