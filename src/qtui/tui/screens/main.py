"""The dashboard itself: four panes on a run, drawn anew ten times a second where something changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from qtui.core.events import UnitFinished, Warned
from qtui.core.model import FAILURES
from qtui.core.session import RunSession
from qtui.tui import steering
from qtui.tui.actions import Keymap, Where, bindings
from qtui.tui.bridge import Bridge, Change
from qtui.tui.format import Glyphs, Role
from qtui.tui.growing import Relayout
from qtui.tui.keys import groups_for, hints_for
from qtui.tui.layout import lay_out
from qtui.tui.panes import LOWER, Arrangement, Pane, arrangement_for, panes_shown
from qtui.tui.player import Player
from qtui.tui.sampler import Sampler
from qtui.tui.screens.help import Help
from qtui.tui.screens.question import Question
from qtui.tui.steering import Answer, Ask, Detach, Do, Note
from qtui.tui.text import clean
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

NOTE_SECONDS: Final = 5.0
DONE: Final = "done"
"""The answer to a request after which there is nothing to say."""

_REFUSED: Final = "this screen only reads: attach without --read-only to steer the run"
_REPLAYED: Final = "this is a replay: nothing can be asked of the run"
_ENDED: Final = "the run has ended here: qtui resume {run}"
_FRAME_SECONDS: Final = 0.1
_REMOTE_FRAME_SECONDS: Final = 0.2  # a network may be slow

_FOCUS_IDS: Final = {
    Pane.UNITS: "#units",
    Pane.LOG: "#log",
    Pane.WORKERS: "#worker-lines",
    Pane.EVENTS: "#events",
}


class MainScreen(Screen[None], inherit_bindings=False):
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
        super().__init__(classes="" if glyphs.unicode else "-ascii")
        self._session = session
        self._run_title = title
        self._glyphs = glyphs
        self._keymap = keymap
        self._player = player
        self._on_finished = on_finished
        self._on_frame = on_frame
        drawn = partial(lay_out, times=glyphs.times, dots=glyphs.range)
        self.bridge = Bridge(session, drawn(session.view().plan), lay_out=drawn)
        self._relayout = Relayout(self.bridge, drawn)
        self._sampler = Sampler(session)
        self._pane = Pane.UNITS
        self._lower = Pane.LOG
        self._zoomed = False
        self._opened = False
        self._arranged: Arrangement | None = None
        self._note = ""
        self._note_until = 0.0
        self._second = -1
        self._ended = self._lost = False
        self._heard = 0  # how many requests have been answered, from the first on

    def compose(self) -> ComposeResult:
        """Textual's hook: the parts of the screen."""
        glyphs, bridge = self._glyphs, self.bridge
        yield Header(self._session, self._run_title, bridge, glyphs)
        yield Banner()
        with Container(id="panes") if self._player is None else ReplayPanes(self._player, self.note):
            yield UnitTree(bridge.layout, bridge, glyphs, clock=self._session.now, id=Pane.UNITS)
            yield LogView(self._session, bridge, glyphs, id=Pane.LOG)
            yield WorkersPane(bridge, self._sampler, glyphs, id=Pane.WORKERS)
            yield EventsPane(self._session.plan, glyphs, id=Pane.EVENTS)
        if self._player is not None:
            yield Slider(self._player, glyphs)
        yield StatusLine(glyphs)
        yield FilterInput()
        yield KeyLine(hints_for(self._session, self._keymap))

    def on_mount(self) -> None:
        """Begin to draw frames."""
        self._arrange()
        self.set_focus(self.tree_pane)
        if self._player is None:  # of the machine as it was nothing is known
            self._sampler.busy = self.bridge.busy
            self._sampler.start()
        self._watch_selected()
        self.set_interval(_REMOTE_FRAME_SECONDS if "SSH_CONNECTION" in os.environ else _FRAME_SECONDS, self.draw_frame)

    def on_unmount(self) -> None:
        """Leave no thread at work."""
        self._sampler.stop()
        self._relayout.stop()

    # -- frames ------------------------------------------------------------------------------------------

    @property
    def tree_pane(self) -> UnitTree:
        """The pane of the units."""
        return self.query_one(UnitTree)

    @property
    def log_pane(self) -> LogView:
        """The pane of the log."""
        return self.query_one(LogView)

    def draw_frame(self) -> None:
        """Take what is new and repaint what it touches."""
        change = self.bridge.advance()
        self._sampler.busy = self.bridge.busy
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
        now = self._session.now()
        second, self._second = self._second, int(now)
        lost, self._lost = self._lost, self._session.lost
        changed = bool(change.records) or second != self._second or lost is not self._lost
        if changed:
            self.query_one(Header).update_run(now)
            self.tree_pane.update_rows(exposure=change.exposure)
        self._tell_events(change)
        self.query_one(WorkersPane).update_workers(now, change.records, changed=changed)
        self.log_pane.update_log(self.bridge.view, now)
        self._say()
        if self._player is not None:
            self.query_one(Slider).update_moment()
        ended = ended and not self.bridge.outgrown  # what is to be selected then may be new
        if ended and not self._ended:
            self._finish()
        self._ended = ended
        self._on_frame()

    def _tell_events(self, change: Change) -> None:
        pane = self.query_one(EventsPane)
        if change.jumped:
            pane.begin_anew(self._session.plan)
        pane.add(change.records)
        warned = [event for _, event in change.records if isinstance(event, Warned) and event.unit < 0]
        if warned and self._player is None:
            self.note(warned[-1].message)

    def _say(self) -> None:
        """Bring the status line and the banner up to date."""
        view = self.bridge.view
        self.query_one(Banner).tell(alarm(self._session, view))
        self.query_one(KeyLine).tell(hints_for(self._session, self._keymap))
        self._hear()
        if time.monotonic() < self._note_until:
            text, role = self._note, Role.ACCENT
        else:
            allowed, steerable = len(self.bridge.allowed), not self._session.read_only
            text, role = situation(view, allowed=allowed, steerable=steerable, lost=self._lost)
            if not text and self.tree_pane.filter:
                text, role = f"filter: {self.tree_pane.filter}; n N next, esc clears", Role.ACCENT
        machine = short_machine(view, self._sampler.latest, self.bridge.busy)
        told = self._lost or self.query_one(WorkersPane).display
        self.query_one(StatusLine).say(text, role, "" if told else machine)

    def _hear(self) -> None:
        """Say what became of requests that others carry out, but for those that were done: that is seen."""
        answers = self._session.answers()[self._heard :]
        for answer in answers:
            if not answer.text:
                break
            self._heard += 1
            if answer.text != DONE:
                self.note(answer.text)

    def on_key(self) -> None:
        """Textual's hook, before what the key does: what was said is read, and may not be true any more."""
        self._note_until = 0.0

    def note(self, text: str) -> None:
        """Say something for a few seconds, or until the next key."""
        self._note, self._note_until = text, time.monotonic() + NOTE_SECONDS

    def _finish(self) -> None:
        """The run has ended: show what failed first. Who plays it again looks where they want."""
        if self._player is not None:
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

    # -- panes -------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Another size may need another arrangement."""
        self._arrange()
        self._second = -1

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The mouse may have moved the focus."""
        for pane, selector in _FOCUS_IDS.items():
            if event.widget.id == selector[1:] and pane is not self._pane:
                self._pane = pane
                self._arrange()

    def _arrange(self) -> None:
        """Show the panes that the size, the focus and the zoom ask for."""
        arrangement = arrangement_for(*self.app.size)
        if self._pane in LOWER:
            self._lower = self._pane
        if arrangement is not self._arranged:
            for other in Arrangement:
                self.set_class(other is arrangement, f"-{other}")
            self._arranged = arrangement
            self.tree_pane.write_title()
            self.query_one(EventsPane).write_title()
        self.set_class(self._zoomed, "-zoomed")
        shown = panes_shown(arrangement, lower=self._lower, focused=self._pane, zoomed=self._zoomed)
        for pane in Pane:
            widget = self.query_one(f"#{pane}", Widget)
            if widget.display != (pane in shown):
                widget.display = pane in shown
        self._second = -1

    def _focus_pane(self, pane: Pane) -> None:
        self._pane = pane
        self._arrange()
        self.set_focus(self.query_one(_FOCUS_IDS[pane], Widget))

    def action_pane(self, pane: str) -> None:
        """Go to a pane."""
        self._opened = False
        self._focus_pane(Pane(pane))

    def action_next_pane(self, step: int) -> None:
        """Go to the next pane, or the one before."""
        panes = list(Pane)
        self.action_pane(panes[(panes.index(self._pane) + step) % len(panes)])

    def action_zoom(self) -> None:
        """Give the whole screen to the pane, or take it back."""
        self._zoomed = not self._zoomed
        self._opened = False
        self._arrange()

    def action_back(self) -> None:
        """Escape: close what was opened last, then the filter, then go back to the units."""
        if self._zoomed:
            self._zoomed = False
            self._focus_pane(Pane.UNITS if self._opened else self._pane)
            self._opened = False
        elif self.tree_pane.filter:
            self._drop_filter()
        else:
            self._focus_pane(Pane.UNITS)

    def action_follow(self) -> None:
        """Let the log follow the end, or let it be."""
        log = self.log_pane
        log.follow(not log.following)

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help(self._glyphs, groups_for(self._session, self._keymap)))

    # -- the selected unit -------------------------------------------------------------------------------

    def on_unit_tree_selected(self) -> None:
        """Another unit: another log."""
        self._watch_selected()

    def on_unit_tree_opened(self) -> None:
        """Enter: the log on the whole screen."""
        self._opened = self._zoomed = True
        self._focus_pane(Pane.LOG)

    def _watch_selected(self) -> None:
        tree = self.tree_pane
        if tree.bundle is not None:
            self.log_pane.watch_bundle(tree.bundle)
        elif tree.unit is not None:
            self.log_pane.watch_unit(self.bridge.view, tree.unit)
        self.log_pane.update_log(self.bridge.view, self._session.now())

    # -- filter ------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Begin to type a filter."""
        self._zoomed = False
        self._focus_pane(Pane.UNITS)
        line = self.query_one(FilterInput)
        line.value = ""
        self.tree_pane.begin_filter()
        self.add_class("-filtering")
        self.set_focus(line)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if self.has_class("-filtering"):
            self.tree_pane.set_filter(event.value)

    def on_input_submitted(self) -> None:
        """Keep the filter, unless nothing matches it."""
        if self.tree_pane.filter and not self.tree_pane.has_matches:
            self.note(f"nothing matches {self.tree_pane.filter}")
            self._drop_filter()
        else:
            self._close_filter_line()

    def on_filter_input_given_up(self) -> None:
        """Show all units again."""
        self._drop_filter()

    def on_filter_input_step(self, event: FilterInput.Step) -> None:
        """Go to another match while typing."""
        self.tree_pane.next_match(event.count)

    def _drop_filter(self) -> None:
        self._close_filter_line()
        self.tree_pane.set_filter("")

    def _close_filter_line(self) -> None:
        self.remove_class("-filtering")
        self._focus_pane(Pane.UNITS)

    def action_next_match(self, step: int) -> None:
        """Go to another match."""
        if not self.tree_pane.next_match(step):
            self.note("no filter is set; / sets one" if not self.tree_pane.filter else "nothing matches the filter")

    def action_next_failed(self) -> None:
        """Go to the next failed unit."""
        if not self.tree_pane.next_failed():
            self.note("nothing has failed")

    # -- steering ----------------------------------------------------------------------------------------

    def carry_out(self, answer: Answer) -> None:
        """Do what a key asked for, after a question if there is one."""
        match answer:
            case _ if self._session.lost and self._player is None:
                self.note(self._session.trouble)
            case _ if self._session.read_only:
                self.note(self._refusal())
            case Note(text):
                self.note(text)
            case Do(request):
                self._session.request(request)
            case Ask():
                self.app.push_screen(Question(answer, self._glyphs, self._session.view), self._answered)

    def _refusal(self) -> str:
        """Why nothing can be asked of the run."""
        if self._player is not None:
            return _REPLAYED
        return _ENDED.format(run=self._session.run) if self._session.view().state.ended else _REFUSED

    def _answered(self, chosen: Do | Detach | Note | None) -> None:
        if isinstance(chosen, Do):
            self._session.request(chosen.request)
        elif isinstance(chosen, Note):
            self.note(chosen.text)

    def action_retry(self) -> None:
        """Run the selected unit or bundle again."""
        tree, view = self.tree_pane, self._session.view()
        if tree.unit is not None:
            self.carry_out(steering.retry_unit(view, tree.unit, self._edited))
        else:
            self.carry_out(steering.retry_units(view, tree.units, tree.label, self._edited))

    def _edited(self, number: int) -> str:
        return "" if self._session.read_only else self._session.edited(number)

    def action_retry_all(self) -> None:
        """Run all that ended badly again."""
        view = self._session.view()
        self.carry_out(steering.retry_units(view, range(len(view.plan)), clean(self._run_title), self._edited))

    def action_cancel(self) -> None:
        """Stop the selected unit or bundle."""
        tree, view = self.tree_pane, self._session.view()
        if tree.unit is not None:
            self.carry_out(steering.cancel_unit(view, tree.unit))
        else:
            self.carry_out(steering.cancel_units(view, tree.units, tree.label))

    def action_cancel_run(self) -> None:
        """End the run."""
        self.carry_out(steering.cancel_run(self._session.view()))

    def action_pause(self) -> None:
        """Pause or go on."""
        self.carry_out(steering.pause(self._session.view()))

    def action_answer(self) -> None:
        """Answer what waits for a person."""
        self.carry_out(steering.answer(self._session.view(), self.tree_pane.unit))

    def action_workers(self, step: int) -> None:
        """More or fewer workers."""
        self.carry_out(steering.more_workers(self._session.view(), step))

    def action_adapt_workers(self) -> None:
        """Let the number of workers follow the machine."""
        self.carry_out(steering.adapt_workers(self._session.view()))
