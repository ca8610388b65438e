"""What is in a journal: the values, how they look in its tables, and how it is opened."""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from qtui.core.events import Event
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.portable import (
    Digest,
    Mask,
    options_from_plain,
    plain_options,
    plain_plan,
    plain_value,
    plan_from_plain,
)
from qtui.store.codec import decode_events, dump, load
from qtui.store.errors import DAMAGE, JournalDamaged, JournalError, primary_code, why

HELP: Final = "qtui doctor tells what can be read of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a run began with. `origin` says where it came from: ``words``, the command line; ``cwd``; ``source``, the
    workflow's file or an empty text. `created` is Unix seconds, `version` that of qtui."""

    run: str
    name: str
    origin: Mapping[str, Any]
    params: Mapping[str, Any]
    plan: ExecutionPlan
    options: RunOptions
    directory: str | None
    created: float
    version: str


class StoredResult(NamedTuple):
    """The value of a unit as it is kept: in `data`, or in the file `path` of the run's directory. `why` says why there
    is none, and that it is none."""

    unit: int
    id: str
    attempt: int
    kind: Literal["json", "pickle", "file", "none"]
    data: bytes = b""
    path: str = ""
    digest: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A process that runs the run, or did. `started` is when it began, as its machine counts, `at` when it took the
    run over (Unix seconds); `session` is the terminal it was started from, or empty."""

    host: str
    boot: str
    pid: int
    started: float
    version: str
    at: float
    session: str


def head_row(head: Head, mask: Mask, digest: Digest | None) -> tuple[str, str, int]:
    """The texts of a head, without what is secret, and their checksum."""
    about = {
        "run": head.run,
        "name": head.name,
        "origin": plain_value(head.origin, mask),
        "params": plain_value(head.params, mask),
        "options": plain_options(head.options),
        "directory": head.directory,
        "created": head.created,
        "version": head.version,
    }
    texts = dump(about), dump(plain_plan(head.plan, mask=mask, digest=digest))
    return *texts, _crc_of_head(*texts)


def head_of(about: str, plan: str, crc: int) -> Head:
    """The head in a row of the table. Raises JournalDamaged."""
    try:
        if crc != _crc_of_head(about, plan):
            raise JournalDamaged("its first entry has changed since it was written")
        values = load(about)
        values["options"] = options_from_plain(values["options"])
        return Head(**values, plan=plan_from_plain(load(plan)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise JournalDamaged(f"its first entry cannot be understood: {error}") from error


def _crc_of_head(about: str, plan: str) -> int:
    return zlib.crc32(plan.encode("utf-8", "replace"), zlib.crc32(about.encode("utf-8", "replace")))


def batch_row(first: int, count: int, at: float, data: str) -> tuple[int, int, float, int, str]:
    """The row of `count` encoded events from number `first` on, of which the last one was at `at`."""
    return first, first + count - 1, at, _crc_of_batch(first, data), data


def batch_of(first: int, last: int, at: float, crc: int, data: str) -> list[Event]:
    """The events in a row of the table. Raises JournalDamaged."""
    if not isinstance(data, str) or crc != _crc_of_batch(first, data):
        raise JournalDamaged(f"event {first} and those after it have changed since they were written")
    events = decode_events(data)
    if not events or first + len(events) - 1 != last or events[-1].at != at:
        raise JournalDamaged(f"event {first} and those after it do not fit their place")
    return events


def _crc_of_batch(first: int, data: str) -> int:
    return zlib.crc32(data.encode("utf-8", "replace"), first & 0xFFFFFFFF)


def storable(value: Any) -> Any:
    """A value for SQLite, whose texts cannot have half of a character."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_NOT_OURS: Final = re.compile(
    r"no such (table|column): |table \w+ has no column named |Could not decode to UTF-8 ", re.ASCII
)
"""How errors begin without a code that tells damage, though a journal has all the tables and columns that we name, and
texts that are some."""


@contextmanager
def told(path: Path, what: str) -> Iterator[None]:
    """Let errors of SQLite and of the system, and what they mean for the file, be told in words."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise JournalError(f"{path}: another program has written to it") from error
    except UnicodeDecodeError as error:  # sqlite3's, for a text that is none
        raise JournalDamaged(f"{path}: the file is damaged ({error.reason}); {HELP}") from error
    except sqlite3.Error as error:
        if primary_code(error) in DAMAGE or _NOT_OURS.match(str(error)):
            raise JournalDamaged(f"{path}: the file is damaged ({error}); {HELP}") from error
        raise JournalError(f"{path} {what}: {why(error)}") from error
    except OSError as error:
        raise JournalError(f"{path} {what}: {why(error)}") from error
