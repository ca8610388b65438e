"""RunSession: all that a front end may hold of a run, be it live, attached or replayed."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

from qtui.core.events import Event, RunFinished
from qtui.core.facts import RunFacts
from qtui.core.logtimes import LogTimes
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.samples import LoadSample
from qtui.core.state import RunView
from qtui.core.stimuli import Request

UNUSABLE: Final = "unusable: "
"""How the difference of a unit begins that cannot be run as it is on the disk."""

EDITED: Final = "edited: "
"""How the difference of a unit begins that a person has edited since its definition was read."""


class Record(NamedTuple):
    """An event with its place in the run's record; `seq` counts from 1 without a gap."""

    seq: int
    event: Event


class LogChunk(NamedTuple):
    """Bytes of a log from the asked offset on.

    `size` is how many bytes had been written when it was read, and `next` where to read on: behind `data`, or further
    where output was dropped because the log had reached its limit. A line that says so stands at the begin of the gap.
    `trouble` says why the log cannot be read, if it cannot.
    """

    data: bytes
    size: int
    next: int
    trouble: str = ""


class Answer(NamedTuple):
    """What became of something that was asked for.

    `text` is empty until there is an answer: ``done``, or ``nothing to do`` (it is so already), ``too late`` (it cannot
    be any more) or ``refused`` (it could not be), these three followed by a colon and why where that is known.
    `asked_at` and `answered_at` are Unix seconds, the latter 0 until then.
    """

    request: Request
    asked_at: float
    text: str = ""
    answered_at: float = 0.0


class Feed(Protocol):
    """The record of a run as one reader takes it, from the event behind the session's `opening` on."""

    def take(self, timeout: float | None = None) -> list[Record]:
        """All that has come since the last call; waits up to `timeout` seconds (None: for ever) for the first.

        An empty list means that the time is over or that the feed is closed.
        """

    @property
    def closed(self) -> bool:
        """True when all was taken and nothing more will come."""


class RunSession(Protocol):
    """A run in the hands of a front end. No call waits for the engine, but `wait`, `close` and `edited`."""

    @property
    def kind(self) -> Literal["live", "attached", "replay"]:
        """Whether the run's engine is in this process, in another one, or nowhere: then its record is played again."""

    @property
    def read_only(self) -> bool:
        """True if every request is refused."""

    @property
    def run(self) -> str:
        """The run's id."""

    @property
    def plan(self) -> ExecutionPlan:
        """The units of `opening`, and how they depend on each other; the view has those that have come since."""

    @property
    def opening(self) -> RunView:
        """What was known before the first event that feeds hand out: of most runs, that all units are pending.

        Feeds of a run that was resumed, or that one has attached to when much had happened, begin later.
        """

    @property
    def options(self) -> RunOptions:
        """How the run is driven."""

    @property
    def facts(self) -> RunFacts:
        """What is known of the run besides its units."""

    @property
    def lost(self) -> bool:
        """True if the run has not finished, and nobody runs it."""

    @property
    def trouble(self) -> str:
        """Why there are no news of the run, or none that can be read, and what to do; empty while all is well."""

    def view(self) -> RunView:
        """What is known now."""

    def now(self) -> float:
        """The run's clock: Unix seconds that never step back."""

    def request(self, request: Request) -> None:
        """Ask for something; what comes of it is seen in the view, the feed and `answers`. Never raises."""

    def edited(self, unit: int) -> str:
        """How the unit differs on the disk from what it is in the run, in a few lines; empty if it does not, or nobody
        can tell. A `RetryRequested` may be `fresh` then. It begins with `EDITED` if the unit was edited in the run. If
        nothing on the disk can be run instead, `UNUSABLE` and why. Quick while the workflow's file is as it was; else
        it may take a second, and two where another process has to be asked.
        """

    def answers(self) -> list[Answer]:
        """What became of the requests made here, in order; nothing of those that an engine in this process took."""

    def feed(self) -> Feed:
        """A new reader of the record."""

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Up to `limit` bytes of an attempt's output from `offset` on; a negative offset counts from the end.

        Empty if the attempt has written nothing (yet).
        """

    def log_path(self, unit: int, attempt: int) -> str | None:
        """The file that holds an attempt's output, or None if it has written nothing."""

    def log_times(self, unit: int, attempt: int) -> LogTimes:
        """When the lines of an attempt's output were written, as far as that is known."""

    def result_text(self, unit: int) -> str:
        """The value of a completed unit in a few thousand characters at most, without secrets; empty where it is not
        known. Runs no code of the value's."""

    def sample(self) -> LoadSample:
        """What machine and running units use right now; takes about a millisecond."""

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        """Wait until the run has finished and every subscriber was told; None if `timeout` seconds pass first."""

    def close(self) -> None:
        """Let go of the run: what still runs is killed, threads end, files are closed. May be called twice."""
