"""When a run will end, what makes it take that long, and what would help: from many runs in virtual time. Pure."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import Final, NamedTuple

from qtui.core.expecting import Expectations
from qtui.core.limits import Limits, capacities, lane_limit
from qtui.core.model import EMPTY, ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.simulation import Simulated, Simulation
from qtui.core.state import RunView

SAMPLES: Final = 40
"""Simulated runs of a forecast: the fourth from either side are its bounds."""

CRITICAL_PATH: Final = "critical path"
WORKERS: Final = "workers"
WAITING: Final = "back-off"
"""The parts of the time that no limit is the cause of: what runs on the path, waits for a worker, and for a timer."""

_LEAST_WAIT: Final = 1e-6


class Part(NamedTuple):
    """A part of the time until the end: how many `seconds` go to `what`, one of the above, or a limit's name."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a run ends, in seconds after `at` (Unix seconds): in the middle of `samples` cases at `p50`; four of five
    end between `p10` and `p90`.

    `typical` is the case in the middle: what begins and ends when. `path` are the units that its end follows from, each
    waiting for the one before it, first to last; `parts` what the time until `p50` is made of, longest first, adding up
    to it. `slack` has how much later each unit could end without the end being later, in seconds. `assumed` says what
    people would have to do at once, and `unknown` how many units nothing is known of: they count as taking no time.
    `endless` units never end as things are, as all that could let them has stopped for good: the run does not either.
    """

    at: float
    p10: float
    p50: float
    p90: float
    samples: int
    typical: Simulated
    path: tuple[int, ...]
    parts: tuple[Part, ...]
    slack: Sequence[float]
    assumed: tuple[str, ...] = ()
    unknown: int = 0
    endless: int = 0
    seconds: Sequence[float] = ()
    begins: Sequence[Sequence[float]] = ()
    """When each unit's attempt begins, in each sample; infinity where none does."""
    finishes: Sequence[Sequence[float]] = ()
    """When each unit ends, in each sample."""

    def begin_of(self, number: int) -> float:
        """When the unit's attempt begins, in the middle of all cases: what `typical` has is but one of them."""
        return _middle([each[number] for each in self.begins or (self.typical.starts,)])

    def end_of(self, number: int) -> float:
        """When the unit ends, in the middle of all cases."""
        return _middle([each[number] for each in self.finishes or (self.typical.ends,)])

    def begins_within(self, number: int) -> tuple[float, float]:
        """From when to when the unit's attempt begins in four of five cases."""
        begins = sorted(each[number] for each in self.begins or (self.typical.starts,))
        outer = _outer(len(begins))
        return begins[outer], begins[-1 - outer]


class Gain(NamedTuple):
    """What one more of something is worth: `what`, in words, and the `seconds` by which the end would be earlier."""

    what: str
    seconds: float


def forecasts(
    view: RunView,
    options: RunOptions,
    past: Mapping[str, Sequence[float]] = EMPTY,
    *,
    now: float,
    hits: Collection[int] = (),
    samples: int = SAMPLES,
    seed: int = 0,
) -> Generator[Forecast | None, None, None]:
    """Forecasts of the rest of a run that is not over, each from more samples than the one before it.

    Yields None after each small step, of one or two milliseconds, so that whoever asks may do something else
    meanwhile. The same view, past, `now` and `seed` give the same forecasts. `past` is as in `Expectations`, `hits` as
    in `Simulation`. Where all durations are taken at their word there is nothing to sample, and one forecast.
    """
    expected = yield from Expectations.in_steps(view, past)
    simulation = Simulation(view, options, now, hits)
    samples = 1 if expected.exact(now) else samples
    ends: list[tuple[float, int]] = []
    begins: list[array[float]] = []  # 80 kB each for 10,000 units
    finishes: list[array[float]] = []
    for sample in range(samples):
        seconds = expected.draw(_random(seed, sample), now)
        yield None
        simulated = yield from simulation.steps(seconds)
        ends.append((simulated.seconds, sample))
        begins.append(array("d", simulated.starts))
        finishes.append(array("d", simulated.ends))
        if len(ends) not in _TOLD and len(ends) != samples:
            continue
        in_order = sorted(ends)
        middle = in_order[len(ends) // 2][1]
        outer = _outer(len(ends))
        if middle != sample:
            seconds = expected.draw(_random(seed, middle), now)
            simulated = yield from simulation.steps(seconds)
        analysis = Analysis(view, options, simulated)
        path, parts = analysis.path_and_parts()
        yield None
        yield Forecast(
            at=now,
            p10=in_order[outer][0],
            p50=simulated.seconds,
            p90=in_order[-1 - outer][0],
            samples=len(ends),
            typical=simulated,
            path=path,
            parts=parts,
            slack=analysis.slack(),
            assumed=tuple(simulation.assumed),
            unknown=expected.unknown,
            endless=simulated.unfinished,
            seconds=seconds,
            begins=tuple(begins),
            finishes=tuple(finishes),
        )


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _outer(samples: int) -> int:
    """Which sample from either side is the bound: of n samples the k-th from below is what k of n + 1 further ones
    would be quicker than."""
    return max(0, round((samples + 1) / 10) - 1)


_TOLD: Final = (1, 5, 15)
"""After so many samples there is a forecast already."""


def forecast(
    view: RunView,
    options: RunOptions,
    past: Mapping[str, Sequence[float]] = EMPTY,
    *,
    now: float,
    hits: Collection[int] = (),
    samples: int = SAMPLES,
    seed: int = 0,
) -> Forecast:
    """The last of `forecasts`: this takes as long as all of it takes."""
    latest = None
    for each in forecasts(view, options, past, now=now, hits=hits, samples=samples, seed=seed):
        latest = each or latest
    assert latest is not None  # there is one sample at least
    return latest


def gains(view: RunView, options: RunOptions, told: Forecast, more: int = 2) -> Generator[Gain | None, None, None]:
    """What `more` slots of each pool that the end waits for would be worth, longest wait first, and then workers.

    In the case of `Forecast.typical`, all else being the same. Yields None after each small step.
    """
    if told.endless:
        return
    waited = [part.what.removeprefix(_POOL) for part in told.parts if part.what.startswith(_POOL)]
    for pool in (name for name in waited if name in options.pools):
        wider = replace(options, pools={**options.pools, pool: options.pools[pool] + more})
        simulated = yield from Simulation(view, wider, told.at).steps(told.seconds)
        yield Gain(f"+{more} {pool} slots", told.p50 - simulated.seconds)
    workers = view.workers or options.workers
    simulated = yield from Simulation(view, options, told.at).steps(told.seconds, workers=workers + more)
    yield Gain(f"+{more} workers", told.p50 - simulated.seconds)


_POOL: Final = "pool "


class Analysis:
    """Why a simulated run takes as long as it does."""

    def __init__(self, view: RunView, options: RunOptions, simulated: Simulated) -> None:
        self._plan, self._simulated = view.plan, simulated
        lanes = frozenset(map(ExecutionMode, view.lane_workers))
        self._limits = Limits(view.plan, options, lanes, view.peaks, view.durations)
        self._capacity = capacities(options, {ExecutionMode(lane): n for lane, n in view.lane_workers.items()})
        self._users: dict[str, list[tuple[float, float, int]]] | None = None

    def path_and_parts(self) -> tuple[tuple[int, ...], tuple[Part, ...]]:
        """The chain of dependencies that ends last, first to last, and what its time is made of, longest first."""
        simulated, parts = self._simulated, defaultdict[str, float](float)
        starts, ends, needs = simulated.starts, simulated.ends, self._plan.needs
        path: list[int] = []
        at = simulated.last
        while at >= 0:
            path.append(at)
            began = starts[at] if starts[at] != inf else ends[at]
            parts[CRITICAL_PATH] += ends[at] - max(began, 0.0)
            at_last = max(needs[at], key=ends.__getitem__, default=-1)
            ready = max(ends[at_last], 0.0) if at_last >= 0 else 0.0
            if began - ready > _LEAST_WAIT:
                parts[self._waited_for(at)] += began - ready
            if began <= 0.0 or at_last < 0 or ends[at_last] <= 0.0:
                break
            at = at_last
        told = sorted(
            (Part(what, seconds) for what, seconds in parts.items() if seconds), key=lambda part: -part.seconds
        )
        return tuple(reversed(path)), tuple(told)

    def slack(self) -> list[float]:
        """How much later each unit could end, in seconds, if all others keep their order and workers; 0 for those in
        the past. That a pool would be free later is only seen where the unit's end is what another one starts at."""
        simulated, feeds = self._simulated, self._plan.feeds
        starts, ends = simulated.starts, simulated.ends
        followers: dict[int, list[int]] = defaultdict(list)
        for number in simulated.order:
            for earlier in {simulated.triggers[number], simulated.before[number]} - {-1}:
                followers[earlier].append(number)
        latest = [simulated.seconds] * len(ends)
        slack = [0.0] * len(ends)
        for number in sorted((n for n, end in enumerate(ends) if 0 < end < inf), key=ends.__getitem__, reverse=True):
            for after in (*feeds[number], *followers.get(number, ())):
                if ends[after] != inf and after != number:
                    took = ends[after] - starts[after] if starts[after] != inf else 0.0
                    latest[number] = min(latest[number], latest[after] - took)
            slack[number] = max(0.0, latest[number] - ends[number])
        return slack

    def _waited_for(self, number: int) -> str:
        """What a unit that did not begin as soon as its needs had ended was short of."""
        if self._simulated.triggers[number] < 0:
            return WAITING
        at = self._simulated.starts[number]
        _, terms = self._limits.of(number, item_begun=False)
        lanes = {lane_limit(lane) for lane in ExecutionMode}
        for limit, wanted in terms.holds:
            used = sum(amount for began, ended, amount in self._users_of(limit) if began < at <= ended)
            if used + wanted > self._capacity.get(limit, 1):
                return WORKERS if limit in lanes else limit
        return WORKERS

    def _users_of(self, limit: str) -> list[tuple[float, float, int]]:
        """From when to when how much of a limit is in use."""
        if self._users is None:
            self._users = defaultdict(list)
            starts, ends = self._simulated.starts, self._simulated.ends
            for number, (began, ended) in enumerate(zip(starts, ends, strict=True)):
                if began != inf:
                    for name, amount in self._limits.own(number).holds:
                        self._users[name].append((began, ended, amount))
            for item, members in enumerate(self._plan.items):
                began = min(starts[member] for member in members)
                if began != inf:
                    for name, amount in self._limits.of_item(item).holds:
                        self._users[name].append((began, max(ends[member] for member in members), amount))
        return self._users.get(limit, [])


def _random(seed: int, sample: int) -> Random:
    return Random(seed * 1_000_003 + sample)
