"""What keys ask of a run: at once, after a question that names the consequence, or not at all."""

from __future__ import annotations

import pytest
from scenes import diamond, failed, fan_out, finished, unit
from scripted import ScriptedSession

from qtui.core.model import RetryPolicy
from qtui.core.options import Brake, RunOptions
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    PauseRequested,
    ReleaseRequested,
    RetryRequested,
    UnpauseRequested,
    WorkersStepRequested,
)
from qtui.tui import steering
from qtui.tui.steering import UNUSABLE, Answer, Ask, Do, Note


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
    assert asked(steering.cancel_unit(session.view(), 0)).text == "cancel publish; 1 dependent will be skipped"


def test_the_selected_unit_is_answered_first() -> None:
    session = ScriptedSession([unit("a", confirm="A?"), unit("b", confirm="B?")])
    assert asked(steering.answer(session.view(), 1)).text == "B?"


def test_where_no_unit_asks_a_brake_is_let_go() -> None:
    session = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=1, brakes={"": Brake(count=1)}))
    session.fails("a")
    answer = steering.answer(session.view(), None)
    assert asked(answer).text == "1 failure in a row"
    assert chosen(answer, "g") == ReleaseRequested(("",))


def test_where_nothing_waits_there_is_nothing_to_answer() -> None:
    assert steering.answer(diamond().view(), None) == Note("nothing waits for an answer")


def test_canceling_a_unit_names_how_many_will_be_skipped() -> None:
    session = diamond()
    answer = steering.cancel_unit(session.view(), session.number("fetch"))
    assert asked(answer).text == "cancel fetch; 4 dependents will be skipped"
    assert chosen(answer, "y") == CancelRequested((0,))


def test_canceling_a_unit_that_nothing_needs_asks_nothing() -> None:
    session = diamond()
    number = session.number("report")
    assert steering.cancel_unit(session.view(), number) == Do(CancelRequested((number,)))


def test_canceling_a_unit_that_is_stopping_kills_it_without_a_question() -> None:
    session = diamond()
    session.post(CancelRequested((0,)))
    assert steering.cancel_unit(session.view(), 0) == Do(CancelRequested((0,)))


def test_an_ended_unit_cannot_be_canceled() -> None:
    session = finished()
    assert isinstance(steering.cancel_unit(session.view(), 0), Note)


def test_canceling_a_family_counts_its_open_members_and_what_they_feed() -> None:
    session = fan_out(10)
    session.completes("list_files", "extract[0]")
    members = [session.number(f"extract[{item}]") for item in range(10)]
    answer = steering.cancel_units(session.view(), members, "extract[0..9]")
    assert asked(answer).text == "cancel 9 units of extract[0..9]: 4 running, 5 waiting; 2 dependents will be skipped"
    assert chosen(answer, "y") == CancelRequested(tuple(members[1:]))


def test_a_failed_unit_is_run_again_without_a_question() -> None:
    session = failed()
    number = session.number("features")
    assert steering.retry_unit(session.view(), number) == Do(RetryRequested((number,)))


def test_a_completed_unit_asks_whether_its_dependents_run_again_too() -> None:
    session = finished()
    answer = steering.retry_unit(session.view(), session.number("clean"))
    number = session.number("clean")
    assert chosen(answer, "u") == RetryRequested((number,))
    assert chosen(answer, "d") == RetryRequested((number,), "dependents")
    assert "2 dependents" in asked(answer).options[1].label


def test_a_completed_unit_without_dependents_asks_all_the_same() -> None:
    session = finished()
    answer = steering.retry_unit(session.view(), session.number("report"))
    assert [option.key for option in asked(answer).options] == ["u"]


def test_a_unit_between_two_tries_is_not_made_to_wait() -> None:
    session = ScriptedSession([unit("a", retry=RetryPolicy(max=1, delay=60))])
    session.fails("a")
    assert steering.retry_unit(session.view(), 0) == Do(RetryRequested((0,)))


def test_a_running_unit_is_not_run_again() -> None:
    assert isinstance(steering.retry_unit(diamond().view(), 0), Note)


def test_a_unit_that_is_another_on_the_disk_asks_which_it_is_to_be() -> None:
    session = failed()
    number = session.number("features")
    answer = steering.retry_unit(session.view(), number, {number: "timeout: 5 -> 50"}.get)
    assert "timeout: 5 -> 50" in asked(answer).text
    new, old = chosen(answer, "e"), chosen(answer, "o")
    assert isinstance(new, RetryRequested) and new.units == (number,) and new.fresh
    assert isinstance(old, RetryRequested) and old.units == (number,) and not old.fresh
    assert "as it was" in old.cause


def test_one_with_results_below_it_asks_for_those_too() -> None:
    session = finished()
    number = session.number("clean")
    answer = steering.retry_unit(session.view(), number, lambda _: "timeout: 5 -> 50")
    assert [option.key for option in asked(answer).options] == ["e", "o", "E", "O"], "n is always back"
    below = chosen(answer, "E")
    assert isinstance(below, RetryRequested) and below.scope == "dependents" and below.fresh


def test_running_everything_again_counts_what_has_changed_on_the_disk() -> None:
    session = failed()
    number = session.number("features")
    answer = steering.retry_units(session.view(), range(5), "nightly.toml", lambda n: "changed" if n == number else "")
    assert asked(answer).text.endswith("On the disk now:\nchanged")
    new = chosen(answer, "e")
    assert isinstance(new, RetryRequested) and new.fresh


def test_of_several_that_have_changed_alike_it_is_told_once_and_else_they_are_counted() -> None:
    session = ScriptedSession([unit("a"), unit("b"), unit("c")])
    for name in "abc":
        session.fails(name)
    alike = steering.retry_units(session.view(), range(3), "x", lambda n: "the file was written" if n < 2 else "")
    assert asked(alike).text.endswith("On the disk now for 2 of 3:\nthe file was written")
    different = steering.retry_units(session.view(), range(3), "x", lambda n: f"timeout: 5 -> {n}" if n < 2 else "")
    assert asked(different).text.endswith("On the disk 2 of them have changed.")


def test_what_is_on_the_disk_is_not_offered_if_it_cannot_be_run() -> None:
    session = finished()
    number, fault = session.number("clean"), f"{UNUSABLE}nightly.toml:3: not correct TOML"
    answer = asked(steering.retry_unit(session.view(), number, lambda _: fault))
    assert "What is on the disk cannot be run:\nnightly.toml:3: not correct TOML" in answer.text
    assert [option.key for option in answer.options] == ["o", "O"]
    bad = failed()
    answer = asked(steering.retry_units(bad.view(), range(5), "nightly.toml", lambda _: fault))
    assert answer.text.endswith("What is on the disk cannot be run:\nnightly.toml:3: not correct TOML")
    assert [option.key for option in answer.options] == ["o"]


def test_running_everything_again_counts_what_ended_badly() -> None:
    session = failed()
    answer = steering.retry_units(session.view(), range(5), "nightly.toml")
    assert asked(answer).text.endswith("in nightly.toml: 1 unit, and 2 skipped because of it?")
    assert chosen(answer, "y") == RetryRequested((session.number("features"),))
    assert isinstance(steering.retry_units(finished().view(), range(5), "x"), Note)


def test_the_run_drains_or_stops_and_a_stopping_run_is_killed() -> None:
    session = diamond()
    answer = steering.cancel_run(session.view())
    assert chosen(answer, "d") == CancelRunRequested("drain")
    assert chosen(answer, "s") == CancelRunRequested("stop")
    session.post(CancelRunRequested("stop"))
    again = asked(steering.cancel_run(session.view()))
    assert [option.label for option in again.options] == ["kill what still runs"]


def test_leaving_a_running_run_offers_to_cancel_or_drain_and_leaves_then() -> None:
    options = steering.leave(diamond().view()).options
    assert [(option.key, option.action.leave) for option in options] == [("c", True), ("d", True)]


@pytest.mark.parametrize("key", ["n", "q"])
def test_no_answer_takes_the_keys_that_mean_back(key: str) -> None:
    view = diamond().view()
    answers = (steering.leave(view), steering.cancel_run(view), steering.cancel_unit(view, 0))
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
    one = asked(steering.retry_unit(session.view(), 0))
    assert one.text == "pay is failed. It is not idempotent, and may have done its work. Run it again?"
    session.fails("other", exit_code=1)
    assert "1 unit of them is not idempotent." in asked(steering.retry_units(session.view(), (0, 1), "nightly")).text


def test_an_answer_counts_only_if_nobody_else_has_done_it_meanwhile() -> None:
    session = ScriptedSession([unit("pay", idempotent=False), unit("after", "pay"), unit("long")])
    cancel, drain = (
        asked(steering.cancel_unit(session.view(), 0)),
        asked(steering.cancel_run(session.view())),
    )
    session.fails("pay", exit_code=1)
    retry = asked(steering.retry_unit(session.view(), 0))
    assert retry.still(session.view()) and cancel.still(session.view()) and drain.still(session.view())
    session.post(RetryRequested((0,)))
    assert not retry.still(session.view())
    session.post(CancelRequested((0,)))
    assert not cancel.still(session.view())
    session.post(CancelRunRequested("drain"))
    assert not drain.still(session.view())
