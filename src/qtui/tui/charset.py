"""Whether a terminal shows more than ASCII, by its TERM, by the locale, and by the encoding it is written to in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

_PUT_BY_PYTHON: Final = ("C.UTF-8", "C.utf8", "UTF-8")
"""What Python puts into LC_CTYPE in place of the C locale (PEP 538)."""


def ascii_only(stream: TextIO | None) -> bool:
    """Whether what is drawn on `stream` should be of ASCII only, as the environment of this process tells."""
    environ = {**os.environ, "LC_CTYPE": _given_ctype()}
    return prefers_ascii(environ, getattr(stream, "encoding", None))


def prefers_ascii(environ: Mapping[str, str], encoding: str | None) -> bool:
    """True for a terminal that may not show more than ASCII.

    `environ` is what the program was given, and `encoding` that of the stream it draws on. The variables of the locale
    are read and not the C library asked: one who comes from elsewhere may name a UTF-8 locale that is not installed
    here, and their terminal shows UTF-8 all the same. Without any the locale is C, as it is to all programs; Python
    writes UTF-8 there (PEP 540), so its encoding tells nothing.
    """
    term = environ.get("TERM", "")
    if term in ("linux", "dumb") or re.match(r"vt\d", term):  # not vte
        return True
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "C")
    charset = locale.partition("@")[0].partition(".")[2]
    return locale in ("C", "POSIX") or not _is_utf8(charset or encoding) or not _is_utf8(encoding)


def _is_utf8(name: str | None) -> bool:
    return (name or "").lower().replace("-", "").replace("_", "") == "utf8"


def _given_ctype() -> str:
    """LC_CTYPE as this process was given it: Python may have put another one in its place."""
    now = os.environ.get("LC_CTYPE", "")
    if not sys.flags.utf8_mode or now not in _PUT_BY_PYTHON:
        return now
    try:
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:  # not on macOS
        return ""
    return next((os.fsdecode(each[len(b"LC_CTYPE=") :]) for each in given if each.startswith(b"LC_CTYPE=")), "")
