"""What a replay has and a run does not: keys that move through time, and one line with begin, moment and end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.containers import Container

from qtui.tui.actions import Where, bindings
from qtui.tui.format import Glyphs, clock
from qtui.tui.player import Player, faster
from qtui.tui.roles import Role
from qtui.tui.text import Span
from qtui.tui.widgets.lines import Line, Lines

_DATE_FROM: Final = 100
_LEAST_BAR: Final = 6


_LEAP: Final = 1 / 20


class ReplayPanes(Container):
    """Holds the panes of a replay, and has the keys that move through time whichever of them has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.REPLAY)

    def __init__(self, player: Player, say: Callable[[str], None]) -> None:
        super().__init__(id="panes")
        self._player = player
        self._say = say

    def action_play(self) -> None:
        """Play or pause; from the beginning again at the end."""
        self._player.playing = not self._player.playing

    def action_step(self, count: int) -> None:
        """Pause at the next moment when something happened, or the previous one."""
        self._player.step(count)

    def action_leap(self, count: int) -> None:
        """Go a part of the whole time on, or back."""
        player = self._player
        player.seek(player.now() + count * _LEAP * (player.end - player.begin))

    def action_speed(self, step: int) -> None:
        """Play faster, or slower; say so if it goes no further."""
        before = self._player.speed
        self._player.speed = faster(before, step)
        if self._player.speed == before:
            self._say(f"x{before:g} is the {'fastest' if step > 0 else 'slowest'}")


class Slider(Lines):
    """Shows where a replay is; a click goes there."""

    def __init__(self, player: Player, glyphs: Glyphs) -> None:
        super().__init__(id="slider")
        self._player = player
        self._glyphs = glyphs
        self._bar = range(0)

    def update_moment(self) -> None:
        """Show the moment of now."""
        if self.size.width:
            line, self._bar = slider_line(self._player, self.size.width, self._glyphs)
            self.show([line])

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.update_moment()

    def on_click(self, event: events.Click) -> None:
        """Go to the moment under the pointer."""
        if self._bar and event.x in self._bar:
            share = (event.x - self._bar.start) / max(1, len(self._bar) - 1)
            self._player.seek(self._player.begin + share * (self._player.end - self._player.begin))


def slider_line(player: Player, width: int, glyphs: Glyphs) -> tuple[Line, range]:
    """The line, and the columns of its bar: ``paused  x8  0:04:12.250 [####......] 0:10:33``.

    While paused it tells milliseconds, as what follows on one another's end may be no further apart.
    """
    passed, whole = player.now() - player.begin, player.end - player.begin
    word = f" {'playing' if player.playing else 'paused ':7} x{player.speed:g} "
    word = f"{word:<15}"
    moment, end = f"{clock(passed) + '    ' if player.playing else _to_the_millisecond(passed)} ", f" {clock(whole)} "
    date = time.strftime(" %Y-%m-%d %H:%M:%S ", time.localtime(player.now())) if width >= _DATE_FROM else ""
    room = width - cell_len(word + moment + end + date)
    if room < _LEAST_BAR:
        return (Span(f"{word}{moment}of{end}", Role.TEXT),), range(0)
    done = min(room, max(0, round(room * passed / whole))) if whole > 0 else room
    line = (
        Span(word, (Role.PRIMARY if player.playing else Role.WARNING)),
        Span(moment, Role.TEXT),
        Span(glyphs.full * done, Role.ACCENT),
        Span(glyphs.empty * (room - done), Role.MUTED),
        Span(end, Role.TEXT),
        Span(date, Role.MUTED),
    )
    start = cell_len(word + moment)
    return line, range(start, start + room)


def _to_the_millisecond(seconds: float) -> str:
    whole, rest = divmod(round(seconds * 1000), 1000)
    return f"{clock(whole)}.{rest:03}"
