"""What a unit's function has returned, in whatever process."""

from __future__ import annotations

from types import AsyncGeneratorType, CoroutineType
from typing import Any


def settled(value: Any) -> Any:
    """`value`, which a unit has returned. Raises TypeError for work that has not begun and never would."""
    if type(value) is CoroutineType:
        value.close()  # or Python would warn of it, too
        message = "a coroutine that nobody awaits: make the function async, and await it there"
    elif type(value) is AsyncGeneratorType:
        message = "an async generator, of which nothing has run: make the function async, and return a list"
    else:
        return value
    raise TypeError(f"{value.__qualname__}() returned {message}")
