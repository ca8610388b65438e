"""What is told to be worse than before, and what is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from core_driver import Run, unit

from qtui.core.model import CachePolicy, Fallback, Outcome, RetryPolicy, UnitError
from qtui.core.regress import Regressions, regressions
from qtui.core.stimuli import CacheChecked

MB, GB = 1 << 20, 1 << 30
AGAIN = RetryPolicy(max=9, delay=0.0)


@dataclass
class Before:
    """Completions of a unit; runs begin at 0, so these have ended at -n ... -1."""

    seconds: Sequence[float] = ()
    attempts: Sequence[int] = ()
    peaks: Sequence[int] = ()
    alike: Sequence[bool] = ()

    def __post_init__(self) -> None:
        runs = max(len(self.seconds), len(self.attempts), len(self.peaks))
        self.ended: Sequence[float] = [float(n - runs) for n in range(runs)]
        self.seconds, self.attempts = self.seconds or [1.0] * runs, self.attempts or [1] * runs
        self.peaks, self.alike = self.peaks or [0] * runs, self.alike or [True] * runs


def worse(run: Run, **pasts: Before) -> Regressions:
    return regressions(run.view, run.options, pasts)


def took(seconds: float) -> Run:
    """A run in which `a` took so long."""
    run = Run(unit("a"))
    run.wait(seconds)
    run.returns("a", Outcome(seconds=seconds))
    return run


# -- slower ----------------------------------------------------------------------------------------------


def test_a_unit_above_the_p90_of_its_past_is_slower_and_the_evidence_is_there() -> None:
    before = Before([120.0, 150.0, 125.0, 118.0, 130.0, 122.0, 128.0, 119.0, 127.0])

    assert worse(took(252.0), a=before).slower == (("a", 252.0, 125.0, 150.0, 9),)


def test_one_that_once_took_long_does_not_hide_that_it_always_does_now() -> None:
    before = Before([10.0] * 9 + [90.0])

    assert worse(took(20.0), a=before).slower == (("a", 20.0, 10.0, 10.0, 10),)


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (12.0, [10.0, 10.0, 10.0]),  # a fifth more
        (1.4, [1.0, 1.0, 1.0]),  # much more, and hardly anybody would notice
        (99.0, [10.0, 10.0]),  # two runs say nothing
        (20.0, [10.0, 10.0, 19.0]),  # it took as long before
        (5.0, [10.0, 10.0, 10.0]),
    ],
)
def test_what_is_not_clear_is_not_told(now: float, before: list[float]) -> None:
    assert not any(worse(took(now), a=Before(before)))


def test_the_run_itself_and_later_ones_are_not_its_past() -> None:
    run, before = took(20.0), Before([10.0] * 3 + [20.0] * 5)
    before.ended = [-3.0, -2.0, -1.0, 20.0, 30.0, 40.0, 50.0, 60.0]

    assert worse(run, a=before).slower == (("a", 20.0, 10.0, 10.0, 3),)


def test_runs_in_which_the_unit_did_something_else_are_no_measure_of_its_time() -> None:
    edited = Before([3.0] * 9, alike=[False] * 9)
    assert not any(worse(took(9.0), a=edited))

    again = Before([3.0, 9.0, 3.0, 9.0, 3.0], alike=[True, False] * 2 + [True])
    assert worse(took(9.0), a=again).slower == (("a", 9.0, 3.0, 3.0, 3),)


def test_what_costs_most_stands_first() -> None:
    run = Run(unit("a"), unit("b"), unit("new"), workers=3)
    for name, seconds in (("a", 3.0), ("b", 150.0), ("new", 150.0)):
        run.returns(name, Outcome(seconds=seconds))

    told = worse(run, a=Before([1.0] * 3), b=Before([100.0] * 3)).slower
    assert [each.unit for each in told] == ["b", "a"]


def test_only_what_completed_by_itself_is_compared() -> None:
    run = Run(unit("bad"), unit("made", fallback=Fallback(1)), workers=2)
    for name in ("bad", "made"):
        run.returns(name, Outcome(error=UnitError("ValueError", "went wrong"), seconds=100.0))

    assert not any(worse(run, bad=Before([1.0] * 3), made=Before([1.0] * 3)))


# -- flaky -----------------------------------------------------------------------------------------------


def tried(times: int) -> Run:
    """A run in which `a` completed at that try."""
    run = Run(unit("a", retry=AGAIN))
    for _ in range(times - 1):
        run.fail("a")
        run.wait(1.0)
    run.succeed("a")
    return run


def test_what_completed_after_retries_is_flaky_with_how_often_that_was() -> None:
    assert worse(tried(3), a=Before(attempts=[1, 2, 1, 4])).flaky == (("a", 3, 3, 5),)
    assert worse(tried(2)).flaky == (("a", 2, 1, 1),)


def test_what_was_flaky_in_earlier_runs_is_known_but_no_news_of_this_one() -> None:
    found = worse(tried(1), a=Before(attempts=[2, 1, 2, 1]))

    assert found.flaky == (("a", 1, 2, 5),)
    assert not any(found.here)
    assert not any(worse(tried(1), a=Before(attempts=[2, 1, 1, 1]))), "once is no habit"


def test_what_was_flaky_in_this_run_stands_before_what_mostly_was() -> None:
    run = Run(*(unit(name, retry=AGAIN) for name in "abc"), workers=3)
    run.fail("b")
    run.wait(1.0)
    run.succeed("a", "b", "c")
    often, always, seldom = Before(attempts=[1, 2, 2]), Before(attempts=[2, 2, 2]), Before(attempts=[1, 1, 1])

    assert [each.unit for each in worse(run, a=often, b=seldom, c=always).flaky] == ["b", "c", "a"]


def test_tries_before_a_person_had_it_run_again_do_not_count() -> None:
    run = tried(3)
    run.retry("a")
    run.succeed("a")

    assert not any(worse(run))


# -- cache -----------------------------------------------------------------------------------------------


def missed(reason: str, *names: str, unchanged: bool = True) -> Run:
    run = Run(*(unit(name, cache=CachePolicy()) for name in names), workers=9)
    for number in range(len(names)):
        run.send(CacheChecked(number, 1, False, reason, unchanged))
    run.wait(1.0)
    run.succeed(*names)
    return run


def test_misses_without_a_change_are_told_by_reason_if_the_unit_completed_before() -> None:
    run = missed("the cache cannot be used", "a", "b", "new")

    assert worse(run, a=Before([1.0]), b=Before([1.0])).missed == ((("a", "b"), "the cache cannot be used"),)
    assert not any(worse(missed("input x changed", "a", unchanged=False), a=Before([1.0])))


def test_the_reason_that_most_units_have_stands_first() -> None:
    run = Run(*(unit(name, cache=CachePolicy()) for name in "abc"), workers=9)
    for number, reason in enumerate(("gone", "damaged", "damaged")):
        run.send(CacheChecked(number, 1, False, reason, unchanged=True))

    assert [each.reason for each in worse(run, **dict.fromkeys("abc", Before([1.0]))).missed] == ["damaged", "gone"]


# -- memory ----------------------------------------------------------------------------------------------


def killed(peak: int, code: int = 137, declared: int = 0, **options: Any) -> Run:
    run = Run(*(unit(f"grid[n={n}]", family="grid", memory=declared) for n in (1, 2)), **{"workers": 1, **options})
    for name in ("grid[n=1]", "grid[n=2]"):
        run.wait(1.0)
        run.returns(name, Outcome(error=UnitError("exit", f"exit {code}", exit_code=code), peak_memory=peak))
    return run


@pytest.mark.parametrize("code", [137, -9])
def test_what_was_killed_gets_a_suggestion_for_its_family(code: int) -> None:
    peak = int(3.9 * GB)

    assert worse(killed(peak, code)).killed == ((("grid[n=1]", "grid[n=2]"), peak, 4 * GB, False),)
    assert worse(killed(peak, code, declared=GB // 2)).killed[0].suggested == 4 * GB


def test_a_suggestion_counts_where_memory_has_a_budget_and_is_never_more_than_that() -> None:
    def suggested(limit: int) -> tuple[int, bool]:
        (told,) = worse(killed(700 * MB, memory=limit)).killed
        return told.suggested, told.budgeted

    assert suggested(8 * GB) == (704 * MB, True)
    assert suggested(600 * MB + 17) == (600 * MB, True)


def test_without_a_peak_of_its_own_that_of_earlier_runs_counts() -> None:
    known = {"grid[n=1]": Before(peaks=[100 * MB, 300 * MB, 0])}

    run = killed(0)
    assert regressions(run.view, run.options, known).killed[0].peak == 300 * MB
    assert not any(worse(run)), "nobody knows how much it used"


def test_the_family_that_used_most_stands_first_also_where_a_fallback_hides_its_end() -> None:
    run = Run(unit("small"), unit("large", fallback=Fallback(1)), workers=2)
    for name, peak in (("small", 100 * MB), ("large", GB)):
        run.returns(name, Outcome(error=UnitError("exit", "exit 137", exit_code=137), peak_memory=peak))

    assert [each.units for each in worse(run).killed] == [("large",), ("small",)]


def test_other_failures_and_what_has_declared_as_much_get_none() -> None:
    assert not any(worse(killed(GB, code=3)))
    assert not any(worse(killed(GB, declared=2 * GB)))
