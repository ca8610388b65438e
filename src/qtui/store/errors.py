"""What can be wrong with the files of a run."""

from __future__ import annotations

import sqlite3

from qtui.core.errors import EXIT_USAGE, QtuiError


class JournalError(QtuiError):
    """The journal could not be opened or written; nothing of what was to be written is in it."""


class JournalDamaged(JournalError):
    """The file is no journal, or not a whole one; the message names it and says what to do."""

    exit_code = EXIT_USAGE


class JournalTooNew(JournalError):
    """The journal was written by a version of qtui that knows more than this one."""

    exit_code = EXIT_USAGE


DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})

_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it may only be read",
    sqlite3.SQLITE_PERM: "it may not be written",
    sqlite3.SQLITE_AUTH: "it may not be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: "another program keeps it locked",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_TOOBIG: "it is too much at once",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its details; 0 if the error is not SQLite's own."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def why(error: sqlite3.Error | OSError) -> str:
    """What went wrong, in words."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    words = _WORDS.get(primary_code(error))
    name = getattr(error, "sqlite_errorname", "")
    return f"{words} ({name})" if words and name else words or str(error)
