"""What one searches logs for: text as it was typed, or a regular expression after a tilde.

Expressions are those of RE2, which takes a time that only grows with the text: one that backtracks could hold Python's
lock for ever. It also lets other threads go on while it searches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rich.style import Style

from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

REGULAR: Final = "~"
"""What a regular expression begins with."""

_MEMORY: Final = 4 << 20
_MEANINGLESS: Final = re.compile(r"(?<!\\)(?:\\\\)*\\([AzC])")
_WHY: Final = {"C": "bytes cannot be searched for", "A": "^ is the begin of a line", "z": "$ is the end of a line"}

FOUND: Final = Style(bold=True, underline=True)
"""Goes over the style of what was found."""


class BadPattern(ValueError):
    """A regular expression that is none; says why."""


class Pattern:
    """Finds `typed` in lines of text, in capitals or not. Raises BadPattern."""

    def __init__(self, typed: str) -> None:
        self.typed = typed
        regular = typed.startswith(REGULAR)
        if regular and len(typed) == len(REGULAR):
            raise BadPattern(f"a regular expression follows {REGULAR}")
        if regular and (found := _MEANINGLESS.search(typed)):
            raise BadPattern(f"\\{found[1]} has no meaning here; {_WHY[found[1]]}")
        import re2  # most runs are never searched

        options = re2.Options()
        options.case_sensitive = False
        options.never_nl = True  # many lines are searched at a time
        options.log_errors = False
        options.max_mem = _MEMORY
        raw = typed[len(REGULAR) :] if regular else re2.escape(typed)
        source = raw.encode("utf-8", "replace")
        try:
            re2.compile(source, options)  # alone: parentheses that do not match must not be balanced by ours
            self._of_text: Any = re2.compile(b"(?m)" + source, options)
            self._of_lines: Any = re2.compile(b"(?m)(?:" + source + b")[^\\n]*", options)
        except re2.error as error:
            raise BadPattern(_reason(error)) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.typed == self.typed

    def __hash__(self) -> int:
        return hash(self.typed)

    def matches(self, text: str) -> bool:
        """Whether it is in a line."""
        return self._of_text.search(text.encode("utf-8", "replace")) is not None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it is in a line, as places of characters; not where nothing is matched."""
        data = text.encode("utf-8", "replace")
        plain = len(data) == len(text)
        at = place = 0
        for match in self._of_text.finditer(data):
            start, end = match.span()
            if start == end:
                continue
            if plain:
                yield start, end
                continue
            place += len(data[at:start].decode())
            begin, at = place, end
            place += len(data[start:end].decode())
            yield begin, place

    def lines(self, data: bytes) -> Iterator[int]:
        """Where it is in many lines of text: a place in each of the lines that it is in."""
        latest_end = -1
        for match in self._of_lines.finditer(data):
            start, end = match.span()
            if start > latest_end:  # an empty line is found once more, behind the one before it
                yield start
            latest_end = end


def _reason(error: Exception) -> str:
    """What is wrong with an expression, in RE2's words."""
    words = error.args[0] if error.args else ""
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


def highlighted(line: Sequence[Span], pattern: Pattern, *, current: bool) -> tuple[Span, ...]:
    """`line` with what was found in it emphasized: underlined, or in the `current` line reversed."""
    text = "".join(span.text for span in line)
    found = list(pattern.spans(text))
    if not found:
        return tuple(line)
    shown: list[Span] = []
    at = 0
    for span in line:
        end = at + len(span.text)
        for start, stop in (*found, (end, end)):
            if stop <= at or at >= end:
                continue
            if start > at:
                shown.append(Span(span.text[at - end :][: min(start, end) - at], span.style))
                at = min(start, end)
            if at < min(stop, end):
                piece = span.text[at - end :][: min(stop, end) - at]
                shown.append(Span(piece, _emphasized(span.style, current=current)))
                at = min(stop, end)
    return tuple(shown)


def _emphasized(style: Style | Role, *, current: bool) -> Style:
    base = PLAIN if isinstance(style, Role) else style
    return base + (Style(bold=True, reverse=not base.reverse) if current else FOUND)
