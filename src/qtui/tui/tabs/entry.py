"""What the tabs of a unit are made of, and how that becomes rows: the one place where their texts are hidden, cleaned,
wrapped and cut, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.masking import TextMasker
from qtui.core.state import UnitView
from qtui.tui.format import SIGNS, Glyphs, Look, short_clock
from qtui.tui.roles import Role, loud
from qtui.tui.text import PLAIN, Span, clean, clean_lines, cut_end, cut_middle, pad
from qtui.tui.wrapping import broken

LABEL: Final = 12
"""Cells of the column with the labels."""
MOST_LINES: Final = 200
"""Lines of one text."""
MOST_CHARACTERS: Final = 20_000
"""Of one text."""


class Tab(StrEnum):
    """The tabs, in the order of the pane's title; the value names it in actions."""

    LOG = "log"
    INFO = "info"
    WHY = "why"
    DEPS = "deps"
    TRIES = "tries"


class Goal(NamedTuple):
    """Where a line leads: to a unit, or to the log of one of its attempts."""

    unit: int
    attempt: int = 0


class Entry(NamedTuple):
    """One thing to say: `text`, maybe of several lines, behind a `label`, or behind the sign and the word of a `look`.

    Of an entry with a look `text` is a name, which is cut in its middle, and `note` what follows it, which is cut at
    its end; any other text is wrapped. `goal` is where it leads. Nothing has to be safe for a terminal.
    """

    text: str
    role: Role = Role.TEXT
    label: str = ""
    look: Look | None = None
    note: str = ""
    goal: Goal | None = None


class Row(NamedTuple):
    """One row of the pane, and where it leads."""

    spans: tuple[Span, ...]
    goal: Goal | None = None


def heading(text: str) -> Entry:
    """What stands above some entries."""
    return Entry(text, Role.TITLE)


BLANK: Final = Entry("")


def silence_entry(unit: UnitView, now: float) -> Iterator[Entry]:
    """That a running unit is silent and idle, if it is for longer than its `stall`."""
    seconds = unit.silent_for(now)
    if seconds is not None and unit.unit.stall is not None:
        yield Entry(f"and idle for {short_clock(seconds)} (stall = {unit.unit.stall:g} s)", Role.WARNING, "silent")


def rows_of(entries: Iterable[Entry], width: int, glyphs: Glyphs, texts: TextMasker) -> list[Row]:
    """The entries in rows of at most `width` cells, without what `texts` hides."""
    rows: list[Row] = []
    for entry in entries:
        if entry.look is not None:
            rows.append(_looking(entry, entry.look, width, glyphs, texts))
            continue
        label = cut_end(shown(entry.label, texts), LABEL - 1, glyphs.ellipsis)
        start = pad(label, LABEL) if entry.label else ""
        room = max(8, width - cell_len(start))
        for at, line in enumerate(_wrapped(entry.text, room, glyphs, texts)):
            before = Span(start if not at else " " * cell_len(start), Role.MUTED)
            rows.append(Row((before, Span(line, entry.role)), entry.goal))
    return rows


def shown(text: str, texts: TextMasker) -> str:
    """A text on one line, without what is secret in it: also where that is only what is left once it is clean."""
    return texts.text(clean(texts.text(text)))


def tab_bar(tab: Tab, width: int) -> str:
    """``[Log] Info Why Deps Tries``; where the pane is narrow, the others by their first letters."""
    names = [each.value.title() for each in Tab]
    if width < 48:
        names = [name if name.lower() == tab else name[0] for name in names]
    return " ".join(f"[{name}]" if each is tab else name for each, name in zip(Tab, names, strict=True))


def tab_at(tab: Tab, width: int, column: int) -> Tab | None:
    """The tab whose word is at this column of the bar."""
    at = 0
    for each, name in zip(Tab, tab_bar(tab, width).split(" "), strict=True):
        if at <= column < at + len(name):
            return each
        at += len(name) + 1
    return None


def with_cursor(row: Row, width: int, glyphs: Glyphs, key: str) -> tuple[Span, ...]:
    """The row that one is at, in `width` cells: with the sign of that, and where it leads with the `key` for that."""
    cursor = Span(glyphs.cursor, Role.KEY)
    if row.goal is None:
        return (cursor, *row.spans)
    cells = 1 + sum(cell_len(text) for text, _ in row.spans)
    hint = f"  {key} opens it"
    if cells + cell_len(hint) > width:
        hint = f" {key}"
    spans, left = [cursor], max(0, width - 1 - cell_len(hint))
    for text, style in row.spans:
        spans.append(Span(cut_end(text, left, glyphs.ellipsis), style))
        left = max(0, left - cell_len(text))
    return (*spans, Span(hint, Role.KEY))


def _looking(entry: Entry, look: Look, width: int, glyphs: Glyphs, texts: TextMasker) -> Row:
    role = SIGNS[look].role
    start = pad(cut_end(shown(entry.label, texts), LABEL - 1, glyphs.ellipsis), LABEL) if entry.label else ""
    sign = (Span(f"{glyphs.sign(look)} ", role), Span(look.value, loud(role)), Span(" " * (6 - len(look.value)), PLAIN))
    room = max(0, width - 8 - cell_len(start))
    name, note = shown(entry.text, texts), shown(entry.note, texts)
    cut = cut_middle(name, max(room - cell_len(note) - 2, min(room, 12)) if note else room, glyphs.ellipsis)
    left = room - cell_len(cut) - 2
    spans = [Span(start, Role.MUTED), *sign, Span(cut, entry.role)]
    if note and left > 1:
        spans.append(Span(f"  {cut_end(note, left, glyphs.ellipsis)}", Role.MUTED))
    return Row(tuple(spans), entry.goal)


def _wrapped(text: str, width: int, glyphs: Glyphs, texts: TextMasker) -> Iterator[str]:
    """The lines of a text, each in as many rows as it takes."""
    lines = _safe_lines(text, glyphs, texts)
    for line in lines[:MOST_LINES]:
        yield from broken(line, width)
    if len(lines) > MOST_LINES:
        yield f"{glyphs.ellipsis} and {len(lines) - MOST_LINES:,} more lines"


def _safe_lines(text: str, glyphs: Glyphs, texts: TextMasker) -> Sequence[str]:
    if len(text) <= MOST_CHARACTERS:
        return [texts.text(line) for line in clean_lines(texts.text(text))]
    lines = [texts.text(line) for line in clean_lines(texts.beginning(text[:MOST_CHARACTERS]))]
    lines[-1] = f"{texts.beginning(lines[-1])}{glyphs.ellipsis} ({len(text):,} characters)"
    return lines
