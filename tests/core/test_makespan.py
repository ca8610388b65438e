"""The order of starts: how near runs in virtual time come to the shortest that any order could make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import chain, count
from random import Random
from statistics import median
from typing import NamedTuple

import pytest
from core_driver import SUCCESS, WORK, Run, milestone, plan_of, unit
from core_examples import SOAK

from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import Decision, RunRequested, StartUnit, UnitReturned

UNITS = 500
SEEDS = range(67 if SOAK else 23)
"""Of each of the three shapes, so that every promise is kept for 69 graphs, and for 201 in `make soak`."""

WORKERS = (4, 8)


class Shape(NamedTuple):
    """A random unit needs up to `most` of the `reach` units before it; a `roots` part of them needs nothing."""

    reach: int
    most: int
    roots: float


SHAPES = {
    "loose": Shape(reach=60, most=3, roots=0.1),
    "tight": Shape(reach=15, most=3, roots=0.03),
    "bushy": Shape(reach=200, most=2, roots=0.2),
}


class Work(NamedTuple):
    """What each unit needs, and how many seconds it takes."""

    needs: list[tuple[int, ...]]
    seconds: list[float]

    def plan(self, estimates: Iterable[float | None]) -> ExecutionPlan:
        return ExecutionPlan.build(
            QuantumUnit(
                id=f"u{number}",
                action=WORK,
                mode=ExecutionMode.THREAD,
                dependencies=tuple(f"u{need}" for need in needs),
                estimate=estimate,
            )
            for number, (needs, estimate) in enumerate(zip(self.needs, estimates, strict=True))
        )

    def shortest(self, workers: int) -> float:
        """No run can be shorter than its longest path, nor than its work shared out evenly."""
        ends: list[float] = []
        for needs, seconds in zip(self.needs, self.seconds, strict=True):
            ends.append(seconds + max((ends[need] for need in needs), default=0.0))
        return max(*ends, sum(self.seconds) / workers)


@cache
def random_work(shape: str, seed: int) -> Work:
    rng = Random(f"{shape} {seed}")
    reach, most, roots = SHAPES[shape]
    needs: list[tuple[int, ...]] = []
    for number in range(UNITS):
        before = range(max(0, number - reach), number)
        alone = not before or rng.random() < roots
        needs.append(() if alone else tuple(rng.sample(before, min(len(before), rng.randint(1, most)))))
    return Work(needs, [rng.uniform(0.001, 0.050) for _ in needs])


def scheduled(work: Work, workers: int, plan: ExecutionPlan) -> float:
    """When the run ends that the scheduler makes of the plan."""
    scheduler = Scheduler(plan, RunOptions(workers=workers))
    running: list[tuple[float, int, int]] = []
    now = 0.0

    def carry_out(decision: Decision) -> None:
        for effect in decision.effects:
            assert isinstance(effect, StartUnit)
            heappush(running, (now + work.seconds[effect.unit], effect.unit, effect.attempt))
        assert len(running) <= workers

    carry_out(scheduler.handle(RunRequested("test"), now))
    ended = 0
    while running:
        now, number, attempt = heappop(running)
        ended += 1
        carry_out(scheduler.handle(UnitReturned(number, attempt, SUCCESS), now))
    assert ended == len(work.needs)
    return now


def paths(work: Work, weights: Sequence[float]) -> list[float]:
    """The length of the longest path from each unit to an end."""
    longest = [0.0] * len(weights)
    for number in reversed(range(len(weights))):
        longest[number] += weights[number]
        for need in work.needs[number]:
            longest[need] = max(longest[need], longest[number])
    return longest


def listed(work: Work, workers: int, ranks: Sequence[float] | None = None) -> float:
    """When it ends if free workers take the ready unit of the highest rank; without ranks, the one first ready."""
    feeds: list[list[int]] = [[] for _ in work.needs]
    for number, needs in enumerate(work.needs):
        for need in needs:
            feeds[need].append(number)
    left = [len(needs) for needs in work.needs]
    turn = count()

    def entry(number: int) -> tuple[float, int]:
        return (-ranks[number], number) if ranks is not None else (next(turn), number)

    ready = [entry(number) for number, needs in enumerate(work.needs) if not needs]
    heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, number = heappop(ready)
            heappush(running, (now + work.seconds[number], number))
        now, number = heappop(running)
        for fed in feeds[number]:
            left[fed] -= 1
            if not left[fed]:
                heappush(ready, entry(fed))
    return now


@cache
def ratios(shape: str, *, known: bool) -> dict[int, list[float]]:
    """How many times the shortest the runs take, by workers, if units have their durations as estimates, or none."""
    found: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for seed in SEEDS:
        work = random_work(shape, seed)
        plan = work.plan(work.seconds if known else [None] * UNITS)
        for workers, of_workers in found.items():
            of_workers.append(scheduled(work, workers, plan) / work.shortest(workers))
    assert min(chain(*found.values())) > 1 - 1e-9, "shorter than the shortest"
    return found


@cache
def fifo_ratios(shape: str, workers: int) -> list[float]:
    return [listed(work, workers) / work.shortest(workers) for work in (random_work(shape, seed) for seed in SEEDS)]


# -- how long runs are -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_runs_of_unknown_durations_are_at_most_two_percent_above_the_shortest(shape: str, workers: int) -> None:
    assert median(ratios(shape, known=False)[workers]) <= 1.02


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_runs_of_known_durations_are_at_most_half_a_percent_above_the_shortest(shape: str, workers: int) -> None:
    assert median(ratios(shape, known=True)[workers]) <= 1.005


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_first_in_first_out_takes_longer(shape: str, workers: int) -> None:
    assert median(ratios(shape, known=False)[workers]) < median(fifo_ratios(shape, workers))


def test_four_workers_end_every_single_tight_graph_sooner_than_first_in_first_out() -> None:
    # where the longest path is about as long as the work shared among 4, order matters most
    own, fifo = ratios("tight", known=False)[4], fifo_ratios("tight", 4)
    assert median(fifo) > 1.1
    assert all(ratio < other for ratio, other in zip(own, fifo, strict=True))


def test_estimates_of_half_of_the_units_are_better_than_none() -> None:
    none, half = ratios("tight", known=False)[4][:20], []
    for seed in SEEDS[:20]:
        work = random_work("tight", seed)
        plan = work.plan([seconds if number % 2 else None for number, seconds in enumerate(work.seconds)])
        half.append(scheduled(work, 4, plan) / work.shortest(4))
    assert median(half) < median(none)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_starts_is_exactly_the_longest_remaining_path_then_as_declared(shape: str, known: bool) -> None:
    work = random_work(shape, 0)
    plan = work.plan(work.seconds if known else [None] * UNITS)
    assert scheduled(work, 4, plan) == listed(work, 4, paths(work, work.seconds if known else [1.0] * UNITS))


# -- what ranks are --------------------------------------------------------------------------------------


def rank(plan: ExecutionPlan, name: str) -> float:
    return plan.ranks[plan.numbers[name]]


def first_started(*units: QuantumUnit) -> str:
    """The unit that a single worker takes first."""
    (first,) = Run(*units, workers=1).held.values()
    return units[first.unit].id


def test_a_long_unit_starts_before_a_chain_of_short_ones() -> None:
    units = unit("a", estimate=1.0), unit("b", "a", estimate=1.0), unit("long", estimate=3.0)
    assert first_started(*units) == "long"
    assert plan_of(*units).critical_path == ["long"]


def test_without_estimates_a_chain_starts_before_a_single_unit() -> None:
    assert first_started(unit("single"), unit("a"), unit("b", "a")) == "a"


def test_priority_comes_before_the_longest_path() -> None:
    assert first_started(unit("long", estimate=900.0), unit("urgent", estimate=1.0, priority=1)) == "urgent"


def test_a_unit_without_an_estimate_stands_beside_the_others_as_a_typical_one() -> None:
    units = unit("long", estimate=90.0), unit("some"), unit("usual", estimate=3.0), unit("short", estimate=1.0)
    plan = plan_of(*units)
    assert plan.typical == 3.0
    assert rank(plan, "short") < rank(plan, "some") == rank(plan, "usual") < rank(plan, "long")


def test_a_milestone_makes_no_path_longer() -> None:
    plan = plan_of(unit("a", estimate=2.0), milestone("half", "a"), unit("b", "half", estimate=4.0), unit("c"))
    assert rank(plan, "half") == rank(plan, "b")
    assert rank(plan, "a") == pytest.approx(1.5 * rank(plan, "b"))


def add(run: Run, adder: str, *units: QuantumUnit) -> ExecutionPlan:
    """Let a unit complete with additions; returns the scheduler's plan, which has them."""
    run.returns(adder, SUCCESS._replace(added=units))
    run.plan = run.view.plan
    return run.scheduler.plan


@pytest.mark.parametrize("first", [None, 2.0])
def test_units_that_are_added_are_ranked_as_if_they_had_always_been_there(first: float | None) -> None:
    quick, slow = unit("quick", "split", estimate=2.0), unit("slow", "split", estimate=8.0)
    parts = quick, unit("last", "quick", estimate=2.0), slow, unit("plain", "split")
    run = Run(unit("split", estimate=first))
    grown = add(run, "split", *parts)
    built = plan_of(unit("split", estimate=first), *parts)
    assert grown.typical == built.typical == 2.0
    assert list(grown.ranks[1:]) == list(built.ranks[1:]) == [2.0, 1.0, 4.0, 1.0]


def test_later_additions_are_measured_as_the_first_ones() -> None:
    run = Run(unit("a", estimate=2.0), unit("b", estimate=2.0))
    add(run, "a", unit("a1", estimate=100.0), unit("a2", estimate=100.0))
    plan = add(run, "b", unit("b1", estimate=4.0), unit("b2"))
    assert [rank(plan, name) for name in ("a1", "b1", "b2")] == [50.0, 2.0, 1.0]


def test_live_folded_and_restored_runs_rank_what_was_added_alike() -> None:
    run = Run(unit("split"), workers=1)
    parts = [unit(name, estimate=seconds) for name, seconds in (("short", 1.0), ("long", 9.0), ("middle", 5.0))]
    live = add(run, "split", *parts)
    assert run.running == {"long"}
    twin = Scheduler.restore(run.options, run.view)
    assert list(live.ranks) == list(run.view.plan.ranks) == list(twin.plan.ranks)
    assert live.typical == run.view.plan.typical == twin.plan.typical == 5.0
    for name in ("long", "middle", "short"):
        ended = UnitReturned(run.number(name), 1, SUCCESS)
        said = twin.handle(ended, run.now)
        run.succeed(name)
        assert said.effects == run.effects
