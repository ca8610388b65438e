"""What is searched for in the log on the screen: which of the lines that were found one is at, and where to go next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qtui.core.session import RunSession
from qtui.tui.actions import USUAL, Keymap
from qtui.tui.keys import key_for
from qtui.tui.loglines import LogLines
from qtui.tui.logsearch import Log, LogSearch
from qtui.tui.patterns import Pattern
from qtui.tui.text import clean, cut_end

_BEHIND: Final = 1 << 62
"""Where lines begin that are no output and stand behind it."""

_MOST_TOLD: Final = 24


class Finder:
    """A search of the log on the screen, and of what is said behind it. Lines are named by where they begin."""

    def __init__(self, keymap: Keymap = USUAL) -> None:
        self._keymap = keymap
        self.pattern: Pattern | None = None
        self.current: int | None = None
        """The line that one has gone to."""
        self.note = ""
        """What there is to say about the search; to be taken."""
        self._search: LogSearch | None = None
        self._first = 0  # lines before it are not shown any more
        self._said: list[str] = []
        self._behind: list[int] = []
        self._look_from: int | None = None
        self._wanted: int | None = None

    def begin(self, pattern: Pattern | None, start: int) -> None:
        """Search for this, and go to the first line from `start` on; None ends the search."""
        self.begin_anew()
        self.pattern = pattern
        self._look_from = start if pattern is not None else None

    def begin_anew(self) -> None:
        """Another log is shown: the same is searched for there."""
        if self._search is not None:
            self._search.stop()
        self._search = self.current = self._look_from = self._wanted = None
        self._said, self._behind, self.note = [], [], ""

    def go_to(self, offset: int) -> None:
        """Go to the line that has this byte, as soon as it is known."""
        self._wanted, self._look_from = offset, None

    def after(self, line: int) -> int:
        """Where line `line` behind the output begins."""
        return _BEHIND + line

    def beyond(self, start: int) -> int | None:
        """Which line behind the output begins there; None if it is one of the output."""
        return start - _BEHIND if start >= _BEHIND else None

    @property
    def busy(self) -> bool:
        """True while more may be found."""
        return self._search is not None and self._search.busy

    @property
    def count(self) -> int:
        """How many lines were found so far."""
        return self._count_of_output() + len(self._behind)

    def advance(self, session: RunSession, log: LogLines, said: Sequence[str]) -> bool:
        """Take what was found since the last frame, in `log` and what is `said` behind it; True if one has got to
        another line."""
        if self._wanted is not None and (log.end > self._wanted or not log.unread):
            self.current, self._wanted = self._wanted, None
            return True
        if self.pattern is None:
            return False
        self._first = log.start_of(0)
        if self._search is None:
            self._search = LogSearch(Log(session, log.unit, log.attempt), self.pattern, self._first)
        busy = self.busy
        if not busy and log.end > self._search.seen:
            self._search.go_on()
            busy = True
        if said != self._said:
            self._said = list(said)
            self._behind = [at for at, line in enumerate(said) if self.pattern.matches(line)]
        return self._look_from is not None and self._look(self._look_from, busy=busy)

    def _look(self, start: int, *, busy: bool) -> bool:
        """Go to the first line from `start` on, if it is known by now."""
        place = self._place(start)
        if place >= self._count_of_output() and busy:
            return False
        self._look_from = None
        if not self.count:
            self.note = self._not_found()
            return False
        if place == self.count:
            self.note = "the search went on from the top"
        self.current = self._start(place % self.count)
        return True

    def step(self, step: int, top: int) -> str:
        """Go to the next or previous line that was found, from the current one or else the `top` of the screen on;
        returns what there is to say."""
        if self.pattern is None:
            return f"nothing is searched for; {key_for('search.begin', self._keymap)} searches the log"
        if not self.count:
            return "still searching" if self.busy else self._not_found()
        self._look_from = None
        start = top if self.current is None else self.current
        place = self._place(start + (step > 0 and self.current is not None)) - (step < 0)
        self.current = self._start(place % self.count)
        if 0 <= place < self.count:
            return ""
        return f"the search went on from the {'top' if step > 0 else 'end'}"

    @property
    def told(self) -> str:
        """Which of the lines found one is at, how many there are, and what is searched for."""
        if self.pattern is None:
            return ""
        place = "" if self.current is None else f"{self._place(self.current) + 1:,}/"
        full = self._search is not None and self._search.full
        more = "+" if full or self.busy else ""
        return f"{place}{self.count:,}{more} /{cut_end(clean(self.pattern.typed), _MOST_TOLD, '~')}"

    def _not_found(self) -> str:
        assert self.pattern is not None
        return f"{clean(self.pattern.typed)} is not in this log"

    def _skipped(self) -> int:
        return self._search.place(self._first) if self._search is not None else 0

    def _count_of_output(self) -> int:
        return len(self._search.starts) - self._skipped() if self._search is not None else 0

    def _place(self, start: int) -> int:
        """How many of the lines that were found begin before `start`."""
        if start >= _BEHIND:
            return self._count_of_output() + sum(_BEHIND + line < start for line in self._behind)
        return max(0, self._search.place(start) - self._skipped()) if self._search is not None else 0

    def _start(self, place: int) -> int:
        """Where the line begins that was found as number `place`."""
        output = self._count_of_output()
        if place >= output:
            return _BEHIND + self._behind[place - output]
        assert self._search is not None
        return self._search.starts[place + self._skipped()]
