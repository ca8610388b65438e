"""Where the output of units goes: a file per attempt, bounded memory, or nowhere."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from qtui.core.plan import ExecutionPlan

MEMORY_LIMIT = 1 << 20


class LogWriter(Protocol):
    """Takes the raw bytes of one attempt; safe to use from several threads."""

    def write(self, data: bytes) -> None:
        """Append `data`."""

    def close(self) -> None:
        """No more will come; what comes all the same is dropped."""


class LogStore(Protocol):
    """The logs of a run, by unit number and attempt."""

    on_error: Callable[[int, OSError], None]
    """Told once for each attempt whose output cannot be written: with the unit's number and why."""

    def writer(self, unit: int, attempt: int) -> LogWriter:
        """A writer for one attempt."""

    def read(self, unit: int, attempt: int, offset: int, limit: int) -> tuple[bytes, int]:
        """Up to `limit` bytes from `offset` on (from the end if negative), and the log's size."""

    def path(self, unit: int, attempt: int) -> Path | None:
        """The file, if there is one."""


class FileLogs:
    """One file per attempt in a directory; files of attempts that write nothing are never made."""

    def __init__(self, directory: Path, plan: ExecutionPlan) -> None:
        self._directory, self._plan = directory, plan
        self.on_error: Callable[[int, OSError], None] = lambda _unit, _error: None

    def path(self, unit: int, attempt: int) -> Path:
        """The file of an attempt: the unit's number makes it unique, its id readable."""
        name = re.sub(r"[^A-Za-z0-9._=-]+", "_", self._plan.table[unit].id).strip("_")[:80]
        return self._directory / f"{unit:04d}-{name}.{attempt}.log"

    def writer(self, unit: int, attempt: int) -> LogWriter:
        """A writer that opens the file at the first byte."""
        return _FileWriter(self.path(unit, attempt), lambda error: self.on_error(unit, error))

    def read(self, unit: int, attempt: int, offset: int, limit: int) -> tuple[bytes, int]:
        """Read from the file; empty if there is none."""
        try:
            with self.path(unit, attempt).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size + offset) if offset < 0 else offset)
                return file.read(limit), size
        except FileNotFoundError:
            return b"", 0


class _FileWriter:
    def __init__(self, path: Path, on_error: Callable[[OSError], None]) -> None:
        self._path, self._on_error = path, on_error
        self._fd: int | None = None
        self._closed = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append; output that cannot be written (the disk is full) is dropped and told of, and fails nothing."""
        with self._lock:
            if self._closed:
                return
            try:
                self._append(data)
            except OSError as error:
                self._closed = True
                self._on_error(error)

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None


class MemoryLogs:
    """Keeps the last megabyte of each attempt in memory, for library runs, which write no files.

    Python units print to where qtui itself prints; commands are kept here.
    """

    def __init__(self) -> None:
        self.on_error: Callable[[int, OSError], None] = lambda _unit, _error: None
        self._writers: dict[tuple[int, int], _MemoryWriter] = {}

    def path(self, unit: int, attempt: int) -> None:  # noqa: ARG002
        """There are no files."""
        return

    def writer(self, unit: int, attempt: int) -> LogWriter:
        """A writer that only keeps something once something was written."""
        return _MemoryWriter(self._writers, (unit, attempt))

    def read(self, unit: int, attempt: int, offset: int, limit: int) -> tuple[bytes, int]:
        """Read what is kept; offsets count from the first byte written, bytes no longer kept are left out."""
        writer = self._writers.get((unit, attempt))
        if writer is None:
            return b"", 0
        data, size = writer.kept, writer.size
        start = max(0, size + offset) if offset < 0 else offset
        first = size - len(data)
        start = max(start, first) - first
        return bytes(data[start : start + limit]), size


class _MemoryWriter:
    def __init__(self, writers: dict[tuple[int, int], _MemoryWriter], key: tuple[int, int]) -> None:
        self._writers, self._key = writers, key
        self.kept = b""
        self.size = 0

    def write(self, data: bytes) -> None:
        self._writers[self._key] = self
        self.kept = (self.kept + data)[-MEMORY_LIMIT:]
        self.size += len(data)

    def close(self) -> None:
        pass
