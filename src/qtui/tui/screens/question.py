"""A question before something that cannot be taken back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.app import ComposeResult

from qtui.core.state import RunView
from qtui.core.stimuli import (
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    Request,
    RetryRequested,
    SetAsideRequested,
)
from qtui.tui.format import Glyphs
from qtui.tui.keys import Key
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog, paragraph
from qtui.tui.steering import Ask, Detach, Do, Note, Option
from qtui.tui.text import PLAIN, Span, cut_end, longest_that_fits
from qtui.tui.widgets.lines import Line, Lines, set_title, theme_of
from qtui.tui.wrapping import wrapped

if TYPE_CHECKING:
    from qtui.tui.foresight import Foresight, Shorter

_WIDTH: Final = 64
_WEIGHED_WIDTH: Final = 96
"""Where there is something to tell below the answers."""
_LOOK_SECONDS: Final = 0.05
_ANEW_SECONDS: Final = 1.0
"""So long after it is known what the answers would come to, it is worked out again: the run goes on meanwhile."""
_REST: Final = 9
"""And so many times as long as that took, it takes half of a core: a twentieth of one in the long run."""
_WEIGHED: Final = (CancelRequested, CancelRunRequested, EditRequested, RetryRequested, SetAsideRequested)
_BACK: Final = frozenset({"n", "enter", "escape", "q"})


TOO_LATE: Final = "too late: the run has changed meanwhile, nothing was done; ask again"


class Question(Dialog[Do | Detach | Note | None], inherit_bindings=False):
    """Answers with what the pressed key stands for, or None for back, which is what enter and escape mean; with a word
    about it if the run is not as it was when it was asked. `view` says how it is, and `foresee` works out what requests
    would come to: that is told below the answers when it is known, and again and again as long as it stands."""

    def __init__(
        self,
        ask: Ask,
        glyphs: Glyphs,
        view: Callable[[], RunView],
        foresee: Callable[[Sequence[Request]], Foresight] | None = None,
    ) -> None:
        super().__init__(glyphs)
        self._ask = ask
        self._view = view
        self._foresee = foresee
        self._heading = ask.title
        self._text = ask.text
        self._foresight: Foresight | None = None
        self._later: Foresight | None = None  # which is not known yet, and takes its place
        self._requests: list[Request] = []
        self._begun = self._again = 0.0
        self._seen: list[Shorter | None] = []
        self.moot_when_ended = ask.moot_when_ended
        self.hints = (Key(" ".join(option.key for option in ask.options), "answer"), Key("n", "back"))

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield Lines(id="question")

    def on_mount(self) -> None:
        """Have it worked out what the answers would come to."""
        self._requests = [request for option in self._ask.options if (request := _weighed(option)) is not None]
        if self._foresee is not None and self._requests:
            self._begun = time.monotonic()
            self._foresight = self._later = self._foresee(self._requests)
        if self._foresight is not None or self._ask.anew is not None:
            self.set_interval(_LOOK_SECONDS, self._look)
        super().on_mount()

    def on_unmount(self) -> None:
        """It is of no use any more."""
        for each in (self._foresight, self._later):
            if each is not None:
                each.stop()

    def _look(self) -> None:
        self._weigh_again(time.monotonic())
        before, self._text = self._text, self._ask.anew(self._view()) if self._ask.anew is not None else self._text
        seen = self._foresight is None or self._foresight.texts == self._seen
        if (before != self._text or not seen) and self.children:
            self.draw()

    def _weigh_again(self, now: float) -> None:
        """Have it worked out anew what the answers would come to, every now and then."""
        if self._later is not None and self._later.done:
            self._foresight, self._later = self._later, None
            self._again = now + max(_ANEW_SECONDS, _REST * (now - self._begun))
        elif self._later is None and self._foresee is not None and self._requests and now >= self._again:
            self._begun, self._later = now, self._foresee(self._requests)

    def pressed(self, key: str, character: str | None) -> bool:
        """Take the first key that is an answer; other keys do nothing while a question is open, and signs that might
        have been meant as one are told so."""
        for option in self._ask.options:
            if character == option.key:
                self.close(option.action if self._ask.still(self._view()) else Note(TOO_LATE))
                return True
        if key in _BACK:
            self.close(None)
            return True
        if character is not None and character.isprintable():
            keys = ", ".join(option.key for option in self._ask.options)
            self._heading = f"press {keys} or n"  # also when what answers would come to is known only now
            for box in self.query(Lines):  # none yet, if the key came before it
                set_title(box, self._heading)
        return False

    def draw(self) -> None:
        """The text, the answers, and the way back, which is always on the screen."""
        box = self.query_one("#question", Lines)
        screen_width, screen_height = self.app.size
        width = max(20, min(_WIDTH if self._foresight is None else _WEIGHED_WIDTH, screen_width - 4))
        inside = width - 4
        text = paragraph(self._text, inside)
        self._seen = list(self._foresight.texts) if self._foresight is not None else []
        answers = self._answers(inside, self._seen)
        if self._seen and len(text) + len(answers) + 3 > screen_height:
            answers = self._answers(inside, [])
        back = " n  back (also enter, esc)"
        fill = " " * max(0, inside - cell_len(back))
        answers.append((Span(f"{back}{fill}", theme_of(box).row(focused=True)),))
        room = screen_height - 2 - len(answers)
        airy = len(text) + 2 <= room
        if len(text) > max(1, room):
            text = [*text[: max(1, room - 1)], (Span(f" {self.glyphs.ellipsis}", Role.MUTED),)][: max(1, room)]
        lines: list[Line] = [(), *text, (), *answers] if airy else [*text, *answers]
        box.styles.width = width
        box.styles.height = min(screen_height, len(lines) + 2)
        set_title(box, self._heading)
        box.show(lines)

    def _answers(self, width: int, foreseen: Sequence[Shorter | None]) -> list[Line]:
        """A line or more for each answer, and one for what is foreseen of it, which stays blank until that is known:
        nothing moves below the eyes of who reads."""
        lines: list[Line] = []
        texts = iter(foreseen)
        for option in self._ask.options:
            label = wrapped(option.label, width - 4)
            lines.append((Span(f" {option.key} ", Role.KEY), Span(f" {label[0]}", PLAIN)))
            lines += [(Span(f"    {rest}", PLAIN),) for rest in label[1:]]
            if foreseen and _weighed(option) is not None:
                begin = f"    {self.glyphs.last}"  # of this answer, also where it is the only one that is told
                room = max(0, width - cell_len(begin))
                told = next(texts)
                text = cut_end(longest_that_fits(told or (), room), room, self.glyphs.ellipsis)
                lines.append((Span(f"{begin}{text}" if text else "", Role.MUTED),))
        return lines


def _weighed(option: Option) -> Request | None:
    """What an answer asks of the run, if it is worth knowing what that would come to."""
    request = option.action.request if isinstance(option.action, Do) else None
    return request if isinstance(request, _WEIGHED) else None
