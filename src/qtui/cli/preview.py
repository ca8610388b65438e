"""``qtui plan`` for people: what would run, when and for how long, what would not, and why."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from math import inf
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.cli.outlook import Outlook
from qtui.cli.words import counted, duration
from qtui.core.attribution import attribution
from qtui.core.definition import WorkflowDefinition
from qtui.core.expecting import CUT, ESTIMATE, FAMILY, NO_TIME, TYPICAL
from qtui.core.limits import pool_limit
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import Argv, Call, ExecutionMode, FromUnit, QuantumUnit, Shell
from qtui.core.options import CLUSTERS, RunOptions
from qtui.core.planned import Fate, PlannedUnit
from qtui.core.targets import WorkerTargets
from qtui.tui.format import size_of
from qtui.tui.text import clean, cut_end

MODE_FROM: Final = 100
"""Cells from which on there is room to say how each unit runs; always where the output goes to a file or a program."""

HOW_TO_TELL: Final = 'give them an estimate (estimate = "30s"), or run the workflow once'
"""How somebody gets times of units of which nothing is known."""

_APART: Final = 0.05
"""Of the time until the end: what the rows come to is told if it differs by more."""

_WIDEST_NAME: Final = 32
_LEAST_ACTION: Final = 16
"""As many cells of a command are shown on every terminal."""

_MARKS: Final = {"!": "critical", "=": "from the cache", "-": "skipped", "?": "never starts"}
_SIGNS: Final = {Fate.HIT: "=", Fate.SKIP: "-", Fate.NEVER: "?"}
_BASES: Final = {CUT: "cut try", ESTIMATE: "estimate", FAMILY: "family", TYPICAL: "typical", NO_TIME: ""}


def head_of(definition: WorkflowDefinition, outlook: Outlook) -> Iterator[str]:
    """How much there is to do, when it would be done, and what that is made of."""
    planned = outlook.planned
    hits, skips = planned.count(Fate.HIT), planned.count(Fate.SKIP)
    would = planned.due + planned.count(Fate.MILESTONE)
    targets = WorkerTargets(planned.plan.lanes, definition.options)
    workers = f"{targets.decided}"
    if targets.of_lane and ExecutionMode.ASYNC in planned.plan.lanes:
        workers += " and coroutines"
    others = [f"{hits} from the cache" if hits else "", f"{skips} skipped" if skips else ""]
    left_out = ", ".join(each for each in others if each)
    what = f"{counted(would, 'unit')} would run, {workers} at a time" if planned.due else "nothing would run"
    yield f"{clean(definition.name)}: {what}{f'; {left_out}' if left_out else ''}"
    if not planned.due:
        return
    if ExecutionMode.CUSTOM in planned.plan.lanes:
        yield f"custom units: {where_of(definition.options)}"
    told = planned.told
    if told is None:
        yield f"expected: unknown; nothing is known of {counted(planned.due, 'unit')}: {HOW_TO_TELL}"
    else:
        if told.times_out:
            limit = definition.options.timeout or told.p50
            end = f", and ends after {duration(told.p50)}" if told.p50 > limit * (1 + _APART) else ""
            yield f"expected: stops at its timeout after {duration(limit)}{end}; {clean(told.shortfall(planned.plan))}"
        else:
            yield f"expected: {attribution(told.parts)}"
            if short := clean(told.shortfall(planned.plan)):
                yield short
        least, most = duration(told.p10), duration(told.p90)
        if least != most:
            yield f"four of five runs would take {least} to {most}"
    if assumed := outlook.assumed:
        yield f"assumed: {'; '.join(assumed)}"


def where_of(options: RunOptions) -> str:
    """Where units of mode custom run, for people."""
    executor = clean(options.executor or "")
    if options.executor not in CLUSTERS:
        return executor
    return f"{executor} at {clean(options.address)}" if options.address else f"{executor}, on this machine"


def lines_of(definition: WorkflowDefinition, outlook: Outlook) -> Iterator[str]:
    """A line for each unit, in the order of starts, below a head: when it starts, how long it takes and what that is
    taken from, its memory, what it does, and on which conditions.

    Values of secrets are masked. Of a text of several lines the first is shown; on a terminal long ones are cut.
    """
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    table = _Table(definition, outlook, columns)
    yield from table.lines()


class _Column(NamedTuple):
    name: str
    cell: Callable[[PlannedUnit], str]
    right: bool = False


class _Table:
    def __init__(self, definition: WorkflowDefinition, outlook: Outlook, columns: int | None) -> None:
        self._outlook, self._planned, self._options = outlook, outlook.planned, definition.options
        self._mask, self._columns = masker(definition), columns
        self._critical = outlook.planned.critical

    def lines(self) -> Iterator[str]:
        units = self._planned.units
        marks = [self._mark(unit) for unit in units]
        cells = [(column, [column.cell(unit) for unit in units]) for column in self._shown()]
        widths = [max(cell_len(column.name), *map(cell_len, texts)) for column, texts in cells]
        yield self._row(" ", [column.name for column, _ in cells], widths, cells) + "what it does"
        for at, unit in enumerate(units):
            head = self._row(marks[at], [texts[at] for _, texts in cells], widths, cells)
            yield self._whole(head, unit)
        if legend := ", ".join(f"{mark} {meaning}" for mark, meaning in _MARKS.items() if mark in marks):
            yield legend
        told, end, late = self._planned.told, self._planned.end, len(self._planned.late)
        if told is not None and late != told.incomplete:
            what = f"{counted(late, 'unit')} will not complete in time" if late else "all units complete in time"
            yield f"the rows end after {duration(end)}, and {what}: in them each takes as long as is expected of it"
        elif told is not None and told.p50 - end > _APART * told.p50:
            yield f"the rows end after {duration(end)}: in them no unit takes longer than is expected of it"

    def _shown(self) -> Iterator[_Column]:
        if self._planned.told is not None:
            yield _Column("start", self._start, right=True)
            yield _Column("takes", self._takes, right=True)
            yield _Column("basis", self._basis)
        if self._outlook.memory:
            yield _Column("memory", self._memory, right=True)
        if self._columns is None or self._columns >= MODE_FROM:
            yield _Column("mode", lambda unit: str(self._planned.plan.lanes[unit.number]))
        yield _Column("unit", lambda unit: clean(self._unit(unit).id))

    def _row(self, mark: str, texts: list[str], widths: list[int], cells: list[tuple[_Column, list[str]]]) -> str:
        told = [mark]
        for text, width, (column, _) in zip(texts, widths, cells, strict=True):
            if column.name == "unit":
                width = min(width, _WIDEST_NAME)
            gap = " " * max(0, width - cell_len(text))
            told.append(gap + text if column.right else text + gap)
        return f"{told[0]} {'  '.join(told[1:])}  "

    def _whole(self, head: str, planned: PlannedUnit) -> str:
        unit, found = self._unit(planned), self._outlook.cache.get(planned.number)
        why = ""
        if planned.fate is Fate.SKIP:
            why = f"skip: {planned.cause}"
        elif planned.fate is Fate.NEVER:
            why = "never: what it waits for does not come"
        elif planned.cause:
            why = planned.cause
        elif found is not None:
            why = f"{'hit' if found.hit else 'miss' if found.hit is False else 'open'}: {found.reason}"
        why = clean(self._mask(why))
        if planned.fate not in (Fate.RUN, Fate.MILESTONE):
            return self._cut(head + why)
        noted = [clean(self._mask(note)) for note in _notes(unit, self._options)]
        head += f"[{why}]  " if why else ""
        tail = f"  [{'; '.join(noted)}]" if noted else ""
        action = clean(self._mask(_action(unit, self._mask)))
        if self._columns is not None:
            action = cut_end(action, max(_LEAST_ACTION, self._columns - cell_len(head) - cell_len(tail)))
        return self._cut(f"{head}{action}{tail}")

    def _cut(self, line: str) -> str:
        return line if self._columns is None else cut_end(line, self._columns)

    def _unit(self, planned: PlannedUnit) -> QuantumUnit:
        return self._planned.plan.table[planned.number]

    def _mark(self, planned: PlannedUnit) -> str:
        sign = _SIGNS.get(planned.fate, " ")
        return "!" if planned.number in self._critical and self._planned.told is not None else sign

    def _start(self, planned: PlannedUnit) -> str:
        at = planned.start if planned.fate is Fate.RUN else planned.end
        return duration(at) if at != inf and planned.fate is not Fate.SKIP else ""

    def _takes(self, planned: PlannedUnit) -> str:
        return duration(planned.expected.middle) if planned.due and planned.expected is not None else ""

    def _basis(self, planned: PlannedUnit) -> str:
        if not planned.due or planned.expected is None:
            return ""
        return _BASES.get(planned.expected.basis, planned.expected.basis)

    def _memory(self, planned: PlannedUnit) -> str:
        found = self._outlook.memory.get(planned.number)
        return "" if found is None or not planned.due else f"{'' if found.declared else '~'}{size_of(found.bytes)}"


def masker(definition: WorkflowDefinition) -> Callable[[str], str]:
    """What replaces the values of the workflow's secrets in a text, as they are or in quotes, with ``***``."""
    environments = [os.environ, *(unit.env for unit in definition.units)]
    found = {env[name] for name in definition.secrets for env in environments if name in env}
    return TextMasker(masks_of(found)).text if found else lambda text: text


def _action(unit: QuantumUnit, mask: Callable[[str], str]) -> str:
    match unit.action:
        case None:
            return "(milestone)"
        case Argv() as action:
            return shlex.join(map(mask, action.argv))
        case Call() as action:
            given = (
                f"{name}={value.need if isinstance(value, FromUnit) else repr(value)}"
                for name, value in unit.args.items()
            )
            return f"{action}({', '.join(given)})"
        case Shell(texts):
            return " && ".join(_first_line(mask(text)) for text in texts)
        case function:
            return str(Call(function))


def _first_line(text: str) -> str:
    """A shell text on one line: of several the first that is not empty, and how many more there are."""
    first, *rest = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return f"{first} …(+{counted(len(rest), 'line')})" if rest else first


def _notes(unit: QuantumUnit, options: RunOptions) -> Iterator[str]:
    if unit.when != "success":
        yield f"when {unit.when}"
    if unit.condition is not None:
        yield f"if {unit.condition}"
    if unit.confirm:
        approved = any(fnmatchcase(unit.id, pattern) for pattern in options.approved)
        yield f"asks: {unit.confirm}{' yes' if approved else ''}"
    pools = {**(options.group_pools.get(unit.group, {}) if unit.group else {}), **unit.pools}
    for name, slots in pools.items():
        yield pool_limit(name) + (f" x{slots}" if slots > 1 else "")
    if unit.cpus:
        yield f"cpus {unit.cpus:g}"
    if unit.cluster_resources:
        yield "dask " + ", ".join(f"{name}={amount:g}" for name, amount in unit.cluster_resources.items())
