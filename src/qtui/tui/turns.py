"""How often threads take turns: more often than usual while the screen would come too late otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

QUICK_SECONDS: Final = 0.001
LATE_SECONDS: Final = 0.04
"""Of a tick; so late they come beside threads that compute. Beside eight of them they were 188 ms late with the usual
turns of 5 ms, and 27 ms with quick ones (95th percentile)."""
LATE_TICKS: Final = 3
"""More late ticks than ones in time, from which on turns are quick."""
CALM_SECONDS: Final = 30.0
"""After so long the usual turns are tried again: quick ones cost an engine of empty units half of its speed."""


class Turns:
    """Watches the ticks of a screen, one every `seconds`, and changes Python's switch interval while they come late."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._ticked_at = clock()
        self._late = 0
        self._usual: float | None = None  # what is to be again; None while it is
        self._until = 0.0

    def ticked(self) -> None:
        """The screen has had a tick."""
        now = self._clock()
        late = now - self._ticked_at - self._seconds > LATE_SECONDS
        self._ticked_at = now
        self._late = max(0, self._late + (1 if late else -1))
        if self._usual is not None:
            if now >= self._until:
                self.stop()
        elif self._late >= LATE_TICKS:
            self._usual, self._until = sys.getswitchinterval(), now + CALM_SECONDS
            sys.setswitchinterval(min(QUICK_SECONDS, self._usual))

    def stop(self) -> None:
        """Let threads take turns as they did before."""
        self._late = 0
        if self._usual is not None:
            sys.setswitchinterval(self._usual)
            self._usual = None
