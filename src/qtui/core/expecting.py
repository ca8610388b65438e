"""How long units are expected to take, from what is known: their past, estimates, and how far they say they are. Pure.

Durations are taken as log-normal: they are positive, and one that takes twice as long is as likely as one that takes
half. What little is known of one unit's spread is pooled with that of the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from math import exp, log, sqrt
from random import Random
from statistics import NormalDist, fmean, median
from typing import Final, NamedTuple, Self

from qtui.core.model import EMPTY, UnitState
from qtui.core.state import RunView

USUAL_SPREAD: Final = 0.3
"""Of the logarithm, where nothing is known: two of three times take between 0.74 and 1.35 of the middle."""

UNKNOWN_SPREAD: Final = 0.8
"""Of a unit of which only is known how long others take, at least."""

PRIOR_WEIGHT: Final = 8
"""What the spread of all units counts beside a unit's own, in runs."""

ANOTHER_SPREAD: Final = 0.5
"""Of what a unit takes that did something else before, beside what that took: as is the case with two actions."""

ESTIMATE: Final = "its estimate"
FAMILY: Final = "others of its family"
TYPICAL: Final = "the typical unit"
CUT: Final = "an attempt that was cut"
NO_TIME: Final = "takes no time"
"""What an expectation may be taken from, beside earlier runs of the unit itself."""

NEVER: Final = "no earlier run completed it"
LONGER: Final = "longer than ever before"
"""Why nobody knows when a running unit ends, if it was not taken from something else."""

_ANOTHER_WEIGHT: Final = 2
"""What `ANOTHER_SPREAD` counts beside the spread of a unit's own actions, in actions."""
_LEAST: Final = 1e-4
_LEAST_PROGRESS: Final = 0.05
"""Of the work done; before that a rate says nothing."""
_PROGRESS_SPREAD: Final = 0.4
"""How wrong a rate is at the beginning; it becomes right in proportion to what is done."""
_NORMAL: Final = NormalDist()


class Took(tuple[float, ...]):
    """A past of which more is known than seconds. `other` says that the unit did something else: the seconds are those
    of its other actions then, one of each. `cut` is how many seconds an attempt ran since that did not complete,
    because it timed out or was canceled; 0 if there is none."""

    other: bool
    cut: float

    def __new__(cls, seconds: Iterable[float] = (), *, other: bool = False, cut: float = 0.0) -> Self:
        """The past with these seconds."""
        self = super().__new__(cls, seconds)
        self.other, self.cut = other, cut
        return self


class Expected(NamedTuple):
    """The time a unit takes: `middle` seconds in the middle of all cases, and the `spread` of the logarithm, 0 for what
    is taken at its word. `basis` says what that was taken from; `other` that it is a past in which the unit did
    something else. `longest` is the most that the unit itself is known to have taken, 0 if nothing is."""

    middle: float
    spread: float
    basis: str
    other: bool = False
    longest: float = 0.0

    @property
    def completed(self) -> bool:
        """Whether the unit itself has completed in an earlier run."""
        return self.basis not in _NOT_ITSELF


def worth_a_word(unforeseen: Mapping[int, str], *, stands: bool) -> tuple[int, ...]:
    """Those of `unforeseen` units that the end is told to wait for. Of many units one always takes longer than ever:
    that is worth a word where the end follows from it (`stands`), and of what has never completed always."""
    return tuple(number for number, why in unforeseen.items() if stands or why == NEVER)


class Expectations:
    """What is expected of each unit of `view`, by number, in `each`; None of what nothing is known.

    `past` has the seconds of completed attempts in earlier runs, by unit id, oldest first; see `Took`. Where that is
    silent, the unit's estimate counts, then others of its family, in this run too, then the typical unit of all.
    """

    def __init__(self, view: RunView, past: Mapping[str, Sequence[float]] = EMPTY) -> None:
        for _ in self._steps(view, past):
            pass

    @classmethod
    def in_steps(
        cls, view: RunView, past: Mapping[str, Sequence[float]] = EMPTY
    ) -> Generator[None, None, Expectations]:
        """The same in small steps, for who must not keep others waiting; the generator returns the expectations."""
        self = cls.__new__(cls)
        yield from self._steps(view, past)
        return self

    def _steps(self, view: RunView, past: Mapping[str, Sequence[float]]) -> Iterator[None]:
        self._view = view
        plan = view.plan
        logs: dict[str, list[float]] = {}
        cuts: dict[str, float] = {}
        others: set[str] = set()
        spread = _Pool()
        for at, (id_, seconds) in enumerate(past.items()):
            took = seconds if isinstance(seconds, Took) else Took(seconds)
            if took:
                logs[id_] = [log(max(each, _LEAST)) for each in took]
            if took.cut:
                cuts[id_] = took.cut
            if took.other:
                others.add(id_)
            elif took:
                spread.add(logs[id_])
            if at % _AT_ONCE_UNITS == _AT_ONCE_UNITS - 1:
                yield
        usual = spread.spread
        known: list[Expected | None] = []
        for at, unit in enumerate(plan.table):
            mine = logs.get(unit.id)
            if mine is None:
                known.append(None)
            elif unit.id in others:
                known.append(_of_another(mine))
            else:
                known.append(_of_past(_with_cut(mine, cuts.get(unit.id)), usual))
            if at % _AT_ONCE_UNITS == _AT_ONCE_UNITS - 1:
                yield
        unknown = {unit.name for unit, own in zip(plan.table, known, strict=True) if own is None and not unit.estimate}
        families = self._families(unknown, logs, others) if unknown else {}
        yield
        found: list[Expected | None] = []
        for unit, own in zip(plan.table, known, strict=True):
            if unit.action is None:
                found.append(_AT_ONCE)
            elif own is not None:
                found.append(own)
            elif unit.estimate:
                found.append(Expected(unit.estimate, 0.0, ESTIMATE))
            else:
                found.append(families.get(unit.name))
        middles = sorted(each.middle for each in found if each is not None and each is not _AT_ONCE)
        yield
        typical = _typical(middles) if middles else None
        self.each: list[Expected | None] = [each or typical for each in found]
        for id_, cut in cuts.items():
            if (number := plan.numbers.get(id_)) is not None and (id_ not in logs or id_ in others):
                self.each[number] = _not_below(self.each[number], cut)

    @property
    def unknown(self) -> int:
        """How many units there are of which nothing is known."""
        return sum(each is None for each in self.each)

    def exact(self, now: float) -> bool:
        """True if there is nothing that could come out otherwise: all is taken at its word, and nothing has shown
        meanwhile that it is not so."""
        if not all(each is not None and not each.spread for each in self.each):
            return False
        progress = self._view.progress
        return all(progress[number] is None and not self._is_overdue(number, now) for number in self._running)

    def unforeseen(self, now: float) -> dict[int, str]:
        """The running units of which nobody knows when they end, and why: they take longer than all that is known
        allows, or are silent and have never completed. In all cases they are taken to end now: their age alone says
        nothing, and what is made of it grows while one waits."""
        return {
            number: why
            for number in self._running
            if (expected := self.each[number]) is not None and (why := self._why_unforeseen(number, expected, now))
        }

    @property
    def _running(self) -> Iterator[int]:
        return (number for number, state in enumerate(self._view.states) if state is _RUNNING)

    def _why_unforeseen(self, number: int, expected: Expected, now: float) -> str:
        began: float = self._view.begun[number].at
        middle, spread = self._by_progress(number, began, now, expected)
        gone = max(now - began, _LEAST)
        said = (middle, spread) != (expected.middle, expected.spread)
        if not expected.completed and number in self._view.silent:
            return NEVER
        if expected.basis == CUT and not said:
            return NEVER if gone >= expected.longest else ""
        if gone <= expected.longest or _passed(gone, middle, spread) <= _OVERDUE:
            return ""
        return "longer than it said" if said else _WHY.get(expected.basis, LONGER)

    def _is_overdue(self, number: int, now: float) -> bool:
        expected, began = self.each[number], self._view.unit(number).started_at
        return expected is not None and began is not None and now - began >= expected.middle

    def middles(self, now: float) -> list[float]:
        """Seconds that the latest or next attempt of each unit takes, in the middle of all cases."""
        return [
            0.0
            if expected is None
            else self._taken(number, expected, 0.5, now)
            if state is _RUNNING
            else expected.middle
            for number, (expected, state) in enumerate(zip(self.each, self._view.states, strict=True))
        ]

    def draw(self, random: Random, now: float) -> list[float]:
        """Seconds that they might take; ended units count for nothing."""
        gauss, seconds = random.gauss, []
        for number, (expected, state) in enumerate(zip(self.each, self._view.states, strict=True)):
            if expected is None or state.ended:
                seconds.append(0.0)
            elif state is _RUNNING:
                seconds.append(self._taken(number, expected, random.random(), now))
            else:
                middle, spread = expected.middle, expected.spread
                seconds.append(middle * exp(spread * gauss(0.0, 1.0)) if spread else middle)
        return seconds

    def _taken(self, number: int, expected: Expected, share: float, now: float) -> float:
        """What a unit that runs takes in the case that only this `share` of all cases is quicker than."""
        began: float = self._view.begun[number].at
        gone = max(now - began, _LEAST)
        middle, spread = self._by_progress(number, began, now, expected)
        if not spread and gone < middle:
            return middle
        if self._why_unforeseen(number, expected, now):
            return gone
        # of all cases only those count that take longer than it has taken already
        passed = _passed(gone, middle, spread)
        quicker = min(passed + (1 - passed) * share, 1 - 1e-9)
        return max(gone, middle * exp((spread or USUAL_SPREAD) * _NORMAL.inv_cdf(quicker)))

    def _by_progress(self, number: int, began: float, now: float, expected: Expected) -> tuple[float, float]:
        """Middle and spread, with what the unit itself says of how far it is."""
        progress = self._view.progress[number]
        if progress is None or progress.total <= 0:
            return expected.middle, expected.spread
        done = min(progress.done / progress.total, 1.0)
        if done < _LEAST_PROGRESS:
            return expected.middle, expected.spread
        said, doubt = max(progress.at - began, _LEAST) / done, max(_PROGRESS_SPREAD * (1 - done), 0.02)
        if not expected.spread or expected.basis == TYPICAL or now - began > expected.middle:
            return said, doubt  # what others take says nothing beside it, nor what has proved wrong already
        mine, others = 1 / doubt**2, 1 / expected.spread**2
        middle = exp((mine * log(said) + others * log(expected.middle)) / (mine + others))
        return middle, 1 / sqrt(mine + others)

    def _families(
        self, names: Collection[str], logs: Mapping[str, Sequence[float]], others: Collection[str]
    ) -> dict[str, Expected]:
        """What is expected of further units of these families; of those in `others` this run tells more than their
        past, once they have completed."""
        found: dict[str, list[float]] = defaultdict(list)
        view = self._view
        for number, (unit, state) in enumerate(zip(view.plan.table, view.states, strict=True)):
            if unit.name not in names:
                continue
            ran = state is UnitState.COMPLETED and unit.action is not None and not view.last[number].cached
            if unit.id in logs and not (ran and unit.id in others):
                found[unit.name].append(fmean(logs[unit.id]))
            elif ran:
                found[unit.name].append(log(max(view.last[number].duration, _LEAST)))
        return {
            name: _predicted(fmean(each), _Pool(each).spread ** 2, len(each), FAMILY) for name, each in found.items()
        }


_AT_ONCE_UNITS: Final = 250
"""Units between two pauses: one or two milliseconds."""
_RUNNING: Final = UnitState.RUNNING
_OVERDUE: Final = 0.98
"""Of all cases: what takes longer than so many of them is none of them."""
_NOT_ITSELF: Final = (ESTIMATE, FAMILY, TYPICAL, CUT)
_WHY: Final = {ESTIMATE: "longer than its estimate", FAMILY: "longer than its family", TYPICAL: NEVER}
_AT_ONCE: Final = Expected(0.0, 0.0, NO_TIME)


def _typical(middles: Sequence[float]) -> Expected:
    """What is expected of a unit of which only is known how long others take, shortest first: it is one of them.

    How much longer it may take, those tell that take longer: beside units of 10 ms, of which there are some in nearly
    every workflow, the spread of all of them would have one of 12 s take half an hour.
    """
    middle = middles[len(middles) // 2]
    longer = [log(max(each, _LEAST) / max(middle, _LEAST)) ** 2 for each in middles[len(middles) // 2 :]]
    return Expected(middle, max(UNKNOWN_SPREAD, sqrt(fmean(longer))), TYPICAL)


def _passed(gone: float, middle: float, spread: float) -> float:
    """The share of all cases that take less than a unit has taken; what was taken at its word has proved wrong."""
    return _NORMAL.cdf(log(gone / max(middle, _LEAST)) / (spread or USUAL_SPREAD))


def _of_past(logs: Sequence[float], usual: float) -> Expected:
    count, middle = len(logs), fmean(logs)
    own = sum((each - middle) ** 2 for each in logs)
    variance = (PRIOR_WEIGHT * usual**2 + own) / (PRIOR_WEIGHT + count - 1)
    found = _predicted(middle, variance, count, f"{count} run{'' if count == 1 else 's'}")
    return found._replace(longest=exp(max(logs)))


def _with_cut(logs: list[float], cut: float | None) -> list[float]:
    """With an attempt that was cut for one that took that long, if that is longer than usual. Either it hung, or the
    unit takes longer from now on; were it left out, that would be told to be as good as impossible."""
    return [*logs, log(cut)] if cut and log(cut) > median(logs) else logs


def _not_below(expected: Expected | None, cut: float) -> Expected:
    """What is expected of a unit that has run for so long without an end, and of which little else is known."""
    if expected is not None and expected.middle >= cut:
        return expected
    spread = max(ANOTHER_SPREAD, min(expected.spread, UNKNOWN_SPREAD) if expected is not None else 0.0)
    return Expected(cut, spread, CUT, longest=cut)


def _of_another(logs: Sequence[float]) -> Expected:
    """What is expected of a unit that did something else before. How much that matters, several actions tell: of a
    command that has the day's date in it all are others, and take the same time."""
    count, middle = len(logs), fmean(logs)
    own = sum((each - middle) ** 2 for each in logs)
    variance = (_ANOTHER_WEIGHT * ANOTHER_SPREAD**2 + own) / (_ANOTHER_WEIGHT + count - 1)
    basis = "another action" if count == 1 else f"{count} other actions"
    return Expected(exp(middle), sqrt(variance), basis, other=True, longest=exp(max(logs)))


def _predicted(middle: float, variance: float, count: int, basis: str) -> Expected:
    """What is expected after `count` cases of which the logarithms have this mean and variance.

    The mean itself is uncertain by a share of the variance. That makes the expectation of a log-normal larger twice,
    once by its own error and once by what is allowed for it, although what took long may as well have been bad luck:
    `variance / count` takes both away again. Without it 100 random workflows were told to take 4 % too long.
    """
    return Expected(exp(middle - variance / count), sqrt(variance * (1 + 1 / count)), basis)


class _Pool:
    """The spread within samples of logarithms, beside what is usual."""

    def __init__(self, *samples: Sequence[float]) -> None:
        self._squares: float = PRIOR_WEIGHT * USUAL_SPREAD**2
        self._freedom = PRIOR_WEIGHT
        for each in samples:
            self.add(each)

    def add(self, sample: Sequence[float]) -> None:
        if len(sample) > 1:
            middle = fmean(sample)
            self._squares += sum((each - middle) ** 2 for each in sample)
            self._freedom += len(sample) - 1

    @property
    def spread(self) -> float:
        return sqrt(self._squares / self._freedom)
