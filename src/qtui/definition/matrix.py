"""The matrix of a unit: a product of lists, with items taken out and put in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from qtui.core.errors import did_you_mean
from qtui.definition.values import Fault, Rejected, expected, quoted
from qtui.definition.values import items as parse_items

MOST_ITEMS: Final = 100_000
"""A product is written quickly and may be astronomically large."""

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The axes in the order written, and the items to take out and to put in."""

    axes: Mapping[str, tuple[Any, ...]]
    exclude: tuple[Item, ...] = ()
    include: tuple[Item, ...] = ()

    @classmethod
    def parse(cls, value: Any) -> Matrix:
        """A matrix from a table of lists; raises `Rejected` with everything that is wrong with it."""
        if not isinstance(value, Mapping):
            raise expected("a table of lists", value)
        faults: list[Fault] = []
        axes = {
            str(name): _axis(str(name), values, faults)
            for name, values in value.items()
            if name not in ("include", "exclude")
        }
        if not axes:
            faults.append(Fault("has no list to take values from", "write matrix = { shard = [0, 1] }"))
        exclude = _changes("exclude", value, axes, faults)
        include = _changes("include", value, axes, faults)
        count = math.prod(len(values) for values in axes.values())
        if count > MOST_ITEMS:
            faults.append(Fault(f"makes more than {MOST_ITEMS} units"))
        if faults:
            raise Rejected(*faults)
        return cls(axes=axes, exclude=exclude, include=include)

    def expand(self) -> list[Item]:
        """The items, the last axis turning fastest; raises `Rejected` if none is left or one comes twice."""
        made = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        kept = [item for item in made if not any(_covers(out, item) for out in self.exclude)]
        kept += [{axis: more[axis] for axis in self.axes} for more in self.include]
        if not kept:
            raise Rejected(Fault("leaves no unit to run"))
        seen: set[str] = set()
        for item in kept:
            if (label := item_label(item)) in seen:
                raise Rejected(Fault(f"makes {label} twice"))
            seen.add(label)
        return list(kept)


def item_label(item: Item) -> str:
    """What tells an item from the others of its family: ``[a=1,b=2]``."""
    return "[" + ",".join(f"{axis}={_value_text(value)}" for axis, value in item.items()) + "]"


def _value_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise expected("a string, number or boolean", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise expected("a finite number", value)
    if isinstance(value, str) and not (value.isprintable() and value.strip()):
        raise Rejected(Fault(f"{quoted(value)} cannot be part of a unit's name"))
    return value


def _axis(name: str, values: Any, faults: list[Fault]) -> tuple[Any, ...]:
    if not name.replace("-", "_").isidentifier():
        faults.append(Fault("is not a name: use letters, digits and _", None, (name,)))
    try:
        parsed = parse_items(values, "a list of values", _scalar)
    except Rejected as rejected:
        faults += [fault.under(name) for fault in rejected.faults]
        return ()
    if not parsed:
        faults.append(Fault("is empty, so there would be no unit", None, (name,)))
    return parsed


def _changes(key: str, matrix: Mapping[Any, Any], axes: Mapping[str, Any], faults: list[Fault]) -> tuple[Item, ...]:
    """The tables under include (which must name every axis) or exclude (which may name some)."""

    def parse(value: Any) -> Item:
        if not isinstance(value, Mapping) or not value:
            raise expected(f"a table such as {{ {next(iter(axes), 'shard')} = … }}", value)
        found = [
            Fault("is not a list of this matrix", did_you_mean(str(name), axes), (str(name),))
            for name in value
            if name not in axes
        ]
        if key == "include":
            found += [Fault(f"{axis} is missing") for axis in axes if axis not in value]
        for name, content in value.items():
            try:
                _scalar(content)
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
    return all(_value_text(item[axis]) == _value_text(value) for axis, value in out.items())
