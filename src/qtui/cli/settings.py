"""What a person has set for good: variables ``QTUI_…`` of the environment, and a file of their own.

A setting has the name of a flag of ``qtui run``, and is read as the flag is. The flag comes first, then the variable,
then the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from qtui.core.errors import InvalidWorkflow, Problem, UsageError, closest, did_you_mean

SETTABLE: Final = (
    "ui", "color", "ascii", "theme", "output", "timestamps", "prefix", "on_finish", "quiet", "verbose", "workers",
    "min_workers", "max_workers", "keep_going", "timeout", "no_cache", "state_dir",
)  # fmt: skip
"""The flags that may be set for good. Others say what one run is about."""

KEYS: Final = "keys"
"""The table of the file that gives actions other keys."""

PREFIX: Final = "QTUI_"

_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}

Flags = Mapping[str, argparse.Action]
"""What reads the value of a flag, by its name."""


class ChosenKeys(NamedTuple):
    """The keys of an action as they stand in the file, and where."""

    value: object
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set, what is wrong with it, and what is only worth a word.

    `keys` have not been looked at yet, as only screens need them.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, ChosenKeys] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    doubts: tuple[Problem, ...] = ()

    def check(self) -> None:
        """Raise UsageError that tells every fault, if there are any."""
        if self.problems:
            raise UsageError("\n".join(map(str, self.problems)))


NOTHING_SET: Final = Settings()
_NOT_SET: Final = object()


def give_way(options: argparse.Namespace, settings: Settings) -> None:
    """Take back what is set where the command line says something that contradicts it."""
    typed = {name: value for name, value in vars(options).items() if settings.values.get(name, _NOT_SET) != value}
    if typed.get("verbose"):
        options.quiet = False
    elif typed.get("quiet"):
        options.verbose = False
    if isinstance(typed.get("workers"), int):
        options.min_workers, options.max_workers = typed.get("min_workers"), typed.get("max_workers")
    elif typed.get("min_workers") or typed.get("max_workers"):
        options.workers = typed.get("workers")
    if (typed.get("detach") or typed.get("dry_run")) and settings.values.get("ui") == "tui" and "ui" not in typed:
        options.ui = "auto"


def config_file(environ: Mapping[str, str]) -> Path:
    """Where a person's own file is, or would be."""
    config = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not config.is_absolute():  # which is to be ignored, says the XDG specification
        config = Path(environ.get("HOME") or "~").expanduser() / ".config"
    return config / "qtui" / "config.toml"


def read_settings(environ: Mapping[str, str], flags: Callable[[], Flags]) -> Settings:
    """What is set in the environment and in the file. Faults are kept, not raised; `flags` are only asked for if there
    is something to read."""
    path = config_file(environ)
    named = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    if not named and not _is_there(path):
        return NOTHING_SET
    reading = _Reading(flags())
    reading.file(path)
    reading.environment(named)
    reading.contradictions()
    return Settings(
        values=reading.values, keys=reading.keys, problems=tuple(reading.problems), doubts=tuple(reading.doubts)
    )


def _is_there(path: Path) -> bool:
    """Whether there is a file; where nobody may look there may be one, and reading it tells why it cannot be."""
    try:
        path.lstat()  # also a link that leads nowhere is there: reading it tells so
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


class _Reading:
    """Reads one place after the other; what comes later counts."""

    def __init__(self, flags: Flags) -> None:
        self._flags = {name: flags[name] for name in SETTABLE if name in flags}
        self.values: dict[str, Any] = {}
        self._places: dict[str, Problem] = {}
        self.keys: dict[str, ChosenKeys] = {}
        self.problems: list[Problem] = []
        self.doubts: list[Problem] = []

    def file(self, path: Path) -> None:
        """What the file sets, if there is one."""
        if not _is_there(path):
            return
        from qtui.loaders.document import Document  # most people have no such file

        try:
            document = Document.read(path)
        except InvalidWorkflow as error:
            self.problems += error.problems
            return
        for name, value in document.tables.items():
            where = document.locate((name,), "")
            if name == KEYS:
                self._take_keys(value, where, document.locate)
            elif (flag := self._flags.get(name)) is None:
                hint = did_you_mean(name, (*self._flags, KEYS)) or f"there are {', '.join((*self._flags, KEYS))}"
                self.problems.append(Problem(message=f'there is no setting "{name}"', where=where, hint=hint))
            else:
                self._set(name, partial(_typed, flag, value), Problem(message="", where=where, key=name))

    def environment(self, named: Mapping[str, str]) -> None:
        """What variables set; an empty one sets nothing."""
        for variable, text in named.items():
            name = variable.removeprefix(PREFIX).lower()
            if (flag := self._flags.get(name)) is not None:
                if text:
                    self._set(name, partial(_read, flag, text), Problem(message="", where=variable))
            elif not _of_units(variable):
                self._doubt(variable, name)

    def _set(self, name: str, read: Callable[[], Any], fault: Problem) -> None:
        """Set what `read` returns; if it refuses, `fault` gets its message."""
        try:
            self.values[name] = read()
            self._places[name] = fault
        except argparse.ArgumentTypeError as error:
            self.problems.append(replace(fault, message=str(error)))

    def contradictions(self) -> None:
        """Numbers of workers that cannot be true together, told where the smaller one is set: flags that say the same
        are told without a place."""
        for low, high in (("min_workers", "max_workers"), ("min_workers", "workers"), ("workers", "max_workers")):
            least, most = self.values.get(low), self.values.get(high)
            if isinstance(least, int) and isinstance(most, int) and least > most:
                self.problems.append(replace(self._places[low], message=f"{least} is more than {high} = {most}"))

    def _doubt(self, variable: str, name: str) -> None:
        """A variable that sets nothing may be somebody else's; one that is nearly one of ours is a slip."""
        meant = closest(name, self._flags)
        if meant is not None:
            hint = f'did you mean "{PREFIX}{meant.upper()}"?'
            self.doubts.append(Problem(message="this variable sets nothing", where=variable, hint=hint))

    def _take_keys(self, table: object, where: str, locate: Callable[[tuple[str, ...], str], str]) -> None:
        if not isinstance(table, dict):
            message = f"[{KEYS}] is a table of actions and keys"
            self.problems.append(Problem(message=message, where=where))
            return
        for path, value in _leaves(table):
            self.keys[".".join(path)] = ChosenKeys(value, locate((KEYS, *path), ""))


def _leaves(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """All that is no table: ``unit.retry = "r"`` and ``"unit.retry" = "r"`` are the same."""
    tables = [(path, table)]
    while tables:  # no recursion: keys may be nested as deeply as anybody likes
        above, inner = tables.pop()
        for name, value in inner.items():
            if isinstance(value, dict):
                tables.append(((*above, name), value))
            else:
                yield (*above, name), value


def _typed(flag: argparse.Action, value: object) -> Any:
    """The value of a flag as TOML has it. Raises ArgumentTypeError."""
    is_switch = flag.nargs == 0
    if is_switch and isinstance(value, bool):
        return value
    if is_switch:
        raise argparse.ArgumentTypeError("is either true or false")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise argparse.ArgumentTypeError(f'is written as behind its flag: "{flag.metavar or "WORD"}"')
    return _read(flag, str(value))


def _read(flag: argparse.Action, text: str) -> Any:
    """The value of a flag from a text. Raises ArgumentTypeError."""
    if flag.nargs == 0:
        if text.lower() not in _WORDS:
            raise argparse.ArgumentTypeError(f'"{text}" is neither 1 nor 0')
        return _WORDS[text.lower()]
    value = flag.type(text) if callable(flag.type) else text
    if flag.choices is not None and value not in flag.choices:
        known = ", ".join(map(str, flag.choices))
        raise argparse.ArgumentTypeError(f'"{text}" is none of {known}')
    return value


def _of_units(variable: str) -> bool:
    """Whether qtui itself sets a variable for units: a command of a unit may be qtui again."""
    from qtui.engine.variables import is_set_for_units

    return is_set_for_units(variable)
