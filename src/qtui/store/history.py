"""``STATE/history.db``: which runs there were, and how long their units took.

It is an index. All of it stands in the journals too, so a damaged one is put aside and made anew, and no run fails
because it cannot be written.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from qtui.store.errors import DAMAGE, primary_code, why
from qtui.store.mounts import network_of
from qtui.store.sqlite import connected, make_private, transaction, use_wal

LAST: Final = 20
"""Durations that count for a family, and the most that are kept of one run."""

MOST_ROWS: Final = 10_000
"""Of a workflow of so many families only the last run counts and is kept, so that neither start nor end waits."""

_APPLICATION: Final = 0x71747568  # "qtuh"
_VERSION: Final = 2
_TABLES: Final = """
CREATE TABLE run (
    run TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, directory TEXT NOT NULL, began REAL NOT NULL,
    ended REAL, seconds REAL NOT NULL, state TEXT NOT NULL, exit_code INTEGER, counts TEXT NOT NULL
);
CREATE INDEX run_began ON run (began);
CREATE TABLE duration (
    source TEXT NOT NULL, family TEXT NOT NULL, at REAL NOT NULL, run TEXT NOT NULL, seconds TEXT NOT NULL,
    PRIMARY KEY (run, family)
) WITHOUT ROWID;
CREATE INDEX duration_at ON duration (source, at);
CREATE TABLE size (run TEXT PRIMARY KEY, changed INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE complete (at REAL NOT NULL);
"""
_END_RUN: Final = "UPDATE run SET ended = ?, seconds = ?, state = ?, exit_code = ?, counts = ? WHERE run = ?"
_DROP_UNREAD: Final = (
    "DELETE FROM duration WHERE source = ?"
    " AND at < (SELECT at FROM duration WHERE source = ? ORDER BY at DESC LIMIT 1 OFFSET ?)"
)
_DROP_OLD: Final = (
    "DELETE FROM duration WHERE (run, family) IN (SELECT run, family FROM (SELECT run, family, row_number() OVER"
    " (PARTITION BY family ORDER BY at DESC, run DESC) AS place FROM duration WHERE source = ?) WHERE place > ?)"
)
_ADD_RUN: Final = "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run in short: `began` and `ended` are Unix seconds, `source` the workflow's file or "", `state` a RunState.

    Without `ended` it was never told that it had: the run goes on, or its process died. `seconds` is how long processes
    ran it, as far as is known; the time between the end of one and a resume does not count.
    """

    run: str
    name: str
    source: str
    directory: str
    began: float
    ended: float | None = None
    seconds: float = 0.0
    state: str = "running"
    exit_code: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


Durations = Mapping[str, Sequence[float]]
"""Seconds that completed units took, by family, oldest first."""


class History:
    """The index in `state_dir`. Any thread and several processes may use it; no trouble with the file raises.

    What goes wrong is told once, to `warn` or in the log, and then nothing is known or kept.
    """

    def __init__(self, state_dir: Path, warn: Callable[[str], None] | None = None) -> None:
        self.path = state_dir / "history.db"
        self._warn: Callable[[str], None] | None = warn or logging.getLogger("qtui").warning

    @property
    def complete(self) -> bool:
        """False if it was made anew and may lack runs, until `rebuild`."""
        found = self._ask(lambda database: database.execute("SELECT 1 FROM complete").fetchone())
        return found is not None

    def begin(self, run: str, name: str, source: str, directory: str, at: float) -> None:
        """A run begins, or goes on; what is known of its beginning stays."""
        row = (run, _text(name), _text(source), _text(directory), at)
        self._change(
            lambda database: database.execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?, NULL, 0, 'running', NULL, '{}') ON CONFLICT (run) DO UPDATE"
                " SET ended = NULL, state = 'running', exit_code = NULL",
                row,
            )
        )

    def end(
        self,
        run: str,
        state: str,
        exit_code: int,
        counts: Mapping[str, int],
        at: float,
        seconds: float,
        durations: Durations,
    ) -> None:
        """A run has ended after so many `seconds`; `durations` are those of all its units that completed. It may be
        told again."""

        def change(database: sqlite3.Connection) -> None:
            row = (at, seconds, str(state), exit_code, _counts(counts), run)
            database.execute(_END_RUN, row)
            found = database.execute("SELECT source FROM run WHERE run = ?", (run,)).fetchone()
            if found is not None:
                _keep_durations(database, run, found[0], at, durations)

        self._change(change)

    def runs(self, source: str | None = None, limit: int = 50) -> list[RunSummary]:
        """The last runs, of one workflow or of all, newest first."""
        where, values = ("WHERE source = ?", (_text(source),)) if source is not None else ("", ())
        query = f"SELECT * FROM run {where} ORDER BY began DESC, rowid DESC LIMIT ?"
        rows = self._ask(lambda database: database.execute(query, (*values, limit)).fetchall())
        return [_summary(row) for row in rows or ()]

    def durations(self, source: str) -> dict[str, float]:
        """How long a unit takes, by family: the median of the last `LAST` that completed, in seconds.

        Runs count from the last one on until their families are `MOST_ROWS`.
        """
        taken: dict[str, list[float]] = {}
        for family, seconds in self._durations_of(source):
            known = taken.setdefault(family, [])
            known.extend(seconds[len(known) - LAST :] if len(known) < LAST else ())
        return {family: median(seconds) if seconds[1:] else seconds[0] for family, seconds in taken.items()}

    def rebuild(self, runs: Iterable[tuple[RunSummary, Durations]]) -> None:
        """Let it be what these runs say, which the journals tell. Runs that are gone are forgotten.

        Raises what iterating over `runs` raises.
        """
        given = sorted(runs, key=lambda each: each[0].began)  # before others have to wait for us
        told = {summary.run for summary, _ in given}

        def change(database: sqlite3.Connection) -> None:
            for summary, durations in given:
                database.execute(_ADD_RUN, _row(summary))
                at = summary.ended if summary.ended is not None else summary.began
                _keep_durations(database, summary.run, _text(summary.source), at, durations)
            known = [run for (run,) in database.execute("SELECT run FROM run")]
            # others may have begun a run meanwhile: what has a directory stays
            gone = [run for run in known if run not in told and not (self.path.parent / "runs" / run).exists()]
            for run in gone:
                _forget(database, run)
            database.execute("INSERT INTO complete VALUES (?)", (time.time(),))

        self._change(change)

    def forget(self, run: str) -> None:
        """A run is gone. How long its units took still counts."""
        self._change(lambda database: _forget(database, run))

    # -- sizes, so that not every file of every run needs to be looked at each time ------------------------

    def sizes(self) -> dict[str, tuple[int, int]]:
        """What `note_sizes` was told, by run."""
        rows = self._ask(lambda database: database.execute("SELECT run, changed, bytes FROM size").fetchall())
        return {run: (changed, size) for run, changed, size in rows or ()}

    def note_sizes(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """When each run last changed (any number that changes with it), and how many bytes it takes."""
        rows = [(run, *values) for run, values in sizes.items()]
        self._change(lambda database: database.executemany("INSERT OR REPLACE INTO size VALUES (?, ?, ?)", rows))

    # -- the file ----------------------------------------------------------------------------------------

    def _durations_of(self, source: str) -> list[tuple[str, list[float]]]:
        query = "SELECT run, family, seconds FROM duration WHERE source = ? ORDER BY at DESC, run DESC"

        def ask(database: sqlite3.Connection) -> list[tuple[str, list[float]]]:
            families: list[str] = []
            texts: list[str] = []
            latest = ""
            for run, family, seconds in database.execute(query, (_text(source),)):
                if len(families) >= MOST_ROWS and run != latest:
                    break
                latest = run
                families.append(family)
                texts.append(seconds)
            return list(zip(families, json.loads(f"[{','.join(texts)}]"), strict=True))

        return self._ask(ask) or []

    def _ask(self, question: Callable[[sqlite3.Connection], Any]) -> Any:
        """The answer; None if there is none."""
        return self._safely(question) if self.path.exists() else None

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        def changed(database: sqlite3.Connection) -> None:
            with transaction(database):
                change(database)

        self._safely(changed)

    def _safely(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            try:
                return self._work(work)
            except sqlite3.DatabaseError as error:
                if not isinstance(error, _Foreign) and primary_code(error) not in DAMAGE:
                    raise
                self._put_aside(str(error))
                return self._work(work)
        except (sqlite3.Error, OSError, ValueError) as error:
            self._tell(f"the history of runs cannot be used: {_why(error)} ({self.path})")
            return None

    def _work(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        # opened anew each time: it is needed twice a run, and nothing stays open that others would have to wait for
        with closing(self._open()) as database:
            return work(database)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(self.path)
        database = connected(self.path)
        try:
            _prepare(database, wal=not network_of(self.path.parent))
        except BaseException:
            database.close()
            raise
        return database

    def _put_aside(self, reason: str) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for end in ("-wal", "-shm"):  # they would be taken for the new one's
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        self.path.rename(aside)
        self._tell(f"the history of runs is made anew: {reason} (the old one: {aside})")

    def _tell(self, message: str) -> None:
        warn, self._warn = self._warn, None
        if warn is not None:
            warn(message)


class _Foreign(sqlite3.DatabaseError):
    """A database that is no history, or one of a newer version."""


def _prepare(database: sqlite3.Connection, *, wal: bool) -> None:
    with transaction(database, "DEFERRED"):  # one look: another process may be making it
        if _is_made(database):
            return
    if wal:
        use_wal(database)
    with transaction(database):
        if not _is_made(database):  # another process may have been quicker
            for statement in _TABLES.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {_VERSION}")


def _is_made(database: sqlite3.Connection) -> bool:
    """False if there is nothing in it yet. Raises _Foreign if it is none of ours."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if (application, version) == (_APPLICATION, _VERSION):
        return True
    if application == _APPLICATION:
        raise _Foreign("it is of another version of qtui")
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application or tables:
        raise _Foreign("it is something else")
    return False


def _keep_durations(database: sqlite3.Connection, run: str, source: str, at: float, durations: Durations) -> None:
    database.execute("DELETE FROM duration WHERE run = ?", (run,))  # a run that went on tells all again
    rows = [
        (source, _text(family), at, run, f"[{','.join([repr(round(each, 6)) for each in seconds[-LAST:]])}]")
        for family, seconds in sorted(durations.items())  # in the order of the table, which is quicker
        if seconds
    ]
    database.executemany("INSERT INTO duration VALUES (?, ?, ?, ?, ?)", rows)
    database.execute(_DROP_UNREAD, (source, source, MOST_ROWS - 1))
    database.execute(_DROP_OLD, (source, LAST))


def _forget(database: sqlite3.Connection, run: str) -> None:
    database.execute("DELETE FROM run WHERE run = ?", (run,))
    database.execute("DELETE FROM size WHERE run = ?", (run,))


def _row(summary: RunSummary) -> tuple[Any, ...]:
    where = (_text(summary.name), _text(summary.source), _text(summary.directory))
    return (
        summary.run,
        *where,
        summary.began,
        summary.ended,
        summary.seconds,
        str(summary.state),
        summary.exit_code,
        _counts(summary.counts),
    )


def _summary(row: Sequence[Any]) -> RunSummary:
    run, name, source, directory, began, ended, seconds, state, exit_code, counts = row
    return RunSummary(
        run=run,
        name=name,
        source=source,
        directory=directory,
        began=began,
        ended=ended,
        seconds=seconds,
        state=state,
        exit_code=exit_code,
        counts=json.loads(counts),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return json.dumps({str(state): count for state, count in counts.items()})


def _text(text: str) -> str:
    """A path may be any bytes, a database only holds text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _why(error: Exception) -> str:
    return why(error) if isinstance(error, sqlite3.Error | OSError) else str(error)
