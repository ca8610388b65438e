"""Finds the lines of keys in a TOML text. TOML parsers check a text, but do not tell where things are in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final, NamedTuple

import tomli

Path = tuple[str, ...]

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_HEADER_END: Final = re.compile(r"[\] \t]*")
_EQUALS: Final = re.compile(r"[ \t=]*")
_REST_OF_LINE: Final = re.compile(r"[^\n]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'",
    re.DOTALL,
)
# what may stand in a value between strings, brackets, comments and line ends
_PLAIN: Final = re.compile(r"[^\"'\[\]{}#\n]+")


_UNIT_HEADER: Final = re.compile(
    r"""^[ \t]*\[[ \t]*units[ \t]*\.[ \t]*(["']?)([A-Za-z0-9_.-]+)\1[ \t]*\][ \t]*(?:\#.*)?$""", re.MULTILINE
)


_LONG_NUMBER: Final = re.compile(rf"{_STRING.pattern}|#[^\n]*|(\d(?:_?\d){{4300}})", re.DOTALL | re.ASCII)
"""A number of more digits than Python reads, or something that looks like one in a string or a comment."""


def long_number(text: str) -> int | None:
    """The offset of the first whole number that is too long for Python."""
    return next((match.start() for match in _LONG_NUMBER.finditer(text) if match[1]), None)


def unit_headers(text: str) -> dict[str, int]:
    """The lines of the headers ``[units.NAME]`` in correct TOML, by name, without reading all of the rest.

    Units that are written otherwise are left out. So are all if a string over several lines may look like a header.
    """
    if '"""' in text or "'''" in text:
        return {}
    lines: dict[str, int] = {}
    line, at = 1, 0
    for match in _UNIT_HEADER.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        if match[1] or "." not in match[2]:
            lines[match[2]] = line
    return lines


class Spot(NamedTuple):
    """Where a key is: offsets of its first character and of the end of its value or header."""

    start: int
    end: int
    header: bool


class Lines:
    """The places of the keys of a TOML text that a parser has found to be correct.

    Keys inside inline tables and arrays have no place of their own; they are at the key that holds them.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.spots = _Scanner(text).scan()

    def line(self, path: Path) -> int:
        """The line (from 1) of the key at `path`, or of the closest one that holds it; 0 if there is none."""
        spot = self._spot(path)
        return bisect_right(self._starts, spot.start) if spot else 0

    def place(self, path: Path, needle: str) -> tuple[int, int]:
        """Line and column (from 1) of the last `needle` in the value at `path`; column 0 if it is not there as such."""
        spot = self._spot(path)
        # the last one: what is wrong with the end of a value is told by the text from there on
        at = self._text.rfind(needle, spot.start, spot.end) if spot and needle else -1
        if at < 0:
            return self.line(path), 0
        line = bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1

    def _spot(self, path: Path) -> Spot | None:
        return next((self.spots[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.spots), None)


class _Scanner:
    """One pass over the text: headers, keys, and values skipped as a whole."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._spots: dict[Path, Spot] = {}

    def scan(self) -> dict[Path, Spot]:
        table: Path = ()
        while self._skip(_SPACE) < len(self._text):
            start = self._at
            header = self._text.startswith("[", start)
            if header:
                self._at += 2 if self._text.startswith("[[", start) else 1
            path = self._path()
            if path is None:
                break  # no correct text comes here
            if header:
                table = path
                self._skip(_HEADER_END)
            else:
                path = table + path
                self._skip(_EQUALS)
                self._skip_value()
            self._note(path, Spot(start, self._at, header))
        return self._spots

    def _note(self, path: Path, spot: Spot) -> None:
        # a header names its table better than the first key or table inside it does, which may come earlier
        known = self._spots.get(path)
        if known is None or (spot.header and not known.header):
            self._spots[path] = spot
        for end in range(1, len(path)):
            self._spots.setdefault(path[:end], spot._replace(header=False))

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return self._at

    def _path(self) -> Path | None:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            start = self._at
            if self._skip(_STRING) > start:
                parts.append(_content(self._text[start : self._at]))
            elif self._skip(_BARE) > start:
                parts.append(self._text[start : self._at])
            else:
                return None
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _skip_value(self) -> None:
        depth = 0
        while self._at < len(self._text):
            sign = self._text[self._at]
            if sign == "\n" and not depth:
                return
            if sign == "#":
                if not depth:
                    return
                self._skip(_REST_OF_LINE)
                continue
            depth += (sign in "[{") - (sign in "]}")
            start = self._at
            if self._skip(_STRING) == start and self._skip(_PLAIN) == start:
                self._at += 1


def _content(quoted: str) -> str:
    """The key that a quoted key means."""
    return str(tomli.loads(f"key = {quoted}")["key"]) if "\\" in quoted else quoted[1:-1]
