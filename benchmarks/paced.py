"""A run whose events come at a given pace: what a screen has to follow, without an engine that needs the machine."""
# ruff: noqa: ARG002  - a screen asks for much that there is not

from __future__ import annotations

import random
import threading
import time
from collections import deque
from typing import Final, Literal

from qtui.core.events import Event, RunFinished, RunStarted, UnitFinished, UnitReady, UnitReset, UnitStarted
from qtui.core.facts import RunFacts
from qtui.core.folding import fold
from qtui.core.logtimes import LogTimes
from qtui.core.model import Call, ExecutionMode, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.samples import LoadSample, ProcessSample
from qtui.core.session import Answer, LogChunk, Record
from qtui.core.state import RunView
from qtui.core.stimuli import Request

WORKERS: Final = 38
_FIRST: Final = 100
_BEAT: Final = 0.005
"""Seconds between two publications: an engine's recorder has about as many."""


def nothing() -> None:
    """What the units would call."""


def _needs(unit: int) -> tuple[str, ...]:
    """One of the later half of the first units: what stands on the screen first needs nothing, and nothing needs it."""
    return (name_of(_FIRST // 2 + unit % (_FIRST // 2)),) if unit >= _FIRST else ()


def name_of(unit: int) -> str:
    """The id of a unit; no other one ends like it, so that it is known on the screen."""
    return f"u{unit:05}"


class PacedFeed:
    """Hands out the records since the last call."""

    closed = False

    def __init__(self) -> None:
        self.waiting: deque[list[Record]] = deque()

    def take(self, timeout: float | None = None) -> list[Record]:
        """Never waits: that is how screens ask."""
        taken: list[Record] = []
        while self.waiting:
            taken += self.waiting.popleft()
        return taken


class PacedSession:
    """Units that do not depend on each other begin, end and are reset: `pace` events a second, for ever.

    No more than `WORKERS` are at work at a time. `visible` has only the first units change, which stand on the screen;
    else any may. Without a pace as many run for ever, or none if `still`. With `waiting` all but the first hundred
    need one of those, so that a forecast has a run to go through.
    """

    run = "paced"
    kind: Literal["live", "attached", "replay"] = "live"
    read_only = False
    trouble = ""
    lost = False

    def __init__(
        self, units: int, *, pace: int = 0, visible: bool = False, still: bool = False, waiting: bool = False
    ) -> None:
        call = Call.of(nothing)
        self.plan = ExecutionPlan.build(
            QuantumUnit(id=name_of(unit), action=call, dependencies=_needs(unit) if waiting else ())
            for unit in range(units)
        )
        self.options = RunOptions(workers=WORKERS)
        self.facts = RunFacts()
        self._view = self.opening = RunView.initial(self.plan, "paced")
        self._feeds: list[PacedFeed] = []
        self._seq = 0
        self._pace = pace
        self._among = range(WORKERS if visible else units)
        self._ended = threading.Event()
        self.longest = 0.0
        """The longest publication so far, in seconds."""
        self.publisher = threading.Thread(target=self._run, name="publisher", daemon=True)
        running = [] if still or pace else range(min(WORKERS, units))
        now = time.time()
        ready = range(min(_FIRST, units) if waiting else 0)
        self.publish([RunStarted(now, "paced", WORKERS), *(UnitReady(unit, now) for unit in ready)])
        self.publish([self._began(unit, unit + 1, now) for unit in running])

    # -- the run -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the events come."""
        if self._pace:
            self.publisher.start()

    def publish(self, events: list[Event]) -> None:
        """Let all know of these, as the recorder of an engine does."""
        begun = time.perf_counter()
        self._view = fold(self._view, events)
        records = [Record(self._seq + 1 + place, event) for place, event in enumerate(events)]
        self._seq += len(events)
        for feed in self._feeds:
            feed.waiting.append(records)
        self.longest = max(self.longest, time.perf_counter() - begun)

    def _began(self, unit: int, worker: int, now: float) -> Event:
        return UnitStarted(unit, self._view.attempts[unit] + 1, ExecutionMode.THREAD, worker, 0, now)

    def _run(self) -> None:
        chance, begun, done = random.Random(7), time.monotonic(), 0
        units = [chance.choice(self._among) for _ in range(WORKERS)]
        while not self._ended.wait(_BEAT):
            due = int((time.monotonic() - begun) * self._pace)
            # after a halt not all at once: nobody's engine does that
            now, wanted = time.time(), min(due - done, self._pace // 10)
            done = due
            while wanted > 0:
                steps = {units[slot]: slot for slot in chance.sample(range(WORKERS), min(WORKERS, wanted))}
                self.publish([self._next(unit, slot, now) for unit, slot in steps.items()])
                wanted -= len(steps)
                for unit, slot in steps.items():
                    if self._view.states[unit] is UnitState.PENDING:
                        units[slot] = chance.choice(self._among)

    def _next(self, unit: int, worker: int, now: float) -> Event:
        view = self._view
        attempt, generation = view.attempts[unit], view.generations[unit]
        match view.states[unit]:
            case UnitState.PENDING:
                return UnitReady(unit, now)
            case UnitState.READY:
                return self._began(unit, worker, now)
            case UnitState.RUNNING:
                return UnitFinished(unit, attempt, generation, UnitState.COMPLETED, now, 0.1)
            case _:
                return UnitReset(unit, generation + 1, "again", now)

    # -- what a screen sees ------------------------------------------------------------------------------

    def view(self) -> RunView:
        return self._view

    def now(self) -> float:
        return time.time()

    def request(self, request: Request) -> None:
        pass

    def edited(self, unit: int) -> str:
        return ""

    def answers(self) -> list[Answer]:
        return []

    def feed(self) -> PacedFeed:
        feed = PacedFeed()
        self._feeds.append(feed)
        return feed

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        return LogChunk(b"", 0, 0)

    def log_path(self, unit: int, attempt: int) -> str | None:
        return None

    def log_times(self, unit: int, attempt: int) -> LogTimes:
        return LogTimes()

    def result_text(self, unit: int) -> str:
        return ""

    def sample(self) -> LoadSample:
        return LoadSample(41.0, 6 << 30, 16 << 30, 8, ProcessSample(3.0, 61 << 20), {})

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        return None

    def close(self) -> None:
        self._ended.set()
