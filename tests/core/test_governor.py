"""The governor: what it makes of looks at machines that are made up."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from core_machine_room import (
    COMMAND,
    GB,
    PROCESS,
    THREAD,
    Governed,
    LaneOfUnits,
    MachineRoom,
    Server,
    saturated_by,
    unlimited,
)
from hypothesis import given, settings
from hypothesis import strategies as some

from qtui.core.governor import Governor
from qtui.core.load import LaneLoad, Load
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions

SERVERS: dict[str, Server] = {
    "unlimited": unlimited,
    "16 places": saturated_by(16),
    "23 places, worse beyond": saturated_by(23, penalty=1.0),
    "4 places, worse beyond": saturated_by(4, penalty=1.0),
    "4 places": saturated_by(4),
}
COUNTS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 23, 24, 28, 32, 64)
MEASURED = 30


def threads(waits: float, server: str) -> LaneOfUnits:
    return LaneOfUnits(waits=waits, spread=0.2, server=SERVERS[server])


@cache
def best_fixed(waits: float, server: str) -> int:
    """The units that the best fixed number of workers gets done in the time of a measurement."""
    return max(fixed(lambda: threads(waits, server), THREAD, workers) for workers in COUNTS)


def fixed(lane: Callable[[], LaneOfUnits], mode: ExecutionMode, workers: int, cores: float = 2.0) -> int:
    room = MachineRoom(cores, **{mode: lane()})
    room.set(**{mode: workers})
    for _ in range(4):
        room.pass_second()
    before = room.lanes[mode].done
    for _ in range(MEASURED):
        room.pass_second()
    return room.lanes[mode].done - before


def reversals(trail: list[int]) -> int:
    """How often the direction changes: up and down again is one."""
    steps = [after > before for before, after in pairwise(trail) if after != before]
    return sum(one != other for one, other in pairwise(steps))


# -- units that wait -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("waits", [0.1, 0.26])
def test_units_that_wait_get_as_many_workers_as_get_most_done_within_20_looks(waits: float, server: str) -> None:
    governed = Governed(MachineRoom(thread=threads(waits, server)), max_workers=64)
    governed.room.set(thread=8)
    governed.look(20)
    assert governed.done_in(THREAD, MEASURED) >= 0.9 * best_fixed(waits, server)


@pytest.mark.parametrize("seed", range(4))
def test_durations_that_differ_do_not_mislead_it_much(seed: int) -> None:
    lane = LaneOfUnits(waits=0.26, spread=0.8, server=saturated_by(16, penalty=1.0))
    governed = Governed(MachineRoom(seed=seed, thread=lane), max_workers=64)
    governed.room.set(thread=8)
    governed.look(40)
    assert 12 <= governed.room.lanes[THREAD].target <= 28


def test_waiting_units_that_take_long_are_tried_with_more_workers_only_once_they_have_ended() -> None:
    governed = Governed(MachineRoom(thread=LaneOfUnits(waits=30.0)), max_workers=64)
    governed.room.set(thread=8)
    governed.look(25)
    assert governed.trail[THREAD] == [8] * 25
    governed.look(45)
    assert governed.room.lanes[THREAD].target > 8


def test_where_others_keep_the_cores_busy_it_says_what_the_units_themselves_use() -> None:
    governor = Governor(RunOptions(max_workers=64))
    lane = LaneLoad(target=8, running=8, waiting=9, ended=8, seconds=16.0, squares=32.0, cpu=0.08, runnable=0.08)
    load = Load({THREAD: lane}, cores=2.0, ours=1.98)
    causes = [wish.cause for now in range(10) for wish in governor.decide(load, float(now))]
    assert causes[0] == "8 → 16: units mostly wait (1 % of a core each), cpu 99 % by all"


def test_a_number_that_makes_everything_worse_is_given_up_before_all_its_units_have_ended() -> None:
    lane = LaneOfUnits(waits=1.0, server=saturated_by(4, penalty=1.0))
    governed = Governed(MachineRoom(thread=lane), max_workers=64)
    governed.room.set(thread=8)
    governed.look(60)
    first, given_up = governed.trail[THREAD].index(16), governed.trail[THREAD].index(12)
    one_round = 1.0 / lane.server(16)
    assert given_up - first < one_round


def test_units_of_another_kind_are_looked_at_anew() -> None:
    lane = threads(0.26, "4 places, worse beyond")
    governed = Governed(MachineRoom(thread=lane), max_workers=64)
    governed.room.set(thread=8)
    governed.look(40)
    assert governed.room.lanes[THREAD].target < 8
    lane.waits, lane.server = 0.1, unlimited
    governed.look(60)
    assert governed.room.lanes[THREAD].target == 64


def test_waiting_units_in_processes_get_more_of_them_than_there_are_cores() -> None:
    governed = Governed(MachineRoom(process=LaneOfUnits(waits=20.0)), max_workers=64)
    governed.room.set(process=2)
    governed.look(10)
    assert governed.room.lanes[PROCESS].target == 8
    assert [wish.cause for _, wish in governed.wishes][:2] == [
        "2 → 3: units wait, cpu 0 %",
        "3 → 5: units wait, cpu 0 %",
    ]


def test_units_that_wait_for_disks_all_the_time_are_not_tried_with_more_without_proof() -> None:
    governor = Governor(RunOptions(max_workers=64))
    lane = LaneLoad(target=2, running=2, waiting=9)
    for now in range(20):
        assert governor.decide(Load({PROCESS: lane}, cores=2.0, io_stalls=0.9), float(now)) == []


def test_workers_that_a_pool_leaves_without_work_are_taken_back() -> None:
    governed = Governed(MachineRoom(thread=LaneOfUnits(waits=0.3, pool=8)), max_workers=64)
    governed.room.set(thread=8)
    governed.look(20)
    assert max(governed.trail[THREAD]) == 16
    assert governed.room.lanes[THREAD].target <= 10


# -- units that compute --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 2, 4, 8])
@pytest.mark.parametrize("lane", ["process", "command", "thread"])
def test_units_that_compute_get_the_cores_also_when_they_begin_with_four_times_as_many(cores: int, lane: str) -> None:
    governed = Governed(MachineRoom(cores, **{lane: LaneOfUnits(computes=0.3)}), max_workers=64)
    governed.room.set(**{lane: 4 * cores})
    governed.look(60)
    trail = governed.trail[ExecutionMode(lane)]
    assert max(trail[3:]) <= cores + 1
    assert min(trail) >= cores


def test_the_cores_are_used_as_well_as_with_the_best_fixed_number() -> None:
    governed = Governed(MachineRoom(4, process=LaneOfUnits(computes=0.3)), max_workers=64)
    governed.room.set(process=4)
    governed.look(5)
    best = max(fixed(lambda: LaneOfUnits(computes=0.3), PROCESS, workers, 4.0) for workers in (2, 3, 4, 5, 8, 16))
    assert governed.done_in(PROCESS, MEASURED) >= 0.9 * best


def test_bursts_of_computing_units_among_waiting_ones_get_the_cores_soon() -> None:
    governed = Governed(MachineRoom(2, thread=LaneOfUnits(waits=0.2)), max_workers=64)
    lane = governed.room.lanes[THREAD]
    governed.room.set(thread=8)
    governed.look(12)
    for _ in range(2):
        lane.waits, lane.computes = 0.0, 0.2
        governed.look(20)
        assert max(governed.trail[THREAD][-8:]) <= 3
        lane.waits, lane.computes = 0.2, 0.0
        governed.look(35)
        assert governed.trail[THREAD][-1] > 16


def test_units_that_wait_and_compute_get_enough_workers_to_fill_the_cores() -> None:
    def lane() -> LaneOfUnits:
        return LaneOfUnits(waits=0.3, computes=0.1)

    governed = Governed(MachineRoom(2, thread=lane()), max_workers=64)
    governed.room.set(thread=8)
    governed.look(20)
    best = max(fixed(lane, THREAD, workers) for workers in COUNTS)
    assert governed.done_in(THREAD, MEASURED) >= 0.85 * best
    assert max(governed.trail[THREAD]) <= 20


def test_lanes_that_compute_share_the_cores() -> None:
    lanes = {"process": LaneOfUnits(computes=0.5), "command": LaneOfUnits(computes=0.5)}
    governed = Governed(MachineRoom(4, **lanes), max_workers=64)
    governed.room.set(process=4, command=16)
    governed.look(40)
    both = [sum(pair) for pair in zip(governed.trail[PROCESS], governed.trail[COMMAND], strict=True)]
    assert max(both[5:]) <= 5
    assert min(both) >= 4


def test_a_lane_that_computes_does_not_keep_one_that_waits_from_its_workers() -> None:
    lanes = {"process": LaneOfUnits(computes=0.5), "thread": LaneOfUnits(waits=0.2)}
    governed = Governed(MachineRoom(4, **lanes), max_workers=40)
    governed.room.set(process=4, thread=16)
    governed.look(20)
    assert governed.room.lanes[PROCESS].target <= 5
    assert governed.room.lanes[THREAD].target >= 32


# -- other people --------------------------------------------------------------------------------------------


def test_it_yields_to_other_people_and_comes_back() -> None:
    governed = Governed(MachineRoom(4, process=LaneOfUnits(computes=0.5)), max_workers=64)
    governed.room.set(process=4)
    governed.look(6)
    governed.room.hogs = 4
    governed.look(15)
    assert governed.room.lanes[PROCESS].target == 2
    assert "others use" in governed.wishes[0][1].cause
    governed.room.hogs = 0
    governed.look(15)
    assert governed.room.lanes[PROCESS].target >= 3


def test_however_busy_others_are_the_least_workers_stay() -> None:
    governed = Governed(MachineRoom(2, process=LaneOfUnits(computes=0.5)), min_workers=2, max_workers=64)
    governed.room.set(process=4)
    governed.room.hogs = 40
    governed.look(30)
    assert governed.room.lanes[PROCESS].target == 2


# -- memory --------------------------------------------------------------------------------------------------


def test_a_spike_of_memory_parks_workers_within_two_looks_and_they_come_back_once() -> None:
    governed = Governed(MachineRoom(thread=LaneOfUnits(waits=0.5)), max_workers=8, memory_target=12 * GB)
    governed.room.set(thread=8)
    governed.look(5)
    governed.room.filled = 13 * GB
    governed.look(2)
    assert governed.room.lanes[THREAD].target < 8
    assert governed.wishes[0][1].cause == "8 → 4: memory 88 % above 75 %"
    governed.look(10)
    assert governed.room.lanes[THREAD].target == 1
    governed.room.filled = 0
    governed.look(30)
    assert governed.room.lanes[THREAD].target == 8
    assert reversals(governed.trail[THREAD]) == 1


def test_a_little_too_much_memory_takes_a_few_workers_only() -> None:
    governor = Governor(RunOptions(memory_target=12 * GB))
    load = Load(
        {THREAD: LaneLoad(target=8, running=8, waiting=9)},
        cores=2.0,
        memory_used=12 * GB + 1,
        memory_total=16 * GB,
    )
    (wish,) = governor.decide(load, 0.0)
    assert (wish.lane, wish.target) == (THREAD, 6)


def test_while_more_run_than_may_nothing_more_is_taken() -> None:
    governor = Governor(RunOptions(memory_target=12 * GB))
    lane = LaneLoad(target=6, running=8, waiting=9)
    load = Load({THREAD: lane}, cores=2.0, memory_used=13 * GB, memory_total=16 * GB)
    assert governor.decide(load, 0.0) == []


def test_units_that_fill_the_memory_themselves_find_a_number_that_fits() -> None:
    lane = LaneOfUnits(waits=1.5, memory=2 * GB, spread=0.5)
    governed = Governed(MachineRoom(thread=lane), max_workers=32, memory_target=12 * GB)
    governed.room.set(thread=8)
    governed.look(30)
    assert reversals(governed.trail[THREAD]) <= 2
    assert 3 <= governed.trail[THREAD][-1] <= 5
    governed.look(30)
    assert max(governed.trail[THREAD][-30:]) <= 5


def test_memory_that_comes_and_goes_is_answered_with_more_and_more_patience() -> None:
    governed = Governed(MachineRoom(thread=LaneOfUnits(waits=0.5)), max_workers=8, memory_target=12 * GB)
    governed.room.set(thread=8)
    governed.look(3)
    took = []
    for _ in range(3):
        governed.room.filled = 13 * GB
        governed.look(5)
        assert governed.room.lanes[THREAD].target == 1
        governed.room.filled = 0
        looks = 0
        while governed.room.lanes[THREAD].target == 1:
            governed.look()
            looks += 1
            assert looks < 100
        governed.look(10)
        took.append(looks)
    assert took[0] < took[1] < took[2]


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ({"memory_stalls": 0.3}, "8 → 6: units wait for memory 30 % of the time"),
        ({"swapped_out": 12e6}, "8 → 6: 12 MB/s are swapped out"),
    ],
)
def test_tasks_that_wait_for_memory_take_workers_too(trouble: dict[str, float], cause: str) -> None:
    governor = Governor(RunOptions())
    load = Load({THREAD: LaneLoad(target=8, running=8, waiting=9)}, cores=2.0, **trouble)
    assert [wish.cause for wish in governor.decide(load, 0.0)] == [cause]


def test_memory_is_short_for_lanes_without_waiting_units_too() -> None:
    governor = Governor(RunOptions(memory_target=12 * GB))
    load = Load({THREAD: LaneLoad(target=8, running=8, waiting=0)}, cores=2.0, memory_used=14 * GB)
    assert governor.decide(load, 0.0)[0].target < 8


# -- what always holds ---------------------------------------------------------------------------------------


def test_nothing_is_tried_while_nothing_waits() -> None:
    governed = Governed(MachineRoom(2, process=LaneOfUnits(computes=50.0, count=8)), max_workers=64)
    governed.room.set(process=8)
    governed.look(30)
    assert governed.wishes == []


def test_a_change_by_somebody_else_is_where_it_goes_on_from() -> None:
    governed = Governed(MachineRoom(thread=LaneOfUnits(waits=0.2)), max_workers=64)
    governed.room.set(thread=8)
    governed.look(12)
    governed.room.set(thread=3)
    governed.look(2)
    assert 3 <= governed.room.lanes[THREAD].target <= 6


@pytest.mark.parametrize(
    "lane",
    [
        LaneOfUnits(waits=0.2, spread=0.5),
        LaneOfUnits(waits=0.2, spread=0.5, server=saturated_by(10, penalty=0.5)),
        LaneOfUnits(computes=0.2, spread=0.5),
        LaneOfUnits(waits=0.3, computes=0.1),
    ],
    ids=["waiting", "waiting for a server", "computing", "both"],
)
def test_a_load_that_stays_the_same_comes_to_rest(lane: LaneOfUnits) -> None:
    governed = Governed(MachineRoom(thread=lane), max_workers=64)
    governed.room.set(thread=8)
    governed.look(150)
    assert len(set(governed.trail[THREAD][-40:])) == 1


LANES = some.fixed_dictionaries(
    {
        "running": some.integers(0, 40),
        "waiting": some.sampled_from([0, 1, 1000]),
        "ended": some.integers(0, 500),
        "mean": some.floats(0.001, 30.0),
        "cpu": some.floats(0.0, 4.0),
        "runnable": some.floats(0.0, 40.0),
    }
)
MOMENTS = some.fixed_dictionaries(
    {
        "lanes": some.tuples(LANES, LANES, LANES),
        "others": some.floats(0.0, 4.0),
        "memory_used": some.integers(0, 16 * GB),
        "our_memory": some.integers(0, 16 * GB),
        "swapped_out": some.sampled_from([0.0, 0.0, 0.0, 5e6]),
        "memory_stalls": some.sampled_from([0.0, 0.0, 0.1, 0.9]),
    }
)


@settings(max_examples=100, deadline=None)
@given(
    moments=some.lists(MOMENTS, min_size=1, max_size=25),
    modes=some.sampled_from([(THREAD,), (PROCESS, THREAD), (COMMAND, PROCESS, THREAD)]),
    least=some.integers(1, 6),
    more=some.integers(0, 60),
    cores=some.sampled_from([0.5, 1.0, 2.0, 4.0]),
)
def test_whatever_it_sees_it_stays_within_the_bounds_says_why_and_decides_alike(
    moments: list[dict[str, Any]], modes: tuple[ExecutionMode, ...], least: int, more: int, cores: float
) -> None:
    most = max(least, 3) + more
    options = RunOptions(min_workers=least, max_workers=most, memory_target=12 * GB)
    one, other = Governor(options), Governor(options)
    targets = {**dict.fromkeys(modes, 1), modes[0]: most - len(modes) + 1}
    for now, moment in enumerate(moments):
        lanes = dict(zip(modes, moment["lanes"], strict=False))
        load = Load(
            {mode: lane_load(targets[mode], **facts) for mode, facts in lanes.items()},
            cores=cores,
            ours=cores / 2,
            memory_total=16 * GB,
            **{key: value for key, value in moment.items() if key != "lanes"},
        )
        wishes = one.decide(load, float(now))
        assert wishes == other.decide(load, float(now))
        for wish in wishes:
            assert wish.cause.startswith(f"{targets[wish.lane]} → {wish.target}: ")
            assert len(wish.cause.partition(": ")[2]) > 5
            targets[wish.lane] = wish.target
        assert all(target >= 1 for target in targets.values())
        assert least <= sum(targets.values()) <= most


def lane_load(target: int, *, mean: float, **facts: Any) -> LaneLoad:
    ended = facts["ended"]
    return LaneLoad(target=target, seconds=ended * mean, squares=ended * mean * mean, **facts)
