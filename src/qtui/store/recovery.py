"""What can be read of a damaged journal, in a new one; the damaged one is kept as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from qtui.core.events import CHANGES_PLAN
from qtui.store.errors import JournalDamaged
from qtui.store.journal_rows import batch_of, connected, head_of, told, transaction
from qtui.store.migrations import APPLICATION_ID, SCHEMA, VERSION, version_of
from qtui.store.place import beside

_COLUMNS: Final = {
    "result": "id, unit, attempt, kind, data, path, digest, why",
    "runner": "number, host, boot, pid, started, version, at, session, ready",
}

_HARM: Final = (sqlite3.DatabaseError, UnicodeDecodeError, JournalDamaged)
"""How sqlite3 and we say that something cannot be read."""


def recover(path: Path) -> str:
    """Put what can be read of a damaged journal in its place, and say what that is. Nobody else may be writing.

    A copy of it, ``….damaged-N``, is made first and stays. Raises JournalDamaged if nothing can be read, and then
    leaves everything as it was but for the copy; JournalTooNew, and JournalError if the disk fails.
    """
    with told(path, "cannot be recovered"):
        copy = _copied(path)
        new = path.with_name(f"{path.name}.recovered")
        for name in (new, *beside(new)):
            name.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            with closing(connected(new)) as target:
                last = _rescue(path, copy, target)
            _flush(new)
            for name in beside(path):
                name.unlink(missing_ok=True)  # they are the damaged file's, and would be taken for the new one's
            new.replace(path)
        finally:
            for name in (new, *beside(new)):
                name.unlink(missing_ok=True)
    return f"{last} events could be read; the damaged file is kept as {copy.name}"


def _copied(path: Path) -> Path:
    """The next free name, with copies of the file and of what waits beside it."""
    number = 1
    while (copy := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    waiting, _ = beside(path)
    for source, target in ((path, copy), (waiting, beside(copy)[0])):
        if source.exists():
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            shutil.copyfile(source, target)
            _flush(target)
    return copy


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _rescue(path: Path, copy: Path, target: sqlite3.Connection) -> int:
    """Write what can be read to a new database; returns the number of the last event."""
    with closing(connected(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source, transaction(target):
        for statement in SCHEMA:
            target.execute(statement)
        target.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        target.execute(f"PRAGMA user_version = {VERSION}")
        try:
            version_of(source, path)
            head = source.execute("SELECT about, plan, crc FROM head").fetchone()
            head_of(*(head or ("", "", 0)))
        except _HARM as error:
            raise JournalDamaged(
                f"{path}: nothing can be read of it ({error}); it is kept as {copy.name}; start the run anew"
            ) from error
        target.execute("INSERT INTO head (one, about, plan, crc) VALUES (1, ?, ?, ?)", head)
        last = 0
        for row, grows in _batches(source):
            target.execute("INSERT INTO batch (first, last, at, crc, data) VALUES (?, ?, ?, ?, ?)", row)
            if grows:
                target.execute("INSERT INTO growth (seq) VALUES (?)", (row[0],))
            last = row[1]
        for table in _COLUMNS:
            _copy_table(source, target, table)
        return last


def _batches(source: sqlite3.Connection) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """The rows up to the first one that is not as it was, and whether each changes the plan."""
    at = 1
    with suppress(*_HARM):
        while True:
            row = source.execute("SELECT first, last, at, crc, data FROM batch WHERE first = ?", (at,)).fetchone()
            if row is None:
                return
            events = batch_of(*row)
            yield row, isinstance(events[0], CHANGES_PLAN)
            at += len(events)


def _copy_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """The rows up to the first one that cannot be read. A result is checked when it is used."""
    columns = _COLUMNS[table]
    places = ", ".join("?" * (columns.count(",") + 1))
    with suppress(*_HARM):
        for row in source.execute(f"SELECT {columns} FROM {table}"):
            with suppress(sqlite3.IntegrityError):  # of a damaged row
                target.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", row)
