"""Units of a batch share a worker, and are told of as such."""

from __future__ import annotations

from typing import Any

from core_driver import SUCCESS, Run, unit

from qtui.core.holding import Holders
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.why import Reasons


def family(count: int, batch: Any, **options: Any) -> Run:
    units = [unit(f"e[{n}]", family="e", mode=ExecutionMode.PROCESS, batch=batch) for n in range(count)]
    return Run(*units, **{"workers": 2, **options})


def holders_of(run: Run) -> Holders:
    holders = Holders(run.plan, run.options)
    holders.update(run.view, run.held)
    return holders


def words(run: Run, number: int) -> str:
    reasons = Reasons(run.plan, run.options)
    reasons.update(run.view)
    return reasons.words(number, run.now)


def test_units_that_share_a_worker_count_as_one() -> None:
    run = family(10, 4)

    assert run.view.active == 8
    assert holders_of(run).busy == 2


def test_a_worker_that_is_shared_in_part_counts() -> None:
    assert holders_of(family(5, 4)).busy == 2


def test_units_that_share_none_have_one_each() -> None:
    assert holders_of(family(5, None)).busy == 2


def test_why_a_unit_waits_tells_of_workers_and_not_of_units() -> None:
    assert words(family(10, 4), 9) == "2 of 2 workers busy"


def test_workers_are_free_again_when_enough_of_those_who_share_have_ended() -> None:
    run = family(8, 4)
    run.succeed("e[0]", "e[1]", "e[2]", "e[3]")

    assert holders_of(run).busy == 1


def test_how_many_share_a_worker_follows_from_how_long_they_take() -> None:
    run = family(20, "auto", adaptive=True, max_workers=2)
    holders = holders_of(run)
    assert holders.busy == 2
    assert words(run, 19) == "2 of 2 process workers busy"

    run.returns("e[0]", SUCCESS._replace(seconds=0.01))
    holders.update(run.view, run.held)

    assert len(run.held) == 8
    assert holders.busy == 2
    assert words(run, 19) == "2 of 2 process workers busy"


def test_a_share_tells_what_is_in_use_of_what_there_is_and_by_whom() -> None:
    units = [
        QuantumUnit(id="a", pools={"gpu": 2}, memory=3 << 30, cpus=1.5),
        QuantumUnit(id="b", pools={"gpu": 1}),
        QuantumUnit(id="c", pools={"mutex site": 1}),
    ]
    options = RunOptions(pools={"gpu": 2}, memory=4 << 30, cpus=4)
    plan = ExecutionPlan.build(units)
    holders, view = Holders(plan, options), RunView.initial(plan)
    holders.update(view, [0, 2])
    assert [(share.limit, share.words, share.holders) for share in holders.shares] == [
        ("pool gpu", "2 of 2 in use", ("a",)),
        ("mutex site", "1 of 1 in use", ("c",)),
        ("cpus", "1.5 of 4 in use", ("a",)),
        ("memory", "3,072M of 4,096M in use", ("a",)),
    ]
    (wanted,) = holders.wanted(1)
    assert wanted.wanted_words == ""
    assert [share.wanted_words for share in holders.wanted(0)] == ["wants 2", "wants 1.5", "wants 3,072M"]
