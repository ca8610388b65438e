"""A run before it begins: what would run when, what would not, and how more workers would change that."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from benchmarks.forecast import random_case
from core_driver import COMMAND, milestone, plan_of, unit
from core_examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from qtui.core.comparing import NOTICED, Cell, Comparison, compare
from qtui.core.condition import Condition
from qtui.core.model import CachePolicy, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.planned import Fate, Planned, plan_run, samples_of, skipped


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
    assert found.late == {found.plan.numbers["b"]}
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
        "2 units without estimate and earlier run taken for typical ones",
        "4 workers all along, as an adaptive run begins",
    )


def test_the_same_past_gives_the_same_plan_and_many_units_get_fewer_samples() -> None:
    case = random_case(3)
    first, second = (plan_run(case.plan, case.options, case.past) for _ in range(2))
    assert first == second
    assert first.told is not None
    assert first.told.samples == 40
    assert list(map(samples_of, (1, 2_500, 5_000, 10_000, 100_000))) == [40, 40, 20, 10, 10]


# -- comparing -------------------------------------------------------------------------------------------


def seconds(found: Comparison, strategy: str = "priority") -> dict[int, float]:
    """How long the run takes, by the number of workers."""
    return {workers: cell.seconds for workers, cell in found.cells[strategy].items()}


def test_a_chain_gains_nothing_from_a_second_worker() -> None:
    found = compare(planned(unit("a", estimate=2), unit("b", "a", estimate=3)), begins=4, cores=2)

    assert (found.knee, found.because, found.current) == (1, "critical path", 2)
    assert seconds(found) == {1: 5.0, 2: 5.0}


def test_the_knee_is_the_least_number_that_does_not_wait() -> None:
    found = compare(planned(*(unit(f"u{n}", estimate=10) for n in range(6)), workers=3), begins=4, cores=2)

    assert (found.knee, found.because) == (6, "critical path")
    assert seconds(found) == {1: 60.0, 2: 30.0, 3: 20.0, 4: 20.0, 6: 10.0}
    assert seconds(found, "adaptive") == {1: 60.0, 2: 30.0, 3: 20.0, 4: 20.0, 6: 20.0}, "it begins with four"


def test_a_pool_and_the_cores_are_named_where_they_are_what_counts() -> None:
    units = [unit(f"u{n}", estimate=10, pools={"gpu": 1}) for n in range(6)]
    found = compare(planned(*units, pools={"gpu": 2}), begins=4, cores=2)
    assert (found.knee, found.because) == (2, "pool gpu and critical path")

    computing = planned(*(unit(f"u{n}", estimate=10) for n in range(6)))
    found = compare(computing, begins=4, cores=2, cpu=60.0)
    assert (found.knee, found.because) == (2, "2 cores for the CPU time that is needed")
    assert seconds(found)[4] == 30.0


@example(seed=352)  # of which sixteen workers take longer than eight
@given(seed=st.integers(0, 10_000))
@examples(5, soak=200)
def test_more_workers_than_the_knee_gain_nothing_and_as_it_is_now_is_what_was_told(seed: int) -> None:
    case = random_case(seed)
    found = plan_run(case.plan, case.options, case.past)
    assert found.told is not None

    told = compare(found, begins=case.options.workers, cores=4)

    times = seconds(told)
    assert times[case.options.workers] == pytest.approx(found.told.p50)
    assert times[told.knee] <= min(times.values()) * (1 + 2 * NOTICED)


@example(seed=1927)  # of which three workers, as it is now, complete more than two and four
@given(seed=st.integers(0, 10_000))
@examples(10, soak=500)
def test_no_row_completes_more_than_the_knee(seed: int) -> None:
    rng = Random(seed)
    units = [
        unit(
            f"u{n}",
            *{f"u{rng.randrange(n)}" for _ in range(rng.randint(0, min(n, 2)))},
            estimate=rng.choice((1.0, 2.0, 3.0, 5.0)),
            timeout=rng.choice((None, None, None, 2.0)),
        )
        for n in range(rng.randint(3, 10))
    ]
    workers, keep_going, timeout = rng.randint(1, 7), rng.random() < 0.5, rng.choice((None, 4.0, 7.0))
    found = compare(planned(*units, workers=workers, keep_going=keep_going, timeout=timeout), begins=3, cores=4)
    cells = found.cells["priority"]
    assert found.current in cells
    assert cells[found.knee].incomplete == min(cell.incomplete for cell in cells.values())


def test_as_it_is_now_is_a_row_though_there_are_more_workers_than_units() -> None:
    found = compare(planned(unit("a", estimate=2), unit("b", estimate=3), workers=8), begins=4, cores=2)
    assert found.current == 2
    assert found.current in found.cells["priority"]


def test_commands_count_as_any_other_unit() -> None:
    found = compare(planned(*(unit(f"c{n}", action=COMMAND, estimate=4) for n in range(2))), begins=8, cores=2)

    assert seconds(found, "resource_balanced") == {1: 8.0, 2: 4.0}


def test_to_complete_more_counts_before_the_time() -> None:
    units = [unit(f"u{n}", estimate=30) for n in range(3)]
    found = compare(planned(*units, workers=1, timeout=40), begins=4, cores=2)

    assert found.cells["priority"] == {1: Cell(2, 40.0), 2: Cell(1, 40.0), 3: Cell(0, 30.0)}
    assert (found.knee, found.because) == (3, "critical path")


def test_a_unit_that_is_late_with_any_number_of_workers_moves_no_knee() -> None:
    units = [unit("late", estimate=20, timeout=10), unit("below", "late"), *(unit(f"u{n}", estimate=9) for n in "ab")]
    found = compare(planned(*units), begins=4, cores=2)

    assert {each.incomplete for each in found.cells["priority"].values()} == {2}
    assert found.knee == 3


def test_cores_that_are_too_few_for_the_time_there_is_complete_nothing() -> None:
    computing = planned(*(unit(f"u{n}", estimate=10) for n in range(6)), timeout=25)
    found = compare(computing, begins=4, cores=2, cpu=60.0)

    assert all(each.incomplete and each.seconds == 25.0 for each in found.cells["priority"].values())
    assert found.because == "2 cores for the CPU time that is needed"
