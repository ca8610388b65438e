"""What a request would come to, beside what then comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from benchmarks.forecast import random_case, view_after
from core_driver import COMMAND, Run, unit
from core_examples import examples
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.blast import Blast, after, blasts
from qtui.core.model import Outcome, QuantumUnit, UnitState
from qtui.core.simulation import Simulation
from qtui.core.stimuli import (
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    Request,
    RetryRequested,
    SetAsideRequested,
)


def blast_of(run: Run, request: Request, **past: Sequence[float]) -> Blast:
    found = [each for each in blasts(run.view, run.options, [request], past, now=run.now) if each is not None]
    assert len(found) == 1
    return found[0]


def names(run: Run, numbers: Sequence[int]) -> list[str]:
    return [run.view.plan.table[number].id for number in numbers]


def chain(workers: int = 2) -> Run:
    """fetch (10 s) -> clean (20 s) -> report (30 s), and lint (5 s); fetch and lint run."""
    units: list[QuantumUnit] = [
        unit("fetch", estimate=10),
        unit("clean", "fetch", estimate=20),
        unit("report", "clean", estimate=30),
        unit("lint", estimate=5),
    ]
    return Run(*units, workers=workers)


def test_to_cancel_what_runs_skips_what_needs_it_and_saves_their_time() -> None:
    run = chain()
    blast = blast_of(run, CancelRequested((run.number("fetch"),)))
    assert names(run, blast.skipped) == ["clean", "report"]
    assert (blast.again, blast.kept) == ((), 0)
    assert (blast.left, blast.added) == (pytest.approx(5.0), pytest.approx(-55.0))


def test_to_cancel_what_waits_does_so_at_once() -> None:
    run = chain()
    blast = blast_of(run, CancelRequested((run.number("clean"),)))
    assert names(run, blast.skipped) == ["report"]
    assert blast.added == pytest.approx(-50.0)


def test_to_run_again_what_completed_adds_its_time_and_that_of_what_comes_after_it() -> None:
    run = chain(workers=1)
    run.now = 10
    run.succeed("fetch")
    run.now = 30
    run.succeed("clean")
    fetch = run.number("fetch")
    alone = blast_of(run, RetryRequested((fetch,)))
    assert alone == Blast(again=(fetch,), skipped=(), kept=1, late=0, left=45.0, added=10.0)
    below = blast_of(run, RetryRequested((fetch,), "dependents"))
    assert names(run, below.again) == ["fetch", "clean"]
    assert (below.kept, below.added) == (0, pytest.approx(30.0))


def test_what_runs_beside_the_rest_adds_nothing() -> None:
    run = chain()
    run.now = 5
    run.succeed("lint")
    assert blast_of(run, RetryRequested((run.number("lint"),))).added == 0


def test_a_run_that_has_ended_takes_as_long_as_what_runs_again() -> None:
    run = chain()
    run.succeed("lint")
    run.fail("fetch")
    assert run.view.state.ended
    blast = blast_of(run, RetryRequested((run.number("fetch"),)))
    assert names(run, blast.again) == ["fetch", "clean", "report"]
    assert (blast.kept, blast.left, blast.added) == (1, 60.0, 60.0)


def test_to_do_without_a_unit_skips_what_needs_it_unless_it_counts_as_done() -> None:
    run = chain()
    clean = (run.number("clean"),)
    skipped = blast_of(run, SetAsideRequested(clean, "skip"))
    assert (names(run, skipped.skipped), skipped.added) == (["report"], pytest.approx(-50.0))
    done = blast_of(run, SetAsideRequested(clean, "done"))
    assert (done.skipped, done.added) == ((), pytest.approx(-25.0))  # report waits for a worker alone


def test_an_edit_that_frees_a_worker_sooner_changes_the_end() -> None:
    run = Run(unit("a", estimate=10, cpus=2), unit("b", estimate=10, cpus=2), workers=2, cpus=2)
    cheap = EditRequested((run.number("b"),), cpus=0)
    assert blast_of(run, cheap).added == pytest.approx(-10.0)


def test_the_end_of_a_run_comes_when_what_runs_has_ended() -> None:
    run = chain()
    drained = blast_of(run, CancelRunRequested("drain"))
    assert (drained.left, names(run, drained.skipped)) == (pytest.approx(10.0), ["clean", "report"])
    assert blast_of(run, CancelRunRequested("stop")).left == 0


def test_what_there_is_no_time_for_any_more_is_told_instead_of_a_time_that_is_not_added() -> None:
    run = Run(unit("a", estimate=10), unit("b", estimate=10), workers=1, timeout=25)
    run.now = 10
    run.succeed("a")
    blast = blast_of(run, RetryRequested((run.number("a"),)))
    assert (blast.late, blast.left, blast.added, blast.skipped) == (1, 15.0, None, ())


def test_to_do_without_one_unit_gives_the_others_the_time_they_need() -> None:
    run = Run(*(unit(name, estimate=10) for name in "abc"), workers=1, timeout=25)
    assert blast_of(run, SetAsideRequested((run.number("b"),), "skip")).late == -1
    stopped = blast_of(run, CancelRunRequested("drain"))
    assert (stopped.late, stopped.left) == (0, 10.0)


def test_what_runs_in_any_case_is_neither_skipped_nor_run_because_of_it() -> None:
    run = Run(unit("fetch", estimate=9), unit("tidy", "fetch", estimate=2, when="always"))
    blast = blast_of(run, CancelRequested((run.number("fetch"),)))
    assert (blast.again, blast.skipped, blast.left) == ((), (), 2.0)


def test_past_runs_tell_the_time_and_nothing_does_where_nothing_is_known() -> None:
    run = Run(unit("fetch"), unit("clean", "fetch"))
    cancel = CancelRequested((run.number("fetch"),))
    assert blast_of(run, cancel).added is None
    assert names(run, blast_of(run, cancel).skipped) == ["clean"]
    told = blast_of(run, cancel, fetch=[4.0] * 9, clean=[6.0] * 9)
    assert told.added == pytest.approx(-10.0, rel=0.05)


def test_nothing_of_the_view_is_changed_by_asking() -> None:
    run = chain()
    before = [unit.cpus for unit in run.view.plan.table], run.view.seq
    edited = after(run.view, run.options, EditRequested((run.number("clean"),), cpus=2), run.now)
    assert edited.plan.table[run.number("clean")].cpus == 2
    assert ([unit.cpus for unit in run.view.plan.table], run.view.seq) == before


@given(seed=st.integers(0, 1 << 32))
@examples(25, soak=1000)
def test_what_is_told_is_what_then_comes(seed: int) -> None:
    """In random runs: gone through from the view behind the request, the same units run, end so, and take as long."""
    rng = Random(seed)
    case = random_case(seed)
    view, now = view_after(case, rng.randrange(len(case.plan)))
    some = tuple(rng.sample(range(len(case.plan)), 3))
    request: Request = rng.choice(
        [CancelRequested(some), SetAsideRequested(some, "skip"), RetryRequested(some, "dependents")]
    )
    told = next(each for each in blasts(view, case.options, [request], case.past, now=now) if each is not None)
    asked = after(view, case.options, request, now)
    done = {number for number, state in enumerate(view.states) if state is UnitState.COMPLETED}
    again = {number for number, state in enumerate(asked.states) if number in done and not state.ended}
    assert again == set(told.again) & done
    assert told.left is not None
    assert told.added is not None
    usual = Simulation(view, case.options, now)
    assert told.left >= 0
    assert not usual.assumed
    if isinstance(request, RetryRequested):
        assert not told.skipped
        assert bool(told.again) == bool(set(some) & done)
    else:
        reached = isinstance(request, CancelRequested)  # what runs is not set aside
        stopped = {n for n in some if not view.states[n].ended and (reached or view.states[n] is not UnitState.RUNNING)}
        below = {fed for number in stopped for fed in view.plan.below(number)} - set(some)
        assert set(told.skipped) == {number for number in below if not view.states[number].ended}
        assert not told.again


@pytest.mark.parametrize("over", [True, False])
def test_what_a_unit_has_added_it_adds_again_and_that_runs_again(over: bool) -> None:
    run = Run(unit("seed"), *([] if over else [unit("long")]), workers=4)
    parts = [unit(f"part[{n}]", "seed", family="part") for n in range(3)]
    run.returns("seed", Outcome(added=tuple(parts)))
    run.plan = run.view.plan
    run.succeed(*(each.id for each in parts))
    found = blast_of(run, RetryRequested((run.number("seed"),)), seed=[1.0], long=[50.0])
    assert names(run, found.again) == ["seed", "part[0]", "part[1]", "part[2]"]
    assert (found.skipped, found.kept) == ((), 0)


def test_what_a_unit_does_not_add_any_more_stays_away() -> None:
    run = Run(unit("seed"), workers=4)
    run.returns("seed", Outcome(added=(unit("old", "seed"), unit("kept", "seed"))))
    run.plan = run.view.plan
    run.succeed("old", "kept")
    run.retry("seed")
    run.returns("seed", Outcome(added=(unit("kept", "seed"),)))
    run.succeed("kept")
    found = blast_of(run, RetryRequested((run.number("seed"),)), seed=[1.0])
    assert names(run, found.again) == ["seed", "kept"]


def test_how_long_other_work_takes_nobody_knows() -> None:
    run = Run(unit("a", action=COMMAND))
    run.succeed("a")
    known = blast_of(run, EditRequested((0,), timeout=5.0), a=[3.0])
    other = blast_of(run, EditRequested((0,), command="sleep 9"), a=[3.0])
    assert (known.left, other.left) == (pytest.approx(3.0, rel=0.1), None)
