"""Sees to it that a person gets the terminal back, whatever the screen waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

LEAVING_TICKS: Final = 5
"""A screen that is left takes some milliseconds to go."""

DEAF_TICKS: Final = 15
"""A screen that takes keys answers within milliseconds, and within a second or two on a machine with no core free."""

MOST_TASKS: Final = 20
"""So many are reported."""

_AT_REST: Final = frozenset({"_get_message", "_run_timer"})


@dataclass(slots=True)
class Patience:
    """How long a screen has been leaving, or has taken no keys, in ticks.

    Ticks of the loop that draws it, not seconds: where the whole process was stopped or had no core, nobody was late.
    """

    leaving: int = 0
    deaf: int = 0

    def over(self, *, leaving: bool, answered: bool) -> bool:
        """Another tick has passed; True if the screen will hardly do by itself what it has to."""
        self.leaving = self.leaving + 1 if leaving else 0
        self.deaf = 0 if answered else self.deaf + 1
        return self.leaving >= LEAVING_TICKS or self.deaf >= DEAF_TICKS


async def guarded(
    screen: asyncio.Task[Any],
    *,
    is_leaving: Callable[[], bool],
    ping: Callable[[Callable[[], None]], object],
    give_up: Callable[[str], None],
    tick: float,
) -> None:
    """Watch the task that is a screen until it has ended; cancel it if it does not end once it is left, or takes
    nothing that comes in any more. It is looked at every `tick` seconds.

    `ping` has the screen call a function when its turn comes. `give_up` is told what the screen waited for.
    """
    patience, heard = Patience(), asyncio.Event()
    heard.set()
    while not screen.done():
        answered = heard.is_set()
        if patience.over(leaving=is_leaving(), answered=answered):
            give_up(waits())
            screen.cancel()
            patience = Patience()
        if answered:
            heard.clear()
            ping(heard.set)
        await asyncio.sleep(tick)


def waits() -> str:
    """Where the tasks of this loop wait, a line each, without those that only wait for the next message or tick."""
    lines = []
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        path = list(_path(task.get_coro()))
        if not _AT_REST.intersection(path):
            lines.append(f"  {task.get_name()}: {' > '.join(path)}")
    return "\n".join(sorted(lines)[:MOST_TASKS])


def _path(coroutine: Any) -> Iterator[str]:
    """The functions that a suspended coroutine is in, from the outermost on."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield frame.f_code.co_name
        coroutine = coroutine.cr_await
