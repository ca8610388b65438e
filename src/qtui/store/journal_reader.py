"""The readers' side of a journal: short transactions, so that none holds up the writer or one another."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from qtui.core.events import Event, PlanReplaced, UnitRedefined, UnitsAdded
from qtui.core.folding import fold
from qtui.core.growth import grow, replaced
from qtui.core.plan import ExecutionPlan
from qtui.core.redefining import redefine
from qtui.core.state import RunView
from qtui.store.codec import decode_view
from qtui.store.errors import JournalDamaged, JournalError
from qtui.store.journal_rows import HELP, Head, StoredResult, batch_of, head_of, storable, told
from qtui.store.migrations import VERSION, version_of
from qtui.store.place import NOWHERE, beside, identity
from qtui.store.sqlite import connected

_ROWS: Final = 64
"""Batches that are read in one transaction."""

_BATCHES: Final = "SELECT first, last, at, crc, data FROM batch"


class JournalReader:
    """What a journal has, while somebody writes it or afterwards. Any thread may use it, one at a time.

    All methods raise JournalDamaged if the file is none or has come to harm, saying what can be done, JournalTooNew if
    a newer version of qtui has written it, and JournalError if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading():
            if not path.is_file():
                raise JournalError(f"{path}: there is no such journal")
            self._database, self._file = _opened(path), identity(path)
        try:
            with self._reading():
                if version_of(self._database, path) < VERSION:
                    raise JournalError(f"{path}: written by an earlier version of qtui; resuming the run updates it")
            self._seen = self._version()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @cached_property
    def head(self) -> Head:
        """What the run began with."""
        with self._reading():
            row = self._database.execute("SELECT about, plan, crc FROM head").fetchone()
            if row is None:
                raise JournalDamaged("it has no first entry")
            return head_of(*row)

    def last_seq(self) -> int:
        """The number of the last event; 0 if there is none."""
        with self._reading():
            row = self._database.execute("SELECT last FROM batch ORDER BY first DESC LIMIT 1").fetchone()
            return int(row[0]) if row else 0

    def after(self, seq: int, limit: int | None = None) -> list[Event]:
        """The events behind number `seq`, at most `limit` of them."""
        with self._reading():
            return list(islice(self._events(seq), limit))

    def view(self, seq: int | None = None) -> RunView:
        """What was known of the run after event `seq`; after the last one there is, if it is None or behind that."""
        last = self.last_seq()
        seq = last if seq is None else max(0, min(seq, last))
        with self._reading():
            view = self._checkpoint(seq)
            return fold(view, islice(self._events(view.seq), seq - view.seq))

    def seq_at(self, at: float) -> int:
        """The number of the last event before any that was later than `at` (Unix seconds)."""
        with self._reading():
            (first,) = self._database.execute("SELECT min(first) FROM batch WHERE at > ?", (at,)).fetchone()
            if first is None:
                return self.last_seq()
            events = batch_of(*self._row(first))
            return int(first) - 1 + next(n for n, event in enumerate(events) if event.at > at)

    def changed(self) -> bool:
        """Whether anything was written since the last call. Costs 5 µs.

        A file that the writer has written anew, because somebody had removed it, is opened in the place of the old one.
        """
        with self._reading():
            file = identity(self.path)
            if file != self._file and file != NOWHERE:
                opened = _opened(self.path)
                self._database.close()
                self._database, self._file = opened, file
                self._seen = self._version()
                return True
            seen, self._seen = self._seen, self._version()
            return seen != self._seen

    def ready(self) -> bool:
        """Whether the latest runner has begun its work."""
        with self._reading():
            row = self._database.execute("SELECT ready FROM runner ORDER BY number DESC LIMIT 1").fetchone()
        return bool(row and row[0])

    def result(self, unit_id: str) -> StoredResult | None:
        """The value of the unit's latest attempt that had one to keep."""
        with self._reading():
            row = self._database.execute(
                "SELECT unit, id, attempt, kind, data, path, digest, why FROM result WHERE id = ?",
                (storable(unit_id),),
            ).fetchone()
        return StoredResult(*row) if row else None

    def replaced_at(self) -> list[int]:
        """The numbers of the events that put another plan in the place of one."""
        with self._reading():
            rows = self._database.execute(
                "SELECT first FROM batch WHERE first IN (SELECT seq FROM growth)"
                " AND json_extract(data, '$[0][0]') = 'plan_replaced' ORDER BY first"
            ).fetchall()
        return [first for (first,) in rows]

    def problems(self) -> list[str]:
        """What is wrong with the file; reads all of it."""
        try:
            with self._reading():
                found = [str(row[0]) for row in self._database.execute("PRAGMA quick_check(20)").fetchall()]
            if found != ["ok"]:
                return [f"{self.path}: {each}" for each in found]
            view = RunView.initial(self.head.plan, self.head.name)
            with self._reading():
                fold(view, self._events(0))
        except JournalError as error:
            return [str(error)]
        return []

    # -- inside ------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with told(self.path, "cannot be read"):
            try:
                yield
            except JournalDamaged as error:
                if str(self.path) in str(error):
                    raise
                raise JournalDamaged(f"{self.path}: the journal is damaged: {error}; {HELP}") from error

    def _version(self) -> int:
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _row(self, first: int) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._database.execute(f"{_BATCHES} WHERE first = ?", (first,)).fetchone()
        if row is None:
            raise JournalDamaged(f"event {first} is missing")
        return row

    def _events(self, seq: int) -> Iterator[Event]:
        """The events behind number `seq`, a few rows at a time."""
        (first,) = self._database.execute("SELECT max(first) FROM batch WHERE first <= ?", (seq + 1,)).fetchone()
        at = first or 1
        while True:
            rows = self._database.execute(f"{_BATCHES} WHERE first >= ? ORDER BY first LIMIT {_ROWS}", (at,)).fetchall()
            for row in rows:
                if row[0] != at:
                    raise JournalDamaged(f"event {at} is missing")
                events = batch_of(*row)
                yield from events[max(0, seq + 1 - at) :]
                at += len(events)
            if len(rows) < _ROWS:
                return

    def _checkpoint(self, seq: int) -> RunView:
        """The latest checkpoint up to event `seq` that can be read, or the beginning."""
        checkpoints = self._database.execute(
            "SELECT seq FROM checkpoint WHERE seq <= ? ORDER BY seq DESC", (seq,)
        ).fetchall()
        for (at,) in checkpoints:
            try:
                (data,) = self._database.execute("SELECT data FROM checkpoint WHERE seq = ?", (at,)).fetchone()
                view = decode_view(zlib.decompress(data).decode("ascii"), self._plan(at))
            except (zlib.error, UnicodeDecodeError, TypeError, JournalDamaged):
                continue  # the events have all that it has
            if view.seq == at:
                return view
        return RunView.initial(self.head.plan, self.head.name)

    def _plan(self, seq: int) -> ExecutionPlan:
        """The plan after event `seq`."""
        plan = self.head.plan
        rows = self._database.execute(
            f"{_BATCHES} WHERE first IN (SELECT seq FROM growth WHERE seq <= ?) ORDER BY first", (seq,)
        ).fetchall()
        if not rows:
            return plan
        plan = plan.thawed()
        for row in rows:
            (event,) = batch_of(*row)
            match event:
                case UnitsAdded():
                    grow(plan, event.unit, event.units, event.begun)
                case PlanReplaced():
                    plan = replaced(plan, event.units, event.mode).thawed()
                case UnitRedefined():
                    redefine(plan, event.unit, event.definition)
        return plan


def _opened(path: Path) -> sqlite3.Connection:
    """A connection that only reads; in a directory that may only be read it takes the file for one that is whole."""
    name = f"file:{quote(str(path))}?mode=ro"
    database = connected(name, uri=True)
    try:
        database.execute("PRAGMA data_version").fetchone()
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        database.close()
        waiting = beside(path)[0]
        if waiting.exists() and waiting.stat().st_size:
            raise
        database = connected(f"{name}&immutable=1", uri=True)
    return database
