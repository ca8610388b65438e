"""What is known of a unit's past, whatever becomes of its name and of what it does."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.store.history import Completions, History, RunSummary
from qtui.store.pasts import LAST, MOST, Completion, Cut, Row, UnitPast, after, pasts_of

W = "/work/flow.toml"

Workflow = dict[str, str]
"""Units and what they do."""


def completions_of(workflow: Workflow, failed: tuple[str, ...], at: float, took: float) -> Completions:
    done = {unit: Completion(hash_, at, took) for unit, hash_ in workflow.items() if unit not in failed}
    return Completions(done, [hash_ for unit, hash_ in workflow.items() if unit in failed])


class Runs:
    """A history in which run after run is told."""

    def __init__(self, place: Path) -> None:
        self.history = History(place, pytest.fail)
        self.told: list[tuple[RunSummary, Completions]] = []

    def run(self, workflow: Workflow, *failed: str, at: float | None = None, seconds: float | None = None) -> float:
        """One run of the workflow; units take as many seconds as the run has as a number. Returns that."""
        number = float(len(self.told) + 1)
        took = number if seconds is None else seconds
        completions = completions_of(workflow, failed, at if at is not None else 100 * number, took)
        summary = RunSummary(
            run=f"r{number:g}", name="flow", source=W, directory="/", began=100 * number - 50, ended=100 * number
        )
        self.told.append((summary, completions))
        self.tell(summary, completions)
        return number

    def tell(self, summary: RunSummary, completions: Completions) -> None:
        self.history.begin(summary.run, "flow", W, "/", summary.began)
        self.history.end(summary.run, "completed", 0, {}, summary.ended or 0.0, 50.0, completions)

    def seconds(self, workflow: Workflow) -> dict[str, tuple[float, ...]]:
        return {unit: past.seconds for unit, past in self.history.past(W, workflow).items()}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_all_that_is_known_of_a_completion_is_told_again(runs: Runs) -> None:
    first = Completion("h", at=1000.25, seconds=0.1, peak=3 << 40, cpu=0.3, attempts=2)
    second = Completion("h", at=2000.5, seconds=0.7, peak=4097, cpu=1e-6, attempts=70_000)
    for number, each in enumerate((first, second)):
        runs.tell(RunSummary(run=f"{number}", name="", source=W, directory="", began=0), Completions({"a": each}))
    (past,) = runs.history.past(W, {"a": "h"}).values()
    assert past == UnitPast.of([second, first]), "in whatever order"
    assert past.ended == (1000.25, 2000.5)
    assert past.seconds == (0.1, 0.7)
    assert past.peaks == (3 << 40, 4097)
    assert past.cpu == (0.3, 1e-6)
    assert past.attempts == (2, 65_535), "more of them are not counted"


def test_the_last_twenty_completions_are_kept(runs: Runs) -> None:
    for _ in range(LAST + 3):
        runs.run({"often": "o", "seldom": "s"}, *(["seldom"] if runs.told else []))
    assert runs.seconds({"often": "o", "seldom": "s"}) == {
        "often": tuple(float(number) for number in range(4, LAST + 4)),
        "seldom": (1.0,),
    }


def test_a_unit_that_is_edited_keeps_its_past(runs: Runs) -> None:
    runs.run({"a": "make"})
    assert runs.seconds({"a": "make -j"}) == {"a": (1.0,)}
    runs.run({"a": "make -j"})
    assert runs.seconds({"a": "make -j"}) == {"a": (1.0, 2.0)}


def test_a_unit_that_is_renamed_keeps_its_past(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test"})
    assert runs.seconds({"build": "make", "b": "test"}) == {"build": (1.0,), "b": (1.0,)}
    runs.run({"build": "make", "b": "test"})
    assert runs.seconds({"build": "make"}) == {"build": (1.0, 2.0)}
    runs.run({"compile": "make"})
    assert runs.seconds({"compile": "make"}) == {"compile": (1.0, 2.0, 3.0)}, "also when it is renamed once more"


def test_a_unit_that_was_edited_is_known_by_what_it_did_last(runs: Runs) -> None:
    runs.run({"a": "make"})
    runs.run({"a": "make -j"})
    assert runs.seconds({"build": "make -j", "other": "make"}) == {"build": (1.0, 2.0)}


@pytest.mark.parametrize("left", [0, 1])
def test_an_index_made_anew_keeps_what_runs_have_told_that_are_gone(runs: Runs, left: int) -> None:
    runs.run({"a": "make"})
    runs.run({"a": "make -j"})
    runs.history.rebuild([runs.told[left]])
    assert runs.seconds({"build": "make -j"}) == {"build": (1.0, 2.0)}


def test_what_only_a_journal_tells_counts_as_the_latest_if_it_is(runs: Runs) -> None:
    runs.run({"a": "make"})
    lost = RunSummary(run="lost", name="flow", source=W, directory="/", began=900.0)
    runs.history.rebuild([*runs.told, (lost, completions_of({"a": "make -j"}, (), 950.0, 2.0))])
    assert runs.seconds({"build": "make -j"}) == {"build": (1.0, 2.0)}


def test_a_unit_that_is_renamed_and_edited_is_a_new_one(runs: Runs) -> None:
    runs.run({"a": "make"})
    assert runs.seconds({"build": "make -j"}) == {}


def test_units_that_do_the_same_are_not_taken_for_each_other(runs: Runs) -> None:
    runs.run({"a": "make"})
    assert runs.seconds({"one": "make", "two": "make"}) == {}
    runs.run({"one": "make", "two": "make"}, "two")
    assert runs.seconds({"one": "make"}) == {"one": (2.0,)}, "not even when one of them fails"


def test_what_a_unit_does_counts_before_its_name(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test"}, "b")
    runs.run({"b": "test"})
    assert runs.seconds({"b": "make"}) == {"b": (1.0,)}


def test_two_units_that_swap_their_names_swap_their_pasts(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test"}, "b")
    runs.run({"a": "make", "b": "test"}, "a")
    assert runs.seconds({"a": "test", "b": "make"}) == {"a": (2.0,), "b": (1.0,)}


def test_units_that_are_named_by_their_place_keep_their_pasts_when_one_is_put_before_them(runs: Runs) -> None:
    runs.run({"step 1": "fetch", "step 2": "sort"}, "step 2", seconds=3.0)
    runs.run({"step 1": "fetch", "step 2": "sort"}, "step 1", seconds=7.0)
    assert runs.seconds({"step 1": "new", "step 2": "fetch", "step 3": "sort"}) == {
        "step 1": (3.0,),
        "step 2": (3.0,),
        "step 3": (7.0,),
    }


def test_after_an_edit_for_one_run_the_times_of_the_old_action_are_still_known(runs: Runs) -> None:
    for seconds in (3.0, 3.1):
        runs.run({"a": "sleep 3"}, seconds=seconds)
    runs.run({"a": "sleep 9"}, seconds=9.0)
    (old,) = runs.history.past(W, {"a": "sleep 3"}).values()
    assert (old.took, old.took.other, old.alike) == ((3.0, 3.1), False, (True, True, False))
    (new,) = runs.history.past(W, {"a": "sleep 9"}).values()
    assert (new.took, new.took.other) == ((9.0,), False)
    assert durations_of_action(runs, "sleep 3") == 3.05


def test_of_an_action_that_is_new_the_others_are_known_one_time_each(runs: Runs) -> None:
    for seconds in (3.0, 3.1, 3.2):
        runs.run({"a": "sleep 3"}, seconds=seconds)
    runs.run({"a": "sleep 9"}, seconds=9.0)
    (past,) = runs.history.past(W, {"a": "sleep 5"}).values()
    assert (past.took, past.took.other) == ((3.1, 9.0), True)


def test_edits_do_not_push_out_what_the_unit_usually_does(runs: Runs) -> None:
    for number in range(LAST):
        runs.run({"a": "make"}, seconds=float(number))
    for number in range(LAST // 2):
        runs.run({"a": f"make {number}"}, seconds=100.0)
        runs.run({"a": "make dev"}, seconds=50.0)
        runs.run({"a": "make dev"}, seconds=50.0)
    (past,) = runs.history.past(W, {"a": "make"}).values()
    assert len(past.seconds) == MOST
    assert past.took == tuple(float(number) for number in range(LAST // 2, LAST)), "the oldest of them are gone"


def test_what_a_unit_did_often_since_leaves_what_it_did_before(runs: Runs) -> None:
    for number in range(LAST):
        runs.run({"a": "make"}, seconds=float(number))
    for _ in range(LAST + 5):
        runs.run({"a": "make dev"}, seconds=50.0)
    (past,) = runs.history.past(W, {"a": "make"}).values()
    assert past.took == tuple(float(number) for number in range(LAST))


def test_what_a_unit_once_did_itself_counts_before_what_others_do(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test"}, "b")
    runs.run({"a": "make -j", "b": "make"})
    (past,) = runs.history.past(W, {"a": "make"}).values()
    assert past.took == (1.0,)


def cut(runs: Runs, unit: str, hash_: str, seconds: float) -> None:
    at = 1000.0 + len(runs.told)
    summary = RunSummary(run=f"cut at {at}", name="", source=W, directory="", began=at, ended=at)
    runs.told.append((summary, Completions({}, cut={unit: Cut(hash_, seconds)})))
    runs.tell(*runs.told[-1])


def cut_of(runs: Runs, unit: str, hash_: str) -> float:
    past = runs.history.past(W, {unit: hash_}).get(unit)
    return past.took.cut if past is not None else 0.0


def test_how_long_an_attempt_ran_that_was_cut_is_known_until_one_completes(runs: Runs) -> None:
    cut(runs, "a", "make", 60.0)
    assert runs.seconds({"a": "make"}) == {"a": ()}
    cut(runs, "a", "make", 20.0)
    assert cut_of(runs, "a", "make") == 60.0, "the longest"
    assert cut_of(runs, "build", "make") == 60.0, "it may have another name"
    assert cut_of(runs, "a", "make -j") == 0.0, "that has not been tried"
    anew = History(runs.history.path.parent / "anew", pytest.fail)
    anew.rebuild(runs.told)
    assert anew.past(W, {"a": "make"})["a"].cut == 60.0
    assert durations(runs, "a") == {}
    runs.run({"a": "make"}, seconds=70.0)
    assert cut_of(runs, "a", "make") == 0.0
    cut(runs, "a", "make -j", 90.0)
    assert cut_of(runs, "a", "make -j") == 90.0
    assert runs.seconds({"a": "make"}) == {"a": (70.0,)}


def test_a_copy_of_a_unit_learns_from_it_only_when_that_does_something_else(runs: Runs) -> None:
    runs.run({"a": "make"})
    assert runs.seconds({"a": "make", "b": "make"}) == {"a": (1.0,)}
    assert runs.seconds({"a": "make -j", "b": "make"}) == {"a": (1.0,), "b": (1.0,)}


def test_items_of_a_matrix_have_a_past_each_also_when_they_were_away(runs: Runs) -> None:
    two = {"fit[n=1]": "fit 1", "fit[n=2]": "fit 2"}
    runs.run(two)
    runs.run({"fit[n=1]": "fit 1", "fit[n=3]": "fit 3"})
    assert runs.seconds(two) == {"fit[n=1]": (1.0, 2.0), "fit[n=2]": (1.0,)}
    assert runs.seconds({"learn[n=2]": "fit 2", "learn[n=4]": "fit 4"}) == {"learn[n=2]": (1.0,)}


def test_a_run_that_goes_on_tells_what_completed_once(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test"}, "b", at=7.0)
    runs.run({"a": "make"}, at=7.0, seconds=1.0)
    runs.run({"b": "test"}, at=8.0)
    assert runs.seconds({"a": "make", "b": "test"}) == {"a": (1.0,), "b": (3.0,)}


def test_a_run_that_ends_after_one_that_began_later_is_sorted_in(runs: Runs) -> None:
    for at in (30.0, 10.0, 20.0):
        runs.run({"a": "make"}, at=at, seconds=at)
    assert runs.seconds({"a": "make"}) == {"a": (10.0, 20.0, 30.0)}


def test_workflows_do_not_know_of_each_other(runs: Runs) -> None:
    runs.run({"a": "make"})
    assert runs.history.past("/other.toml", {"a": "make"}) == {}
    assert runs.history.past("", {"a": "make"}) == {}


def test_units_that_are_long_gone_are_dropped(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtui.store.pasts.MOST_UNITS", 3)
    runs.run({"old": "o", "older": "oo"})
    runs.run({"b": "b"})
    runs.run({"a": "a"})
    assert set(runs.seconds({"old": "", "older": "", "a": "", "b": ""})) == {"old", "older", "a", "b"}, "two are third"
    many = {f"u{number}": f"{number}" for number in range(5)}
    runs.run(many)
    assert set(runs.seconds({**many, "a": "", "b": ""})) == {*many}, "all of the last run are kept"


def test_a_row_that_is_no_past_is_none(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test", "c": "lint"})
    with sqlite3.connect(runs.history.path) as database:
        database.execute("UPDATE past SET data = x'' WHERE unit = 'a'")
        database.execute("UPDATE past SET data = x'00112233' WHERE unit = 'b'")
    assert runs.seconds({"a": "make", "b": "test", "c": "lint"}) == {"c": (1.0,)}
    runs.run({"a": "make"})
    assert runs.seconds({"a": "make"}) == {"a": (2.0,)}


# -- how long units take -----------------------------------------------------------------------------------


def durations(runs: Runs, *units: str) -> Mapping[str, float]:
    return runs.history.durations(W, {unit: f"of {unit}" for unit in units})


def durations_of_action(runs: Runs, hash_: str) -> float:
    return runs.history.durations(W, {"a": hash_})["a"]


def test_a_unit_takes_the_median_of_its_own_past(runs: Runs) -> None:
    for seconds in (1.0, 9.0, 2.0):
        runs.run({"fit[n=1]": "1", "fit[n=2]": "2"}, "fit[n=2]", seconds=seconds)
    runs.run({"fit[n=2]": "2"}, seconds=50.0)
    assert durations(runs, "fit[n=1]", "fit[n=2]", "new") == {"fit[n=1]": 2.0, "fit[n=2]": 50.0}


def test_a_unit_takes_what_one_of_another_name_took_if_no_other_does_the_same(runs: Runs) -> None:
    runs.run({"a": "make", "b": "test"})
    assert runs.history.durations(W, {"build": "make", "b": "test"}) == {"build": 1.0, "b": 1.0}
    assert runs.history.durations(W, {"build": "make", "a": "make", "b": "test"}) == {"a": 1.0, "b": 1.0}


def test_a_new_item_takes_what_others_of_its_family_took(runs: Runs) -> None:
    for half in (range(LAST // 2), range(LAST // 2, LAST)) * 2:
        runs.run({f"fit[n={number}]": f"{number}" for number in half}, seconds=100.0)
    assert durations(runs, "fit[n=new]") == {"fit": 100.0}
    runs.run({f"fit[n={number}]": f"{number}" for number in range(LAST + 2)}, seconds=4.0)
    assert durations(runs, "fit[n=0]", "fit[n=new]")["fit"] == 4.0, "the last run counts"


def test_of_a_small_family_several_completions_of_each_unit_count(runs: Runs) -> None:
    for seconds in (3.0, 3.0, 3.0, 80.0):
        runs.run({"fit[n=1]": "1", "fit[n=2]": "2"}, seconds=seconds)
    assert durations(runs, "fit[n=3]") == {"fit": 3.0}


# -- any history of any workflow ---------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "m[n=1]", "m[n=2]", "k[n=1]"])
ACTIONS = st.sampled_from(["h1", "h2", "h3", "h4", "h5"])
RUNS = st.tuples(st.just("run"), NAMES, NAMES)  # two that fail
CHANGES = st.one_of(
    st.tuples(st.just("put"), NAMES, ACTIONS),  # a unit is added, or edited
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("swap"), NAMES, NAMES),
    st.tuples(st.just("remove"), NAMES, NAMES),
    RUNS,
    RUNS,
)


def changed(workflow: Workflow, what: str, one: str, two: str) -> Workflow:
    workflow = dict(workflow)
    match what:
        case "put":
            workflow[one] = two
        case "rename" if one in workflow and two not in workflow:
            workflow[two] = workflow.pop(one)
        case "swap" if one in workflow and two in workflow:
            workflow[one], workflow[two] = workflow[two], workflow[one]
        case "remove":
            workflow.pop(one, None)
    return workflow


class Expected:
    """What is to be known, told unit by unit: by what it does if it has done that, or is the only one that does it and
    another has done it last; else by its name."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, str, tuple[tuple[float, str], ...]]] = {}

    def of(self, workflow: Workflow) -> dict[str, tuple[float, ...]]:
        return {unit: tuple(each for each, _ in found) for unit in workflow if (found := self._of(unit, workflow))}

    def took(self, workflow: Workflow) -> dict[str, tuple[float, ...]]:
        """The times of the same action, of those that have done it."""
        return {
            unit: same
            for unit, does in workflow.items()
            if (same := tuple(each for each, hash_ in self._of(unit, workflow) if hash_ == does))
        }

    def _of(self, unit: str, workflow: Workflow) -> tuple[tuple[float, str], ...]:
        does = workflow[unit]
        own = self.known[unit][2] if unit in self.known else ()
        if list(workflow.values()).count(does) > 1 or any(hash_ == does for _, hash_ in own):
            return own
        did = [(run, name, seconds) for name, (run, hash_, seconds) in self.known.items() if hash_ == does]
        return max(did)[2] if did else own

    def run(self, number: float, workflow: Workflow, failed: tuple[str, ...]) -> None:
        before = {unit: self._of(unit, workflow) for unit in workflow}
        for unit in workflow.keys() - {*failed}:
            self.known[unit] = int(number), workflow[unit], (*before[unit], (number, workflow[unit]))


CHANGED = st.lists(CHANGES, min_size=5, max_size=25)
FIRST: Workflow = {"a": "h1", "b": "h2", "m[n=1]": "h3"}


@settings(max_examples=150, deadline=None)
@given(CHANGED)
def test_every_unit_has_the_past_of_its_name_or_of_what_it_does(changes: list[tuple[str, str, str]]) -> None:
    workflow, expected, rows = FIRST, Expected(), dict[str, Row]()
    for number, (what, one, two) in enumerate(changes, 1):
        if what == "run":
            expected.run(number, workflow, (one, two))
            rows |= after(rows, 100.0 * number, *completions_of(workflow, (one, two), 100.0 * number, number))
        else:
            workflow = changed(workflow, what, one, two)
        pasts = pasts_of(rows, workflow)
        assert {unit: past.seconds for unit, past in pasts.items()} == expected.of(workflow)
        same = {unit: past.took for unit, past in pasts.items() if not past.took.other}
        assert same == expected.took(workflow)


@settings(max_examples=8, deadline=None)
@given(CHANGED)
def test_the_index_and_the_journals_tell_the_same(changes: list[tuple[str, str, str]]) -> None:
    workflow, expected = FIRST, Expected()
    with tempfile.TemporaryDirectory() as place:
        runs, anew = Runs(Path(place, "one")), Runs(Path(place, "two"))
        for what, one, two in changes:
            if what == "run":
                expected.run(runs.run(workflow, one, two), workflow, (one, two))
            else:
                workflow = changed(workflow, what, one, two)
        assert runs.seconds(workflow) == expected.of(workflow)
        anew.history.rebuild(runs.told)
        assert anew.seconds(workflow) == expected.of(workflow)
        runs.history.rebuild(runs.told)
        assert runs.seconds(workflow) == expected.of(workflow), "what is known already changes nothing"


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0, 1e300])
def test_what_is_no_time_is_none(seconds: float) -> None:
    past = UnitPast.of([Completion("h", 1.0, 2.0, cpu=1.0), Completion("h", 2.0, seconds, cpu=seconds)])
    assert past.seconds == (2.0, 0.0)
    assert past.cpu == (1.0, 0.0)


@pytest.mark.parametrize(
    ("column", "value"), [("data", "x" * 42), ("data", ""), ("data", b"x"), ("data", 42), ("cut", "x"), ("cut", -1.0)]
)
def test_a_row_that_only_a_damaged_file_has_is_no_past(runs: Runs, column: str, value: object) -> None:
    runs.run({"a": "h", "b": "i"})
    with sqlite3.connect(runs.history.path) as database:
        database.execute(f"UPDATE past SET {column} = ? WHERE unit = 'a'", (value,))
    assert runs.seconds({"a": "h", "b": "i"}) == {"b": (1.0,)}
