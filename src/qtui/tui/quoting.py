"""The words of a typed line: those with spaces stand in quotes, as in a shell. Pure."""

from __future__ import annotations

import shlex
from typing import Final

QUOTES: Final = ("'", '"')


def split(text: str) -> list[str]:
    """The words of `text`, without their quotes. Raises ValueError if a quote is not closed."""
    return shlex.split(text)


def quoted(word: str) -> str:
    """`word` as it has to be typed: in quotes only where it would be another word, or several, without them."""
    try:
        if split(word) == [word]:
            return word
    except ValueError:
        pass  # a quote alone: it has to stand in others
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def last_word(text: str) -> int:
    """Where the last word of `text` begins; it may be empty yet, or have a quote that is not closed yet."""
    start, quote, escaped = 0, "", False
    for at, sign in enumerate(text):
        if escaped:
            escaped = False
        elif sign == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in QUOTES:
            quote = sign
        elif sign == " ":
            start = at + 1
    return start
