"""The dashboard itself: four panes on a run, drawn anew ten times a second where something changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from qtui.core.events import UnitFinished, Warned
from qtui.core.model import FAILURES
from qtui.core.session import RunSession
from qtui.tui.actions import Keymap, Where, bindings
from qtui.tui.bridge import Change
from qtui.tui.format import Glyphs
from qtui.tui.keys import groups_for, hints_for
from qtui.tui.panes import Pane
from qtui.tui.player import Player
from qtui.tui.roles import Role
from qtui.tui.screens.finding import Finding
from qtui.tui.screens.help import Help
from qtui.tui.screens.logged import Logged
from qtui.tui.screens.steered import Steered
from qtui.tui.widgets.banner import Banner, alarm
from qtui.tui.widgets.events import EventsPane
from qtui.tui.widgets.filter import FilterInput
from qtui.tui.widgets.header import Header
from qtui.tui.widgets.log import LogView
from qtui.tui.widgets.machine import short_machine
from qtui.tui.widgets.replay import ReplayPanes, Slider
from qtui.tui.widgets.status import KeyLine, StatusLine, situation
from qtui.tui.widgets.tree import UnitTree
from qtui.tui.widgets.workers import WorkersPane

DONE: Final = "done"
"""The answer to a request after which there is nothing to say."""

_FRAME_SECONDS: Final = 0.1
_REMOTE_FRAME_SECONDS: Final = 0.2  # a network may be slow


class MainScreen(Finding, Steered, Logged, inherit_bindings=False):
    """Shows a session and posts requests to it; all it shows comes from the session's view."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.SCREEN)

    def __init__(
        self,
        session: RunSession,
        title: str,
        glyphs: Glyphs,
        *,
        keymap: Keymap,
        player: Player | None = None,
        on_finished: Callable[[], None],
        on_frame: Callable[[], None],
    ) -> None:
        super().__init__(session, title, glyphs, keymap=keymap, player=player)
        self._on_finished = on_finished
        self._on_frame = on_frame
        self._second = -1
        self._ended = self._lost = False
        self._heard = 0  # how many requests have been answered, from the first on

    def compose(self) -> ComposeResult:
        """Textual's hook: the parts of the screen."""
        glyphs, bridge = self.glyphs, self.bridge
        yield Header(self.session, self.run_title, bridge, glyphs)
        yield Banner()
        with Container(id="panes") if self.player is None else ReplayPanes(self.player, self.note):
            yield UnitTree(bridge.layout, bridge, glyphs, clock=self.session.now, id=Pane.UNITS)
            yield LogView(self.session, bridge, glyphs, id=Pane.LOG)
            yield WorkersPane(bridge, self.sampler, glyphs, id=Pane.WORKERS)
            yield EventsPane(self.session.plan, glyphs, id=Pane.EVENTS)
        if self.player is not None:
            yield Slider(self.player, glyphs)
        yield StatusLine(glyphs)
        yield FilterInput()
        yield KeyLine(hints_for(self.session, self.keymap))

    def on_mount(self) -> None:
        """Begin to draw frames."""
        self.place_panes()
        self.set_focus(self.tree_pane)
        if self.player is None:  # of the machine as it was nothing is known
            self.sampler.busy = self.bridge.busy
            self.sampler.start()
        self._watch_selected()
        self.set_interval(_REMOTE_FRAME_SECONDS if "SSH_CONNECTION" in os.environ else _FRAME_SECONDS, self.draw_frame)

    def on_unmount(self) -> None:
        """Leave no thread at work."""
        self.sampler.stop()
        self._relayout.stop()

    # -- frames ------------------------------------------------------------------------------------------

    def draw_frame(self) -> None:
        """Take what is new and repaint what it touches."""
        change = self.bridge.advance()
        self.sampler.busy = self.bridge.busy
        if change.replaced:
            self.tree_pane.replace(self.bridge.layout)
        if change.replaced or change.jumped:
            self.log_pane.forget()
            self._watch_selected()
        ended = self.bridge.view.state.ended
        if (layout := self._relayout.take(soon=ended)) is not None:
            self.bridge.grow(layout)
            self.tree_pane.grow(layout)
            self._watch_selected()
        now = self.session.now()
        second, self._second = self._second, int(now)
        lost, self._lost = self._lost, self.session.lost
        changed = bool(change.records) or second != self._second or lost is not self._lost or self.stale
        self.stale = False
        if changed:
            self.query_one(Header).update_run(now)
            self.tree_pane.update_rows(exposure=change.exposure)
        self._tell_events(change)
        self.query_one(WorkersPane).update_workers(now, change.records, changed=changed)
        self.log_pane.update_log(self.bridge.view, now)
        self._say()
        if self.player is not None:
            self.query_one(Slider).update_moment()
        ended = ended and not self.bridge.outgrown  # what is to be selected then may be new
        if ended and not self._ended:
            self._finish()
        self._ended = ended
        self._on_frame()

    def _tell_events(self, change: Change) -> None:
        pane = self.query_one(EventsPane)
        if change.jumped:
            pane.begin_anew(self.session.plan)
        pane.add(change.records)
        warned = [event for _, event in change.records if isinstance(event, Warned) and event.unit < 0]
        if warned and self.player is None:
            self.note(warned[-1].message)

    def _say(self) -> None:
        """Bring the status line and the banner up to date."""
        view = self.bridge.view
        self.query_one(Banner).tell(alarm(self.session, view))
        self.query_one(KeyLine).tell(hints_for(self.session, self.keymap))
        self._hear()
        text, role = self.noted, Role.ACCENT
        if not text:
            allowed, steerable = len(self.bridge.allowed), not self.session.read_only
            text, role = situation(view, allowed=allowed, steerable=steerable, lost=self._lost)
            if not text and self.tree_pane.filter:
                text, role = f"filter: {self.tree_pane.filter}; n N next, esc clears", Role.ACCENT
        machine = short_machine(view, self.sampler.latest, self.bridge.busy)
        told = self._lost or self.query_one(WorkersPane).display
        self.query_one(StatusLine).say(text, role, "" if told else machine)

    def _hear(self) -> None:
        """Say what became of requests that others carry out, but for those that were done: that is seen."""
        answers = self.session.answers()[self._heard :]
        for answer in answers:
            if not answer.text:
                break
            self._heard += 1
            if answer.text != DONE:
                self.note(answer.text)

    def _finish(self) -> None:
        """The run has ended: show what failed first. Who plays it again looks where they want."""
        if self.player is not None:
            return
        view = self.bridge.view
        allowed = self.bridge.allowed
        ends = [
            end
            for end in view.last
            if isinstance(end, UnitFinished) and end.state in FAILURES and end.unit not in allowed
        ]
        if ends:
            self.tree_pane.select_unit(min(ends, key=lambda end: end.at).unit)
            self.log_pane.follow(True)
        self._on_finished()

    # -- keys --------------------------------------------------------------------------------------------

    def action_back(self) -> None:
        """Escape: close what was opened last, then the filter, then go back to the units."""
        if self.close_zoom():
            return
        if self.tree_pane.filter:
            self.drop_filter()
        else:
            self.focus_pane(Pane.UNITS)

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help(self.glyphs, groups_for(self.session, self.keymap)))

    # -- the selected unit -------------------------------------------------------------------------------

    def on_unit_tree_selected(self) -> None:
        """Another unit: another log."""
        self._watch_selected()

    def on_unit_tree_opened(self) -> None:
        """Enter: the log on the whole screen."""
        self.open_log()

    def _watch_selected(self) -> None:
        tree = self.tree_pane
        if tree.bundle is not None:
            self.log_pane.watch_bundle(tree.bundle)
        elif tree.unit is not None:
            self.log_pane.watch_unit(self.bridge.view, tree.unit)
        self.log_pane.update_log(self.bridge.view, self.session.now())
