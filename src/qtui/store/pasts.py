"""What the units of a workflow took in earlier runs: the table `past` of ``history.db``.

A row is a unit, under its id and with the hash of its action; the last completions are one blob, each with a part of
the hash of what the unit did then. So a run reads and writes as many rows as it has units, however many runs there
were.
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

from qtui.core.expecting import Took
from qtui.core.model import EMPTY

LAST: Final = 20
"""Completions that are kept of each action of a unit, and so many units at least tell what others of their family will
take."""

MOST: Final = 2 * LAST
"""Completions that are kept of a unit, whatever it did."""

MOST_UNITS: Final = 20_000
"""Of a workflow, so many units are kept, those that completed last; more only if they all completed in its last run."""

TABLES: Final = """
CREATE TABLE workflow (number INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE);
CREATE TABLE past (
    workflow INTEGER NOT NULL, unit TEXT NOT NULL, hash TEXT NOT NULL, told REAL NOT NULL, data BLOB NOT NULL,
    cut REAL NOT NULL,
    PRIMARY KEY (workflow, unit)
) WITHOUT ROWID;
"""
REMOVAL: Final = "DROP TABLE workflow; DROP TABLE past"
_ROWS: Final = (
    "SELECT unit, hash, told, data, cut FROM past WHERE workflow = (SELECT number FROM workflow WHERE source = ?)"
)
_DROP: Final = (
    "DELETE FROM past WHERE workflow = ?"
    " AND told < (SELECT told FROM past WHERE workflow = ? ORDER BY told DESC LIMIT 1 OFFSET ?)"
)

# at, seconds, peak, cpu, attempts, action: big-endian, so that times compare as bytes
_RECORD: Final = Struct(">ddQdH8s")
_SIZE: Final = _RECORD.size
_ACTION: Final = 8
"""Of the hash of an action, so many characters tell it from the others of its unit."""
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


class Cut(NamedTuple):
    """That an attempt of a unit, with that hash of its action, ran for `seconds` and was ended before it completed."""

    hash: str
    seconds: float


@dataclass(frozen=True, slots=True)
class UnitPast:
    """The last completions of a unit, oldest first: what each one was, in tuples of the same length.

    At most `LAST` of each action are among them, and at most `MOST` in all. `action` is the beginning of the hash of
    what the unit does now, `cut` how many seconds an attempt at that ran since without completing, the longest of them;
    0 if none did.

    They are made of `data` when they are asked for: hardly anybody asks for all of them of 10,000 units.
    """

    data: bytes
    action: bytes
    cut: float = 0.0

    @classmethod
    def of(cls, completions: Iterable[Completion]) -> UnitPast:
        """The past that these completions are, in whatever order, of a unit that does what the latest one did."""
        data = joined(b"", b"".join(map(_packed, completions)))
        return cls(data, data[-_ACTION:])

    @property
    def ended(self) -> tuple[float, ...]:
        """When each completed (Unix seconds): that finds the run."""
        return _column(self.data, "d34x")

    @property
    def seconds(self) -> tuple[float, ...]:
        """How long each last attempt took."""
        return _sane(_column(self.data, "8xd26x"))

    @property
    def peaks(self) -> tuple[int, ...]:
        """The most memory that each used (bytes); 0 if that is not known."""
        return _column(self.data, "16xQ18x")

    @property
    def cpu(self) -> tuple[float, ...]:
        """How many seconds of CPU time each used; 0 if that is not known."""
        return _sane(_column(self.data, "24xd10x"))

    @property
    def attempts(self) -> tuple[int, ...]:
        """How many attempts each needed."""
        return _column(self.data, "32xH8x")

    @property
    def alike(self) -> tuple[bool, ...]:
        """Whether the unit did in each what it does now, as far as `qtui.core.actionhash` can tell."""
        return tuple(action == self.action for action in _actions(self.data))

    @property
    def took(self) -> Took:
        """The seconds of those in which it did what it does now. If there are none those of its other actions, the
        median of what each took."""
        actions, seconds = _actions(self.data), self.seconds
        if actions.count(self.action) == len(actions):  # of nearly all units
            return Took(seconds, cut=self.cut)
        by_action: dict[bytes, list[float]] = defaultdict(list)
        for action, each in zip(actions, seconds, strict=True):
            by_action[action].append(each)
        same = by_action.get(self.action)
        return Took(same or map(median, by_action.values()), other=not same, cut=self.cut)


def _column(data: bytes, form: str) -> tuple[Any, ...]:
    return _columns(form, len(data) // _SIZE).unpack(data)


def _actions(data: bytes) -> tuple[bytes, ...]:
    """The beginnings of the hashes of what the unit did in each completion."""
    return _column(data, "34x8s")


def _action_of(hash_: str) -> bytes:
    return hash_.encode()[:_ACTION].ljust(_ACTION, b"\0")


def _sane(seconds: tuple[float, ...]) -> tuple[float, ...]:
    """What is no time, as a damaged file may have it, is none."""
    if isfinite(sum(seconds)) and 0 <= min(seconds, default=0.0) <= max(seconds, default=0.0) < _LONGEST:
        return seconds
    return tuple(each if isfinite(each) and 0 <= each < _LONGEST else 0.0 for each in seconds)


class Row(NamedTuple):
    """What is kept of a unit: the `hash` of its action when it completed last, or was cut, when the end of that run was
    `told`, the completions, and how many seconds that action has run since without completing."""

    hash: str
    told: float
    data: bytes
    cut: float = 0.0


Rows = Mapping[str, Row]
"""The units of one workflow, those that are gone too, by id."""


def pasts_of(rows: Rows, units: Mapping[str, str], others: Iterable[str] = ()) -> dict[str, UnitPast]:
    """The past of each of `units`, hashes by id, that has one. `others` are the hashes of the rest of the workflow,
    which are not looked at where all units are known.

    A unit that has never done what it does now, as far as is known, has the past of the unit that did it last, so that
    a new name loses nothing, and names that are exchanged none either; if no unit did, or several do it now, it has its
    own, in which it did something else.
    """
    hashes = dict(units)
    return {unit: _past_of(row, hashes[unit]) for unit, row in _found(rows, hashes, others).items()}


def _past_of(row: Row, hash_: str) -> UnitPast:
    return UnitPast(row.data, _action_of(hash_), _cut_of(row, hash_))


def _cut_of(row: Row, hash_: str) -> float:
    return row.cut if row.hash == hash_ else 0.0


def _found(rows: Rows, units: Mapping[str, str], others: Iterable[str] = ()) -> dict[str, Row]:
    found = {unit: rows[unit] for unit in units if unit in rows}
    new = {unit: hash_ for unit, hash_ in units.items() if unit not in found or not _has_done(rows[unit], hash_)}
    if rows and new:
        by_hash = {row.hash: row for _, row in sorted(rows.items(), key=_when)}
        new = {unit: hash_ for unit, hash_ in new.items() if hash_ in by_hash}
        counts = Counter([*units.values(), *others]) if new else {}
        found |= {unit: by_hash[hash_] for unit, hash_ in new.items() if counts[hash_] == 1}
    return found


def _has_done(row: Row, hash_: str) -> bool:
    return row.hash == hash_ or _action_of(hash_) in _actions(row.data)


def durations_of(rows: Rows, units: Mapping[str, str]) -> dict[str, float]:
    """How many seconds units take: the median of what it `took` for each that has a past, by id, and by family what
    others of it take, where one has none.

    That is the median of what the units of the family's last runs took: of as many runs as have `LAST` units. A unit
    that has always done the same counts for what that took, whatever it does now: a run begins 100 ms earlier where
    hardly any of 10,000 hashes is asked for.
    """
    steady = {unit: row for unit in units if (row := rows.get(unit)) is not None and _is_steady(row)}
    rest = {unit: units[unit] for unit in units if unit not in steady}
    pasts = pasts_of(rows, rest, (units[unit] for unit in steady))
    found = {unit: median(UnitPast(row.data, b"").seconds) for unit, row in steady.items()}
    found |= {unit: median(took) for unit, past in pasts.items() if (took := past.took)}
    wanted = {_family(unit) for unit in units if unit not in found}
    families: dict[str, list[Row]] = defaultdict(list)
    for unit, row in rows.items() if wanted else ():
        if row.data and (family := _family(unit)) in wanted:
            families[family].append(row)
    return {**{family: median(_latest(known)) for family, known in families.items()}, **found}


def _is_steady(row: Row) -> bool:
    actions = _actions(row.data)
    return bool(actions) and actions.count(actions[0]) == len(actions)


def _latest(rows: list[Row]) -> list[float]:
    """Seconds of the latest completions: of few units several of each, of many the last one."""
    rows.sort(key=lambda row: -row.told)
    least = rows[min(len(rows), LAST) - 1].told
    taken = list(takewhile(lambda row: row.told >= least, rows))
    each = -(-LAST // len(taken))
    return [seconds for row in taken for seconds in UnitPast(row.data, b"").seconds[-each:]]


def after(
    rows: Rows,
    told: float,
    completions: Mapping[str, Completion],
    others: Collection[str] = (),
    cuts: Mapping[str, Cut] = EMPTY,
) -> dict[str, Row]:
    """The rows that change when a run has ended in which units completed, and others were cut; of the rest of its
    units, `others` has the hashes."""
    hashes = {unit: each.hash for part in (completions, cuts) for unit, each in part.items()}
    known = _found(rows, hashes, others)
    nothing = Row("", 0.0, b"")
    changed = {
        unit: Row(each.hash, told, joined(known.get(unit, nothing).data, _packed(each)))
        for unit, each in completions.items()
    }
    for unit, (hash_, seconds) in cuts.items():
        row = known.get(unit, nothing)
        changed[unit] = Row(hash_, told, row.data, max(seconds, _cut_of(row, hash_)))
    return changed


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
        return _last(old + new)
    found = {each[place : place + _TIME]: each[place : place + _SIZE] for each in (old, new) for place in _places(each)}
    return _last(b"".join([found[time] for time in sorted(found)]))


def _last(data: bytes) -> bytes:
    """The last completions of each action."""
    if len(data) <= LAST * _SIZE:
        return data
    actions = _actions(data)
    if actions.count(actions[0]) == len(actions):
        return data[-LAST * _SIZE :]
    counts: Counter[bytes] = Counter()
    kept: list[int] = []
    for place in reversed(_places(data)):
        action = actions[place // _SIZE]
        counts[action] += 1
        if counts[action] <= LAST and len(kept) < MOST:
            kept.append(place)
    return b"".join([data[place : place + _SIZE] for place in reversed(kept)])


def load(database: sqlite3.Connection, source: str) -> dict[str, Row]:
    """What is known of the units of a workflow."""
    found = database.execute(_ROWS, (source,))
    return {unit: Row(*rest) for unit, *rest in found if isinstance(unit, str) and _is_past(*rest)}


def _is_past(hash_: object, told: object, data: object, cut: object) -> bool:
    """False for what only a damaged file has there."""
    if not isinstance(data, bytes) or len(data) % _SIZE or not isinstance(cut, float) or not 0 <= cut < _LONGEST:
        return False
    return isinstance(hash_, str) and isinstance(told, float) and bool(data or cut)


def save(database: sqlite3.Connection, source: str, rows: Rows) -> None:
    """Write these rows, and drop those that are too many."""
    if not rows:
        return
    database.execute("INSERT OR IGNORE INTO workflow (source) VALUES (?)", (source,))
    (number,) = database.execute("SELECT number FROM workflow WHERE source = ?", (source,)).fetchone()
    values = ((number, unit, *row) for unit, row in sorted(rows.items()))  # the order of the table, which is quicker
    database.executemany("INSERT OR REPLACE INTO past VALUES (?, ?, ?, ?, ?, ?)", values)
    database.execute(_DROP, (number, number, MOST_UNITS - 1))


def _packed(completion: Completion) -> bytes:
    hash_, at, seconds, peak, cpu, attempts = completion
    peak, attempts = min(max(peak, 0), _MOST_BYTES), min(max(attempts, 0), _MOST_ATTEMPTS)
    return _RECORD.pack(at, seconds, peak, cpu, attempts, _action_of(hash_))


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
