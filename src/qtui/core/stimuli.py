"""The scheduler's words: stimuli bring news or wishes, effects are what lanes and timers are told to do.

The wishes (`Request`) are also what front ends send through `RunSession.request`; units are numbers of the plan.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from qtui.core.events import Event
from qtui.core.model import ExecutionMode, Outcome, QuantumUnit


class RunRequested(NamedTuple):
    """Begin the run."""

    name: str = ""


class UnitBegan(NamedTuple):
    """A lane that queues says that the attempt has really begun, in process `pid`, of worker `place` of a cluster if
    it has one."""

    unit: int
    attempt: int
    pid: int = 0
    place: str = ""


class UnitReturned(NamedTuple):
    """An attempt is over."""

    unit: int
    attempt: int
    outcome: Outcome


class LateReturned(NamedTuple):
    """An attempt that was abandoned has ended by itself at last; its result is dropped."""

    unit: int
    attempt: int


class ResultLost(NamedTuple):
    """The result of a completed unit can be had no more, and `cause` says why."""

    unit: int
    cause: str


class ProgressReported(NamedTuple):
    """A running unit says how far it is."""

    unit: int
    attempt: int
    done: float
    total: float
    message: str = ""


class SilenceReported(NamedTuple):
    """A running unit is silent and idle since then, for longer than its `stall`; it is not any more with None."""

    unit: int
    attempt: int
    since: float | None


class CacheChecked(NamedTuple):
    """Whether the unit can do with an earlier result; then that is in place already. `reason` says why (not); of a miss
    `unchanged` is as in CacheMissed."""

    unit: int
    generation: int
    hit: bool
    reason: str
    unchanged: bool = False


class TimerFired(NamedTuple):
    """The time asked for by `WakeAt` has come."""


class ResumeRequested(NamedTuple):
    """Go on: the scheduler was restored from a view that was made ready for that (see `qtui.core.resuming`)."""


class JournalReported(NamedTuple):
    """The record cannot be written, and `cause` says why; it can be again, if that is empty."""

    cause: str


class WarningRaised(NamedTuple):
    """Something outside the scheduler went wrong in a way that people should see."""

    message: str
    unit: int = -1


class CancelRequested(NamedTuple):
    """Stop these units; on one that is already stopping: kill it."""

    units: tuple[int, ...]
    cause: str = "canceled by you"


class CancelRunRequested(NamedTuple):
    """End the run: `drain` lets running units finish, `stop` stops them; asked twice, `stop` kills."""

    how: Literal["drain", "stop"] = "stop"
    cause: str = "canceled by you"


class InterruptRequested(NamedTuple):
    """A signal ends the run: what runs is stopped and stays without an end; asked twice, it is killed. With `signal` 0
    none did, and `cause` says what has happened."""

    signal: int = 2
    cause: str = ""


class RetryRequested(NamedTuple):
    """Run these units again; scope `dependents` also resets everything below them that has ended. With `fresh` whoever
    runs the run takes their definitions from the disk first, and then posts a `RedefineRequested`."""

    units: tuple[int, ...]
    scope: Literal["unit", "dependents"] = "unit"
    cause: str = "retried by you"
    fresh: bool = False


class RedefineRequested(NamedTuple):
    """A retry for which some units have other definitions now: each that runs again does so with its new one.

    A unit that would change the graph by that is not run again. (No `Request`, as functions do not travel.)
    """

    units: tuple[QuantumUnit, ...]
    retry: RetryRequested


class EditRequested(NamedTuple):
    """Let these units be other ones in a few respects, at once if they wait; those that have ended run again.

    `env` holds ``NAME=value`` texts, and `priority` is added to what it is. An empty `command`, and numbers below zero,
    leave things as they are; `timeout` (seconds) 0 means none, `memory` is bytes. `args` holds ``name=value`` texts for
    calls, in which a value is JSON, or else the text itself. What runs is not changed.
    """

    units: tuple[int, ...]
    env: tuple[str, ...] = ()
    command: str = ""
    timeout: float = -1.0
    memory: int = -1
    cpus: float = -1.0
    priority: int = 0
    cause: str = "edited by you"
    args: tuple[str, ...] = ()


LEFT_OUT_BY: Final = ("skipped by ", "set aside by ")
"""How the cause of a unit begins that a person has skipped."""


class SetAsideRequested(NamedTuple):
    """Do without these units: `skip` ends them skipped, `done` as if they had completed with their fallback's value, or
    None. What runs is left alone, and so is what has completed; `done` also takes back an end that was no good."""

    units: tuple[int, ...]
    how: Literal["skip", "done"]
    cause: str = "set aside by you"


class ApproveRequested(NamedTuple):
    """Say yes to the questions of these units."""

    units: tuple[int, ...]
    cause: str = "approved by you"


class ReleaseRequested(NamedTuple):
    """Let go of the brakes of these scopes; of all, if none is named."""

    scopes: tuple[str, ...] = ()
    cause: str = "released by you"


class PauseRequested(NamedTuple):
    """Start nothing new."""

    cause: str = "paused by you"


class UnpauseRequested(NamedTuple):
    """Start units again."""

    cause: str = "unpaused by you"


class WorkersRequested(NamedTuple):
    """Let at most `target` units run at a time (at least 1); the governor has no say from then on."""

    target: int
    cause: str = "set by you"


class WorkersStepRequested(NamedTuple):
    """Let `step` more units run at a time (fewer if negative): counts from whatever was asked for last."""

    step: int
    cause: str = "set by you"


class GovernorRequested(NamedTuple):
    """Let the governor decide how many units run at a time, or leave it as it is now."""

    on: bool
    cause: str = "set by you"


class LaneWorkersRequested(NamedTuple):
    """The governor's wish for one lane, or what a cluster can run; without effect while a person decides."""

    lane: ExecutionMode
    target: int
    cause: str


Request = (
    CancelRequested
    | CancelRunRequested
    | InterruptRequested
    | RetryRequested
    | EditRequested
    | SetAsideRequested
    | ApproveRequested
    | ReleaseRequested
    | PauseRequested
    | UnpauseRequested
    | WorkersRequested
    | WorkersStepRequested
    | GovernorRequested
)
Stimulus = (
    RunRequested
    | UnitBegan
    | UnitReturned
    | LateReturned
    | ResultLost
    | ProgressReported
    | SilenceReported
    | CacheChecked
    | TimerFired
    | ResumeRequested
    | RedefineRequested
    | JournalReported
    | WarningRaised
    | LaneWorkersRequested
    | Request
)


class StartUnit(NamedTuple):
    """Run this attempt; the lane answers with `UnitReturned` in the end, whatever happens. Up to `batch` units that are
    so marked may queue for one worker."""

    unit: int
    attempt: int
    lane: ExecutionMode
    worker: int
    batch: int = 1


class InterruptUnit(NamedTuple):
    """Ask the attempt to stop."""

    unit: int
    attempt: int
    lane: ExecutionMode


class KillUnit(NamedTuple):
    """Stop the attempt by force; a lane that cannot answers `abandoned`."""

    unit: int
    attempt: int
    lane: ExecutionMode


class CheckCache(NamedTuple):
    """Find out whether the unit can do with an earlier result; answered by `CacheChecked`. With `forced` it cannot,
    and only what it depends on is noted."""

    unit: int
    generation: int
    forced: bool = False


class WakeAt(NamedTuple):
    """Post `TimerFired` at this time of the run's clock."""

    at: float


LaneEffect = StartUnit | InterruptUnit | KillUnit
Effect = LaneEffect | CheckCache | WakeAt


class Decision(NamedTuple):
    """What a stimulus led to: facts to record, in order, and effects to carry out, in order."""

    events: list[Event]
    effects: list[Effect]
