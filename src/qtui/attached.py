"""A session on a run that another process runs: it follows the journal, and asks through the file of commands."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import Error as SqliteError
from typing import Final

from qtui.core.causes import YOU, told_by
from qtui.core.errors import QtuiError
from qtui.core.events import Event, RunFinished
from qtui.core.facts import RunFacts
from qtui.core.folding import fold
from qtui.core.logtimes import LogTimes
from qtui.core.model import FAILURES, UnitState
from qtui.core.samples import ClusterWorker, LoadSample
from qtui.core.session import Answer, Feed, LogChunk, Record
from qtui.core.state import RunView
from qtui.core.stimuli import ApproveRequested, CancelRequested, Request, RetryRequested
from qtui.engine.probe import Place, Probe
from qtui.engine.record import EventRecord
from qtui.recorded import RecordedLogs, read_latest
from qtui.store.clusterfile import read_cluster
from qtui.store.commands import CommandQueue, DifferencesAsked
from qtui.store.errors import JournalError
from qtui.store.journal import JournalReader
from qtui.store.rundir import Holder, RunDirectory
from qtui.store.who import whoami

POLL_SECONDS: Final = 0.02
"""How often the journal is asked for news."""

REST_SECONDS: Final = 0.25
"""The same while nobody runs it: somebody may resume it."""

AROUND_SECONDS: Final = 0.5
"""How often it is looked whether the process that runs the run is still there, and the journal where it was."""

TROUBLE_SECONDS: Final = 1.0
"""The pause after a journal could not be read."""

CHUNK: Final = 10_000
"""Events that are read at a time, so that the view keeps up while much is read."""

ANSWER_SECONDS: Final = 2.0
"""How long it is waited for what differs on the disk; the process that is asked takes a second at most."""

THERE_SECONDS: Final = 0.1
"""How often it is looked meanwhile whether that process is still there: a run may be at its end just then."""

FRESH_SECONDS: Final = 0.5
"""For so long the answer counts for each of the other units that failed, once: a person asks for many with one key."""

NOBODY: Final = "refused: nobody runs it: qtui resume {run}"
READ_ONLY: Final = "refused: this session only reads"

_OF_UNITS: Final = (CancelRequested, RetryRequested, ApproveRequested)
_AT_WORK: Final = frozenset({UnitState.RUNNING, UnitState.CANCELING})
_RETRIED: Final = FAILURES | {UnitState.CANCELED}
_FAULTS: Final = (QtuiError, OSError, SqliteError)


class AttachedSession:
    """A run in the hands of another process; see RunSession for what its methods promise.

    Feeds begin with the first event of a record of less than 20,000, else with the latest 2,000; and behind the latest
    replacement of the plan, as numbers of units mean something else before it. `opening` is the view up to there.

    The run may lose its process: then `lost` is true, the clock stands still, and requests are refused. If somebody
    resumes the run, the session goes on with it. Causes name who asked; what is asked in this session is by "you".

    Raises UsageError, or another QtuiError, if there is no journal that can be read.
    """

    kind: Final = "attached"

    def __init__(self, directory: RunDirectory, read_only: bool = False, who: str = "") -> None:
        self.run = directory.run
        self._directory, self._only_reads = directory, read_only
        self._logs = RecordedLogs(directory.path)
        self._file = _file_at(directory.journal)
        self._reader = JournalReader(directory.journal)
        try:
            head = self._reader.head
            self.options = head.options
            self.facts = RunFacts(params=head.params, source=str(head.origin.get("source", "")))
            self.opening, events = read_latest(self._reader, self._reader.last_seq())
        except BaseException:
            self._reader.close()
            raise
        self.plan = self.opening.plan
        self._view = fold(self.opening, events)
        self._record = EventRecord()
        self._record.extend(events)
        self._unread = True  # something may have come since
        self._clock = _Clock(self._view.updated_at)
        self._requests = _Requests(directory, who or whoami(), NOBODY.format(run=self.run))
        self._differing: dict[int, str] = {}
        self._differing_until = 0.0
        self._probe: tuple[int, Probe] | None = None
        self._probe_lock = threading.Lock()
        self._unreadable = self._displaced = self._unanswered = ""
        self._news = threading.Condition()
        self._wake = threading.Event()
        self._closed = False
        self._holder: Holder | None = None
        self._look_due = 0.0
        self._look_for_holder()
        self._thread = threading.Thread(target=self._follow, name="qtui-attached", daemon=True)
        self._thread.start()

    # -- what front ends call ------------------------------------------------------------------------------

    @property
    def read_only(self) -> bool:
        """True if it was asked for, and while nobody is there who could carry out a request."""
        return self._only_reads or self._holder is None

    @property
    def lost(self) -> bool:
        """True if the run has not finished, and the process that ran it is gone."""
        return self._holder is None and self._view.finished is None

    @property
    def trouble(self) -> str:
        """Why no news come, or none that can be read; empty while all is well."""
        gone = f"the process that ran it is gone: qtui resume {self.run}" if self.lost else ""
        return gone or self._unreadable or self._displaced or self._unanswered

    def view(self) -> RunView:
        """What is known now."""
        return self._view

    def now(self) -> float:
        """The clock of this host, but never before the latest event; it stands still while the run is lost."""
        return self._clock.now()

    def request(self, request: Request) -> None:
        """Ask whoever runs the run, and no other attempt of a unit than the one that is seen here."""
        if self._only_reads:
            self._requests.refuse(request, READ_ONLY)
            return
        view, units = self._view, request.units if isinstance(request, _OF_UNITS) else ()
        attempt = view.attempts[units[0]] if len(units) == 1 and units[0] < len(view.plan) else 0
        self._requests.add(request, attempt)
        self._wake.set()

    def edited(self, unit: int) -> str:
        """How the unit differs on the disk, as the process that runs the run tells it: that may have to run code of the
        workflow. Takes some hundredths of a second; empty if there is no answer within `ANSWER_SECONDS`, and at once if
        that process ends meanwhile: then the session is `read_only`."""
        if self.read_only:
            return ""
        if unit not in self._differing or time.monotonic() > self._differing_until:
            units = {unit, *(number for number, state in enumerate(self._view.states) if state in _RETRIED)}
            found = _differences(self._directory, self._requests.who, units)
            if found is None:
                self._look_due = 0.0
                self._wake.set()
                with self._news:
                    self._news.wait_for(lambda: self._holder is None or self._closed, AROUND_SECONDS)
                return ""
            self._differing = {number: found.get(number, "") for number in units}
            self._differing_until = time.monotonic() + FRESH_SECONDS
        return self._differing.pop(unit)

    def answers(self) -> list[Answer]:
        """What became of the requests made here, in order."""
        return self._requests.answers()

    def feed(self) -> Feed:
        """A new reader of the record, from the event behind `opening` on."""
        feed = self._record.feed()
        return _LaterFeed(feed, self.opening.seq) if self.opening.seq else feed

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """A piece of an attempt's output."""
        return self._logs.read(self._view.plan, unit, attempt, offset, limit)

    def log_times(self, unit: int, attempt: int) -> LogTimes:
        """When the lines of an attempt's output were written."""
        return self._logs.times(self._view.plan, unit, attempt)

    def log_path(self, unit: int, attempt: int) -> str | None:
        """The file that holds an attempt's output, or None."""
        return self._logs.path(self._view.plan, unit, attempt)

    def result_text(self, unit: int) -> str:  # noqa: ARG002
        """Nothing: results are kept as they are, and what is secret in them is not known here."""
        return ""

    def sample(self) -> LoadSample:
        """The machine here; if the run is on it, also its process, and units in processes of their own; and what the
        process that runs the run has told of its cluster, up to a second ago."""
        holder, view = self._holder, self._view
        top = holder.pid if holder is not None and holder.is_here else 0
        at_work = [n for n, state in enumerate(view.states) if state in _AT_WORK] if top and view.active else []
        pids = {number: view.unit(number).pid for number in at_work}
        places = {number: Place(process=pid) for number, pid in pids.items() if pid not in (0, top)}
        with self._probe_lock:
            if self._probe is None or self._probe[0] != top:
                self._probe = top, Probe(top)
            return self._probe[1].sample(places)._replace(cluster=self.cluster())

    def cluster(self) -> tuple[ClusterWorker, ...]:
        """The workers of the run's cluster, as the process that runs it has told them; none if nobody runs it, or it is
        over."""
        over = self._holder is None or self._view.state.ended
        return () if over else read_cluster(self._directory.cluster)

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        """Wait for the end of the run, whether or not its process lives on; None also if it is lost."""
        with self._news:
            self._news.wait_for(lambda: self._view.finished is not None or self.lost or self._closed, timeout)
            return self._view.finished

    def close(self) -> None:
        """Let go; the run goes on. What was asked for is sent before."""
        self._closed = True
        self._wake.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    # -- the thread that follows ---------------------------------------------------------------------------

    def _follow(self) -> None:
        try:
            while not self._closed:
                self._wake.wait(self._pause())
                self._wake.clear()
                self._look()
            self._look()
        finally:
            self._requests.close()
            self._reader.close()
            self._record.close()
            with self._news:
                self._news.notify_all()

    def _pause(self) -> float:
        if self._unreadable:
            return TROUBLE_SECONDS
        if self._holder is None:
            return REST_SECONDS
        return POLL_SECONDS

    def _look(self) -> None:
        """One poll; what cannot be read or written now may be at the next."""
        self._unreadable = self._fault_of(self._poll)
        if time.monotonic() >= self._look_due:
            self._look_due = time.monotonic() + AROUND_SECONDS
            self._displaced = self._fault_of(self._look_for_holder) or self._fault_of(self._look_for_file)
        self._unanswered = self._fault_of(lambda: self._requests.exchange(over=self._holder is None))

    def _fault_of(self, doing: Callable[[], None]) -> str:
        try:
            doing()
        except _FAULTS as error:
            return str(error)
        return ""

    def _poll(self) -> None:
        self._unread |= self._reader.changed()
        if self._unread:
            self._read()

    def _read(self) -> None:
        while events := self._reader.after(self._view.seq, CHUNK):
            self._take(events)
        self._unread = False

    def _take(self, events: list[Event]) -> None:
        # only from here on: what was asked for before, from this terminal too, was not asked in this session
        events = [told_by(event, YOU, was=self._requests.who) for event in events]
        view = fold(self._view, events)
        self._clock.reach(view.updated_at)
        with self._news:
            self._view = view
            self._news.notify_all()
        self._record.extend(events)

    def _look_for_file(self) -> None:
        """A journal that was removed may be put back by who writes it; what we have open is the old one."""
        file = _file_at(self._directory.journal)
        if file is None:
            raise JournalError(f"{self._directory.journal} is gone: nothing is known of what happens now")
        if file == self._file:
            return
        reader = JournalReader(self._directory.journal)
        try:
            if reader.head.run != self.run or reader.last_seq() < self._view.seq:
                raise JournalError(f"{self._directory.journal} is another file now: what happens now is not in it")
        except BaseException:
            reader.close()
            raise
        self._reader.close()
        self._reader, self._file, self._unread = reader, file, True

    def _look_for_holder(self) -> None:
        holder = self._directory.holder()
        if holder is None and self._view.finished is None:
            with suppress(*_FAULTS):
                self._read()  # its last words: a run that has just finished is not lost
        with self._news:
            self._holder = holder
            self._news.notify_all()
        self._clock.stand(self.lost)


class _LaterFeed:
    """A feed whose first event is not the run's first."""

    def __init__(self, feed: Feed, behind: int) -> None:
        self._feed, self._behind = feed, behind

    def take(self, timeout: float | None = None) -> list[Record]:
        return [Record(self._behind + seq, event) for seq, event in self._feed.take(timeout)]

    @property
    def closed(self) -> bool:
        return self._feed.closed


class _Clock:
    """Unix seconds that never step back and are never before what they were told to `reach`."""

    def __init__(self, at: float) -> None:
        self._at = at
        self._offset = max(time.time(), at) - time.monotonic()
        self._standing = True

    def now(self) -> float:
        return self._at if self._standing else time.monotonic() + self._offset

    def reach(self, at: float) -> None:
        self._offset = max(self._offset, at - time.monotonic())
        self._at = max(self._at, at)

    def stand(self, still: bool) -> None:
        """Stand still at the moment that it shows, or go on."""
        if still and not self._standing:
            self._at = self.now()
        self._standing = still


def _differences(directory: RunDirectory, who: str, units: Iterable[int]) -> dict[int, str] | None:
    """Ask whoever runs the run how these units differ on the disk; empty if there is no answer in time, and None if
    nobody runs it any more."""
    now = time.monotonic()
    deadline, look_due = now + ANSWER_SECONDS, now + THERE_SECONDS
    try:
        with closing(CommandQueue(directory.commands)) as queue:
            number = queue.ask(who, DifferencesAsked(tuple(sorted(units))))
            while (answer := queue.answer_of(number)) is None:
                now = time.monotonic()
                if now > deadline:
                    return {}
                if now > look_due:
                    look_due = now + THERE_SECONDS
                    if directory.holder() is None and queue.answer_of(number) is None:
                        return None
                time.sleep(POLL_SECONDS / 2)
        return {int(unit): str(text) for text, differing in json.loads(answer) for unit in differing}
    except (
        *_FAULTS,
        ValueError,
        TypeError,
        RecursionError,
    ):  # not to be asked, or by a version that does not know the question
        return {}


class _Requests:
    """What was asked for here, and what became of it. Any thread may add; one thread sends and hears."""

    def __init__(self, directory: RunDirectory, who: str, nobody: str) -> None:
        self._directory, self.who, self._nobody = directory, who, nobody
        self._answers: list[Answer] = []
        self._unsent: deque[tuple[int, int]] = deque()
        self._unanswered: dict[int, int] = {}
        self._queue: CommandQueue | None = None
        self._lock = threading.Lock()

    def add(self, request: Request, attempt: int) -> None:
        """Have it sent."""
        with self._lock:
            self._answers.append(Answer(request, time.time()))
            self._unsent.append((len(self._answers) - 1, attempt))

    def refuse(self, request: Request, why: str) -> None:
        """Answer without asking."""
        with self._lock:
            self._answers.append(Answer(request, time.time(), why, time.time()))

    def answers(self) -> list[Answer]:
        """All, in order."""
        with self._lock:
            return list(self._answers)

    def exchange(self, *, over: bool) -> None:
        """Send what was asked for, and take the answers that have come; if it is `over`, as nobody runs the run any
        more, no others will come."""
        if self._queue is not None and self._queue.replaced:
            self._begin_anew(self._queue)
        while self._unsent:
            self._send(*self._unsent[0])
            self._unsent.popleft()
        if self._unanswered and self._queue is not None and (self._queue.changed() or over):
            for number, at in list(self._unanswered.items()):
                text = self._queue.answer_of(number)
                if text is None and over:
                    text = self._nobody
                if text is not None:
                    del self._unanswered[number]
                    self._answer(at, text)

    def _begin_anew(self, queue: CommandQueue) -> None:
        """The file was damaged, and whoever runs the run has put it aside with what was asked in it."""
        self._queue = None
        queue.close()
        for at in self._unanswered.values():
            self._answer(at, "refused: it was lost; ask again")
        self._unanswered.clear()

    def _send(self, at: int, attempt: int) -> None:
        try:
            if self._directory.holder() is None:  # whoever resumes the run later should not find it
                self._answer(at, self._nobody)
                return
            if self._queue is None:
                self._queue = CommandQueue(self._directory.commands)
            self._unanswered[self._queue.ask(self.who, self._answers[at].request, attempt)] = at
        except _FAULTS as error:
            self._answer(at, f"refused: it cannot be sent: {error}")

    def _answer(self, at: int, text: str) -> None:
        with self._lock:
            self._answers[at] = self._answers[at]._replace(text=text, answered_at=time.time())

    def close(self) -> None:
        """Send and hear nothing more."""
        if self._queue is not None:
            self._queue.close()


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
