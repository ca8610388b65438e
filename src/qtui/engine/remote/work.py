"""An attempt on a machine that is not qtui's."""

from __future__ import annotations

import threading
import time
from hashlib import blake2b
from typing import Any

from qtui.core.model import Call, ExecutionMode, Outcome, QuantumUnit
from qtui.core.stimuli import StartUnit
from qtui.engine.packing import Packed
from qtui.engine.remote.parcel import Parcel

Needs = list[tuple[int, str, str, str, tuple[Any, ...] | None]]
"""As in `Sender.job`."""


class Function:
    """Stands for a function that is packed, in the definition of a unit; two that are the same have one `digest`."""

    def __init__(self, packed: Packed) -> None:
        self.packed = packed
        self.digest = blake2b(packed.data, digest_size=16).digest()

    def __call__(self) -> None:
        """It is called in a worker process only."""
        raise NotImplementedError


class Work:
    """One attempt, under a number of its own, and so are its needs and what these have added: nothing of two attempts
    can meet. `unit` is the definition as it holds here. `ended` is set when `outcome` and `value` say how it ended."""

    def __init__(self, number: int, parcel: Parcel, unit: QuantumUnit, needs: Needs, added: Needs) -> None:
        self.number, self.parcel, self.unit, self.needs, self.added = number, parcel, unit, needs, added
        self.mode = ExecutionMode.PROCESS if isinstance(unit.action, Call) else ExecutionMode.COMMAND
        self.start = StartUnit(number, parcel.attempt, self.mode, 0)
        self.begun_at: float | None = None
        self.ended = threading.Event()
        self.outcome = Outcome(canceled=True)
        self.value: Any = None
        self.additions: tuple[Any, ...] | None = None

    def begin(self) -> None:
        """It runs now."""
        self.begun_at = time.monotonic()

    def end(self, outcome: Outcome, value: Any = None) -> None:
        """It is over."""
        self.outcome, self.value = outcome, value
        self.ended.set()

    def overdue(self, now: float, more: float) -> bool:
        """Whether it runs for `more` seconds longer than it may."""
        timeout = self.parcel.unit.timeout
        return timeout is not None and self.begun_at is not None and now > self.begun_at + timeout + more
