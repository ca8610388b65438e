"""What the parts of the main screen share: the session, what is drawn of it, and a way to say something."""

from __future__ import annotations

import time
from functools import cached_property, partial
from typing import Final

from textual.screen import Screen

from qtui.core.session import RunSession
from qtui.tui.actions import Keymap
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.growing import Relayout
from qtui.tui.keys import key_for
from qtui.tui.laying import lay_out
from qtui.tui.panes import Pane
from qtui.tui.player import Player
from qtui.tui.sampler import Sampler
from qtui.tui.widgets.log import LogView
from qtui.tui.widgets.tree import UnitTree

NOTE_SECONDS: Final = 5.0
TOO_NEW: Final = "that unit was added a moment ago and has no row yet"


class RunScreen(Screen[None], inherit_bindings=False):
    """A screen on a session. Each part of the main screen is a class below this one, with the actions of its keys.

    `stale` says that the next frame has to draw, although nothing may have come from the run.
    """

    def __init__(
        self, session: RunSession, title: str, glyphs: Glyphs, *, keymap: Keymap, player: Player | None = None
    ) -> None:
        super().__init__(classes="" if glyphs.unicode else "-ascii")
        self.session = session
        self.run_title = title
        self.glyphs = glyphs
        self.keymap = keymap
        self.player = player
        drawn = partial(lay_out, times=glyphs.times, dots=glyphs.range)
        self.bridge = Bridge(session, drawn(session.view().plan), lay_out=drawn)
        self._relayout = Relayout(self.bridge, drawn)
        self.sampler = Sampler(session)
        self.farewell = ""
        """Said while the screen is about to leave by itself."""
        self.stale = True
        self._note = ""
        self._note_until = 0.0

    # looking a widget up takes as long as the rest of a frame without news; none of these is ever replaced

    @cached_property
    def tree_pane(self) -> UnitTree:
        """The pane of the units."""
        return self.query_one(UnitTree)

    @cached_property
    def log_pane(self) -> LogView:
        """The pane of the log."""
        return self.query_one(LogView)

    def key(self, action: str) -> str:
        """The key of the action with this id, for what is said to the person who may have chosen it."""
        return key_for(action, self.keymap)

    def note(self, text: str) -> None:
        """Say something for a few seconds, or until the next key."""
        self._note, self._note_until = text, time.monotonic() + NOTE_SECONDS
        self.stale = True

    def on_screen_suspend(self) -> None:
        """Textual's hook: a box is over the screen, and has the keys."""
        self.stale = True

    def on_screen_resume(self) -> None:
        """Textual's hook: the box has gone."""
        self.stale = True

    @property
    def noted(self) -> str:
        """What is being said; empty if nothing is."""
        return self._note if time.monotonic() < self._note_until else ""

    def heard(self) -> None:
        """A key has come, of which nothing has been done yet: what was said is read, and may not be true any more."""
        self._note_until = 0.0
        self.stale = True

    def focus_pane(self, pane: Pane) -> None:
        """Go to a pane, and show it if it is hidden."""
        raise NotImplementedError
