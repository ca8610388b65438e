"""Where the lines of an attempt's output begin, found piece by piece; the text itself stays in the session."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from typing import Final

from qtui.core.session import RunSession

PIECE: Final = 1 << 20
"""Bytes read at a time."""
PIECES: Final = 2
"""Pieces read in a frame: finding the lines in them takes a few milliseconds."""
TAIL: Final = 64 << 20
"""Bytes before the end where reading begins, if the output was longer than that when it was opened."""
MOST_LINES: Final = 1 << 20
"""Lines remembered; when there are more, the first half of them is left out."""
LINE_BYTES: Final = 16 << 10
"""The most bytes of one line that are shown."""

_NEWLINE: Final = re.compile(b"\n")


class LogLines:
    """The lines of one attempt's output. Uses eight bytes of memory a line, 8 MB at most."""

    def __init__(self, session: RunSession, unit: int, attempt: int) -> None:
        self._session = session
        self.unit = unit
        self.attempt = attempt
        self._starts: array[int] = array("Q", [0])
        self._read = 0
        self._opened = False
        self._resumes = 0
        self.skipped = False
        """True if the first lines were left out."""
        self.renumbered = 0
        """How often lines that stood there have gone, so that others have other numbers."""
        self.trouble = ""
        """Why the output cannot be read, if it cannot."""
        self.unread = 0
        """How many bytes there are that `advance` has not looked at yet."""

    def __len__(self) -> int:
        # the last start is that of a line which may not have begun
        return len(self._starts) - (self._starts[-1] == self._read)

    def advance(self) -> bool:
        """Look at up to two megabytes of what has come since; True if there was anything."""
        if not self._opened:
            self._opened = True
            self._skip_to_tail()
        grown = False
        for _ in range(PIECES):
            chunk = self._session.read_log(self.unit, self.attempt, self._read, PIECE)
            self.trouble = chunk.trouble
            if chunk.next <= self._read:
                break
            grown = True
            base = self._read + 1
            self._starts.extend([base + match.start() for match in _NEWLINE.finditer(chunk.data)])
            if self._starts[-1] == self._read + len(chunk.data):
                self._starts[-1] = chunk.next  # some was dropped, and the next line begins behind that
            self._read = chunk.next
            if self._read >= chunk.size:
                break
        self.unread = max(0, chunk.size - self._read)
        if len(self._starts) > MOST_LINES:
            del self._starts[: MOST_LINES // 2]
            self.skipped = True
            self.renumbered += 1
        if grown:
            self._leave_out_dropped(chunk.size)
        return grown

    @property
    def dropped(self) -> bool:
        """Whether some of the output is nowhere any more."""
        return self._resumes > 0

    def _leave_out_dropped(self, size: int) -> None:
        """Forget the lines that were dropped since they were found, but for the one that says so.

        Of an output that is longer than its limit the middle goes, again and again while it grows.
        """
        half = self._session.plan.table[self.unit].log_max // 2
        if size <= 2 * half or self._read <= half:
            return
        gap = self._session.read_log(self.unit, self.attempt, half, 1)
        if gap.next in (self._resumes, half + len(gap.data)):
            return
        self._resumes = gap.next
        self._read = max(self._read, self._resumes)  # what lies between is nowhere
        known, gone = self._starts, slice(bisect_right(self._starts, half), bisect_left(self._starts, self._resumes))
        told = [half + 1] if known[0] <= half else []
        self.skipped |= not told
        rest = known[gone.stop :] or array("Q", [self._resumes])
        self._starts = known[: gone.start] + array("Q", told) + rest
        self.renumbered += 1

    def text(self, line: int) -> str:
        """A line's text, as `shown_text` has it."""
        start = self._starts[line]
        end = self._starts[line + 1] - 1 if line + 1 < len(self._starts) else self._read
        return shown_text(self._session, self.unit, self.attempt, start, end)

    @property
    def end(self) -> int:
        """How much of the output has been looked at."""
        return self._read

    def start_of(self, line: int) -> int:
        """Where a line begins in the output."""
        return self._starts[line]

    def line_at(self, offset: int) -> int:
        """The line that has the byte at `offset`; the first or the last if it is not among those that are known."""
        return min(max(0, bisect_right(self._starts, offset) - 1), max(0, len(self) - 1))

    def _skip_to_tail(self) -> None:
        size = self._session.read_log(self.unit, self.attempt, 0, 1).size
        if size <= TAIL:
            return
        chunk = self._session.read_log(self.unit, self.attempt, size - TAIL, PIECE)
        self._read = size - TAIL + chunk.data.find(b"\n") + 1
        self._starts = array("Q", [self._read])
        self.skipped = True


def shown_text(session: RunSession, unit: int, attempt: int, start: int, end: int) -> str:
    """A line's text, unsafe as it was written. Of a very long line only the end is given if it was overwritten by
    carriage returns, else only the beginning."""
    length = end - start
    data = session.read_log(unit, attempt, start, min(length, LINE_BYTES)).data if length else b""
    if length > LINE_BYTES:
        tail = session.read_log(unit, attempt, end - LINE_BYTES, LINE_BYTES).data
        data = tail if b"\r" in tail.rstrip(b"\r") else data
    return data.decode("utf-8", "replace")
