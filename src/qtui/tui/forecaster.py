"""Forecasts on a thread of its own, in small steps with long pauses, so that neither a frame nor the engine waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from qtui.core.forecast import CRITICAL_PATH, Forecast, Part, forecasts, summed
from qtui.core.gains import Gain, gains
from qtui.core.model import EMPTY, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.session import RunSession
from qtui.core.state import RunView

SHARE: Final = 0.04
"""Of a core, at most, in the long run; what else the thread does adds a little to that."""

BUDGET: Final = 1.0
"""Seconds of CPU for one forecast; one from fewer samples does where that is used up, as of very many units."""

LEAST_SAMPLES: Final = 5
"""Fewer only count as long as there is nothing better: they have no range to tell."""

PAST_SECONDS: Final = 5.0
"""For so long somebody else waits for the past."""

_ANEW: Final = 10.0
"""Seconds after which a forecast is made again although nothing has happened, as what runs has run longer: at every
such moment of the clock, so that all who look at a run make the same."""
_PAUSE: Final = 1.0

LEAST_TOLD: Final = 0.5
"""Seconds; less is none."""
WORTH: Final = 0.05
"""Of the time left; who saves less saves nothing that is worth a word."""

Past = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Told:
    """A forecast, the view it was made from, and what more of something would be worth at its moment."""

    forecast: Forecast
    view: RunView
    gains: tuple[Gain, ...] = ()

    def left(self, now: float) -> tuple[float, float, float]:
        """Seconds until the end, as p10, p50 and p90; not below 0."""
        forecast, gone = self.forecast, self._gone(now)
        return max(0.0, forecast.p10 - gone), max(0.0, forecast.p50 - gone), max(0.0, forecast.p90 - gone)

    def until_start(self, number: int, now: float) -> float:
        """Seconds until a unit's attempt begins, in the middle of all cases; infinity if it does not, or is not known
        of."""
        return self.forecast.begin_of(number) - self._gone(now) if number < len(self.view.plan) else inf

    def start_within(self, number: int, now: float) -> tuple[float, float]:
        """From when to when a unit's attempt begins in four of five cases, as seconds from now; infinity if it does
        not, or is not known of."""
        if number >= len(self.view.plan):
            return inf, inf
        least, most = self.forecast.begins_within(number)
        return max(0.0, least - self._gone(now)), max(0.0, most - self._gone(now))

    def until_end(self, number: int, now: float) -> float:
        """Seconds until a unit ends, in the middle of all cases; infinity if it does not, or is not known of."""
        return self.forecast.end_of(number) - self._since(number, now) if number < len(self.view.plan) else inf

    def end_within(self, number: int, now: float) -> tuple[float, float]:
        """From when to when a unit ends in four of five cases, as seconds from now; infinity if it does not, or is not
        known of."""
        if number >= len(self.view.plan):
            return inf, inf
        least, most = self.forecast.ends_within(number)
        return max(0.0, least - self._since(number, now)), max(0.0, most - self._since(number, now))

    def out_of_time(self, number: int) -> str:
        """That time runs out for a unit, or for one that it needs, or that it may, and as far as that is known, why;
        empty if it is not expected to."""
        if not self.forecast.runs_out_for(number):
            return ""
        end = self.forecast.typical.otherwise.get(number)
        cause = (end.cause or str(end.error or "")) if end is not None else ""
        will = "may" if self.forecast.may_run_out_for(number) else "will"
        tenths = round(10 * self.forecast.late[number] / self.forecast.samples)
        cases = f" (in {tenths} of 10 cases)" if tenths < 10 else ""
        return f"{will} not complete in time{cases}{f': {cause}' if cause else ''}"

    def parts(self, now: float) -> tuple[Part, ...]:
        """What the time until the end is made of, longest first."""
        return summed(self.forecast.stretches, self._gone(now))

    def advice(self, now: float) -> tuple[Gain, ...]:
        """What more of something is still worth, as far as that is worth a word."""
        left = {part.what: part.seconds for part in self.parts(now)}
        whole, gone = sum(left.values()), self._gone(now)
        most = whole - left.get(CRITICAL_PATH, 0.0)  # which no slots make shorter
        worth = [gain._replace(seconds=min(gain.seconds, most)) for each in self.gains if (gain := each.after(gone))]
        return tuple(gain for gain in worth if gain.would or gain.seconds >= max(LEAST_TOLD, WORTH * whole))

    def _gone(self, now: float) -> float:
        """The time since the forecast; what waits for a person, or for what nobody knows the end of, comes no nearer
        while time passes."""
        return 0.0 if self.forecast.assumed or self.forecast.stands else max(0.0, now - self.forecast.at)

    def _since(self, number: int, now: float) -> float:
        """The time that has come nearer to the end of a unit: all of it, if it runs."""
        runs = self.view.states[number] is UnitState.RUNNING
        return max(0.0, now - self.forecast.at) if runs else self._gone(now)


class Forecaster:
    """Keeps `latest`: what is expected of the run, None while nothing is known, and once the run has ended.

    `ask_past` is called on the forecaster's thread, again when there are other units or one does something else.
    `unknown` is how many units there are if nothing is known of any. `error` says why there will be no more forecasts.
    """

    def __init__(self, session: RunSession, ask_past: Callable[[], Past]) -> None:
        self._session, self._ask_past = session, ask_past
        self._stopped, self._stirred = threading.Event(), threading.Event()
        self._answered = threading.Event()
        self._past: Past = EMPTY
        self._asked: ExecutionPlan | None = None
        self._turned = False
        self._era, self._telling = 0, threading.Lock()
        self.latest: Told | None = None
        self.unknown = 0
        self.error = ""
        # a daemon: nothing waits for a forecast
        self._thread = threading.Thread(target=self._run, name="qtui-forecaster", daemon=True)

    def start(self) -> None:
        """Begin to look ahead."""
        self._thread.start()

    def stop(self) -> None:
        """Make no more forecasts; does not wait for one under way."""
        self._stopped.set()
        self._stirred.set()

    def past(self) -> Past:
        """What `ask_past` has said; waits for that, but not for ever. Not for the thread that draws."""
        self._answered.wait(PAST_SECONDS)
        return self._past

    def hurry(self) -> None:
        """The run goes another way than the latest forecast knows: look anew soon."""
        self._turned = True
        self._stirred.set()

    def forget(self) -> None:
        """Numbers of units mean something else from now on: drop the latest forecast, and what is under way."""
        with self._telling:
            self._era += 1
            self.latest = None
        self.hurry()

    def _run(self) -> None:
        try:
            try:
                self._asked = self._session.view().plan
                self._past = self._ask_past()
            finally:
                self._answered.set()  # nobody waits for what does not come
            while not self._stopped.is_set():
                self._stirred.clear()
                view = self._session.view()
                if view.state.ended or view.started_at is None or self._session.lost:
                    self.latest, self.unknown = None, 0
                    self._wait_for_news(view, inf)
                else:
                    self._look_ahead(view)
                    self._wait_for_news(view, time.monotonic() + _ANEW - self._session.now() % _ANEW)
        except Exception as error:  # noqa: BLE001  - told in the timeline; the run does not depend on it
            self.latest, self.error = None, f"{type(error).__name__}: {error}"

    def _wait_for_news(self, view: RunView, until: float) -> None:
        self._stopped.wait(_PAUSE)  # also of what comes all the time there is one forecast a second at most
        while not self._stirred.wait(_PAUSE):
            if self._session.view() is not view or time.monotonic() >= until:
                return

    def _look_ahead(self, view: RunView) -> None:
        """Make a forecast, and find out what would help. The old one stays until there is a better one."""
        pace, era = Pace(self._stopped.wait), self._era
        turned, self._turned = self._turned, False
        options, made = self._session.options, None
        worth: tuple[Gain, ...] | None = None
        if view.plan is not self._asked:
            self._asked, self._past = view.plan, self._ask_past()
            pace.keep()
        for each in forecasts(view, options, self._past, now=_moment(self._session, view)):
            if each is not None:
                if each.unknown:  # nothing is known of any unit, or others would count as typical of these
                    self.latest, self.unknown = None, each.unknown
                    return
                made = each
                if pace.used > BUDGET:
                    break
                if self.latest is None or turned:
                    self._tell(made, view, era, worth)
                if each.samples >= LEAST_SAMPLES:
                    worth = worth if worth is not None else self._worth(made, view, pace)
                    self._tell(made, view, era, worth)
            if not pace.keep() or era != self._era or self._is_late(made):
                return
        if made is None:
            return
        # the last one always counts: where all is exact there are no more samples
        self._tell(made, view, era, worth if worth is not None else self._worth(made, view, pace))

    def _worth(self, made: Forecast, view: RunView, pace: Pace) -> tuple[Gain, ...] | None:
        """What more of something would be worth, for this forecast and those of the same moment; None if the run has
        turned meanwhile."""
        found: list[Gain] = []
        for gain in gains(view, self._session.options, made):
            found += [gain] if gain is not None else []
            if not pace.keep() or self._stirred.is_set():
                return None
        return tuple(found)

    def _is_late(self, made: Forecast | None) -> bool:
        """Whether the run has turned since, and what was told is good enough until there is another one: a run that
        turns all the time has forecasts, too."""
        return self._stirred.is_set() and made is not None and made.samples >= LEAST_SAMPLES

    def _tell(self, made: Forecast, view: RunView, era: int, worth: tuple[Gain, ...] | None) -> None:
        with self._telling:
            if era == self._era:
                self.unknown = 0
                self.latest = Told(made, view, worth or ())


def _moment(session: RunSession, view: RunView) -> float:
    """From when on to look ahead: the last event, or the last moment since then at which everybody does it again.
    The same run, looked at from several terminals, has the same end in all."""
    now = session.now()
    return view.moment(now - now % _ANEW)


def told_at_once(session: RunSession, past: Past, seconds: float = BUDGET / 2) -> Told | None:
    """What is expected of a run now, for which `seconds` of CPU are enough and no pauses wanted; None if nothing is
    known, or the run does not go on."""
    view = session.view()
    if view.state.ended or view.started_at is None or session.lost:
        return None
    pace, made = Pace(lambda _: False), None
    for each in forecasts(view, session.options, past, now=_moment(session, view)):
        made = each or made
        if made is not None and pace.used > seconds:
            break
    return Told(made, view) if made is not None and not made.unknown else None


class Pace:
    """Pauses of the calling thread, after which it has used its share of a core and no more.

    `wait` waits for so many seconds and returns True if nothing more is wanted; `clock` tells seconds of CPU.
    """

    def __init__(self, wait: Callable[[float], bool], clock: Callable[[], float] = time.thread_time) -> None:
        self._wait, self._clock = wait, clock
        self._began = self._last = clock()

    @property
    def used(self) -> float:
        """Seconds of CPU since the beginning."""
        return self._clock() - self._began

    def keep(self) -> bool:
        """Wait for as long as what was done since the last time asks for; False once nothing more is wanted."""
        now = self._clock()
        spent, self._last = now - self._last, now
        return not self._wait(spent * (1 / SHARE - 1))
