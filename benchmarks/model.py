"""What is measured: groups of contenders, and the rows of the table that they fill."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Metrics = Mapping[str, float]
"""Figures of one round by name: seconds, except for what a row's `Unit` says. The first decides how often to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How a figure is printed: its name, what to multiply with, and whether it is divided among the group's items."""

    name: str
    factor: float
    divided: bool = True


MICROSECONDS = Unit(name="us", factor=1e6)
MILLISECONDS = Unit(name="ms", factor=1e3)
MEGABYTES = Unit(name="MB", factor=1e-6, divided=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One contender: `run` does the whole work once at the size it is given.

    `needs_modules` and `needs_programs` name what may be missing; the case is left out then.
    """

    run: Callable[[int], Metrics]
    needs_modules: tuple[str, ...] = ()
    needs_programs: tuple[str, ...] = ()

    def missing(self) -> str:
        """What it needs and does not find, or an empty string."""
        modules = [name for name in self.needs_modules if importlib.util.find_spec(name) is None]
        return ", ".join(modules + [name for name in self.needs_programs if find_program(name) is None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table: a metric of a case.

    `goal` is the highest ratio to the baseline that is good enough. `note` names a metric to show beside the label.
    `base` is the (case, metric) to compare with, by default the group's.
    """

    label: str
    case: str
    metric: str = "run"
    goal: float | None = None
    note: str = ""
    base: tuple[str, str] | None = None
    unit: Unit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Contenders that do the same work of `size`, `quick` being the size of warm-up and smoke runs.

    Figures are divided among `items` of the work; None means that there are as many as its size says. Ratios are shown
    with `digits` decimals.
    """

    key: str
    title: str
    size: int
    quick: int
    unit: Unit
    base: tuple[str, str]
    cases: Mapping[str, Case]
    rows: tuple[Row, ...]
    items: int | None = None
    digits: int = 2

    def items_of(self, size: int) -> int:
        """How many items work of that size has."""
        return size if self.items is None else self.items


def find_program(name: str) -> str | None:
    """The program's path: beside the interpreter (where the bench extra puts it), else on PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
