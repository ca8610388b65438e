"""``python -m benchmarks.forecast``: how good forecasts are, and what they cost.

What a forecast is worth is counted on random workflows whose units take log-normal times: after five runs of one, how
often its end comes between the bounds that were told, and how far it is from the middle. What a real run takes is
compared with what the simulation makes of the same durations.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from math import log, sqrt
from pathlib import Path
from random import Random
from statistics import median
from typing import Final, NamedTuple

from benchmarks.report import machine
from benchmarks.runs import RUN_SECONDS
from qtui.core.expecting import Expectations
from qtui.core.folding import fold
from qtui.core.forecast import forecast
from qtui.core.model import Call, ExecutionMode, Outcome, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.planned import plan_run
from qtui.core.scheduler import Scheduler
from qtui.core.simulation import Simulation
from qtui.core.state import RunView
from qtui.core.stimuli import RunRequested, StartUnit, UnitReturned

VARIATION: Final = 0.5
RUNS: Final = 5
"""Durations vary by half of their mean, and so many runs are known of each unit."""

SHARES: Final = (0.1, 0.5, 0.9)
"""How many of the units have ended when it is asked for the end."""

_SPREAD: Final = sqrt(log(1 + VARIATION**2))


def nothing() -> None:
    """What the units of random workflows stand for; it is never called."""


class Case(NamedTuple):
    """A random workflow, what its units took in `RUNS` runs, by id, and how long they are going to take."""

    plan: ExecutionPlan
    options: RunOptions
    past: Mapping[str, Sequence[float]]
    seconds: list[float]

    @property
    def total(self) -> float:
        """When the run ends, in seconds."""
        return Simulation(RunView.initial(self.plan), self.options, 0.0).run(self.seconds).seconds


class Worth(NamedTuple):
    """Of so many cases: the share that ended between the bounds, and the middle of the errors as a share of the run."""

    within: float
    error: float


def random_case(seed: int) -> Case:
    """30 to 150 units of 1 to 200 s, each with up to three needs, some in a pool of two; two to eight workers."""
    rng = Random(seed)
    units = [
        QuantumUnit(
            id=f"u{number}",
            action=Call(nothing),
            mode=ExecutionMode.THREAD,
            dependencies=tuple(dict.fromkeys(f"u{rng.randrange(max(0, number - 20), number)}" for _ in range(needs))),
            pools={"gpu": 1} if rng.randrange(5) == 0 else {},
        )
        for number in range(rng.randint(30, 150))
        for needs in [rng.randint(0, 3) if number > 3 else 0]
    ]
    means = [rng.uniform(1, 50) * rng.choice((1, 1, 4)) for _ in units]

    def one_run() -> list[float]:
        return [rng.lognormvariate(log(mean) - _SPREAD**2 / 2, _SPREAD) for mean in means]

    runs = [one_run() for _ in range(RUNS)]
    past = {unit.id: [run[number] for run in runs] for number, unit in enumerate(units)}
    options = RunOptions(workers=rng.choice((2, 4, 8)), pools={"gpu": 2})
    return Case(ExecutionPlan.build(units), options, past, one_run())


def view_after(case: Case, ended: int) -> tuple[RunView, float]:
    """How the run stands when so many units have ended, and when that is."""
    scheduler, running = Scheduler(case.plan, case.options), list[tuple[float, int, int]]()
    view, now = RunView.initial(case.plan), 0.0
    decision = scheduler.handle(RunRequested(), now)
    while True:
        view = fold(view, decision.events)
        for effect in decision.effects:
            if isinstance(effect, StartUnit):
                heappush(running, (now + case.seconds[effect.unit], effect.unit, effect.attempt))
        if view.ended >= ended:
            return view, now
        now, number, attempt = heappop(running)
        decision = scheduler.handle(UnitReturned(number, attempt, Outcome(seconds=case.seconds[number])), now)


def worth(seeds: Iterable[int], share: float) -> Worth:
    """What forecasts are worth when this share of the units has ended."""
    within, errors = 0, []
    for seed in seeds:
        case = random_case(seed)
        view, now = view_after(case, int(share * len(case.plan)))
        left = case.total - now
        told = forecast(view, case.options, case.past, now=now)
        within += told.p10 <= left <= told.p90
        errors.append(abs(told.p50 - left) / case.total)
    return Worth(within / len(errors), median(errors))


# -- what a simulated run costs --------------------------------------------------------------------------


def large_plan(units: int) -> ExecutionPlan:
    """So many units, each with up to three needs among the hundred before it."""
    rng = Random(1)
    return ExecutionPlan.build(
        QuantumUnit(
            id=f"u{number}",
            action=Call(nothing),
            mode=ExecutionMode.THREAD,
            dependencies=tuple({f"u{rng.randrange(max(0, number - 100), number)}" for _ in range(3)}) if number else (),
        )
        for number in range(units)
    )


def cost(units: int, repeats: int) -> float:
    """CPU seconds of one simulated run of so many units."""
    rng, plan = Random(1), large_plan(units)
    view, options = RunView.initial(plan), RunOptions(workers=8)
    expected = Expectations(view, {unit.id: [1.0, 2.0, 3.0] for unit in plan.table})

    def once() -> float:
        begun = time.process_time()
        Simulation(view, options, 0.0).run(expected.draw(rng, 0.0))
        return time.process_time() - begun

    return median(once() for _ in range(repeats))


def plan_cost(units: int) -> float:
    """CPU seconds of what `qtui plan` finds out about the times of so many units, each known from three runs."""
    plan = large_plan(units)
    begun = time.process_time()
    plan_run(plan, RunOptions(workers=8), {unit.id: [1.0, 2.0, 3.0] for unit in plan.table})
    return time.process_time() - begun


# -- a real run beside the simulated one -----------------------------------------------------------------


def real_run(seed: int, units: int = 300) -> float:
    """What a run of sleeps of 20 to 100 ms in four threads takes, beside what is made of the times that they took."""
    from qtui import Workflow, open_services

    rng = Random(seed)
    workflow = Workflow("sleeps", mode="thread", workers=4)
    for number in range(units):
        needs = {f"u{rng.randrange(max(0, number - 20), number)}" for _ in range(rng.randint(0, 3))} if number else ()
        workflow.add_unit(doze, sorted(needs), name=f"u{number}", args={"seconds": rng.uniform(0.02, 0.1)})
    with tempfile.TemporaryDirectory(prefix="bench-") as state, open_services(Path(state)) as services:
        session = services.manager.start(workflow.definition())
        session.wait(RUN_SECONDS)
        view, options = session.view(), session.options
    took = [view.unit(number).elapsed(view.updated_at) or 0.0 for number in range(units)]
    simulated = Simulation(RunView.initial(view.plan), options, 0.0).run(took)
    return view.elapsed(view.updated_at) / simulated.seconds


def doze(seconds: float) -> None:
    """A unit of the real run."""
    time.sleep(seconds)


# -- the table -------------------------------------------------------------------------------------------


def figures(seeds: int, repeats: int) -> Iterator[str]:
    """A line for each figure, with its goal."""
    for share in SHARES:
        found = worth(range(seeds), share)
        goal = ", goal below 8 %" if share == 0.5 else ""
        yield f"{share:.0%} of the units ended: the end is between p10 and p90 in {found.within:.0%} of {seeds} runs, \
goal 70-95 %; it is off by {found.error:.1%} of the run{goal}"
    yield f"CPU of a simulated run of 10,000 units: {1000 * cost(10_000, repeats):.0f} ms, goal 150 ms"
    yield f"CPU of a plan of 10,000 units: {plan_cost(10_000):.1f} s"
    ratios = sorted(real_run(seed) for seed in range(repeats))
    yield f"a real run of sleeps of 20-100 ms takes {ratios[0]:.3f}-{ratios[-1]:.3f} of the simulated one, goal 1.05"


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast", description="how good forecasts are")
    parser.add_argument("--seeds", type=int, default=100, help="random workflows (100)")
    parser.add_argument("--repeats", type=int, default=7, help="samples of what is timed (7)")
    given = parser.parse_args()
    facts = machine()
    print(f"Python {facts['python']}, {facts['cores']} cores, load {facts['load']:.2f}\n", flush=True)
    for line in figures(given.seeds, given.repeats):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
