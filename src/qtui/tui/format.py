"""What a unit's or run's state looks like in words and signs; pure, and no colours, only roles."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from qtui.core.brakes import HELD, PROBING
from qtui.core.events import ConfirmRequested, UnitCanceling
from qtui.core.model import FAILURES, ExecutionMode, RunState, UnitError, UnitState
from qtui.core.samples import LoadSample
from qtui.core.state import RunView, UnitView
from qtui.tui.roles import Role
from qtui.tui.text import clean

_LONGEST_ROW: Final = 400


class Look(StrEnum):
    """How a unit is shown: its state, finer where people need it; the value is the word on the screen."""

    WAIT = "wait"
    READY = "ready"
    QUEUE = "queue"
    ASK = "ask"
    RUN = "run"
    OK = "ok"
    HIT = "hit"
    RETRY = "retry"
    STOP = "stop"
    FAIL = "FAIL"
    TIME = "TIME"
    ALLOWED = "fail"
    SKIP = "skip"
    CANC = "CANC"


class _Sign(NamedTuple):
    glyph: str
    ascii: str
    role: Role


SIGNS: Final[Mapping[Look, _Sign]] = {
    Look.WAIT: _Sign("∙", ".", Role.MUTED),
    Look.READY: _Sign("◦", "o", Role.TEXT),
    Look.QUEUE: _Sign("⋮", ":", Role.ACCENT),
    Look.ASK: _Sign("?", "?", Role.WARNING),
    Look.RUN: _Sign("▸", ">", Role.PRIMARY),
    Look.OK: _Sign("✓", "+", Role.SUCCESS),
    Look.HIT: _Sign("=", "=", Role.CACHED),
    Look.RETRY: _Sign("↻", "~", Role.WARNING),
    Look.STOP: _Sign("⊗", "s", Role.STOPPING),
    Look.FAIL: _Sign("✗", "X", Role.ERROR),
    Look.TIME: _Sign("◷", "T", Role.TIMEOUT),
    Look.ALLOWED: _Sign("×", "x", Role.WARNING),
    Look.SKIP: _Sign("↷", "-", Role.MUTED),
    Look.CANC: _Sign("⊘", "c", Role.SECONDARY),
}

NONE_ALLOWED: Final[Mapping[UnitState, int]] = {}
"""Where no failure is allowed: how many are, by state."""

COUNT_ORDER: Final = (
    Look.OK,
    Look.HIT,
    Look.RUN,
    Look.ASK,
    Look.QUEUE,
    Look.READY,
    Look.WAIT,
    Look.FAIL,
    Look.TIME,
    Look.ALLOWED,
    Look.RETRY,
    Look.STOP,
    Look.SKIP,
    Look.CANC,
)

_LOOKS: Final[Mapping[UnitState, Look]] = {
    UnitState.PENDING: Look.WAIT,
    UnitState.READY: Look.READY,
    UnitState.RUNNING: Look.RUN,
    UnitState.RETRYING: Look.RETRY,
    UnitState.CANCELING: Look.STOP,
    UnitState.COMPLETED: Look.OK,
    UnitState.FAILED: Look.FAIL,
    UnitState.TIMEOUT: Look.TIME,
    UnitState.SKIPPED: Look.SKIP,
    UnitState.CANCELED: Look.CANC,
}


class Glyphs(NamedTuple):
    """One set of signs to draw with; `unicode` says which column of `SIGNS` goes with it."""

    unicode: bool
    branch: str
    last: str
    through: str
    member: str
    space: str
    ellipsis: str
    cursor: str
    up: str
    times: str
    range: str
    full: str
    cached: str
    running: str
    failed: str
    left_out: str
    empty: str
    spark: str

    def sign(self, look: Look) -> str:
        """The one-cell sign of a look."""
        sign = SIGNS[look]
        return sign.glyph if self.unicode else sign.ascii


UNICODE: Final = Glyphs(
    unicode=True,
    branch="├─ ",
    last="└─ ",
    through="│  ",
    member="┆  ",
    space="   ",
    ellipsis="…",
    cursor="›",
    up="↑",
    times="×",
    range="..",
    full="█",
    cached="▓",
    running="▒",
    failed="X",
    left_out="-",
    empty="░",
    spark="▁▂▃▄▅▆▇█",
)
ASCII: Final = Glyphs(
    unicode=False,
    branch="|- ",
    last="`- ",
    through="|  ",
    member=":  ",
    space="   ",
    ellipsis="~",
    cursor="@",  # ">" is the sign of what runs
    up="^",
    times="x",
    range="..",
    full="#",
    cached="=",
    running=">",
    failed="X",
    left_out="-",
    empty=".",
    spark="_.:-=+*#",
)


def look_of_state(state: UnitState, view: RunView, *, allowed: bool = False) -> Look:
    """How units in `state` are shown while the run is as in `view`; `allowed` says that they may fail.

    A unit that could start is started at once: those that are ready for longer wait for what others hold.
    """
    if state is UnitState.READY and (view.paused or view.active or view.stuck or is_held(view)):
        return Look.QUEUE
    return Look.ALLOWED if allowed and state in FAILURES else _LOOKS[state]


def is_held(view: RunView) -> bool:
    """Whether a brake holds all starts of the run."""
    brake = view.brakes.get("")
    return brake is not None and brake.state in (HELD, PROBING)


def look_of(unit: UnitView, waits_for: str | None = None) -> Look:
    """How this unit is shown; `waits_for` as for `cause_of`, None if that is not known."""
    state = unit.state
    if state is UnitState.COMPLETED and (end := unit.finished) is not None and end.cached:
        return Look.HIT
    if unit.submitted:
        return Look.QUEUE
    if isinstance(unit.view.last[unit.number], ConfirmRequested):
        return Look.ASK
    if state is UnitState.READY and waits_for is not None:
        return Look.QUEUE if waits_for else Look.READY
    return look_of_state(state, unit.view, allowed=unit.unit.allow_failure)


def run_word(view: RunView) -> tuple[str, Role]:
    """The state of the run in one word, and its role."""
    if view.state is RunState.RUNNING:
        if view.stopping is not None:
            return ("DRAINING" if view.stopping.how == "drain" else "STOPPING"), Role.WARNING
        if view.paused or is_held(view):
            return ("PAUSED" if view.paused else "HELD"), Role.WARNING
        return "RUNNING", Role.PRIMARY
    return {
        RunState.PENDING: ("STARTING", Role.MUTED),
        RunState.COMPLETED: ("OK", Role.SUCCESS),
        RunState.FAILED: ("FAILED", Role.ERROR),
        RunState.CANCELED: ("CANCELED", Role.SECONDARY),
        RunState.INTERRUPTED: ("INTERRUPTED", Role.SECONDARY),
    }[view.state]


def time_of_day(at: float) -> str:
    """``14:07:31``, where this process is, of Unix seconds."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def clock(seconds: float) -> str:
    """Hours, minutes and whole seconds: ``0:04:12``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def short_clock(seconds: float) -> str:
    """At most five cells: ``4:12``, ``59:59``, ``3h07m``, ``2d03h``."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02}h"


def counted(count: int, noun: str) -> str:
    """``1 unit``, ``1,204 units``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_of(count: float) -> str:
    """A number of bytes in at most five cells: ``812B``, ``45M``, ``1.2G``."""
    for unit in "BKMGT":
        if count < 999.5 or unit == "T":
            return f"{count:.1f}{unit}" if count < 9.95 and unit != "B" else f"{count:.0f}{unit}"
        count /= 1024
    raise AssertionError("unreachable")


def most_active(view: RunView, sample: LoadSample | None = None) -> int:
    """How many units may run at a time; while lanes have targets of their own, the sum of those if that is less:
    coroutines add nothing to it that the machine would feel. A cluster runs one in each thread, and is sent more."""
    lanes = dict(view.lane_workers)
    if sample is not None and sample.threads and ExecutionMode.CUSTOM in lanes:
        lanes[ExecutionMode.CUSTOM] = min(lanes[ExecutionMode.CUSTOM], sample.threads)
    return min(sum(lanes.values()) or view.workers, view.workers)


def sparkline(values: Sequence[float], most: float, width: int, glyphs: Glyphs) -> str:
    """The last `width` of `values` as bars up to `most`, the newest on the right; blank where there are none yet."""
    steps = len(glyphs.spark)
    places = (int(value * steps / most) if most > 0 else 0 for value in values[-width:])
    return "".join(glyphs.spark[min(max(place, 0), steps - 1)] for place in places).rjust(width)


def tries(unit: UnitView) -> str:
    """``2/3`` for the second of three tries; empty for the first."""
    attempt = unit.attempt_in_generation
    return f"{attempt}/{unit.unit.retry.max + 1}" if attempt > 1 else ""


def badges(unit: UnitView) -> str:
    """What must not be overlooked about a unit that ended: its result could be another one now, a fallback was used, an
    attempt was left behind, its failure is allowed. That a person has set it aside is its cause."""
    end = unit.finished
    if end is None:
        return ""
    allowed = unit.unit.allow_failure and end.state in FAILURES
    stale = unit.number in unit.view.stale
    fallback = end.fallback and not end.set_aside
    found = (("stale", stale), ("fallback", fallback), ("abandoned", end.abandoned), ("allowed", allowed))
    return " ".join(word for word, on in found if on)


def cause_of(unit: UnitView, now: float, waits_for: str = "") -> str:
    """Why the unit is in its state, in the few words a row has room for; `now` is the run's clock.

    `waits_for` is what is in its way while it waits, see `core.why`.
    """
    match unit.state:
        case UnitState.PENDING | UnitState.READY | UnitState.RETRYING:
            return clean(waits_for)
        case UnitState.RUNNING:
            return " ".join(filter(None, (silence_of(unit, now), _progress(unit), tries(unit))))
        case UnitState.CANCELING:
            return _stopping(unit, now)
        case UnitState.FAILED | UnitState.TIMEOUT:
            found = " ".join(filter(None, (short_error(unit), tries(unit), badges(unit))))
            return f"{found}: {line}" if (line := last_line(unit.error)) else found
        case UnitState.CANCELED:
            return " ".join(filter(None, (clean(unit.cause).removeprefix("canceled "), badges(unit))))
        case UnitState.COMPLETED:
            if (end := unit.finished) is not None and (end.cached or end.set_aside):
                return " ".join(filter(None, (badges(unit), clean(end.cause))))
            used = unit.error
            return " ".join(filter(None, (badges(unit), f"after {short_error(unit)}" if used else tries(unit))))
        case _:
            return clean(unit.cause)


def silence_of(unit: UnitView, now: float) -> str:
    """``silent 1:01`` of a unit that is silent and idle for longer than its `stall`; else empty."""
    seconds = unit.silent_for(now)
    return "" if seconds is None else f"silent {short_clock(seconds)}"


def short_error(unit: UnitView) -> str:
    """The error of the latest attempt in a few words: ``exit 3``, ``after 30 s``, ``ValueError: bad row``."""
    error = unit.error
    if error is None:
        return clean(unit.cause)
    if error.exit_code is not None and error.exit_code >= 0:
        return f"exit {error.exit_code}"
    return clean(str(error)).removeprefix("timed out ").strip()


def last_line(error: UnitError | None) -> str:
    """What a command that failed printed last, as far as a row may have room for it."""
    return clean(error.last_line[:_LONGEST_ROW]).strip() if error is not None and error.exit_code is not None else ""


def _progress(unit: UnitView) -> str:
    progress = unit.progress
    if progress is None:
        return ""
    if progress.total > 0:
        return f"{min(100, int(100 * progress.done / progress.total))}%"
    return f"{progress.done:g}" if progress.done else ""


def _stopping(unit: UnitView, now: float) -> str:
    last = unit.view.last[unit.number]
    if not isinstance(last, UnitCanceling):
        return ""
    words = f"{'killing ' if last.killing else ''}for {max(0, int(now - last.at))}s"
    if unit.lane in (ExecutionMode.THREAD, ExecutionMode.SEQUENTIAL):
        words += " (a thread cannot be stopped, waiting)"
    return f"{words}: {clean(last.cause)}" if last.reason == "timeout" else words
