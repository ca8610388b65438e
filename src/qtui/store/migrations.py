"""The layout of a journal, and how journals of earlier versions are brought up to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from qtui.store.errors import JournalDamaged, JournalTooNew

APPLICATION_ID: Final = 0x71747569
"""``qtui``, for file(1) and for us."""

VERSION: Final = 1

SCHEMA: Final = (
    # what the run began with, as JSON; crc is that of both texts
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), about TEXT NOT NULL, plan TEXT NOT NULL,"
    " crc INTEGER NOT NULL)",
    # events first to last, in a JSON array; at is the time of the last one
    "CREATE TABLE batch (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL,"
    " data TEXT NOT NULL)",
    "CREATE INDEX batch_at ON batch (at, first)",
    # the events after which the plan is another one; each is the only one of its batch
    "CREATE TABLE growth (seq INTEGER PRIMARY KEY)",
    # all that is known after event seq but the plan, compressed: derived from the events, for quick opening
    "CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE result (id TEXT PRIMARY KEY, unit INTEGER NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL,"
    " data BLOB NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL, why TEXT NOT NULL)",
    # the processes that have run it, in order
    "CREATE TABLE runner (number INTEGER PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL,"
    " started REAL NOT NULL, version TEXT NOT NULL, at REAL NOT NULL, session TEXT NOT NULL,"
    " ready INTEGER NOT NULL DEFAULT 0)",
    # for people with sqlite3
    "CREATE VIEW event (seq, kind, data) AS SELECT batch.first + each.key, json_extract(each.value, '$[0]'), each.value"
    " FROM batch, json_each(batch.data) AS each",
)

STEPS: Final[Mapping[int, Sequence[str]]] = {}
"""The statements that make version n + 1 of version n. The first version is the present one."""


def version_of(database: sqlite3.Connection, path: Path, newest: int = VERSION) -> int:
    """The version of an open journal's layout. Raises JournalDamaged if it is none, JournalTooNew, sqlite3.Error."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalDamaged(f"{path}: this is not the journal of a run of qtui")
    if version > newest:
        raise JournalTooNew(
            f"{path}: written by a newer version of qtui (layout {version}; this one knows {newest}): use that version"
        )
    return int(version)


def migrate(path: Path, steps: Mapping[int, Sequence[str]] = STEPS, newest: int = VERSION) -> Path | None:
    """Bring the journal up to version `newest`, all or nothing, and return the copy of it as it was.

    None if it is of that version already. Nobody else may be writing. Raises JournalError, sqlite3.Error and OSError.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        version = version_of(database, path, newest)
        if version == newest:
            return None
        if any(step not in steps for step in range(version, newest)):
            raise JournalDamaged(f"{path}: its layout {version} is of no version of qtui that was released")
        copy = _copied(path, database, version)
        database.execute("BEGIN IMMEDIATE")
        try:
            for step in range(version, newest):
                for statement in steps[step]:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {newest}")
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
    return copy


def _copied(path: Path, database: sqlite3.Connection, version: int) -> Path:
    copy = path.with_name(f"{path.name}.version-{version}")
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(path, copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    return copy
