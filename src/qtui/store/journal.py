"""The journal of a run: a SQLite file that one process appends to, and that any number of others read.

Events are its only truth; all else in it can be made from them. A batch of events is one row: for each row, sqlite3
lets go of the interpreter, and beside threads that compute it would wait to have it back.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from qtui.core.causes import YOU, told_by, view_told_by
from qtui.core.events import CHANGES_PLAN, Event
from qtui.core.portable import Digest, Mask, plain_unit
from qtui.core.state import RunView
from qtui.store.codec import encode_events, encode_view
from qtui.store.errors import JournalDamaged, JournalError, JournalTooNew
from qtui.store.journal_reader import JournalReader
from qtui.store.journal_rows import Head, Runner, StoredResult, batch_row, head_row, storable, told
from qtui.store.migrations import APPLICATION_ID, SCHEMA, VERSION, migrate
from qtui.store.place import Place, beside
from qtui.store.recovery import recover
from qtui.store.sqlite import connected, transaction

__all__ = [
    "Durability",
    "Head",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalReader",
    "JournalTooNew",
    "Runner",
    "StoredResult",
    "recover",
]

_CHECKPOINT_EVENTS: Final = 50_000
_CHECKPOINT_GENERATIONS: Final = 8
"""A checkpoint takes about 5 us for each unit, so it is made once for so many events of each."""

Durability = Literal["normal", "full"]

_PUT_RESULT: Final = (
    "INSERT OR REPLACE INTO result (unit, id, attempt, kind, data, path, digest, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Journal:
    """The writer's side. To be used by one thread at a time.

    All methods raise JournalError, saying why, and then nothing of what was to be written is there: it may be tried
    again, as often as one likes.
    """

    def __init__(
        self, path: Path, durability: Durability, mask: Mask | None = None, digest: Digest | None = None, who: str = YOU
    ) -> None:
        self.path, self._who = path, who
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self._plain_unit = partial(plain_unit, mask=mask or str, digest=digest)
        self._database = self._opened()
        self._place = Place(path)
        self._last = self._stored_last()
        self._in_doubt = False
        self._checkpoint = self._stored_checkpoint()
        self._runner: int | None = None
        self.taken = False
        """True if this process was to write, and another one runs the run by now."""

    @classmethod
    def create(
        cls,
        path: Path,
        head: Head,
        durability: Durability = "normal",
        masks: Mask | None = None,
        *,
        digest: Digest | None = None,
        wal: bool = True,
        who: str = YOU,
    ) -> Journal:
        """A new journal, for the user alone. `masks` hides secrets in texts of the definitions, `digest` identifies
        the code of calls, and what was done by "you" is kept as done by `who`. `wal` is False for network file systems:
        readers and the writer wait for each other then."""
        new = path.with_name(f".new-{path.name}")  # it has its name once it is whole, however this process ends
        with told(path, "cannot be made"):
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            for name in (new, *beside(new)):
                name.unlink(missing_ok=True)
            try:
                os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
                with closing(connected(new)) as database:
                    database.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
                    with transaction(database):
                        for statement in SCHEMA:
                            database.execute(statement)
                        row = head_row(head, masks or str, digest)
                        database.execute("INSERT INTO head (one, about, plan, crc) VALUES (1, ?, ?, ?)", row)
                        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                        database.execute(f"PRAGMA user_version = {VERSION}")
                new.rename(path)
            finally:
                for name in (new, *beside(new)):
                    name.unlink(missing_ok=True)
        return cls._of(path, durability, masks, digest, who)

    @classmethod
    def reopen(
        cls,
        path: Path,
        durability: Durability = "normal",
        masks: Mask | None = None,
        *,
        digest: Digest | None = None,
        who: str = YOU,
    ) -> Journal:
        """The journal of a run that goes on; one of an earlier version is copied and brought up to this one.

        Raises JournalDamaged if it is no journal, JournalTooNew if a newer version has written it.
        """
        with told(path, "cannot be opened"):
            if not path.is_file():
                raise JournalError(f"{path}: there is no such journal")
            migrate(path)
        return cls._of(path, durability, masks, digest, who)

    @classmethod
    def _of(cls, path: Path, durability: Durability, mask: Mask | None, digest: Digest | None, who: str) -> Journal:
        with told(path, "cannot be opened"):
            return cls(path, durability, mask, digest, who)

    @property
    def last(self) -> int:
        """The number of the last event that is in it; 0 if there is none."""
        return self._last

    def append(
        self, first: int, events: Sequence[Event], results: Iterable[StoredResult] = (), *, sync: bool = False
    ) -> None:
        """Write events, numbered on from `first`, and results, all or nothing.

        They are safe from the death of the process then; with `sync`, or in a journal of full durability, also from a
        loss of power, with all that was written before. What is there already is not written again.
        """
        last = first + len(events) - 1
        if first != self._last + 1:
            raise ValueError(f"event {first} cannot follow event {self._last}")
        if self._in_doubt:
            events = self._missing(first, events)
        named = [told_by(event, self._who) for event in events]
        rows, growth = self._rows(last - len(named) + 1, named)
        with self._writing(sync=sync) as database:
            database.executemany("INSERT INTO batch (first, last, at, crc, data) VALUES (?, ?, ?, ?, ?)", rows)
            if growth:
                database.executemany("INSERT INTO growth (seq) VALUES (?)", growth)
            kept = [tuple(map(storable, result)) for result in results]
            if kept:
                database.executemany(_PUT_RESULT, kept)
        self._last = last

    def checkpoint_due(self, units: int) -> bool:
        """Whether so much was written since the last checkpoint that one is worth its costs, in a plan of `units`."""
        return self._last - self._checkpoint >= max(_CHECKPOINT_EVENTS, _CHECKPOINT_GENERATIONS * units)

    def checkpoint(self, view: RunView) -> None:
        """Keep what is known after the last event, so that readers need not begin at the first one."""
        if view.seq != self._last:
            raise ValueError(f"a checkpoint of event {view.seq} is not one of event {self._last}")
        data = zlib.compress(encode_view(view_told_by(view, self._who)).encode("ascii"), 1)
        with self._writing() as database:
            database.execute("INSERT OR REPLACE INTO checkpoint (seq, data) VALUES (?, ?)", (view.seq, data))
        self._checkpoint = view.seq

    def add_runner(self, runner: Runner) -> None:
        """This process runs it from now on; whoever did before writes nothing more."""
        self._runner = None
        with self._writing() as database:
            if self._stored_last() != self._last:
                raise JournalError(f"{self.path}: another program has written to it")
            cursor = database.execute(
                "INSERT INTO runner (host, boot, pid, started, version, at, session) VALUES (?, ?, ?, ?, ?, ?, ?)",
                tuple(map(storable, astuple(runner))),
            )
        self._runner = cursor.lastrowid

    def mark_ready(self) -> None:
        """The latest runner has begun its work."""
        with self._writing() as database:
            database.execute("UPDATE runner SET ready = 1 WHERE number = (SELECT max(number) FROM runner)")

    def result_paths(self) -> set[str]:
        """The files, within the run's directory, that values are kept in."""
        with told(self.path, "cannot be read"):
            rows = self._database.execute("SELECT path FROM result WHERE kind = 'file'").fetchall()
        return {path for (path,) in rows}

    def close(self) -> bool:
        """Move everything into the one file, and see to it that it is on the disk; returns whether all of it is.

        What a reader is in the middle of holds that up: then the rest is safe from the death of this process alone.
        """
        try:
            with told(self.path, "cannot be written"):
                self._database.execute("PRAGMA synchronous = FULL")
                (busy, *_) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy and not self.taken
        finally:
            self._database.close()

    # -- inside ------------------------------------------------------------------------------------------

    def _rows(self, first: int, events: Sequence[Event]) -> tuple[list[Any], list[tuple[int]]]:
        """The rows of events, and the numbers of those that change the plan, which have rows of their own."""
        cuts = [0]
        growth = []
        for at, event in enumerate(events):
            if isinstance(event, CHANGES_PLAN):
                growth.append((first + at,))
                cuts += [at, at + 1]
        rows = []
        for start, stop in zip(cuts, [*cuts[1:], len(events)], strict=True):
            if start < stop:
                data = encode_events(events[start:stop], self._plain_unit)
                rows.append(batch_row(first + start, stop - start, events[stop - 1].at, data))
        return rows, growth

    @contextmanager
    def _writing(self, *, sync: bool = False) -> Iterator[sqlite3.Connection]:
        with told(self.path, "cannot be written"):
            if self._place.lost:
                self._put_back()
            self._place.check()
            if sync and self._synchronous != "FULL":
                self._database.execute("PRAGMA synchronous = FULL")
            try:
                with transaction(self._database):
                    self._check_runner()
                    yield self._database
                self._in_doubt = False
            except sqlite3.Error:
                self._in_doubt = True  # a commit that failed may have been done all the same
                raise
            finally:
                if sync:
                    self._database.execute(f"PRAGMA synchronous = {self._synchronous}")

    def _check_runner(self) -> None:
        """Nobody else has begun to run it: who was stopped for a while, without its lock, must not write on."""
        if self._runner is None:
            return
        (newest,) = self._database.execute("SELECT max(number) FROM runner").fetchone()
        if newest != self._runner:
            self.taken = True
            raise JournalError(f"{self.path}: another process runs this run by now, and this one writes nothing more")

    def _opened(self) -> sqlite3.Connection:
        database = connected(self.path)
        try:
            database.execute(f"PRAGMA synchronous = {self._synchronous}")
            with transaction(database):  # so that all its files are there
                pass
        except BaseException:
            database.close()
            raise
        return database

    def _missing(self, first: int, events: Sequence[Event]) -> Sequence[Event]:
        """Those of `events`, numbered on from `first`, that are not there: an earlier try may have been done."""
        with told(self.path, "cannot be read"):
            there = self._stored_last() - first + 1
        if not 0 <= there <= len(events):
            raise JournalError(f"{self.path}: another program has written to it")
        return events[there:]

    def _stored_last(self) -> int:
        (last,) = self._database.execute("SELECT last FROM batch ORDER BY first DESC LIMIT 1").fetchone() or (0,)
        return int(last)

    def _stored_checkpoint(self) -> int:
        (seq,) = self._database.execute("SELECT ifnull(max(seq), 0) FROM checkpoint").fetchone()
        return int(seq)

    def _put_back(self) -> None:
        """Write what is still open to where it was, and go on with that."""
        self._place.put_back(self._database)
        self._database.close()
        self._database = self._opened()
        self._place = Place(self.path)
