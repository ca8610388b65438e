"""What the screen and the lines of text tell of a forecast: when the run ends, what its time is made of, and which
units it waits for. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from qtui.core.brakes import HELD
from qtui.core.events import (
    BrakeChanged,
    PlanReplaced,
    RunPaused,
    RunReopened,
    RunResumed,
    RunStopping,
    RunUnpaused,
    UnitApproved,
    UnitCanceling,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    WorkersChanged,
)
from qtui.core.model import UnitState
from qtui.core.state import RunView
from qtui.tui.timeaxis import span_of

if TYPE_CHECKING:
    from qtui.core.forecast import Forecast
    from qtui.tui.forecaster import Forecaster, Told

TURNS: Final = frozenset(
    {
        *(BrakeChanged, PlanReplaced, RunPaused, RunReopened, RunResumed, RunStopping, RunUnpaused, UnitApproved),
        *(UnitCanceling, UnitRedefined, UnitReset, UnitRetrying, UnitsAdded, WorkersChanged),
    }
)
"""The events after which a run goes another way than a forecast has it, for which every attempt succeeds."""

PATH_MARK: Final = "!"
"""Behind the name of what the end waits for: it is on the critical path."""

_AT_WORK: Final = (UnitState.RUNNING, UnitState.CANCELING)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_FAR: Final = 20 * _HOUR
"""An end later than that is told with its day."""
_MOST_PARTS: Final = 4


class Outlook:
    """The forecast that is on the screen; `told` is None while there is none. All that is drawn in a frame asks here,
    and so tells of the same one."""

    def __init__(self) -> None:
        self.told: Told | None = None
        self.unknown = 0
        self.path: Sequence[int] = ()
        """The units that the end follows from, first to last."""
        self._on_path: frozenset[int] = frozenset()

    def take(self, forecaster: Forecaster) -> bool:
        """Take the latest forecast; True if it is another one."""
        told, unknown = forecaster.latest, forecaster.unknown
        if told is self.told and unknown == self.unknown:
            return False
        self.told, self.unknown = told, unknown
        self.path = told.forecast.path if told is not None else ()
        self._on_path = frozenset(self.path)
        return True

    def is_on_path(self, number: int, view: RunView) -> bool:
        """Whether the end waits for a unit that has not ended."""
        return number in self._on_path and not view.states[number].ended

    def why_so_long(self, view: RunView, room: int) -> str:
        """What the time until the end is made of, in `room` cells; empty if that is not known."""
        if self.told is None or view.state.ended:
            return ""
        return attribution(self.told.forecast, room)

    def soon(self, number: int, view: RunView, now: float) -> str:
        """When a unit is expected to start, or to end if it runs: ``in ~3m``, ``~40s left``; empty if nobody knows."""
        if self.told is None or view.states[number].ended:
            return ""
        if view.states[number] in _AT_WORK:
            left = self.told.until_end(number, now)
            return f"{about(left)} left" if 0 < left < inf else ""
        begins = self.told.until_start(number, now)
        return f"in {about(begins)}" if 0 < begins < inf else ""


# -- words -----------------------------------------------------------------------------------------------


def eta_texts(told: Told | None, unknown: int, view: RunView, now: float) -> tuple[str, ...]:
    """When the run ends, in words that become shorter: ``eta 12:41 (6-8m)``, ``6-8m``, ``~7m``. Empty if there is
    nothing to tell."""
    if view.state.ended or view.started_at is None:
        return ()
    if told is None:
        return (f"eta unknown: nothing is known of {unknown:,} units", "eta unknown") if unknown else ()
    if endless := told.forecast.endless:
        return (f"no end in sight for {endless:,} unit{'' if endless == 1 else 's'}", "no end in sight")
    p10, p50, p90 = told.left(now)
    sampled = told.forecast.samples > 1
    within = span(p10, p90) if sampled else about(p50)
    at = time.strftime("%H:%M" if p50 < _FAR else "%a %H:%M", time.localtime(now + p50))
    short = about(p50)
    if condition := _condition(view):
        return f"eta {at} ({within}) {condition}", f"{within} {condition}", within, short
    return f"eta {at} ({within})", within, short


def _condition(view: RunView) -> str:
    """What people would have to do for the run to end then."""
    held = any(brake.state == HELD for brake in view.brakes.values())
    deeds = {"saved again": view.unsaved, "resumed": view.paused, "answered": view.asked, "let go": held}
    wanted = [deed for deed, is_wanted in deeds.items() if is_wanted]
    return f"if {' and '.join(wanted)} now" if wanted else ""


def left_words(told: Told, view: RunView, now: float) -> str:
    """``about 7m left (6-8m)``, for a line of text."""
    if told.forecast.endless:
        return "no end in sight"
    p10, p50, p90 = told.left(now)
    within = f" ({span(p10, p90)})" if told.forecast.samples > 1 else ""
    return " ".join(filter(None, (f"about {rounded(p50)} left{within}", _condition(view))))


def attribution(forecast: Forecast, room: int) -> str:
    """``7m02s left = 5m10s critical path + 1m12s pool gpu + 40s workers``: what the time is made of, in `room` cells.

    Of what there is no room for, the longest is told; empty where nothing is left.
    """
    parts = [(round(part.seconds), part.what) for part in forecast.parts if round(part.seconds) > 0]
    if not parts or forecast.endless:
        return ""
    total = f"{span_of(sum(seconds for seconds, _ in parts))} left"
    if len(parts) == 1:
        return f"{total}, all {parts[0][1]}"
    texts = [f"{span_of(seconds)} {what}" for seconds, what in parts]
    for most in range(min(len(texts), _MOST_PARTS), 0, -1):
        rest = span_of(sum(seconds for seconds, _ in parts[most:]))
        text = f"{total} = {' + '.join(texts[:most] + ([f'{rest} others'] if most < len(texts) else []))}"
        if len(text) <= room:
            return text
    return total


def about(seconds: float) -> str:
    """``~7m``, ``~45s``, ``~1h20m``."""
    return f"~{rounded(seconds)}"


def rounded(seconds: float) -> str:
    """``7m``, ``45s``, ``1h20m``: so coarse that it does not change all the time, and never nothing."""
    step = _step(seconds)
    return _on_grid(max(step, round(seconds / step) * step))


def span(least: float, most: float) -> str:
    """``6-8m``, ``40-55s``, ``1h05m-1h20m``, ``<2m``: from `least` to `most` seconds, rounded away from each other."""
    if most <= 0:
        return "any moment"
    step = _step(most)
    low, high = int(least // step) * step, ceil(most / step) * step
    if not low:
        return f"<{_on_grid(high)}"
    first, last = _on_grid(low), _on_grid(high)
    if first == last:
        return last
    both_plain = first[:-1].isdigit() and last[:-1].isdigit() and first[-1] == last[-1]
    return f"{first[:-1]}-{last}" if both_plain else f"{first}-{last}"


def _step(seconds: float) -> int:
    """To what it is rounded, so that it does not change all the time."""
    if seconds <= _MINUTE:
        return 5
    if seconds <= 90 * _MINUTE:
        return _MINUTE
    if seconds <= 10 * _HOUR:
        return 5 * _MINUTE
    return _HOUR if seconds <= 3 * _DAY else _DAY


def _on_grid(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds <= 90 * _MINUTE:
        return f"{seconds // _MINUTE}m"
    if seconds <= 10 * _HOUR:
        hours, minutes = seconds // _HOUR, seconds // _MINUTE % 60
        return f"{hours}h{minutes:02}m" if minutes else f"{hours}h"
    return f"{seconds // _HOUR}h" if seconds <= 3 * _DAY else f"{seconds // _DAY}d"
