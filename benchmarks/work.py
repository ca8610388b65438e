"""What the units do, in whatever process they run. Imports nothing heavy: every worker loads it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MEETING_SECONDS = 30.0


def noop() -> None:
    """Nothing."""


def burn() -> int:
    """About 6 ms of pure Python."""
    total = 0
    for number in range(115_000):
        total += number * number & 7
    return total


def stamp(path: str) -> None:
    """Leave the time of now in a file; the monotonic clock is the same in every process of the machine."""
    Path(path).write_text(repr(time.perf_counter()))


def read_stamp(path: Path) -> float:
    """The time that `stamp` left."""
    return float(path.read_text())


def meet(fifos: str, me: int) -> None:
    """Return when both sides, 0 and 1, are here at the same time; so they cannot be in one worker.

    `fifos` is the path that `fifo_pair` was given. Raises TimeoutError if the other side does not come.
    """
    # each side opens both before it writes, so a byte cannot be lost to a fifo that nobody holds open
    ends = [os.open(f"{fifos}.{side}", os.O_RDWR) for side in (0, 1)]
    try:
        os.write(ends[me], b"!")
        if not select.select([ends[1 - me]], [], [], MEETING_SECONDS)[0]:
            raise TimeoutError(f"side {1 - me} of {fifos} did not come: the two do not run at the same time")
        os.read(ends[1 - me], 1)
    finally:
        for end in ends:
            os.close(end)


def fifo_pair(path: Path) -> str:
    """Make what two calls of `meet` need."""
    for side in (0, 1):
        os.mkfifo(f"{path}.{side}")
    return str(path)


def warm(fifos: str, me: int, kind: str = "bytes") -> None:
    """Get one of two workers ready: started, and with its imports done."""
    make_value(kind, 1)
    meet(fifos, me)


def make_value(kind: str, size: int) -> Any:
    """A value of so many bytes, ``numpy`` or ``bytes``."""
    if kind == "bytes":
        return b"x" * size
    import numpy as np

    return np.ones(size, dtype="u1")


def copied(value: Any) -> Any:
    """Read all of the value and make one like it."""
    return value[:-1] + b"x" if isinstance(value, bytes) else value.copy()


def make_stamped(kind: str, size: int, path: str) -> Any:
    """A new value; the time is taken when it is there."""
    value = make_value(kind, size)
    stamp(path)
    return value


def swallow(value: Any) -> int:
    """Read all of the value and return little."""
    return len(copied(value))


# -- the same as units of qtui: the value comes from the unit named `need` ----------------------------------


def step_unit(context: Mapping[str, Any], need: str) -> Any:
    """One hand-over of a chain."""
    return copied(context[need])


def swallow_unit(context: Mapping[str, Any], need: str) -> int:
    """The end of a chain."""
    return swallow(context[need])


def step_twin(context: Mapping[str, Any], need: str, fifos: str) -> Any:
    """One hand-over; returns only after its twin had the value, too."""
    value = copied(context[need])
    meet(fifos, 0)
    return value


def swallow_twin(context: Mapping[str, Any], need: str, fifos: str, me: int) -> int:
    """Has the value at the same time as its twin, so in the other worker; returns little."""
    size = swallow(context[need])
    meet(fifos, me)
    return size
