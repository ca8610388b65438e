"""What a unit is expected to take where its past is that of another action, or did not come to its end; and clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from random import Random

import pytest
from core_driver import Run, plan_of, unit
from core_examples import examples
from hypothesis import assume, given
from hypothesis import strategies as st

from qtui.core.blast import blasts
from qtui.core.expecting import CUT, ESTIMATE, TYPICAL, Expectations, Expected, Took
from qtui.core.forecast import forecast
from qtui.core.model import Outcome, QuantumUnit, RetryPolicy
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRequested, SilenceReported


def expected(*units: QuantumUnit, **past: Sequence[float]) -> Mapping[str, Expected | None]:
    view = RunView.initial(plan_of(*units))
    return {each.id: found for each, found in zip(units, Expectations(view, past).each, strict=True)}


def only(**past: Sequence[float]) -> Expected:
    found = expected(unit("a"), **past)["a"]
    assert found is not None
    return found


# -- another action --------------------------------------------------------------------------------------


def test_what_another_action_took_is_a_guess_and_marked_as_one() -> None:
    same, other = only(a=[4.0]), only(a=Took([4.0], other=True))
    assert (other.middle, other.basis, other.other) == (pytest.approx(4.0), "another action", True)
    assert other.spread > same.spread
    assert not same.other
    assert only(a=Took([4.0])) == same


def test_actions_that_all_took_the_same_make_the_guess_better() -> None:
    one, many = only(a=Took([4.0], other=True)), only(a=Took([4.0, 4.1] * 8, other=True))
    assert many.basis == "16 other actions"
    assert many.spread < one.spread / 2


def test_what_another_action_took_counts_before_an_estimate_and_widens_no_other_unit() -> None:
    units = unit("a", estimate=9), unit("b")
    found = expected(*units, a=Took([4.0, 400.0], other=True), b=[1.0, 1.1])
    assert found["a"] is not None
    assert found["a"].middle == pytest.approx(40.0)
    assert found["b"] == only(a=[1.0, 1.1])


def test_what_completed_in_this_run_tells_more_of_its_family_than_what_it_did_before() -> None:
    run = Run(*[unit(f"f[{n}]", family="f") for n in range(2)], workers=1)
    run.wait(9.0)
    run.returns("f[0]", Outcome(seconds=9.0))
    same, other = (Expectations(run.view, {"f[0]": Took([1.0], other=other)}).each[1] for other in (False, True))
    assert same is not None
    assert other is not None
    assert same.middle < 1.0 < 5.0 < other.middle


# -- what was cut ----------------------------------------------------------------------------------------


def test_an_attempt_that_was_cut_counts_for_one_that_took_so_long_if_that_is_longer_than_usual() -> None:
    usual = [10.0, 11.0, 9.0]
    assert only(a=Took(usual, cut=9.5)) == only(a=usual)
    longer = only(a=Took(usual, cut=60.0))
    assert (longer.basis, longer.middle) == ("4 runs", pytest.approx(only(a=[*usual, 60.0]).middle, rel=0.1))
    assert longer.spread > 1.5 * only(a=usual).spread


@pytest.mark.parametrize(("cut", "basis"), [(3.0, ESTIMATE), (60.0, CUT)])
def test_a_unit_that_has_never_completed_is_not_expected_to_take_less_than_it_ran(cut: float, basis: str) -> None:
    found = expected(unit("a", estimate=9), a=Took(cut=cut))["a"]
    assert found is not None
    assert (found.middle, found.basis) == (max(cut, 9.0), basis)


def test_what_was_soon_canceled_tells_nothing_of_how_long_it_takes() -> None:
    found = expected(unit("a"), unit("b"), a=Took(cut=0.5), b=[30.0])["a"]
    assert found is not None
    assert found.basis == TYPICAL


def test_of_what_alone_is_known_that_it_was_cut_that_is_expected() -> None:
    found = only(a=Took(cut=60.0))
    assert (found.middle, found.basis, found.spread > 0.3) == (60.0, CUT, True)
    assert only(a=Took([4.0], other=True, cut=60.0)) == found
    assert only(a=Took([100.0], other=True, cut=60.0)) == only(a=Took([100.0], other=True))


def test_a_unit_that_is_not_there_may_have_been_cut() -> None:
    assert expected(unit("a"), gone=Took(cut=60.0)) == {"a": None}


# -- what nobody knows the end of ------------------------------------------------------------------------


def test_what_was_only_cut_has_no_known_end_once_it_is_older_than_that() -> None:
    run = Run(unit("a"))
    expected = Expectations(run.view, {"a": Took(cut=60.0)})
    assert (expected.unforeseen(59.0), expected.unforeseen(60.0)) == ({}, {0: "no earlier run completed it"})
    assert expected.middles(61.0) == [61.0]


def test_what_is_silent_and_has_never_completed_has_no_known_end() -> None:
    run = Run(unit("a", stall=5.0), unit("b", stall=5.0))
    for number in range(2):
        run.send(SilenceReported(number, 1, 0.0))
    assert Expectations(run.view, {"b": [60.0, 61.0]}).unforeseen(6.0) == {0: "no earlier run completed it"}
    run.send(SilenceReported(0, 1, None))
    assert Expectations(run.view, {"b": [60.0, 61.0]}).unforeseen(6.0) == {}


def test_what_says_how_far_it_is_is_believed_until_that_has_proved_wrong() -> None:
    run = Run(unit("a"))
    run.wait(30.0)
    run.progress("a", 50, 100)
    expected = Expectations(run.view, {"a": Took(cut=10.0)})
    assert expected.unforeseen(40.0) == {}
    assert expected.unforeseen(4000.0) == {0: "longer than it said"}


# -- clocks ----------------------------------------------------------------------------------------------

AGAIN = RetryPolicy(max=3, delay=100.0)


def lived(seed: int) -> Run:
    """A run in the middle of things: some have ended, some run, are being stopped, or wait to be tried again."""
    rng = Random(seed)
    units = [
        unit(
            f"u{n}",
            *{f"u{rng.randrange(n)}" for _ in range(rng.randint(0, min(n, 2)))},
            estimate=exp(rng.gauss(log(20), 1)) if rng.random() < 0.7 else None,
            retry=AGAIN,
            timeout=rng.choice([None, 90.0]),
        )
        for n in range(rng.randint(2, 10))
    ]
    run = Run(*units, workers=rng.randint(1, 4))
    for _ in range(rng.randint(0, 12)):
        run.wait(rng.expovariate(0.1))
        held = [run.plan.table[number].id for number in run.held]
        match rng.randrange(4) if held else 3:
            case 0:
                run.fail(rng.choice(held))
            case 1:
                run.send(CancelRequested((run.number(rng.choice(held)),)))
            case 2:
                run.returns(rng.choice(held), Outcome(seconds=rng.uniform(1, 50)))
            case _:
                pass
    assume(not run.view.state.ended)
    return run


@given(seed=st.integers(0, 1 << 32), back=st.floats(0.0, 1e4))
@examples(40, soak=2000)
def test_a_clock_that_was_set_back_changes_nothing_of_what_is_expected(seed: int, back: float) -> None:
    run = lived(seed)
    view, past = run.view, {"u0": [5.0, 6.0, 90.0], "u1": [30.0]}
    told = forecast(view, run.options, past, now=view.updated_at, samples=3)
    early = forecast(view, run.options, past, now=view.updated_at - back, samples=3)
    assert (early.at, early.p10, early.p50, early.p90) == (told.at, told.p10, told.p50, told.p90)
    assert early.parts == told.parts
    assert all(part.seconds >= 0.0 for part in early.parts)
    assert sum(part.seconds for part in early.parts) == pytest.approx(early.p50)
    assert all(end <= 0.0 for end, state in zip(early.typical.ends, view.states, strict=True) if state.ended)


@given(seed=st.integers(0, 1 << 32), back=st.floats(0.0, 1e4))
@examples(20, soak=1000)
def test_nor_of_what_an_answer_would_come_to(seed: int, back: float) -> None:
    run = lived(seed)
    request = CancelRequested((0,))
    told, early = (
        [each for each in blasts(run.view, run.options, [request], now=now) if each is not None]
        for now in (run.view.updated_at, run.view.updated_at - back)
    )
    assert early == told
