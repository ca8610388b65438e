"""What a run that has not begun is going to be: which units run, from when to when, what they wait for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple

from qtui.core.expecting import TYPICAL, Expectations, Expected
from qtui.core.forecast import SAMPLES, Analysis, Forecast, forecast, without_spare
from qtui.core.model import EMPTY, ExecutionMode
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
    or all take the same time where nothing is known. `end` is when the last one ends then, `path` are those that this
    follows from, first to last, `critical` those of them without time to spare, and `late` those that do not complete
    because time runs out for them or for one that they need. `seconds` is how long each takes in the case in the middle
    of the forecast. `assumed` is what else the run would go by, in words.
    """

    plan: ExecutionPlan
    options: RunOptions
    hits: frozenset[int]
    told: Forecast | None
    seconds: Sequence[float]
    units: tuple[PlannedUnit, ...]
    end: float
    path: tuple[int, ...]
    critical: frozenset[int]
    late: frozenset[int]
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
    analysis = Analysis(view, options, simulated)
    path = tuple(number for number in analysis.path_and_parts()[0] if simulated.starts[number] != inf)
    units = _in_order(plan, simulated, expected.each, frozenset(hits))
    return Planned(
        plan=plan,
        options=options,
        hits=frozenset(hits),
        told=told,
        seconds=told.seconds if told is not None else middles,
        units=units,
        end=simulated.seconds,
        path=path,
        critical=frozenset(without_spare(path, analysis.slack(), simulated.seconds)),
        late=simulated.late,
        assumed=tuple(_assumed(plan, options, units, simulated.asked, known=told is not None)),
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


def _assumed(
    plan: ExecutionPlan, options: RunOptions, units: Sequence[PlannedUnit], asks: int, *, known: bool
) -> list[str]:
    guessed = sum(unit.due and unit.expected is not None and unit.expected.basis == TYPICAL for unit in units)
    targets = WorkerTargets(plan.lanes, options)
    said = [
        f"{_counted(asks, 'question')} answered with yes" if asks else "",
        f"{_counted(guessed, 'unit')} without estimate and earlier run taken for typical ones" if guessed else "",
        *(_sizes(targets, options) if known and targets.governed else ()),
    ]
    return [each for each in said if each]


def _sizes(targets: WorkerTargets, options: RunOptions) -> Iterator[str]:
    """How many units run at a time all along, here and in a cluster; coroutines do not count beside others."""
    far = targets.of_lane.get(ExecutionMode.CUSTOM, 0)
    if here := targets.decided - far:
        yield f"{_counted(here, 'worker')} all along, as an adaptive run begins"
    if far and options.address is None:
        yield f"a cluster of {_counted(far, 'thread')} on this machine"
    elif far:
        yield f"{_counted(far, 'unit')} at a time on the cluster, whose size only a run is told"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
