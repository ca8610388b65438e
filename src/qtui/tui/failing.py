"""Where in its output a unit says what it has died of. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MOST_LOOKED_AT: Final = 400
"""Lines at the end of the output of a unit that has failed; one that is further up is not looked for."""

_TELLING: Final = re.compile(r"\b(?:traceback|error|fatal|failed|failure|panic(?:ked)?|exception)\b", re.IGNORECASE)
_TRACEBACK: Final = "Traceback (most recent call last)"


def failing_line(lines: Sequence[str]) -> int | None:
    """The line that says what the last failure told of in `lines` was, if there is one: of a traceback its last one."""
    found = next((at for at in range(len(lines) - 1, -1, -1) if _TELLING.search(lines[at])), None)
    if found is None:
        return None
    begin = next((at for at in range(found, -1, -1) if lines[at].startswith(_TRACEBACK)), None)
    if begin is None:
        return found
    # its frames are indented, and source lines that it quotes may well speak of errors
    end = next((at for at in range(begin + 1, len(lines)) if lines[at][:1].strip()), found)
    return max(end, found)
