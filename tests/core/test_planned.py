"""A run before it begins: what would run when, what would not, and how more workers would change that."""

from __future__ import annotations

import re
from math import inf
from random import Random

import pytest
from benchmarks.forecast import random_case
from core_driver import COMMAND, milestone, plan_of, unit
from core_examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from qtui.core.comparing import NOTICED, compare
from qtui.core.condition import Condition
from qtui.core.forecast import Part
from qtui.core.model import CachePolicy, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.planned import Fate, Planned, attribution, plan_run, samples_of, skipped


def planned(*units: QuantumUnit, hits: tuple[str, ...] = (), **options: object) -> Planned:
    plan = plan_of(*units)
    return plan_run(plan, RunOptions(**options), hits=[plan.numbers[name] for name in hits])  # type: ignore[arg-type]


def schedule(found: Planned) -> list[tuple[str, str, float, float]]:
    """What becomes of each unit, from when to when, in order."""
    return [(found.plan.table[each.number].id, str(each.fate), each.start, each.end) for each in found.units]


# -- the schedule ----------------------------------------------------------------------------------------


def test_units_stand_in_the_order_of_their_starts() -> None:
    found = planned(
        unit("a", estimate=2), unit("b", estimate=5), milestone("m", "a"), unit("c", "m", estimate=1), workers=2
    )

    assert schedule(found) == [
        ("b", "run", 0.0, 5.0),
        ("a", "run", 0.0, 2.0),
        ("m", "milestone", inf, 2.0),
        ("c", "run", 2.0, 3.0),
    ]
    assert [found.plan.table[number].id for number in found.path] == ["b"]
    assert found.due == 3
    assert found.assumed == ()


def test_an_earlier_result_takes_no_time_and_lets_others_start() -> None:
    found = planned(unit("a", estimate=9), unit("b", "a", estimate=1), hits=("a",))
    assert schedule(found)[0] == ("a", "run", 0.0, 9.0), "only units with a cache are asked about one"

    found = planned(unit("a", estimate=9, cache=CachePolicy()), unit("b", "a", estimate=1), hits=("a",))
    assert schedule(found) == [("a", "hit", inf, 0.0), ("b", "run", 0.0, 1.0)]


def test_where_nothing_is_known_all_units_count_the_same() -> None:
    found = planned(unit("a"), unit("b", "a"), milestone("m", "b"), unit("c"), workers=1)

    assert found.told is None
    assert [name for name, *_ in schedule(found)] == ["a", "b", "m", "c"]
    assert found.assumed == ()


def test_what_never_runs_is_known_before_it_begins() -> None:
    units = [
        unit("a"),
        unit("alarm", "a", when="failure"),
        unit("chosen", "a", condition=Condition.parse("units.a.state == 'failed'", {})),
        unit("below", "chosen"),
    ]
    found = planned(*units)

    assert skipped(found.plan, found.options) == {1: "skipped", 2: "skipped", 3: "skipped"}
    causes = {found.plan.table[each.number].id: each.cause for each in found.units if each.fate is Fate.SKIP}
    assert causes == {
        "alarm": "no need has failed",
        "chosen": "its condition does not hold: units.a.state == 'failed'",
        "below": "because chosen",
    }


def test_the_run_s_timeout_cuts_what_would_take_longer() -> None:
    found = planned(unit("a", estimate=8), unit("b", "a", estimate=8), timeout=10)

    ends = {found.plan.table[each.number].id: (each.fate, each.end) for each in found.units}
    assert ends == {"a": (Fate.RUN, 8.0), "b": (Fate.RUN, 10.0)}
    assert found.units[1].cause


def test_questions_and_guesses_are_told_as_assumed() -> None:
    found = planned(
        unit("a", estimate=3),
        unit("asks", "a", confirm="really?"),
        unit("approved", confirm="really?"),
        approved=("approved",),
        adaptive=True,
    )

    assert found.assumed == (
        "1 question answered with yes",
        "nothing is known of 2 units, taken for typical ones",
        "4 workers all along, as an adaptive run begins",
    )


def test_the_same_past_gives_the_same_plan_and_many_units_get_fewer_samples() -> None:
    case = random_case(3)
    first, second = (plan_run(case.plan, case.options, case.past) for _ in range(2))
    assert first == second
    assert first.told is not None
    assert first.told.samples == 40
    assert list(map(samples_of, (1, 2_500, 5_000, 10_000, 100_000))) == [40, 40, 20, 10, 10]


# -- attribution -----------------------------------------------------------------------------------------


def test_the_attribution_is_a_sum() -> None:
    parts = [Part("critical path", 310.0), Part("pool gpu", 72.0), Part("workers", 40.0)]

    assert attribution(422.0, parts) == "7m02s = 5m10s critical path + 1m12s pool gpu + 40s workers"
    assert attribution(5.25, [Part("critical path", 5.25)]) == "5.25s = 5.25s critical path"
    assert attribution(7500.0, [Part("workers", 7200.0), Part("back-off", 300.0)]) == (
        "2h05m = 2h00m workers + 5m back-off"
    )
    assert attribution(0.0, []) == "0.00s"


@given(seed=st.integers(0, 1 << 32))
@examples(100, soak=5000)
def test_its_figures_add_up_as_they_are_written(seed: int) -> None:
    rng = Random(seed)
    parts = [Part("x", rng.uniform(0.0, 10 ** rng.uniform(-3, 5))) for _ in range(rng.randint(1, 6))]

    total, _, figures = attribution(sum(part.seconds for part in parts), parts).partition(" = ")

    assert sum(map(seconds, figures.split(" + "))) == pytest.approx(seconds(total), abs=1e-6)


def seconds(text: str) -> float:
    """How many seconds ``2h05m``, ``7m02s x`` or ``0.25s`` are."""
    return sum(
        float(number) * {"h": 3600, "m": 60, "s": 1}[sign] for number, sign in re.findall(r"([\d.]+)([hms])", text)
    )


# -- comparing -------------------------------------------------------------------------------------------


def test_a_chain_gains_nothing_from_a_second_worker() -> None:
    found = compare(planned(unit("a", estimate=2), unit("b", "a", estimate=3)), begins=4, cores=2)

    assert (found.knee, found.because, found.current) == (1, "critical path", 4)
    assert found.seconds["priority"] == {1: 5.0, 2: 5.0}


def test_the_knee_is_the_least_number_that_does_not_wait() -> None:
    found = compare(planned(*(unit(f"u{n}", estimate=10) for n in range(6)), workers=3), begins=4, cores=2)

    assert (found.knee, found.because) == (6, "critical path")
    assert found.seconds["priority"] == {1: 60.0, 2: 30.0, 3: 20.0, 4: 20.0, 6: 10.0}
    assert found.seconds["adaptive"] == {1: 60.0, 2: 30.0, 3: 20.0, 4: 20.0, 6: 20.0}, "it begins with four"


def test_a_pool_and_the_cores_are_named_where_they_are_what_counts() -> None:
    units = [unit(f"u{n}", estimate=10, pools={"gpu": 1}) for n in range(6)]
    found = compare(planned(*units, pools={"gpu": 2}), begins=4, cores=2)
    assert (found.knee, found.because) == (2, "pool gpu and critical path")

    computing = planned(*(unit(f"u{n}", estimate=10) for n in range(6)))
    found = compare(computing, begins=4, cores=2, cpu=60.0)
    assert (found.knee, found.because) == (2, "2 cores for the CPU time that is needed")
    assert found.seconds["priority"][4] == 30.0


@example(seed=352)  # of which sixteen workers take longer than eight
@given(seed=st.integers(0, 10_000))
@examples(5, soak=200)
def test_more_workers_than_the_knee_gain_nothing_and_as_it_is_now_is_what_was_told(seed: int) -> None:
    case = random_case(seed)
    found = plan_run(case.plan, case.options, case.past)
    assert found.told is not None

    told = compare(found, begins=case.options.workers, cores=4)

    times = told.seconds["priority"]
    assert times[case.options.workers] == pytest.approx(found.told.p50)
    assert times[told.knee] <= min(times.values()) * (1 + 2 * NOTICED)


def test_commands_count_as_any_other_unit() -> None:
    found = compare(planned(*(unit(f"c{n}", action=COMMAND, estimate=4) for n in range(2))), begins=8, cores=2)

    assert found.seconds["resource_balanced"] == {1: 8.0, 2: 4.0}
