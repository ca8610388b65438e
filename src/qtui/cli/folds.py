"""Folds on the pages of CI servers, and what keeps the output of units from giving these servers orders.

Such a server reads what a job prints: some lines fold what follows, others raise errors or set variables. What units
print is no such line, wherever it is read: also where nothing tells that a server reads (in a container of a job).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, Literal, TextIO

Server = Literal["", "github", "gitlab"]
"""Whose folds are written; none where it is empty."""

_ORDER: Final = re.compile(r"^\s*::(?=.*::)|##(?=[\w.-]*\[)|section_(?=(?:start|end):)")
"""Workflow commands of GitHub (``::error::``), those of GitHub and Azure in brackets (``##[error]``), and GitLab's
sections."""


def server_of(environ: Mapping[str, str]) -> Server:
    """The CI server that reads what this process prints, as far as its environment tells."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return "github"
    return "gitlab" if environ.get("GITLAB_CI") == "true" else ""


def harmless(line: str) -> str:
    """A line that no CI server takes for an order: one space more breaks it, and people still read it."""
    return _ORDER.sub(lambda found: f"{found[0][:-1]} {found[0][-1]}", line)


class Folds:
    """Makes the lines around a block of output that `server` folds; without one, of the title alone."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._number = 0

    def opened(self, title: str, now: float) -> str:
        """The line that begins a block; `title` stays to be seen, and is harmless."""
        self._number += 1
        match self._server:
            case "github":
                return f"::group::{title}"
            case "gitlab":
                return f"\x1b[0Ksection_start:{now:.0f}:{self._name}[collapsed=true]\r\x1b[0K{title}"
        return title

    def closed(self, now: float) -> str | None:
        """The line that ends the block that was opened last, if it takes one."""
        match self._server:
            case "github":
                return "::endgroup::"
            case "gitlab":
                return f"\x1b[0Ksection_end:{now:.0f}:{self._name}\r\x1b[0K"
        return None

    @property
    def _name(self) -> str:
        return f"qtui_{self._number}"


class Page:
    """Where lines go that people read, some of them on the page of a CI server."""

    def __init__(self, out: TextIO, server: Server = "") -> None:
        self._out, self._folds = out, Folds(server)

    def line(self, text: str) -> None:
        """Write a line."""
        self._write(harmless(text))

    def block(self, title: str, lines: Iterator[str], now: float) -> None:
        """Write a line and those that belong to it, folded if there are any; `now` is Unix seconds."""
        first = next(lines, None)
        if first is None:
            self.line(title)
            return
        self._write(self._folds.opened(harmless(title), now))
        for line in chain([first], lines):
            self.line(line)
        if (end := self._folds.closed(now)) is not None:
            self._write(end)

    def flush(self) -> None:
        """What was written is to be read now."""
        self._out.flush()

    def bell(self) -> None:
        """Ring the bell of the terminal."""
        self._out.write("\a")

    def _write(self, line: str) -> None:
        self._out.write(line.rstrip(" ") + "\n")
