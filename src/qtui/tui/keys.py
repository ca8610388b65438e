"""The keys as people read about them: for the key line and the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.session import RunSession
from qtui.tui.format import Role
from qtui.tui.text import PLAIN, Span
from qtui.tui.theme import DARK


class Key(NamedTuple):
    """One key and what it does."""

    keys: str
    text: str


Group = tuple[str, tuple[Key, ...]]
"""Keys of one kind, and what they are about."""

GROUPS: Final[tuple[Group, ...]] = (
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
            Key("D", "let the run go on without a screen"),
            Key("^z", "back to the shell, the run goes on; fg"),
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

_LET_GO: Final = Key("q ^c", "leave; the run goes on")
_REPLAY: Final = (
    Key("p", "pause, play"),
    Key("[ ]", "back, on to where something happens"),
    Key("( )", "a twentieth of the time back, on"),
    Key("{ }", "slower, faster"),
    Key("q ^c", "leave"),
)

HINTS: Final = (
    Key("?", "help"),
    Key("q", "quit"),
    Key("D", "detach"),
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


_LEAVE: Final = Key("q", "leave")
_REPLAY_HINTS: Final = (
    Key("?", "help"),
    _LEAVE,
    Key("p", "pause, play"),
    Key("[ ]", "event"),
    Key("( )", "jump"),
    Key("{ }", "speed"),
)
_STEERING: Final = frozenset({"x", "r", "p", "a", "X", "R", "+-A"})


def groups_for(session: RunSession) -> tuple[Group, ...]:
    """The keys that do something on this screen."""
    if session.kind == "live":
        return GROUPS
    groups = dict(GROUPS)
    about_run = tuple(key for key in groups.pop("Run") if key.keys not in ("D", "^z", "q ^c"))
    if session.read_only:
        del groups["Units"]
        about_run = ()
    about = ("Replay", _REPLAY) if session.kind == "replay" else ("Run", (*about_run, _LET_GO))
    move, *others = groups.items()
    return (move, about, *others) if session.kind == "replay" else (move, *others[:-1], about, others[-1])


def hints_for(session: RunSession) -> tuple[Key, ...]:
    """What the key line of this screen says, most needed first."""
    if session.kind == "live":
        return HINTS
    others = tuple(key for key in HINTS if key.keys != "D" and not (session.read_only and key.keys in _STEERING))
    if session.kind != "replay":
        return tuple(_LEAVE if key.keys == "q" else key for key in others)
    return _REPLAY_HINTS + tuple(key for key in others if key.keys not in ("?", "q"))


def key_line(width: int, hints: Sequence[Key] = HINTS) -> tuple[Span, ...]:
    """As many hints as fit into `width` cells."""
    spans = [Span(" ", PLAIN)]
    left = width - 1
    for keys, text in hints:
        cells = cell_len(keys) + 1 + cell_len(text)
        if cells > left:
            break
        spans += [Span(keys, DARK[Role.KEY]), Span(f" {text}  ", DARK[Role.MUTED])]
        left -= cells + 2
    return tuple(spans)
