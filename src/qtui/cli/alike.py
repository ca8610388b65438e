"""Failures as summaries and reports tell them: once for each cause, those that count before those that may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qtui.core.failures import causes_of
from qtui.core.model import FAILURES
from qtui.core.state import RunView


class Alike(NamedTuple):
    """Units that failed for one cause, by number, the first one first; `allowed` says that it counts for nothing."""

    units: Sequence[int]
    allowed: bool


def alike_failures(view: RunView) -> list[Alike]:
    """All failures and timeouts of a run: what hit most units before the rest, but what is allowed behind all else."""
    table = view.plan.table
    failed = [number for number, state in enumerate(view.states) if state in FAILURES]
    return [
        Alike(cause.units, allowed)
        for allowed in (False, True)
        for cause in causes_of(view, [number for number in failed if table[number].allow_failure is allowed])
    ]
