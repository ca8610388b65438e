"""Keys that people choose: their names, those that no program gets, and what two actions cannot share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from textual.keys import REPLACED_KEYS, Keys, _character_to_key, key_to_character

from qtui.core.errors import did_you_mean
from qtui.tui.actions import BY_ID, NO_KEY, Keymap, clashes
from qtui.tui.keys import text_of

_MODIFIERS: Final = ("alt", "ctrl", "shift")
"""In the order in which Textual names them."""

_NAMED: Final = frozenset(
    key.value for key in Keys if key.value.isidentifier() and not key.value.startswith(("control", "scroll", "sigint"))
)
_SAME_AS: Final = {"ctrl+m": "enter", "ctrl+i": "tab", "ctrl+h": "backspace", "ctrl+j": "enter", "return": "enter"}
_OWNED: Final = {
    "ctrl+s": "terminals stop their output with it",
    "ctrl+q": "terminals go on with their output with it",
    "ctrl+z": "it goes to the shell, as everywhere",
    "ctrl+a": "screen begins its commands with it",
    "ctrl+b": "tmux begins its commands with it",
    "ctrl+backslash": "it tells what all threads do",
    "f10": "terminals open their menu with it",
    "f11": "terminals fill the whole screen with it",
}


class Fault(NamedTuple):
    """What is wrong with the keys that were chosen for an action, and what to do."""

    action: str
    message: str
    hint: str = ""


def key_name(text: str) -> str | None:
    """Textual's name of a key that a person writes as its sign (``?``) or by name (``ctrl+r``); None if it has none."""
    at = len(text) - 1 if text.endswith("+") else text.rfind("+") + 1  # the plus at the end is the key
    modifiers = [each for each in text[:at].lower().split("+") if each] if at > 0 else []
    if "+".join([*modifiers, text[at:]]) != text[:at].lower() + text[at:] or not set(modifiers) <= set(_MODIFIERS):
        return None
    name = _base_name(text[at:])
    if name is None or len(set(modifiers)) < len(modifiers):
        return None
    if len(name) == 1 and name.isalpha():
        if "shift" in modifiers:
            modifiers.remove("shift")  # terminals send the capital
            name = name.upper()
        if "ctrl" in modifiers:
            name = name.lower()
        elif "alt" in modifiers and name.isupper():
            modifiers, name = [*modifiers, "shift"], name.lower()  # as Textual calls it
    return "+".join([*sorted(modifiers), name])


def _base_name(key: str) -> str | None:
    """The name of a key without modifiers."""
    if len(key) == 1:
        return _character_to_key(key) if key.isprintable() else None
    name = {"esc": "escape", "pgup": "pageup", "pgdn": "pagedown", "del": "delete"}.get(key.lower(), key.lower())
    return name if name in _NAMED or key_to_character(REPLACED_KEYS.get(name, name)) is not None else None


def check_keys(chosen: Mapping[str, object]) -> tuple[dict[str, str], list[Fault]]:
    """The keymap of what was chosen for ids of actions, a key or a list of them, and all that is wrong with it."""
    keymap: dict[str, str] = {}
    faults: list[Fault] = []
    for action, value in chosen.items():
        if action not in BY_ID:
            hint = did_you_mean(action, BY_ID) or "`qtui keys` lists the actions"
            faults.append(Fault(action, "there is no such action", hint))
            continue
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            faults.append(Fault(action, "is a key, or a list of keys", f'as in "{action}" = ["r", "ctrl+r"]'))
            continue
        names, wrong = _names_of(action, texts)
        faults += wrong
        if names or not wrong:
            keymap[action] = ",".join(dict.fromkeys(names)) or NO_KEY
    return keymap, [*faults, *_clashing(keymap)]


def _names_of(action: str, texts: list[str]) -> tuple[list[str], list[Fault]]:
    names: list[str] = []
    faults: list[Fault] = []
    for text in texts:
        name = key_name(text)
        if text == NO_KEY:
            continue
        if name is None:
            hint = did_you_mean(text.lower(), _NAMED) or "`qtui keys --press` tells the name of a key"
            faults.append(Fault(action, f'there is no key "{text}"', hint))
        elif name in _SAME_AS:
            faults.append(Fault(action, f'no terminal tells "{text}" from {_SAME_AS[name]}', "choose another key"))
        elif _is_alt_ctrl_letter(name):
            ctrl = name.removeprefix("alt+")
            faults.append(Fault(action, f'terminals send {ctrl} for "{text}", or nothing', "choose another key"))
        elif (why := _owner(name)) and name not in BY_ID[action].keys.split(","):
            faults.append(Fault(action, f'"{text}" cannot be used: {why}', "choose another key"))
        else:
            names.append(name)
    return names, faults


def _is_alt_ctrl_letter(name: str) -> bool:
    """Whether this is a letter with both: only the keyboard protocol of a few terminals tells it from ctrl alone."""
    return name.startswith("alt+ctrl+") and len(name) == len("alt+ctrl+x")


def _owner(name: str) -> str:
    """What else a key is for, before it could get here; empty if that is nothing."""
    modifier, _, digit = name.rpartition("+")
    if modifier == "alt" and digit.isdigit():
        return "terminals change tabs with it"
    return _OWNED.get(name, "")


def _clashing(keymap: Keymap) -> Iterator[Fault]:
    """Keys that would mean two things because of the keymap."""
    usual = set(clashes({}))
    for key, one, other in clashes(keymap):
        if (key, one, other) not in usual:
            ours, theirs = (one, other) if one.id in keymap else (other, one)
            message = f'"{key}" is also the key of {theirs.id} ({text_of(theirs, keymap)})'
            yield Fault(ours.id, message, f"choose another key, or give {theirs.id} another one, too")
