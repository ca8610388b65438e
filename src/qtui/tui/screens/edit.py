"""The form in which units are edited: a list of what can be changed, and a line for the selected thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from qtui.tui.editing import NUMBERS, Bad, Field, Kind, Typing, changes_of, difference
from qtui.tui.format import Glyphs
from qtui.tui.keys import Key
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog
from qtui.tui.screens.question import Question
from qtui.tui.screens.typing import Typed
from qtui.tui.steering import Answer, Ask, Detach, Do, Note
from qtui.tui.text import PLAIN, Span, cut_end, cut_middle, pad
from qtui.tui.widgets.lines import Line, Lines, set_title, theme_of
from qtui.tui.wrapping import wrapped

_WIDTH: Final = 76
"""Where the screen is wider than that, the box leaves a margin."""
_MARGIN: Final = 4
_NOTES: Final = 2
_STEPS: Final = {"down": 1, "tab": 1, "up": -1, "shift+tab": -1}
_NEW: Final = Field(Kind.ENV, "", "", hint="NAME=value sets another variable")


class Edit(Dialog[Do | None], inherit_bindings=False):
    """Answers with what to ask of the run, or None. Enter asks whether to apply what was typed, as all other boxes do;
    who does not want that goes on typing.

    `judge` makes a question of what was typed, or a word why that cannot be, and `box` the box that asks it.
    """

    hints = (Key("tab", "next"), Key("esc", "close"))

    def __init__(
        self,
        glyphs: Glyphs,
        title: str,
        fields: Sequence[Field],
        judge: Callable[[Sequence[Typing]], Answer],
        box: Callable[[Ask], Question],
    ) -> None:
        super().__init__(glyphs)
        self._title = title
        self._fields = [*fields, _NEW]
        self._texts = [field.text for field in self._fields]
        self._judge, self._box = judge, box
        self._at = next((at for at, field in enumerate(self._fields) if not field.locked), 0)
        self._said: tuple[str, Role] | None = None
        self._asks = False
        """True while the question is open, or about to be."""

    def compose(self) -> ComposeResult:
        """Textual's hook: the list, the line, and what there is to say."""
        with Vertical(id="edit"):
            yield Lines(id="edit-list")
            yield Typed(self._texts[self._at], id="edit-value", taken=self.taken)
            yield Lines(id="edit-note")

    def on_mount(self) -> None:
        """Begin with the first thing that can be edited."""
        if self.children:
            self._select(self._at)
        super().on_mount()

    @property
    def _inside(self) -> int:
        """The cells of a line in the box."""
        return max(1, self._width - 4)

    @property
    def _width(self) -> int:
        """All that there is: a command is long, and what is wrong in it is to be seen."""
        width = self.app.size.width
        return max(min(_WIDTH, width), width - _MARGIN)

    @property
    def _line(self) -> Typed:
        return self.query_one(Typed)

    def pressed(self, key: str, character: str | None) -> bool:
        """Enter, escape, tab and the arrows; all else is typed into the line, unless that is locked. What comes right
        behind an enter was meant for neither: the question has to be read first."""
        if self._asks:
            return True
        if key == "escape":
            self.close(None)
        elif key == "enter":
            self._keep()
            self._ask()
        elif key in _STEPS:
            self._keep()
            self._select(self._at + _STEPS[key])
        elif key in ("pagedown", "pageup"):
            self._keep()
            self._select(self._at + (5 if key == "pagedown" else -5))
        else:
            return self._line.take(character)
        self.draw()
        return True

    def on_input_changed(self) -> None:
        """What was said of the former text is not true any more."""
        if self._line.value != self._texts[self._at] or self._said is None:
            self._keep()
            self._said = None
            self.draw()

    def on_click(self, event: events.Click) -> None:
        """A click on a thing selects it."""
        listed = self.query_one("#edit-list", Lines)
        if event.widget is listed:
            self._keep()
            self._select(int(event.y + listed.scroll_offset.y))
            self.draw()

    def _keep(self) -> None:
        """Take what stands in the line for the selected thing."""
        if not self._fields[self._at].locked:
            self._texts[self._at] = self._line.value

    def _select(self, at: int) -> None:
        self._said = None
        self._at = min(max(at, 0), len(self._fields) - 1)
        self._line.put(self._texts[self._at], anew=self._fields[self._at].kind in NUMBERS)
        self._line.disabled = bool(self._fields[self._at].locked)
        if not self._line.disabled:
            self._line.focus()

    def typed(self) -> list[Typing]:
        """All that is another text than at first."""
        found = []
        for field, text in zip(self._fields, self._texts, strict=True):
            if text == field.text or field.locked:
                continue
            if field is _NEW:
                name, _, value = text.partition("=")
                found.append((Kind.ENV, name.strip(), value))
            else:
                found.append((field.kind, field.name, text))
        return found

    def _ask(self) -> None:
        """Ask whether to apply what was typed."""
        typed = self.typed()
        if not typed:
            self._said = ("nothing is changed; esc closes", Role.WARNING)
            return
        match self._judge(typed):
            case Ask() as ask:
                self._asks = True
                self.app.push_screen(self._box(ask), self._answered)
            case Note(text):
                self._said = (text, Role.ERROR)
            case Do() as do:
                self.close(do)

    def _answered(self, answer: Do | Detach | Note | None) -> None:
        self._asks = False
        match answer:
            case Do():
                self.close(answer)
            case Note(text):
                self._said = (text, Role.ERROR)
                self.draw()
            case _:
                pass

    def draw(self) -> None:
        """The list around the selected thing, and what there is to say of that."""
        screen_height = self.app.size.height
        box, listed = self.query_one("#edit", Vertical), self.query_one("#edit-list", Lines)
        inside = self._inside
        box.styles.width = self._width
        height = min(screen_height, len(self._fields) + 3 + _NOTES)
        box.styles.height = height
        hint = "  tab next, esc closes" if inside >= 50 else ""
        title = cut_middle(self._title, max(8, inside - 8 - len(hint)), self.glyphs.ellipsis)
        set_title(box, f"Edit {title}{hint}")
        column = min(max(cell_len(field.label) for field in self._fields), max(8, inside // 3))
        selected = theme_of(listed).row(focused=True)
        listed.show(
            [self._row(at, inside, column, selected if at == self._at else None) for at in range(len(self._fields))]
        )
        room = max(1, height - 3 - _NOTES)
        listed.keep_in_sight(self._at, room)
        text, role = self._said or self._word()
        notes = wrapped(text, inside)
        if len(notes) > _NOTES:
            notes[_NOTES - 1 :] = [cut_end(" ".join(notes[_NOTES - 1 :]), inside, self.glyphs.ellipsis)]
        self.query_one("#edit-note", Lines).show([(Span(line, role),) for line in notes])

    def _word(self) -> tuple[str, Role]:
        """What there is to say of the selected thing."""
        field = self._fields[self._at]
        if field.locked:
            return field.locked, Role.MUTED
        if wrong := self._wrong(self._at):
            return wrong, Role.ERROR
        return field.hint or f"{field.label}: enter shows what changes", Role.MUTED

    def _wrong(self, at: int) -> str:
        """Why the text of a thing cannot be; empty if it can."""
        field, text = self._fields[at], self._texts[at]
        if field.locked or text == field.text:
            return ""
        name, _, value = text.partition("=") if field is _NEW else (field.name, "", text)
        try:
            changes_of(field.kind, name.strip(), value)
        except Bad as bad:
            return str(bad)
        return "a variable is NAME=value" if field is _NEW and "=" not in text else ""

    def _row(self, at: int, width: int, column: int, style: Style | None) -> Line:
        field, text = self._fields[at], self._texts[at]
        sign = "!" if self._wrong(at) else "*" if text != field.text else " "
        label = "env +" if field is _NEW else field.label
        label = pad(cut_middle(label, column, self.glyphs.ellipsis), column)
        room = max(0, width - column - 4)
        if cell_len(text) > room and text != field.text:
            text = difference(field.text, text, 0)[1]  # what was changed may stand at the end
        value = pad(cut_end(text or field.hint, room, self.glyphs.ellipsis), room)
        if style is not None:
            return (Span(f"{self.glyphs.cursor}{sign} {label} {value}", style),)
        role = Role.MUTED if field.locked or not text else PLAIN
        return (
            Span(f" {sign} ", Role.ERROR if sign == "!" else Role.WARNING),
            Span(f"{label} ", Role.KEY),
            Span(value, role),
        )
