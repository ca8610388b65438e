"""What happened: one light immutable class per fact, in one closed union.

Events are NamedTuples, not dataclasses: three are made for each unit under the turn lock, and a frozen dataclass
costs about four times as much to construct. Units are numbers here; `to_plain` turns them into ids for people.
Every `at` is Unix seconds from a clock that never steps back within a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from qtui.core.model import EMPTY, FAILURES, ExecutionMode, QuantumUnit, RunState, UnitError, UnitState

if TYPE_CHECKING:
    from qtui.core.plan import ExecutionPlan


class RunStarted(NamedTuple):
    """The run begins; all units are pending. Up to `workers` may run at a time; in a governed run, up to `lane_workers`
    of each lane."""

    at: float
    name: str
    workers: int
    governed: bool = False
    lane_workers: Mapping[str, int] = EMPTY


class RunPaused(NamedTuple):
    """Nothing new starts until `RunUnpaused`."""

    at: float
    cause: str


class RunUnpaused(NamedTuple):
    """Units start again."""

    at: float
    cause: str


class RunReopened(NamedTuple):
    """A finished run goes on, because a person reset a unit while a screen was open."""

    at: float
    cause: str


class RunResumed(NamedTuple):
    """Another process goes on with the run: it is running again, and nothing of what ran before is left. `workers` and
    the rest are as in `RunStarted`."""

    at: float
    cause: str
    workers: int
    governed: bool = False
    lane_workers: Mapping[str, int] = EMPTY


class PlanReplaced(NamedTuple):
    """From here on the plan is made of `units`, numbered in their order, and of what those that are still there have
    added; `mode` is the workflow's. What is known of a unit goes on under its id; a unit that is new is pending."""

    units: tuple[QuantumUnit, ...]
    mode: ExecutionMode
    at: float


class JournalChanged(NamedTuple):
    """The record cannot be written any more, and `cause` says why: nothing new starts. Without a cause, it is again,
    with all that happened meanwhile."""

    cause: str
    at: float


class RunStopping(NamedTuple):
    """The run was told to end. `how`: ``drain`` lets running units finish, ``stop`` stops them, so does ``timeout``,
    of the whole run; ``interrupt`` leaves what it cut without an end, for resume. `signal` asked for that; where it is
    0, none did, and `cause` has the reason."""

    at: float
    how: str
    cause: str
    signal: int = 0


class UnitReady(NamedTuple):
    """All needs are met; the unit waits for a worker."""

    unit: int
    at: float


class CacheMissed(NamedTuple):
    """The unit cannot use an earlier result, and `reason` says why; it goes on to wait for a worker. It is `unchanged`
    if nothing that a result depends on is known to have changed, and nobody wanted the miss."""

    unit: int
    reason: str
    at: float
    unchanged: bool = False


class ConfirmRequested(NamedTuple):
    """The unit waits until a person says yes to `question`."""

    unit: int
    question: str
    at: float


class UnitApproved(NamedTuple):
    """The unit may start; `by` says who said yes."""

    unit: int
    by: str
    at: float


class UnitSubmitted(NamedTuple):
    """The unit holds a worker slot of a lane that will tell by itself when the unit really begins."""

    unit: int
    attempt: int
    lane: ExecutionMode
    worker: int
    at: float


class UnitStarted(NamedTuple):
    """An attempt runs in worker slot `worker` (1-based), in process `pid` (0: in qtui's own), or in that process of
    the machine on which `place` is, a worker of a cluster."""

    unit: int
    attempt: int
    lane: ExecutionMode
    worker: int
    pid: int
    at: float
    place: str = ""


class UnitRetrying(NamedTuple):
    """The attempt failed; the next becomes ready after `delay` seconds."""

    unit: int
    attempt: int
    delay: float
    error: UnitError
    at: float


class UnitCanceling(NamedTuple):
    """The unit was asked to stop (`killing`: is being killed). `reason`: cancel, timeout or interrupt."""

    unit: int
    attempt: int
    reason: str
    cause: str
    killing: bool
    at: float


class UnitAbandoned(NamedTuple):
    """The attempt could not be stopped and goes on by itself; its result will be dropped. `worker` is the slot that it
    keeps, because too many have been left behind already, or 0."""

    unit: int
    attempt: int
    worker: int
    at: float


class LateResult(NamedTuple):
    """An abandoned attempt has ended by itself. `worker` is the slot that is free again for that, or 0."""

    unit: int
    attempt: int
    worker: int
    at: float


class UnitReset(NamedTuple):
    """A new generation of the unit begins: pending again, attempt numbers count on, retry budget anew. With `forced` a
    person asked for this very unit, so an earlier result will not do. `attempts` are those that it had made before it
    was out of the plan for a while, 0 for any other unit. `losses` is how often in a row that was because its result
    was lost, or an attempt free for such a reason."""

    unit: int
    generation: int
    cause: str
    at: float
    forced: bool = False
    attempts: int = 0
    losses: int = 0


class UnitStale(NamedTuple):
    """The unit has completed earlier and keeps its result, although `cause` says that it could be another one now."""

    unit: int
    cause: str
    at: float


class UnitRedefined(NamedTuple):
    """The unit runs as `definition` from its next attempt on: a person has edited it, or had it run again
    with what its file says now."""

    unit: int
    definition: QuantumUnit
    cause: str
    at: float


class UnitProgress(NamedTuple):
    """How far the attempt says it is; `total` 0 means unknown."""

    unit: int
    attempt: int
    done: float
    total: float
    message: str
    at: float


class UnitSilent(NamedTuple):
    """The attempt has neither printed nor computed anything `since` (Unix seconds), for longer than its `stall`; None
    says that it does again."""

    unit: int
    attempt: int
    since: float | None
    at: float


class UnitFinished(NamedTuple):
    """The end of the unit's generation. `duration` is the last attempt's, in seconds; `cause` says why a unit
    that did not run ended; `error` stays readable when a fallback was used. `because` is the unit whose failure made
    this one end without a run, or -1. `peak_memory` (bytes) and `cpu_seconds` are what the last attempt used, 0 if that
    is not known."""

    unit: int
    attempt: int
    generation: int
    state: UnitState
    at: float
    duration: float = 0.0
    error: UnitError | None = None
    cause: str = ""
    cached: bool = False
    fallback: bool = False
    abandoned: bool = False
    metrics: Mapping[str, Any] = EMPTY
    because: int = -1
    peak_memory: int = 0
    cpu_seconds: float = 0.0

    @property
    def set_aside(self) -> bool:
        """Whether a person has marked the unit as done, as `cause` tells; a fallback that was needed has no cause."""
        return self.fallback and bool(self.cause)


class UnitsAdded(NamedTuple):
    """The plan has grown: `unit` has added `units`, which are numbered on from the last one in their order.

    One whose id `unit` has added before takes the place of that; what it had added before and adds no more is dropped,
    with all that those units had added. Units that need everything come to need the new ones, but for those that have
    `begun`.
    """

    unit: int
    units: tuple[QuantumUnit, ...]
    at: float
    begun: tuple[int, ...] = ()


class BrakeChanged(NamedTuple):
    """Failures in a row were counted in `scope` (see `RunOptions.brakes`), or starts of its units were held or let go.

    `state`: ``open``; ``held``, nothing of the scope starts; ``probing``, one unit may, to see whether it still fails.
    `signature` is what the counted failures look like, where only equal ones count.
    """

    scope: str
    state: str
    failures: int
    signature: str
    cause: str
    at: float


class WorkersChanged(NamedTuple):
    """From now on at most `target` units of `lane` run at a time, and `workers` of all lanes together.

    Without `lane` both are the same. A `target` of 0 says that a cluster has no workers: it takes as many units as
    before, and they wait there.
    """

    target: int
    cause: str
    at: float
    lane: str
    workers: int


class GovernorChanged(NamedTuple):
    """The number of workers is the governor's to decide from now on, or a person's; lanes get their targets anew."""

    on: bool
    cause: str
    at: float


class Warned(NamedTuple):
    """Something a person should know; `unit` is -1 when it concerns the whole run."""

    unit: int
    message: str
    at: float


class RunFinished(NamedTuple):
    """The run ended. `counts` has the number of units by state, `exit_code` what the command line returns."""

    state: RunState
    counts: Mapping[str, int]
    duration: float
    exit_code: int
    at: float


Event = (
    RunStarted
    | RunPaused
    | RunUnpaused
    | RunReopened
    | RunResumed
    | PlanReplaced
    | JournalChanged
    | RunStopping
    | UnitReady
    | CacheMissed
    | ConfirmRequested
    | UnitApproved
    | UnitSubmitted
    | UnitStarted
    | UnitRetrying
    | UnitCanceling
    | UnitAbandoned
    | LateResult
    | UnitReset
    | UnitStale
    | UnitRedefined
    | UnitProgress
    | UnitSilent
    | UnitFinished
    | UnitsAdded
    | BrakeChanged
    | WorkersChanged
    | GovernorChanged
    | Warned
    | RunFinished
)

UNIT_EVENTS = (
    UnitReady
    | CacheMissed
    | ConfirmRequested
    | UnitApproved
    | UnitSubmitted
    | UnitStarted
    | UnitRetrying
    | UnitCanceling
    | UnitReset
    | UnitStale
    | UnitProgress
    | UnitSilent
    | UnitFinished
)

CHANGES_PLAN = PlanReplaced | UnitsAdded | UnitRedefined
"""What leads from one plan to another; all others leave it as it is."""

NAMES: Mapping[type[Event], str] = {
    RunStarted: "run_started",
    RunPaused: "run_paused",
    RunUnpaused: "run_unpaused",
    RunReopened: "run_reopened",
    RunResumed: "run_resumed",
    PlanReplaced: "plan_replaced",
    JournalChanged: "journal_changed",
    RunStopping: "run_stopping",
    UnitReady: "unit_ready",
    CacheMissed: "cache_missed",
    ConfirmRequested: "confirm_requested",
    UnitApproved: "unit_approved",
    UnitSubmitted: "unit_submitted",
    UnitStarted: "unit_started",
    UnitRetrying: "unit_retrying",
    UnitCanceling: "unit_canceling",
    UnitAbandoned: "unit_abandoned",
    LateResult: "late_result",
    UnitReset: "unit_reset",
    UnitStale: "unit_stale",
    UnitRedefined: "unit_redefined",
    UnitProgress: "unit_progress",
    UnitSilent: "unit_silent",
    UnitFinished: "unit_finished",
    UnitsAdded: "units_added",
    BrakeChanged: "brake_changed",
    WorkersChanged: "workers_changed",
    GovernorChanged: "governor_changed",
    Warned: "warning",
    RunFinished: "run_finished",
}
CLASSES: Mapping[str, type[Event]] = {name: cls for cls, name in NAMES.items()}


def to_plain(event: Event, plan: ExecutionPlan) -> dict[str, Any]:
    """`event` as JSON-ready data: its name under ``event``, unit numbers as ids, empty fields left as they are.

    `plan` is the one that holds once the event has happened. ``run_started`` also carries it: every unit's id, family,
    resolved needs and lane. ``unit_finished`` says whether it is a failure that is ``allowed``.
    """
    data: dict[str, Any] = {"event": NAMES[type(event)]}
    for key, value in event._asdict().items():
        if key in ("unit", "because"):
            data[key] = plan.table[value].id if value >= 0 else None
        elif key == "begun":
            data[key] = [plan.table[number].id for number in value]
        elif isinstance(value, UnitError):
            data[key] = {**value._asdict(), "bases": list(value.bases)}
        elif isinstance(value, Mapping):
            data[key] = dict(value)
        else:
            data[key] = value
    if isinstance(event, UnitRedefined):
        data["definition"] = _plain_unit(plan, event.unit)
    elif isinstance(event, UnitRetrying):
        data["cause"] = str(event.error)
    elif isinstance(event, UnitFinished):
        data["allowed"] = event.state in FAILURES and plan.table[event.unit].allow_failure
    if isinstance(event, RunStarted):
        data["units"] = [_plain_unit(plan, number) for number in range(len(plan))]
    elif isinstance(event, UnitsAdded | PlanReplaced):
        data["units"] = [_plain_unit(plan, plan.numbers[unit.id]) for unit in event.units]
    return data


def _plain_unit(plan: ExecutionPlan, number: int) -> dict[str, Any]:
    unit = plan.table[number]
    return {
        "id": unit.id,
        "family": unit.name,
        "needs": [plan.table[need].id for need in plan.needs[number]],
        "mode": str(plan.lanes[number]),
    }


def _unit_from_plain(data: Mapping[str, Any]) -> QuantumUnit:
    """As much of an added unit as others see: what it does stays with the run."""
    family = data["family"] if data["family"] != data["id"] else ""
    needs, mode = tuple(data["needs"]), ExecutionMode(data["mode"])
    return QuantumUnit(id=data["id"], family=family, dependencies=needs, mode=mode)


def from_plain(data: Mapping[str, Any], number: Callable[[str], int]) -> Event:
    """The event that `to_plain` wrote; `number` gives a unit's number for its id.

    Raises KeyError for a name that is not an event's, so that a reader may skip it.
    """
    cls = CLASSES[data["event"]]
    values = {key: data[key] for key in cls._fields if key in data}
    for key in ("unit", "because"):
        if key in values:
            values[key] = -1 if values[key] is None else number(values[key])
    if "begun" in values:
        values["begun"] = tuple(map(number, values["begun"]))
    if values.get("error"):
        values["error"] = UnitError(**{**values["error"], "bases": tuple(values["error"]["bases"])})
    for key in ("lane", "mode"):
        if values.get(key):
            values[key] = ExecutionMode(values[key])
    if cls is RunFinished:
        values["state"] = RunState(values["state"])
    elif cls is UnitFinished:
        values["state"] = UnitState(values["state"])
    elif cls in (UnitsAdded, PlanReplaced):
        values["units"] = tuple(map(_unit_from_plain, values["units"]))
    elif cls is UnitRedefined:
        values["definition"] = _unit_from_plain(values["definition"])
    return cls(**values)
