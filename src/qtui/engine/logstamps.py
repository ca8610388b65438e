"""The side file of a log: when what was written, so that a screen can say so at any time later.

A stamp is an offset, which counts all bytes that were written, and a time. Whoever writes the log makes one when it
writes and the last is `STEP` old. A log that is written within one step has no side file: its own time of
modification says all there is to say. There are at most `MOST` stamps; when there would be more, every second one goes
and the step doubles, so that a log that grows for a day is true to a few seconds. Needs nothing but os and struct, for
keepers import it.
"""

from __future__ import annotations

import os
import struct
import time

STEP = 0.1
"""Seconds between two stamps, to begin with."""
MOST = 16_384
"""Stamps of a log: a quarter of a megabyte."""

STAMP = struct.Struct("<Qd")


def stamps_path(log: str) -> str:
    """The side file of a log."""
    return f"{log}.times"


class Stamps:
    """Writes the stamps of one log. A disk that takes none costs the times of the lines, and nothing else."""

    def __init__(self, log: str) -> None:
        self._path = stamps_path(log)
        self._fd = -1
        self._first = b""  # held until there is a second one
        self._count = 0
        self._step = STEP
        self._due = 0.0

    def stamp(self, offset: int) -> None:
        """What is written from `offset` on is written now."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._step
        made = STAMP.pack(offset, time.time())
        if not self._count:
            self._first, self._count = made, 1
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
                made = self._first + made
            os.write(self._fd, made)
            self._count += 1
            if self._count >= MOST:
                self._thin_out()
        except OSError:
            self._due = float("inf")  # the log itself tells of a full disk

    def close(self) -> None:
        """No more stamps will come."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._due = float("inf")

    def _thin_out(self) -> None:
        """Leave every second stamp, in a new file, as somebody may be reading the old one."""
        data = os.pread(self._fd, MOST * STAMP.size, 0)
        kept = [data[at : at + STAMP.size] for at in range(0, len(data), 2 * STAMP.size)]
        short = f"{self._path}.short"
        new = os.open(short, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(new, b"".join(kept))
        os.rename(short, self._path)  # noqa: PTH104  - pathlib costs a keeper more than all of its start
        os.close(self._fd)
        self._fd, self._count = new, len(kept)
        self._step *= 2
