"""Frames of plain data between qtui and the small processes it starts itself.

marshal, not pickle: both ends are the same interpreter and trust each other, and it is there at once, where importing
pickle takes longer than the rest of a keeper's start.
"""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LENGTH = 4

MOST_BYTES = 1 << 26
"""The longest message; a longer one is none: what units write to descriptors that are not theirs may announce any."""


def frame(message: tuple[Any, ...]) -> bytes:
    """A message of numbers, texts, bytes, tuples, lists and dicts as bytes: their length in four bytes first."""
    body = marshal.dumps(message)
    return len(body).to_bytes(_LENGTH, "little") + body


class FrameReader:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[Any, ...]]:
        """The messages that `data` completes. Raises ValueError for what is no message."""
        pending = self._pending
        pending += data
        messages, start = [], 0
        while len(pending) - start >= _LENGTH:
            length = int.from_bytes(pending[start : start + _LENGTH], "little")
            if length > MOST_BYTES:
                raise ValueError("no message is that long")
            end = start + _LENGTH + length
            if len(pending) < end:
                break
            messages.append(marshal.loads(memoryview(pending)[start + _LENGTH : end]))  # our own process wrote it
            start = end
        del pending[:start]
        return messages
