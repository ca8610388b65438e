"""The keys as people read about them: for the key line and the help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Final, NamedTuple

from qtui.core.session import RunSession
from qtui.tui.actions import (
    ACTIONS,
    ALONE,
    ALONE_ON_A_CLUSTER,
    BY_ID,
    INNER,
    ON_A_CLUSTER,
    USUAL,
    Action,
    Keymap,
    Where,
    keys_of,
)


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
    "exclamation_mark": "!", "less_than_sign": "<", "greater_than_sign": ">",
}  # fmt: skip
_IN_TEXT: Final = re.compile(r"\{([a-z_.]+)\}")
_ONLY_HERE: Final = frozenset({"app.detach", "app.suspend"})
_LEAVING: Final = frozenset({"app.leave", "app.interrupt"})
_LEFT: Final = {"attached": "quit; the run goes on", "replay": "quit"}
_AFTER_THE_END: Final = frozenset({"unit.retry", "unit.retry_all", "unit.edit"})
"""What is asked of a run that has ended, too: it goes on then."""

_OF_A_SELECTION: Final = frozenset({"unit.open", "unit.retry", "unit.cancel", "unit.edit", "units.mark"})
_GO_ON: Final = BY_ID["run.pause"]._replace(hint="go on", rank=0)
"""How to go on is what people need first in a run that is paused."""

_OF_FAILURES: Final = frozenset({"unit.next_failed", "unit.retry_all"})

_PARTS: Final = {
    "units": frozenset({Where.TREE}),
    "log": frozenset({Where.LOG, Where.LINES}),
    "details": frozenset({Where.DETAILS, Where.CURSOR, Where.LINES}),
    "events": frozenset({Where.EVENTS, Where.CURSOR, Where.LINES}),
    "timeline": frozenset({Where.TIMELINE, Where.CURSOR, Where.LINES}),
}
"""What answers keys in the panes; in others it is lines."""


class Place(NamedTuple):
    """Where a person is: what decides which keys are worth a hint.

    `pane` is the one with the focus. Keys act on something if it is `selected` or marked; the run has `ended`, has
    `failed` units, `asks`, or is `paused`; units are `filtered`, the log is `searched`, and the pane is `zoomed`.
    """

    pane: str = "units"
    selected: bool = True
    ended: bool = False
    failed: bool = True
    asks: bool = True
    filtered: bool = False
    searched: bool = False
    zoomed: bool = False
    paused: bool = False


def shown(key: str) -> str:
    """How people write a key: ``^d`` for ``ctrl+d``."""
    *modifiers, name = key.split("+")
    prefix = "".join({"ctrl": "^", "shift": "S-", "alt": "M-"}.get(each, f"{each}+") for each in modifiers)
    return prefix + _SHOWN.get(name, name)


def key_for(action: str, keymap: Keymap) -> str:
    """The first key of the action with this id as people write it; for one without a key its command instead.

    Whatever names a key to a person asks here: they may have chosen another one.
    """
    return next(map(shown, keys_of(BY_ID[action], keymap)), f":{action}")


def text_of(action: Action, keymap: Keymap = USUAL, *, cluster: bool = False) -> str:
    """What an action does, told alone, in a run here or on a `cluster`."""
    there = ALONE_ON_A_CLUSTER.get(action.id) if cluster else None
    return _with_keys(there or ALONE.get(action.id) or action.text, keymap)


def _with_keys(text: str, keymap: Keymap) -> str:
    return _IN_TEXT.sub(lambda found: key_for(found[1], keymap), text)


def actions_for(session: RunSession) -> list[Action]:
    """What can be done on this screen."""
    return _possible(session.kind, session.read_only, bool(session.options.elsewhere))


def _possible(kind: str, read_only: bool, cluster: bool) -> list[Action]:
    return [
        ON_A_CLUSTER.get(action.id, action) if cluster else action
        for action in ACTIONS
        if not (action.steers and read_only)
        and (action.where is not Where.REPLAY or kind == "replay")
        and (action.id not in _ONLY_HERE or kind == "live")
    ]


def groups_for(session: RunSession, keymap: Keymap) -> tuple[Group, ...]:
    """The keys that do something on this screen, for the help."""
    told: dict[str, list[tuple[str, list[Action]]]] = {}
    for action in actions_for(session):
        if action.text:
            text = _LEFT[session.kind] if action.id in _LEAVING and session.kind != "live" else action.text
            told.setdefault(action.group, []).append((_with_keys(text, keymap), [action]))
        elif action.group:
            told[action.group][-1][1].append(action)
    return tuple(
        (group, tuple(Key(keys, text) for text, actions in rows if (keys := _together(actions, keymap))))
        for group, rows in told.items()
    )


def _together(actions: Sequence[Action], keymap: Keymap) -> str:
    """``j k ↓ ↑`` for two actions with two keys each: the first of each first."""
    keys = zip_longest(*(map(shown, keys_of(action, keymap)) for action in actions))
    return " ".join(key for key in chain.from_iterable(keys) if key is not None)


FILTER_KEYS: Final = (Key("enter", "keep the filter"), Key("esc", "drop it"), Key("up down", "previous, next match"))
"""What the key line says while a filter is typed; these keys are fixed."""


def hints_for(session: RunSession, keymap: Keymap, place: Place = Place()) -> tuple[Key, ...]:  # noqa: B008  - a value
    """What the key line says: the keys that do something here and now, most needed first."""
    return _hints(session.kind, session.read_only, bool(session.options.elsewhere), frozenset(keymap.items()), place)


@lru_cache(256)
def _hints(
    kind: str, read_only: bool, cluster: bool, keymap: frozenset[tuple[str, str]], place: Place
) -> tuple[Key, ...]:
    chosen = dict(keymap)
    parts = _PARTS.get(place.pane, frozenset({Where.LINES}))
    actions = [
        _GO_ON if place.paused and action.id == _GO_ON.id else action
        for action in _possible(kind, read_only, cluster)
        if action.where not in INNER - parts
    ]
    inner = {key for action in actions if action.where in parts for key in keys_of(action, chosen)}

    def is_meant(action: Action) -> bool:
        keys = keys_of(action, chosen)  # what the pane does with a key is what the key does
        return bool(keys) and (action.where in parts or keys[0] not in inner) and _acts(action, place)

    def need(action: Action) -> tuple[bool, int]:
        return action.id != "screen.back" and not (place.pane == "log" and action.group == "Log"), action.rank

    hinted = sorted((need(action), at) for at, action in enumerate(actions) if action.hint and is_meant(action))
    return tuple(_hint(actions[at:], chosen) for _, at in hinted)


def _acts(action: Action, place: Place) -> bool:
    """Whether an action does something at this place."""
    if place.ended and (action.id == "app.detach" or (action.steers and action.id not in _AFTER_THE_END)):
        return False
    return (
        (place.selected or action.id not in _OF_A_SELECTION)
        and (place.failed or action.id not in _OF_FAILURES)
        and (place.asks or action.id != "unit.answer")
        and (place.filtered or action.id != "filter.next")
        and (place.searched or action.id != "search.next")
        and (place.zoomed or action.id != "screen.back")
    )


def _hint(actions: Sequence[Action], keymap: Keymap) -> Key:
    """What the key line says of the first action: with its first key, and the sign of the next if both are signs."""
    first, *others = (shown(keys[0]) for action in actions[:2] if (keys := keys_of(action, keymap)))
    pair = others and not actions[1].text and _is_sign(first) and _is_sign(others[0])
    return Key(f"{first} {others[0]}" if pair else first, actions[0].hint)


def _is_sign(key: str) -> bool:
    return len(key) == 1 and not key.isalnum()
