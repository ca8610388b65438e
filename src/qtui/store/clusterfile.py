"""What the workers of a run's cluster do right now, for other processes: a small file that is written anew each second.

Not in the journal, as nobody wants to know it a minute later.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from qtui.core.samples import ClusterWorker

LARGEST: Final = 4 << 20
"""Bytes that are read: a thousand workers with ten units each take 200 kB."""


def write_cluster(path: Path, workers: Sequence[ClusterWorker]) -> None:
    """Write all of it, readable by its owner alone; who reads it meanwhile gets all of the former. Raises OSError.

    It is not synced: after a crash of the machine there is no cluster to tell of.
    """
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(workers, file)
    new.replace(path)


def read_cluster(path: Path) -> tuple[ClusterWorker, ...]:
    """What `write_cluster` wrote last; nothing if there is no such file, or it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor) as file:
            return tuple(_worker(*values) for values in json.loads(file.read(LARGEST)))
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):  # also of another version
        return ()


def remove_cluster(path: Path) -> None:
    """Nobody is to be told any more. What cannot be removed stays."""
    with suppress(OSError):
        path.unlink()


def _worker(
    name: object,
    address: object,
    threads: float,
    cpu: float,
    memory: float,
    memory_limit: float,
    units: Sequence[float],
    age: float,
) -> ClusterWorker:
    numbers = tuple(int(number) for number in units)
    return ClusterWorker(
        str(name), str(address), int(threads), float(cpu), int(memory), int(memory_limit), numbers, float(age)
    )
