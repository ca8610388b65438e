"""What the screen and the lines of text tell of a forecast: when the run ends, what its time is made of, and which
units it waits for. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from qtui.core.attribution import attribution
from qtui.core.brakes import HELD
from qtui.core.events import (
    BrakeChanged,
    ConfirmRequested,
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
from qtui.core.expecting import worth_a_word
from qtui.core.model import ExecutionMode, UnitState
from qtui.core.plan import reached
from qtui.core.samples import unmanned_for
from qtui.core.state import RunView
from qtui.tui.text import clean
from qtui.tui.timeaxis import span_of

if TYPE_CHECKING:
    from qtui.core.gains import Gain
    from qtui.core.plan import ExecutionPlan
    from qtui.tui.forecaster import Forecaster, Told

TURNS: Final = frozenset(
    {
        *(BrakeChanged, PlanReplaced, RunPaused, RunReopened, RunResumed, RunStopping, RunUnpaused, UnitApproved),
        *(UnitCanceling, UnitRedefined, UnitReset, UnitRetrying, UnitsAdded, WorkersChanged),
    }
)
"""The events after which a run goes another way than a forecast has it, for which every attempt succeeds."""

PATH_MARK: Final = "!"
"""Behind the name of what is critical: the end waits for it."""

_AT_WORK: Final = (UnitState.RUNNING, UnitState.CANCELING)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
MOMENT: Final = 1.0
"""Seconds; who has no more left ends any moment."""
_LEAST_TOLD: Final = 0.5
"""Seconds; less is none."""
_FAR: Final = 20 * _HOUR
"""An end later than that is told with its day."""


class Outlook:
    """The forecast that is on the screen; `told` is None while there is none of the plan that is shown. All that is
    drawn in a frame asks here, and so tells of the same one."""

    def __init__(self) -> None:
        self.told: Told | None = None
        self.unknown = 0
        self.critical: Sequence[int] = ()
        """The units that the end waits for, first to last."""
        self._marked: frozenset[int] = frozenset()
        self._seen: tuple[Told | None, ExecutionPlan] | None = None
        self._seen_open: tuple[Told, int, Set[int]] | None = None

    def take(self, forecaster: Forecaster, view: RunView) -> bool:
        """Take the latest forecast for what is drawn of `view`; True if it is another one.

        Until there is one of the view's plan, that before stays, if it is.
        """
        latest, unknown = forecaster.latest, forecaster.unknown
        if view.state.ended:  # the forecaster has not seen it yet
            latest, unknown = None, 0
        if self._seen is not None and self._seen[0] is latest and self._seen[1] is view.plan:
            changed, self.unknown = unknown != self.unknown, unknown
            return changed
        self._seen = latest, view.plan
        told = next((each for each in (latest, self.told) if each is None or _is_of(each, view.plan)), None)
        if told is self.told and unknown == self.unknown:
            return False
        self.told, self.unknown = told, unknown
        self.critical = told.forecast.critical if told is not None else ()
        self._marked = frozenset(self.critical)
        return True

    def is_on_path(self, number: int, view: RunView) -> bool:
        """Whether the end waits for a unit that has not ended."""
        return number in self._marked and not view.states[number].ended

    def why_so_long(self, view: RunView, now: float, room: int) -> str:
        """What the time until the end is made of, and what would save most of it, as far as there is room in `room`
        cells; empty if that is not known."""
        if self.told is None or view.state.ended:
            return ""
        if view.awaits_cluster and view.unmanned_at is not None:
            return f"the cluster {unmanned_for(now - view.unmanned_at)}: its units wait until one comes"
        parts, forecast = self.told.parts(now), self.told.forecast
        if forecast.endless or forecast.incomplete:
            return _what_helps(self.told, now, room)
        if forecast.stands and (whom := _open_ends(self.told, view)):
            why = "" if len(whom) > 1 else f": {forecast.unforeseen[whom[0]]}"
            return f"nobody knows when {_who(whom, view)} end{'' if len(whom) > 1 else 's'}{why}"
        left = sum(part.seconds for part in parts)
        if left < _LEAST_TOLD:
            return ""
        text = attribution(parts, finest=1.0, whole="left", room=room)
        more = [forecast.shortfall(self.told.view.plan)] if forecast.risk else []
        saves = [gain for gain in self.told.advice(now) if not gain.would]
        more += [gain_words(max(saves, key=lambda gain: gain.seconds))] if saves else []
        for each in more:
            text += f"; {each}" if len(text) + 2 + len(each) <= room else ""
        return text

    def soon(self, number: int, view: RunView, now: float) -> str:
        """When a unit is expected to start, to ask or, if it runs, to end: ``in ~3m``, ``asks in ~3m``, ``~40s left``;
        ``times out in ~40s`` if time runs out for it before. Empty if nobody knows: of what people are asked now, and
        of what waits for that, or for a unit of which nobody knows when it ends."""
        if self.told is None or view.states[number].ended:
            return ""
        if view.states[number] in _AT_WORK:
            if self.unforeseen(number, view):
                left = until_timeout(number, view, now)
                return f"times out in {about(left)}" if left > 0 else ""
            left = self.told.until_end(number, now)
            told = f"times out in {about(left)}" if self.told.forecast.runs_out_for(number) else f"{about(left)} left"
            return told if 0 < left < inf else ""
        if isinstance(view.last[number], ConfirmRequested) or number in self._without_start(self.told, view):
            return ""
        if view.unmanned_at is not None and view.plan.lanes[number] is ExecutionMode.CUSTOM:
            return ""
        begins = self.told.until_start(number, now)
        asks = "asks " if number in self.told.forecast.asking else ""
        return f"{asks}in {about(begins)}" if 0 < begins < inf else ""

    def unforeseen(self, number: int, view: RunView) -> str:
        """Why nobody knows when a running unit ends; empty if that is known."""
        if self.told is None or view.states[number] is not UnitState.RUNNING:
            return ""
        return self.told.forecast.unforeseen.get(number, "")

    def waits_for_end_of(self, number: int, view: RunView) -> int:
        """A running unit that another one waits for in the end, and of which nobody knows when it ends; -1 if there is
        none."""
        whom = _open_ends(self.told, view) if self.told is not None else []
        return next((each for each in whom if number in reached(view.plan.feeds, each)), -1)

    def _without_start(self, told: Told, view: RunView) -> Set[int]:
        """The units of which nobody knows when they start. Looked for once for each forecast, and again when as many
        ask as did not: a question may come before its forecast."""
        if self._seen_open is None or self._seen_open[0] is not told or self._seen_open[1] != view.asked:
            asked = [number for number in told.forecast.asking if isinstance(view.last[number], ConfirmRequested)]
            open_ = {*asked, *reached(view.plan.feeds, *asked, *told.forecast.unforeseen)}
            self._seen_open = told, view.asked, open_
        return self._seen_open[2]


def _is_of(told: Told, plan: ExecutionPlan) -> bool:
    """Whether the numbers of units mean the same in both: one plan, or it has grown between. O(units)."""
    before = told.view.plan
    if before is plan:
        return True
    return all(old is new or old.id == new.id for old, new in zip(before.table, plan.table, strict=False))


# -- words -----------------------------------------------------------------------------------------------


def eta_texts(told: Told | None, unknown: int, view: RunView, now: float) -> tuple[str, ...]:
    """When the run ends, in words that become shorter: ``eta 12:41 (6-8m)``, ``6-8m``, ``~7m``; with ``timeout`` before
    them if it will not be done by then; in the end ``~7m at best`` if that waits for what nobody knows the end of.
    Empty if there is nothing to tell."""
    if view.state.ended or view.started_at is None:
        return ()
    if told is None:
        units = f"{unknown:,} unit{'' if unknown == 1 else 's'}"
        return (f"eta unknown: nothing is known of {units}", "eta unknown") if unknown else ()
    if endless := told.forecast.endless:
        return (f"no end in sight for {endless:,} unit{'' if endless == 1 else 's'}", "no end in sight")
    p10, p50, p90 = told.left(now)
    within = span(p10, p90) if told.forecast.samples > 1 or p90 <= MOMENT else about(p50)
    at = time.strftime("%H:%M" if p50 < _FAR else "%a %H:%M", time.localtime(now + p50))
    word, lacks = "timeout " if told.forecast.times_out else "", told.forecast.incomplete
    whole, short = f"{word or 'eta '}{at} ({within})", (f"{word}{within}", f"{word}{about(p50)}")
    perhaps = "perhaps " if lacks and told.forecast.may_complete else ""
    condition, incomplete = _condition(told, view), f", {lacks:,} {perhaps}incomplete" if lacks else ""
    if condition:
        if told.forecast.stands and p90 <= MOMENT:
            return f"ends {condition.replace('if', 'when', 1)}", "eta unknown"
        # what is waited for adds to it, but for a timeout, which comes all the same
        at_best = _ends_awaited(told, view) and not word
        briefly, shortest = _briefly(told, view), [f"{short[1]} at best"] if at_best else []
        longer = [f"{whole} {condition}{incomplete}"] if lacks else []
        longer += [f"{text} {condition}" for text in (whole, short[0])]
        return *longer, *(f"{text} {briefly}" for text in short), *shortest
    return *([f"{whole}{incomplete}"] if lacks else []), whole, *short


def _what_helps(told: Told, now: float, room: int) -> str:
    """That not all units will complete, and with more of what more would, as far as there is room for it."""
    forecast, said = told.forecast, [gain.would for gain in told.advice(now) if gain.would]
    if forecast.incomplete:
        stops = "may stop" if forecast.may_complete else "stops"
        cut = f"{stops} at its timeout: " if forecast.times_out else ""
        said.insert(0, f"{cut}{forecast.shortfall(told.view.plan)}")
    while len(said) > 1 and len("; ".join(said)) > room:
        said.pop()
    return "; ".join(said)


def _deeds(told: Told, view: RunView) -> tuple[list[str], bool]:
    """What people would have to do now for the run to end then, and whether they would have to answer later, too."""
    held, later = any(brake.state == HELD for brake in view.brakes.values()), told.forecast.questions > 0
    asked = view.asked and not later
    deeds = {"saved again": view.unsaved, "resumed": view.paused, "answered": asked, "let go": held}
    return [deed for deed, is_wanted in deeds.items() if is_wanted], later


def _briefly(told: Told, view: RunView) -> str:
    """The condition in few words, beside that of the run's state, which says by itself that a run is to be resumed."""
    wanted, later = _deeds(told, view)
    deeds = [*wanted, *(["answered"] if later else []), *_worker_awaited(view), *_ends_awaited(told, view)]
    return f"if {' and '.join([deed for deed in deeds if deed != 'resumed'] or deeds)}"


def _condition(told: Told, view: RunView) -> str:
    """What people would have to do for the run to end then, and what has to end of which nobody knows when it does."""
    wanted, later = _deeds(told, view)
    conditions = [*([f"{' and '.join(wanted)} now"] if wanted else []), *(["answered at once"] if later else [])]
    conditions += [*_worker_awaited(view), *_ends_awaited(told, view)]
    return f"if {' and '.join(conditions)}" if conditions else ""


def _worker_awaited(view: RunView) -> list[str]:
    return ["a worker comes"] if view.awaits_cluster else []


def _open_ends(told: Told, view: RunView) -> list[int]:
    """The units that still run and of which nobody knows when they end."""
    return [number for number in told.forecast.unforeseen if view.states[number] is UnitState.RUNNING]


def _ends_awaited(told: Told, view: RunView) -> list[str]:
    """``stuck ends``, ``3 units end``; nothing if the end waits for none of which nobody knows when it ends."""
    forecast = told.forecast
    still = {number: forecast.unforeseen[number] for number in _open_ends(told, view)}
    return [end_of(whom, view)] if (whom := worth_a_word(still, stands=forecast.stands)) else []


def end_of(numbers: Sequence[int], view: RunView) -> str:
    """``stuck ends``, ``3 units end``."""
    return f"{_who(numbers, view)} end{'' if len(numbers) > 1 else 's'}"


def _who(numbers: Sequence[int], view: RunView) -> str:
    """``stuck``, ``3 units``."""
    return f"{len(numbers):,} units" if len(numbers) > 1 else clean(view.plan.table[numbers[0]].id)


def until_timeout(number: int, view: RunView, now: float) -> float:
    """Seconds until the timeout of a running unit; not above 0 if it has none."""
    limit, began = view.plan.table[number].timeout, view.unit(number).started_at
    return 0.0 if limit is None or began is None else began + limit - now


def left_words(told: Told, view: RunView, now: float) -> str:
    """``about 7m left (6-8m)``, for a line of text."""
    forecast = told.forecast
    if forecast.endless:
        return "no end in sight"
    p10, p50, p90 = told.left(now)
    within, middle = span(p10, p90), rounded(p50)
    if forecast.times_out:
        left = f"its timeout {'may stop' if forecast.may_complete else 'stops'} it, ends in about {middle}"
    elif p90 <= MOMENT:
        left = "ends any moment"
    elif within == f"<{middle}":
        left = f"less than {middle} left"
    else:
        left = f"about {middle} left" + (f" ({within})" if forecast.samples > 1 and within != middle else "")
    condition = _condition(told, view)
    text = " ".join(filter(None, (left, condition)))
    if condition and forecast.stands and p90 <= MOMENT:
        text = f"ends {condition.replace('if', 'when', 1)}"
    return f"{text}; {short}" if (short := clean(forecast.shortfall(told.view.plan))) else text


def gain_words(gain: Gain) -> str:
    """``+2 workers would save 1m40s``, ``+2 workers: all would complete``."""
    return gain.would or f"{gain.what} would save {span_of(gain.seconds)}"


def about(seconds: float) -> str:
    """``~7m``, ``~45s``, ``~1h20m``."""
    return f"~{rounded(seconds)}"


def rounded(seconds: float) -> str:
    """``7m``, ``45s``, ``1h20m``: to about a tenth, so that it does not change all the time, and never nothing."""
    step = _step(seconds)
    return _on_grid(max(step, round(seconds / step) * step))


def span(least: float, most: float) -> str:
    """``6-8m``, ``40-55s``, ``1h05m-1h20m``, ``<2m``: from `least` to `most` seconds, rounded away from each other."""
    if most <= MOMENT:
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
        return 1 if seconds <= 15 else 2 if seconds <= 30 else 5
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
