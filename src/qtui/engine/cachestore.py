"""The file that keeps results from run to run: one SQLite database, and a file next to it for each large value.

Several processes may use it at a time. Writes are not forced to the disk, except for the files: after a loss of power
the last results may be missing, but none is wrong.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from qtui.engine.packing import Packed

KEPT = 16
"""Results that are kept of each unit."""

BUSY_SECONDS = 10.0
"""How long to wait for other processes that are writing."""

_ORPHANED = 3600.0
"""Seconds after which a file that no result names was left behind by a process that died."""

_VERSION = 2
_TABLE = """
CREATE TABLE IF NOT EXISTS results (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workflow TEXT NOT NULL, unit TEXT NOT NULL, digest TEXT NOT NULL,
    parts TEXT NOT NULL, outputs TEXT NOT NULL, made REAL NOT NULL,
    kind TEXT NOT NULL, sizes TEXT NOT NULL, file TEXT NOT NULL, content TEXT NOT NULL, data BLOB NOT NULL
)"""
_INDEX = "CREATE INDEX IF NOT EXISTS results_of_unit ON results (workflow, unit, number)"
_INSERT = """
INSERT INTO results (workflow, unit, digest, parts, outputs, made, kind, sizes, file, content, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A result as it is kept: `made` is Unix seconds, `outputs` are digests by name.

    `parts` are those of its fingerprint; they are kept of the newest result of a unit only. A large value is in the
    file that `value` names. `content` is the digest of the bytes of the value, wherever they are.
    """

    unit: str
    digest: str
    parts: Mapping[str, str]
    outputs: Mapping[str, str]
    made: float
    value: Packed
    content: str


class CacheStore:
    """The results of one workflow. All methods raise sqlite3.Error and OSError; to be used by one thread.

    In one that is `read_only` results can only be found: no file is made for that, or removed.
    """

    def __init__(self, directory: Path, workflow: str, *, read_only: bool = False) -> None:
        self.path = directory / "cache.db"
        self._read_only = read_only
        self._files = directory / "cache"
        self._workflow = workflow.encode("utf-8", "backslashreplace").decode()  # a path may be any bytes
        self._opened: sqlite3.Connection | None = None

    def find(self, unit: str, digest: str) -> Result | None:
        """The result of a unit under a fingerprint."""
        return self._read("workflow = ? AND unit = ? AND digest = ?", unit, digest)

    def newest(self, unit: str) -> Result | None:
        """The result of a unit that was kept last."""
        return self._read("workflow = ? AND unit = ?", unit)

    def _read(self, where: str, *values: str) -> Result | None:
        query = (
            f"SELECT unit, digest, parts, outputs, made, kind, sizes, file, content, data FROM results WHERE {where}"
        )
        row = self._database().execute(f"{query} ORDER BY number DESC LIMIT 1", (self._workflow, *values)).fetchone()
        if row is None:
            return None
        unit, digest, parts, outputs, made, kind, sizes, file, content, data = row
        path = str(self._files / file) if file else ""
        return Result(
            unit=unit,
            digest=digest,
            parts=json.loads(parts),
            outputs=json.loads(outputs),
            made=made,
            value=Packed(data, path, tuple(json.loads(sizes)), kind),
            content=content,
        )

    def take_file(self, value: Packed) -> Packed:
        """The value with a file of the store's own, if it has one; until `add` nobody else knows of it."""
        if not value.path:
            return value
        self._files.mkdir(mode=0o700, exist_ok=True)
        path = str(self._files / secrets.token_hex(16))
        place_file(value.path, path)
        with open(path, "rb") as file:  # noqa: PTH123
            os.fsync(file.fileno())  # or a loss of power could leave zeros under a name that says otherwise
        return value._replace(path=path)

    def drop_file(self, value: Packed) -> None:
        """Remove what `take_file` took: it is not to be added after all."""
        if value.path:
            with suppress(OSError):  # then it is swept some day
                Path(value.path).unlink()

    def add(self, results: Iterable[Result]) -> None:
        """Keep results, all or none; of each unit only the last ones, and one under each fingerprint."""
        database = self._database()
        database.execute("BEGIN IMMEDIATE")
        try:
            dropped = [file for result in results for file in self._add(database, result)]
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        for file in dropped:
            (self._files / file).unlink(missing_ok=True)

    def _add(self, database: sqlite3.Connection, result: Result) -> list[str]:
        key, value = (self._workflow, result.unit), result.value
        file = os.path.basename(value.path)  # noqa: PTH119
        database.execute("UPDATE results SET parts = '{}' WHERE workflow = ? AND unit = ? AND parts <> '{}'", key)
        parts, outputs = json.dumps(dict(result.parts)), json.dumps(dict(result.outputs))
        about = (result.digest, parts, outputs, result.made)
        row = (*key, *about, value.kind, json.dumps(value.sizes), file, result.content, value.data)
        kept = database.execute(_INSERT, row).lastrowid
        old = database.execute(
            "SELECT number, file FROM results WHERE workflow = ? AND unit = ? AND number <> ? AND (digest = ? OR number"
            " <= (SELECT number FROM results WHERE workflow = ? AND unit = ? ORDER BY number DESC LIMIT 1 OFFSET ?))",
            (*key, kept, result.digest, *key, KEPT),
        ).fetchall()
        database.executemany("DELETE FROM results WHERE number = ?", [(number,) for number, _ in old])
        return [file for _, file in old if file]

    def close(self) -> None:
        """Let go of the database."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # -- opening -----------------------------------------------------------------------------------------

    def _database(self) -> sqlite3.Connection:
        if self._opened is None and self._read_only:
            self._opened = self._as_it_is()
        if self._opened is None:
            # private from the start; what SQLite puts next to it gets the same mode. One that is there is not opened:
            # closing it would drop the locks of other runs in here (https://sqlite.org/howtocorrupt.html, 2.2)
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare(database)
            except BaseException:
                database.close()
                raise
            self._opened = database
            self._sweep(database)
        return self._opened

    def _as_it_is(self) -> sqlite3.Connection:
        """The database to read; an empty one where there is none, or one of an older version."""
        if self.path.exists():
            # not mode=ro, which would leave files behind that only a writer can remove
            uri = f"file:{quote(os.fsencode(self.path))}?mode=rw"
            database = sqlite3.connect(uri, timeout=BUSY_SECONDS, isolation_level=None, uri=True)
            try:
                if _version_of(database) == _VERSION:
                    return database
            except BaseException:
                database.close()
                raise
            database.close()
        empty = sqlite3.connect(":memory:", isolation_level=None)
        empty.execute(_TABLE)
        return empty

    def _prepare(self, database: sqlite3.Connection) -> None:
        _use_wal(database)
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN IMMEDIATE")
        if _version_of(database) < _VERSION:
            # results of older versions were kept under less than they depend on; their files are swept some day
            database.execute("DROP TABLE IF EXISTS results")
        database.execute(_TABLE)
        database.execute(_INDEX)
        database.execute(f"PRAGMA user_version = {_VERSION}")
        database.execute("COMMIT")

    def _sweep(self, database: sqlite3.Connection) -> None:
        """Remove files that were left behind."""
        if not self._files.is_dir():
            return
        named = {file for (file,) in database.execute("SELECT file FROM results WHERE file <> ''")}
        for entry in os.scandir(self._files):
            with suppress(FileNotFoundError):  # another process does the same
                # the time at which it came here: its content may be older
                if entry.name not in named and time.time() - entry.stat().st_ctime > _ORPHANED:
                    os.unlink(entry.path)  # noqa: PTH108


def _version_of(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise sqlite3.DatabaseError("it was made by a newer version of qtui")
    return int(version)


def _use_wal(database: sqlite3.Connection) -> None:
    """Readers and a writer do not wait for each other. The switch itself does not wait either, so try again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def place_file(source: str, target: str) -> None:
    """Let `target` be a new name of the file `source`, or a copy of it elsewhere. Files of values never change.

    Raises OSError.
    """
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        try:
            shutil.copyfile(source, target)
        except BaseException:
            Path(target).unlink(missing_ok=True)
            raise
