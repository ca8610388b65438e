"""How a run would end with other strategies and other numbers of workers, and from where on more gain nothing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from qtui.core.forecast import CRITICAL_PATH, WORKERS, Analysis
from qtui.core.options import RunOptions
from qtui.core.planned import Planned
from qtui.core.simulation import Simulated, Simulation
from qtui.core.state import RunView
from qtui.core.targets import WorkerTargets

NOTICED: Final = 0.01
"""Who gains less than this part of the time gains nothing."""

NAMED: Final = 0.05
"""What takes less than this part of the time is not named as a cause."""


class Cell(NamedTuple):
    """How a run ends: after so many `seconds`, when time has run out for `incomplete` units. The less of two is better:
    to complete more comes first."""

    incomplete: int
    seconds: float

    def falls_short_of(self, other: Cell) -> bool:
        """Whether it is worse by more than nobody notices."""
        if self.incomplete != other.incomplete:
            return self.incomplete > other.incomplete
        return self.seconds > other.seconds * (1 + NOTICED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a run ends, by strategy and number of workers. Beyond `knee` workers nothing gains, for `because`, in words;
    `current` is how many may run together as the run is now, and no more than there are units for."""

    cells: Mapping[str, Mapping[int, Cell]]
    knee: int
    because: str
    current: int


def compare(planned: Planned, *, begins: int, cores: float, cpu: float = 0.0) -> Comparison:
    """Go through a run with each strategy and 1, 2, 4, ... workers, in the case that `planned` shows.

    An adaptive run begins with at most `begins` workers a lane, and is gone through with these; what the machine makes
    it do is not known beforehand. `cpu` are the seconds of CPU time that the units use together, as far as that is
    known: on so many `cores` no number of workers is quicker. How long a unit takes is the same everywhere.
    """
    search = _Search(planned, cpu / cores)
    started = {unit.number for unit in planned.units if unit.due}
    most = max(1, min(len(started | planned.late), planned.options.max_workers))
    count = 1
    while count < most and search.fixed(count).falls_short_of(search.fixed(most)):
        count = min(2 * count, most)
    current = min(WorkerTargets(planned.plan.lanes, planned.options).together, most)
    tried = sorted({count, current, *(each for each in _doubled(2 * count) if each <= most)})
    # more workers can take longer (https://doi.org/10.1137/0117039), so the best is not where there are most of them
    goal = min(map(search.fixed, tried))
    enough = next(each for each in tried if not search.fixed(each).falls_short_of(goal))
    knee = search.least(enough // 2 + 1, enough, goal)
    rows = sorted({*tried, knee})
    adaptive = {each: search.adaptive(min(begins, each), each) for each in rows}
    fixed = {each: search.fixed(each) for each in rows}
    return Comparison(
        # in a file units of kind cpu run in processes whatever the strategy is called
        cells={"priority": fixed, "resource_balanced": fixed, "adaptive": adaptive},
        knee=knee,
        because=search.because(most, cores),
        current=current,
    )


_Key = tuple[int, int]


class _Search:
    def __init__(self, planned: Planned, floor: float) -> None:
        self._planned, self._floor = planned, floor
        self._known: dict[_Key, Cell] = {}
        self._view = RunView.initial(planned.plan)

    def fixed(self, workers: int) -> Cell:
        """With a fixed number of workers."""
        return self._cell((workers, 0), lambda: self._fixed_options(workers))

    def adaptive(self, first: int, most: int) -> Cell:
        """With as many as an adaptive run begins with."""
        options = self._planned.options
        least = min(options.min_workers, most)
        return self._cell(
            (first, most),
            lambda: replace(options, adaptive=True, workers=first, min_workers=least, max_workers=most),
        )

    def least(self, low: int, high: int, goal: Cell) -> int:
        """The least number of workers from `low` to `high` that reaches the goal, as `high` does."""
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.fixed(middle).falls_short_of(goal) else (low, middle)
        return low

    def because(self, most: int, cores: float) -> str:
        """What the run takes as long as it does for with so many workers."""
        options = self._fixed_options(most)
        simulated = self._run(options)
        if simulated.seconds < self._floor:
            return f"{cores:g} core{'' if cores == 1 else 's'} for the CPU time that is needed"
        _, parts = Analysis(self._view, options, simulated).path_and_parts()
        named = [
            "the limits of lanes" if part.what == WORKERS else part.what
            for part in parts
            if part.seconds >= NAMED * simulated.seconds
        ]
        return " and ".join(named) or CRITICAL_PATH

    def _fixed_options(self, workers: int) -> RunOptions:
        most = max(workers, self._planned.options.max_workers)
        return replace(self._planned.options, adaptive=False, workers=workers, max_workers=most)

    def _cell(self, key: _Key, options: Callable[[], RunOptions]) -> Cell:
        if key not in self._known:
            simulated, limit = self._run(options()), self._planned.options.timeout
            cell = Cell(len(simulated.late), simulated.seconds)
            if not cell.incomplete and cell.seconds < self._floor:
                cell = Cell(0, self._floor)
                if limit is not None and limit < self._floor:
                    cell = Cell(1, limit)  # at least one: the cores are too few for the time there is
            self._known[key] = cell
        return self._known[key]

    def _run(self, options: RunOptions) -> Simulated:
        return Simulation(self._view, options, 0.0, self._planned.hits).run(self._planned.seconds)


def _doubled(most: int) -> list[int]:
    found = [1]
    while found[-1] < most:
        found.append(2 * found[-1])
    return found
