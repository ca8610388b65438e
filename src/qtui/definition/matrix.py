"""The matrix of a unit or a group: a product of lists or the rows of a file, with items taken out and put in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from qtui.core.errors import did_you_mean
from qtui.core.naming import MATRIX, twin_of, variable_part
from qtui.definition.expressions import Scope, fill
from qtui.definition.values import TOO_LARGE, Fault, Rejected, expected, filled_text, fits, quoted
from qtui.definition.values import items as parse_items

MOST_ITEMS: Final = 100_000
"""A product is written quickly and may be astronomically large."""

Item = Mapping[str, Any]
LONGEST_CELL: Final = 131_072
"""The most characters of a value; no program could be given more in a variable or an argument."""

ReadRows = Callable[[str], tuple[Item, ...]]
"""Reads the file of a name: at least one row, all with the same columns in the same order.

Raises `Rejected` if it cannot, and InvalidWorkflow for what is wrong in the file.
"""

_PARAM: Final = re.compile(r"params\.[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The axes in the order written, or the rows of a file instead, and the items to take out and to put in."""

    axes: Mapping[str, tuple[Any, ...]]
    rows: tuple[Item, ...] = ()
    exclude: tuple[Item, ...] = ()
    include: tuple[Item, ...] = ()

    @classmethod
    def resolve(cls, given: Any, scope: Scope, read: ReadRows) -> Matrix:
        """The matrix `given`, its expressions and params filled in and its file read.

        Raises `Rejected` with everything that is wrong with it, and what `read` raises.
        """
        written = given if isinstance(given, Mapping) else {}
        params = {name: value for name, value in written.items() if _is_param(value)}
        try:
            expressions = {name: f"${{{{ {value} }}}}" for name, value in params.items()}
            filled = fill({**written, **expressions} if params else given, scope, keep_type=True)
        except Rejected as rejected:
            # the text to point at is what was written, not the expression it stands for
            faults = (each._replace(needle=params.get("".join(each.path), each.needle)) for each in rejected.faults)
            raise Rejected(*faults) from None
        return cls.parse(filled, read)

    @classmethod
    def parse(cls, value: Any, read: ReadRows | None = None) -> Matrix:
        """A matrix from a table of lists, or from one that names a file; raises `Rejected` with all that is wrong.

        Without `read`, what would come from a file or a param is left open, and the matrix may be without items.
        """
        if not isinstance(value, Mapping):
            raise expected("a table of lists", value)
        if isinstance(value.get("file"), str):
            return cls._of_file(value, read)
        faults: list[Fault] = []
        axes: dict[str, tuple[Any, ...]] = {}
        for name, values in value.items():
            if name not in ("include", "exclude"):
                left_open = read is None and _is_param(values)
                axes[str(name)] = () if left_open else _axis(str(name), tuple(axes), values, faults)
        if not axes:
            faults.append(Fault("has no list to take values from", "write matrix = { shard = [0, 1] }"))
        exclude, include = (_changes(key, value, axes, axes, faults) for key in ("exclude", "include"))
        count = math.prod(len(values) for values in axes.values())
        if count > MOST_ITEMS:
            faults.append(Fault(f"makes more than {MOST_ITEMS} units"))
        if faults:
            raise Rejected(*faults)
        return cls(axes=axes, exclude=exclude, include=include)

    @classmethod
    def _of_file(cls, value: Mapping[str, Any], read: ReadRows | None) -> Matrix:
        faults = [
            Fault("a file and lists exclude each other", "write it as a column of the file", (str(name),))
            for name in value
            if name not in ("file", "include", "exclude")
        ]
        rows: tuple[Item, ...] = ()
        try:
            file = filled_text(value["file"])
            rows = read(file) if read is not None else ()
        except Rejected as rejected:
            faults += [fault.under("file") for fault in rejected.faults]
        if faults:
            raise Rejected(*faults)
        columns = tuple(rows[0]) if rows else None
        in_label = columns[:1] if columns else ()
        exclude, include = (_changes(key, value, columns, in_label, faults) for key in ("exclude", "include"))
        if faults:
            raise Rejected(*faults)
        return cls(axes={}, rows=rows, exclude=exclude, include=include)

    @property
    def count(self) -> int:
        """How many items there are before some are taken out."""
        made = math.prod(len(values) for values in self.axes.values()) if self.axes else len(self.rows)
        return made + len(self.include)

    @property
    def names(self) -> tuple[str, ...]:
        """What every item has a value for."""
        return tuple(self.axes or (self.rows[0] if self.rows else ()))

    def expand(self) -> list[Item]:
        """The items, the last axis turning fastest; raises `Rejected` if none is left or one comes twice."""
        made: Iterable[Item] = self.rows
        if self.axes:
            made = (dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values()))
        kept = [item for item in made if not any(_covers(out, item) for out in self.exclude)]
        kept += [{name: more[name] for name in self.names} for more in self.include]
        if not kept:
            raise Rejected(Fault("leaves no unit to run"))
        seen: set[str] = set()
        for item in kept:
            if (label := self.label(item)) in seen:
                raise Rejected(Fault(f"makes {label} twice"))
            seen.add(label)
        return kept

    def label(self, item: Item) -> str:
        """What tells an item from the others: all of its values, ``[a=1,b=2]``, but of a row only the first."""
        if self.axes:
            return item_label(item)
        return item_label({name: item[name] for name in self.names[:1]})


def item_label(item: Item) -> str:
    """The values of an item as they are part of its name: ``[a=1,b=2]``."""
    return "[" + ",".join(f"{axis}={value_text(value)}" for axis, value in item.items()) + "]"


def value_text(value: Any) -> str:
    """A value as it is written in names."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def label_value(value: Any) -> Any:
    """A string, number or boolean that can be part of a unit's name; raises `Rejected`."""
    if isinstance(value, str) and not (value.isprintable() and value.strip()):
        raise Rejected(Fault(f"{quoted(value)} cannot be part of a unit's name"))
    return cell_value(value)


def cell_value(value: Any) -> Any:
    """A string without control characters but tabs, a number or a boolean; raises `Rejected`."""
    if not isinstance(value, str | int | float | bool):
        raise expected("a string, number or boolean", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise expected("a finite number", value)
    if not fits(value):
        raise Rejected(Fault(TOO_LARGE))
    if isinstance(value, str) and len(value) > LONGEST_CELL:
        raise Rejected(Fault(f"has more than {LONGEST_CELL:,} characters"))
    if isinstance(value, str) and (found := _CONTROL.search(value)):
        raise Rejected(Fault(f"{quoted(value)} has the control character U+{ord(found[0]):04X}"))
    return value


def column_fault(name: str, others: Iterable[str] = ()) -> Fault | None:
    """What is wrong with the name of a list or column beside `others`, if anything."""
    if not name.replace("-", "_").isidentifier():
        return Fault("is not a name: use letters, digits and _")
    if (twin := twin_of(name, others)) is not None:
        message = f"and {quoted(twin)} would both be the variable {MATRIX}{variable_part(name)}"
        return Fault(message, "rename one of them")
    return None


def _is_param(value: Any) -> bool:
    return isinstance(value, str) and _PARAM.fullmatch(value) is not None


def _axis(name: str, earlier: Iterable[str], values: Any, faults: list[Fault]) -> tuple[Any, ...]:
    if (fault := column_fault(name, earlier)) is not None:
        faults.append(fault.under(name))
    try:
        parsed = parse_items(values, "a list of values", label_value)
    except Rejected as rejected:
        faults += [fault.under(name) for fault in rejected.faults]
        return ()
    if not parsed:
        faults.append(Fault("is empty, so there would be no unit", None, (name,)))
    return parsed


def _changes(
    key: str,
    matrix: Mapping[Any, Any],
    known: Iterable[str] | None,
    in_label: Iterable[str],
    faults: list[Fault],
) -> tuple[Item, ...]:
    """The tables under include (which must name all of `known`) or exclude (which may name some).

    None stands for names that are not known yet. The values of `in_label` are part of units' names.
    """

    word = "column" if isinstance(matrix.get("file"), str) else "list"

    def parse(value: Any) -> Item:
        if not isinstance(value, Mapping) or not value:
            raise expected(f"a table such as {{ {next(iter(known or ()), 'shard')} = … }}", value)
        found = []
        if known is not None:
            found += [
                Fault(f"is not a {word} of this matrix", did_you_mean(str(name), known), (str(name),))
                for name in value
                if name not in known
            ]
        if key == "include":
            found += [Fault(f"{name} is missing") for name in known or () if name not in value]
        for name, content in value.items():
            try:
                (label_value if name in in_label else cell_value)(content)
            except Rejected as rejected:
                found += [fault.under(str(name)) for fault in rejected.faults]
        if found:
            raise Rejected(*found)
        return dict(value)

    try:
        return parse_items(matrix.get(key, ()), "a list of tables", parse)
    except Rejected as rejected:
        faults += [fault.under(key) for fault in rejected.faults]
        return ()


def _covers(out: Item, item: Item) -> bool:
    # compared as labels, so that 1 and true, equal in Python, stay apart
    return all(value_text(item[axis]) == value_text(value) for axis, value in out.items())
