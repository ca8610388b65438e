"""The log pane: output of the selected unit's latest attempt, and what there is to know besides."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.actions import Where, bindings
from qtui.tui.bridge import Bridge
from qtui.tui.details import Detail, about_bundle, after_output, before_output
from qtui.tui.format import Glyphs, tries
from qtui.tui.layout import Bundle
from qtui.tui.loglines import LogLines
from qtui.tui.roles import Role
from qtui.tui.text import Span, clean, parse_line
from qtui.tui.widgets.lines import Line, Lines, set_row_count, set_title

_SIDE_STEP = 8
_CACHED_LINES = 2_000
_MANY_UNITS = 1_000


class LogView(Lines, can_focus=True):
    """Follows the end of the output until one scrolls up; only lines on the screen are read and parsed."""

    BINDINGS: ClassVar[list[BindingType]] = [*Lines.SCROLL_KEYS, *bindings(Where.LOG)]

    def __init__(self, session: RunSession, bridge: Bridge, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._session = session
        self._bridge = bridge
        self._glyphs = glyphs
        self.ellipsis = glyphs.ellipsis
        self._log: LogLines | None = None
        self._bundle: Bundle | None = None
        self._told_at = 0
        self._before: list[Detail] = []
        self._after: list[Detail] = []
        self._parsed: dict[int, Line] = {}
        self.following = True

    def watch_bundle(self, bundle: Bundle) -> None:
        """Show what there is to know about a bundle from now on."""
        if self._bundle is None or self._bundle.key != bundle.key:
            self._show_anew()
            self.scroll_to(y=0, animate=False, force=True)
        self._log, self._bundle, self._told_at = None, bundle, 0

    def watch_unit(self, view: RunView, unit: int) -> None:
        """Show the output of this unit from now on."""
        self._bundle = None
        attempt = view.attempts[unit]
        if self._log is None or (self._log.unit, self._log.attempt) != (unit, attempt):
            self._log = LogLines(self._session, unit, attempt)
            self._show_anew()

    def forget(self) -> None:
        """Numbers of units or the outputs mean something else from now on: what is watched next is read anew."""
        self._log = self._bundle = None

    def _show_anew(self) -> None:
        self._parsed.clear()
        self.left = 0
        self.following = True
        self._before = self._after = []

    def update_log(self, view: RunView, now: float) -> None:
        """Show what the unit has printed since the last frame."""
        if self._bundle is not None:
            self._tell_bundle(self._bundle, now)
        if self._log is None:
            return
        unit = view.unit(self._log.unit)
        if unit.attempt != self._log.attempt:
            self.watch_unit(view, unit.number)
        lines_before = len(self._log)
        grown = bool(unit.attempt) and self._log.advance()
        if grown:
            # the last line of before may have gone on; after a cut all lines have other numbers
            fewer = len(self._log) < lines_before
            self._parsed = {} if fewer else {k: v for k, v in self._parsed.items() if k < lines_before - 1}
        waits_for = self._bridge.waits_for(unit.number)
        before = before_output(unit, now, self._glyphs, waits_for) if not len(self._log) else []
        if self._log.skipped:
            before = [Detail(self._left_out(), Role.MUTED)]
        self._show_details(before, after_output(unit, now), grown=grown)
        place = "end resumes" if not self.following else "" if unit.state.ended else "following"
        word, tried = self._bridge.look_of(unit.number).value, tries(unit)
        parts = [unit.id, word, tried and f"try {tried}", place if len(self._log) else ""]
        set_title(self, f"Log {'  '.join(filter(None, parts))}")

    def _tell_bundle(self, bundle: Bundle, now: float) -> None:
        """Say how a bundle is; to count many units takes milliseconds, so that is done once a second."""
        if self._told_at != int(now) or len(bundle.units) < _MANY_UNITS:
            self._told_at = int(now)
            keys = "enter unfolds" if self._session.read_only else "enter unfolds; x, r: all of them"
            lines = about_bundle(bundle, self._bridge, now, self._glyphs, keys=keys)
            self._show_details(lines, [], grown=False)
        set_title(self, f"Log {bundle.label}")

    def _left_out(self) -> str:
        path = self._log and self._session.log_path(self._log.unit, self._log.attempt)
        return "earlier output is not shown" + (f"; all of it: {clean(path)}" if path else "")

    def _show_details(self, before: list[Detail], after: list[Detail], *, grown: bool) -> None:
        if not grown and before == self._before and after == self._after:
            return
        self._before, self._after = before, after
        count = len(before) + (len(self._log) if self._log else 0) + len(after)
        set_row_count(self, count)
        if self.following and self._bundle is None:
            self.scroll_to(y=max(0, count - self.size.height), animate=False, force=True)

    def line(self, at: int) -> Line:
        """Line `at` of what is said before the output, the output, and what is said after it."""
        count = len(self._log) if self._log else 0
        if at < len(self._before):
            return self._detail(self._before[at])
        at -= len(self._before)
        if at >= count:
            at -= count
            return self._detail(self._after[at]) if at < len(self._after) else ()
        assert self._log is not None
        if at not in self._parsed:
            if len(self._parsed) > _CACHED_LINES:
                self._parsed.clear()
            self._parsed[at] = tuple(parse_line(self._log.text(at)))
        return self._parsed[at]

    def _detail(self, detail: Detail) -> Line:
        return (Span(clean(detail.text), detail.role),)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Following ends when one scrolls up and begins again at the end."""
        super().watch_scroll_y(old_value, new_value)
        self.following = new_value >= self.max_scroll_y

    def follow(self, on: bool) -> None:
        """Follow the end, or stay where one is."""
        self.following = on
        if on:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def action_scroll_side(self, step: int) -> None:
        """Move the text sideways, to read long lines."""
        self.left = max(0, self.left + step * _SIDE_STEP)
        self.refresh()

    def on_resize(self) -> None:
        """Stay at the end while following."""
        if self.following and self._bundle is None:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
