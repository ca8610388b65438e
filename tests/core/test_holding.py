"""Units of a batch share a worker, and are told of as such."""

from __future__ import annotations

from typing import Any

from core_driver import SUCCESS, Run, unit

from qtui.core.holding import Holders, waits_for
from qtui.core.model import ExecutionMode


def family(count: int, batch: Any, **options: Any) -> Run:
    units = [unit(f"e[{n}]", family="e", mode=ExecutionMode.PROCESS, batch=batch) for n in range(count)]
    return Run(*units, **{"workers": 2, **options})


def holders_of(run: Run) -> Holders:
    holders = Holders(run.plan, run.options)
    holders.update(run.view, run.held)
    return holders


def test_units_that_share_a_worker_count_as_one() -> None:
    run = family(10, 4)

    assert run.view.active == 8
    assert holders_of(run).busy == 2


def test_a_worker_that_is_shared_in_part_counts() -> None:
    assert holders_of(family(5, 4)).busy == 2


def test_units_that_share_none_have_one_each() -> None:
    assert holders_of(family(5, None)).busy == 2


def test_why_a_unit_waits_tells_of_workers_and_not_of_units() -> None:
    run = family(10, 4)

    assert waits_for(run.view, run.options, holders_of(run), 9) == "2 of 2 workers busy"


def test_workers_are_free_again_when_enough_of_those_who_share_have_ended() -> None:
    run = family(8, 4)
    run.succeed("e[0]", "e[1]", "e[2]", "e[3]")

    assert holders_of(run).busy == 1


def test_how_many_share_a_worker_follows_from_how_long_they_take() -> None:
    run = family(20, "auto", adaptive=True, max_workers=2)
    holders = holders_of(run)
    assert holders.busy == 2
    assert waits_for(run.view, run.options, holders, 19) == "2 of 2 process workers busy"

    run.returns("e[0]", SUCCESS._replace(seconds=0.01))
    holders.update(run.view, run.held)

    assert len(run.held) == 8
    assert holders.busy == 2
    assert waits_for(run.view, run.options, holders, 19) == "2 of 2 process workers busy"
