"""What a run that has not begun is going to be: which units run, from when to when, what they wait for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from math import inf
from typing import Final, NamedTuple

from qtui.core.expecting import TYPICAL, Expectations, Expected
from qtui.core.forecast import SAMPLES, Analysis, Forecast, Part, forecast
from qtui.core.model import EMPTY
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.simulation import Simulated, Simulation
from qtui.core.state import RunView
from qtui.core.targets import WorkerTargets

LEAST_SAMPLES: Final = 10
MOST_STEPS: Final = 100_000
"""Of all samples together, some two seconds: from 2,500 units on there are fewer of them, though not below ten."""


class Fate(StrEnum):
    """What becomes of a unit."""

    RUN = "run"
    HIT = "hit"
    SKIP = "skip"
    MILESTONE = "milestone"
    NEVER = "never"


class PlannedUnit(NamedTuple):
    """What is expected of a unit, in seconds after the run begins; `start` and `end` are infinity where nothing begins
    or ends. `cause` says why it does not complete; `expected` is None where nothing is known of its time."""

    number: int
    fate: Fate
    start: float
    end: float
    expected: Expected | None
    cause: str = ""

    @property
    def due(self) -> bool:
        """True if there is something to do for it."""
        return self.fate is Fate.RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A run before it begins. `told` is its forecast, None if nothing is known of how long any unit takes.

    `units` are in the order of their starts (those that only end, of their ends) if each takes as long as is expected,
    or all take the same time where nothing is known; `path` are those that the end follows from then, first to last.
    `seconds` is how long each takes in the case in the middle of the forecast. `assumed` is what else the run would go
    by, in words.
    """

    plan: ExecutionPlan
    options: RunOptions
    hits: frozenset[int]
    told: Forecast | None
    seconds: Sequence[float]
    units: tuple[PlannedUnit, ...]
    path: tuple[int, ...]
    assumed: tuple[str, ...]

    @property
    def due(self) -> int:
        """How many units have something to do."""
        return sum(unit.due for unit in self.units)

    def count(self, fate: Fate) -> int:
        """How many units become this."""
        return sum(unit.fate is fate for unit in self.units)


def plan_run(
    plan: ExecutionPlan,
    options: RunOptions,
    past: Mapping[str, Sequence[float]] = EMPTY,
    hits: Collection[int] = (),
    seed: int = 0,
) -> Planned:
    """Go through a run of `plan`, in which an earlier result will do for the units in `hits`.

    `past` has the seconds of completed attempts in earlier runs, by unit id, oldest first. Every attempt succeeds,
    unless it takes longer than it may, and people say yes at once. The same arguments give the same result.
    """
    view = RunView.initial(plan)
    expected, told = Expectations(view, past), None
    if not expected.unknown:
        told = forecast(view, options, past, now=0.0, hits=hits, samples=samples_of(len(plan)), seed=seed)
    # not the case that the forecast shows, in which each unit takes more or less than it is expected to
    middles = [1.0 if each is None else each.middle for each in expected.each]
    simulated = Simulation(view, options, 0.0, hits).run(middles)
    path, _ = Analysis(view, options, simulated).path_and_parts()
    units = _in_order(plan, simulated, expected.each, frozenset(hits))
    return Planned(
        plan=plan,
        options=options,
        hits=frozenset(hits),
        told=told,
        seconds=told.seconds if told is not None else middles,
        units=units,
        path=tuple(number for number in path if simulated.starts[number] != inf),
        assumed=tuple(_assumed(plan, options, units, known=told is not None)),
    )


def samples_of(units: int) -> int:
    """From how many samples the end of so many units is told."""
    return max(LEAST_SAMPLES, min(SAMPLES, MOST_STEPS // units))


def skipped(plan: ExecutionPlan, options: RunOptions) -> Mapping[int, str]:
    """The units that would not run, whatever is in the cache, and the states in which they end."""
    if not any(unit.condition is not None or unit.when != "success" for unit in plan.table):
        return {}
    simulated = Simulation(RunView.initial(plan), options, 0.0).run([0.0] * len(plan))
    return {number: end.state for number, end in simulated.otherwise.items() if simulated.starts[number] == inf}


def attribution(seconds: float, parts: Sequence[Part]) -> str:
    """What the time until the end is made of: ``7m02s = 5m10s critical path + 1m12s pool gpu + 40s workers``.

    The figures add up: all are rounded to the same place, and what that leaves over is moved on to the next.
    """
    step = 60.0 if seconds >= 3600 else 1.0 if seconds >= 59.95 else 0.1 if seconds >= 9.995 else 0.01
    told, before, until = [], 0, 0.0
    for part in parts:
        until += part.seconds
        if (steps := round(until / step)) > before:
            told.append(f"{_time(steps - before, step)} {part.what}")
            before = steps
    return " = ".join([_time(round(seconds / step), step), *([" + ".join(told)] if told else [])])


def _time(steps: int, step: float) -> str:
    if step < 1:
        return f"{steps * step:.{1 if step == 0.1 else 2}f}s"
    whole = round(steps * step)
    if step == 1:
        return f"{whole // 60}m{whole % 60:02}s" if whole >= 60 else f"{whole}s"
    return f"{whole // 3600}h{whole // 60 % 60:02}m" if whole >= 3600 else f"{whole // 60}m"


def _in_order(
    plan: ExecutionPlan, simulated: Simulated, each: Sequence[Expected | None], hits: Collection[int]
) -> tuple[PlannedUnit, ...]:
    place = {number: at for at, number in enumerate(simulated.order)}
    depths = plan.depths
    units = []
    for number in range(len(plan)):
        start, end, bad = simulated.starts[number], simulated.ends[number], simulated.otherwise.get(number)
        if start != inf:
            fate = Fate.RUN
        elif end == inf:
            fate = Fate.NEVER
        elif bad is not None:
            fate = Fate.SKIP
        else:
            fate = Fate.HIT if number in hits else Fate.MILESTONE
        cause = (bad.cause or str(bad.error or bad.state)) if bad is not None else ""
        units.append(PlannedUnit(number, fate, start, end, each[number], cause))
    # what only ends does so before others start at the same moment: they may have waited for it
    units.sort(
        key=lambda unit: (
            (unit.start, 1, place[unit.number])
            if unit.fate is Fate.RUN
            else (unit.end, 0, depths[unit.number], unit.number)
        )
    )
    return tuple(units)


def _assumed(plan: ExecutionPlan, options: RunOptions, units: Sequence[PlannedUnit], *, known: bool) -> list[str]:
    asks = sum(unit.fate in (Fate.RUN, Fate.MILESTONE) and _asks(plan, options, unit.number) for unit in units)
    guessed = sum(unit.due and unit.expected is not None and unit.expected.basis == TYPICAL for unit in units)
    targets = WorkerTargets(plan.lanes, options)
    adapts = known and targets.governed
    said = [
        f"{_counted(asks, 'question')} answered with yes" if asks else "",
        f"nothing is known of {_counted(guessed, 'unit')}, taken for typical ones" if guessed else "",
        f"{_counted(targets.together, 'worker')} all along, as an adaptive run begins" if adapts else "",
    ]
    return [each for each in said if each]


def _asks(plan: ExecutionPlan, options: RunOptions, number: int) -> bool:
    unit = plan.table[number]
    return bool(unit.confirm) and not any(fnmatchcase(unit.id, pattern) for pattern in options.approved)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
