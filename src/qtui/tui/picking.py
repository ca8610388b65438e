"""What there is to pick from, and how a row of it looks; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.tui.format import Glyphs
from qtui.tui.roles import Role
from qtui.tui.text import Span, clean, cut_end, cut_middle, pad

RUN: Final = "run"
ATTACH: Final = "attach"
RESUME: Final = "resume"
REPLAY: Final = "replay"

_ACTION_CELLS: Final = 8
_STATE_CELLS: Final = 12
_LEAST_NAME: Final = 12


class Choice(NamedTuple):
    """A command of qtui and what to call it with: a workflow or a run."""

    action: str
    target: str


class Entry(NamedTuple):
    """A row: what is done on enter, and what there is to know. `other` is a second thing that may be done, or None;
    `live` leads to a run of this workflow that goes on: what enter does is asked first then."""

    choice: Choice
    name: str
    state: str = ""
    role: Role = Role.TEXT
    about: str = ""
    other: Choice | None = None
    live: Choice | None = None


class Offer(NamedTuple):
    """All there is to pick from; `notes` tell what could not be read, and `first` is the target of what is selected at
    the beginning, if that is not the first row."""

    workflows: Sequence[Entry]
    runs: Sequence[Entry]
    notes: Sequence[str] = ()
    first: str = ""


class PickerRow(NamedTuple):
    """An entry, or a heading, which has none."""

    heading: str
    entry: Entry | None


def rows_of(offer: Offer, filter_text: str) -> list[PickerRow]:
    """The rows with `filter_text` somewhere in them (any case), under headings with their counts."""
    rows: list[PickerRow] = []
    for title, entries in (("Workflows here", offer.workflows), ("Runs", offer.runs)):
        shown = [entry for entry in entries if filter_text.lower() in _searched(entry)]
        count = str(len(entries)) if len(shown) == len(entries) else f"{len(shown)} of {len(entries)}"
        if rows:
            rows.append(PickerRow("", None))
        rows.append(PickerRow(f"{title}  {count}", None))
        rows += [PickerRow("", entry) for entry in shown]
    return rows


def _searched(entry: Entry) -> str:
    return " ".join(map(clean, (*entry.choice, entry.name, entry.state, entry.about))).lower()


def row_spans(row: PickerRow, width: int, names: int, glyphs: Glyphs, *, selected: bool) -> tuple[Span, ...]:
    """A row in `width` cells, with `names` of them for names: what is done on enter, name, state, and the rest."""
    if row.entry is None:
        return (Span(pad(f" {row.heading}", width), Role.TITLE),)
    entry = row.entry
    name = pad(cut_middle(clean(entry.name), names, glyphs.ellipsis), names)
    start = f"{glyphs.cursor if selected else ' '} "
    room = max(0, width - len(start) - _ACTION_CELLS - names - _STATE_CELLS - 4)
    return (
        Span(start, Role.KEY),
        Span(pad(entry.choice.action, _ACTION_CELLS), Role.ACCENT),
        Span(f"{name}  ", Role.TEXT),
        Span(pad(entry.state, _STATE_CELLS), entry.role),
        Span(pad(cut_end(f"  {clean(entry.about)}", room + 2, glyphs.ellipsis), room + 2), Role.MUTED),
    )


def name_cells(offer: Offer, width: int) -> int:
    """How many cells names get: what the longest needs, up to a third of the screen."""
    longest = max((cell_len(clean(entry.name)) for entry in (*offer.workflows, *offer.runs)), default=0)
    return max(_LEAST_NAME, min(longest, width // 3))


def ago(seconds: float) -> str:
    """How long ago something was, in one figure: ``5 min ago``."""
    for length, word in ((86400, "day"), (3600, "h"), (60, "min")):
        if (count := int(seconds // length)) > 0:
            return f"{count} {word}{'s' if word == 'day' and count > 1 else ''} ago"
    return "just now"
