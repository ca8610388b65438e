"""A run whose engine is in this process, in the hands of a front end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from qtui.core.errors import UsageError
from qtui.core.events import RunFinished
from qtui.core.facts import RunFacts
from qtui.core.logtimes import LogTimes
from qtui.core.masking import TextMasker
from qtui.core.model import UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.samples import LoadSample
from qtui.core.session import Answer, Feed, LogChunk
from qtui.core.state import RunView
from qtui.core.stimuli import LateReturned, Request, RetryRequested
from qtui.core.valuetext import result_text
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.engine import Engine
from qtui.engine.notify import Notifier
from qtui.engine.outliving import OUTLIVING
from qtui.engine.packing import Packed, is_plain, unpack
from qtui.engine.probe import Probe, place_of
from qtui.ondisk import OnDisk, Reload
from qtui.recordkeeping import RunRecord

MOST_LOADED: Final = 256 << 10
"""The most bytes of a value that is loaded only to be told."""


class LiveSession:
    """A run whose engine is in this process; see RunSession for what its methods promise.

    `left_behind` are attempts, by unit and number, of before the run was resumed that still go on in this process.
    """

    kind: Final = "live"
    read_only: Final = False
    lost: Final = False

    def __init__(
        self,
        engine: Engine,
        notifier: Notifier | None = None,
        record: RunRecord | None = None,
        disk: OnDisk | None = None,
        left_behind: Collection[tuple[str, int]] = (),
    ) -> None:
        self._engine, self._notifier, self._record, self._disk = engine, notifier, record, disk
        self._left_behind = left_behind
        self._source = record.source if record is not None else ""  # which is also asked for after the end
        self._unclosed = ""
        self._probe: Probe | None = None
        self._probe_lock = threading.Lock()
        self._texts = TextMasker(engine.masks)

    @property
    def trouble(self) -> str:
        """Why the record is not complete; empty while it is."""
        why = self._engine.unsaved or self._unclosed
        return f"the record of the run is not complete: {why}" if why else ""

    @property
    def run(self) -> str:
        """The run's id."""
        return self._engine.run

    @property
    def plan(self) -> ExecutionPlan:
        """The run's units and how they depend on each other."""
        return self._engine.opening.plan

    @property
    def opening(self) -> RunView:
        """Every unit pending, unless the run was resumed."""
        return self._engine.opening

    @property
    def options(self) -> RunOptions:
        """How the run is driven."""
        return self._engine.options

    def view(self) -> RunView:
        """What is known now."""
        return self._engine.view()

    def now(self) -> float:
        """The run's clock."""
        return self._engine.now()

    def request(self, request: Request) -> None:
        """Post the request; the timer thread takes the turn, so the caller never waits."""
        if isinstance(request, RetryRequested) and self._disk is not None:
            self._disk.retry(request)
        else:
            self._engine.post(request)

    def follow_disk(self, reload: Reload) -> None:
        """Let retries run what is on the disk: `reload` loads the workflow once more as it was loaded for this run."""
        if self._disk is not None:
            self._disk.follow(reload)

    def edited(self, unit: int) -> str:
        """How the unit differs on the disk from what it is in the run; may take a second if the file has changed."""
        return self._disk.edited(unit) if self._disk is not None else ""

    def answers(self) -> list[Answer]:
        """None: the engine here takes every request, and what comes of it is in the record."""
        return []

    def feed(self) -> Feed:
        """A new reader of the record."""
        return self._engine.feed()

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """A piece of an attempt's output."""
        return self._engine.logs.read(unit, attempt, offset, limit)

    def log_times(self, unit: int, attempt: int) -> LogTimes:
        """When the lines of an attempt's output were written."""
        return self._engine.logs.times(unit, attempt)

    def log_path(self, unit: int, attempt: int) -> str | None:
        """The file that holds an attempt's output, or None."""
        path = self._engine.logs.existing(unit, attempt)
        return str(path) if path is not None else None

    @property
    def facts(self) -> RunFacts:
        """Its params, what hides its secrets, and the workflow's file where there is a record."""
        return RunFacts(params=self._engine.params, masks=self._engine.masks, source=self._source)

    def result_text(self, unit: int) -> str:
        """The value of a completed unit, as far as it can be told without loading classes."""
        if self._engine.state_of(unit) is not UnitState.COMPLETED:
            return ""
        value = self._engine.results[unit]
        if isinstance(value, Elsewhere):
            return f"a value of {value.size:,} bytes, which is {value.place}"
        if not isinstance(value, Packed):
            return result_text(value, self._texts)
        size = sum(value.sizes) or len(value.data)
        if size > MOST_LOADED or not is_plain(value):
            return f"a value of {size:,} bytes, which a process has made"
        return result_text(unpack(value), self._texts)

    def sample(self) -> LoadSample:
        """What machine and running units use right now."""
        attempts = {each.start.unit: each for each in self._engine.attempts()}
        view = self.view()
        # units that were added a moment ago may run before the record has them
        pids = {number: view.unit(number).pid for number in attempts if number < len(view.plan)}
        places = {number: place_of(each, pids.get(number, 0)) for number, each in attempts.items()}
        with self._probe_lock:
            self._probe = self._probe or Probe()
            return self._probe.sample(places)._replace(cluster=self._engine.cluster())

    def result(self, unit: str) -> object:
        """The value of a completed unit.

        Raises KeyError for an unknown unit and UsageError for one that has not completed.
        """
        number = self._engine.plan.numbers[unit]
        state = self._engine.state_of(number)
        if state is not UnitState.COMPLETED:
            raise UsageError(f"{unit} has no result: it {state.told}")
        return self._engine.value_of(number)

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        """Wait for the end of the run."""
        return self._engine.wait(timeout)

    def close(self) -> None:
        """Let go of the run; what people are still to be told may take up to 30 seconds a message."""
        if self._notifier is not None:
            self._notifier.close()
        self._engine.close()
        record, self._record = self._record, None
        if record is not None:
            self._unclosed = record.close(self._engine.view())

    def begin(self) -> None:
        """Let the run begin."""
        if self._record is not None:
            self._record.mark_ready()  # now, as the journal is the engine's from its begin to its end
        self._engine.begin()
        for unit, attempt in self._left_behind:
            OUTLIVING.follow(self._engine.record, unit, attempt, self._came_late)
        if self._record is not None:
            self._record.serve(self._engine, self._ask, self.edited)

    def _came_late(self, unit: str, attempt: int) -> None:
        """An attempt of before the run was resumed has ended."""
        self._engine.post(LateReturned(self._engine.plan.numbers[unit], attempt))

    def _ask(self, request: Request, answer: Callable[[bool], None]) -> None:
        """Post what another process asks for."""
        if isinstance(request, RetryRequested) and self._disk is not None:
            self._disk.retry(request, answer)
        else:
            self._engine.ask(request, answer)
