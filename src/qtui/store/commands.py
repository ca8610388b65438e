"""Requests of other processes to the one that runs a run, and its answers: a SQLite file beside the journal.

A file of its own, so that a process that is stopped in the middle of a request can never hold up the journal.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from qtui.core.stimuli import InterruptRequested, Request
from qtui.store.errors import JournalDamaged, primary_code
from qtui.store.journal_rows import storable, told
from qtui.store.place import identity
from qtui.store.sqlite import connected, make_private, transaction, use_wal

VERSION: Final = 1
_APPLICATION_ID: Final = 0x71747563
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS command (id INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT NOT NULL, at REAL NOT NULL,"
    " request TEXT NOT NULL, attempt INTEGER NOT NULL, answer TEXT, answered_at REAL)"
)
_ROWS: Final = "SELECT id, who, at, request, attempt, answer, answered_at FROM command"
_TUPLES: Final = frozenset({"units", "scopes", "env", "args"})
_MOST_WHO: Final = 200
"""Characters that are kept of who asks."""

_MOST_TEXT: Final = 4_000
"""Characters of a text in a request: it goes into the record, and onto screens."""

_LARGEST: Final = 1 << 53
"""No whole number in a request is beyond this, either way, and no number of a request is."""

_SIGNALS: Final = frozenset(signal.valid_signals())


class DifferencesAsked(NamedTuple):
    """A question: how do these units differ on the disk from what they are in the run?

    The answer is a JSON list of pairs: a difference in the words of `RunSession.edited`, and the numbers of the units
    that differ so.
    """

    units: tuple[int, ...]


Wish = Request | DifferencesAsked
"""What may be asked of the process that runs a run."""

_CLASSES: Final[dict[str, Any]] = {cls.__name__: cls for cls in get_args(Wish)}
_FIELDS: Final = {name: get_type_hints(cls) for name, cls in _CLASSES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request that `who` has made `at` (Unix seconds), and what became of it; None while it has no answer.

    `request` is None if it is one that this version does not know, or none at all. `attempt` is that of the unit as it
    was seen then, or 0.
    """

    id: int
    who: str
    at: float
    request: Wish | None
    attempt: int
    answer: str | None
    answered_at: float | None


class CommandQueue:
    """The requests of one run. Any process of the user may ask, and the one that runs it answers.

    To be used by one thread at a time. All methods raise JournalError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._using():
            make_private(path)
            self._database = connected(path)
        self._database.text_factory = _text  # one text that is none must not hide all the others
        try:
            with self._using():
                self._prepare()
                self._check_columns()
        except BaseException:
            self._database.close()
            raise
        self._seen = -1
        self._file = identity(path)

    @property
    def replaced(self) -> bool:
        """True once the file is another one or gone: nobody answers what is asked here any more. Costs 2 µs."""
        with self._using():
            return identity(self.path) != self._file

    def ask(self, who: str, request: Wish, attempt: int = 0) -> int:
        """Ask for something; returns the number under which the answer will be."""
        row = (storable(who)[:_MOST_WHO], time.time(), encode_request(request), attempt)
        with self._using(), transaction(self._database):
            number = self._next_number()
            self._database.execute(
                "INSERT INTO command (id, who, at, request, attempt) VALUES (?, ?, ?, ?, ?)", (number, *row)
            )
            return number

    def _next_number(self) -> int:
        """The number behind the largest. Numbers that nobody counts up to are of another program: their rows go, as
        SQLite would find no number behind the largest that there is, and call the disk full."""
        (largest,) = self._database.execute("SELECT ifnull(max(id), 0) FROM command").fetchone()
        if largest >= _LARGEST:
            self._database.execute("DELETE FROM command WHERE id > ?", (_LARGEST // 2,))
            (largest,) = self._database.execute("SELECT ifnull(max(id), 0) FROM command").fetchone()
        return max(0, int(largest)) + 1

    def pending(self) -> list[Command]:
        """What has no answer yet, in the order in which it was asked."""
        return self._commands(f"{_ROWS} WHERE answer IS NULL ORDER BY id")

    def all(self) -> list[Command]:
        """Every request, in order."""
        return self._commands(f"{_ROWS} ORDER BY id")

    def answer(self, number: int, text: str) -> None:
        """Say what became of a request. The first answer stays."""
        with self._using(), transaction(self._database):
            self._database.execute(
                "UPDATE command SET answer = ?, answered_at = ? WHERE id = ? AND answer IS NULL",
                (storable(text), time.time(), number),
            )

    def answer_of(self, number: int) -> str | None:
        """The answer to a request, or None."""
        with self._using():
            row = self._database.execute("SELECT answer FROM command WHERE id = ?", (number,)).fetchone()
        return row[0] if row else None

    def changed(self) -> bool:
        """Whether another process has written since the last call; true the first time. Costs 2 µs."""
        with self._using():
            (version,) = self._database.execute("PRAGMA data_version").fetchone()
        seen, self._seen = self._seen, int(version)
        return seen != self._seen

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _commands(self, query: str) -> list[Command]:
        with self._using():
            rows = self._database.execute(query).fetchall()
        return [_command(*row) for row in rows]

    @contextmanager
    def _using(self) -> Iterator[None]:
        with told(self.path, "cannot be used"):
            yield

    def _prepare(self) -> None:
        database = self._database
        with transaction(database, "DEFERRED"):  # one look: another process may be making it
            if self._is_ours():
                return
        with transaction(database):
            if self._is_ours():  # another process has just made it
                return
            database.execute(_TABLE)
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        use_wal(database)

    def _is_ours(self) -> bool:
        """Whether the file is a queue already; False if it is nothing yet. Raises JournalDamaged."""
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if (application, version) == (_APPLICATION_ID, VERSION):
            return True
        if application or version:
            raise JournalDamaged(f"{self.path}: made by another program, or a newer version of qtui")
        return False

    def _check_columns(self) -> None:
        try:
            self._database.execute(f"{_ROWS} LIMIT 0")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_ERROR:
                raise
            raise JournalDamaged(f"{self.path}: it is not as qtui made it ({error})") from error


def encode_request(request: Wish) -> str:
    """The request as JSON: the name of its class, and its fields."""
    return json.dumps({"request": type(request).__name__, **request._asdict()})


def decode_request(text: str) -> Wish | None:
    """The request that `encode_request` wrote; None for anything else, also if one of its fields is of another type,
    or a signal is none that there is."""
    try:
        values = json.loads(text)
        name = values.pop("request")
        for field in values.keys() & _TUPLES:
            values[field] = tuple(values[field]) if isinstance(values[field], list) else None
        request: Wish = _CLASSES[name](**{field: storable(value) for field, value in values.items()})
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    known = zip(request, _FIELDS[name].values(), strict=True)
    if not all(_fits(value, hint) for value, hint in known):
        return None
    return None if isinstance(request, InterruptRequested) and request.signal not in _SIGNALS else request


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is what a field of a request may hold."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(hint)[0]) for each in value)
    if hint is int:
        return type(value) is int and abs(value) <= _LARGEST
    if hint is str:
        return isinstance(value, str) and len(value) <= _MOST_TEXT
    return type(value) is hint and (hint is not float or math.isfinite(value))  # type: ignore[arg-type]


def _command(
    number: int, who: object, at: object, request: Any, attempt: object, answer: str | None, answered_at: float | None
) -> Command:
    """A row of the table. SQLite keeps any type in any column, and other programs may have written it."""
    whole = isinstance(at, float) and type(attempt) is int
    return Command(
        id=number,
        who=str(who)[:_MOST_WHO],
        at=at if isinstance(at, float) else 0.0,
        request=decode_request(request) if whole else None,
        attempt=attempt if isinstance(attempt, int) else 0,
        answer=answer,
        answered_at=answered_at,
    )


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def put_aside(path: Path) -> Path:
    """Rename a file of requests that cannot be used, so that it is made anew; returns what it is called now.

    For whoever holds the run's lock. Raises JournalError.
    """
    with told(path, "cannot be put aside"):
        number = 1
        while os.path.lexists(aside := path.with_name(f"{path.name}.damaged-{number}")):
            number += 1
        for end in ("-wal", "-shm"):  # they would be taken for the new one's
            path.with_name(path.name + end).unlink(missing_ok=True)
        path.rename(aside)
    return aside
