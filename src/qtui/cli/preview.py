"""``run -n``: what would run, in which order, without running it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from rich.cells import cell_len

from qtui.cli.words import counted
from qtui.core.definition import WorkflowDefinition
from qtui.core.limits import Limits, capacities
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import Argv, Call, FromUnit, QuantumUnit, Shell
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import ReadyQueue
from qtui.core.targets import WorkerTargets
from qtui.definition.values import shown_size
from qtui.tui.text import clean, cut_end

_WIDEST_NAME: Final = 32
_LEAST_ACTION: Final = 16
"""As many cells of a command are shown on every terminal."""


def lines_of(definition: WorkflowDefinition, plan: ExecutionPlan) -> Iterator[str]:
    """A head, and a line for each unit, in the order of starts: level, lane, id, what it does, and on which conditions.

    Values of secrets are masked. Of a text of several lines the first is shown; on a terminal long ones are cut.
    """
    mask = masker(definition)
    order = list(order_of_starts(plan, definition.options))
    width = min(_WIDEST_NAME, max(len("unit"), *(cell_len(clean(unit.id)) for unit in plan.table)))
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    yield f"level  {'lane':<10} {'unit':<{width}}  action"
    for number in order:
        unit = plan.table[number]
        name = clean(unit.id)
        head = f"{plan.depths[number] + 1:>5}  {plan.lanes[number]:<10} {name}{' ' * (width - cell_len(name))}  "
        noted = [clean(mask(note)) for note in _notes(unit, definition.options)]
        tail = f"  [{'; '.join(noted)}]" if noted else ""
        action = clean(mask(_action(unit, mask)))
        if columns is not None:
            action = cut_end(action, max(_LEAST_ACTION, columns - cell_len(head) - cell_len(tail)))
        yield f"{head}{action}{tail}"


def order_of_starts(plan: ExecutionPlan, options: RunOptions) -> Iterator[int]:
    """The units in the order in which they would start if all of them took the same time and completed."""
    rehearsal = _Rehearsal(plan, options)
    running: deque[int] = deque()
    never = dict.fromkeys(range(len(plan)))
    together = WorkerTargets(plan.lanes, options).together
    while True:
        while len(running) < together and (number := rehearsal.start()) is not None:
            del never[number]
            running.append(number)
            yield number
        if not running:
            break
        rehearsal.complete(running.popleft())
    yield from never  # what has no room within the limits is listed all the same


class _Rehearsal:
    """Which unit would start next, by the rules of a run."""

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self._plan = plan
        lanes = WorkerTargets(plan.lanes, options).of_lane
        self._limits, self._ready = Limits(plan, options, lanes), ReadyQueue(len(plan), capacities(options, lanes))
        self._needs_left = [len(needs) for needs in plan.needs]
        self._members_left = [len(members) for members in plan.items]
        self._begun: set[int] = set()
        for number, count in enumerate(self._needs_left):
            if not count:
                self._push(number)

    def start(self) -> int | None:
        found = self._ready.pop()
        if found is None:
            return None
        number, item = found[0], self._plan.item_of[found[0]]
        if item >= 0 and item not in self._begun:
            self._begun.add(item)
            for other in self._plan.items[item]:
                if other in self._ready:
                    self._push(other)  # from now on it goes before those of items that have not begun
        return number

    def complete(self, number: int) -> None:
        self._ready.give_back(self._limits.own(number))
        if (item := self._plan.item_of[number]) >= 0:
            self._members_left[item] -= 1
            if not self._members_left[item]:
                self._ready.give_back(self._limits.of_item(item))
        for fed in self._plan.feeds[number]:
            self._needs_left[fed] -= 1
            if not self._needs_left[fed]:
                self._push(fed)

    def _push(self, number: int) -> None:
        item_begun = self._plan.item_of[number] in self._begun
        self._ready.push(number, *self._limits.of(number, item_begun=item_begun))


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
        yield f"pool {name}" + (f" x{slots}" if slots > 1 else "")
    if unit.cpus:
        yield f"cpus {unit.cpus:g}"
    if unit.memory:
        yield f"memory {shown_size(unit.memory)}"
