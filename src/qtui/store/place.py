"""Whether an open journal is still where it was, and how it comes back there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from qtui.store.errors import JournalError

NOWHERE: Final = (0, 0)


def beside(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside a database: what is not in it yet, and the index of that."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


class Place:
    """Remembers which files an open database has. They stay open when somebody removes them, and what is written to
    them then is lost."""

    def __init__(self, path: Path) -> None:
        self._path, self._wal = path, beside(path)[0]
        self._file, self._wal_file = identity(path), identity(self._wal)
        self.lost = False

    def check(self) -> None:
        """Raise JournalError if a file is not there any more. Costs two looks at the directory, 2 µs."""
        if identity(self._path) != self._file or identity(self._wal) != self._wal_file:
            self.lost = True
            raise JournalError(f"{self._path}: somebody has removed the file, or put another one in its place")

    def put_back(self, database: sqlite3.Connection) -> None:
        """Write all that the open database has to a new file there. Raises JournalError, OSError and sqlite3.Error.

        What is there is never overwritten.
        """
        if self._path.exists() and identity(self._path) != self._file:
            raise JournalError(f"{self._path}: another file is in its place; it is not overwritten")
        new = self._path.with_name(f"{self._path.name}.back")
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            with closing(sqlite3.connect(new, isolation_level=None)) as target:
                database.backup(target)
            for name in beside(self._path):
                name.unlink(missing_ok=True)  # a reader would take the old one for the new file's
            if self._path.exists():
                new.replace(self._path)
            else:
                os.link(new, self._path)  # fails if somebody is quicker
        finally:
            for name in (new, *beside(new)):
                name.unlink(missing_ok=True)


def identity(path: Path) -> tuple[int, int]:
    """Which file has that name; NOWHERE if there is none. Raises OSError."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return NOWHERE
    return found.st_dev, found.st_ino
