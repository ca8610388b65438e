"""Collects every fault of a workflow, with its place, so that all of them are told at once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import QuantumUnit, Source
from qtui.definition.values import Fault, Path

_PLACE: Final = re.compile(r"(.*?)(?::(\d+))?(?::(\d+))?", re.DOTALL | re.ASCII)

Locate = Callable[[Path, str], str | None]
"""Where a key is written (``file:line``, or ``file:line:column`` of the given text inside its value)."""


class Report:
    """The faults found so far, each of them once."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._secrets: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was found so far, in the order in which it was found."""
        return tuple(self._problems)

    @property
    def mask(self) -> Callable[[str], str] | None:
        """What replaces secrets in a text; None if there are none."""
        return TextMasker(masks_of(self._secrets)).quoting_text if self._secrets else None

    def hide(self, secrets: Iterable[str]) -> None:
        """Note texts that must not be told."""
        for secret in filter(None, secrets):
            self._secrets |= {secret, " ".join(secret.split())}  # messages of exceptions are put on one line

    def add(self, locate: Locate, path: Path, *faults: Fault) -> None:
        """Note faults of the value at `path`."""
        for fault in faults:
            full = path + fault.path
            self.extend(
                [
                    Problem(
                        message=fault.message,
                        where=locate(full, fault.needle),
                        key=shown_path(full) or None,
                        hint=fault.hint,
                    )
                ]
            )

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note problems that are already complete."""
        for problem in problems:
            self._problems.setdefault(problem)

    @property
    def told(self) -> tuple[Problem, ...]:
        """What was found so far, as people are told: file by file, from top to bottom, secrets masked."""
        places = {problem: _place(problem) for problem in self._problems}
        files = list(dict.fromkeys(file for file, *_ in places.values()))
        problems = sorted(places, key=lambda each: (files.index(places[each][0]), *places[each][1:]))
        if (mask := self.mask) is not None:
            problems = [_masked(each, mask) for each in problems]
        return tuple(dict.fromkeys(problems))

    def raise_if_any(self) -> None:
        """Raise InvalidWorkflow with all that is to be told, if there is something."""
        if self._problems:
            raise InvalidWorkflow(self.told)


def _masked(problem: Problem, mask: Callable[[str], str]) -> Problem:
    where, key, hint = (text and mask(text) for text in (problem.where, problem.key, problem.hint))
    return Problem(message=mask(problem.message), where=where, key=key, hint=hint)


def _place(problem: Problem) -> tuple[str, int, int]:
    """The file, line and column of a problem; 0 for what is not known."""
    found = _PLACE.fullmatch(problem.where or "")
    assert found is not None
    return found[1], int(found[2] or 0), int(found[3] or 0)


def reject(source: Source, path: Path, *faults: Fault) -> NoReturn:
    """Raise InvalidWorkflow for faults of what was written at `source`."""
    report = Report()
    report.add(lambda _path, _needle: str(source), path, *faults)
    raise InvalidWorkflow(report.problems)


def given_keys(dependencies: Iterable[str | QuantumUnit] | QuantumUnit, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a call has set, needs among them, by id: None is a value only for a fallback."""
    listed: Any = dependencies
    if isinstance(dependencies, QuantumUnit):
        listed = [dependencies.id]
    elif not isinstance(dependencies, str):
        listed = [each.id if isinstance(each, QuantumUnit) else each for each in dependencies]
    return set_keys({**keys, **({"dependencies": listed} if listed else {})})


def set_keys(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are set: None is a value only for a fallback."""
    return {name: value for name, value in keys.items() if value is not None or name == "fallback"}


def caller(*inside: str) -> Source:
    """The file and line that called into the files `inside`, from where this is called."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in inside:
        frame = frame.f_back
    return Source(file=shown_file(frame.f_code.co_filename), line=frame.f_lineno)


def shown_path(path: Path) -> str:
    """A key path as people write it: ``units.fetch.argv[2]``."""
    shown = ""
    for part in path:
        shown += part if part.startswith("[") or not shown else f".{part}"
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)


def shown_file(file: str) -> str:
    """A file's name as short as it is clear: relative if it is below the working directory."""
    try:
        return _seen_from(os.getcwd(), file)  # noqa: PTH109
    except (ValueError, OSError):  # another drive; the working directory is gone
        return file


@lru_cache(maxsize=256)  # a loop that adds units asks for the same file each time
def _seen_from(directory: str, file: str) -> str:
    relative = os.path.relpath(file, directory)
    return file if relative.startswith("..") or not os.path.isabs(file) else relative  # noqa: PTH117
