"""What units print, as lines fit for a terminal, read as it grows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from rich.color import ColorSystem

from qtui.core.session import LogChunk
from qtui.tui.text import parse_line
from qtui.tui.theme import DARK

CHUNK: Final = 1 << 16
LONGEST_LINE: Final = 64 * 1024
"""Of a line that does not end, so much is waited for before it is shown."""


def painted(line: str, *, color: bool) -> str:
    """A line of output fit for a terminal: of all that it can say to one only the colours stay, if they may."""
    spans = parse_line(line, colours=color)
    if not color:
        return "".join(span.text for span in spans)
    system = ColorSystem.TRUECOLOR
    return "".join(DARK.style(span.style).render(span.text, color_system=system) for span in spans)


class Line(NamedTuple):
    """A line of output, as it was written, and about when."""

    text: str
    at: float


class Growing:
    """The log of an attempt, read while it grows; `read` gives a piece from an offset on, of at most a size.

    Each line has the time at which somebody first looked and it was there.
    """

    def __init__(self, read: Callable[[int, int], LogChunk]) -> None:
        self._read = read
        self._offset, self._rest = 0, b""
        self._sizes: list[int] = []
        self._times: list[float] = []
        self.trouble = ""
        """Why it could not be read when that was tried last; empty if it could."""

    def look(self, now: float) -> None:
        """Note how much there is."""
        size = self._read(0, 0).size
        if size > (self._sizes[-1] if self._sizes else 0):
            self._sizes.append(size)
            self._times.append(now)

    def lines(self, now: float, most: float = float("inf")) -> Iterator[Line]:
        """The lines that have come to their end since, of about `most` bytes."""
        begin = self._offset
        while self._offset - begin < most:
            chunk = self._read(self._offset, CHUNK)
            self.trouble = chunk.trouble
            if chunk.next <= self._offset:
                return
            yield from self._split(chunk.data, now)
            self._offset = chunk.next

    def rest(self, now: float) -> Iterator[Line]:
        """What was written of a line without an end."""
        if self._rest:
            yield self._line(self._rest, self._offset - len(self._rest), now)
            self._rest = b""

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return max(0, self._read(self._offset, 0).size - self._offset)

    def _split(self, data: bytes, now: float) -> Iterator[Line]:
        begin = self._offset - len(self._rest)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield self._line(line, begin, now)
            begin += len(line) + 1
        if len(self._rest) > LONGEST_LINE:
            yield self._line(self._rest, begin, now)
            self._rest = b""

    def _line(self, line: bytes, begin: int, now: float) -> Line:
        seen = bisect_right(self._sizes, begin)
        at = self._times[seen] if seen < len(self._times) else now
        return Line(line.decode("utf-8", "replace"), at)
