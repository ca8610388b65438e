"""A log file with a limit: the first and the last half are kept, and a line between them tells how much was dropped.

The file is readable text at any time. It may grow to twice its limit; then head and tail are copied to a new file that
takes its place, so each byte of output is written about twice at most. Where output could not be written, as on a full
disk, a line says so. A side file says when what was written (qtui.engine.logstamps). Needs nothing but os, for keepers
import it.
"""

from __future__ import annotations

import os

from qtui.engine.logstamps import Stamps

_CHUNK = 1 << 20


def dropped_line(count: int) -> bytes:
    """The line that stands for `count` dropped bytes."""
    return b"\n[qtui: %d bytes of output were dropped here]\n" % count


def lost_line(number: int) -> bytes:
    """The line that stands for output that could not be written; `number` is the errno."""
    return b"\n[qtui: output was lost here: %s]\n" % os.strerror(number).encode()


class CappedLog:
    """Appends to one file, from one process; the file is made with the first byte."""

    def __init__(self, path: str, limit: int) -> None:
        self._path, self._half = path, limit // 2
        self._stamps = Stamps(path)
        self._fd: int | None = None
        self._size = 0
        self._mark = b""
        self._owed = b""  # the line of a loss for which there was no room yet
        self._gap = 0  # where such a line ends, if it is in the file; 0 for none
        self.dropped = 0
        """How many bytes were left out so far."""

    def write(self, data: bytes) -> None:
        """Append. Raises OSError when that cannot be done: some of `data` is lost then, and a line in the log tells of
        that; what comes later may be written again."""
        try:
            fd = self._fd = self._open() if self._fd is None else self._fd
            if self._owed:
                write_all(fd, self._owed)
                self._size = self._gap = self._size + len(self._owed)
                self._owed = b""
            self._stamps.stamp(self._size - len(self._mark) + self.dropped)
            write_all(fd, data)
        except OSError as error:
            self._tell_loss(error.errno or 0)
            raise
        self._size += len(data)
        if self._size >= 4 * self._half:
            self._shorten(fd)

    def close(self) -> None:
        """Leave out what is beyond the limit, and close the file. Raises OSError if that cannot be done."""
        fd = self._fd
        if fd is None:
            return
        self._stamps.close()
        try:
            if self._owed:
                write_all(fd, self._owed)
            elif self._size > 2 * self._half + len(self._mark):
                self._shorten(fd)
        finally:
            assert self._fd is not None
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(fd).st_size
        return fd

    def _tell_loss(self, number: int) -> None:
        """Put a line where the output breaks off, in the place of the last bytes before: on a full disk that needs no
        room. Pieces that are lost one after another have one line."""
        line, fd = lost_line(number), self._fd
        if fd is None:
            self._owed = line
            return
        size = os.fstat(fd).st_size
        if self._owed:
            os.ftruncate(fd, min(size, self._size))
            return
        floor = min(size, max(self._gap, self._half + len(self._mark) if self._mark else 0))
        self._size = max(floor, size - len(line))
        if 0 < self._size == self._gap:
            os.ftruncate(fd, self._size)
            return
        try:
            _overwrite(fd, line, self._size)
            self._size = self._gap = self._size + len(line)
        except OSError:
            self._owed = line
            os.ftruncate(fd, self._size)

    def _shorten(self, fd: int) -> None:
        half = self._half
        dropped = self.dropped + self._size - len(self._mark) - 2 * half
        mark = dropped_line(dropped)
        try:
            self._fd = self._copied(fd, mark)
        except OSError:
            if self._size - half < half + len(mark):
                return  # it is so little too long that nothing can be moved within it
            _move(fd, mark, half, self._size - half)
        self._mark, self.dropped, self._gap = mark, dropped, 0
        self._size = 2 * half + len(mark)

    def _copied(self, fd: int, mark: bytes) -> int:
        """Head, `mark` and tail in a new file in the place of the old one, which is closed."""
        half, short = self._half, f"{self._path}.short"
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
        return new


def _copy(source: int, target: int, start: int, count: int) -> None:
    while count:
        data = os.pread(source, min(count, _CHUNK), start)
        if not data:
            return
        write_all(target, data)
        start += len(data)
        count -= len(data)


def _move(fd: int, mark: bytes, at: int, start: int) -> None:
    """Have `mark` and what is from `start` on begin `at` an earlier place: for a disk without room for a copy."""
    _overwrite(fd, mark, at)
    at += len(mark)
    while data := os.pread(fd, _CHUNK, start):
        _overwrite(fd, data, at)
        start, at = start + len(data), at + len(data)
    os.ftruncate(fd, at)


def _overwrite(fd: int, data: bytes, at: int) -> None:
    import fcntl  # seldom needed

    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_APPEND)  # pwrite(2) appends to a file that is open for that
    try:
        while data:
            written = os.pwrite(fd, data, at)
            data, at = data[written:], at + written
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
