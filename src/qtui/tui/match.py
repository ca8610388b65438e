"""The words by which people mean units: in the filter, where all of them must hold, and in commands, where each adds
units. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import translate
from typing import Final

from qtui.core.errors import closest
from qtui.core.events import ConfirmRequested, UnitFinished
from qtui.core.model import FAILURES, UnitState
from qtui.core.state import RunView
from qtui.tui.text import clean

STATE_WORDS: Final[Mapping[str, frozenset[UnitState]]] = {
    "wait": frozenset({UnitState.PENDING}),
    "queue": frozenset({UnitState.READY}),
    "run": frozenset({UnitState.RUNNING, UnitState.CANCELING}),
    "ok": frozenset({UnitState.COMPLETED}),
    "failed": FAILURES,
    "retry": frozenset({UnitState.RETRYING}),
    "stop": frozenset({UnitState.CANCELING}),
    "skip": frozenset({UnitState.SKIPPED}),
    "cancel": frozenset({UnitState.CANCELED}),
    "ended": frozenset(state for state in UnitState if state.ended),
}
"""What can stand behind ``state:``, and which states that means."""
FINER_WORDS: Final = ("time", "hit", "ask", "stale")
"""What else can stand there: timed out, taken from the cache, asking a person, perhaps out of date."""
_OTHERWISE: Final[Mapping[str, str]] = {
    "fail": "failed",
    "failure": "failed",
    "failures": "failed",
    "error": "failed",
    "running": "run",
    "waiting": "wait",
    "pending": "wait",
    "ready": "queue",
    "queued": "queue",
    "completed": "ok",
    "done": "ok",
    "cached": "hit",
    "retrying": "retry",
    "canceling": "stop",
    "stopping": "stop",
    "skipped": "skip",
    "canceled": "cancel",
    "cancelled": "cancel",
    "canc": "cancel",
    "timeout": "time",
    "asking": "ask",
    "finished": "ended",
}
_KEYS: Final = ("state", "tag")
_KEY: Final = re.compile(r"([a-z]+):(.*)", re.DOTALL | re.IGNORECASE)
_GLOB: Final = re.compile(r"[*?]")

_Test = Callable[[RunView, Iterable[int]], list[int]]


class BadFilter(ValueError):
    """Words that mean nothing; the message says which, and what would."""


def find_units(view: RunView, words: str) -> list[int]:
    """The units for which all of the `words` hold, in the order of the plan; without words, all units.

    A word is text anywhere in the name of the unit or of its item, whatever the case; a glob for the whole name;
    ``state:WORD``; ``tag:NAME`` (or a glob); or one of these behind ``!``, which must not hold. O(units).

    Raises BadFilter.
    """
    found: Collection[int] = range(len(view.plan))
    for word in words.split():
        wanted = not word.startswith("!")
        test = _test_of(word.removeprefix("!"), word)
        if wanted:
            found = test(view, found)
        else:
            without = set(test(view, found))
            found = [number for number in found if number not in without]
    return list(found)


def select(view: RunView, words: Iterable[str]) -> set[int]:
    """The units that any of the words of a command means: an id or a family as it is written, a glob, ``state:WORD``,
    ``tag:NAME``, or one of the words of states alone (``failed``). O(units).

    Raises BadFilter for a word that is none of these.
    """
    found: set[int] = set()
    for word in words:
        found |= _named(view, word)
    return found


def follows_states(words: str) -> bool:
    """True if other units may be found when states of units have changed."""
    return any(word.removeprefix("!").lower().startswith("state:") for word in words.split())


def _named(view: RunView, word: str) -> set[int]:
    plan = view.plan
    if (number := plan.numbers.get(word)) is not None:
        return {number}
    family = set(plan.families.get(word, ()))
    group = family or {
        number for number, unit in enumerate(plan.table) if word in (unit.group, f"{unit.group}{unit.item}")
    }
    if group:
        return group
    if _KEY.fullmatch(word) is not None or _GLOB.search(word):
        return set(_test_of(word, word)(view, range(len(plan))))
    state = _state_word(word)
    if state is not None:
        return set(_in_state(state)(view, range(len(plan))))
    alike = closest(word, plan.numbers)
    hint = f"; did you mean {clean(alike)}?" if alike is not None else ""
    raise BadFilter(f"there is no unit {clean(word)}{hint}")


def _test_of(word: str, typed: str) -> _Test:
    """What a word demands."""
    match = _KEY.fullmatch(word)
    if match is None:
        if not word:
            raise BadFilter(f"{clean(typed)} says nothing: !WORD is for what must not hold")
        return _by_glob(word) if _GLOB.search(word) else _by_text(word)
    key, value = match[1].lower(), match[2]
    if key == "tag":
        if not value:
            raise BadFilter("tag: needs the name of a tag")
        return _by_tag(value)
    if key == "state":
        state = _state_word(value, begun=True)  # it may be about to be typed
        if state is None:
            raise BadFilter(f"state:{clean(value)} is no state; there are {' '.join((*STATE_WORDS, *FINER_WORDS))}")
        return _in_state(state)
    return _by_text(word)


def _state_word(typed: str, *, begun: bool = False) -> str | None:
    """The word of a state in the tables above; `begun` lets the begin of a word do, where it is of one only."""
    word = typed.lower()
    word = _OTHERWISE.get(word, word)
    known = (*STATE_WORDS, *FINER_WORDS)
    if word in known:
        return word
    alike = [other for other in known if begun and word and other.startswith(word)]
    return alike[0] if len(alike) == 1 else None


def _in_state(word: str) -> _Test:
    states = STATE_WORDS.get(word)
    if states is not None:
        return lambda view, numbers: _those_in(states, view, numbers)
    return {"time": _timed_out, "hit": _cached, "ask": _asking, "stale": _stale}[word]


def _those_in(states: frozenset[UnitState], view: RunView, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if view.states[number] in states]


def _timed_out(view: RunView, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if view.states[number] is UnitState.TIMEOUT]


def _cached(view: RunView, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if isinstance(end := view.last[number], UnitFinished) and end.cached]


def _asking(view: RunView, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if isinstance(view.last[number], ConfirmRequested)]


def _stale(view: RunView, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if number in view.stale]


def _by_text(word: str) -> _Test:
    wanted = word.lower()

    def test(view: RunView, numbers: Iterable[int]) -> list[int]:
        table = view.plan.table
        return [
            number
            for number in numbers
            if wanted in (unit := table[number]).id.lower()
            or (unit.group and wanted in f"{unit.group}{unit.item}".lower())
        ]

    return test


def _by_glob(word: str) -> _Test:
    wanted = _glob(word)
    return lambda view, numbers: [number for number in numbers if wanted.match(view.plan.table[number].id)]


def _by_tag(name: str) -> _Test:
    wanted = _glob(name)
    return lambda view, numbers: [
        number for number in numbers if any(wanted.match(tag) for tag in view.plan.table[number].tags)
    ]


def _glob(text: str) -> re.Pattern[str]:
    """Brackets stand for themselves, as ids have them."""
    return re.compile(translate(text.replace("[", "[[]")), re.IGNORECASE)
