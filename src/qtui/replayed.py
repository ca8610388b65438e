"""A session on the record of a run, played again: time goes as fast as one likes, and backwards."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from sqlite3 import Error as SqliteError
from typing import Final, TypeVar

from qtui.core.errors import QtuiError, UsageError
from qtui.core.events import Event, RunFinished, RunResumed, UnitProgress
from qtui.core.facts import RunFacts
from qtui.core.folding import fold
from qtui.core.logtimes import UNTIMED, LogTimes
from qtui.core.plan import ExecutionPlan
from qtui.core.samples import LoadSample
from qtui.core.session import Answer, Feed, LogChunk, Record
from qtui.core.state import RunView
from qtui.core.stimuli import Request
from qtui.engine.record import EventRecord
from qtui.recorded import LATEST_EVENTS, NO_LOG, RecordedLogs, of_one_plan
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory

PIECE: Final = 4096
"""Events that are read at a time, and the most that are folded for one step."""

KEPT: Final = 32
"""How many pieces, and views between them, are kept for steps back and forth."""

MOST_PLAYED: Final = 20_000
"""So many events at once are not played one by one: the session jumps."""

Kept = TypeVar("Kept")

_FAULTS: Final = (QtuiError, OSError, SqliteError)


class ReplaySession:
    """The record of a run, as a run that happens again; see RunSession for what its methods promise.

    It begins at the first event and stands still until `playing` is set. Time follows `clock`, `speed` times as fast,
    and skips the time between the end of a process and a resume. What is recorded after opening is not played.

    Feeds hand out the events that time passes. They cannot take any back, nor do they hand out more than 20,000 at
    once: then the session jumps, which closes all feeds, and `opening`, `plan` and new feeds are those of the latest
    2,000 events before the new moment. Logs are shown as they were at the end of their attempt.

    Should the record become unreadable, time stops and `trouble` says why. Raises UsageError, or another QtuiError, if
    there is no journal that can be read.
    """

    kind: Final = "replay"
    read_only: Final = True

    def __init__(self, directory: RunDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self.run, self._clock = directory.run, clock
        self._nobody_runs_it = directory.holder() is None
        self._logs = RecordedLogs(directory.path)
        self._reader = JournalReader(directory.journal)
        try:
            head = self._reader.head
            self.options = head.options
            self.facts = RunFacts(params=head.params, source=str(head.origin.get("source", "")))
            self._tape = _Tape(self._reader)
            last = self._tape.last
            self.begin, self.end = (self._tape.event(1).at, self._tape.event(last).at) if last else (head.created,) * 2
        except BaseException:
            self._reader.close()
            raise
        self.trouble = ""
        self._lock = threading.RLock()
        self._turned = threading.Condition(self._lock)
        self._record = EventRecord()
        self._closed = False
        self._speed, self._playing = 1.0, False
        self._moment, self._since = self.begin, clock()
        self._answers: list[Answer] = []
        self._view = self.opening = self._reader.view(0)
        with self._lock:
            self._pass(self.begin)

    # -- what front ends call ------------------------------------------------------------------------------

    @property
    def plan(self) -> ExecutionPlan:
        """The units of `opening`."""
        return self.opening.plan

    @property
    def lost(self) -> bool:
        """True at the end of the record of a run that has not finished, and that nobody ran when this was opened."""
        with self._lock:
            self._advance()
            return self._nobody_runs_it and self._moment >= self.end and self._view.finished is None

    def view(self) -> RunView:
        """What was known at the moment."""
        with self._lock:
            self._advance()
            return self._view

    def now(self) -> float:
        """The moment; it never steps back but at a jump."""
        with self._lock:
            self._advance()
            return self._moment

    def request(self, request: Request) -> None:
        """Nothing can be asked of what is over."""
        now = time.time()
        with self._lock:
            self._answers.append(Answer(request, now, "refused: this is a replay", now))

    def edited(self, unit: int) -> str:  # noqa: ARG002
        """Nothing: what is over does not run again."""
        return ""

    def answers(self) -> list[Answer]:
        """The refusals."""
        with self._lock:
            return list(self._answers)

    def feed(self) -> Feed:
        """A new reader of what is played, from the event behind `opening` on."""
        with self._lock:
            return _PlayedFeed(self, self._record, self.opening.seq)

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """A piece of an attempt's output, if the attempt has begun by now."""
        view = self.view()
        return self._logs.read(view.plan, unit, attempt, offset, limit) if _has_begun(view, unit, attempt) else NO_LOG

    def log_times(self, unit: int, attempt: int) -> LogTimes:
        """When the lines of an attempt's output were written, if the attempt has begun by now."""
        view = self.view()
        return self._logs.times(view.plan, unit, attempt) if _has_begun(view, unit, attempt) else UNTIMED

    def log_path(self, unit: int, attempt: int) -> str | None:
        """The file that holds an attempt's output, or None."""
        view = self.view()
        return self._logs.path(view.plan, unit, attempt) if _has_begun(view, unit, attempt) else None

    def result_text(self, unit: int) -> str:  # noqa: ARG002
        """Nothing: results are kept as they are, and what is secret in them is not known here."""
        return ""

    def sample(self) -> LoadSample:
        """Raises UsageError: what was used then is not in the record."""
        raise UsageError("a replay has no samples of the machine: the record does not keep them")

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        """Wait until all has been played; None if it was not by then, or the run has not finished."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._advance()
            while not self._closed and self._moment < self.end and (left := deadline - time.monotonic()) > 0:
                self._sleep(left)
                self._advance()
            return self._view.finished if self._moment >= self.end else None

    def close(self) -> None:
        """Stop playing."""
        with self._lock:
            if not self._closed:
                self._closed, self._playing = True, False
                self._reader.close()
                self._record.close()
                self._turned.notify_all()

    # -- time ----------------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """Whether time goes on; it stops at the end, and set again there, it begins anew."""
        with self._lock:
            self._advance()
            return self._playing

    @playing.setter
    def playing(self, playing: bool) -> None:
        with self._lock:
            self._advance()
            if playing and self._moment >= self.end:
                self._go_to(self.begin)
            self._playing = playing and not self._closed
            self._turn()

    @property
    def speed(self) -> float:
        """How many seconds of the run pass in one. Raises UsageError if it is set to what is not more than 0."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not 0 < speed < math.inf:
            raise UsageError(f"the speed of a replay must be more than 0, not {speed:g}")
        with self._lock:
            self._advance()
            self._speed = speed
            self._turn()

    def seek(self, at: float) -> None:
        """Go to a moment (Unix seconds) between `begin` and `end`, or to the nearer of these; playing goes on there."""
        with self._lock:
            self._advance()
            self._go_to(min(max(at, self.begin), self.end))

    def step(self, by: int) -> None:
        """Stop playing, and go to the next moment of which more than progress is known; to the last one if negative."""
        with self._lock:
            self._advance()
            self._playing = False
            try:
                at = self._tape.moment_after(self._view.seq) if by > 0 else self._moment_before()
            except _FAULTS as error:
                self._stop_for(error)
                return
            self._go_to(at if at is not None else self.end if by > 0 else self.begin)

    def _moment_before(self) -> float | None:
        return self._tape.moment_before(self._view.seq, self._moment)

    # -- with the lock held --------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Play what time has passed since the last call."""
        if not self._playing:
            return
        now = self._clock()
        at, self._since = self._moment + (now - self._since) * self._speed, now
        try:
            self._move(min(at, self.end))
            if (resumed := self._resumed_next()) is not None:
                self._move(resumed)  # nobody ran it meanwhile
        except _FAULTS as error:
            self._stop_for(error)
        if self._moment >= self.end:
            self._playing = False

    def _resumed_next(self) -> float | None:
        """When the run was resumed, if that is what comes next."""
        seq = self._view.seq
        following = self._tape.event(seq + 1) if seq < self._tape.last else None
        return following.at if isinstance(following, RunResumed) else None

    def _go_to(self, at: float) -> None:
        try:
            if at < self._moment:
                self._jump(at)
            else:
                self._move(at)
        except _FAULTS as error:
            self._stop_for(error)
        self._turn()

    def _move(self, at: float) -> None:
        """Forward, event by event if they are not too many."""
        if self._view.seq + MOST_PLAYED < self._tape.last and self._tape.event(self._view.seq + MOST_PLAYED).at <= at:
            self._jump(at)
        else:
            self._pass(at)

    def _pass(self, at: float) -> None:
        events = self._tape.until(self._view.seq, at)
        if events:
            self._view = fold(self._view, events)
            self._record.extend(events)
        self._moment = max(at, self._moment)

    def _jump(self, at: float) -> None:
        seq = self._tape.seq_at(at)
        opening, events = self._tape.latest(seq)
        view = self._tape.view(seq)
        self.opening, self._view, self._moment = opening, view, at
        before, self._record = self._record, EventRecord()
        self._record.extend(events)
        before.close()

    def _turn(self) -> None:
        """Time goes another way from now on."""
        self._since = self._clock()
        self._turned.notify_all()

    def _stop_for(self, error: Exception) -> None:
        self._playing, self.trouble = False, str(error)

    def _sleep(self, seconds: float) -> None:
        """Wait until there may be something to play."""
        due = math.inf
        if self._playing:
            seq = self._view.seq
            at = self._tape.event(seq + 1).at if seq < self._tape.last else self.end
            due = max(0.001, (at - self._moment) / self._speed)
        pause = min(seconds, due)
        self._turned.wait(pause if pause < math.inf else None)

    def take(self, feed: Feed, timeout: float | None) -> list[Record]:
        """What a feed has to hand out, having waited for it."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._advance()
            while not (records := feed.take(0)) and not feed.closed and (left := deadline - time.monotonic()) > 0:
                self._sleep(left)
                self._advance()
            return records


class _PlayedFeed:
    """One reader's place in what is played."""

    def __init__(self, session: ReplaySession, record: EventRecord, behind: int) -> None:
        self._session, self._feed, self._behind = session, record.feed(), behind

    def take(self, timeout: float | None = None) -> list[Record]:
        return [Record(self._behind + seq, event) for seq, event in self._session.take(self._feed, timeout)]

    @property
    def closed(self) -> bool:
        return self._feed.closed


class _Tape:
    """The record, read in pieces of equal size; event `seq` is in piece ``(seq - 1) // PIECE``."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self.last = reader.last_seq()
        self._pieces: dict[int, list[Event]] = {}
        self._first = reader.view(0)
        self._views: dict[int, RunView] = {}

    def event(self, seq: int) -> Event:
        """The event with this number, from 1 to `last`."""
        piece, at = divmod(seq - 1, PIECE)
        return self._piece(piece)[at]

    def between(self, after: int, upto: int) -> list[Event]:
        """The events behind `after` as far as `upto`."""
        return [self.event(seq) for seq in range(after + 1, upto + 1)]

    def until(self, seq: int, at: float) -> list[Event]:
        """The events behind `seq` up to a moment."""
        events: list[Event] = []
        for number in range(seq + 1, self.last + 1):
            event = self.event(number)
            if event.at > at:
                break
            events.append(event)
        return events

    def seq_at(self, at: float) -> int:
        """How many events there were up to a moment."""
        return min(self._reader.seq_at(at), self.last)

    def view(self, seq: int) -> RunView:
        """What was known after `seq` events."""
        piece, rest = divmod(seq, PIECE)
        view = self._view(piece)
        return fold(view, self._piece(piece)[:rest]) if rest else view

    def latest(self, seq: int) -> tuple[RunView, list[Event]]:
        """The latest events as far as `seq`, and the view before them; all are of the same plan."""
        opening = self.view(max(0, seq - LATEST_EVENTS))
        return of_one_plan(opening, self.between(opening.seq, seq))

    def moment_after(self, seq: int) -> float | None:
        """When the next event behind `seq` came that is more than progress."""
        events = (self.event(number) for number in range(seq + 1, self.last + 1))
        return next((event.at for event in events if not isinstance(event, UnitProgress)), None)

    def moment_before(self, seq: int, at: float) -> float | None:
        """When the last event up to `seq` came that is more than progress and was before `at`."""
        events = (self.event(number) for number in range(seq, 0, -1))
        return next((event.at for event in events if event.at < at and not isinstance(event, UnitProgress)), None)

    def _view(self, piece: int) -> RunView:
        """The view before a piece."""
        if not piece:
            return self._first
        if piece not in self._views:
            before = self._views.get(piece - 1) if piece > 1 else self._first
            view = self._reader.view(piece * PIECE) if before is None else fold(before, self._piece(piece - 1))
            _keep(self._views, piece, view)
        return self._views[piece]

    def _piece(self, piece: int) -> list[Event]:
        if piece not in self._pieces:
            _keep(self._pieces, piece, self._reader.after(piece * PIECE, PIECE))
        return self._pieces[piece]


def _keep(kept: dict[int, Kept], key: int, value: Kept) -> None:
    """Remember a value, and forget the one that was put first if there are too many."""
    kept[key] = value
    if len(kept) > KEPT:
        del kept[next(iter(kept))]


def _has_begun(view: RunView, unit: int, attempt: int) -> bool:
    return unit < len(view.plan) and attempt <= view.attempts[unit]
