"""What the answers to a question would come to, worked out while it is on the screen: no question waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qtui.core.blast import Blast, blasts, does_other_work
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRunRequested, Request
from qtui.tui.format import counted
from qtui.tui.outlook import MOMENT, about, end_of, rounded, until_timeout
from qtui.tui.text import clean

Shorter = tuple[str, ...]
"""The same in fewer and fewer words; empty if there is nothing to tell."""

_PAUSE: Final = 0.002
"""Seconds between two steps, of one or two milliseconds each: half of a core is left to the screen."""
_MOST_NAMED: Final = 2
_IN_TIME: Final = {
    (True, False): "will not complete",
    (True, True): "may not complete",
    (False, False): "more complete",
    (False, True): "more may complete",
}
"""What is said of units by whether time runs out for them, and whether that is guessed."""
_SAME: Final = 0.02
"""Of the time left: what is no more than that adds no time."""


class Foresight:
    """Works out on a thread what becomes of the run after each of `requests`. `texts` has that in their order, in words
    that become shorter: None while it is not known, and empty if there is nothing to tell. `ask_past` is asked there
    what units took in earlier runs."""

    def __init__(
        self, session: RunSession, requests: Sequence[Request], ask_past: Callable[[], Mapping[str, Sequence[float]]]
    ) -> None:
        self._session, self._requests, self._ask_past = session, requests, ask_past
        self.texts: list[Shorter | None] = [None] * len(requests)
        self._stopped = threading.Event()
        # a daemon: nothing waits for it
        self._thread = threading.Thread(target=self._run, name="qtui-foresight", daemon=True)

    @property
    def done(self) -> bool:
        """True when no text is to come any more."""
        return None not in self.texts

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """The question was answered."""
        self._stopped.set()

    def _run(self) -> None:
        view, at = self._session.view(), 0
        try:
            past, now = self._ask_past(), self._session.now()
            for blast in blasts(view, self._session.options, self._requests, past, now=now):
                if blast is not None:
                    self.texts[at] = told(blast, self._requests[at], view, now)
                    at += 1
                if self._stopped.wait(_PAUSE):
                    return
        finally:  # whatever went wrong, the question stands
            self.texts[at:] = [()] * (len(self.texts) - at)


def told(blast: Blast, request: Request, view: RunView, now: float) -> Shorter:
    """``adds about 3m, skips merge and 12 more, keeps 40 results``, ``adds about 3m, skips 13, keeps 40``."""
    ends = isinstance(request, CancelRunRequested)
    time = limit = ""
    if blast.late:
        time = f"{abs(blast.late):,} {_IN_TIME[blast.late > 0, blast.guessed]} in time"
    elif blast.left is not None and blast.added is not None:
        time = _time(blast.left, blast.added, ends=ends or view.state.ended)
        if ends and blast.awaited:
            time, limit = _awaiting(blast.left, blast.awaited, view, now)
    elif does_other_work(request):
        time = "how long it takes is not known"
    skips, runs = () if ends else blast.skipped, blast.again
    kept = blast.kept if blast.skipped or runs else 0
    units = [(word, numbers) for word, numbers in (("skips", skips), ("runs", runs)) if numbers]
    named = [f"{word} {_named(numbers, view)}" for word, numbers in units]
    long = (f"{time}{limit}", *named, f"keeps {counted(kept, 'result')}" if kept else "")
    short = (*(f"{word} {len(numbers):,}" for word, numbers in units), f"keeps {kept:,}" if kept else "")
    shorter = (long, (f"{time}{limit}", *short), (time, *short))
    return tuple(dict.fromkeys(text for parts in shorter if (text := ", ".join(filter(None, parts)))))


def _named(numbers: Sequence[int], view: RunView) -> str:
    names = [clean(view.plan.table[number].id) for number in numbers[:_MOST_NAMED]]
    return " and ".join(names) if len(names) == len(numbers) else f"{names[0]} and {len(numbers) - 1:,} more"


def _awaiting(left: float, awaited: Sequence[int], view: RunView, now: float) -> tuple[str, str]:
    """``takes about 20s if stuck ends``, and if that has a timeout, `` (times out in ~12m)``."""
    end = end_of(awaited, view)
    time = f"takes about {rounded(left)} if {end}" if left > MOMENT else f"ends when {end}"
    until = until_timeout(awaited[0], view, now) if len(awaited) == 1 else 0.0
    return time, f" (times out in {about(until)})" if until > 0 else ""


def _time(left: float, added: float, *, ends: bool) -> str:
    """`ends` says that the time until the end tells more than how much later that is."""
    if ends:
        return f"takes about {rounded(left)}" if left else "ends at once"
    if abs(added) <= max(1.0, _SAME * left):
        return "adds no time"
    return f"adds about {rounded(added)}" if added > 0 else f"ends about {rounded(-added)} earlier"
