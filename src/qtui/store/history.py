"""``STATE/history.db``: which runs there were, and what their units took.

It is an index. All of it stands in the journals too, so a damaged one is put aside and made anew, and no run fails
because it cannot be written.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from qtui.core.model import EMPTY, RunState
from qtui.store import pasts
from qtui.store.errors import DAMAGE, primary_code, why
from qtui.store.mounts import network_of
from qtui.store.pasts import Completion, Cut, UnitPast
from qtui.store.sqlite import connected, make_private, transaction, use_wal

_APPLICATION: Final = 0x71747568  # "qtuh"
_VERSION: Final = 4
_TABLES: Final = f"""
CREATE TABLE run (
    run TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, directory TEXT NOT NULL, began REAL NOT NULL,
    ended REAL, seconds REAL NOT NULL, state TEXT NOT NULL, exit_code INTEGER, counts TEXT NOT NULL
);
CREATE INDEX run_began ON run (began);
CREATE TABLE size (run TEXT PRIMARY KEY, changed INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE complete (at REAL NOT NULL);
{pasts.TABLES}
"""
_STEPS: Final = {
    2: f"DROP TABLE duration; DELETE FROM complete; {pasts.TABLES}",
    3: f"{pasts.REMOVAL}; DELETE FROM complete; {pasts.TABLES}",
}
"""What makes version n + 1 of version n. The runs stay; what their units took is read from the journals again."""
_BEGIN_RUN: Final = (
    "INSERT INTO run VALUES (?, ?, ?, ?, ?, NULL, 0, 'running', NULL, '{}') ON CONFLICT (run) DO UPDATE"
    " SET ended = NULL, state = 'running', exit_code = NULL"
)
_END_RUN: Final = "UPDATE run SET ended = ?, seconds = ?, state = ?, exit_code = ?, counts = ? WHERE run = ?"
_LATEST: Final = 1e11
"""Unix seconds: the year 5138."""
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


class Completions(NamedTuple):
    """The units of a run that ran and `completed`, by id, the hashes of the `others`, and those that were `cut`."""

    completed: Mapping[str, Completion]
    others: Collection[str] = ()
    cut: Mapping[str, Cut] = EMPTY


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

        def change(database: sqlite3.Connection) -> None:
            if database.execute("SELECT 1 FROM run").fetchone() is None and self._is_first(run):
                database.execute("INSERT INTO complete VALUES (?)", (at,))
            database.execute(_BEGIN_RUN, (run, _text(name), _text(source), _text(directory), at))

        self._change(change)

    def _is_first(self, run: str) -> bool:
        """Whether there is no directory of another run."""
        runs = self.path.parent / "runs"
        return not runs.exists() or all(each.name == run for each in runs.iterdir())

    def end(
        self,
        run: str,
        state: str,
        exit_code: int,
        counts: Mapping[str, int],
        at: float,
        seconds: float,
        completions: Completions,
    ) -> None:
        """A run has ended after so many `seconds`. It may be told again."""

        def change(database: sqlite3.Connection) -> None:
            row = (at, seconds, str(state), exit_code, _counts(counts), run)
            database.execute(_END_RUN, row)
            found = database.execute("SELECT source FROM run WHERE run = ?", (run,)).fetchone()
            if found is not None and found[0]:
                rows = pasts.load(database, found[0])
                pasts.save(database, found[0], _after(rows, at, completions))

        self._change(change)

    def runs(self, source: str | None = None, limit: int = 50) -> list[RunSummary]:
        """The last runs, of one workflow or of all, newest first."""
        where, values = ("WHERE source = ?", (_text(source),)) if source is not None else ("", ())
        query = f"SELECT * FROM run {where} ORDER BY began DESC, rowid DESC LIMIT ?"
        runs: list[RunSummary] | None = self._ask(
            lambda database: [_summary(row) for row in database.execute(query, (*values, limit))]
        )
        return runs or []

    def past(self, source: str, units: Mapping[str, str]) -> dict[str, UnitPast]:
        """What each of these units took in earlier runs of the workflow; without those of which nothing is known.
        `units` has the hashes of their actions by id, see `qtui.core.actionhash`.

        A unit that was renamed keeps its past by its hash, if no other of `units` has that; one that was edited by its
        id, but see `UnitPast.alike`. Workflows without a file have none.
        """
        return pasts.pasts_of(self._rows(source), units)

    def durations(self, source: str, units: Mapping[str, str]) -> dict[str, float]:
        """How many seconds units take: by id the median of what its `past` `took` for each that has one, and by family
        that of the family's latest completions, where one of its units has none."""
        return pasts.durations_of(self._rows(source), units)

    def rebuild(self, runs: Iterable[tuple[RunSummary, Completions]]) -> None:
        """Let it be what these runs say, oldest first, which the journals tell. Runs that are gone are forgotten, but
        what their units took still counts.

        Raises what iterating over `runs` raises.
        """
        summaries: list[RunSummary] = []
        taken: dict[str, dict[str, pasts.Row]] = {}
        for summary, completions in runs:  # before others have to wait for us; a run at a time is in memory
            summaries.append(summary)
            if source := _text(summary.source):
                rows = taken.setdefault(source, {})
                rows |= _after(rows, summary.ended if summary.ended is not None else summary.began, completions)
        told = {summary.run for summary in summaries}

        def change(database: sqlite3.Connection) -> None:
            database.executemany(_ADD_RUN, map(_row, summaries))
            for source, rows in taken.items():
                pasts.save(database, source, pasts.merged(pasts.load(database, source), rows))
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
        return {run: (changed, size) for run, changed, size in rows or () if type(changed) is type(size) is int}

    def note_sizes(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """When each run last changed (any number that changes with it), and how many bytes it takes."""
        rows = [(run, *values) for run, values in sizes.items()]
        self._change(lambda database: database.executemany("INSERT OR REPLACE INTO size VALUES (?, ?, ?)", rows))

    # -- the file ----------------------------------------------------------------------------------------

    def _rows(self, source: str) -> pasts.Rows:
        return self._ask(lambda database: pasts.load(database, _text(source))) or {} if source else {}

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
                if not _is_damage(error):
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


class _Unusable(sqlite3.DatabaseError):
    """A database that is no history, one of a version that is not known here, or one that has what cannot be."""


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is to blame. For tables or columns that are not there SQLite has the code of all bad statements,
    but the statements here are always the same; for text that is none, Python has no code at all."""
    if isinstance(error, _Unusable) or primary_code(error) in DAMAGE:
        return True
    return isinstance(error, sqlite3.OperationalError) and primary_code(error) in (0, sqlite3.SQLITE_ERROR)


def _prepare(database: sqlite3.Connection, *, wal: bool) -> None:
    with transaction(database, "DEFERRED"):  # one look: another process may be making it
        if _version(database) == _VERSION:
            return
    if wal:
        use_wal(database)
    with transaction(database):
        version = _version(database)  # another process may have been quicker
        steps = [_STEPS[each] for each in range(version, _VERSION)] if version else [_TABLES]
        for statement in ";".join(steps).split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {_VERSION}")


def _version(database: sqlite3.Connection) -> int:
    """The version of its layout; 0 if there is nothing in it yet. Raises _Unusable if it is none that is known here."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application == _APPLICATION:
        if version == _VERSION or version in _STEPS:
            return int(version)
        raise _Unusable(f"it is of {'a newer' if version > _VERSION else 'another'} version of qtui")
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application or tables:
        raise _Unusable("it is something else")
    return 0


def _after(rows: pasts.Rows, told: float, completions: Completions) -> dict[str, pasts.Row]:
    completed = {_text(unit): each for unit, each in completions.completed.items()}
    cut = {_text(unit): each for unit, each in completions.cut.items()}
    return pasts.after(rows, told, completed, completions.others, cut)


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
    """Raises _Unusable for a row that was not written here."""
    try:
        run, name, source, directory, began, ended, seconds, state, exit_code, counts = row
        counts = json.loads(counts)
        texts, times = (run, name, source, directory), (began, seconds, began if ended is None else ended)
        numbers = (*counts.values(), 0 if exit_code is None else exit_code)
        sane = all(isinstance(each, str) for each in texts) and all(type(each) is int for each in numbers)
        if not sane or not all(isfinite(each) and 0 <= each < _LATEST for each in times):
            raise ValueError(run)
        state = str(RunState(state))
    except (ValueError, TypeError, AttributeError) as error:
        raise _Unusable("a row in it is damaged") from error
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
        counts=counts,
    )


def _counts(counts: Mapping[str, int]) -> str:
    return json.dumps({str(state): count for state, count in counts.items()})


def _text(text: str) -> str:
    """A path may be any bytes, a database only holds text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _why(error: Exception) -> str:
    return why(error) if isinstance(error, sqlite3.Error | OSError) else str(error)
