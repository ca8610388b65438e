"""The one sanitizer: text that units wrote or were named by, made fit for a terminal.

`clean` is for names, errors and titles; `parse_line` is for output, whose colours it keeps. Whatever goes in, no
ESC, no control character but the tab (which both expand), no bidi control, nothing that cannot be seen and no lone
surrogate comes out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.style import Style

from qtui.tui.roles import Role

TAB_SIZE: Final = 8

_STRING: Final = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|(?=\x1b)|$)"
_CSI: Final = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
_ESCAPE: Final = r"\x1b[ -/]*[0-Z\\^-~]?"
_BIDI: Final = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
# what cannot be seen, or joins what stands around it: terminals disagree on the width of that, so whatever comes behind
# it in a row would stand elsewhere (Default_Ignorable_Code_Point of Unicode, and the interlinear marks)
_UNSEEN: Final = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROL: Final = f"[\x00-\x08\x0a-\x1f\x7f-\x9f{_BIDI}{_UNSEEN}]"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SEQUENCE: Final = re.compile(f"{_STRING}|{_CSI}|{_ESCAPE}|{_CONTROL}")
# the same, of many lines at a time: what begins with a class of characters is found ten times faster than a choice
_IN_LINES: Final = re.compile(
    _CONTROL.replace("\n", "\x0b")
    + r"(?:(?:(?<=\x1b)[\]PX^_]|(?<=[\x90\x98\x9d-\x9f]))[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|(?=[\x1b\n])|$)"
    + r"|(?:(?<=\x1b)\[|(?<=\x9b))[0-?]*[ -/]*[@-~]?"
    + r"|(?<=\x1b)[ -/]*[0-Z\\^-~]?"
    + "|)"
)
_SGR: Final = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]*)m")
_BREAKS: Final = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

PLAIN: Final = Style()


class Span(NamedTuple):
    """A piece of text in one style; a role has the style that the theme gives it."""

    text: str
    style: Style | Role


def clean(text: str) -> str:
    """`text` on one line, without anything that could steer a terminal; line breaks and tabs become a space."""
    if text.isascii() and text.isprintable():
        return text
    text = _BREAKS.sub(" ", text).replace("\t", " ")
    return _SURROGATE.sub("\ufffd", _SEQUENCE.sub("", text))


def clean_lines(text: str) -> list[str]:
    """`text` as lines, each made safe; tabs are expanded."""
    return ["".join(span.text for span in parse_line(line, colours=False)) for line in _BREAKS.split(text)]


def parse_line(line: str, *, colours: bool = True) -> list[Span]:
    """One line of output as styled spans: a carriage return keeps what follows it, as a terminal would show.

    Of all escape sequences only those that set colours, bold, dim, italic, underline, reverse and strike have an
    effect, and none if `colours` is false.
    """
    line = line.rstrip("\r\n")
    line = _SURROGATE.sub("\ufffd", line[line.rfind("\r") + 1 :])
    spans: list[Span] = []
    style, at, column = PLAIN, 0, 0
    for match in _SEQUENCE.finditer(line):
        column = _append(spans, line[at : match.start()], style, column)
        at = match.end()
        if colours and (sgr := _SGR.fullmatch(match[0])):
            style = _apply(style, sgr[1])
    _append(spans, line[at:], style, column)
    return spans


def plain_lines(text: str) -> str:
    """Lines of output without colours, each as `parse_line` has it: for text in bulk."""
    if "\r" in text:
        lines = text.replace("\r\n", "\n").split("\n")
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line for line in lines)
    text = _SURROGATE.sub("\ufffd", _IN_LINES.sub("", text))
    if "\t" not in text:
        return text
    if text.isascii():
        return text.expandtabs(TAB_SIZE)
    # a wide character takes two cells, of which expandtabs knows nothing
    return "\n".join(_without_tabs(line) if "\t" in line else line for line in text.split("\n"))


def _without_tabs(line: str) -> str:
    spans: list[Span] = []
    _append(spans, line, PLAIN, 0)
    return "".join(span.text for span in spans)


def _append(spans: list[Span], text: str, style: Style, column: int) -> int:
    """Add `text` with its tabs expanded; returns the column after it."""
    if not text:
        return column
    if "\t" in text:
        parts = []
        for piece in re.split(r"(\t)", text):
            filled = " " * (TAB_SIZE - column % TAB_SIZE) if piece == "\t" else piece
            column += cell_len(filled)
            parts.append(filled)
        text = "".join(parts)
    else:
        column += cell_len(text)
    spans.append(Span(text, style))
    return column


_ATTRIBUTES: Final[dict[int, Style]] = {
    1: Style(bold=True),
    2: Style(dim=True),
    3: Style(italic=True),
    4: Style(underline=True),
    7: Style(reverse=True),
    9: Style(strike=True),
    22: Style(bold=False, dim=False),
    23: Style(italic=False),
    24: Style(underline=False),
    27: Style(reverse=False),
    29: Style(strike=False),
    39: Style(color="default"),
    49: Style(bgcolor="default"),
}


@lru_cache(1024)
def _apply(style: Style, parameters: str) -> Style:
    """`style` after ``ESC [ parameters m``; parameters that are not on the list change nothing."""
    numbers = [int(part[:4]) if part else 0 for part in re.split("[;:]", parameters)]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            style = PLAIN
        elif code in (38, 48):
            style += _extended(code == 48, numbers)
        elif code in _ATTRIBUTES:
            style += _ATTRIBUTES[code]
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style += Style(color=Color.from_ansi(code - 30 if code < 90 else code - 82))
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style += Style(bgcolor=Color.from_ansi(code - 40 if code < 100 else code - 92))
    return style


def _extended(background: bool, numbers: list[int]) -> Style:
    """The colour that follows 38 or 48, taken off `numbers`: ``5;n`` or ``2;red;green;blue``."""
    kind = numbers.pop(0) if numbers else None
    wanted = {5: 1, 2: 3}.get(kind if kind is not None else -1, 0)
    values = [numbers.pop(0) for _ in range(min(wanted, len(numbers)))]
    if not wanted or len(values) < wanted or any(value > 255 for value in values):
        return PLAIN
    colour = Color.from_ansi(values[0]) if wanted == 1 else Color.from_rgb(*values)
    return Style(bgcolor=colour) if background else Style(color=colour)


def cut_end(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` in at most `width` cells, its end cut off if need be."""
    if cell_len(text) <= width:
        return text
    if width <= cell_len(ellipsis):
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - cell_len(ellipsis)).rstrip() + ellipsis


def longest_that_fits(texts: Sequence[str], width: int) -> str:
    """The first of `texts`, each shorter than the one before it, that `width` cells have room for; else the last."""
    return next((text for text in texts if cell_len(text) <= width), texts[-1] if texts else "")


def cut_middle(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` in at most `width` cells; if it is longer, its middle is left out, since names differ at both ends."""
    if cell_len(text) <= width:
        return text
    room = width - cell_len(ellipsis)
    if room < 2:
        return cut_end(text, width, ellipsis)
    head = set_cell_size(text, (room + 1) // 2)
    tail = set_cell_size(text[::-1], room // 2)[::-1]
    return f"{head}{ellipsis}{tail}"


def begin_of_all(texts: Sequence[str]) -> str:
    """The characters that all of these begin with."""
    first, last = min(texts), max(texts)  # the two that have least in common
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:same]


def pad(text: str, width: int) -> str:
    """`text` in exactly `width` cells: filled up with spaces or cut."""
    return set_cell_size(text, width)
