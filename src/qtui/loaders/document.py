"""One workflow file as it was read: its tables, and where in the text they are."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tomli

from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import Source
from qtui.definition.report import Report
from qtui.definition.values import TOO_LARGE, Fault, expected, fits, quoted
from qtui.loaders.lines import Lines, long_number, unit_headers

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


class Document:
    """A TOML file that could be read and parsed. Where things are in it is only found out when it is asked for."""

    def __init__(self, path: Path, text: str, tables: dict[str, Any]) -> None:
        self.path, self.file, self.tables = path, str(path), tables
        self.directory = str(path.resolve().parent)
        self._text = text

    @classmethod
    def read(cls, path: Path) -> Document:
        """The document in a file; raises InvalidWorkflow if it is not correct TOML."""
        text = _read(path)
        return cls(path, text, _parse(str(path), text))

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    @cached_property
    def _headers(self) -> Mapping[str, int]:
        return unit_headers(self._text)

    def locate(self, path: tuple[str, ...], needle: str) -> str:
        """Where the key at `path` is, or `needle` in its value, as ``file:line`` or ``file:line:column``."""
        line, column = self._lines.place(path, needle)
        place = f"{self.file}:{line}" if line else self.file
        return f"{place}:{column}" if column else place

    def unit_source(self, name: str) -> Source:
        """Where a unit is."""
        line = self._headers.get(name) or self._lines.line(("units", name))
        return Source(file=self.file, line=line)

    def table(self, name: str, report: Report) -> dict[str, Any]:
        """A table of the top level; empty if it is not there or, which is reported, something else."""
        value = self.tables.get(name, {})
        if isinstance(value, dict):
            return value
        report.add(self.locate, (name,), *expected(f"a table: [{name}]", value).faults)
        return {}

    def check(self, report: Report) -> bool:
        """Report what nothing could be told of: keys with signs that cannot be seen, or that turn the text around them,
        and whole numbers of more than 64 bits. True if there are none.
        """
        sound = True
        for path, value in _values(self.tables):
            key = path[-1]
            if not key.isprintable():
                sign = next(sign for sign in key if not sign.isprintable())
                message = f"the key {quoted(key)} has a sign that cannot be seen: U+{ord(sign):04X}"
                report.add(self.locate, path, Fault(message, "remove it", (), sign))
                sound = False
            if not fits(value):
                report.add(self.locate, path, Fault(TOO_LARGE))
                sound = False
        return sound


def _values(tables: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All values with the paths of their keys; those in arrays have the path of the array in front."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), tables)]
    while stack:
        path, value = stack.pop()
        items = value.items() if isinstance(value, dict) else ((f"[{at}]", item) for at, item in enumerate(value))
        for name, content in items:
            yield (*path, name), content
            if isinstance(content, dict | list):
                stack.append(((*path, name), content))


def failure(where: str, message: str, hint: str | None = None) -> InvalidWorkflow:
    """The error of a file that is no workflow at all."""
    return InvalidWorkflow([Problem(message=message, where=where, hint=hint)])


def _read(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe or a device could take for ever
            raise failure(str(path), "is not a regular file")
        data = path.read_bytes()
    except OSError as error:
        raise failure(str(path), f"cannot be read: {error.strerror}") from None
    try:
        # TOML counts CRLF as one line end; a byte order mark is what some editors put in front
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise failure(f"{path}:{line}:{column}", message, "save the file as UTF-8") from None


def _parse(file: str, text: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        message = " ".join(_PLACE.sub("", str(error)).split())
        line, column = (found[1], found[2]) if found and found[1] else _end_of(text)
        raise failure(f"{file}:{line}:{column}", f"not correct TOML: {message}") from None
    except RecursionError:
        raise failure(file, "tables or arrays are nested too deeply") from None
    except ValueError as error:
        # not a TOML error but one of Python's
        if (at := long_number(text)) is not None:
            line, column = _end_of(text[:at])
            raise failure(f"{file}:{line}:{column}", f"the number {TOO_LARGE}") from None
        raise failure(file, f"not usable as TOML: {' '.join(str(error).split())}") from None


def _end_of(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")
