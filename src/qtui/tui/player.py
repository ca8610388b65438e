"""A run that is played again, as the screen drives it."""

from __future__ import annotations

from typing import Final, Protocol

SPEEDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""What the keys choose from; any other may be asked for at the start."""


class Player(Protocol):
    """Where in its time a finished run is, in Unix seconds, and how fast that goes on.

    Playing stops at `end`; set again there, it begins anew.
    """

    begin: float
    end: float
    speed: float
    playing: bool

    def now(self) -> float:
        """The moment that is shown."""

    def seek(self, at: float) -> None:
        """Go to this moment, or to the first or last if it is before or behind those."""

    def step(self, by: int) -> None:
        """Stop playing, and go to the next (1) or previous (-1) moment when something happened."""


def faster(speed: float, step: int) -> float:
    """The next speed up (`step` 1) or down (-1)."""
    if step > 0:
        return next((each for each in SPEEDS if each > speed), max(speed, SPEEDS[-1]))
    return next((each for each in reversed(SPEEDS) if each < speed), min(speed, SPEEDS[0]))
