"""What the palette offers: all that can be done here, from the tables of keys and of commands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qtui.tui.actions import Action, Keymap, keys_of
from qtui.tui.commands import Scene, Takes, Verb, verbs_for
from qtui.tui.keys import shown, text_of
from qtui.tui.text import cut_end, pad

_MOVING = ("move.", "lines.", "log.left", "log.right", "screen.back")
_UNNEEDED = frozenset({"command.palette", "command.line"})


class Entry(NamedTuple):
    """One thing that can be done: its `name` on the command line, its key, and what it does. With `more` the line has
    to go on before it can be carried out."""

    name: str
    key: str
    text: str
    more: bool = False


def entries_for(scene: Scene, keymap: Keymap) -> list[Entry]:
    """All that makes sense now: keys first, then what only a command can do."""
    entries = [
        _of_action(action, keymap, bool(scene.options.elsewhere))
        for action in scene.actions
        if not action.id.startswith(_MOVING) and action.id not in _UNNEEDED
    ]
    keys = {action.does for action in scene.actions}
    verbs = [verb for verb in verbs_for(scene) if not verb.does and verb.name not in keys]
    return entries + [Entry(verb.name, ":", verb.text, _goes_on(verb)) for verb in verbs]


def _of_action(action: Action, keymap: Keymap, cluster: bool) -> Entry:
    keys = " ".join(shown(key) for key in keys_of(action, keymap)[:1])
    return Entry(action.id, keys, text_of(action, keymap, cluster=cluster))


def _goes_on(verb: Verb) -> bool:
    return verb.takes not in (Takes.NOTHING, Takes.UNITS)


def narrowed(entries: Sequence[Entry], words: str) -> list[Entry]:
    """The entries in which all of the words occur, whatever the case; those whose name begins so come first."""
    wanted = words.lower().split()
    found = [entry for entry in entries if all(word in f"{entry.name} {entry.text}".lower() for word in wanted)]
    first = wanted[0] if wanted else ""
    return sorted(found, key=lambda entry: not any(part.startswith(first) for part in entry.name.split(".")))


def row(entry: Entry, width: int, ellipsis: str) -> tuple[str, str, str]:
    """The key, what it does, and the name in `width` cells together; the name goes first where there is no room."""
    key = pad(entry.key, 6)
    name = f" {entry.name} " if width >= 56 else ""
    text = pad(cut_end(entry.text, width - len(key) - len(name), ellipsis), width - len(key) - len(name))
    return key, text, name
