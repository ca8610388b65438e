"""What can be read of a damaged journal, and in a new one; the damaged one is kept as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from qtui.core.events import CHANGES_PLAN, Event, UnitFinished
from qtui.core.folding import fold
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.store.errors import JournalDamaged
from qtui.store.journal_rows import batch_of, head_of, storable, told
from qtui.store.migrations import APPLICATION_ID, SCHEMA, VERSION, version_of
from qtui.store.place import beside
from qtui.store.sqlite import connected, transaction

_COLUMNS: Final = {
    "result": "id, unit, attempt, kind, data, path, digest, why",
    "runner": "number, host, boot, pid, started, version, at, session, ready",
}

_HARM: Final = (sqlite3.DatabaseError, UnicodeDecodeError, JournalDamaged)
"""How sqlite3 and we say that something cannot be read."""


def recover(path: Path, *, wal: bool = True) -> str:
    """Put what can be read of a damaged journal in its place, and say what that is. Nobody else may be writing.

    A copy of it, ``….damaged-N``, is made first and stays. `wal` is as in `Journal.create`. Raises JournalDamaged if
    nothing can be read, and then leaves everything as it was but for the copy; JournalTooNew, and JournalError if the
    disk fails.
    """
    with told(path, "cannot be recovered"):
        copy = _copied(path)
        new = path.with_name(f"{path.name}.recovered")
        for name in (new, *beside(new)):
            name.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            with closing(connected(new)) as target:
                target.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
                last = _rescue(path, copy, target)
            _flush(new)
            for name in beside(path):
                name.unlink(missing_ok=True)  # they are the damaged file's, and would be taken for the new one's
            new.replace(path)
        finally:
            for name in (new, *beside(new)):
                name.unlink(missing_ok=True)
    return f"the journal was damaged: {kept_words(last)} kept; the damaged file stays as {copy.name}"


def kept_words(last: int) -> str:
    """The subject and the verb of what becomes of the events up to number `last`."""
    return f"events 1 to {last} of it are" if last > 1 else f"{'event 1' if last else 'no event'} of it is"


def legible(path: Path) -> int:
    """The number of the last event that `recover` would keep. Writes nothing; raises what `recover` does."""
    with told(path, "cannot be read"), closing(_reading(path)) as source:
        try:
            _head(source, path)
        except _HARM as error:
            raise JournalDamaged(f"{path}: nothing can be read of it ({error}); start the run anew") from error
        return max((int(row[1]) for row, _ in _batches(source)), default=0)


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
    with closing(_reading(path)) as source, transaction(target):
        for statement in SCHEMA:
            target.execute(statement)
        target.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        target.execute(f"PRAGMA user_version = {VERSION}")
        try:
            head, plan = _head(source, path)
        except _HARM as error:
            raise JournalDamaged(
                f"{path}: nothing can be read of it ({error}); it is kept as {copy.name}; start the run anew"
            ) from error
        target.execute("INSERT INTO head (one, about, plan, crc) VALUES (1, ?, ?, ?)", head)
        view = RunView.initial(plan)
        for row, events in _batches(source):
            target.execute("INSERT INTO batch (first, last, at, crc, data) VALUES (?, ?, ?, ?, ?)", row)
            if isinstance(events[0], CHANGES_PLAN):
                target.execute("INSERT INTO growth (seq) VALUES (?)", (row[0],))
            view = fold(view, events)
        _insert(target, "result", _results(source, view))
        _insert(target, "runner", _rows(source, "runner"))
        return view.seq


def _reading(path: Path) -> sqlite3.Connection:
    return connected(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _head(source: sqlite3.Connection, path: Path) -> tuple[tuple[Any, ...], ExecutionPlan]:
    """The row of the head and the plan in it. Raises what `_HARM` names, and JournalTooNew."""
    version_of(source, path)
    head = source.execute("SELECT about, plan, crc FROM head").fetchone() or ("", "", 0)
    return head, head_of(*head).plan


def _batches(source: sqlite3.Connection) -> Iterator[tuple[tuple[Any, ...], list[Event]]]:
    """The rows up to the first one that is not as it was, and their events."""
    at = 1
    with suppress(*_HARM):
        while True:
            row = source.execute("SELECT first, last, at, crc, data FROM batch WHERE first = ?", (at,)).fetchone()
            if row is None:
                return
            events = batch_of(*row)
            yield row, events
            at += len(events)


def _results(source: sqlite3.Connection, view: RunView) -> Iterator[tuple[Any, ...]]:
    """The rows of the results that the events which are kept know of; whoever uses one checks what is in it.

    Only a unit's latest result is there. If its end is lost, or the row cannot be read, one that says so takes its
    place: a unit without a row has returned None.
    """
    rows: dict[str, tuple[Any, ...]] = {}
    whole = False
    with suppress(*_HARM):
        for row in source.execute(f"SELECT {_COLUMNS['result']} FROM result"):
            rows[row[0]] = row
        whole = True
    for number, last in enumerate(view.last):
        if not isinstance(last, UnitFinished) or last.state is not UnitState.COMPLETED or last.fallback:
            continue
        unit_id = storable(view.plan.table[number].id)
        found, attempt = rows.get(unit_id), 0 if last.cached else last.attempt
        if found is not None and found[2] == attempt:
            yield found
        elif found is not None or not whole:
            yield (unit_id, number, attempt, "none", b"", "", "", "it was lost when the journal was damaged")


def _rows(source: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows up to the first one that cannot be read."""
    with suppress(*_HARM):
        yield from source.execute(f"SELECT {_COLUMNS[table]} FROM {table}")


def _insert(target: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = _COLUMNS[table]
    places = ", ".join("?" * (columns.count(",") + 1))
    for row in rows:
        with suppress(sqlite3.IntegrityError):  # of a damaged row
            target.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", row)
