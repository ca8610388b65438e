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
_ENTERED = struct.Struct("<Q")
_AT_ENTERED, _AT_HALT, _AT_REVOKED = 4608, 4616, 4624
_MOST_REVOKED = 256
SIZE = 8192
"""Bytes of the page: more than the longest path (4096)."""


class LogPage:
    """The page behind a descriptor, as any of the processes sees it. The worker calls `point` and `enter` and sets
    `last`, the keeper sets `busy`, and qtui may `revoke` jobs and halt the worker."""

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

    # Jobs that a worker has been sent are numbered from 1 on. Who looks writes first: the worker says which job it
    # enters, then looks whether it may; qtui says that it may not, then looks whether it has. Both make system calls in
    # between, so at least one of them sees the other.

    def enter(self, job: int) -> None:
        """The worker begins a job, unless it `may_not`."""
        self._memory[_AT_ENTERED : _AT_ENTERED + 8] = _ENTERED.pack(job)

    @property
    def entered(self) -> int:
        """The latest job that the worker has begun, or has found that it may not."""
        entered: int = _ENTERED.unpack_from(self._memory, _AT_ENTERED)[0]
        return entered

    def may_not(self, job: int) -> bool:
        """Whether a job was revoked."""
        return self._memory[_AT_REVOKED + job % _MOST_REVOKED] != 0

    def revoke(self, job: int, revoked: bool = True) -> None:
        """A job that has not been entered is not to run."""
        self._memory[_AT_REVOKED + job % _MOST_REVOKED] = revoked

    @property
    def halted(self) -> bool:
        """True if the worker is to begin nothing more."""
        return self._memory[_AT_HALT] != 0

    @halted.setter
    def halted(self, halted: bool) -> None:
        self._memory[_AT_HALT] = halted

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
