"""How every SQLite file here is opened, made and written, when several processes may do so at a time."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from qtui.store.errors import primary_code

BUSY_SECONDS: Final = 5.0
"""How long to wait for others that hold a file."""


def connected(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    """A connection without transactions of its own, for one thread at a time."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri)


def make_private(path: Path) -> None:
    """Have a file there that is the user's alone, as what SQLite puts next to it will be; never one behind a link.

    Raises OSError. A file that is there is not opened: the locks of other connections of this process would go when it
    is closed (https://sqlite.org/howtocorrupt.html, 2.2), and the next process to close it would take its log away.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None


@contextmanager
def transaction(database: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """All that is written inside, or nothing; all that is read inside is of one moment.

    It is one writer's turn from its beginning, unless it is DEFERRED, which is for reading.
    """
    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has done it already for most errors
            database.execute("ROLLBACK")
        raise


def use_wal(database: sqlite3.Connection) -> None:
    """Readers and a writer do not wait for each other. The switch itself does not wait either, so try again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
