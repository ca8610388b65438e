"""How a line of the command line may go on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from qtui.core.state import RunView
from qtui.tui.commands import MARKED, VERB_OF, Scene, Takes, Verb, verbs_for
from qtui.tui.editing import Kind, fields_of
from qtui.tui.match import FINER_WORDS, STATE_WORDS
from qtui.tui.quoting import QUOTES, last_word, quoted, split
from qtui.tui.text import clean

MOST_OFFERED: Final = 50
"""Candidates of a completion; nobody reads more."""


class Completion(NamedTuple):
    """How the last word of a line may go on: it begins at `start`, and `words` may stand in its place, in quotes where
    they need some. `usage` is what the verb takes."""

    start: int
    words: tuple[str, ...]
    usage: str = ""


def complete(line: str, scene: Scene) -> Completion:
    """What may stand in the place of the last word of `line`, best first, at most `MOST_OFFERED`; and how its verb is
    used. O(units)."""
    start = last_word(line)
    words, last = split(line[:start]), line[start:]
    if not words:
        names = [verb.name for verb in verbs_for(scene)]
        return Completion(start, _beginning(last, [*names, *(action.id for action in scene.actions)]))
    verb = VERB_OF.get(words[0])
    if verb is None:
        return Completion(start, ())
    usage = f"{verb.name} {verb.takes}".strip()
    return Completion(start, _beginning(last, _following(verb, words[1:], last, scene)), usage)


def _following(verb: Verb, words: Sequence[str], last: str, scene: Scene) -> Iterable[str]:
    """What may stand behind a verb and some words."""
    match verb.takes:
        case Takes.UNITS:
            return _unit_words(scene)
        case Takes.UNIT:
            return _ids(scene.view) if not words else ()
        case Takes.WORKERS:
            return ("auto", "+1", "-1") if not words else ()
        case Takes.FILTER:
            tags = (tag for tag in _tags(scene.view) if " " not in tag)  # a filter knows no quotes
            return (*(f"state:{word}" for word in (*STATE_WORDS, *FINER_WORDS)), *tags)
        case Takes.CHOICE:
            return scene.choices.get(verb.name, ()) if not words else ()
        case Takes.PRIORITY:
            return ("+1", "-1") if not words else _unit_words(scene)
        case Takes.SETTING:
            return _setting_words(words, last, scene)
        case _:
            return ()


def _setting_words(words: Sequence[str], last: str, scene: Scene) -> Iterable[str]:
    if not words:
        return [str(kind) for kind in Kind]
    if len(words) > 1:
        return _unit_words(scene)
    if words[0] in (Kind.ENV, Kind.ARGS) and "=" not in last:
        table = scene.view.plan.table
        fields = fields_of([table[unit] for unit in scene.targets], scene.mask) if scene.targets else []
        return [f"{field.name}=" for field in fields if field.kind == words[0] and not field.locked]
    return ("none",) if words[0] in (Kind.TIMEOUT, Kind.MEMORY) else ()


def _unit_words(scene: Scene) -> Iterator[str]:
    """Words that mean units: states first, as there are few."""
    yield from ("failed", "canceled")
    if scene.marks:
        yield MARKED
    yield from _ids(scene.view)
    yield from (f"state:{word}" for word in (*STATE_WORDS, *FINER_WORDS))
    yield from _tags(scene.view)


def _ids(view: RunView) -> Iterator[str]:
    """The names of families, then the ids of units."""
    yield from view.plan.families
    yield from (unit.id for unit in view.plan.table)


def _tags(view: RunView) -> Iterator[str]:
    tags = {tag for unit in view.plan.table for tag in unit.tags}
    return (f"tag:{tag}" for tag in sorted(tags))


def _beginning(typed: str, words: Iterable[str]) -> tuple[str, ...]:
    """The words that begin with what was typed, each once, as they have to be typed; not those that nobody can type."""
    start = typed[1:] if typed.startswith(QUOTES) else typed
    found: dict[str, None] = {}
    for word in words:
        if word.startswith(start) and word and clean(word) == word:
            found[quoted(word)] = None
            if len(found) == MOST_OFFERED:
                break
    return tuple(found)


def common_beginning(words: Sequence[str]) -> str:
    """The longest text that all of the words begin with."""
    if not words:
        return ""
    least, most = min(words), max(words)
    at = next((at for at, sign in enumerate(least) if at >= len(most) or most[at] != sign), len(least))
    return least[:at]
