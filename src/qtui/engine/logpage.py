"""A page of memory that a process worker and its keeper share: where the output of the present attempt goes.

The worker names the log before a unit begins. What a unit prints goes through a pipe to the keeper, which looks here
for the log it belongs to; `busy` tells the worker that a piece taken from the pipe has not reached the log yet. So a
unit that prints nothing costs one write to memory.
"""

from __future__ import annotations

import mmap
import os
import struct

_HEAD = struct.Struct("<IIQ")
_BUSY = struct.Struct("<I")
SIZE = 8192
"""Bytes of the page: more than the longest path (4096)."""


class LogPage:
    """The page behind a descriptor, as either process sees it. The worker calls `point` and sets `last`, the keeper
    sets `busy`."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, SIZE)

    @staticmethod
    def create() -> int:
        """A descriptor of a new page that names no log."""
        fd = os.memfd_create("qtui-page", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE)
        return fd

    def point(self, path: str, limit: int) -> None:
        """Output goes to this log from now on, an empty path: nowhere."""
        name = os.fsencode(path)
        self._memory[1] = False
        self._memory[8 : _HEAD.size + len(name)] = struct.pack("<Q", limit) + name
        self._memory[4:8] = _BUSY.pack(len(name))

    def target(self) -> tuple[str, int]:
        """The log's path and limit."""
        _, length, limit = _HEAD.unpack_from(self._memory)
        return os.fsdecode(self._memory[_HEAD.size : _HEAD.size + length]), limit

    @property
    def last(self) -> bool:
        """True if nothing more will come of the unit: only what the keeper still holds is waited for."""
        return self._memory[1] != 0

    @last.setter
    def last(self, last: bool) -> None:
        self._memory[1] = last

    @property
    def busy(self) -> bool:
        """True while the keeper carries a piece of output from the pipe to the log."""
        return self._memory[0] != 0

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._memory[0] = busy
