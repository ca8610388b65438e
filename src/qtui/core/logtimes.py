"""When the lines of a log were written: a few moments, each with how many bytes had been written before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

_NEVER: Final = float(1 << 33)
"""Unix seconds that no log sees: the year 2242."""


class LogTimes(NamedTuple):
    """Moments at which something was written. What stands from `offsets[n]` on was written at `times[n]` (Unix seconds)
    or soon after it, before `times[n + 1]`. Offsets ascend, and count all bytes that were written, also dropped ones.
    """

    offsets: Sequence[int] = ()
    times: Sequence[float] = ()

    def at(self, offset: int) -> float | None:
        """When the byte at `offset` was written; None if that is not known."""
        place = bisect_right(self.offsets, offset)
        return self.times[place - 1] if place else None


UNTIMED = LogTimes()
"""Of a log whose times nobody knows."""


def sound(offsets: Sequence[int], times: Sequence[float]) -> LogTimes:
    """The moments that were read from a file, up to the first that cannot be: anybody may have written to it."""
    latest = -1
    for place, (offset, time) in enumerate(zip(offsets, times, strict=False)):
        if not (latest < offset and 0.0 <= time < _NEVER):  # false for what is no number; clocks may step back
            return LogTimes(offsets[:place], times[:place])
        latest = offset
    return LogTimes(offsets, times)
