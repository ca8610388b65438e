"""How many units run at a time: a person says, or the governor does, lane by lane."""

from __future__ import annotations

from core_driver import COMMAND, COROUTINE, Run, unit

from qtui.core.events import GovernorChanged, Warned, WorkersChanged
from qtui.core.model import ExecutionMode
from qtui.core.stimuli import GovernorRequested, LaneWorkersRequested, WorkersRequested, WorkersStepRequested

THREAD, PROCESS, COMMANDS = ExecutionMode.THREAD, ExecutionMode.PROCESS, ExecutionMode.COMMAND


def wide(*, threads: int = 0, processes: int = 0, commands: int = 0, coroutines: int = 0, **options: object) -> Run:
    """A run of units that all may start at once."""
    units = [unit(f"t{n}") for n in range(threads)]
    units += [unit(f"p{n}", mode=PROCESS) for n in range(processes)]
    units += [unit(f"c{n}", action=COMMAND) for n in range(commands)]
    units += [unit(f"a{n}", action=COROUTINE) for n in range(coroutines)]
    return Run(*units, **options)


def running(run: Run) -> dict[str, int]:
    """How many units of each lane hold a worker, by the first letter of their names."""
    names = [run.plan.table[number].id[0] for number in run.held]
    return {name: names.count(name) for name in sorted(set(names))}


def test_a_fixed_number_of_workers_is_for_all_lanes_together() -> None:
    run = wide(threads=3, processes=3, commands=3, workers=4)
    assert sum(running(run).values()) == 4
    assert not run.view.governed
    assert run.view.lane_workers == {}


def test_an_adaptive_run_begins_with_its_workers_for_each_lane_and_a_process_for_each_core() -> None:
    run = wide(threads=9, processes=9, commands=9, adaptive=True, workers=4, cpus=2.0)
    assert running(run) == {"c": 4, "p": 2, "t": 4}
    assert run.view.workers == 10
    assert run.view.lane_workers == {"command": 4, "process": 2, "thread": 4}


def test_coroutines_of_an_adaptive_run_are_as_many_as_may_be() -> None:
    run = wide(coroutines=30, threads=9, adaptive=True, workers=2, max_async=20)
    assert running(run) == {"a": 20, "t": 2}


def test_all_lanes_together_stay_within_the_most() -> None:
    run = wide(threads=9, commands=9, adaptive=True, workers=4, max_workers=6)
    assert sum(running(run).values()) == 6


def test_who_asks_for_more_workers_than_may_be_is_told_how_many_those_are() -> None:
    run = wide(threads=9, workers=4, max_workers=4)
    assert run.send(WorkersStepRequested(1)) == [Warned(-1, "no more workers: 4 is max_workers", 0.0)]
    run.send(WorkersStepRequested(-1))
    assert run.view.workers == 3
    alone = wide(threads=9, mode=ExecutionMode.SEQUENTIAL)
    (said,) = alone.send(WorkersRequested(2))
    assert isinstance(said, Warned) and "in mode sequential units run one at a time" in said.message


def test_the_governor_moves_one_lane_and_says_why() -> None:
    run = wide(threads=9, processes=9, adaptive=True, workers=4, cpus=2.0)
    assert run.send(LaneWorkersRequested(THREAD, 6, "4 → 6: units wait, cpu 35 %"))[0] == WorkersChanged(
        6, "4 → 6: units wait, cpu 35 %", 0.0, "thread", 8
    )
    assert running(run) == {"p": 2, "t": 6}


def test_a_lane_with_less_workers_lets_its_units_end_and_starts_none() -> None:
    run = wide(threads=9, processes=9, adaptive=True, workers=4, cpus=2.0)
    run.send(LaneWorkersRequested(THREAD, 2, "4 → 2: memory 83 % above 75 %"))
    run.succeed("t0", "t1")
    assert running(run) == {"p": 2, "t": 2}
    run.succeed("t2")
    assert running(run) == {"p": 2, "t": 2}


def test_the_governor_stays_within_the_bounds() -> None:
    run = wide(threads=9, adaptive=True, workers=4, min_workers=2, max_workers=6)
    run.send(LaneWorkersRequested(THREAD, 0, "less"))
    assert run.view.lane_workers == {"thread": 2}
    run.send(LaneWorkersRequested(THREAD, 99, "more"))
    assert run.view.lane_workers == {"thread": 6}


def test_a_wish_of_the_governor_that_changes_nothing_is_no_event() -> None:
    run = wide(threads=9, adaptive=True, workers=4)
    assert run.send(LaneWorkersRequested(THREAD, 4, "as it is")) == []
    assert run.send(LaneWorkersRequested(COMMANDS, 4, "a lane that nobody uses")) == []


def test_a_person_takes_over_and_the_governor_has_no_say() -> None:
    run = wide(threads=9, processes=9, adaptive=True, workers=4, cpus=2.0)
    said = run.send(WorkersRequested(5))
    assert [type(event) for event in said] == [GovernorChanged, WorkersChanged]
    assert run.view.lane_workers == {}
    assert run.send(LaneWorkersRequested(THREAD, 9, "more")) == []
    run.succeed("t0", "t1")
    assert sum(running(run).values()) == 5


def test_a_person_who_takes_over_lets_any_lane_have_every_worker() -> None:
    run = wide(processes=9, adaptive=True, workers=4, cpus=2.0)
    assert running(run) == {"p": 2}
    run.send(WorkersStepRequested(2))
    assert running(run) == {"p": 4}


def test_a_person_steps_from_what_the_governor_decided_and_not_from_the_room_for_coroutines() -> None:
    run = wide(threads=9, coroutines=300, adaptive=True, workers=4)
    assert run.view.workers == 4 + 256
    run.send(WorkersStepRequested(-1))
    assert run.view.workers == 3


def test_a_person_gives_back_and_lanes_have_their_targets_again() -> None:
    run = wide(threads=9, processes=9, workers=6, cpus=2.0)
    said = run.send(GovernorRequested(True, "given back by you"))
    assert said[0] == GovernorChanged(True, "given back by you", 0.0)
    assert run.view.governed
    assert run.view.lane_workers == {"process": 2, "thread": 6}
    assert run.send(GovernorRequested(True)) == []


def test_what_runs_counts_for_the_lanes_when_the_governor_takes_over() -> None:
    run = wide(processes=9, workers=4, cpus=2.0)
    run.send(GovernorRequested(True))
    run.succeed("p0", "p1")
    assert running(run) == {"p": 2}
    run.succeed("p2")
    assert running(run) == {"p": 2}


def test_a_person_may_leave_it_as_it_is() -> None:
    run = wide(threads=9, adaptive=True, workers=4)
    assert run.send(GovernorRequested(False, "left by you")) == [GovernorChanged(False, "left by you", 0.0)]
    assert run.view.workers == 4
