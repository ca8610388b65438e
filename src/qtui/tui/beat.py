"""How often something is painted that changes faster than anybody reads, and what units need meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

READABLE_SECONDS: Final = 0.5

BUSY: Final = 500
"""Events a second from which on frames are fewer: nobody can follow them one by one."""
BUSY_SECONDS: Final = 0.2

FLOOD: Final = 20_000
"""Events a second from which on they are fewer still: only units that do next to nothing make so many."""
FLOOD_SECONDS: Final = 0.25


BEHIND_SECONDS: Final = 2.0
"""16 frames queued for a terminal that took 2 kB a second, and it showed the end of a run 24 s late."""


class Beat:
    """Has a thing painted at once when it changes after a pause, and no more than once in `seconds` while it goes on
    changing."""

    def __init__(self, seconds: float = READABLE_SECONDS) -> None:
        self._seconds = seconds
        self._stale, self._after = True, 0.0

    def due(self, *, changed: bool, at_once: bool = False) -> bool:
        """Whether to paint now; ask in every frame, with whether anything has `changed` since the last one."""
        self._stale |= changed or at_once
        now = time.monotonic()
        if not self._stale or (now < self._after and not at_once):
            return False
        self._stale, self._after = False, now + self._seconds
        return True

    def hurry(self) -> None:
        """Have it painted in the next frame."""
        self._stale, self._after = True, 0.0


class Pace:
    """When the next frame is drawn, by how many events come: frames follow on one another as they are asked for, until
    more than `BUSY` events come a second. Keys do not wait for a frame.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._drawn_at = clock()
        self._after = 0.0

    def due(self, *, behind: bool = False) -> bool:
        """Whether it is time for a frame; ask whenever there could be one.

        With `behind` the terminal has not taken the last ones yet, and there is one every `BEHIND_SECONDS`.
        """
        now = self._clock()
        return now >= self._after and not (behind and now < self._drawn_at + BEHIND_SECONDS)

    def came(self, events: int) -> None:
        """In the frame that is drawn now, so many events have come since the last one."""
        now = self._clock()
        rate = events / max(now - self._drawn_at, 0.1)  # two frames may be next to each other
        self._drawn_at = now
        self._after = now + (FLOOD_SECONDS if rate > FLOOD else BUSY_SECONDS if rate > BUSY else 0.0)
