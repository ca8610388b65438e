"""A session whose lanes are the test: the real scheduler and the real fold, driven stimulus by stimulus.

Time stands still until the test moves it, so that any moment of a run can be drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from qtui.core.events import Event, RunFinished
from qtui.core.facts import RunFacts
from qtui.core.folding import fold
from qtui.core.logtimes import UNTIMED, LogTimes
from qtui.core.machine import QUEUEING_LANES
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import ExecutionMode, Outcome, QuantumUnit, UnitError
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.samples import LoadSample, ProcessSample, UnitSample
from qtui.core.scheduler import Scheduler
from qtui.core.session import Answer, LogChunk, Record
from qtui.core.state import RunView
from qtui.core.stimuli import (
    InterruptUnit,
    KillUnit,
    ProgressReported,
    Request,
    RunRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    WarningRaised,
)
from qtui.core.valuetext import result_text

START = 1_700_000_000.0


class ScriptedFeed:
    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self._taken = 0

    def take(self, timeout: float | None = None) -> list[Record]:
        new = self._records[self._taken :]
        self._taken += len(new)
        return new

    @property
    def closed(self) -> bool:
        return False


class ScriptedSession:
    """A run in which units do what the test says, when it says it. Units are named by id."""

    run = "test-run"
    kind: Literal["live", "attached", "replay"] = "live"
    read_only = False
    trouble = ""
    lost = False

    def __init__(self, units: Iterable[QuantumUnit], options: RunOptions | None = None, *, start: bool = True) -> None:
        self.options = options or RunOptions()
        self.plan = ExecutionPlan.build(units, default_mode=self.options.mode)
        self._scheduler = Scheduler(self.plan, self.options)
        self._view = self._opening = RunView.initial(self.plan)
        self._now = START
        self.records: list[Record] = []
        self.requests: list[Request] = []
        self.answered: list[Answer] = []
        self.on_disk: dict[int, str] = {}  # how units differ there
        self.logs: dict[tuple[int, int], bytes] = {}
        self.times: dict[tuple[int, int], LogTimes] = {}
        self.log_files: dict[tuple[int, int], str] = {}
        self.params: dict[str, object] = {}
        self.secrets: tuple[str, ...] = ()
        self.results: dict[str, object] = {}
        self.clustered = False  # a custom lane begins nothing by itself then: `begins` says where
        self.interrupted: list[int] = []
        self.killed: list[int] = []
        self.load: LoadSample | None = LoadSample(41.0, 6 << 30, 16 << 30, 8, ProcessSample(3.0, 61 << 20), {})
        if start:
            self.post(RunRequested("demo"))

    # -- what a front end sees ---------------------------------------------------------------------------

    @property
    def opening(self) -> RunView:
        return self._opening

    def view(self) -> RunView:
        return self._view

    def now(self) -> float:
        return self._now

    def request(self, request: Request) -> None:
        self.requests.append(request)
        self.post(request)

    def edited(self, unit: int) -> str:
        return self.on_disk.get(unit, "")

    def answers(self) -> list[Answer]:
        return self.answered

    def feed(self) -> ScriptedFeed:
        return ScriptedFeed(self.records)

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        data = self.logs.get((unit, attempt), b"")
        start = max(0, len(data) + offset) if offset < 0 else offset
        return LogChunk(data[start : start + limit], len(data), min(start + limit, len(data)))

    def log_times(self, unit: int, attempt: int) -> LogTimes:
        return self.times.get((unit, attempt), UNTIMED)

    def log_path(self, unit: int, attempt: int) -> str | None:
        return self.log_files.get((unit, attempt))

    @property
    def facts(self) -> RunFacts:
        return RunFacts(params=self.params, masks=masks_of(self.secrets))

    def result_text(self, unit: int) -> str:
        value = self.results.get(self.plan.table[unit].id)
        return "" if value is None else result_text(value, TextMasker(self.facts.masks))

    def sample(self) -> LoadSample:
        if self.load is None:
            raise OSError("no /proc here")
        return self.load

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        return self._view.finished

    def close(self) -> None:
        pass

    # -- what the test says ------------------------------------------------------------------------------

    def post(self, stimulus: Stimulus) -> None:
        decision = self._scheduler.handle(stimulus, self._now)
        self._record(decision.events)
        for effect in decision.effects:
            match effect:
                case StartUnit(lane=ExecutionMode.CUSTOM) if self.clustered:
                    pass
                case StartUnit(unit, attempt, lane, _) if lane in QUEUEING_LANES:
                    self.post(UnitBegan(unit, attempt, 1000 + unit))
                case InterruptUnit(unit, _, _):
                    self.interrupted.append(unit)
                case KillUnit(unit, _, _):
                    self.killed.append(unit)
                case _:
                    pass

    def _record(self, events: list[Event]) -> None:
        self._view = fold(self._view, events)
        self.plan = self._view.plan
        self.records += [Record(len(self.records) + 1 + place, event) for place, event in enumerate(events)]

    def number(self, name: str) -> int:
        return self.plan.numbers[name]

    def after(self, seconds: float) -> None:
        """Let time pass, in one step."""
        self._now += seconds
        self.post(TimerFired())

    def begins(self, name: str, place: str) -> None:
        """A worker of the cluster begins a unit."""
        number = self.number(name)
        self.post(UnitBegan(number, self._view.attempts[number], 0, place))

    def returns(self, name: str, outcome: Outcome | None = None) -> None:
        """The running attempt of a unit comes back."""
        number = self.number(name)
        unit = self._view.unit(number)
        took = unit.elapsed(self._now) or 0.0
        self.post(UnitReturned(number, unit.attempt, (outcome or Outcome())._replace(seconds=took)))

    def adds(self, name: str, *units: QuantumUnit) -> None:
        """A unit completes, and adds others."""
        self.returns(name, Outcome(added=units))

    def completes(self, *names: str) -> None:
        for name in names:
            self.returns(name)

    def fails(self, name: str, error: UnitError | None = None, *, exit_code: int | None = None) -> None:
        if exit_code is not None:
            error = UnitError("exit", f"exit code {exit_code}", exit_code=exit_code)
        self.returns(name, Outcome(error=error or UnitError("ValueError", "bad row 17")))

    def stops(self, *names: str) -> None:
        """A unit that was asked to stop does."""
        for name in names:
            self.returns(name, Outcome(canceled=True))

    def prints(self, name: str, text: str | bytes) -> None:
        """A unit writes to its log."""
        number = self.number(name)
        key = (number, self._view.attempts[number])
        self.logs[key] = self.logs.get(key, b"") + (text.encode() if isinstance(text, str) else text)

    def progresses(self, name: str, done: float, total: float, message: str = "") -> None:
        number = self.number(name)
        self.post(ProgressReported(number, self._view.attempts[number], done, total, message))

    def warns(self, message: str, name: str | None = None) -> None:
        self.post(WarningRaised(message, -1 if name is None else self.number(name)))

    def uses(self, processes: Mapping[str, tuple[float, int]]) -> None:
        """What the processes of units use: CPU percent and bytes."""
        assert self.load is not None
        self.load = self.load._replace(units={self.number(name): UnitSample(*use) for name, use in processes.items()})
