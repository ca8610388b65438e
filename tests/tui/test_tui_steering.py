"""What keys ask of a run: at once, after a question that names the consequence, or not at all."""

from __future__ import annotations

import pytest
from scenes import diamond, failed, fan_out, finished, unit
from scripted import ScriptedSession

from qtui.core.model import ExecutionMode, Fallback, RetryPolicy, UnitError, UnitState
from qtui.core.options import Brake, RunOptions
from qtui.core.session import EDITED, UNUSABLE
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    PauseRequested,
    ReleaseRequested,
    RetryRequested,
    RunRequested,
    SetAsideRequested,
    UnpauseRequested,
    WorkersStepRequested,
)
from qtui.tui import retrying, steering
from qtui.tui.steering import Answer, Ask, Do, Note


def asked(answer: Answer) -> Ask:
    assert isinstance(answer, Ask)
    return answer


def chosen(answer: Answer, key: str) -> object:
    return next(option.action.request for option in asked(answer).options if option.key == key)


def test_a_question_of_a_unit_is_answered_with_yes_or_with_a_cancel_that_names_its_consequence() -> None:
    session = ScriptedSession([unit("publish", confirm="Publish?"), unit("tell", "publish")])
    answer = asked(steering.answer(session.view(), None))
    assert (answer.title, answer.text) == ("publish", "Publish?")
    assert [option.label for option in answer.options] == ["yes, start it", "cancel it; 1 dependent will be skipped"]
    assert chosen(answer, "y") == ApproveRequested((0,))
    assert chosen(answer, "c") == CancelRequested((0,))


def test_handlers_are_not_among_those_that_a_cancel_skips() -> None:
    units = [unit("publish"), unit("tell", "publish"), unit("cleanup", "*", when="always"), unit("after", "cleanup")]
    session = ScriptedSession(units)
    assert asked(steering.cancel(session.view(), [0], "")).text == "cancel publish; 1 dependent will be skipped"


def test_the_selected_unit_is_answered_first() -> None:
    session = ScriptedSession([unit("a", confirm="A?"), unit("b", confirm="B?")])
    assert asked(steering.answer(session.view(), 1)).text == "B?"


def test_where_no_unit_asks_a_brake_is_let_go() -> None:
    session = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=1, brakes={"": Brake(count=1)}))
    session.fails("a")
    answer = steering.answer(session.view(), None)
    assert asked(answer).text == "1 failure in a row"
    assert chosen(answer, "y") == ReleaseRequested(("",))


def test_the_question_of_a_brake_says_what_the_failures_have_in_common() -> None:
    brake = Brake(count=1, same=True)
    session = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=1, brakes={"": brake}))
    session.fails("a", UnitError("OSError", "cannot reach db host 3"))
    assert asked(steering.answer(session.view(), None)).text == "1 failure in a row: OSError: cannot reach db host #"


def test_where_nothing_waits_there_is_nothing_to_answer() -> None:
    assert steering.answer(diamond().view(), None) == Note("nothing waits for an answer")


def test_canceling_a_unit_names_how_many_will_be_skipped() -> None:
    session = diamond()
    answer = steering.cancel(session.view(), [session.number("fetch")], "")
    assert asked(answer).text == "cancel fetch; 4 dependents will be skipped"
    assert chosen(answer, "y") == CancelRequested((0,))


def test_canceling_asks_also_where_nothing_is_hit_by_it() -> None:
    session = diamond()
    number = session.number("report")
    answer = steering.cancel(session.view(), [number], "")
    assert asked(answer).text == "cancel report"
    assert chosen(answer, "y") == CancelRequested((number,))


def test_a_unit_that_is_stopping_is_killed_after_a_question_that_says_so() -> None:
    session = diamond()
    session.post(CancelRequested((0,)))
    answer = steering.cancel(session.view(), [0], "")
    assert asked(answer).text == "kill fetch, which has been asked to stop; 4 dependents will be skipped"
    session.post(chosen(answer, "y"))  # type: ignore[arg-type]
    assert session.killed == [0]
    assert steering.cancel(session.view(), [0], "") == Note("fetch is being killed already")


def test_questions_do_not_say_that_what_only_waits_in_a_cluster_runs_or_was_asked_to_stop() -> None:
    session = ScriptedSession([unit("load", mode=ExecutionMode.CUSTOM)], start=False)
    session.clustered = True
    session.post(RunRequested("demo"))
    assert asked(steering.cancel_run(session.view())).text == "0 units running, 1 not started yet."
    session.post(CancelRequested((0,)))
    assert asked(steering.cancel(session.view(), [0], "")).text == "kill load, which had not begun"


def test_a_kill_stops_what_runs_by_force_at_once() -> None:
    session = fan_out(10)
    session.completes("list_files")
    answer = steering.kill(session.view(), range(11), "11 units")
    assert asked(answer).text == "kill 4 of 11 units at once; 2 dependents will be skipped"
    session.post(chosen(answer, "y"))  # type: ignore[arg-type]
    assert sorted(session.killed) == [1, 2, 3, 4]
    assert steering.kill(session.view(), [7], "") == Note("extract[6] does not run")


def test_an_ended_unit_cannot_be_canceled() -> None:
    session = finished()
    assert isinstance(steering.cancel(session.view(), [0], ""), Note)


def test_canceling_a_family_counts_its_open_members_and_what_they_feed() -> None:
    session = fan_out(10)
    session.completes("list_files", "extract[0]")
    members = [session.number(f"extract[{item}]") for item in range(10)]
    answer = steering.cancel(session.view(), members, "extract[0..9]")
    assert asked(answer).text == "cancel 9 units of extract[0..9]: 4 running, 5 waiting; 2 dependents will be skipped"
    assert chosen(answer, "y") == CancelRequested(tuple(members[1:]))


def test_a_failed_unit_is_run_again_without_a_question_and_what_comes_along_is_told() -> None:
    session = failed()
    number = session.number("features")
    said = "features runs again; 2 skipped because of it wait again"
    assert retrying.retry_unit(session.view(), number) == Do(RetryRequested((number,)), said=said)


def test_handlers_that_run_again_anyway_are_no_dependents_to_choose() -> None:
    units = [unit("a"), unit("b"), unit("after", "a", "b"), unit("tell", "*", when="failure")]
    session = ScriptedSession([*units, unit("clean", "*", when="always")], RunOptions(workers=8))
    session.fails("a")
    session.fails("b")
    session.completes("tell", "clean")
    answer = retrying.retry_unit(session.view(), 0)
    assert answer == Do(RetryRequested((0,)), said="a runs again; tell and clean run again"), "after needs b as well"
    session.post(RetryRequested((0,)))
    assert [session.view().unit(number).state.ended for number in range(5)] == [False, True, True, False, False]


def test_a_completed_unit_asks_whether_its_dependents_run_again_too() -> None:
    session = finished()
    answer = retrying.retry_unit(session.view(), session.number("clean"))
    number = session.number("clean")
    assert chosen(answer, "u") == RetryRequested((number,))
    assert chosen(answer, "d") == RetryRequested((number,), "dependents")
    assert "2 dependents" in asked(answer).options[1].label


def test_a_completed_unit_without_dependents_asks_all_the_same() -> None:
    session = finished()
    answer = retrying.retry_unit(session.view(), session.number("report"))
    assert [option.key for option in asked(answer).options] == ["u"]


def test_a_unit_between_two_tries_is_not_made_to_wait() -> None:
    session = ScriptedSession([unit("a", retry=RetryPolicy(max=1, delay=60))])
    session.fails("a")
    assert retrying.retry_unit(session.view(), 0) == Do(RetryRequested((0,)))


def test_a_running_unit_is_not_run_again() -> None:
    assert isinstance(retrying.retry_unit(diamond().view(), 0), Note)


def test_a_unit_that_is_another_on_the_disk_asks_which_it_is_to_be() -> None:
    session = failed()
    number = session.number("features")
    answer = retrying.retry_unit(session.view(), number, {number: "timeout: 5 -> 50"}.get)
    assert "timeout: 5 -> 50" in asked(answer).text
    new, old = chosen(answer, "e"), chosen(answer, "o")
    assert isinstance(new, RetryRequested) and new.units == (number,) and new.fresh
    assert isinstance(old, RetryRequested) and old.units == (number,) and not old.fresh
    assert "as it was" in old.cause


def test_one_that_was_edited_in_the_run_offers_first_to_keep_that() -> None:
    session = failed()
    number = session.number("features")
    difference = f"{EDITED}timeout: 50 -> 5"
    one = retrying.retry_unit(session.view(), number, {number: difference}.get)
    several = retrying.retry_units(session.view(), range(5), "x", lambda n: difference if n == number else "")
    for answer in (one, several):
        assert "On the disk now:\ntimeout: 50 -> 5" in asked(answer).text
        assert [(option.key, option.label) for option in asked(answer).options] == [
            ("o", "with the edit made in this run"),
            ("e", "as in the file now, drops that edit"),
        ]
        old, new = chosen(answer, "o"), chosen(answer, "e")
        assert isinstance(old, RetryRequested) and not old.fresh
        assert isinstance(new, RetryRequested) and new.fresh


def test_one_with_results_below_it_asks_for_those_too() -> None:
    session = finished()
    number = session.number("clean")
    answer = retrying.retry_unit(session.view(), number, lambda _: "timeout: 5 -> 50")
    assert [option.key for option in asked(answer).options] == ["e", "o", "E", "O"], "n is always back"
    below = chosen(answer, "E")
    assert isinstance(below, RetryRequested) and below.scope == "dependents" and below.fresh


def test_running_everything_again_counts_what_has_changed_on_the_disk() -> None:
    session = failed()
    number = session.number("features")
    answer = retrying.retry_units(session.view(), range(5), "nightly.toml", lambda n: "changed" if n == number else "")
    assert asked(answer).text.endswith("On the disk now:\nchanged")
    new = chosen(answer, "e")
    assert isinstance(new, RetryRequested) and new.fresh


def test_of_several_that_have_changed_alike_it_is_told_once_and_else_they_are_counted() -> None:
    session = ScriptedSession([unit("a"), unit("b"), unit("c")])
    for name in "abc":
        session.fails(name)
    alike = retrying.retry_units(session.view(), range(3), "x", lambda n: "the file was written" if n < 2 else "")
    assert asked(alike).text.endswith("On the disk now for 2 of 3:\nthe file was written")
    different = retrying.retry_units(session.view(), range(3), "x", lambda n: f"timeout: 5 -> {n}" if n < 2 else "")
    assert asked(different).text.endswith("On the disk 2 of them have changed.")
    changes = {0: "the file was written", 1: f"{UNUSABLE}the workflow does not have this unit any more"}
    fewer = retrying.retry_units(session.view(), range(3), "x", lambda number: changes.get(number, ""))
    assert asked(fewer).text.endswith("the file was written\n1 of them is not there any more.")


def test_what_is_on_the_disk_is_not_offered_if_it_cannot_be_run() -> None:
    session = finished()
    number, fault = session.number("clean"), f"{UNUSABLE}nightly.toml:3: not correct TOML"
    answer = asked(retrying.retry_unit(session.view(), number, lambda _: fault))
    assert "What is on the disk cannot be run:\nnightly.toml:3: not correct TOML" in answer.text
    assert [option.key for option in answer.options] == ["o", "O"]
    bad = failed()
    answer = asked(retrying.retry_units(bad.view(), range(5), "nightly.toml", lambda _: fault))
    assert answer.text.endswith("What is on the disk cannot be run:\nnightly.toml:3: not correct TOML")
    assert [option.key for option in answer.options] == ["o"]


def test_running_everything_again_counts_what_ended_badly() -> None:
    session = failed()
    answer = retrying.retry_units(session.view(), range(5), "nightly.toml")
    assert asked(answer).text.endswith("in nightly.toml: 1 unit, and 2 skipped because of it?")
    assert chosen(answer, "y") == RetryRequested((session.number("features"),))
    assert isinstance(retrying.retry_units(finished().view(), range(5), "x"), Note)


def test_the_run_drains_or_stops_and_a_stopping_run_is_killed() -> None:
    session = diamond()
    answer = steering.cancel_run(session.view())
    assert chosen(answer, "f") == CancelRunRequested("drain")
    assert chosen(answer, "s") == CancelRunRequested("stop")
    session.post(CancelRunRequested("stop"))
    again = asked(steering.cancel_run(session.view()))
    assert [option.label for option in again.options] == ["kill what still runs"]


def test_leaving_a_running_run_offers_to_cancel_or_drain_and_leaves_then() -> None:
    options = steering.leave(diamond().view()).options
    assert [(option.key, option.action.leave) for option in options] == [("c", True), ("f", True)]


@pytest.mark.parametrize("key", ["n", "q"])
def test_no_answer_takes_the_keys_that_mean_back(key: str) -> None:
    view = diamond().view()
    answers = (steering.leave(view), steering.cancel_run(view), steering.cancel(view, [0], ""))
    assert all(key != option.key for answer in answers for option in asked(answer).options)


def test_p_pauses_and_goes_on() -> None:
    session = diamond()
    assert steering.pause(session.view()) == Do(PauseRequested())
    session.post(PauseRequested())
    assert steering.pause(session.view()) == Do(UnpauseRequested())


def test_workers_never_fall_below_one() -> None:
    session = ScriptedSession([unit("a")], RunOptions(workers=1))
    assert steering.more_workers(session.view(), 1) == Do(WorkersStepRequested(1))
    assert isinstance(steering.more_workers(session.view(), -1), Note)


def test_a_unit_that_is_not_idempotent_is_run_again_only_after_a_question_that_says_so() -> None:
    session = ScriptedSession([unit("pay", idempotent=False), unit("other")])
    session.fails("pay", exit_code=1)
    one = asked(retrying.retry_unit(session.view(), 0))
    assert one.text == "pay failed. It is not idempotent, and may have done its work. Run it again?"
    session.fails("other", exit_code=1)
    assert "1 unit of them is not idempotent." in asked(retrying.retry_units(session.view(), (0, 1), "nightly")).text


def test_an_answer_counts_only_if_nobody_else_has_done_it_meanwhile() -> None:
    session = ScriptedSession([unit("pay", idempotent=False), unit("after", "pay"), unit("long")])
    cancel, drain = (
        asked(steering.cancel(session.view(), [0], "")),
        asked(steering.cancel_run(session.view())),
    )
    assert cancel.still(session.view()) and drain.still(session.view())
    session.fails("pay", exit_code=1)
    assert not cancel.still(session.view()), "it has ended by itself"
    retry = asked(retrying.retry_unit(session.view(), 0))
    assert retry.still(session.view())
    session.post(RetryRequested((0,)))
    assert not retry.still(session.view())
    cancel = asked(steering.cancel(session.view(), [0], ""))
    session.post(CancelRequested((0,)))
    assert not cancel.still(session.view())
    session.post(CancelRunRequested("drain"))
    assert not drain.still(session.view())


def test_marked_units_are_named_by_how_many_of_them_are_hit() -> None:
    session = fan_out(10)
    session.completes("list_files")
    five = [session.number(f"extract[{item}]") for item in range(2, 7)]
    answer = steering.cancel(session.view(), five, "5 marked units")
    assert asked(answer).text == "cancel 5 marked units: 2 running, 3 waiting; 2 dependents will be skipped"
    session.completes("extract[2]")
    assert asked(steering.cancel(session.view(), five, "5 marked units")).text.startswith(
        "cancel 4 of 5 marked units: "
    )


def test_units_are_set_aside_as_skipped_or_as_done_with_what_they_fall_back_to() -> None:
    session = ScriptedSession([unit("first"), unit("a", "first", fallback=Fallback(7)), unit("b", "a")])
    answer = asked(steering.set_aside(session.view(), [1], ""))
    assert [option.label for option in answer.options] == [
        "skip it; 1 dependent will be skipped",
        "mark it as done, with the value of its fallback",
    ]
    assert chosen(answer, "s") == SetAsideRequested((1,), "skip", "skipped by you")
    session.post(chosen(answer, "d"))  # type: ignore[arg-type]
    assert session.view().states[1] is UnitState.COMPLETED
    assert steering.set_aside(session.view(), [0], "") == Note("first runs; x cancels it first")
    assert steering.set_aside(session.view(), [1], "") == Note("a has completed")


def test_what_runs_is_left_alone_when_several_are_set_aside() -> None:
    session = fan_out(10)
    answer = asked(steering.set_aside(session.view(), range(3), "3 marked units"))
    assert answer.text == "Do without 3 marked units?\n1 of them runs and will be left alone."
    assert chosen(answer, "s") == SetAsideRequested((1, 2), "skip", "skipped by you")


def test_the_priority_is_that_of_units_which_have_not_begun() -> None:
    session = diamond()
    answer = steering.prioritize(session.view(), [1, 2], "2 marked units", 1)
    assert answer == Do(
        EditRequested((1, 2), priority=1, cause="priority set by you"), said="priority of 2 marked units: +1"
    )
    one = steering.prioritize(session.view(), [3], "", -1)
    assert isinstance(one, Do) and one.said == "priority of train: 0 -> -1"
    session.post(one.request)
    assert session.view().plan.table[3].priority == -1
    assert isinstance(steering.prioritize(session.view(), [0], "", 1), Note), "it runs"
    assert steering.prioritize(finished().view(), [3], "", 1) == Note("the run has finished")


def test_of_chosen_units_what_has_completed_can_run_again_too() -> None:
    session = failed()
    both = [session.number("clean"), session.number("features")]
    answer = retrying.retry(session.view(), both, "2 marked units", chosen=True)
    assert chosen(answer, "y") == RetryRequested((both[1],))
    assert chosen(answer, "a") == RetryRequested(tuple(both))
    done = finished()
    again = retrying.retry(done.view(), both, "2 marked units", chosen=True)
    assert asked(again).text == "2 marked units completed. Run again?"
    assert isinstance(retrying.retry(done.view(), both, "x"), Note), "of a bundle, only what ended badly"


def test_a_question_about_units_of_another_plan_is_too_late() -> None:
    session = diamond()
    answer = asked(steering.cancel(session.view(), [4], ""))
    others = ScriptedSession([unit("x"), unit("y", "x")])
    assert not answer.still(others.view())


def test_a_question_goes_on_counting_while_the_plan_grows() -> None:
    session = ScriptedSession([unit("list"), unit("after", "list"), unit("other")])
    answer = asked(steering.cancel(session.view(), [2], ""))
    session.adds("list", unit("new[0]"), unit("new[1]"))
    assert len(session.view().plan) == 5 and answer.still(session.view())
