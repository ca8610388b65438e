"""What the units of a workflow took in earlier runs: the table `past` of ``history.db``.

A row is a unit, under its id and with the hash of its action; the last completions are one blob. So a run reads and
writes as many rows as it has units, however many runs there were.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from math import isfinite
from statistics import median
from struct import Struct
from typing import Any, Final, NamedTuple

LAST: Final = 20
"""Completions that are kept of a unit, and so many units at least tell what others of their family will take."""

MOST_UNITS: Final = 20_000
"""Of a workflow, so many units are kept, those that completed last; more only if they all completed in its last run."""

TABLES: Final = """
CREATE TABLE workflow (number INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE);
CREATE TABLE past (
    workflow INTEGER NOT NULL, unit TEXT NOT NULL, hash TEXT NOT NULL, told REAL NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (workflow, unit)
) WITHOUT ROWID;
"""
_ROWS: Final = "SELECT unit, hash, told, data FROM past WHERE workflow = (SELECT number FROM workflow WHERE source = ?)"
_DROP: Final = (
    "DELETE FROM past WHERE workflow = ?"
    " AND told < (SELECT told FROM past WHERE workflow = ? ORDER BY told DESC LIMIT 1 OFFSET ?)"
)

# at, seconds, peak, cpu, attempts: big-endian, so that times compare as bytes
_RECORD: Final = Struct(">ddQdH")
_SIZE: Final = _RECORD.size
_TIME: Final = 8
_LONGEST: Final = 1e9
"""Seconds: 31 years."""
_MOST_BYTES: Final = (1 << 63) - 1
_MOST_ATTEMPTS: Final = (1 << 16) - 1


class Completion(NamedTuple):
    """That a unit completed at `at` (Unix seconds), at the last of so many `attempts`, which took `seconds`.

    `hash` is that of its action. `peak` (bytes) and `cpu` (seconds) are what it used, 0 if that is not known.
    """

    hash: str
    at: float
    seconds: float
    peak: int = 0
    cpu: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class UnitPast:
    """The last completions of a unit, at most `LAST`, oldest first: what each one was, in tuples of the same length.

    They are made of `data` when they are asked for: hardly anybody asks for all of them of 10,000 units.
    """

    data: bytes

    @classmethod
    def of(cls, completions: Iterable[Completion]) -> UnitPast:
        """The past that these completions are, in whatever order."""
        return cls(joined(b"", b"".join(map(_packed, completions))))

    @property
    def ended(self) -> tuple[float, ...]:
        """When each completed (Unix seconds): that finds the run."""
        return self._column("d26x")

    @property
    def seconds(self) -> tuple[float, ...]:
        """How long each last attempt took."""
        return _sane(self._column("8xd18x"))

    @property
    def peaks(self) -> tuple[int, ...]:
        """The most memory that each used (bytes); 0 if that is not known."""
        return self._column("16xQ10x")

    @property
    def cpu(self) -> tuple[float, ...]:
        """How many seconds of CPU time each used; 0 if that is not known."""
        return _sane(self._column("24xd2x"))

    @property
    def attempts(self) -> tuple[int, ...]:
        """How many attempts each needed."""
        return self._column("32xH")

    def _column(self, form: str) -> tuple[Any, ...]:
        return _columns(form, len(self.data) // _SIZE).unpack(self.data)


def _sane(seconds: tuple[float, ...]) -> tuple[float, ...]:
    """What is no time, as a damaged file may have it, is none."""
    if isfinite(sum(seconds)) and 0 <= min(seconds, default=0.0) <= max(seconds, default=0.0) < _LONGEST:
        return seconds
    return tuple(each if isfinite(each) and 0 <= each < _LONGEST else 0.0 for each in seconds)


class Row(NamedTuple):
    """What is kept of a unit: the `hash` of its action when it completed last, when the end of that run was `told`,
    and the completions."""

    hash: str
    told: float
    data: bytes


Rows = Mapping[str, Row]
"""The units of one workflow, those that are gone too, by id."""


def pasts_of(rows: Rows, units: Mapping[str, str], others: Collection[str] = ()) -> dict[str, UnitPast]:
    """The past of each of `units`, hashes by id, that has one: its own or, if it has none, that of the unit which had
    its hash last, so that a new name loses nothing. `others` are the hashes of the rest of the workflow.

    Units with the same hash (all that differs may be their environment) cannot be told from each other so. Two units
    that take each other's names both have a past, and look like two that were edited.
    """
    return {unit: UnitPast(data) for unit, data in _found(rows, units, others).items()}


def _found(rows: Rows, units: Mapping[str, str], others: Collection[str] = ()) -> dict[str, bytes]:
    found = {unit: rows[unit].data for unit in units if unit in rows}
    if rows and len(found) < len(units):
        by_hash = {row.hash: row for _, row in sorted(rows.items(), key=_when)}
        new = {unit: hash_ for unit in units if unit not in found and (hash_ := units[unit]) in by_hash}
        rest = (hash_ for unit, hash_ in units.items() if unit not in new) if new else ()
        counts = Counter(new.values()) + Counter(rest) + Counter(others)
        found |= {unit: by_hash[hash_].data for unit, hash_ in new.items() if counts[hash_] == 1}
    return found


def durations_of(rows: Rows, units: Mapping[str, str]) -> dict[str, float]:
    """How many seconds units take: the median of its past for each that has one, by id, and by family what others of
    it take, where one has none.

    That is the median of what the units of the family's last runs took: of as many runs as have `LAST` units.
    """
    found = {unit: median(past.seconds) for unit, past in pasts_of(rows, units).items()}
    wanted = {_family(unit) for unit in units if unit not in found}
    families: dict[str, list[Row]] = defaultdict(list)
    for unit, row in rows.items() if wanted else ():
        if (family := _family(unit)) in wanted:
            families[family].append(row)
    return {**{family: median(_latest(known)) for family, known in families.items()}, **found}


def _latest(rows: list[Row]) -> list[float]:
    """Seconds of the latest completions: of few units several of each, of many the last one."""
    rows.sort(key=lambda row: -row.told)
    least = rows[min(len(rows), LAST) - 1].told
    taken = list(takewhile(lambda row: row.told >= least, rows))
    each = -(-LAST // len(taken))
    return [seconds for row in taken for seconds in UnitPast(row.data).seconds[-each:]]


def after(
    rows: Rows, told: float, completions: Mapping[str, Completion], others: Collection[str] = ()
) -> dict[str, Row]:
    """The rows that change when a run has ended in which these units completed; of the rest of its units, `others`
    has the hashes."""
    known = _found(rows, {unit: each.hash for unit, each in completions.items()}, others)
    return {
        unit: Row(each.hash, told, joined(known.get(unit, b""), _packed(each))) for unit, each in completions.items()
    }


def merged(rows: Rows, more: Rows) -> dict[str, Row]:
    """The rows that `more` has, with what `rows` knows of them."""
    return {
        unit: max(row, rows[unit], key=lambda each: each.told)._replace(data=joined(rows[unit].data, row.data))
        if unit in rows
        else row
        for unit, row in more.items()
    }


def joined(old: bytes, new: bytes) -> bytes:
    """The last of the completions that either has; what ended at the same moment is the same one.

    So a run that went on may tell again what it has told.
    """
    if len(new) == _SIZE and old[-_SIZE:][:_TIME] < new[:_TIME]:  # most are one that is later: a tenth of the time
        return (old + new)[-LAST * _SIZE :]
    found = {each[place : place + _TIME]: each[place : place + _SIZE] for each in (old, new) for place in _places(each)}
    return b"".join([found[time] for time in sorted(found)[-LAST:]])


def load(database: sqlite3.Connection, source: str) -> dict[str, Row]:
    """What is known of the units of a workflow."""
    found = database.execute(_ROWS, (source,))
    return {unit: Row(hash_, told, data) for unit, hash_, told, data in found if _is_past(data)}


def _is_past(data: object) -> bool:
    """False for what only a damaged file has there."""
    return isinstance(data, bytes) and bool(data) and not len(data) % _SIZE


def save(database: sqlite3.Connection, source: str, rows: Rows) -> None:
    """Write these rows, and drop those that are too many."""
    if not rows:
        return
    database.execute("INSERT OR IGNORE INTO workflow (source) VALUES (?)", (source,))
    (number,) = database.execute("SELECT number FROM workflow WHERE source = ?", (source,)).fetchone()
    values = ((number, unit, *row) for unit, row in sorted(rows.items()))  # the order of the table, which is quicker
    database.executemany("INSERT OR REPLACE INTO past VALUES (?, ?, ?, ?, ?)", values)
    database.execute(_DROP, (number, number, MOST_UNITS - 1))


def _packed(completion: Completion) -> bytes:
    _, at, seconds, peak, cpu, attempts = completion
    return _RECORD.pack(at, seconds, min(max(peak, 0), _MOST_BYTES), cpu, min(max(attempts, 0), _MOST_ATTEMPTS))


def _places(data: bytes) -> range:
    return range(0, len(data), _SIZE)


@cache
def _columns(form: str, count: int) -> Struct:
    return Struct(f">{form * count}")


def _family(unit: str) -> str:
    """``embed`` of ``embed[shard=3]``."""
    return unit.partition("[")[0]


def _when(item: tuple[str, Row]) -> tuple[float, str]:
    unit, row = item
    return row.told, unit
