"""What the parts of the main screen share: the session, what is drawn of it, and a way to say something."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from textual.screen import Screen

from qtui.core.session import RunSession
from qtui.tui.actions import Keymap
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.growing import Relayout
from qtui.tui.layout import lay_out
from qtui.tui.panes import Pane
from qtui.tui.player import Player
from qtui.tui.sampler import Sampler
from qtui.tui.widgets.log import LogView
from qtui.tui.widgets.tree import UnitTree

NOTE_SECONDS: Final = 5.0


class RunScreen(Screen[None], inherit_bindings=False):
    """A screen on a session. Each part of the main screen is a class below this one, with the actions of its keys."""

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
        self._note = ""
        self._note_until = 0.0

    @property
    def tree_pane(self) -> UnitTree:
        """The pane of the units."""
        return self.query_one(UnitTree)

    @property
    def log_pane(self) -> LogView:
        """The pane of the log."""
        return self.query_one(LogView)

    def note(self, text: str) -> None:
        """Say something for a few seconds, or until the next key."""
        self._note, self._note_until = text, time.monotonic() + NOTE_SECONDS

    @property
    def noted(self) -> str:
        """What is being said; empty if nothing is."""
        return self._note if time.monotonic() < self._note_until else ""

    def on_key(self) -> None:
        """Textual's hook, before what the key does: what was said is read, and may not be true any more."""
        self._note_until = 0.0

    def focus_pane(self, pane: Pane) -> None:
        """Go to a pane, and show it if it is hidden."""
        raise NotImplementedError
