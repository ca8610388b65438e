"""What is said to have got slower, and what is noise."""

from __future__ import annotations

import pytest
from told import Told, command

from qtui.cli.slower import slower, times_of
from qtui.core.model import UnitState


def test_the_latest_run_is_compared_with_the_median_of_those_before() -> None:
    before = [{"fetch": 10.0}, {"fetch": 11.0}, {"fetch": 90.0}]

    assert slower({"fetch": 20.0}, before) == [("fetch", 11.0, 20.0)]


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (11.0, [10.0, 10.0, 10.0]),  # a tenth more
        (0.04, [0.01, 0.01, 0.01]),  # four times as long, and nobody would notice
        (99.0, [10.0, 10.0]),  # two runs say nothing
        (5.0, [10.0, 10.0, 10.0]),
    ],
)
def test_what_is_not_clear_is_not_told(now: float, before: list[float]) -> None:
    assert slower({"fetch": now}, [{"fetch": seconds} for seconds in before]) == []


def test_what_costs_most_stands_first() -> None:
    before = [{"a": 1.0, "b": 100.0}] * 3

    assert [each.family for each in slower({"a": 3.0, "b": 150.0, "new": 9.0}, before)] == ["b", "a"]


def test_only_what_ran_and_completed_has_a_time() -> None:
    shards = [command(f"embed[{n}]", family="embed") for n in range(3)]
    told = Told(*shards, command("cached"), command("bad"), command("milestone"))
    for number, shard in enumerate(shards):
        told.starts(shard.id, at=101.0).ends(shard.id, at=102.0 + number)
    told.ends("cached", cached=True).fails("bad").ends("milestone", UnitState.COMPLETED)

    assert times_of(told.view) == {"embed": 2.0}
