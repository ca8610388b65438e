"""Searching logs on a thread: what is found comes as it is found, and a frame never waits for it.

Lines are searched as people see them: colours inside a word do not hide it, and what was overwritten is not found.
Pieces of plain text are searched as they are, others are made plain as a whole: a line at a time would take a hundred
times as long.
"""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from qtui.core.session import RunSession
from qtui.tui.loglines import LINE_BYTES, PIECE, shown_text
from qtui.tui.patterns import Pattern
from qtui.tui.text import plain_lines

MOST_FOUND: Final = 250_000
"""Lines that a search remembers: two megabytes."""

_UNPLAIN: Final = bytes([*range(10), *range(11, 32), 127])
_SGR: Final = re.compile(rb"\x1b\[[0-9;:]*m")
_NEWLINE: Final = re.compile(b"\n")


class Found(NamedTuple):
    """What was found in a piece of a log: the `starts` of lines and their `numbers`, which count from 0 where the
    search began. All before `seen` has been searched; to go on, begin at `upto`. `trouble` says why the log cannot be
    read."""

    starts: list[int]
    numbers: list[int]
    upto: int
    seen: int
    trouble: str = ""


class Log(NamedTuple):
    """The output of an attempt."""

    session: RunSession
    unit: int
    attempt: int


def scan(log: Log, pattern: Pattern, start: int = 0) -> Iterator[Found]:
    """Search a log from a line's `start` to its present end, in pieces. The last line may go on: `upto` is its start
    then."""
    read, line = start, 0
    rest = b""
    while True:
        chunk = log.session.read_log(log.unit, log.attempt, read, PIECE)
        if chunk.next <= read:
            yield Found([], [], read - len(rest), read, chunk.trouble)
            break
        begin = read - len(rest)
        data = rest + chunk.data
        dropped = chunk.next > read + len(chunk.data)
        read = chunk.next
        whole, newline, rest = data.rpartition(b"\n")
        if dropped:
            whole, newline, rest = (data[:-1] if data.endswith(b"\n") else data), b"\n", b""
        if newline:
            places = list(_lines_with(log, pattern, whole, begin))
            yield _found(whole, places, begin, line, read - len(rest), read)
            line += whole.count(b"\n") + 1
        elif len(rest) > PIECE:
            begin, end, read = _long_line(log, begin, read)
            places = [0] if pattern.matches(_shown(log, begin, end)) else []
            yield _found(b"", places, begin, line, read, read)
            rest = b""
            line += 1
        if read >= chunk.size:
            break
    if rest:
        begin = read - len(rest)
        yield _found(rest, list(_lines_with(log, pattern, rest, begin)), begin, line, begin, read)


def _found(data: bytes, places: list[int], begin: int, line: int, upto: int, seen: int) -> Found:
    numbers, latest = [], 0
    for place in places:
        line += data.count(b"\n", latest, place)
        latest = place
        numbers.append(line)
    return Found([begin + place for place in places], numbers, upto, seen)


def _lines_with(log: Log, pattern: Pattern, data: bytes, begin: int) -> Iterator[int]:
    """Where the lines of `data` begin that have the pattern; `data` begins at `begin` in the log."""
    for place in _candidates(pattern, data):
        if len(data) - place > LINE_BYTES:
            end = data.find(b"\n", place)
            end = len(data) if end < 0 else end
            if end - place > LINE_BYTES and not pattern.matches(_shown(log, begin + place, begin + end)):
                continue  # it is in the part of a long line that nobody sees
        yield place


def _candidates(pattern: Pattern, data: bytes) -> Iterator[int]:
    if data.isascii() and len(data.translate(None, _UNPLAIN)) == len(data):
        for place in pattern.lines(data):
            yield data.rfind(b"\n", 0, place) + 1
        return
    plain = _plain(data)
    starts: list[int] = []
    line = latest = 0
    for place in pattern.lines(plain):
        starts = starts or [0, *(match.end() for match in _NEWLINE.finditer(data))]
        line += plain.count(b"\n", latest, place)
        latest = place
        yield starts[line]


def _plain(data: bytes) -> bytes:
    """`data` as people see it, line by line. Mostly it is only coloured, and that is told without decoding it."""
    bare = _SGR.sub(b"", data.replace(b"\r\n", b"\n")).removesuffix(b"\r")
    if bare.isascii() and len(bare.translate(None, _UNPLAIN)) == len(bare):
        return bare
    return plain_lines(data.decode("utf-8", "replace")).encode("utf-8")


def _long_line(log: Log, begin: int, read: int) -> tuple[int, int, int]:
    """A line that begins at `begin` and has not ended at `read`: begin, end, and where the next one begins."""
    while True:
        chunk = log.session.read_log(log.unit, log.attempt, read, PIECE)
        if chunk.next <= read:
            return begin, read, read
        place = chunk.data.find(b"\n")
        if place >= 0:
            return begin, read + place, read + place + 1
        read = chunk.next


def _shown(log: Log, start: int, end: int) -> str:
    return plain_lines(shown_text(log.session, log.unit, log.attempt, start, end))


class LogSearch:
    """A search of one log, on a thread of its own while there is something to search. `start` is where it begins."""

    def __init__(self, log: Log, pattern: Pattern, start: int = 0) -> None:
        self.log, self.pattern = log, pattern
        self.starts: array[int] = array("Q")
        """Where the lines begin that were found so far, in order."""
        self.upto = start
        """Where the line begins at which one goes on when the log has grown."""
        self.seen = 0
        """How much of the log has been searched."""
        self.full = False
        """True if more was found than is remembered."""
        self.trouble = ""
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def busy(self) -> bool:
        """True while more may be found."""
        return self._thread is not None and self._thread.is_alive()

    def go_on(self) -> None:
        """Search what has come since; to be called when the log has grown."""
        if not (self.busy or self._stopped or self.full):
            self._thread = threading.Thread(target=self._work, name="qtui-search", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._stopped = True

    def place(self, start: int) -> int:
        """How many of the lines that were found begin before `start`."""
        return bisect_left(self.starts, start)

    def _work(self) -> None:
        while self.starts and self.starts[-1] >= self.upto:
            self.starts.pop()  # the line that had not ended
        for found in scan(self.log, self.pattern, self.upto):
            if self._stopped:
                return
            self.starts.extend(found.starts)
            self.upto, self.seen, self.trouble = found.upto, found.seen, found.trouble
            if len(self.starts) >= MOST_FOUND:
                self.full = True
                return


class Hit(NamedTuple):
    """A line that was found in some log; `number` counts from 1, `start` is where it begins."""

    unit: int
    attempt: int
    number: int
    start: int
    text: str


MOST_HITS: Final = 1_000
"""Lines that a search of all logs shows."""
MOST_HITS_OF_ONE: Final = 100
"""Lines of one log among them, so that one that repeats itself does not hide the others."""


class AllLogsSearch:
    """A search of many logs, given as units and attempts, on a thread of its own."""

    def __init__(self, session: RunSession, logs: list[tuple[int, int]], pattern: Pattern) -> None:
        self._session, self._logs, self.pattern = session, logs, pattern
        self.hits: list[Hit] = []
        self.searched = 0
        """How many logs have been searched so far."""
        self.troubles: list[tuple[int, int, str]] = []
        """Units and attempts whose logs cannot be read, and why."""
        self.cut = 0
        """How many logs have more such lines than are shown."""
        self.full = False
        """True if it has ended early, as it has found as many lines as are shown."""
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="qtui-search", daemon=True)
        self._thread.start()

    @property
    def total(self) -> int:
        """How many logs there are to search."""
        return len(self._logs)

    @property
    def busy(self) -> bool:
        """True while more may be found."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._stopped = True

    def _work(self) -> None:
        for unit, attempt in self._logs:
            self._search(Log(self._session, unit, attempt), lambda: self._stopped or len(self.hits) >= MOST_HITS)
            if self._stopped:
                return
            self.searched += 1
            if len(self.hits) >= MOST_HITS:
                self.full = True
                return

    def _search(self, log: Log, enough: Callable[[], bool]) -> None:
        shown = 0
        for found in scan(log, self.pattern):
            if found.trouble:
                self.troubles.append((log.unit, log.attempt, found.trouble))
            for start, number in zip(found.starts, found.numbers, strict=True):
                if enough():
                    return
                if shown == MOST_HITS_OF_ONE:
                    self.cut += 1
                    return
                text = _line_text(log, start)
                self.hits.append(Hit(log.unit, log.attempt, number + 1, start, text))
                shown += 1
            if enough():
                return


def _line_text(log: Log, start: int) -> str:
    """The text of the line that begins at `start`, made plain."""
    data = log.session.read_log(log.unit, log.attempt, start, LINE_BYTES).data
    line, newline, _ = data.partition(b"\n")
    if newline or len(data) < LINE_BYTES:
        return plain_lines(line.decode("utf-8", "replace"))
    _, end, _ = _long_line(log, start, start)
    return _shown(log, start, end)
