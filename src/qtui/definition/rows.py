"""Files of rows that units are repeated for: TSV, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn

from qtui.core.errors import InvalidWorkflow, Problem
from qtui.definition.matrix import MOST_ITEMS, Item, cell_value, column_fault, label_value, value_text
from qtui.definition.report import shown_file
from qtui.definition.values import TOO_LARGE, Fault, Rejected, described, quoted

MOST_BYTES: Final = 256 << 20
MOST_TOLD: Final = 10
"""How many faults of one file are told."""

_DELIMITERS: Final[Mapping[str, str]] = {".tsv": "\t", ".csv": ","}
_JSON_START: Final = re.compile(r"\s*\[\s*")
_LONG_NUMBER: Final = re.compile(r'"(?:\\.|[^"\\])*"|(\d{4301})')
_JSON_GAP: Final = re.compile(r"[\s,]*")


def read_rows(name: str, directory: str) -> tuple[Item, ...]:
    """The rows of the file `name`, a path from `directory`: at least one, all with the same columns in one order.

    The first column tells the rows apart. Values of TSV and CSV are strings, those of JSON scalars. Raises `Rejected`
    if the file cannot be read, and InvalidWorkflow, with line numbers, for what is wrong in it.
    """
    path = Path(os.path.normpath(os.path.join(directory, name)))  # noqa: PTH118
    kind = path.suffix.lower()
    if kind not in (*_DELIMITERS, ".json"):
        raise Rejected(Fault(f"{quoted(name)} is not a .tsv, .csv or .json file", None, (), name))
    text, faults = _text(path, name), _Faults(shown_file(str(path)))
    table = _Table(faults)
    if kind == ".json":
        for line, value in _json_items(text, faults):
            table.add_object(line, value)
    else:
        records = _records(text, kind, faults)
        line, header = next(records, (1, []))
        table.set_columns(line, header)
        for line, cells in records:
            table.add_cells(line, cells)
    return table.finish()


class _Faults:
    """The faults of one file with their lines; after `MOST_TOLD` of them the rest is not looked at."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []

    def add(self, line: int, message: str, hint: str | None = None) -> None:
        self._problems.append(Problem(message=message, where=f"{self._file}:{line}", hint=hint))
        if len(self._problems) >= MOST_TOLD:
            self.raise_if_any()

    def stop(self, line: int, message: str, hint: str | None = None) -> NoReturn:
        """Note a fault after which nothing else can be told."""
        self.add(line, message, hint)
        raise InvalidWorkflow(self._problems)

    def raise_if_any(self) -> None:
        if self._problems:
            raise InvalidWorkflow(self._problems)


class _Table:
    """The rows so far, each checked against the columns and the names that are already taken."""

    def __init__(self, faults: _Faults) -> None:
        self._faults = faults
        self._columns: tuple[str, ...] = ()
        self._rows: list[Item] = []
        self._lines: dict[str, int] = {}

    def set_columns(self, line: int, names: list[str]) -> None:
        for place, name in enumerate(names, 1):
            if not name.strip():
                self._faults.add(line, f"column {place} has no name", "the first row names the columns")
            elif (fault := column_fault(name, names[: place - 1])) is not None:
                hint = "separate columns with commas" if ";" in name else fault.hint
                self._faults.add(line, f"the column {quoted(name)} {fault.message}", hint)
            elif name in names[: place - 1]:
                self._faults.add(line, f"two columns are called {quoted(name)}")
        self._faults.raise_if_any()  # nothing could be said of rows without columns
        self._columns = tuple(names)

    def add_cells(self, line: int, cells: list[str]) -> None:
        if len(cells) != len(self._columns):
            there = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
            self._faults.add(line, f"has {there}, but there are {len(self._columns)} columns")
        else:
            self._add(line, dict(zip(self._columns, cells, strict=True)))

    def add_object(self, line: int, value: Any) -> None:
        if not isinstance(value, dict) or not value:
            self._faults.add(line, f"expected a table with values, not {described(value)}")
            return
        if not self._columns:
            self.set_columns(line, list(value))
        missing = [name for name in self._columns if name not in value]
        more = [name for name in value if name not in self._columns]
        if missing:
            self._faults.add(line, f"has no {quoted(missing[0])}, but the first row has")
        elif more:
            self._faults.add(line, f"has {quoted(more[0])}, but the first row has not")
        else:
            self._add(line, {name: value[name] for name in self._columns})

    def _add(self, line: int, row: Item) -> None:
        if len(self._rows) >= MOST_ITEMS:
            self._faults.stop(line, f"there are more than {MOST_ITEMS:,} rows")
        for name, value in row.items():
            try:
                (label_value if name == self._columns[0] else cell_value)(value)
            except Rejected as rejected:
                self._faults.add(line, f"{name}: {rejected.faults[0].message}")
        label = value_text(row[self._columns[0]])
        if label in self._lines:
            hint = "the first column tells the rows apart"
            first = self._lines[label]
            self._faults.add(line, f"{self._columns[0]} = {quoted(label)} is already in line {first}", hint)
        self._lines[label] = line
        self._rows.append(row)

    def finish(self) -> tuple[Item, ...]:
        self._faults.raise_if_any()
        if not self._rows:
            self._faults.stop(1, "has no rows" if self._columns else "is empty")
        return tuple(self._rows)


def _text(path: Path, name: str) -> str:
    try:
        about = path.stat()
        data = path.read_bytes() if stat.S_ISREG(about.st_mode) and about.st_size <= MOST_BYTES else None
    except FileNotFoundError:
        fault = Fault(f"there is no file {quoted(shown_file(str(path)))}", _near(path, name), (), name)
        raise Rejected(fault) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Rejected(Fault(f"{quoted(name)} cannot be read: {why}", None, (), name)) from None
    if data is None:
        # to read a pipe or a device could take for ever
        why = f"is larger than {MOST_BYTES >> 20}M" if stat.S_ISREG(about.st_mode) else "is not a regular file"
        raise Rejected(Fault(f"{quoted(name)} {why}", None, (), name))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8 text"
        problem = Problem(message=message, where=f"{shown_file(str(path))}:{line}", hint="save the file as UTF-8")
        raise InvalidWorkflow([problem]) from None


def _near(path: Path, name: str) -> str | None:
    """The hint at a file that was probably meant, or at where paths start."""
    try:
        others = [other.name for other in path.parent.iterdir() if other.suffix.lower() in (*_DELIMITERS, ".json")]
    except OSError:
        others = []
    if close := get_close_matches(path.name, others, n=1, cutoff=0.6):
        return f"did you mean {quoted(str(Path(name).with_name(close[0])))}?"
    return None if path.is_absolute() and name == str(path) else "the path starts at the workflow file"


def _records(text: str, kind: str, faults: _Faults) -> Iterator[tuple[int, list[str]]]:
    """The lines of cells, each with the line it begins in; empty lines are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[kind], strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.stop(line, f"not correct {kind[1:].upper()}: {error}")
        if cells:
            yield line, cells


def _json_items(text: str, faults: _Faults) -> Iterator[tuple[int, Any]]:
    """The items of the list that is the whole of a JSON text, each with the line it begins in."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        faults.stop(error.lineno, f"not correct JSON: {error.msg}")
    except ValueError as error:  # a number of thousands of digits, which Python does not read
        found = next((match.start(1) for match in _LONG_NUMBER.finditer(text) if match[1]), 0)
        message = f"a number {TOO_LARGE}" if found else f"not usable as JSON: {error}"
        faults.stop(text.count("\n", 0, found) + 1, message)
    except RecursionError as error:  # tables in tables in tables
        faults.stop(1, f"not usable as JSON: {error}")
    if not isinstance(whole, list):
        faults.stop(1, f"expected a list of tables, not {described(whole)}")
    # the text is known to be correct: once more, item by item, because the parser tells no places
    decoder = json.JSONDecoder(object_pairs_hook=_once_each)
    start = _JSON_START.match(text)
    line, seen, at = 1, 0, start.end() if start else 0
    for _ in whole:
        line, seen = line + text.count("\n", seen, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except Rejected as rejected:
            faults.stop(line, rejected.faults[0].message)
        gap = _JSON_GAP.match(text, at)
        at = gap.end() if gap else at
        yield line, value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise Rejected(Fault(f"{quoted(name)} is there twice"))
    return dict(pairs)
