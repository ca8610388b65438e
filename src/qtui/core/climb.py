"""The search for the number of workers that get most done."""

from __future__ import annotations

from typing import Final

GAIN: Final = 1.05
"""More workers are worth it if they get 5 % more done; otherwise fewer are as good."""

COARSE: Final = 1.5
FINE: Final = 1.25
NEAR: Final = 1.1
"""Numbers within these factors of each other are not told apart: first coarsely on both sides, then finely. A bound
that is no more than `NEAR` above the best number is not worth the trouble."""


class Climb:
    """What is known of the throughput of some numbers of workers, and which number to look at next.

    It takes throughput to rise up to some number of workers and not to rise again behind it, and one worker not to do
    more because there are others. Each number is measured once, so every search ends.
    """

    def __init__(self) -> None:
        self.measured: dict[int, float] = {}

    @property
    def best(self) -> int:
        """The smallest number that no larger one beats by `GAIN`; 0 before anything was measured."""
        best = 0
        for workers in sorted(self.measured):
            if not best or self.measured[workers] > GAIN * self.measured[best]:
                best = workers
        return best

    def has_above(self, workers: int) -> bool:
        """Whether a larger number was measured already."""
        return any(other > workers for other in self.measured)

    def next(self, least: int, most: int) -> int:
        """The number to measure next, from `least` to `most`; the best one if all is known that matters."""
        best = self.best
        above = min((workers for workers in self.measured if workers > best), default=None)
        below = max((workers for workers in self.measured if workers < best), default=None)
        if above is None:
            # nothing says yet that more would not be better, so nobody asks whether less is as good
            return min(2 * best, most) if most > NEAR * best else best
        for factor in (COARSE, FINE):
            middle = (best + above) // 2
            if above > factor * best and best < middle <= most:
                return middle
            if below is None and best > least:
                return max(least, best // 2)
            if below is not None and best > factor * below:
                middle = (below + best + 1) // 2
                if least <= middle < best and self._may_be_as_good(middle, below):
                    return middle
        return best

    def _may_be_as_good(self, middle: int, below: int) -> bool:
        return self.measured[below] * middle / below * GAIN >= self.measured[self.best]
