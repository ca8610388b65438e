"""A log file with a limit: the first and the last half are kept, and a line between them tells how much was dropped.

The file is readable text at any time. It may grow to twice its limit; then head and tail are copied to a new file that
takes its place, so each byte of output is written about twice at most. Needs nothing but os, for keepers import it.
"""

from __future__ import annotations

import os

_CHUNK = 1 << 20


def dropped_line(count: int) -> bytes:
    """The line that stands for `count` dropped bytes."""
    return b"\n[qtui: %d bytes of output were dropped here]\n" % count


class CappedLog:
    """Appends to one file, from one process; the file is made with the first byte."""

    def __init__(self, path: str, limit: int) -> None:
        self._path, self._half = path, limit // 2
        self._fd: int | None = None
        self._size = 0
        self._mark = b""
        self.dropped = 0
        """How many bytes were left out so far."""

    def write(self, data: bytes) -> None:
        """Append; raises OSError when that cannot be done."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._fd).st_size
        write_all(self._fd, data)
        self._size += len(data)
        if self._size >= 4 * self._half:
            self._shorten(self._fd)

    def close(self) -> None:
        """Leave out what is beyond the limit, and close the file."""
        fd = self._fd
        if fd is None:
            return
        try:
            if self._size > 2 * self._half + len(self._mark):
                self._shorten(fd)
        finally:
            assert self._fd is not None
            os.close(self._fd)
            self._fd = None

    def _shorten(self, fd: int) -> None:
        half = self._half
        dropped = self.dropped + self._size - len(self._mark) - 2 * half
        mark = dropped_line(dropped)
        short = f"{self._path}.short"
        new = os.open(short, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _copy(fd, new, 0, half)
            write_all(new, mark)
            _copy(fd, new, self._size - half, half)
            os.rename(short, self._path)  # noqa: PTH104  - pathlib costs a keeper more than all of its start
        except OSError:
            os.close(new)
            os.unlink(short)  # noqa: PTH108
            raise
        os.close(fd)
        self._fd, self._mark, self.dropped = new, mark, dropped
        self._size = 2 * half + len(mark)


def _copy(source: int, target: int, start: int, count: int) -> None:
    while count:
        data = os.pread(source, min(count, _CHUNK), start)
        if not data:
            return
        write_all(target, data)
        start += len(data)
        count -= len(data)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
