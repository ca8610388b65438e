"""The log pane: output of the selected unit's latest attempt, and what there is to know besides."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from qtui.core.logtimes import UNTIMED
from qtui.core.model import FAILURES
from qtui.core.session import RunSession
from qtui.core.state import RunView, UnitView
from qtui.tui.actions import USUAL, Keymap, Where, bindings
from qtui.tui.bridge import Bridge
from qtui.tui.details import Detail, about_bundle, after_output, before_output
from qtui.tui.failing import MOST_LOOKED_AT, failing_line
from qtui.tui.finder import Finder
from qtui.tui.format import Glyphs, tries
from qtui.tui.gutter import Gutter, gutter_text, gutter_width
from qtui.tui.keys import key_for
from qtui.tui.layout import Bundle
from qtui.tui.loglines import LogLines
from qtui.tui.patterns import Pattern, highlighted
from qtui.tui.roles import Role
from qtui.tui.text import Span, clean, parse_line
from qtui.tui.widgets.broken import BrokenLines
from qtui.tui.widgets.lines import Line, Lines, set_title, strip_of, theme_of
from qtui.tui.wrapped import Place

_SIDE_STEP = 8
_CACHED_LINES = 2_000
_MANY_UNITS = 1_000
_LEAST_NAME = 8
_TITLE_ENDS = 2
_TITLE_GAPS = 8
"""Cells of a title between its parts, and beside them."""


class LogView(BrokenLines, can_focus=True):
    """Follows the end of the output until one scrolls up; only lines on the screen are read and parsed.

    What is shown is what is said before the output, its lines, and what is said after it; a number of a line counts
    all of these. A line may take several rows (`wrapping`), so a place is a line and a row of it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*Lines.SCROLL_KEYS, *bindings(Where.LOG)]

    class Said(Message):
        """There is something to say about the log."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self,
        session: RunSession,
        bridge: Bridge,
        glyphs: Glyphs,
        *,
        keymap: Keymap = USUAL,
        id: str | None = None,  # noqa: A002  - Textual's name
    ) -> None:
        super().__init__(id=id)
        self._session = session
        self._bridge = bridge
        self._glyphs = glyphs
        self._keymap = keymap
        self.ellipsis = glyphs.ellipsis
        self.prefix = "Log"
        """What the title of the pane begins with."""
        self._log: LogLines | None = None
        self._pinned = False  # an attempt was asked for
        self._bundle: Bundle | None = None
        self._opening = ""
        self._told_at = 0
        self._before: list[Detail] = []
        self._after: list[Detail] = []
        self._parsed: dict[int, Line] = {}
        self._turned_from: tuple[Place | None, Place] = (None, Place())  # where that led, and from where
        self._wrap: bool | None = None  # until a person decides, the state of the unit does
        self._failed = False
        self._failure_wanted = False
        self.told_beside = Gutter.NONE
        self._times, self._timed_at = UNTIMED, 0
        self._began: float | None = None
        self.finder = Finder(keymap)
        """What is searched for in this log."""

    # -- what is shown -----------------------------------------------------------------------------------

    @property
    def shown(self) -> tuple[int, int] | None:
        """The unit and the attempt whose output is shown, if there is one."""
        return (self._log.unit, self._log.attempt) if self._log is not None and self._log.attempt else None

    def watch_bundle(self, bundle: Bundle, opening: str) -> None:
        """Show what there is to know about a bundle from now on; `opening` says what the key does that opens it."""
        self._opening = opening
        if self._bundle is None or self._bundle.key != bundle.key:
            self._show_anew()
            self._go(Place())
        self._log, self._bundle, self._told_at = None, bundle, 0

    def watch_unit(self, view: RunView, unit: int, attempt: int | None = None) -> None:
        """Show the output of this unit from now on: of its latest attempt, or the given one. Without one, the log of an
        earlier attempt stays if it is this unit's."""
        self._bundle = None
        if attempt is None and self._pinned and self._log is not None and self._log.unit == unit:
            return
        self._pinned = attempt is not None and attempt != view.attempts[unit]
        attempt = view.attempts[unit] if attempt is None else attempt
        if self._log is None or (self._log.unit, self._log.attempt) != (unit, attempt):
            self._log = LogLines(self._session, unit, attempt)
            self._show_anew()

    def forget(self) -> None:
        """Numbers of units or the outputs mean something else from now on: what is watched next is read anew."""
        self._log = self._bundle = None
        self._pinned = False

    @property
    def at_rest(self) -> bool:
        """Whether all that is there has been read, and nothing is being looked for."""
        return not (self._log is not None and self._log.unread) and self.finder.pattern is None

    def _show_anew(self) -> None:
        self._parsed.clear()
        self.changed()
        self._turned_from = (None, Place())
        self.left = 0
        self.following = True
        self._failure_wanted = False
        self._before = self._after = []
        self._times, self._timed_at, self._began = UNTIMED, 0, None
        self.finder.begin_anew()

    def update_log(self, view: RunView, now: float, *, changed: bool = True) -> None:
        """Show what the unit has printed since the last frame; `changed` says whether anything else may be new."""
        if self._bundle is not None and changed:
            self._tell_bundle(self._bundle, now)
        if self._log is None:
            return
        unit = view.unit(self._log.unit)
        if unit.attempt != self._log.attempt and not self._pinned:
            self.watch_unit(view, unit.number)
        failed = unit.state in FAILURES
        if failed is not self._failed:
            self._failed = failed
            self.changed()
        lines_before, renumbered = len(self._log), self._log.renumbered
        grown = bool(self._log.attempt) and self._log.advance()
        if grown:
            # the last line of before may have gone on
            anew = self._log.renumbered != renumbered
            self._parsed = {} if anew else {k: v for k, v in self._parsed.items() if k < lines_before - 1}
        if not (changed or grown or self.unsettled or self.finder.pattern is not None):
            return
        self._take_times(unit, now)
        self._show_details(self._told_before(unit, now), self._told_after(unit, now), grown=grown)
        self._advance_search()
        if self._failure_wanted and not self._log.unread and self.size.height:
            self._failure_wanted = False
            self._go_to_failure(self._log)
        self._write_title(unit)

    def _told_before(self, unit: UnitView, now: float) -> list[Detail]:
        assert self._log is not None
        if self._log.trouble:
            return [Detail(clean(self._log.trouble), Role.WARNING)]
        if self._log.skipped:
            return [Detail(self._left_out(), Role.MUTED)]
        if len(self._log):
            return []
        if self._pinned:
            return [Detail("this attempt has printed nothing", Role.MUTED)]
        answers = "" if self._session.read_only else f"{self._key_for('unit.answer')} answers"
        return before_output(unit, now, self._glyphs, self._bridge.waits_for(unit.number, now), answers=answers)

    def _key_for(self, action: str) -> str:
        return key_for(action, self._keymap)

    def _told_after(self, unit: UnitView, now: float) -> list[Detail]:
        if not self._pinned:
            return after_output(unit, now, self._bridge.waits_for(unit.number, now))
        assert self._log is not None
        latest = f"{self._key_for('tab.log')} shows the latest, try {unit.attempt}"
        return [Detail(f"this was try {self._log.attempt}; {latest}", Role.MUTED)]

    def _left_out(self) -> str:
        assert self._log is not None
        path = self._session.log_path(self._log.unit, self._log.attempt)
        held = "its beginning and its end" if self._log.dropped else "all of it"
        return "earlier output is not shown" + (f"; {held}: {clean(path)}" if path else "")

    def _tell_bundle(self, bundle: Bundle, now: float) -> None:
        """Say how a bundle is; to count many units takes milliseconds, so that is done once a second."""
        if self._told_at != int(now) or len(bundle.units) < _MANY_UNITS:
            self._told_at = int(now)
            keys = f"{self._key_for('unit.open')} {self._opening}"
            if not self._session.read_only:
                keys += f"; {self._key_for('unit.cancel')} cancels, {self._key_for('unit.retry')} retries all of them"
            lines = about_bundle(bundle, self._bridge, now, self._glyphs, keys=keys)
            self._show_details(lines, [], grown=False)
        set_title(self, f"{self.prefix} {bundle.label}")

    def _show_details(self, before: list[Detail], after: list[Detail], *, grown: bool) -> None:
        if grown or before != self._before or after != self._after:
            self._before, self._after = before, after
            self.changed()
        if self._settled != self._key():
            self._settle()

    def _write_title(self, unit: UnitView) -> None:
        log = self._log
        assert log is not None
        place = "" if unit.state.ended else "following"
        if not self.following:
            place = f"{self._percent()}%"
        tried = f"{log.attempt}/{unit.attempt}" if self._pinned else tries(unit)
        word = self._bridge.look_of(unit.number).value
        room = self.size.width - cell_len(f"{self.prefix}{word}{self.finder.told}") - _TITLE_GAPS
        parts = [
            self._bridge.short.within(unit.number, max(_LEAST_NAME, room), self._glyphs.ellipsis),
            self.finder.told,  # before the word: in a narrow pane the end of the title is left out
            word,
            tried and f"try {tried}",
            f"reading {100 * log.end // (log.end + log.unread)}%" if log.unread else "",
            place if len(log) else "",
            f"{self._key_for('log.follow')} follows" if len(log) and not self.following else "",
        ]
        parts, least = list(filter(None, parts)), 2 if self.finder.told else 1  # what is searched for is cut at most
        while len(parts) > least and cell_len(f"{self.prefix} {'  '.join(parts)}") > self.size.width - _TITLE_ENDS:
            parts.pop()
        set_title(self, f"{self.prefix} {'  '.join(parts)}")

    def _percent(self) -> int:
        return min(100, 100 * (self._place.line + self.size.height) // max(1, self.count))

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._before) + (len(self._log) if self._log else 0) + len(self._after)

    # -- lines and rows ----------------------------------------------------------------------------------

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

    def shown_line(self, at: int) -> Line:
        """Line `at`, with what is searched for told apart."""
        line = self.line(at)
        if self.finder.pattern is None:
            return line
        return highlighted(line, self.finder.pattern, current=self._current_line() == at)

    @property
    def has_end(self) -> bool:
        """What there is to know about a bundle is read from its begin on."""
        return self._bundle is None

    def text(self, at: int) -> str:
        """The text of line `at`."""
        return "".join(span.text for span in self.line(at))

    def _detail(self, detail: Detail) -> Line:
        return (Span(clean(detail.text), detail.role),)

    @property
    def wrapping(self) -> bool:
        """Whether long lines are broken over rows: those of a unit that has failed are, until a person decides."""
        if self._bundle is not None:
            return False
        return self._failed if self._wrap is None else self._wrap

    @property
    def text_width(self) -> int:
        """Cells beside the gutter."""
        return self.size.width - self._gutter_width

    @property
    def _gutter_width(self) -> int:
        return gutter_width(self.told_beside, self.size.width) if self._log is not None else 0

    def render_line(self, y: int) -> Strip:
        """Textual's hook: row `y` of the widget."""
        line, row = self.row_at(y)
        width = self.text_width
        strip = self.fitted(row, width)
        if width == self.size.width:
            return strip
        gutter = (Span(self._gutter_text(line), Role.MUTED),)
        return Strip.join([strip_of(gutter, self._gutter_width, theme=theme_of(self)), strip])

    # -- times -------------------------------------------------------------------------------------------

    def _take_times(self, unit: UnitView, now: float) -> None:
        """Look when the lines were written; once a second, as that is as precise as they are shown."""
        if self.told_beside is Gutter.NONE or self._log is None or self._timed_at == int(now):
            return
        self._timed_at = int(now)
        times = self._session.log_times(self._log.unit, self._log.attempt)
        self._began = unit.started_at if not self._pinned else times.at(0)
        if times != self._times:
            self._times = times
            self.changed()

    def _gutter_text(self, line: int) -> str:
        at = line - len(self._before)
        if self._log is None or not 0 <= at < len(self._log):
            return ""
        return gutter_text(self.told_beside, self._times.at(self._log.start_of(at)), self._began)

    # -- moving ------------------------------------------------------------------------------------------

    def show_offset(self, offset: int) -> None:
        """Scroll to the line of the output that has the byte at `offset`; what has not been read yet is read first."""
        self.finder.go_to(offset)

    def show_failure(self) -> None:
        """Scroll to the end, or so that one sees what the unit has died of, as soon as all of its output has been
        read."""
        self._failure_wanted = True

    def _go_to_failure(self, log: LogLines) -> None:
        """To the end with the error that has a traceback behind the output; without one with the line of the output
        that tells of a failure, else with the error."""
        first, output = len(self._before), len(log)
        error = next((at for at, detail in enumerate(self._after) if detail.role is Role.ERROR), None)
        telling = self.count - 1 if error is None else first + output + error
        if not error:  # nothing, or no traceback, stands before it
            last = range(max(0, output - MOST_LOOKED_AT), output)
            found = failing_line([self.text(first + at) for at in last])
            telling = first + last[found] if found is not None else telling
        self.show_end_with(max(0, telling))

    def action_scroll_side(self, step: int) -> None:
        """Move the text sideways, to read long lines."""
        self.left = 0 if self.wrapping else max(0, self.left + step * _SIDE_STEP)
        self.refresh()

    # -- how it is shown ---------------------------------------------------------------------------------

    def toggle_wrap(self) -> bool:
        """Break long lines over rows, or do not; returns whether it is so now.

        The first line on the screen stays, or the end if that is what one looks at. Who turns it back without having
        moved is where they were: near the end there may be no such first line.
        """
        before, at_end = self._place, Place() < self._end <= self._place
        back = self._turned_from[1] if self._turned_from[0] == before else None
        self._wrap = not self.wrapping
        self.left = 0
        self._place = back or Place(before.line)
        self._settle()
        if at_end and back is None and self.has_end:
            self._go(self._end)
        self._turned_from = self._place, before
        return self._wrap

    def turn_gutter(self) -> Gutter:
        """Have the gutter tell something else, and return what."""
        self.told_beside = self.told_beside.next
        self._timed_at = 0
        self._settle()
        return self.told_beside

    # -- search ------------------------------------------------------------------------------------------

    def search(self, pattern: Pattern | None) -> None:
        """Search for this from the first row on the screen on; None ends the search."""
        start = self._start_of(self._place.line)
        self.finder.begin(pattern, start)
        self.changed()
        self.refresh()

    def action_next_found(self, step: int) -> None:
        """Go to the next (1) or previous (-1) line that was found."""
        self._say(self.finder.step(step, self._start_of(self._place.line)))
        self._show_current()

    def _say(self, note: str) -> None:
        if note:
            self.post_message(self.Said(note))

    @property
    def found_text(self) -> str:
        """The line that was found and is shown as such; empty if there is none."""
        line = self._current_line()
        return self.text(line) if line is not None and line < self.count else ""

    @property
    def last_text(self) -> str:
        """The last line of the output in which there is something; empty if it has none among its last ones."""
        count = len(self._log) if self._log else 0
        first = len(self._before)
        lines = (self.text(first + at).rstrip() for at in range(count - 1, max(-1, count - 1 - MOST_LOOKED_AT), -1))
        return next(filter(None, lines), "")

    def _start_of(self, line: int) -> int:
        """Where a line begins in the output; what is said after the output counts as lines behind it."""
        at = line - len(self._before)
        if self._log is None or at < 0 or not self.count:
            return 0
        return self._log.start_of(at) if at < len(self._log) else self.finder.after(at - len(self._log))

    def _current_line(self) -> int | None:
        return None if self.finder.current is None else self._line_of(self.finder.current)

    def _line_of(self, start: int) -> int:
        count = len(self._log) if self._log else 0
        beyond = self.finder.beyond(start)
        if beyond is not None or self._log is None:
            return len(self._before) + count + (beyond or 0)
        return len(self._before) + self._log.line_at(start)

    def _advance_search(self) -> None:
        assert self._log is not None
        said = [clean(detail.text) for detail in self._after] if self.finder.pattern is not None else []
        if self.finder.advance(self._session, self._log, said):
            self._show_current()
        self._say(self.finder.note)
        self.finder.note = ""

    def _show_current(self) -> None:
        line = self._current_line()
        self.changed()
        if line is not None:
            self._show_found_columns(self.text(line))
            self.show_line(line)
        self.refresh()

    def _show_found_columns(self, text: str) -> None:
        """Move the text sideways if what was found in a line stands beyond an edge of the pane."""
        found = next(self.finder.pattern.spans(text), None) if self.finder.pattern is not None else None
        if found is None or self.wrapping:
            return
        start, end = cell_len(text[: found[0]]), cell_len(text[: found[1]])
        last = self.text_width - 1  # the last cell may have the ellipsis
        if start < self.left or end > self.left + last:
            step = -(-max(0, end - last) // _SIDE_STEP) * _SIDE_STEP
            self.left = min(step, start // _SIDE_STEP * _SIDE_STEP)
