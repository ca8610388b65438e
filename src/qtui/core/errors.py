"""The QtuiError family: what happened, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 3
EXIT_NOTHING_SELECTED = 5
EXIT_RUN_TIMEOUT = 124  # what timeout(1) of coreutils returns
EXIT_CANCELED = 130


class QtuiError(Exception):
    """Base of every error qtui raises on purpose; its text is one clear message for a person."""

    exit_code = EXIT_INTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a workflow.

    `where` is ``file:line`` if known, `key` the path of the offending key (``units.fetch.timeout``),
    `hint` what to do, for example ``did you mean "needs"?``.
    """

    message: str
    where: str | None = None
    key: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        key = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{key}{self.message}{hint}"


class InvalidWorkflow(QtuiError):
    """A workflow that cannot run; carries every fault found, not only the first."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CircularDependencyError(InvalidWorkflow):
    """Units that need each other; `path` names them in order, first and last being the same unit."""

    def __init__(self, problems: Iterable[Problem], path: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.path = path


class UsageError(QtuiError):
    """A command line or call that makes no sense as given."""

    exit_code = EXIT_USAGE


class WorkflowFailed(QtuiError):
    """A run that did not complete.

    `results` maps the ids of completed units to their values, `errors` the ids of the others to a text.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, results: Mapping[str, Any], errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.results = dict(results)
        self.errors = dict(errors)


class NoResult(QtuiError, KeyError):
    """A needed unit has no value to give; the message names its state and cause."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0])


class BrokenResult(QtuiError):
    """A needed unit's value could not be loaded where it is needed; the message names the unit that made it."""


class IllegalStep(QtuiError):
    """A unit was asked to go from one state to another that does not follow: a bug in qtui."""


class Canceled(BaseException):
    """Raised inside a unit that was asked to stop; a BaseException, so that ``except Exception`` lets it pass."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, or None when none is much like it."""
    from difflib import get_close_matches  # worker processes import this module and hardly ever need it

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint ``did you mean "x"?`` for the known word closest to `word`, or None when nothing is close."""
    close = closest(word, known)
    return f'did you mean "{close}"?' if close is not None else None
