"""What engine and lanes promise each other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from qtui.core.model import ExecutionMode, Outcome, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.stimuli import LaneEffect, StartUnit
from qtui.engine.context import ExecutionContext
from qtui.engine.outputs import Outputs
from qtui.engine.packing import Packed
from qtui.engine.workers.keepers import Keeper


class Attempt:
    """One attempt on its way through a lane.

    `begun_at` is the monotonic time at which a lane's thread took it up; `kept` is what the lane needs to stop it, and
    `outputs` what the engine needs to look at those. All processes of the attempt are below that of its `keeper`.
    `thread` is the native id of the thread of qtui's own that runs it, and that runs others at the same time if it
    `shares_thread`. `fate` is set once somebody else has reported its end, because it cannot be stopped or has lost its
    loop.
    """

    __slots__ = (
        "begun_at",
        "context",
        "fate",
        "interrupted",
        "keeper",
        "kept",
        "outputs",
        "shares_thread",
        "start",
        "thread",
        "unit",
    )

    def __init__(self, start: StartUnit, unit: QuantumUnit) -> None:
        self.start, self.unit = start, unit
        self.context: ExecutionContext | None = None
        self.interrupted = False
        self.fate: Literal["", "abandoned", "lost"] = ""
        self.begun_at: float | None = None
        self.kept: Any = None
        self.outputs: Outputs | None = None
        self.keeper: Keeper | None = None
        self.thread = 0
        self.shares_thread = False

    def wait_for_fate(self) -> str:
        """For its own thread, when it finds that somebody else reports: wait the moment until that has been done."""
        while not self.fate:
            time.sleep(0.0005)
        return self.fate


class Host(Protocol):
    """The engine, as lanes see it. Every method may be called from any thread."""

    run: str
    record: str
    """Tells the run's directory from copies of it, see `variables.record_tag`."""
    plan: ExecutionPlan
    options: RunOptions
    params: Mapping[str, Any]
    results: list[Any]
    """Values of completed units by number; what a process made is Packed."""

    def keeper(self, given: Sequence[int] = ()) -> Keeper:
        """A new keeper process, which inherits descriptors. Raises OSError."""

    def variables_of(self, unit: int) -> dict[str, str]:
        """The unit's own environment variables, which go over those that every keeper has."""

    def report_progress(self, number: int, attempt: int, done: float, total: float, message: str) -> None:
        """Note how far an attempt is."""

    def packed_of(self, number: int) -> Packed:
        """The value of a completed unit as bytes for a worker process. Raises what pickling raises."""

    def value_of(self, number: int) -> Any:
        """The value of a completed unit. Raises BrokenResult if it cannot be loaded."""

    def value_path(self, name: str) -> str:
        """The file `name` for a value that is too large for a message."""

    def state_of(self, number: int) -> UnitState:
        """The unit's state right now."""

    def cause_of(self, number: int) -> str:
        """Why a unit that has ended has no value."""

    def added_to(self, number: int) -> Sequence[int]:
        """The units that needs of this one have added."""

    def attempt(self, start: StartUnit) -> Attempt:
        """The attempt of a start, without its context."""

    def open_context(self, attempt: Attempt) -> ExecutionContext:
        """Make the attempt's context; called on the lane's own thread."""

    def began(self, start: StartUnit, pid: int, place: str = "") -> None:
        """A queueing lane says that the attempt really runs now, on worker `place` of a cluster if it has one."""

    def returned(self, attempt: Attempt, outcome: Outcome, value: Any, lane: Lane | None) -> StartUnit | None:
        """The attempt is over. The caller may be handed the best start of `lane` to go on with."""

    def late(self, attempt: Attempt) -> None:
        """An attempt that was reported as abandoned has ended by itself."""

    def warn(self, unit: int, message: str) -> None:
        """Tell people something about a unit that does not end it."""

    def lost(self, unit: int, cause: str) -> None:
        """The result of a completed unit is gone, and `cause` says why: it runs again if it may, and what waits for it
        waits once more."""

    def resize(self, lane: ExecutionMode, workers: int, cause: str) -> None:
        """The lane can run so many units at a time now, as `cause` tells; without effect where a person decides."""

    def interrupt(self, cause: str) -> None:
        """The run cannot go on here: end it as a signal would, with what runs cut, so that it can be resumed."""


@runtime_checkable
class Doubting(Protocol):
    """A lane whose processes may have imported code that has changed since."""

    def doubt(self) -> None:
        """Look for that before the next unit begins. Any thread may call it."""


class Lane(Protocol):
    """Runs attempts of one mode. It answers every StartUnit with exactly one `returned`."""

    mode: ExecutionMode

    def open(self, host: Host) -> None:
        """Get ready; called once, before the first `post`."""

    def post(self, effect: LaneEffect) -> None:
        """Take an effect; called under the turn lock, so it only notes it and returns. Order is kept."""

    def keep(self, start: StartUnit) -> None:
        """Note a start whose attempt the caller of `returned` runs itself; called under the turn lock."""

    def close(self) -> None:
        """Kill what still runs and let the threads end; does not wait for threads that cannot be stopped."""
