"""When a run will end, and why: many simulated runs beside what then comes to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from math import inf
from random import Random

import pytest
from benchmarks.forecast import SHARES, random_case, worth
from core_driver import Run, milestone, plan_of, unit
from core_examples import SOAK, examples
from hypothesis import assume, given
from hypothesis import strategies as st

from qtui.core.expecting import Expectations
from qtui.core.forecast import Forecast, forecast, forecasts, summed
from qtui.core.gains import Gain, gains
from qtui.core.model import ExecutionMode, Fallback, Outcome, QuantumUnit
from qtui.core.options import Brake, RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.simulation import Simulation
from qtui.core.state import RunView
from qtui.core.stimuli import PauseRequested

# -- what a forecast is worth ----------------------------------------------------------------------------

SEEDS = range(100 if SOAK else 24)


@pytest.mark.parametrize("share", SHARES)
def test_four_of_five_runs_end_between_the_bounds_of_a_forecast(share: float) -> None:
    found = worth(SEEDS, share)
    assert 0.70 <= found.within <= 0.95
    if share == 0.5:
        assert found.error < 0.08


# -- where all is known there is one end -----------------------------------------------------------------


def list_scheduled(plan: ExecutionPlan, workers: int) -> float:
    """The end by list scheduling: whenever a worker is free, the ready unit with the longest path before it."""
    seconds = [each.estimate or 0.0 for each in plan.table]
    tails = list(seconds)
    for number in reversed(plan.order):
        tails[number] += max((tails[fed] for fed in plan.feeds[number]), default=0.0)
    left = [len(needs) for needs in plan.needs]
    ready = sorted((-tails[number], number) for number, count in enumerate(left) if not count)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, number = heappop(ready)
            heappush(running, (now + seconds[number], number))
        now, number = heappop(running)
        for fed in plan.feeds[number]:
            left[fed] -= 1
            if not left[fed]:
                heappush(ready, (-tails[fed], fed))
    return now


@given(seed=st.integers(0, 1 << 32), workers=st.integers(1, 5))
@examples(40, soak=1000)
def test_with_estimates_alone_it_is_list_scheduling_by_the_longest_remaining_path(seed: int, workers: int) -> None:
    rng = Random(seed)
    plan = plan_of(
        *[
            unit(
                f"u{n}", *{f"u{rng.randrange(n)}" for _ in range(rng.randint(0, min(n, 3)))}, estimate=rng.uniform(1, 9)
            )
            for n in range(rng.randint(1, 30))
        ]
    )
    told = forecast(RunView.initial(plan), RunOptions(workers=workers), now=0.0)
    assert told.p50 == pytest.approx(list_scheduled(plan, workers))
    assert (told.p10, told.p90, told.samples) == (told.p50, told.p50, 1)


def test_the_same_seed_gives_the_same_forecast() -> None:
    case = random_case(1)
    view = RunView.initial(case.plan)
    assert forecast(view, case.options, case.past, now=0.0) == forecast(view, case.options, case.past, now=0.0)


def test_a_forecast_comes_early_and_becomes_better() -> None:
    case = random_case(2)
    told = [each for each in forecasts(RunView.initial(case.plan), case.options, case.past, now=0.0) if each]
    assert [each.samples for each in told] == [1, 5, 15, 40]
    assert told[-1].p10 < told[-1].p50 < told[-1].p90


# -- why it takes that long ------------------------------------------------------------------------------


def told_of(*units: QuantumUnit, **options: object) -> tuple[Forecast, ExecutionPlan, RunOptions]:
    plan, run = plan_of(*units), RunOptions(**options)  # type: ignore[arg-type]
    return forecast(RunView.initial(plan), run, now=0.0), plan, run


def parts(told: Forecast) -> dict[str, float]:
    return {part.what: part.seconds for part in told.parts}


def test_a_chain_is_its_own_critical_path() -> None:
    told, plan, _ = told_of(unit("a", estimate=2), unit("b", "a", estimate=3), unit("c", estimate=1))
    assert [plan.table[number].id for number in told.path] == ["a", "b"]
    assert parts(told) == {"critical path": 5.0}
    assert list(told.slack) == [0.0, 0.0, 4.0]


def test_a_unit_is_told_in_the_middle_of_all_cases_not_in_one_of_them() -> None:
    plan, options = plan_of(unit("a"), unit("b", "a")), RunOptions()
    told = forecast(RunView.initial(plan), options, {"a": [1, 9] * 5, "b": [5] * 9}, now=0.0)
    assert told.end_of(1) == told.p50
    assert told.begin_of(1) == told.end_of(0)
    assert told.end_of(0) == sorted(each[0] for each in told.finishes)[20] != told.typical.ends[0]


def test_what_becomes_of_a_unit_is_told_of_the_cases_in_which_it_begins() -> None:
    plan = plan_of(unit("a", timeout=10), unit("s"), unit("b", "a", "s"))
    past = {"a": [6.0, 7.0, 11.5, 8.0, 9.0, 6.0], "s": [14.0, 15.0, 14.5], "b": [1.0, 1.1]}
    told = forecast(RunView.initial(plan), RunOptions(), past, now=0.0)
    assert 0 < told.risk < 0.5
    assert told.end_of(0) <= told.end_of(1) <= told.begin_of(2) < told.end_of(2) < 17.0

    past["a"] = [11.0, 12.0, 13.0, 9.0, 12.0]
    told = forecast(RunView.initial(plan), RunOptions(), past, now=0.0)
    assert 0.5 < told.risk < 1
    assert (told.begin_of(2), told.end_of(2)) == (inf, 10.0), "it is skipped when a has no time left"


@given(seed=st.integers(0, 10_000))
@examples(10, soak=300)
def test_no_unit_begins_before_its_needs_end_or_ends_before_it_begins(seed: int) -> None:
    case = random_case(seed)
    units = [replace(each, timeout=1.5 * max(case.past[each.id])) for each in case.plan.table]
    plan = plan_of(*units)
    told = forecast(RunView.initial(plan), case.options, case.past, now=0.0, samples=6)
    for number, needs in enumerate(plan.needs):
        begin, end = told.begin_of(number), told.end_of(number)
        if begin != inf:
            assert max((told.end_of(need) for need in needs), default=0.0) <= begin + 1e-9
            assert begin <= end
        least, most = told.ends_within(number)
        assert least <= end <= most


def test_waiting_for_a_pool_is_told_apart_from_waiting_for_workers() -> None:
    gpu = [unit(f"g{n}", estimate=10, pools={"gpu": 1}) for n in range(3)]
    assert parts(told_of(*gpu, workers=8, pools={"gpu": 1})[0]) == {"pool gpu": 20.0, "critical path": 10.0}
    assert parts(told_of(*gpu, workers=1, pools={"gpu": 3})[0]) == {"workers": 20.0, "critical path": 10.0}


def test_of_a_path_only_that_is_critical_which_has_no_time_to_spare() -> None:
    units = [
        unit("a", estimate=1),
        unit("b", "a", estimate=50, pools={"gpu": 1}),
        unit("g", estimate=90, pools={"gpu": 1}),
    ]
    told, plan, _ = told_of(*units, workers=8, pools={"gpu": 1})
    assert [plan.table[number].id for number in told.path] == ["a", "b"]
    assert [plan.table[number].id for number in told.critical] == ["b"]
    chain, _, _ = told_of(unit("a", estimate=1), unit("b", "a", estimate=50))
    assert chain.critical == chain.path == (0, 1)


def test_the_time_goes_to_one_thing_after_another() -> None:
    gpu = [unit(f"g{n}", estimate=10, pools={"gpu": 1}) for n in range(2)]
    told = told_of(*gpu, unit("end", "*", estimate=5), workers=8, pools={"gpu": 1})[0]
    assert told.stretches == (("pool gpu", 10.0), ("critical path", 10.0), ("critical path", 5.0))
    assert summed(told.stretches) == told.parts == (("critical path", 15.0), ("pool gpu", 10.0))
    assert summed(told.stretches, gone=4.0) == (("critical path", 15.0), ("pool gpu", 6.0))
    assert summed(told.stretches, gone=12.0) == (("critical path", 13.0),)
    assert summed(told.stretches, gone=30.0) == ()


def test_waiting_for_a_budget_and_for_a_lane() -> None:
    heavy = [unit(f"m{n}", estimate=5, memory=3 << 30) for n in range(2)]
    assert parts(told_of(*heavy, memory=4 << 30)[0]) == {"critical path": 5.0, "memory": 5.0}
    alone = [unit(f"s{n}", estimate=5, mode=ExecutionMode.SEQUENTIAL) for n in range(2)]
    assert parts(told_of(*alone)[0]) == {"critical path": 5.0, "workers": 5.0}


def test_a_run_that_its_timeout_ends_is_made_of_what_units_wait_for_until_then() -> None:
    train = [unit(f"train{n}", "fetch", estimate=4, pools={"gpu": 1}, priority=n) for n in range(5)]
    units = [unit("fetch", estimate=1), *train, unit("eval", "train*", estimate=2)]
    told, plan, _ = told_of(*units, unit("note", "eval", when="always", estimate=1), timeout=16, pools={"gpu": 1})
    assert parts(told) == {"pool gpu": 12.0, "critical path": 5.0}
    assert told.p50 == 17.0
    assert plan.table[told.path[0]].id == "fetch"


def test_of_units_that_are_waited_for_when_time_is_up_no_second_counts_twice() -> None:
    clean = unit("clean", "a", when="always", estimate=3)
    units = [unit("a", estimate=10), clean, unit("publish", "clean", estimate=1)]
    told, plan, _ = told_of(*units, unit("notify", "publish", when="always", estimate=3), workers=1, timeout=5)
    assert parts(told) == {"critical path": 8.0, "workers": 3.0}
    assert told.p50 == 11.0
    assert [plan.table[number].id for number in told.path] == ["a", "clean", "publish", "notify"]


def test_what_a_failure_ends_followed_from_that_and_waited_for_nothing() -> None:
    told, _, _ = told_of(unit("a", estimate=5, timeout=2), unit("b", estimate=1), workers=1, keep_going=False)
    assert parts(told) == {"critical path": 2.0}
    assert told.critical[0] == 0


def test_nobody_waits_for_a_need_that_ends_later_than_the_skip() -> None:
    units = [unit("slow", estimate=9), unit("cut", estimate=8, timeout=5), unit("fin", "slow", "cut")]
    told, plan, _ = told_of(*units, unit("clean", "fin", when="always", estimate=6))
    assert [plan.table[number].id for number in told.path] == ["cut", "fin", "clean"]
    assert parts(told) == {"critical path": 11.0}
    assert told.slack[0] == 2.0


def test_a_mutex_is_told_as_one_and_has_no_slots_to_be_added() -> None:
    units = [unit(f"d{n}", estimate=3, pools={"mutex site": 1}) for n in range(3)]
    told, plan, options = told_of(*units, workers=4, pools={"mutex site": 1})
    assert parts(told) == {"mutex site": 6.0, "critical path": 3.0}
    assert [gain.what for gain in gain_of(told, plan, options)] == ["+2 workers"]


@given(seed=st.integers(0, 10_000))
@examples(30, soak=500)
def test_the_parts_are_the_whole(seed: int) -> None:
    case = random_case(seed)
    told = forecast(RunView.initial(case.plan), case.options, case.past, now=0.0, samples=1)
    assert sum(part.seconds for part in told.parts) == pytest.approx(told.p50)
    hurried = replace(case.options, timeout=told.p50 / 2, handler_timeout=told.p50 / 4)
    told = forecast(RunView.initial(case.plan), hurried, case.past, now=0.0, samples=1)
    assert sum(part.seconds for part in told.parts) == pytest.approx(told.p50)


@given(seed=st.integers(0, 10_000))
@examples(15, soak=300)
def test_a_unit_that_takes_its_slack_longer_does_not_move_the_end(seed: int) -> None:
    case = random_case(seed)
    case = case._replace(options=RunOptions(workers=case.options.workers, pools={"gpu": 999}))
    view = RunView.initial(case.plan)
    told = forecast(view, case.options, case.past, now=0.0, samples=1)
    number = Random(seed).randrange(len(case.plan))
    seconds = list(told.seconds)
    seconds[number] += told.slack[number] * 0.99
    later = Simulation(view, case.options, 0.0).run(seconds)
    assume((later.order, later.before) == (told.typical.order, told.typical.before))
    assert later.seconds == pytest.approx(told.p50)


def test_more_slots_help_where_they_are_waited_for() -> None:
    units = [unit(f"g{n}", estimate=10, pools={"gpu": 1}) for n in range(6)]
    told, plan, options = told_of(*units, workers=8, pools={"gpu": 1})
    found = [each for each in gains(RunView.initial(plan), options, told) if each]
    assert found == [Gain("+2 gpu slots", 40.0), Gain("+2 workers", 0.0)]


def test_what_people_would_have_to_do_is_said() -> None:
    run = Run(unit("a", estimate=2))
    run.send(PauseRequested())
    told = forecast(run.view, run.options, now=0.0)
    assert (told.assumed, told.questions) == (("the pause ended",), 0)


def test_a_question_that_comes_later_is_told_before_it_comes() -> None:
    run = Run(unit("a", estimate=2), unit("b", "a", estimate=3, confirm="Really?"), unit("c", confirm="Sure?"))
    told = forecast(run.view, run.options, now=0.0)
    assert (told.assumed, told.questions) == (("1 question answered with yes",), 1)


def test_a_brake_that_timeouts_are_going_to_pull_asks_too() -> None:
    units = [unit("a", estimate=9, timeout=5), unit("b", estimate=9), unit("c", "b", estimate=9)]
    assert told_of(*units, brakes={"": Brake(count=1)})[0].questions == 1


# -- time that runs out ----------------------------------------------------------------------------------


def gain_of(told: Forecast, plan: ExecutionPlan, options: RunOptions) -> list[Gain]:
    return [each for each in gains(RunView.initial(plan), options, told) if each]


def test_a_run_that_ends_in_its_timeout_is_told_and_that_more_workers_would_complete_it() -> None:
    units = [unit(f"u{n}", estimate=10) for n in range(6)]
    told, plan, options = told_of(*units, workers=1, timeout=25)
    assert (told.p50, told.incomplete, told.risk, told.times_out) == (25.0, 4, 1.0, True)
    assert told.shortfall(plan) == "4 of 6 units will not complete in time"
    (gain,) = gain_of(told, plan, options)
    assert (gain.completes, gain.incomplete, gain.would) == (4, 0, "+2 workers: all would complete")


def test_what_would_help_is_worth_less_the_later_it_comes() -> None:
    later = Gain("+2 gpu slots", 40.0).after(15.0)
    assert later is not None
    assert later.seconds == 25.0
    assert Gain("+2 gpu slots", 40.0).after(40.0) is None
    units = [unit(f"u{n}", estimate=10) for n in range(6)]
    (gain,) = gain_of(*told_of(*units, workers=1, timeout=25))
    assert gain.spare == 5.0, "three at a time, twice"
    assert gain.after(5.0) is gain
    assert gain.after(5.1) is None


def test_slots_of_a_pool_that_units_waited_for_until_the_timeout_would_help() -> None:
    units = [unit(f"g{n}", estimate=10, pools={"gpu": 1}) for n in range(6)]
    told, plan, options = told_of(*units, workers=8, timeout=15, pools={"gpu": 1})
    slots, workers = gain_of(told, plan, options)
    assert slots.would == "+2 gpu slots: 2 more would complete"  # three at a time, ten seconds each
    assert (workers.would, workers.seconds) == ("", 0.0)


def test_a_unit_that_takes_longer_than_it_may_takes_along_what_needs_it() -> None:
    units = [unit("a", estimate=9, timeout=5), unit("b", "a"), unit("c", "b"), unit("d", estimate=2)]
    told, _, _ = told_of(*units, unit("alarm", "a", when="failure", estimate=1))
    assert (told.p50, told.incomplete, told.times_out) == (6.0, 3, False)


def test_what_is_skipped_or_falls_back_in_time_is_not_missed() -> None:
    units = [unit("a", estimate=9, timeout=5, fallback=Fallback(0)), unit("alarm", "a", when="failure")]
    told, plan, _ = told_of(*units, unit("b", "a", estimate=1))
    assert (told.p50, told.incomplete, told.shortfall(plan)) == (6.0, 0, "")


def test_where_time_may_run_out_it_is_told_in_how_many_cases() -> None:
    plan, past = plan_of(unit("a")), {"a": [10.0, 14.0, 7.0, 12.0, 8.0]}
    seldom, often = (forecast(RunView.initial(plan), RunOptions(timeout=timeout), past, now=0.0) for timeout in (13, 9))
    assert 0 < seldom.risk < 0.5 < often.risk < 1
    assert (seldom.incomplete, seldom.times_out, often.incomplete, often.times_out) == (0, False, 1, True)
    assert seldom.shortfall(plan) == f"in {round(10 * seldom.risk)} of 10 cases a does not complete in time"
    assert often.shortfall(plan) == f"a may not complete in time (in {round(10 * often.risk)} of 10 cases)"
    two = plan_of(unit("a"), unit("b"))
    both = forecast(RunView.initial(two), RunOptions(timeout=11), {**past, "b": past["a"]}, now=0.0)
    assert both.shortfall(two) == f"1 of 2 units may not complete in time (in {round(10 * both.risk)} of 10 cases)"


def test_a_run_in_which_units_can_never_start_has_no_end() -> None:
    units = [unit("a", estimate=600, grace=0), unit("b", estimate=60), unit("c", "b", estimate=60)]
    run = Run(*units, workers=1, max_abandoned=0)
    run.cancel("a")
    run.returns("a", Outcome(abandoned=True))
    told = forecast(run.view, run.options, now=run.now)
    assert told.endless == 2
    (gain,) = [each for each in gains(run.view, run.options, told) if each]
    assert gain.would == "+2 workers: all would complete"


# -- what is expected of a unit --------------------------------------------------------------------------


def expected(view: RunView, past: Mapping[str, Sequence[float]] | None = None) -> dict[str, str | None]:
    each = Expectations(view, past or {}).each
    return {unit.id: found and found.basis for unit, found in zip(view.plan.table, each, strict=True)}


def test_a_units_own_past_counts_before_its_estimate_and_that_before_its_family() -> None:
    plan = plan_of(
        unit("past", estimate=9),
        unit("guessed", estimate=5),
        unit("f[1]", family="f"),
        unit("f[2]", family="f"),
        unit("new"),
        milestone("m"),
    )
    assert expected(RunView.initial(plan), {"past": [1.0, 2.0], "f[1]": [3.0]}) == {
        "past": "2 runs",
        "guessed": "its estimate",
        "f[1]": "1 run",
        "f[2]": "others of its family",
        "new": "the typical unit",
        "m": "takes no time",
    }


def test_of_units_of_which_nothing_is_known_it_says_so() -> None:
    told, _, _ = told_of(unit("a"), unit("b", "a"))
    assert (told.p50, told.unknown) == (0.0, 2)


def test_what_has_completed_in_this_run_tells_of_the_rest_of_its_family() -> None:
    run = Run(*[unit(f"f[{n}]", family="f") for n in range(3)], workers=1)
    run.now = 7.0
    run.returns("f[0]", Outcome(seconds=7.0))
    told = forecast(run.view, run.options, now=7.0)
    assert 7.0 < told.p50 < 28.0


@pytest.mark.parametrize(("done", "least", "most"), [(0.0, 390, 410), (0.1, 330, 390), (0.75, 40, 60), (0.99, 30, 33)])
def test_a_unit_that_says_how_far_it_is_is_believed_more_the_further_it_is(
    done: float, least: float, most: float
) -> None:
    run = Run(unit("a"))
    run.now = 30.0
    run.progress("a", done, 1.0)
    seconds = Expectations(run.view, {"a": [400.0, 410.0, 390.0]}).middles(30.0)[0]
    assert least <= seconds <= most


def test_of_a_unit_that_takes_longer_than_ever_nobody_knows_when_it_ends() -> None:
    run = Run(unit("a"), unit("b", "a"))
    past = {"a": [10.0, 11.0, 9.0], "b": [20.0, 21.0, 22.0]}
    expected = Expectations(run.view, past)
    assert expected.middles(5.0)[0] == pytest.approx(10.0, rel=0.1)
    assert expected.unforeseen(5.0) == {}
    assert expected.unforeseen(100.0) == {0: "longer than ever before"}
    one, other = (forecast(run.view, run.options, past, now=now) for now in (100.0, 1000.0))
    assert (one.unforeseen, one.stands) == ({0: "longer than ever before"}, True)
    assert one.p50 == pytest.approx(20.0, rel=0.2), "what comes behind it"
    assert [one.p10, one.p90] == pytest.approx([other.p10, other.p90]), "its age makes no time of it"


def test_what_is_not_waited_for_does_not_hold_up_the_end() -> None:
    run = Run(unit("late"), unit("long"))
    told = forecast(run.view, run.options, {"late": [10.0, 11.0, 9.0], "long": [900.0, 910.0]}, now=100.0)
    assert (list(told.unforeseen), told.stands) == ([0], False)
    assert told.p50 == pytest.approx(800.0, rel=0.1)


def test_how_long_others_take_says_nothing_beside_what_a_unit_says_itself() -> None:
    run = Run(unit("quick"), unit("slow"))
    run.succeed("quick")
    run.now = 43.0
    run.progress("slow", 43, 300)
    told = forecast(run.view, run.options, now=43.0)
    assert told.p50 == pytest.approx(257.0, rel=0.25)
    assert told.p90 - told.p10 > 60.0


def test_an_estimate_that_was_too_short_is_not_believed_any_more() -> None:
    run = Run(unit("a", estimate=10))
    assert forecast(run.view, run.options, now=4.0).p50 == pytest.approx(6.0)
    told = forecast(run.view, run.options, now=11.0)
    assert 0.0 < told.p10 < told.p50 < told.p90 < 20.0
    assert forecast(run.view, run.options, now=100.0).unforeseen == {0: "longer than its estimate"}


def test_equal_units_are_told_alike_and_the_mark_of_the_path_stays() -> None:
    run = Run(unit("import"), *[unit(f"index[{part}]", "import") for part in "abcd"], unit("report", "index*"))
    run.succeed("import")
    past = {f"index[{part}]": [20.0, 21.0, 19.0] for part in "abcd"} | {"report": [5.0]}
    marks = set()
    for now in (1.0, 2.5, 3.1, 7.7, 12.0):
        told = forecast(run.view, run.options, past, now=now)
        marks.add(told.critical)
        assert len({told.end_of(number) for number in range(1, 5)}) == 1
    assert len(marks) == 1


def test_units_that_have_never_completed_do_not_blow_up_the_end() -> None:
    train = [unit(f"train[{n}]", "load") for n in range(6)]
    units = [unit("load"), *train, unit("features", "load"), unit("score", "features"), unit("notify", "*")]
    past = {"load": [3.0] * 7, **{each.id: [12.0] * 7 for each in train}, "notify": [0.01] * 7}
    told = forecast(RunView.initial(plan_of(*units)), RunOptions(workers=8), past, now=0.0)
    assert 15.0 < told.p50 < 45.0
    assert told.p90 < 120.0


def test_a_unit_of_which_nothing_is_known_may_take_as_long_as_any() -> None:
    units = [unit(f"u{n}", estimate=10.0**n) for n in range(-2, 3)]
    told, _, _ = told_of(*units, unit("new", *[each.id for each in units]), workers=8)
    assert told.p10 < 105.0
    assert told.p90 > 110.0
