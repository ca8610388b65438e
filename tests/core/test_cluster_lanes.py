"""Which units go to a cluster, and how many of them at a time."""

from __future__ import annotations

import pytest
from core_driver import COMMAND, COROUTINE, SUCCESS, Run, plan_of, unit

from qtui.core.events import WorkersChanged
from qtui.core.forecast import forecast
from qtui.core.holding import Holders, room_words
from qtui.core.model import ExecutionMode, QuantumUnit, Shell
from qtui.core.options import RunOptions, in_its_place
from qtui.core.stimuli import GovernorRequested, LaneWorkersRequested, WorkersRequested
from qtui.core.why import Reasons

AUTO, COMMANDS, CUSTOM, THREAD = (
    ExecutionMode.AUTO,
    ExecutionMode.COMMAND,
    ExecutionMode.CUSTOM,
    ExecutionMode.THREAD,
)
ALL_ON_DASK = RunOptions(executor="dask", mode=CUSTOM)
SOME_ON_DASK = RunOptions(executor="dask")
POOLS = RunOptions(executor="pools:make", mode=CUSTOM)


def command(mode: ExecutionMode = AUTO) -> QuantumUnit:
    return unit("c", action=Shell(("true",)), mode=mode)


@pytest.mark.parametrize(
    ("mode", "options", "lane"),
    [
        (AUTO, ALL_ON_DASK, CUSTOM),
        (CUSTOM, ALL_ON_DASK, CUSTOM),
        (THREAD, ALL_ON_DASK, COMMANDS),
        (AUTO, SOME_ON_DASK, COMMANDS),
        (CUSTOM, SOME_ON_DASK, CUSTOM),
        (AUTO, POOLS, COMMANDS),
        (CUSTOM, POOLS, COMMANDS),
    ],
)
def test_commands_go_to_a_cluster_and_to_no_other_executor(
    mode: ExecutionMode, options: RunOptions, lane: ExecutionMode
) -> None:
    placed = in_its_place(command(mode), options)
    assert plan_of(placed, mode=options.mode).lanes == (lane,)
    assert in_its_place(placed, options) == placed


def test_functions_follow_their_own_mode_and_coroutines_stay_here() -> None:
    units = [unit("f", mode=AUTO), unit("t"), unit("a", action=COROUTINE, mode=AUTO)]
    assert [in_its_place(each, ALL_ON_DASK) for each in units] == units
    assert plan_of(*units, mode=CUSTOM).lanes == (CUSTOM, THREAD, ExecutionMode.ASYNC)


# -- how many at a time ------------------------------------------------------------------------------------


def on_cluster(*, far: int, near: int = 0, **options: object) -> Run:
    units = [unit(f"f{n}", action=COMMAND, mode=CUSTOM) for n in range(far)]
    units += [unit(f"n{n}", mode=THREAD) for n in range(near)]
    return Run(*units, executor="dask", **options)


def held(run: Run) -> str:
    return "".join(sorted(run.plan.table[number].id[0] for number in run.held))


def test_a_cluster_runs_as_many_units_as_it_says_and_what_runs_here_is_not_asked() -> None:
    run = on_cluster(far=9, near=4, adaptive=True, workers=2)
    assert held(run) == "ffnn"
    cause = "the cluster has 3 workers with 6 threads"
    said = run.ask(LaneWorkersRequested(CUSTOM, 6, cause))
    assert said[0] == WorkersChanged(6, cause, 0.0, "custom", 8)
    assert held(run) == "ffffffnn"
    assert run.view.lane_workers == {"custom": 6, "thread": 2}


def test_a_cluster_that_gets_smaller_starts_nothing_new() -> None:
    run = on_cluster(far=9, adaptive=True, workers=4)
    run.ask(LaneWorkersRequested(CUSTOM, 1, "the cluster has 1 worker with 1 thread"))
    run.succeed("f0", "f1", "f2")
    assert held(run) == "f"


def test_a_person_decides_for_the_cluster_too_until_the_number_is_given_back() -> None:
    run = on_cluster(far=9, adaptive=True, workers=2)
    run.ask(WorkersRequested(3))
    assert run.ask(LaneWorkersRequested(CUSTOM, 8, "the cluster has 8 threads")) == []
    assert held(run) == "fff"
    run.ask(GovernorRequested(True))
    run.ask(LaneWorkersRequested(CUSTOM, 8, "the cluster has 8 threads"))
    assert held(run) == "f" * 8


@pytest.mark.parametrize(("address", "first"), [(None, 2), ("tcp://head:8786", 6)])
def test_a_cluster_that_is_made_here_begins_with_the_cores_of_this_machine(address: str | None, first: int) -> None:
    run = on_cluster(far=9, adaptive=True, workers=6, cpus=1.5, address=address)
    assert run.view.lane_workers == {"custom": first}


def test_a_fixed_number_stays_whatever_the_cluster_has() -> None:
    run = on_cluster(far=9, workers=3)
    assert run.ask(LaneWorkersRequested(CUSTOM, 8, "the cluster has 8 threads")) == []
    assert held(run) == "fff"


def test_the_most_workers_are_the_most_of_a_cluster_too() -> None:
    run = on_cluster(far=9, adaptive=True, workers=2, max_workers=5)
    run.ask(LaneWorkersRequested(CUSTOM, 400, "the cluster has 400 threads"))
    assert held(run) == "f" * 5


def test_what_waits_for_the_cluster_has_no_worker_and_what_it_takes_is_no_number_of_workers() -> None:
    run = on_cluster(far=5, adaptive=True, workers=3)
    run.begins("f0")
    holders, reasons = Holders(run.plan, run.options), Reasons(run.plan, run.options)
    holders.update(run.view, run.held)
    reasons.update(run.view)

    assert (holders.busy, holders.waiting) == (3, 2)
    assert reasons.words(1, run.now) == "waits for the cluster"
    assert reasons.words(4, run.now) == "the cluster takes 3 units at a time"
    assert holders.share("lane custom").words == "has 3, takes 3 at a time"
    run.ask(LaneWorkersRequested(CUSTOM, 1, "follow the cluster: 1 thread of 1 worker"))
    reasons.update(run.view)
    assert reasons.words(4, run.now) == "the cluster takes 1 unit at a time, and has 3"


@pytest.mark.parametrize("fixed", [False, True])
def test_while_a_cluster_has_no_workers_that_is_the_cause_and_the_end_has_a_condition(fixed: bool) -> None:
    run = on_cluster(far=4, near=1, adaptive=not fixed, workers=3)
    before = run.view.lane_workers
    gone = "wait: the cluster has no workers"
    assert [type(event) for event in run.ask(LaneWorkersRequested(CUSTOM, 0, gone))] == [WorkersChanged]
    run.wait(5.0)

    assert run.view.unmanned_at == run.now - 5.0
    assert run.view.lane_workers == before, "as many as before are sent, and begin as soon as a worker comes"
    reasons = Reasons(run.plan, run.options)
    reasons.update(run.view)
    sent = [number for number in run.held if run.plan.lanes[number] is CUSTOM]
    assert {reasons.words(number, run.now) for number in sent} == {"the cluster has no workers"}
    if not fixed:
        assert reasons.words(run.number("f3"), run.now) == "the cluster has no workers"
    assert forecast(run.view, run.options, now=run.now).assumed == ("a worker of the cluster there",)

    assert run.ask(LaneWorkersRequested(THREAD, 3, "cpu 2 % idle")) == [], "that is about another lane"
    again = "go on, as the cluster has workers again after 5 s: 3 threads of 1 worker"
    told = run.ask(LaneWorkersRequested(CUSTOM, 3, again))
    assert [event.cause for event in told if isinstance(event, WorkersChanged)] == [again]
    assert run.view.unmanned_at is None
    assert run.view.lane_workers == before
    assert run.ask(LaneWorkersRequested(CUSTOM, 3, "follow the cluster: 3 threads of 1 worker")) == []


def test_once_all_that_was_to_run_there_has_ended_nothing_waits_for_a_worker() -> None:
    run = on_cluster(far=1, near=1, adaptive=True, workers=3)
    run.ask(LaneWorkersRequested(CUSTOM, 0, "wait: the cluster has no workers"))
    assert run.view.awaits_cluster
    run.succeed("f0")
    assert not run.view.awaits_cluster


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ({}, "260 workers"),
        ({"thread": 1}, "1 worker"),
        ({"thread": 4, "command": 4}, "8 workers"),
        ({"custom": 4}, "a cluster"),
        ({"custom": 4, "thread": 4}, "4 workers and a cluster"),
    ],
)
def test_coroutines_and_what_a_cluster_takes_are_not_told_as_workers(lanes: dict[str, int], words: str) -> None:
    assert room_words(260, lanes) == words
    assert room_words(260, lanes, cluster=True) == words.replace("260 workers", "260 units at a time")


def test_another_executor_has_no_target_of_its_own() -> None:
    run = Run(unit("f", mode=CUSTOM), executor="pools:make", adaptive=True, workers=2)
    assert run.view.lane_workers == {}
    assert run.ask(LaneWorkersRequested(CUSTOM, 8, "it has 8 threads")) == []


def test_a_plan_that_grows_into_the_cluster_has_a_target_for_it() -> None:
    run = Run(unit("n"), executor="dask", adaptive=True, workers=2)
    run.returns("n", SUCCESS._replace(added=(unit("f", action=COMMAND, mode=CUSTOM),)))
    assert run.view.lane_workers == {"custom": 2, "thread": 2}
