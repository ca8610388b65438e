"""What a unit's function has returned, in whatever process."""

from __future__ import annotations

from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType
from typing import Any


class Awaited:
    """A coroutine function as a function, for a process of its own, which has no event loop."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run the coroutine to its end; `Canceled` in between cancels it."""
        import asyncio  # most worker processes never need it, and it takes 20 ms

        return asyncio.run(self._function(*args, **keywords))


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
