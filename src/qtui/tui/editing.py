"""What of units a person can edit on the screen: what is there now as text, and what typed text asks for. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from rich.cells import cell_len

from qtui.core.editing import argument
from qtui.core.editing import edited as redefined
from qtui.core.masking import MASK
from qtui.core.model import LONGEST, Argv, Call, FromUnit, QuantumUnit, Shell
from qtui.core.naming import is_variable
from qtui.core.options import RunOptions
from qtui.core.quantities import bytes_of, seconds_of, shown_bytes, shown_seconds
from qtui.core.redefining import obstacle
from qtui.core.state import RunView
from qtui.core.stimuli import EditRequested
from qtui.tui.actions import USUAL, Keymap
from qtui.tui.format import counted
from qtui.tui.keys import key_for
from qtui.tui.steering import Answer, Ask, Do, Note, Option, as_seen, at_work, named
from qtui.tui.text import begin_of_all, clean, cut_middle

Mask = Callable[[str], str]
"""Hides what is secret in a text."""

NONE: Final = "none"
"""Stands for no limit."""

MOST_TEXT: Final = 4_000
"""Characters of a value: what is asked for goes into the record."""

_LARGEST: Final = 1 << 53
_SECRET: Final = "a secret is neither shown nor edited here"
_RESULT: Final = "it is the result of another unit"
_LINES: Final = "it has line breaks or control characters: edit it in the workflow's file"
_PLAIN: Final = "it is no plain value: edit it in the workflow's file"
_DIFFERENT: Final = "(different)"
_LEFT_OUT: Final = "..."
_AROUND: Final = 12
"""Characters that are shown on either side of what is another."""
_IN_A_BOX, _IN_A_LINE = 120, 40
"""Cells for what was and what is to be."""


class Kind(StrEnum):
    """What can be edited."""

    COMMAND = "command"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CPUS = "cpus"
    PRIORITY = "priority"
    ARGS = "args"
    ENV = "env"


NUMBERS: Final = frozenset({Kind.TIMEOUT, Kind.MEMORY, Kind.CPUS, Kind.PRIORITY})
"""What is typed for these is a value of its own: nobody goes on with ``none`` or ``0``."""

Typing = tuple[Kind, str, str]
"""What was typed: for what, the name of the variable or argument, and the text."""


class Bad(ValueError):
    """What was typed means nothing; the message says why, and what would."""


class Field(NamedTuple):
    """One thing that can be edited: `name` is that of the variable or argument, `text` what it is now; empty if that is
    not the same in all units, or nothing. `locked` says why it cannot be edited, if so."""

    kind: Kind
    name: str
    text: str
    locked: str = ""
    hint: str = ""

    @property
    def label(self) -> str:
        """What it is called."""
        return f"{self.kind} {self.name}" if self.name else self.kind


def fields_of(units: Sequence[QuantumUnit], mask: Mask = str) -> list[Field]:
    """What can be edited of these units together."""
    fields = [
        _together(Kind.COMMAND, "", [str(unit.action) for unit in units], mask)
        if all(isinstance(unit.action, Shell | Argv) for unit in units)
        else None,
        _together(Kind.TIMEOUT, "", [_limit(unit.timeout, shown_seconds) for unit in units]),
        _together(Kind.MEMORY, "", [_limit(unit.memory, shown_bytes) for unit in units]),
        _together(Kind.CPUS, "", [f"{unit.cpus:g}" for unit in units]),
        _together(Kind.PRIORITY, "", [str(unit.priority) for unit in units]),
    ]
    return [
        *filter(None, fields),
        *(_argument(name, [unit.args[name] for unit in units], mask) for name in _names(units, "args")),
        *(_together(Kind.ENV, name, [unit.env[name] for unit in units], mask) for name in _names(units, "env")),
    ]


def _limit(value: Any, shown: Callable[[Any], str]) -> str:
    return shown(value) if value else NONE


def _names(units: Sequence[QuantumUnit], part: str) -> list[str]:
    """The names that all of the units have, in the order of the first."""
    tables: list[Mapping[str, Any]] = [getattr(unit, part) for unit in units]
    if part == "args" and not all(isinstance(unit.action, Call) for unit in units):
        return []
    return [name for name in tables[0] if all(name in table for table in tables)] if tables else []


def _together(kind: Kind, name: str, texts: Sequence[str], mask: Mask = str) -> Field:
    if any(mask(text) != text or MASK.decode() in text for text in texts):
        return Field(kind, name, MASK.decode(), _SECRET)
    if len(set(texts)) > 1:
        return Field(kind, name, "", hint=_DIFFERENT)
    text = texts[0]
    return Field(kind, name, clean(text), _LINES if clean(text) != text else "")


def _argument(name: str, values: Sequence[Any], mask: Mask) -> Field:
    """The argument of a call as it would have to be typed."""
    needs = [value.need for value in values if isinstance(value, FromUnit)]
    if needs:
        return Field(Kind.ARGS, name, f"the result of {clean(needs[0])}", _RESULT)
    texts = []
    for value in values:
        text = value if isinstance(value, str) and argument(value) == value else _json(value)
        if text is None:
            return Field(Kind.ARGS, name, "", _PLAIN)
        texts.append(text)
    return _together(Kind.ARGS, name, texts, mask)


def _json(value: Any) -> str | None:
    """`value` as JSON that is read as the same; None if there is none."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        same = json.loads(text) == value
    except (TypeError, ValueError, RecursionError):
        return None
    return text if same is True and len(text) <= MOST_TEXT else None


def changes_of(kind: Kind, name: str, text: str) -> dict[str, Any]:
    """The fields of an `EditRequested` for what was typed, but for a priority, which depends on what it is. Raises
    Bad."""
    text = text.strip() if kind not in (Kind.ENV, Kind.ARGS) else text
    if len(text) > MOST_TEXT:
        raise Bad(f"is longer than {MOST_TEXT:,} characters")
    match kind:
        case Kind.COMMAND:
            if not text:
                raise Bad("a command cannot be empty")
            return {"command": text}
        case Kind.TIMEOUT:
            return {"timeout": _seconds(text)}
        case Kind.MEMORY:
            return {"memory": _bytes(text)}
        case Kind.CPUS:
            return {"cpus": _number(text)}
        case Kind.PRIORITY:
            return {"priority": _whole(text)}
        case Kind.ENV:
            if not is_variable(name):
                raise Bad(f"{clean(name) or 'nothing'} is no name for a variable: no spaces, no =, no digit first")
            return {"env": (f"{name}={text}",)}
        case Kind.ARGS:
            if not name.isidentifier():
                raise Bad(f"{clean(name) or 'nothing'} is no name for an argument")
            return {"args": (f"{name}={text}",)}


def _seconds(text: str) -> float:
    if text in ("", "0", NONE):
        return 0.0
    seconds = seconds_of(text)
    if seconds is None:
        try:
            seconds = float(text)
        except ValueError:
            raise Bad(f'"{clean(text)}" is no duration: 90s, 5m, 1h30m, or none') from None
    if not 0 < seconds <= LONGEST:
        raise Bad("a timeout is more than 0, and less than 30 years; none is no limit")
    return seconds


def _bytes(text: str) -> int:
    count = 0 if text in ("", NONE) else bytes_of(text)
    if count is None:
        raise Bad(f'"{clean(text)}" is no size: 512M, 4G, or none')
    if count > _LARGEST:
        raise Bad("is more than any machine has")
    return count


def _number(text: str) -> float:
    try:
        cpus = float(text or 0)
    except ValueError:
        raise Bad(f'"{clean(text)}" is no number') from None
    if not (math.isfinite(cpus) and 0 <= cpus <= 4096):
        raise Bad("cpus are a number from 0 to 4096")
    return cpus


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Bad(f'"{clean(text)}" is no whole number') from None
    if abs(number) > 1_000_000:
        raise Bad("a priority is from -1000000 to 1000000")
    return number


def request_of(view: RunView, numbers: Sequence[int], typed: Iterable[Typing]) -> EditRequested:
    """What was typed for these units, as one request. Raises Bad, which names what is bad."""
    changes: dict[str, Any] = {}
    for kind, name, text in typed:
        try:
            change = changes_of(kind, name, text)
            if kind is Kind.PRIORITY:
                change = {"priority": _step(view, numbers, change["priority"])}
        except Bad as bad:
            raise Bad(f"{kind} {clean(name)}".strip() + f": {bad}") from None
        for key, value in change.items():
            changes[key] = changes.get(key, ()) + value if isinstance(value, tuple) else value
    return EditRequested(tuple(numbers), **changes)


def _step(view: RunView, numbers: Sequence[int], wanted: int) -> int:
    """What is to be added to the priority of these units."""
    present = {view.plan.table[unit].priority for unit in numbers}
    if len(present) > 1:
        raise Bad("these units have different ones; :priority +1 changes each")
    return wanted - present.pop() if present else 0


def told(fields: Sequence[Field], typed: Sequence[Typing], most: int) -> str:
    """The changes in words: ``timeout 1m -> 5m, env A``. Of variables, which may be secret, only the names; of a change
    with more than `most` cells, what is another: ``command ...prices.py -> ...prices.py --verbose``."""
    present = {(field.kind, field.name): field.text for field in fields}
    parts = []
    for kind, name, text in typed:
        label, value = f"{kind} {clean(name)}".strip(), clean(text).strip()
        if kind is Kind.ENV:
            parts.append(label)
        elif before := present.get((kind, name)):
            old, new = difference(before, value or NONE, most)
            parts.append(f"{label} {old} -> {new}")
        else:
            parts.append(f"{label} {cut_middle(value, most, _LEFT_OUT)}")
    return ", ".join(parts)


def difference(before: str, after: str, most: int) -> tuple[str, str]:
    """Both texts, if they have no more than `most` cells together; else without what they share, but for a few
    characters around what they do not."""
    if cell_len(before) + cell_len(after) <= most:
        return before, after
    begin = len(begin_of_all((before, after)))
    end = len(begin_of_all((before[begin:][::-1], after[begin:][::-1])))
    first = max(0, begin - _AROUND)

    def part(text: str) -> str:
        last = min(len(text), len(text) - end + _AROUND)
        shown = (_LEFT_OUT if first else "") + text[first:last] + (_LEFT_OUT if last < len(text) else "")
        return cut_middle(shown, max(most // 2, 3 * _AROUND), _LEFT_OUT)

    return part(before), part(after)


def edit(
    view: RunView,
    options: RunOptions,
    request: EditRequested,
    what: str,
    changes: Callable[[int], str],
    keymap: Keymap = USUAL,
) -> Answer:
    """Let units be what `request` says, after a question, unless that cannot be; `changes` tells it in words, as
    `told` does."""
    numbers = request.units
    if refused := not_editable(view, numbers, what, keymap):
        return Note(refused)
    do = _edited(view, options, request, changes)
    if isinstance(do, Note):
        return do
    text = f"{named(view, numbers, what)}: {changes(_IN_A_BOX)}\n"

    def anew(now: RunView) -> str:
        return text + consequence(now, numbers)

    return Ask("Edit", anew(view), (Option("y", "apply", do),), still=as_seen(view, numbers), anew=anew)


def not_editable(view: RunView, numbers: Sequence[int], what: str, keymap: Keymap = USUAL) -> str:
    """Why none of these units can be edited now; empty if one can."""
    if not numbers:
        return "there is no unit to edit"
    if view.stopping is not None and not view.state.ended:
        return "the run is ending; units can be edited when it has ended"
    if all(at_work(view, number) for number in numbers):
        return f"{named(view, numbers, what)} runs; {key_for('unit.cancel', keymap)} cancels it first"
    if not _editable(view, numbers):
        return "the run was interrupted: qtui resume goes on with it"
    return ""


def _editable(view: RunView, numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        number
        for number in numbers
        if not at_work(view, number) and (view.states[number].ended or not view.state.ended)
    )


def _edited(view: RunView, options: RunOptions, request: EditRequested, changes: Callable[[int], str]) -> Do | Note:
    """The same without a question, for those of the units that can be edited now."""
    idle = _editable(view, request.units)
    same = 0
    for number in idle:
        unit = view.plan.table[number]
        new = redefined(unit, request)
        why = new if isinstance(new, str) else obstacle(view.plan, number, new, options)
        if why:
            return Note(f"{clean(unit.id)}: {clean(why)}")
        same += new is unit
    if same == len(idle):
        return Note("there is nothing to change: it is so already")
    said = f"edited {named(view, idle, counted(len(idle), 'unit'))}: {changes(_IN_A_LINE)}"
    return Do(request._replace(units=idle), said=said)


def consequence(view: RunView, numbers: Sequence[int]) -> str:
    """What becomes of units that are edited, as a sentence."""
    busy = sum(at_work(view, number) for number in numbers)
    again = sum(view.states[number].ended for number in numbers)
    waiting = len(numbers) - busy - again
    if len(numbers) == 1:
        return "runs again" if again else "starts with that" if waiting else "runs: cancel it first"
    parts = ((again, "run again"), (waiting, "start with that"), (busy, "run, and stay as they are"))
    return ", ".join(f"{count:,} {words}" for count, words in parts if count)
