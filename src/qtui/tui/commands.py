"""The command line of the screen: what a typed line asks for, and how a line may go on. Pure.

All verbs are rows of the table `VERBS`; completion and palette read it. Every action of a key can
be called by its id, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from qtui.core.errors import did_you_mean
from qtui.core.events import ConfirmRequested
from qtui.core.options import RunOptions
from qtui.core.state import RunView
from qtui.core.stimuli import ApproveRequested, CancelRunRequested
from qtui.tui import retrying, steering
from qtui.tui.actions import BY_ID, USUAL, Action, Keymap
from qtui.tui.editing import Bad, Kind, edit, fields_of, request_of, told
from qtui.tui.format import counted
from qtui.tui.keys import key_for
from qtui.tui.match import BadFilter, find_units, select
from qtui.tui.quoting import split
from qtui.tui.retrying import as_ever
from qtui.tui.steering import Answer, Ask, Do, Note, Option
from qtui.tui.text import clean

MARKED: Final = "marked"
"""The word for the marked units."""


class Takes(StrEnum):
    """What stands behind a verb, as the help writes it."""

    NOTHING = ""
    UNITS = "[UNITS]"
    UNIT = "UNIT"
    WORKERS = "N|+1|-1|auto"
    PRIORITY = "+N|-N|N [UNITS]"
    SETTING = "timeout|memory|cpus|command|env|args VALUE [UNITS]"
    FILTER = "[WORDS]"
    CHOICE = "NAME"


class Verb(NamedTuple):
    """A command: its name, what stands behind it, what it does, other names, and the id of the action that it is."""

    name: str
    takes: Takes
    text: str
    others: tuple[str, ...] = ()
    does: str = ""
    steers: bool = True


_N = Takes.NOTHING

VERBS: Final = (
    Verb("retry", Takes.UNITS, "run units again", ("rerun",)),
    Verb("cancel", Takes.UNITS, "stop units"),
    Verb("kill", Takes.UNITS, "kill units at once"),
    Verb("skip", Takes.UNITS, "do without units, and what needs them"),
    Verb("done", Takes.UNITS, "go on as if units had completed, with their fallbacks", ("mark-done",)),
    Verb("set", Takes.SETTING, "edit units, and run again those that have ended"),
    Verb("edit", _N, "edit units in a form", does="unit.edit"),
    Verb("priority", Takes.PRIORITY, "let units start earlier or later"),
    Verb("approve", Takes.UNITS, "say yes to units that ask", ("yes",)),
    Verb("release", _N, "let go of the brakes that hold starts"),
    Verb("workers", Takes.WORKERS, "how many units run at a time"),
    Verb("pause", _N, "start nothing new"),
    Verb("unpause", _N, "start units again", ("continue", "resume")),
    Verb("drain", _N, "end the run: let running units finish"),
    Verb("stop", _N, "end the run: stop running units now"),
    Verb("filter", Takes.FILTER, "show only units that match", ("find",), steers=False),
    Verb("goto", Takes.UNIT, "select a unit", ("go",), steers=False),
    Verb("view", Takes.CHOICE, "how the units are shown", steers=False),
    Verb("sort", Takes.CHOICE, "what the units are sorted by", steers=False),
    Verb("theme", Takes.CHOICE, "the colours", steers=False),
    Verb("follow", _N, "follow the end of the log, on and off", does="log.follow", steers=False),
    Verb("wrap", _N, "wrap long lines of the log, on and off", does="log.wrap", steers=False),
    Verb("gutter", _N, "times beside the lines of the log", does="log.gutter", steers=False),
    Verb("save", _N, "save the log to a file", does="log.save", steers=False),
    Verb("copy", _N, "copy a line", does="log.copy", steers=False),
    Verb("help", _N, "all keys", does="app.help", steers=False),
    Verb("detach", _N, "let the run go on without a screen", does="app.detach", steers=False),
    Verb("quit", _N, "leave", ("q", "exit"), does="app.leave", steers=False),
)
"""In the order in which they are offered."""

VERB_OF: Final = {name: verb for verb in VERBS for name in (verb.name, *verb.others)}
"""The verbs by all of their names."""


class Scene(NamedTuple):
    """What a line is about: the run, the units that actions go to and what these are called together, the marked ones,
    what keys can do here, and the names that some verbs choose from. `edited` tells how units differ on the disk, and
    `keymap` has the keys of the person."""

    view: RunView
    options: RunOptions
    targets: tuple[int, ...]
    label: str
    marks: frozenset[int] = frozenset()
    actions: tuple[Action, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = {}
    edited: Callable[[int], str] = as_ever
    mask: Callable[[str], str] = str
    keymap: Keymap = USUAL


class Act(NamedTuple):
    """Do what a key does."""

    action: Action


class Find(NamedTuple):
    """Set this filter; an empty one shows all."""

    words: str


class Goto(NamedTuple):
    """Select this unit."""

    unit: int


class Choose(NamedTuple):
    """Take the one of this name among the choices of a verb."""

    verb: str
    name: str


class Complaint(NamedTuple):
    """The line means nothing; why, and what would."""

    text: str


Deed = Answer | Act | Find | Goto | Choose


class _Wrong(ValueError):
    """The line means nothing; the message says why."""


def verbs_for(scene: Scene) -> list[Verb]:
    """What can be commanded here."""
    there = {action.id for action in scene.actions}
    steerable = any(action.steers for action in scene.actions)
    return [
        verb
        for verb in VERBS
        if (not verb.does or verb.does in there)
        and (verb.takes is not Takes.CHOICE or scene.choices.get(verb.name))
        and (steerable or not verb.steers)
    ]


def parse(line: str, scene: Scene) -> Deed | Complaint:
    """What a line asks for. What the run has to say about it is in the answer; only what means nothing is a complaint.
    An empty line is one, too, but says nothing."""
    word, _, rest = line.strip().removeprefix(":").lstrip().partition(" ")
    try:
        return _deed(word, rest.strip(), scene) if word else Complaint("")
    except (_Wrong, Bad, BadFilter) as wrong:
        return Complaint(str(wrong))


def _deed(word: str, rest: str, scene: Scene) -> Deed:
    verb = VERB_OF.get(word)
    action = BY_ID.get(verb.does if verb is not None else word)
    if verb is None and action is None:
        known = [*VERB_OF, *(each.id for each in scene.actions)]
        hint = did_you_mean(word, known) or "tab shows all"
        raise _Wrong(f"there is no command {clean(word)}; {hint}")
    if rest and (verb is None or verb.takes is Takes.NOTHING):
        raise _Wrong(f"{word} takes nothing behind it")
    if action is None:
        assert verb is not None
        return _commanded(verb, rest, scene)
    if all(each.id != action.id for each in scene.actions):
        raise _Wrong(f"{word} does nothing on this screen")
    return Act(action)


def _words(text: str) -> list[str]:
    """The words of the rest of a line; those with spaces stand in quotes."""
    try:
        return split(text)
    except ValueError:
        raise _Wrong("a quote is not closed") from None


def _commanded(verb: Verb, rest: str, scene: Scene) -> Deed:
    view = scene.view
    match verb.name:
        case "workers":
            return _workers(scene, rest)
        case "pause" | "unpause":
            return steering.pause(view, verb.name == "pause")
        case "drain" | "stop":
            return _end_run(view, verb.name)
        case "release":
            return steering.release(view)
        case "filter":
            find_units(view, rest)
            return Find(rest)
        case "goto":
            return _goto(view, rest)
        case "set":
            return _set(scene, rest)
        case "priority":
            return _priority(scene, _words(rest))
        case _:
            pass
    if verb.takes is Takes.CHOICE:
        return _choice(verb.name, rest, scene)
    units, label = _units(scene, _words(rest))
    match verb.name:
        case "retry":
            return retrying.retry(view, units, label, scene.edited, chosen=bool(rest), keymap=scene.keymap)
        case "cancel":
            return steering.cancel(view, units, label, scene.keymap)
        case "kill":
            return steering.kill(view, units, label)
        case "skip":
            return steering.set_aside(view, units, label, ("skip",), scene.keymap)
        case "done":
            return steering.set_aside(view, units, label, ("done",), scene.keymap)
        case "approve":
            return _approve(view, units, label, given=bool(rest))
    raise AssertionError(f"nobody carries out {verb.name}")


def _units(scene: Scene, words: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """The units that words mean, without words those that keys go to; and what they are called together."""
    if not words:
        return scene.targets, scene.label
    found: set[int] = set()
    others = []
    for word in words:
        if word == MARKED and MARKED not in scene.view.plan.numbers:
            if not scene.marks:
                raise _Wrong(f"no units are marked; {key_for('units.mark', scene.keymap)} marks one")
            found |= scene.marks
        else:
            others.append(word)
    found |= select(scene.view, others)
    if not found:
        raise _Wrong(f"nothing matches {clean(' '.join(words))}")
    return tuple(sorted(found)), counted(len(found), "unit")


def _workers(scene: Scene, text: str) -> Answer:
    view, cluster = scene.view, bool(scene.options.elsewhere)
    if text == "auto":
        return steering.adapt_workers(view, scene.keymap, cluster=cluster)
    try:
        number = int(text)
    except ValueError:
        raise _Wrong(f"workers {Takes.WORKERS}") from None
    if abs(number) > 1024 or number == 0:
        raise _Wrong("workers are from 1 to 1024")
    if text.startswith(("+", "-")):
        return steering.more_workers(view, number, scene.keymap, cluster=cluster)
    return steering.set_workers(view, number, scene.options.max_workers, cluster=cluster)


def _end_run(view: RunView, how: str) -> Answer:
    """The question of the key, with one answer."""
    asked = steering.cancel_run(view)
    if not isinstance(asked, Ask):
        return asked
    options = tuple(
        option
        for option in asked.options
        if isinstance(option.action, Do)
        and isinstance(option.action.request, CancelRunRequested)
        and option.action.request.how == how
    )
    return asked._replace(options=options) if options else Note("the run is ending already; :stop stops what runs")


def _goto(view: RunView, text: str) -> Goto:
    """The unit of this id, in quotes or not, or else the first one that the words find."""
    if not text:
        raise _Wrong(f"goto {Takes.UNIT}")
    numbers = view.plan.numbers
    name = text if text in numbers else " ".join(_words(text))
    if name in numbers:
        return Goto(numbers[name])
    found = find_units(view, text)
    if not found:
        raise _Wrong(f"nothing matches {clean(text)}")
    return Goto(found[0])


def _choice(verb: str, name: str, scene: Scene) -> Choose:
    names = scene.choices.get(verb, ())
    if not names:
        raise _Wrong(f"{verb} does nothing on this screen")
    if name not in names:
        raise _Wrong(f"{verb} {'|'.join(names)}")
    return Choose(verb, name)


def _priority(scene: Scene, words: Sequence[str]) -> Answer:
    if not words:
        raise _Wrong(f"priority {Takes.PRIORITY}")
    text = words[0]
    units, label = _units(scene, words[1:])
    typed = [(Kind.PRIORITY, "", text)]
    relative = text.startswith(("+", "-"))
    request = request_of(scene.view, units[:1] if relative else units, typed)  # raises Bad for what is no number
    step = int(text) if relative else request.priority
    return steering.prioritize(scene.view, units, label, step) if step else Note("that leaves the priority as it is")


def _set(scene: Scene, rest: str) -> Answer:
    """``timeout 5m train``, ``env A=1 train``, ``command "make all" train``: a value with spaces stands in quotes."""
    words = _words(rest)
    kind = words[0] if words else ""
    if kind not in list(Kind):
        hint = did_you_mean(kind, list(Kind)) or ""
        raise _Wrong(f"set {Takes.SETTING} {hint}".strip())
    if len(words) < 2:
        raise _Wrong(f"set {kind} needs {_VALUES[Kind(kind)]}")
    if kind == Kind.PRIORITY:
        return _priority(scene, words[1:])
    name, value = "", words[1]
    if kind in (Kind.ENV, Kind.ARGS):
        name, sign, value = words[1].partition("=")
        if not sign:
            raise _Wrong(f"set {kind} needs {_VALUES[Kind(kind)]}")
    units, label = _units(scene, words[2:])
    view, typed = scene.view, [(Kind(kind), name, value)]
    request = request_of(view, units, typed)
    fields = fields_of([view.plan.table[unit] for unit in units], scene.mask) if units else []
    changes = partial(told, fields, typed)
    return edit(view, scene.options, request, label, changes, scene.keymap)


_VALUES: Final[Mapping[Kind, str]] = {
    Kind.COMMAND: 'a command in quotes: "make all"',
    Kind.TIMEOUT: "a duration: 90s, 5m, 1h30m, or none",
    Kind.MEMORY: "a size: 512M, 4G, or none",
    Kind.CPUS: "a number",
    Kind.PRIORITY: "a number: 5, +1, -1",
    Kind.ARGS: "NAME=VALUE",
    Kind.ENV: "NAME=VALUE",
}


def _approve(view: RunView, units: Sequence[int], label: str, *, given: bool) -> Answer:
    if not given:
        return steering.answer(view, units[0] if len(units) == 1 else None)
    asking = tuple(unit for unit in units if isinstance(view.last[unit], ConfirmRequested))
    if not asking:
        return Note(f"none of {label} asks" if len(units) > 1 else f"{steering.named(view, units, label)} asks nothing")
    said = steering.named(view, asking, counted(len(asking), "unit"))
    question = f"{said}: {clean(view.plan.table[asking[0]].confirm)}" if len(asking) == 1 else f"start {said} that ask"
    yes = Option("y", "yes", Do(ApproveRequested(asking)))

    def still(now: RunView) -> bool:
        return steering.as_seen(view, asking)(now) and all(isinstance(now.last[n], ConfirmRequested) for n in asking)

    return Ask("Approve", question, (yes,), moot_when_ended=True, still=still)


_PUBLIC: Final = frozenset(Kind) - {Kind.ENV, Kind.ARGS}


def is_private(line: str) -> bool:
    """Whether a line may hold a secret, so that it is not to be kept."""
    words = line.strip().removeprefix(":").split(maxsplit=2)
    return words[:1] == ["set"] and len(words) > 1 and words[1] not in _PUBLIC
