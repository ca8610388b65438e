"""How often something is painted that changes faster than anybody reads."""

from __future__ import annotations

import time
from typing import Final

READABLE_SECONDS: Final = 0.5


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
