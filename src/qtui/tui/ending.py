"""What a screen does when the run has ended: stay, leave at once, or leave after a countdown that any key stops."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from qtui.core.model import RunState
from qtui.core.state import RunView
from qtui.tui.format import run_word, short_clock

COUNTDOWN_SECONDS: Final = 10.0
"""How long a screen stays by itself on a run that has ended well."""

LONG_SECONDS: Final = 30.0
"""Nobody is taken to have watched a run of more than this to its end."""


class OnFinish(StrEnum):
    """What the person wants; ``auto`` stays where there is something to look into."""

    AUTO = "auto"
    STAY = "stay"
    EXIT = "exit"


def leaves_after(wanted: OnFinish, view: RunView, kind: str) -> float | None:
    """How many seconds after the end of a run the screen leaves by itself; None if it stays.

    `kind` is that of the session. Who looks at the run of another terminal, or at a record, leaves when they like.
    """
    if view.finished is None or kind == "replay":
        return None
    # ended by a signal to the whole program: nobody may be there to press a key
    by_signal = view.state is RunState.INTERRUPTED and not view.ended_by
    if kind == "live" and by_signal:
        return 0.0
    if wanted is OnFinish.EXIT:
        return 0.0
    well = view.state is RunState.COMPLETED and view.finished.exit_code == 0 and not view.abandoned
    return COUNTDOWN_SECONDS if wanted is OnFinish.AUTO and kind == "live" and well else None


class Countdown:
    """The time until a screen leaves. Times are those of any clock that does not jump."""

    def __init__(self, now: float, seconds: float) -> None:
        self._over = now + seconds

    def over(self, now: float) -> bool:
        """Whether it is time to leave."""
        return now >= self._over

    def words(self, view: RunView, now: float) -> str:
        """How the run ended, and when the screen leaves."""
        left = max(1, math.ceil(self._over - now))
        word, _ = run_word(view)
        return f"{word} in {short_clock(lasted(view))}; quits in {left} s, any key stays"


def lasted(view: RunView) -> float:
    """For how many seconds a run was run that has ended; 0 if it has not."""
    return view.elapsed(view.finished.at) if view.finished is not None else 0.0


def is_heard(view: RunView, *, focused: bool) -> bool:
    """Whether the bell tells a person something that they do not see: another window has the focus, or the run took
    so long that they may not look any more."""
    return not focused or lasted(view) > LONG_SECONDS
