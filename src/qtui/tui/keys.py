"""The keys as people read about them: for the key line and the help."""

from __future__ import annotations

from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.tui.format import Role
from qtui.tui.text import PLAIN, Span
from qtui.tui.theme import DARK


class Key(NamedTuple):
    """One key and what it does."""

    keys: str
    text: str


GROUPS: Final[tuple[tuple[str, tuple[Key, ...]], ...]] = (
    (
        "Move",
        (
            Key("j k ↓ ↑", "down, up"),
            Key("g G", "first, last (home, end)"),
            Key("^d ^u", "half a page (pgdn, pgup: a page)"),
            Key("l → / h ←", "unfold / fold, or go to the row above"),
            Key("enter", "open the unit's log; esc goes back"),
            Key("f", "next failed or timed-out unit"),
            Key("/", "filter units; esc shows all again"),
            Key("n N", "next, previous match"),
        ),
    ),
    (
        "Units",
        (
            Key("r", "run again (skips the wait of a retry)"),
            Key("R", "run all failed and canceled again"),
            Key("x", "cancel; again while it stops: kill"),
            Key("a", "answer what asks, let go a brake"),
        ),
    ),
    (
        "Run",
        (
            Key("p", "pause: start nothing new; p goes on"),
            Key("+ - A", "more, fewer workers; A: automatic"),
            Key("X", "cancel the run: drain or stop"),
            Key("q ^c", "leave; ^c twice cancels, again kills"),
        ),
    ),
    (
        "Screen",
        (
            Key("tab 1-4", "next pane; units log workers events"),
            Key("z", "zoom the pane"),
            Key("F", "log: follow the end, on and off"),
            Key("?", "this help"),
        ),
    ),
)

HINTS: Final = (
    Key("?", "help"),
    Key("q", "quit"),
    Key("enter", "log"),
    Key("x", "cancel"),
    Key("r", "retry"),
    Key("f", "failed"),
    Key("/", "filter"),
    Key("p", "pause"),
    Key("a", "answer"),
    Key("tab", "pane"),
    Key("X", "cancel run"),
    Key("R", "retry failed"),
    Key("z", "zoom"),
    Key("+-A", "workers"),
    Key("F", "follow"),
    Key("n", "next match"),
)
"""The key line, most needed first; what does not fit is in the help."""


def key_line(width: int) -> tuple[Span, ...]:
    """As many hints as fit into `width` cells."""
    spans = [Span(" ", PLAIN)]
    left = width - 1
    for keys, text in HINTS:
        cells = cell_len(keys) + 1 + cell_len(text)
        if cells > left:
            break
        spans += [Span(keys, DARK[Role.KEY]), Span(f" {text}  ", DARK[Role.MUTED])]
        left -= cells + 2
    return tuple(spans)
