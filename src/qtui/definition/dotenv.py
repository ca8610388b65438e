"""Files of environment variables: ``NAME=VALUE`` lines, with ``export``, comments and quotes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qtui.core.errors import Problem
from qtui.definition.report import Locate, shown_file

REQUIRED: Final = "required:"
"""In front of a path: the file must be there."""

_NAME: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*", re.ASCII)
_DOUBLE: Final = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_SINGLE: Final = re.compile(r"'([^']*)'")
_BARE: Final = re.compile(r"[^\n]*")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_TAIL: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}


def read_env_files(
    files: Iterable[str], directory: str, locate: Locate = lambda _path, _needle: None
) -> tuple[dict[str, str], list[Problem]]:
    """The variables of all files, later ones over earlier ones, and what is wrong with the files, with its place.

    Paths start at `directory`; a file that is not there is a fault only with `REQUIRED` in front. `locate` tells where
    the files are named: that is the place of a fault of a whole file.
    """
    variables: dict[str, str] = {}
    problems: list[Problem] = []

    def refuse(message: str) -> None:
        where = locate(("workflow", "env_file"), "")
        problems.append(Problem(message=message, where=where, key="workflow.env_file"))

    for name in files:
        path = Path(os.path.normpath(os.path.join(directory, name.removeprefix(REQUIRED))))  # noqa: PTH118
        shown = shown_file(str(path))
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except FileNotFoundError:
            if name.startswith(REQUIRED):
                refuse(f"there is no file {shown}")
            continue
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            refuse(f"{shown} cannot be read: {why}")
            continue
        found, faults = parse_env(text)
        variables |= found
        problems += [Problem(message=message, where=f"{shown}:{line}", hint=hint) for line, message, hint in faults]
    return variables, problems


def parse_env(text: str) -> tuple[dict[str, str], list[tuple[int, str, str | None]]]:
    """The variables in `text`, and its faults: line, message and hint.

    Single quotes keep everything as it is, double quotes know ``\\n``, ``\\t``, ``\\r``, ``\\"`` and ``\\\\``; both may
    go over several lines. Nothing is substituted.
    """
    variables: dict[str, str] = {}
    faults: list[tuple[int, str, str | None]] = []
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)]
        if not line.strip() or line.lstrip().startswith("#"):
            at += len(line) + 1
            continue
        number = text.count("\n", 0, at) + 1
        match = _NAME.match(text, at)
        if match is None:
            # the line is not quoted: it may be a part of a secret
            faults.append((number, "is not a variable", "write NAME=VALUE"))
            at += len(line) + 1
            continue
        value, at, fault = _value(text, match.end())
        if fault is None and "\0" in value:
            fault = "the value contains a NUL character"
        if fault is not None:
            faults.append((number, f"{match[1]}: {fault}", None))
        variables[match[1]] = value
    return variables, faults


def _value(text: str, start: int) -> tuple[str, int, str | None]:
    """The value that begins at `start`, where the next line begins, and what is wrong."""
    line_end = text.find("\n", start)
    next_line = len(text) if line_end < 0 else line_end + 1
    for pattern, sign in ((_DOUBLE, '"'), (_SINGLE, "'")):
        if not text.startswith(sign, start):
            continue
        match = pattern.match(text, start)
        if match is None:
            return "", next_line, "the quote is never closed"
        tail = _TAIL.match(text, match.end())
        if tail is None:
            return "", next_line, "there is something behind the closing quote"
        content = _ESCAPE.sub(_unescaped, match[1]) if sign == '"' else match[1]
        return content, tail.end(), None
    bare = _BARE.match(text, start)
    assert bare is not None
    return _COMMENT.sub("", bare[0]).strip(), next_line, None


def _unescaped(match: re.Match[str]) -> str:
    """The sign that an escape means; an unknown escape stays as it is."""
    sign = match[1]
    return _ESCAPED.get(sign, sign if sign in '"\\$' else match[0])
