"""What the help says, as lines: the keys in groups, and what the signs of states mean. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import Final

from rich.cells import cell_len

from qtui.tui.format import SIGNS, Glyphs, Look
from qtui.tui.keys import Group, Key
from qtui.tui.outlook import PATH_MARK
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span, pad
from qtui.tui.widgets.lines import Line
from qtui.tui.wrapping import wrapped

COLUMN: Final = 52
"""The width of keys and their texts where there is room for more."""
_KEYS: Final = 13
_KEYS_NARROW: Final = 10
_ARROWS: Final = str.maketrans("", "", "↓↑←→")
_MEANINGS: Final = {
    Look.WAIT: "needs not met",
    Look.READY: "is about to start",
    Look.QUEUE: "waits for a worker, a pool, ...",
    Look.RUN: "running",
    Look.OK: "completed",
    Look.HIT: "not run: unchanged",
    Look.RETRY: "waits for its next try",
    Look.STOP: "asked to stop",
    Look.FAIL: "failed",
    Look.TIME: "ran out of time",
    Look.ALLOWED: "failed, as it may (allow_failure)",
    Look.SKIP: "not run: a need failed, or if says no",
    Look.ASK: "waits for your yes",
    Look.CANC: "canceled",
}


_NOTES: Final = (
    (PATH_MARK, Role.WARNING, "behind a name: a critical unit, for which the end of the run waits"),
    ("stale", Role.WARNING, "completed, but has changed since: kept; a resume with --stale, or r, runs it again"),
)


def help_lines(
    groups: Sequence[Group], width: int, glyphs: Glyphs, *, first: Collection[str] = (), states: bool = True
) -> list[Line]:
    """The groups of keys, `first` those with these names, and unless told not to the states: in `width` cells, in two
    columns where there is room."""
    room = COLUMN if width >= 2 * COLUMN else width
    ordered = sorted(groups, key=lambda group: group[0] not in first)
    blocks = [_group(name, keys, room, glyphs) for name, keys in ordered]
    if states:
        blocks.append(state_lines(room, glyphs))
    if room == width:
        return _joined(blocks)
    halves = ((_joined(blocks[:at]), _joined(blocks[at:])) for at in range(1, len(blocks) + 1))
    left, right = min(halves, key=lambda both: max(map(len, both)))
    return [_beside(one or (), other or (), room) for one, other in zip_longest(left, right)]


def state_lines(width: int, glyphs: Glyphs) -> list[Line]:
    """Sign, word and meaning of each state in `width` cells, and of what else stands in the row of a unit."""
    lines: list[Line] = [(Span(" States", Role.TITLE),)]
    for look, meaning in _MEANINGS.items():
        sign = (Span("  ", PLAIN), Span(pad(f"{glyphs.sign(look)} {look.value}", 9), SIGNS[look].role))
        lines += _hanging(sign, meaning, width)
    for word, role, meaning in _NOTES:
        lines += _hanging((Span("  ", PLAIN), Span(pad(word, 9), role)), meaning, width)
    return lines


def _group(name: str, keys: Sequence[Key], width: int, glyphs: Glyphs) -> list[Line]:
    column = _KEYS if width >= COLUMN else _KEYS_NARROW
    lines: list[Line] = [(Span(f" {name}", Role.TITLE),)]
    for key, text in keys:
        written = key if glyphs.unicode else " ".join(key.translate(_ARROWS).split())
        if cell_len(written) >= column:  # a line of its own, and the text below it
            lines.append((Span(f"  {written}", Role.KEY),))
            written = ""
        lines += _hanging((Span(f"  {pad(written, column)}", Role.KEY),), text, width)
    return lines


def _hanging(begin: Line, text: str, width: int) -> list[Line]:
    """`begin` and behind it `text`, broken at its words into as many lines as it needs."""
    indent = sum(cell_len(span.text) for span in begin)
    first, *rest = wrapped(text, max(8, width - indent))
    return [(*begin, Span(first, PLAIN)), *((Span(" " * indent + line, PLAIN),) for line in rest)]


def _joined(blocks: Sequence[list[Line]]) -> list[Line]:
    """The blocks below each other, with an empty line between them."""
    return [line for at, block in enumerate(blocks) for line in ([(), *block] if at else block)]


def _beside(left: Line, right: Line, column: int) -> Line:
    used = sum(cell_len(span.text) for span in left)
    return (*left, Span(" " * max(1, column - used), PLAIN), *right)
