"""Where the output of units goes: a capped file for each attempt that writes anything."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from array import array
from collections.abc import Callable
from hashlib import blake2s
from pathlib import Path
from typing import Protocol

from qtui.core.logtimes import UNTIMED, LogTimes, sound
from qtui.core.masking import Masker
from qtui.core.plan import ExecutionPlan
from qtui.core.session import LogChunk
from qtui.engine.caplog import CappedLog, dropped_line
from qtui.engine.files import RunFiles
from qtui.engine.logstamps import MOST, STAMP, stamps_path

_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]+")
_DIGESTED = re.compile(r".*-[0-9a-f]{10}")
"""What may also be the name of another unit, with its digest."""

_DROPPED = re.compile(rb"\n\[qtui: (\d+) bytes of output were dropped here\]\n")
_LONGEST_MARK = len(dropped_line(1 << 63))


class LogWriter(Protocol):
    """Takes the raw bytes of one attempt; safe to use from several threads."""

    @property
    def path(self) -> str:
        """The file, for another process that writes it; it exists once something was written."""

    def write(self, data: bytes) -> None:
        """Append `data`."""

    def close(self) -> None:
        """No more will come; what comes all the same is dropped."""


class LogStore:
    """The logs of a run, one file for each attempt in ``logs/``. Attempts that write nothing have none.

    Each file keeps the first and the last half of the unit's `log_max`. Offsets count all bytes that were written:
    where some were dropped, a line that says so stands at the begin of the gap, and the rest of it is empty. What is in
    `masks` is written as ``***``.
    """

    def __init__(self, files: RunFiles, plan: ExecutionPlan, masks: tuple[bytes, ...] = ()) -> None:
        self._files, self._plan, self._masks = files, plan, masks
        self.on_error: Callable[[int, OSError], None] = lambda _unit, _error: None
        """Told once for each attempt of which output is lost: with the unit's number and why it cannot be written."""

    def path(self, unit: int, attempt: int) -> str:
        """The file of an attempt. Its name follows from the unit's id alone: numbers change with the plan."""
        return f"{self._files.folder('logs')}/{self._name(unit, attempt)}"

    def existing(self, unit: int, attempt: int) -> Path | None:
        """The file of an attempt, if it has one."""
        folder = self._files.existing("logs")
        path = Path(folder, self._name(unit, attempt)) if folder is not None else None
        return path if path is not None and path.exists() else None

    def writer(self, unit: int, attempt: int) -> LogWriter:
        """A writer that makes the file at the first byte."""
        return _Writer(self, unit, attempt, self._plan.table[unit].log_max, self._masks)

    def read(self, unit: int, attempt: int, offset: int, limit: int) -> LogChunk:
        """Up to `limit` bytes from `offset` on (from the end if negative); see LogChunk."""
        folder = self._files.existing("logs")
        if folder is None:
            return LogChunk(b"", 0, 0)
        half = self._plan.table[unit].log_max // 2
        path = f"{folder}/{self._name(unit, attempt)}"
        try:
            fd = _open_file(path)
            try:
                return _read(fd, half, offset, limit)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return LogChunk(b"", 0, 0)
        except OSError as error:
            return LogChunk(b"", 0, 0, f"the log cannot be read: {error.strerror}: {path}")

    def times(self, unit: int, attempt: int) -> LogTimes:
        """When the lines of an attempt's output were written; see qtui.engine.logstamps."""
        folder = self._files.existing("logs")
        if folder is None:
            return UNTIMED
        path = f"{folder}/{self._name(unit, attempt)}"
        try:
            return _stamps_of(path)
        except OSError:
            return UNTIMED

    def _name(self, unit: int, attempt: int) -> str:
        unit_id = self._plan.table[unit].id
        name = _UNSAFE.sub("_", unit_id).strip("_.")[:80]
        # others may look the same by now, or do on a disk that knows no capitals
        if name != unit_id.lower() or _DIGESTED.fullmatch(name):
            name = f"{name}-{blake2s(unit_id.encode('utf-8', 'surrogatepass'), digest_size=5).hexdigest()}"
        return f"{name}.{attempt}.log"


def _open_file(path: str) -> int:
    """A descriptor to read a file with. Anything else there may be under that name (a pipe, say, that nobody writes to)
    is an error rather than something to wait for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "it is no file", path)


def _stamps_of(path: str) -> LogTimes:
    log = _open_file(path)
    try:
        written_at = os.fstat(log).st_mtime
    finally:
        os.close(log)
    try:
        fd = _open_file(stamps_path(path))
    except FileNotFoundError:
        return LogTimes((0,), (written_at,))  # all of it was written within one step
    try:
        data = os.read(fd, MOST * STAMP.size)
    finally:
        os.close(fd)
    data = data[: len(data) // STAMP.size * STAMP.size]
    offsets, times = array("Q", data), array("d", data)
    if sys.byteorder != "little":
        offsets.byteswap()
        times.byteswap()
    return sound(offsets[::2], times[1::2])


def _read(fd: int, half: int, offset: int, limit: int) -> LogChunk:
    held = os.fstat(fd).st_size
    mark = _DROPPED.match(os.pread(fd, _LONGEST_MARK, half)) if held > half else None
    if mark is None:
        start = max(0, held + offset) if offset < 0 else offset
        data = os.pread(fd, limit, start)
        return LogChunk(data, held, start + len(data))
    line, dropped = mark.group(), int(mark.group(1))
    size, resumes = held - len(line) + dropped, half + dropped
    start = max(0, size + offset) if offset < 0 else offset
    if start < half:
        data = os.pread(fd, min(limit, half - start), start)
        return LogChunk(data, size, start + len(data))
    if start < half + len(line):
        return LogChunk(line[start - half :], size, resumes)
    if start < resumes:
        return LogChunk(b"", size, resumes)
    data = os.pread(fd, limit, start - dropped + len(line))
    return LogChunk(data, size, start + len(data))


class _Writer:
    def __init__(self, store: LogStore, unit: int, attempt: int, limit: int, masks: tuple[bytes, ...]) -> None:
        self._store, self._unit, self._attempt, self._limit = store, unit, attempt, limit
        self._masker = Masker(masks) if masks else None
        self._log: CappedLog | None = None
        self._closed = self._told = False
        self._lock = threading.Lock()

    @property
    def path(self) -> str:
        return self._store.path(self._unit, self._attempt)

    def write(self, data: bytes) -> None:
        """Append; output that cannot be written (the disk is full) is lost, which is told once, and fails nothing."""
        with self._lock:
            if not self._closed:
                self._write(data if self._masker is None else self._masker.feed(data))

    def _write(self, data: bytes) -> None:
        if not data:
            return
        try:
            self._log = self._log or CappedLog(self.path, self._limit)
            self._log.write(data)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        with self._lock:
            if self._masker is not None and not self._closed:
                self._write(self._masker.feed(b"", last=True))
            self._closed = True
            if self._log is not None:
                try:
                    self._log.close()
                except OSError as error:
                    self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            self._store.on_error(self._unit, error)
