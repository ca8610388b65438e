"""The keys as people read about them: for the key line and the help."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.session import RunSession
from qtui.tui.actions import ACTIONS, Action, Keymap, Where, keys_of
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span


class Key(NamedTuple):
    """One key and what it does."""

    keys: str
    text: str


Group = tuple[str, tuple[Key, ...]]
"""Keys of one kind, and what they are about."""

_SHOWN: Final = {
    "down": "↓", "up": "↑", "left": "←", "right": "→", "pagedown": "pgdn", "pageup": "pgup", "escape": "esc",
    "slash": "/", "question_mark": "?", "plus": "+", "minus": "-", "left_square_bracket": "[",
    "right_square_bracket": "]", "left_parenthesis": "(", "right_parenthesis": ")", "left_curly_bracket": "{",
    "right_curly_bracket": "}", "full_stop": ".", "comma": ",", "colon": ":", "asterisk": "*", "number_sign": "#",
    "less_than_sign": "<", "greater_than_sign": ">",
}  # fmt: skip
_ONLY_HERE: Final = frozenset({"app.detach", "app.suspend"})
_LEAVING: Final = frozenset({"app.leave", "app.interrupt"})
_LEFT: Final = {"attached": "leave; the run goes on", "replay": "leave"}


def shown(key: str) -> str:
    """How people write a key: ``^d`` for ``ctrl+d``."""
    *modifiers, name = key.split("+")
    prefix = "".join({"ctrl": "^", "shift": "S-", "alt": "M-"}.get(each, f"{each}+") for each in modifiers)
    return prefix + _SHOWN.get(name, name)


def actions_for(session: RunSession) -> list[Action]:
    """What can be done on this screen."""
    return [
        action
        for action in ACTIONS
        if not (action.steers and session.read_only)
        and (action.where is not Where.REPLAY or session.kind == "replay")
        and (action.id not in _ONLY_HERE or session.kind == "live")
    ]


def groups_for(session: RunSession, keymap: Keymap) -> tuple[Group, ...]:
    """The keys that do something on this screen, for the help."""
    told: dict[str, list[tuple[str, list[Action]]]] = {}
    for action in actions_for(session):
        if action.text:
            text = _LEFT[session.kind] if action.id in _LEAVING and session.kind != "live" else action.text
            told.setdefault(action.group, []).append((text, [action]))
        elif action.group:
            told[action.group][-1][1].append(action)
    return tuple(
        (group, tuple(Key(_together(actions, keymap), text) for text, actions in rows)) for group, rows in told.items()
    )


def _together(actions: Sequence[Action], keymap: Keymap) -> str:
    """``j k ↓ ↑`` for two actions with two keys each: the first of each first."""
    keys = zip_longest(*(map(shown, keys_of(action, keymap)) for action in actions))
    return " ".join(key for key in chain.from_iterable(keys) if key is not None)


def hints_for(session: RunSession, keymap: Keymap) -> tuple[Key, ...]:
    """What the key line of this screen says, most needed first."""
    actions = actions_for(session)
    hinted = sorted((action.rank, at) for at, action in enumerate(actions) if action.hint)
    return tuple(_hint(actions[at:], session, keymap) for _, at in hinted)


def _hint(actions: Sequence[Action], session: RunSession, keymap: Keymap) -> Key:
    """What the key line says of the first action: with its first key, and the sign of the next if both are signs."""
    first, *others = (shown(keys_of(action, keymap)[0]) for action in actions[:2])
    pair = others and not actions[1].text and _is_sign(first) and _is_sign(others[0])
    leaving = actions[0].id in _LEAVING and session.kind != "live"
    return Key(f"{first} {others[0]}" if pair else first, "leave" if leaving else actions[0].hint)


def _is_sign(key: str) -> bool:
    return len(key) == 1 and not key.isalnum()


def key_line(width: int, hints: Sequence[Key]) -> tuple[Span, ...]:
    """As many hints as fit into `width` cells."""
    spans = [Span(" ", PLAIN)]
    left = width - 1
    for keys, text in hints:
        cells = cell_len(keys) + 1 + cell_len(text)
        if cells > left:
            break
        spans += [Span(keys, Role.KEY), Span(f" {text}  ", Role.MUTED)]
        left -= cells + 2
    return tuple(spans)
