"""When a run will end, and what makes it take that long: from many runs in virtual time. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from random import Random
from typing import Final, NamedTuple

from qtui.core.expecting import TYPICAL, Expectations
from qtui.core.limits import Limits, capacities, lane_limit
from qtui.core.model import EMPTY, ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.simulation import Simulated, Simulation
from qtui.core.standing import asks
from qtui.core.state import RunView

SAMPLES: Final = 40
"""Simulated runs of a forecast: the fourth from either side are its bounds."""

CRITICAL_PATH: Final = "critical path"
WORKERS: Final = "workers"
WAITING: Final = "back-off"
"""The parts of the time that no limit is the cause of: what runs on the path, waits for a worker, and for a timer."""

_LEAST_WAIT: Final = 1e-6
_NO_SLACK: Final = 0.02
"""Of the time until the end: less is none, as times are not known better."""


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
    to it, and `stretches` the same as one thing follows another. `slack` has how much later each unit could end without
    the end being later, in seconds. `critical` are the units that the end waits for where each takes what it does in
    the middle of all cases: units of which the same is known change places from one case to the next. `unforeseen` has
    the running units of which nobody knows when they end, and why: see `Expectations`. `assumed` says what people
    would have to do at once, `questions` how many more come up and are taken for answered at once, and `unknown` how
    many units nothing is known of: they count as taking no time.
    `endless` units never end as things are, as all that could let them has stopped for good: the run does not either.
    `incomplete` units do not complete, in the middle of all cases, because time runs out for them or for one that they
    need; in a share `risk` of the cases there is such a unit. `times_out` says that the run's own timeout ends it;
    handlers may go on after that.
    """

    at: float
    p10: float
    p50: float
    p90: float
    samples: int
    typical: Simulated
    path: tuple[int, ...]
    parts: tuple[Part, ...]
    stretches: tuple[Part, ...]
    slack: Sequence[float]
    critical: tuple[int, ...]
    unforeseen: Mapping[int, str] = field(default_factory=dict)
    stands: bool = False
    """Whether the end follows from that of an unforeseen unit, and so comes no nearer while time passes."""
    guessed: Collection[int] = frozenset()
    """The units that are taken for typical ones, as nothing is known of them."""
    asking: Sequence[int] = ()
    """The units that a person is asked about before they begin, now or later."""
    assumed: tuple[str, ...] = ()
    questions: int = 0
    unknown: int = 0
    endless: int = 0
    incomplete: int = 0
    late: Mapping[int, int]
    """In how many cases time runs out for each unit; for the others it does in none."""
    risk: float = 0.0
    times_out: bool = False
    seconds: Sequence[float] = ()
    begins: Sequence[Sequence[float]] = ()
    """When each unit's attempt begins, in each sample; infinity where none does."""
    finishes: Sequence[Sequence[float]] = ()
    """When each unit ends, in each sample."""
    needs: Sequence[Sequence[int]] = ()
    """The units that each one needs."""
    _known: dict[int, tuple[float, float]] = field(default_factory=dict, compare=False, repr=False)

    def shortfall(self, plan: ExecutionPlan) -> str:
        """That not all units complete, in words: ``2 of 3 units will not complete in time``, or which one of `plan`
        does not; ``may not``, if `may_complete`. Empty if they do, but for fewer than one of ten cases."""
        cases = f"in {tenths} of 10 cases" if (tenths := round(10 * self.risk)) < 10 else ""
        one = plan.table[next(iter(self.late))].id if len(self.late) == 1 else ""
        if self.incomplete:
            who = one or f"{self.incomplete:,} of {len(self.typical.ends):,} units"
            will = "may" if self.may_complete else "will"
            return f"{who} {will} not complete in time{f' ({cases})' if cases else ''}"
        ends = f"{one} does not complete" if one else "not all units complete"
        return f"{cases} {ends} in time" if tenths else ""

    def runs_out_for(self, number: int) -> bool:
        """Whether a unit does not complete for want of time, its own or of one that it needs, in most cases."""
        return 2 * self.late.get(number, 0) > self.samples

    @property
    def may_complete(self) -> bool:
        """Whether the units that are `incomplete` may complete all the same: they do in some cases, or it is only
        guessed how long they take."""
        return round(10 * self.risk) < 10 or rests_on_guess(self.guessed, self.late.keys(), self.typical, self.needs)

    def may_run_out_for(self, number: int) -> bool:
        """The same of one unit that `runs_out_for` is said of."""
        if round(10 * self.late.get(number, 0) / self.samples) < 10:
            return True
        chain, stack = {number}, [number]
        while stack:
            late = [need for need in self.needs[stack.pop()] if need in self.late and need not in chain]
            chain.update(late)
            stack += late
        return rests_on_guess(self.guessed, chain, self.typical, self.needs)

    def begin_of(self, number: int) -> float:
        """When the unit's attempt begins, in the middle of the cases in which it does: what `typical` has is but one of
        them. Infinity if it begins in no more than half of all cases."""
        return self._middles_of(number)[0]

    def end_of(self, number: int) -> float:
        """When the unit ends, in the middle of the cases in which it begins; of those in which it does not, where these
        are as many or more."""
        return self._middles_of(number)[1]

    def begins_within(self, number: int) -> tuple[float, float]:
        """From when to when the unit's attempt begins in four of five of the cases that `begin_of` is of."""
        return _within(self._begins_of(number), self.begin_of(number))

    def ends_within(self, number: int) -> tuple[float, float]:
        """From when to when the unit ends in four of five of the cases that `end_of` is of."""
        return _within(self._ends_of(number), self.end_of(number))

    def _middles_of(self, number: int) -> tuple[float, float]:
        """When a unit begins and ends. None begins before what it needs ends, though the cases in which it begins may
        be others than those in which that does."""
        known, stack = self._known, [number]
        while stack:
            at = stack.pop()
            needs = self.needs[at] if self.risk and self.needs else ()  # without a risk all begin in the same cases
            if missing := [need for need in needs if need not in known]:
                stack += [at, *missing]
                continue
            begin, end = _middle(self._begins_of(at)), _middle(self._ends_of(at))
            if begin < 0 and self.finishes:  # it runs, so the first case is the middle of all: see `forecasts`
                end = self.finishes[0][at]
            if 0 < begin < inf:
                begin = max([begin, *(known[need][1] for need in needs)])
            known[at] = begin, max(begin, end) if begin < inf else end
        return known[number]

    def _begins_of(self, number: int) -> list[float]:
        every = [each[number] for each in self.begins or (self.typical.starts,)]
        begins = [at for at in every if at != inf]
        return begins if 2 * len(begins) > len(every) else [inf]

    def _ends_of(self, number: int) -> list[float]:
        begins, ends = self.begins or (self.typical.starts,), self.finishes or (self.typical.ends,)
        does_begin = self._begins_of(number)[0] != inf
        every = zip(begins, ends, strict=True)
        return [at[number] for since, at in every if (since[number] != inf) is does_begin]


def summed(stretches: Sequence[Part], gone: float = 0.0) -> tuple[Part, ...]:
    """What the time is made of that is left when the first `gone` seconds have passed: the longest part first."""
    parts = defaultdict[str, float](float)
    for what, seconds in stretches:
        parts[what] += max(0.0, seconds - gone)
        gone = max(0.0, gone - seconds)
    told = (Part(what, seconds) for what, seconds in parts.items() if seconds)
    return tuple(sorted(told, key=lambda part: -part.seconds))


def without_spare(path: Sequence[int], slack: Sequence[float], seconds: float) -> tuple[int, ...]:
    """The units of a path that the end in `seconds` waits for. Others have time to spare: what follows them on the path
    waits for a worker or another limit, which comes free later."""
    return tuple(number for number in path if slack[number] <= _NO_SLACK * seconds + _LEAST_WAIT)


def rests_on_guess(
    guessed: Collection[int], late: Set[int], simulated: Simulated, needs: Sequence[Sequence[int]]
) -> bool:
    """Whether time runs out for `late` units for a guess: for one that needs none of the others, or, where the run's
    own timeout does it, for any that takes time before that."""
    if any(number in guessed and not any(need in late for need in needs[number]) for number in late):
        return True
    starts, ends = simulated.starts, simulated.ends
    return simulated.timed_out and any(starts[number] != inf and ends[number] > 0 for number in guessed)


def first_awaited(path: Sequence[int], simulated: Simulated) -> int:
    """The unit whose end lets the path begin; -1 if there is none."""
    return simulated.triggers[path[0]] if path else -1


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

    Yields None after each small step, of a millisecond or two and of 15 at most for 10,000 units, so that whoever asks
    may do something else meanwhile. The same view, past, `now` and `seed` give the same forecasts. `past` is as in
    `Expectations`, `hits` as in `Simulation`. Where all durations are taken at their word there is nothing to sample,
    and one forecast.
    """
    now = view.moment(now)
    expected = yield from Expectations.in_steps(view, past)
    yield None
    simulation = Simulation(view, options, now, hits)
    samples, unforeseen = 1 if expected.exact(now) else samples, expected.unforeseen(now)
    guessed = {number for number, each in enumerate(expected.each) if each is not None and each.basis == TYPICAL}
    yield None
    asking = [number for number, unit in enumerate(view.plan.table) if unit.confirm and asks(unit, options)]
    ends: list[tuple[float, int]] = []
    begins: list[array[float]] = []  # 80 kB each for 10,000 units
    finishes: list[array[float]] = []
    late: list[Collection[int]] = []
    critical: tuple[int, ...] = ()
    for sample in range(samples):
        seconds = _case(expected, now, seed, sample)
        yield None
        simulated = yield from simulation.steps(seconds)
        ends.append((simulated.seconds, sample))
        begins.append(array("d", simulated.starts))
        finishes.append(array("d", simulated.ends))
        late.append(simulated.late)
        if len(ends) not in _TOLD and len(ends) != samples:
            continue
        in_order = sorted(ends)
        middle = in_order[len(ends) // 2][1]
        outer = _outer(len(ends))
        if middle != sample:
            seconds = _case(expected, now, seed, middle)
            simulated = yield from simulation.steps(seconds)
        analysis, incomplete = Analysis(view, options, simulated), sorted(map(len, late))[len(late) // 2]
        yield None
        path, stretches = analysis.path_and_stretches()
        yield None
        slack = analysis.slack()
        first = first_awaited(path, simulated)
        if len(ends) == 1:
            critical = without_spare(path, slack, simulated.seconds)
            critical = (first, *critical) if first in unforeseen else critical  # it ends now: the path begins behind it
        yield None
        yield Forecast(
            at=now,
            p10=in_order[outer][0],
            p50=simulated.seconds,
            p90=in_order[-1 - outer][0],
            samples=len(ends),
            typical=simulated,
            path=path,
            parts=summed(stretches),
            stretches=stretches,
            slack=slack,
            critical=critical,
            unforeseen=unforeseen,
            stands=bool(path) and not unforeseen.keys().isdisjoint((path[0], first)),
            guessed=guessed,
            asking=asking,
            assumed=tuple(simulation.assumed),
            questions=simulated.asked,
            unknown=expected.unknown,
            endless=simulated.unfinished,
            incomplete=incomplete,
            late=Counter(number for each in late for number in each),
            risk=sum(map(bool, late)) / len(late),
            times_out=simulated.timed_out and incomplete > 0,
            seconds=seconds,
            begins=tuple(begins),
            finishes=tuple(finishes),
            needs=view.plan.needs,
        )


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _within(values: list[float], middle: float) -> tuple[float, float]:
    outer = _outer(len(values))
    in_order = sorted(values)
    return min(in_order[outer], middle), max(in_order[-1 - outer], middle)


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


class Analysis:
    """Why a simulated run takes as long as it does."""

    def __init__(self, view: RunView, options: RunOptions, simulated: Simulated) -> None:
        self._plan, self._simulated = view.plan, simulated
        lanes = frozenset(map(ExecutionMode, view.lane_workers))
        self._limits = Limits(view.plan, options, lanes, view.peaks, view.durations)
        self._capacity = capacities(options, {ExecutionMode(lane): n for lane, n in view.lane_workers.items()})
        self._users: dict[str, tuple[_Sums, _Sums]] | None = None

    def path_and_parts(self) -> tuple[tuple[int, ...], tuple[Part, ...]]:
        """The chain of dependencies that ends last, first to last, and what its time is made of, longest first."""
        path, stretches = self.path_and_stretches()
        return path, summed(stretches)

    def path_and_stretches(self) -> tuple[tuple[int, ...], tuple[Part, ...]]:
        """The same chain, and what its time goes to, one thing after another. Of a unit that ended without having
        begun, the chain goes on with what it still waited for then."""
        simulated = self._simulated
        starts, ends = simulated.starts, simulated.ends
        path: list[int] = []
        stretches: list[Part] = []
        at, until = simulated.last, simulated.seconds
        while at >= 0:
            path.append(at)
            began = min(starts[at], until)
            if starts[at] < until:
                stretches.append(Part(CRITICAL_PATH, until - max(began, 0.0)))
            if began <= 0.0:
                break
            at_last = self._awaited(at, began)
            ready = min(max(ends[at_last], 0.0), began) if at_last >= 0 else 0.0
            if began - ready > _LEAST_WAIT:
                stretches.append(Part(self._waited_for(at, began), began - ready))
            if ready <= 0.0:
                break
            at, until = at_last, ready
        return tuple(reversed(path)), tuple(reversed(stretches))

    def _awaited(self, number: int, began: float) -> int:
        """The unit whose end one waited for that `began` then, or had not begun by then: a need, or what ended it; -1
        if there is none."""
        simulated, needs = self._simulated, self._plan.needs[number]
        starts, ends = simulated.starts, simulated.ends

        def place(need: int) -> tuple[float, bool]:
            return ends[need], starts[need] != inf

        over = [need for need in needs if ends[need] <= began + _LEAST_WAIT]
        at_last = max(over, key=place, default=-1)
        if starts[number] <= began or (at_last >= 0 and ends[at_last] >= began - _LEAST_WAIT):
            return at_last
        if len(over) < len(needs):
            return max(sorted(set(needs) - set(over)), key=place)
        trigger = simulated.triggers[number]
        return trigger if trigger >= 0 and ends[trigger] <= began + _LEAST_WAIT else at_last

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
                    if ends[after] - took >= ends[number] - _LEAST_WAIT:  # else it did not wait for that
                        latest[number] = min(latest[number], latest[after] - took)
            slack[number] = max(0.0, latest[number] - ends[number])
        return slack

    def _waited_for(self, number: int, at: float) -> str:
        """What a unit was short of that had not begun right before `at`, although its needs had ended."""
        if self._simulated.triggers[number] < 0 and self._simulated.starts[number] <= at:
            return WAITING
        _, terms = self._limits.of(number, item_begun=False)
        lanes = {lane_limit(lane) for lane in ExecutionMode}
        for limit, wanted in terms.holds:
            if self._used(limit, at) + wanted > self._capacity.get(limit, 1):
                return WORKERS if limit in lanes else limit
        return WORKERS

    def _used(self, limit: str, at: float) -> int:
        """How much of a limit is in use right before `at`. O(log units): it is asked of each unit of a path."""
        if self._users is None:
            taken: dict[str, list[tuple[float, int]]] = defaultdict(list)
            given: dict[str, list[tuple[float, int]]] = defaultdict(list)
            for began, ended, holds in self._held():
                for name, amount in holds:
                    taken[name].append((began, amount))
                    given[name].append((ended, amount))
            self._users = {name: (_Sums(taken[name]), _Sums(given[name])) for name in taken}
        if limit not in self._users:
            return 0
        begun, over = self._users[limit]
        return begun.before(at) - over.before(at)

    def _held(self) -> Iterator[tuple[float, float, tuple[tuple[str, int], ...]]]:
        """From when to when units and items hold something, and what."""
        starts, ends = self._simulated.starts, self._simulated.ends
        for number, (began, ended) in enumerate(zip(starts, ends, strict=True)):
            if began != inf:
                yield began, ended, self._limits.own(number).holds
        for item, members in enumerate(self._plan.items):
            began = min(starts[member] for member in members)
            if began != inf:
                yield began, max(ends[member] for member in members), self._limits.of_item(item).holds


class _Sums:
    """Amounts that come at certain times, to be asked how much has come before one."""

    def __init__(self, amounts: list[tuple[float, int]]) -> None:
        amounts.sort()
        self._times = [at for at, _ in amounts]
        self._sums = list(accumulate((amount for _, amount in amounts), initial=0))

    def before(self, at: float) -> int:
        return self._sums[bisect_left(self._times, at)]


def _case(expected: Expectations, now: float, seed: int, sample: int) -> list[float]:
    """How long units take in one of the cases; the first is that in the middle for each of them."""
    return expected.draw(Random(seed * 1_000_003 + sample), now) if sample else expected.middles(now)
