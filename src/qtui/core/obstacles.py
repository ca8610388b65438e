"""What can be in the way of a unit: a closed union of values, and their words. See `why`, which finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from qtui.core.events import BrakeChanged
from qtui.core.holding import Share, brake_words
from qtui.core.plan import ExecutionPlan


@dataclass(frozen=True, slots=True)
class Handed:
    """A lane has the unit, on a `worker`, and has not begun it; that is up to the `cluster`, if it runs there. That
    is `unmanned` while it has no workers. One of a `batch` shares a process, and waits for those before it."""

    worker: int
    cluster: bool = False
    batch: bool = False
    unmanned: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """`units` have not ended as it wants, of so many needs (`count`)."""

    units: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Blame:
    """It runs if a need has failed, and whether one has depends on how these `units` end."""

    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """`units` run again that have added it, or what has added it: they may add it again, or drop it."""

    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Earlier `attempts` of its own could not be stopped, and go on."""

    attempts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BackOff:
    """The next of `tries` tries, number `attempt`, may begin at `until` (Unix seconds)."""

    until: float
    attempt: int
    tries: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """An earlier result is being looked for; will be, once the rest is out of the way, if `ahead`."""

    ahead: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A person has not said yes to `text`; is asked once the rest is out of the way, if `ahead`."""

    text: str
    ahead: bool


@dataclass(frozen=True, slots=True)
class NotBegun:
    """The run has not begun."""


@dataclass(frozen=True, slots=True)
class Over:
    """The run does not go on until it is resumed: it was interrupted, or its process was `lost`."""

    lost: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """The run is being ended, by `cause`."""

    cause: str


@dataclass(frozen=True, slots=True)
class Unsaved:
    """The record cannot be written, by `cause`."""

    cause: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The run is paused."""


@dataclass(frozen=True, slots=True)
class Braked:
    """A `brake` holds the starts of its scope."""

    brake: BrakeChanged


@dataclass(frozen=True, slots=True)
class Short:
    """There is too little left of a limit: a pool, a mutex, cores, memory, or the workers of its lane. Who gives it
    back before the unit can start is not among the holders."""

    share: Share


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is left of these `limits` is for `units` that want more of it than there is, and go before it."""

    limits: tuple[str, ...]
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Busy:
    """All `workers` have units, or too little is left of one for its share of a batch: `busy` count, `stuck` of them
    kept by abandoned attempts, and others by `units`, without those that end before it can start. With `more` workers
    there would be room."""

    busy: int
    workers: int
    stuck: int
    units: tuple[int, ...]
    more: int


@dataclass(frozen=True, slots=True)
class First:
    """Better-ranked `units` would take what it needs."""

    units: tuple[int, ...]


Cause = (
    Handed
    | Needs
    | Blame
    | HeldBack
    | Abandoned
    | BackOff
    | LookUp
    | Question
    | NotBegun
    | Over
    | Ending
    | Unsaved
    | Paused
    | Braked
    | Short
    | Reserved
    | Busy
    | First
)


def words(cause: Cause, plan: ExecutionPlan, now: float) -> str:
    """A cause in the few words a row has room for; `now` in Unix seconds."""
    match cause:
        case Handed(cluster=True, unmanned=True):
            return "the cluster has no workers"
        case Handed(cluster=cluster, batch=batch):
            return "waits for the cluster" if cluster else "queued in a batch" if batch else "starting"
        case Needs(units, count):
            return f"needs {_name(plan, units)}" if count == 1 else f"has {count - len(units)}/{count} needs"
        case Blame(units):
            return f"waits to know whether {_name(plan, units)} fail{'s' if len(units) == 1 else ''}"
        case HeldBack(units):
            return f"added by {plan.table[units[0]].id}, which runs again"
        case Abandoned(attempts):
            return f"waits for attempt {', '.join(map(str, attempts))}, which could not be stopped"
        case BackOff(until, attempt, tries):
            return f"try {attempt}/{tries} in {max(0.0, until - now):.0f}s"
        case LookUp(ahead):
            return "then looks for an earlier result" if ahead else "looking for an earlier result"
        case Question(text, ahead):
            return f"then asks: {text}" if ahead else text
        case _:
            return _of_all(cause, plan)


def _of_all(
    cause: NotBegun | Over | Ending | Unsaved | Paused | Braked | Short | Reserved | Busy | First, plan: ExecutionPlan
) -> str:
    match cause:
        case NotBegun():
            return "the run has not begun"
        case Over(lost):
            return "nobody runs the run" if lost else "the run was interrupted"
        case Ending(why):
            return f"the run is ending: {why}"
        case Unsaved(why):
            return f"the record cannot be written: {why}"
        case Paused():
            return "paused"
        case Braked(brake):
            return f"held: {brake_words(brake)}"
        case Short(share):
            return share.shortage
        case Reserved(limits, units):
            return f"{' and '.join(limits)} kept for {_name(plan, units)}, which want{'s' * (len(units) == 1)} more"
        case Busy(busy, workers, stuck):
            kept = f", {stuck} by abandoned attempts" if stuck else ""
            return f"{busy} of {workers} workers busy{kept}"
        case First(units):
            return f"{_name(plan, units)} go{'es' if len(units) == 1 else ''} first"
        case _:
            assert_never(cause)


def _name(plan: ExecutionPlan, units: Sequence[int]) -> str:
    return plan.table[units[0]].id if len(units) == 1 else f"{len(units):,} units"
