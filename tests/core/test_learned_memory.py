"""What units of a family have used holds the others back until there is as much memory."""

from __future__ import annotations

from typing import Any

from core_driver import SUCCESS, Run, unit

from qtui.core.stimuli import RetryRequested
from qtui.core.why import Reasons

MB = 1 << 20


def family(count: int, **options: Any) -> Run:
    units = [unit(f"embed[{n}]", family="embed") for n in range(count)]
    return Run(*units, **{"adaptive": True, "workers": 4, "memory_target": 1000 * MB, **options})


def ends(run: Run, name: str, megabytes: int) -> None:
    run.returns(name, SUCCESS._replace(peak_memory=megabytes * MB))


def test_the_first_end_of_a_family_tells_how_many_may_run() -> None:
    run = family(9)
    assert len(run.held) == 4
    ends(run, "embed[0]", 390)
    assert run.view.peaks == {"embed": 400 * MB}
    assert len(run.held) == 3, "those that run go on"
    ends(run, "embed[1]", 390)
    ends(run, "embed[2]", 390)
    assert len(run.held) == 2


def test_a_family_that_needs_more_than_there_is_runs_one_by_one() -> None:
    run = family(4)
    ends(run, "embed[0]", 5000)
    ends(run, "embed[1]", 10)
    ends(run, "embed[2]", 10)
    assert len(run.held) == 1


def test_little_memory_is_not_counted() -> None:
    run = family(9)
    ends(run, "embed[0]", 63)
    assert run.view.peaks == {}
    assert len(run.held) == 4


def test_what_a_unit_declares_goes_before_what_others_have_used() -> None:
    run = Run(
        *(unit(f"e[{n}]", family="e", memory=100 * MB) for n in range(9)),
        workers=4,
        adaptive=True,
        memory_target=1000 * MB,
    )
    ends(run, "e[0]", 900)
    assert run.view.peaks == {}
    assert len(run.held) == 4


def test_a_single_unit_is_expected_to_use_as_much_when_it_runs_again() -> None:
    run = Run(unit("a"), unit("b"), adaptive=True, workers=4, memory_target=500 * MB)
    ends(run, "a", 400)
    ends(run, "b", 400)
    run.send(RetryRequested((0, 1)))
    assert len(run.held) == 1


def test_a_run_with_fixed_workers_and_no_limit_waits_for_no_memory() -> None:
    run = family(9, adaptive=False)
    ends(run, "embed[0]", 5000)
    assert len(run.held) == 4


def test_why_a_unit_waits_is_told() -> None:
    run = family(3, workers=2)
    ends(run, "embed[0]", 900)
    reasons = Reasons(run.plan, run.options)
    reasons.update(run.view)
    assert reasons.words(2, run.now) == "held by embed[1] (memory: wants 912M, 88M of 1000M free)"
