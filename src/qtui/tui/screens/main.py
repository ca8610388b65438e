"""The dashboard itself: five panes on a run, drawn anew up to ten times a second where something changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.timer import Timer

from qtui.core.events import UnitFinished, Warned
from qtui.core.model import FAILURES, UnitState
from qtui.core.samples import LoadSample
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.actions import Keymap, Where, bindings
from qtui.tui.beat import Pace
from qtui.tui.bridge import Change
from qtui.tui.drawn import Drawn
from qtui.tui.format import Glyphs
from qtui.tui.keys import FILTER_KEYS, Key, Place, groups_for, hints_for
from qtui.tui.later import import_later
from qtui.tui.panes import Arrangement, Pane
from qtui.tui.player import Player
from qtui.tui.roles import Role
from qtui.tui.screens.commanding import Commanding
from qtui.tui.screens.copying import Copying
from qtui.tui.screens.dialog import Dialog
from qtui.tui.tabs.entry import Tab
from qtui.tui.turns import Turns
from qtui.tui.widgets.banner import Banner, alarm
from qtui.tui.widgets.events import EventsPane
from qtui.tui.widgets.header import Header
from qtui.tui.widgets.log import LogView
from qtui.tui.widgets.machine import short_machine
from qtui.tui.widgets.status import KeyLine, StatusLine, in_a_line, situation, with_silence
from qtui.tui.widgets.timeline import TimelinePane
from qtui.tui.widgets.tree import UnitTree
from qtui.tui.widgets.workers import DECISIONS, WorkersPane

if TYPE_CHECKING:
    from qtui.tui.forecaster import Past
    from qtui.tui.widgets.replay import Slider

DONE: Final = "done"
"""The answer to a request after which there is nothing to say."""

_WARNINGS: Final = frozenset({Warned})
_STATUS_GAPS: Final = 6
"""Cells of the status line between its two parts, and beside them."""
_FRAME_SECONDS: Final = 0.1
_REMOTE_FRAME_SECONDS: Final = 0.2  # a network may be slow
_REST_SECONDS: Final = 2.0
"""After so long without a key or news, while nothing is at work, there are no frames until there is something to draw:
ten wakes a second take a fifth of a percent of a core, as much as all that is drawn then."""
_LOOK_SECONDS: Final = 0.25
"""How often somebody looks for that; also while a terminal is left open over the weekend."""


class MainScreen(Commanding, Copying, inherit_bindings=False):
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
        ask_past: Callable[[RunSession], Past] | None = None,
        on_finished: Callable[[], None],
        on_frame: Callable[[], None],
    ) -> None:
        super().__init__(session, title, glyphs, keymap=keymap, player=player, ask_past=ask_past)
        self._on_finished = on_finished
        self._on_frame = on_frame
        self._pace = Pace()
        self._frame_seconds = _REMOTE_FRAME_SECONDS if "SSH_CONNECTION" in os.environ else _FRAME_SECONDS
        self._turns = Turns(self._frame_seconds)
        self._frames: Timer | None = None
        self._looks: Timer | None = None
        self.resting = False
        """Whether frames are drawn only once there is something to draw, and when a second is over."""
        self._rests_from = 0.0
        self._second = -1
        self._sampled: LoadSample | None = None
        self._ended = self._lost = False
        self._heard = 0  # how many requests have been answered, from the first on
        self._header = Header(session, title, self.bridge, glyphs)
        self._banner = Banner()
        self._workers = WorkersPane(self.bridge, self.sampler, glyphs, id=Pane.WORKERS)
        clustered = bool(session.options.elsewhere)
        self._events = EventsPane(
            session.plan,
            glyphs,
            number=self.number_of,
            may_fail=lambda number: self.bridge.view.plan.table[number].allow_failure,
            keymap=keymap,
            clustered=clustered,
            id=Pane.EVENTS,
        )
        until = player.end if player is not None else 0.0
        self._timeline = TimelinePane(self.bridge, self.attempts, glyphs, keymap=keymap, until=until, id=Pane.TIMELINE)
        self._status = StatusLine(glyphs)
        self._key_line = KeyLine(hints_for(session, keymap))
        self._slider: Slider | None = None

    def compose(self) -> ComposeResult:
        """Textual's hook: the parts of the screen."""
        glyphs, bridge = self.glyphs, self.bridge
        self.follow_size(update=False)  # before there is anything whose style would follow
        yield self._header
        yield self._banner
        with Container(id="panes") if self.player is None else self._replay_panes(self.player):
            units = UnitTree(bridge, glyphs, clock=self.session.now, keymap=self.keymap, id=Pane.UNITS)
            log = LogView(self.session, bridge, glyphs, keymap=self.keymap, id=Pane.LOG)
            for pane in (units, log, *self.make_details(), self._workers, self._timeline, self._events):
                yield pane.add_class("pane", update=False)
        if self._slider is not None:
            yield self._slider
        yield self._status
        yield self._key_line

    def _replay_panes(self, player: Player) -> Container:
        from qtui.tui.widgets.replay import ReplayPanes, Slider

        self._slider = Slider(player, self.glyphs)
        return ReplayPanes(player, self.note)

    def on_mount(self) -> None:
        """Begin to draw frames."""
        self.place_panes()
        self.set_focus(self.tree_pane)
        self._watch_selected()
        self.call_after_refresh(self._draw_first)  # when the parts know their sizes; not only when a frame is over
        self._frames = self.set_interval(self._frame_seconds, self._tick)
        self._looks = self.set_interval(_LOOK_SECONDS, self._look, pause=True)
        self.stir()

    def on_unmount(self) -> None:
        """Leave no thread at work."""
        self.sampler.stop()
        self.end_forecasts()
        self._relayout.stop()
        self._turns.stop()

    # -- frames ------------------------------------------------------------------------------------------

    def _draw_first(self) -> None:
        self.draw_frame()
        self.call_after_refresh(self._begin_later)

    def _begin_later(self) -> None:
        import_later()
        self.begin_forecasts()

    def stir(self) -> None:
        """A person has done something, or there is news: draw frames as often as ever for a while."""
        self._rests_from = time.monotonic() + _REST_SECONDS
        if self.resting:
            self._rest(False)

    def _rest(self, resting: bool) -> None:
        assert self._frames is not None and self._looks is not None
        self.resting = resting
        (self._frames if resting else self._looks).pause()
        (self._looks if resting else self._frames).resume()

    def _tick(self) -> None:
        self._turns.ticked()
        self.draw_frame()
        if time.monotonic() >= self._rests_from and self._nothing_moves():
            self._rest(True)

    def _look(self) -> None:
        if self._is_news() or not self._nothing_moves():
            self.stir()
        elif int(self.session.now()) != self._second:
            self.draw_frame()
        else:
            self._on_frame()  # signals come without news

    def _nothing_moves(self) -> bool:
        """Whether neither units nor the screen itself are at something that has more to show by and by."""
        return self.player is None and not self.bridge.holding and self.log_pane.at_rest

    def _is_news(self) -> bool:
        session, view = self.session, self.bridge.view
        unheard = len(session.answers()) > self._heard
        return self.stale or unheard or session.view().seq != view.seq or session.lost is not self._lost

    def _is_behind(self) -> bool:
        app = self.app
        return isinstance(app, Drawn) and app.behind

    def draw_frame(self) -> None:
        """Take what is new and repaint what it touches; of a frame without news only what may come without them."""
        if not self._pace.due(behind=self._is_behind()):
            return
        self._hear()
        change = self.bridge.advance()
        self._pace.came(len(change.events) if not change.jumped else 0)
        self.sampler.busy = self.bridge.busy
        if self.player is None and not self.sampler.begun:  # of the machine as it was nothing is known
            self.sampler.start()
        self.take_forecast(change)
        if change.replaced:
            self.tree_pane.grow(replaced=True)
        if change.replaced or change.jumped:
            self.log_pane.forget()
            self.details.forget()
            self.why.forget()
            self._timeline.forget()
            self._watch_selected()
        ended = self.bridge.view.state.ended
        if (layouts := self._relayout.take(soon=ended)) is not None:
            self.bridge.grow(*layouts)
            self.tree_pane.grow()
            self._watch_selected()
        now = self.session.now()
        second, self._second = self._second, int(now)
        lost, self._lost = self._lost, self.session.lost
        stale, self.stale = self.stale or lost is not self._lost, False
        changed = bool(change.events) or second != self._second or stale
        if change.events or stale:
            self._rests_from = time.monotonic() + _REST_SECONDS
        self._header.update_run(now, changed=changed)
        if changed:
            # what time has changed is seen once a second
            units = change.units if second == self._second and not stale else None
            self.tree_pane.update_rows(exposure=change.exposure, units=units)
        self._tell_events(change)
        self.keep_attempts(change.events, jumped=change.jumped)
        self._workers.update_workers(now, change.of(DECISIONS), changed=changed)
        self.log_pane.update_log(self.bridge.view, now, changed=changed)
        self.update_details(now, changed=changed)
        self._timeline.update_timeline(now, error=self.forecaster.error if self.forecaster else "", changed=changed)
        self._banner.tell(alarm(self.session, self.bridge.view))  # trouble comes without news
        if changed or self.sampler.latest is not self._sampled:
            self._sampled = self.sampler.latest
            self._say()
        if self._slider is not None:
            self._slider.update_moment()
        ended = ended and not self.bridge.outgrown  # what is to be selected then may be new
        if ended and not self._ended:
            self._finish()
        self._ended = ended
        self._on_frame()

    def _tell_events(self, change: Change) -> None:
        pane = self._events
        if change.jumped:
            pane.begin_anew(self.session.plan)
        pane.add(change.events)
        # what is said of a unit that nobody looks at stands in the events
        about = (-1, self.tree_pane.unit)
        warned = [event for event in change.of(_WARNINGS) if isinstance(event, Warned) and event.unit in about]
        if warned and self.player is None:
            self.note(warned[-1].message)

    def _say(self) -> None:
        """Bring the status line and the banner up to date."""
        view = self.bridge.view
        self._key_line.tell(self._hints())
        text, role = self.noted, Role.ACCENT
        if not text and self.farewell:
            text, role = self.farewell, Role.SUCCESS
        if not text:
            text = self.tree_pane.warning()
        if not text:
            text, role = self._situation(view, brief=False)
            if cell_len(text) > self.size.width - 2:  # no key that it names may be cut off
                text, role = self._situation(view, brief=True)
        boxed = isinstance(self.app.screen, Dialog)
        self.set_class(not boxed and bool(self.noted or self.farewell or view.asked or view.silent), "-saying")
        if self.arrangement is Arrangement.LINE:
            keymap = self.keymap if not self.session.read_only else None
            text, role = in_a_line(view, self.glyphs, allowed=len(self.bridge.allowed), keymap=keymap)
        machine = short_machine(view, self.sampler.latest, self.bridge.busy)
        right = "" if self._lost or self._workers.display else machine
        if self.arrangement is Arrangement.MICRO:  # the sentence stands where the keys are otherwise
            right = f"{self.key('app.help')} help"
        if not text:
            room = self.size.width - (len(right) + _STATUS_GAPS if right else 2)
            text, role = self.bridge.outlook.why_so_long(view, self.session.now(), room), Role.MUTED
        self._status.say(text, role, right)

    def _situation(self, view: RunView, *, brief: bool) -> tuple[str, Role]:
        text, role = situation(
            view,
            allowed=len(self.bridge.allowed),
            steerable=not self.session.read_only,
            lost=self._lost,
            keymap=self.keymap,
            brief=brief,
        )
        if not text:
            text, role = self.tree_pane.reminder(), Role.ACCENT
        return with_silence(text, role, view, self.session.now(), brief=brief)

    def _hints(self) -> tuple[Key, ...]:
        if isinstance(box := self.app.screen, Dialog):
            return box.hints
        if self.has_class("-filtering"):  # keys are letters then
            return FILTER_KEYS
        return hints_for(self.session, self.keymap, self._place())

    def _place(self) -> Place:
        """Where the person is, for the key line."""
        view, tree = self.bridge.view, self.tree_pane
        return Place(
            pane=(self.focused.id or "") if self.focused is not None else "",
            selected=tree.unit is not None or tree.bundle is not None,
            ended=view.state.ended,
            failed=view.counts[UnitState.FAILED] + view.counts[UnitState.TIMEOUT] > 0,
            asks=bool(view.asked or view.brakes),
            filtered=bool(tree.filter),
            searched=self.log_pane.finder.pattern is not None,
            paused=view.paused,
            zoomed=self.has_class("-zoomed"),
        )

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
        """The run has ended: show what failed first, unless a person has chosen what to look at. Who plays it again
        looks where they want."""
        if self.player is not None:
            return
        view = self.bridge.view
        allowed = self.bridge.allowed
        ends = [
            end
            for end in view.last
            if isinstance(end, UnitFinished) and end.state in FAILURES and end.unit not in allowed
        ]
        if ends and not self.tree_pane.chosen:
            self.show_failed(min(ends, key=lambda end: end.at).unit, by_hand=False)
        self._on_finished()

    # -- keys --------------------------------------------------------------------------------------------

    def action_back(self) -> None:
        """Escape: close what was opened last, then the filter, then the marks, then go back to the units."""
        if (self.focused is self.details and self.close_tab()) or self.end_search():
            return
        if self.close_zoom():
            return
        if self.tree_pane.filter:
            self.drop_filter()
        elif not self.drop_marks():
            self.focus_pane(Pane.UNITS)

    def action_help(self) -> None:
        """Show the keys."""
        from qtui.tui.screens.help import Help, groups_with_focus

        groups = groups_for(self.session, self.keymap)
        self.app.push_screen(Help(self.glyphs, groups, keymap=self.keymap, first=groups_with_focus(self)))

    # -- the selected unit -------------------------------------------------------------------------------

    def on_unit_tree_selected(self) -> None:
        """Another unit: another log."""
        self._watch_selected()

    def on_unit_tree_opened(self) -> None:
        """Enter: the log on the whole screen."""
        self.show_tab(Tab.LOG)
        self.open_log()

    def _watch_selected(self) -> None:
        tree = self.tree_pane
        if tree.bundle is not None:
            self.log_pane.watch_bundle(tree.bundle, tree.opening)
        elif tree.unit is not None:
            self.log_pane.watch_unit(self.bridge.view, tree.unit)
        self.log_pane.update_log(self.bridge.view, self.session.now())
        self._timeline.watch_row(tree.bundle.key if tree.bundle is not None else tree.unit)
        self.watch_details()
        self.update_details(self.session.now(), changed=True)
