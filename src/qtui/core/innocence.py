"""Attempts that ended through no fault of their own, and are made again without counting as a retry."""

from __future__ import annotations

from typing import Final

from qtui.core.model import LOST_LOOP, LOST_NEED, LOST_WORKER, QuantumUnit, UnitError

LOSSES: Final = frozenset({LOST_WORKER, LOST_NEED})
"""The types of errors that are forgiven only so often."""

MOST_LOSSES: Final = 3
"""How often that is in one generation, together with results that were lost: it may well be the unit that kills its
workers."""

DOUBTFUL: Final = "it is not idempotent and may have done its work, so it is not run again"


def innocent(unit: QuantumUnit, error: UnitError, losses: int) -> bool:
    """True if an attempt that ended with `error` is made again at once, and for free. `losses` is how often this unit
    has been tried again in its generation after an error of `LOSSES`."""
    if error.type in LOSSES:
        return losses < MOST_LOSSES and not is_doubtful(unit, error)
    return error.type == LOST_LOOP


def is_doubtful(unit: QuantumUnit, error: UnitError) -> bool:
    """True if nobody knows how far the attempt has come, and it must not be made twice."""
    return error.type == LOST_WORKER and not unit.idempotent
