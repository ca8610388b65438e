"""What a line of the command line asks for, and how it may go on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import CALL, diamond, failed, fan_out, finished, unit
from scripted import ScriptedSession

from qtui.core.model import FromUnit, Shell
from qtui.core.options import Brake, RunOptions
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    RetryRequested,
    SetAsideRequested,
    WorkersRequested,
    WorkersStepRequested,
)
from qtui.tui.actions import ACTIONS, BY_ID
from qtui.tui.commands import VERBS, Act, Choose, Complaint, Deed, Find, Goto, Scene, Takes, is_private, parse
from qtui.tui.completing import MOST_OFFERED, common_beginning, complete
from qtui.tui.keys import actions_for
from qtui.tui.palette import entries_for, narrowed
from qtui.tui.steering import Ask, Do, Note
from qtui.tui.text import clean


def scene(session: ScriptedSession, *targets: str, marks: tuple[str, ...] = ()) -> Scene:
    numbers = tuple(session.number(name) for name in targets)
    return Scene(
        view=session.view(),
        options=session.options,
        targets=numbers,
        label=f"{len(numbers)} units",
        marks=frozenset(session.number(name) for name in marks),
        actions=tuple(actions_for(session)),
        choices={"theme": ("dark", "light")},
    )


def asked(deed: Deed | Complaint) -> list[Request]:
    """What a deed asks of the run: at once, or with each answer to its question."""
    match deed:
        case Do(request):
            return [request]
        case Ask():
            return [option.action.request for option in deed.options if isinstance(option.action, Do)]
        case _:
            return []


def complaint(line: str, session: ScriptedSession | None = None) -> str:
    deed = parse(line, scene(session or diamond(), "report"))
    assert isinstance(deed, Complaint), deed
    return deed.text


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("cancel", CancelRequested((4,))),
        (":cancel train report", CancelRequested((3, 4))),
        ("cancel re*", CancelRequested((4,))),
        ("kill fetch", CancelRequested((0, 0))),
        ("skip state:wait", SetAsideRequested((1, 2, 3, 4), "skip", "skipped by you")),
        ("done clean", SetAsideRequested((1,), "done", "marked as done by you")),
        ("mark-done clean", SetAsideRequested((1,), "done", "marked as done by you")),
        ("workers 3", WorkersRequested(3)),
        ("workers +1", WorkersStepRequested(1)),
        ("pause", PauseRequested()),
        ("drain", CancelRunRequested("drain")),
        ("stop", CancelRunRequested("stop")),
        ("priority +5 clean", EditRequested((1,), priority=5, cause="priority set by you")),
        ("set priority 7 clean", EditRequested((1,), priority=7, cause="priority set by you")),
        ("set timeout 5m train", EditRequested((3,), timeout=300.0)),
        ("set memory 4G train", EditRequested((3,), memory=4 << 30)),
        ("set cpus 2 train", EditRequested((3,), cpus=2.0)),
        ('set env A="1 = one" train', EditRequested((3,), env=("A=1 = one",))),
        ("set timeout 90 clean features", EditRequested((1, 2), timeout=90.0)),
    ],
)
def test_a_line_asks_what_it_says(line: str, request_: Request) -> None:
    assert asked(parse(line, scene(diamond(), "report"))) == [request_]


def test_what_is_set_of_commands_and_calls_is_checked_before_anybody_is_asked() -> None:
    units = [unit("a"), unit("b", "a", action=Shell(("make",))), unit("c", "a", action=CALL, args={"x": FromUnit("a")})]
    here = scene(ScriptedSession(units), "b")
    assert asked(parse('set command "make all"', here)) == [EditRequested((1,), command="make all")]
    question = parse("set command it", here)
    assert isinstance(question, Ask) and question.text == "b: command make -> it\nstarts with that"
    assert parse("set command it c", here) == Note("c: it is no command, so it cannot become another one")
    assert parse("set args x=3 c", here) == Note("c: its argument x is the result of another unit")
    assert "cannot be called so" in parse("set args y=3 c", here).text  # type: ignore[union-attr]
    assert parse("set timeout 5m a", here) == Note("a runs; x cancels it first")


def test_what_was_typed_for_a_variable_is_told_to_nobody() -> None:
    question = parse("set env TOKEN=geheim report", scene(diamond(), "report"))
    assert isinstance(question, Ask) and "geheim" not in question.text and "env TOKEN" in question.text
    assert is_private(":set env A=1") and is_private("set args x=1 y") and not is_private("set timeout 5m")
    assert is_private('set "env" A=1')


def test_the_failed_and_the_marked_have_words() -> None:
    session = failed()
    assert asked(parse("retry failed", scene(session))) == [RetryRequested((2,))]
    assert asked(parse("cancel marked", scene(diamond(), "clean", marks=("train", "report")))) == [
        CancelRequested((3, 4))
    ]
    assert complaint("cancel marked") == "no units are marked; space marks one"


def test_units_that_ask_are_approved_and_brakes_are_let_go() -> None:
    session = ScriptedSession([unit("publish", confirm="Publish?"), unit("other")])
    assert asked(parse("approve publish", scene(session, "other"))) == [ApproveRequested((0,))]
    assert parse("approve other", scene(session)) == Note("other asks nothing")
    braked = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=1, brakes={"": Brake(count=1)}))
    braked.fails("a")
    assert asked(parse("release", scene(braked))) == [ReleaseRequested(("",))]
    assert parse("release", scene(session)) == Note("nothing holds starts")


def test_what_only_the_screen_does() -> None:
    session = diamond()
    assert parse("filter state:run", scene(session)) == Find("state:run")
    assert parse("filter", scene(session)) == Find("")
    assert parse("goto train", scene(session)) == Goto(3)
    assert parse("goto feat", scene(session)) == Goto(2), "the first that matches"
    assert parse("theme light", scene(session)) == Choose("theme", "light")
    assert parse("quit", scene(session)) == Act(BY_ID["app.leave"])


@pytest.mark.parametrize(
    "action", [action for action in ACTIONS if not action.id.startswith("time.")], ids=lambda a: a.id
)
def test_every_action_is_reached_by_its_id(action: object) -> None:
    assert parse(action.id, scene(diamond())) == Act(action)  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ""),
        ("cancle train", 'there is no command cancle; did you mean "cancel"?'),
        ("cancel tran", "there is no unit tran; did you mean train?"),
        ("cancel x*", "nothing matches x*"),
        ("filter state:no", "state:no is no state"),
        ("goto nowhere", "nothing matches nowhere"),
        ("theme pink", "theme dark|light"),
        ("pause now", "pause takes nothing behind it"),
        ("workers many", "workers N|+1|-1|auto"),
        ("workers 0", "workers are from 1 to 1024"),
        ("set", "set timeout|memory"),
        ("set tiemout 5m", 'did you mean "timeout"?'),
        ("set timeout", "set timeout needs a duration"),
        ("set timeout 5x train", 'timeout: "5x" is no duration'),
        ("set timeout 1e400 train", "timeout: a timeout is more than 0"),
        ("set memory lots train", 'memory: "lots" is no size'),
        ("set cpus nan train", "cpus: cpus are a number from 0 to 4096"),
        ('set command "make train', "a quote is not closed"),
        ("set env 1A=x train", "env 1A: 1A is no name for a variable"),
        ("set env A train", "set env needs NAME=VALUE"),
        ("set args a-b=x train", "args a-b: a-b is no name for an argument"),
        ("priority up train", 'priority: "up" is no whole number'),
        ("time.play", "time.play does nothing on this screen"),
        ("x\x1b]0;evil\x07", "there is no command x; "),
    ],
)
def test_what_means_nothing_is_told_with_what_would(line: str, words: str) -> None:
    told = complaint(line)
    assert words in told if words else not told
    assert clean(told) == told


def test_a_run_that_has_ended_says_so() -> None:
    here = scene(finished(), "report")
    for line in ("cancel", "pause", "drain", "workers 2", "priority +1", "skip"):
        answer = parse(line, here)
        assert isinstance(answer, Note), line
        assert any(word in answer.text for word in ("ended", "finished", "completed")), line


def test_where_nothing_is_selected_there_is_nothing_to_act_on() -> None:
    here = scene(diamond())
    for line in ("cancel", "retry", "skip", "set timeout 5m"):
        answer = parse(line, here)
        assert isinstance(answer, Note) and "there is no unit to" in answer.text, line


def test_a_line_goes_on_with_what_its_verb_takes() -> None:
    here = scene(fan_out(300), "merge")
    assert complete("re", here).words == ("retry", "release")
    assert complete("retry ex", here).words[:2] == ("extract", "extract[0]")
    assert len(complete("retry ex", here).words) == MOST_OFFERED
    assert complete("retry failed mer", here) == (13, ("merge",), "retry [UNITS]")
    assert complete("filter state:r", here).words == ("state:run", "state:retry")
    assert complete("theme ", here).words == ("dark", "light")
    assert complete("set t", here).words == ("timeout",)
    assert complete("set timeout 5m pub", here).words == ("publish",)
    assert complete("log.", here).words[0].startswith("log.")
    assert complete("nonsense x", here).words == ()
    assert common_beginning(("extract", "extract[0]", "extra")) == "extra"
    assert "marked" not in complete("cancel m", here).words


def test_names_that_cannot_be_typed_are_not_offered() -> None:
    words = complete("cancel ", scene(ScriptedSession([unit("evil\x1b[2Jname"), unit("good")]))).words
    assert words.count("good") == 1
    assert not any("evil" in word for word in words)


def test_names_with_spaces_stand_in_quotes_as_they_are_offered() -> None:
    odd = 'it\'s "so" \\'
    here = scene(ScriptedSession([unit("gate"), *(unit(name, "gate") for name in ("two words", "two more", odd))]))
    assert complete("cancel two", here).words == ('"two words"', '"two more"')
    assert complete("cancel gate 'two w", here) == (12, ('"two words"',), "cancel [UNITS]")
    assert parse('goto "two words"', here) == parse("goto two words", here) == Goto(1)
    assert parse('priority +1 "two words" "two more"', here).request.units == (1, 2)  # type: ignore[union-attr]
    assert asked(parse('set timeout 5m "two more"', here)) == [EditRequested((2,), timeout=300.0)]
    assert parse("cancel 'two", here) == Complaint("a quote is not closed")
    (offered,) = complete("goto it", here).words
    assert parse(f"goto {offered}", here) == Goto(3)


def test_the_words_of_a_variable_or_an_argument_are_offered_with_a_sign() -> None:
    units = [unit("a"), unit("b", "a", action=CALL, args={"depth": 3}, env={"MODE": "fast", "KEY": "***"})]
    here = scene(ScriptedSession(units), "b")
    assert complete("set args ", here).words == ("depth=",)
    assert complete("set env ", here).words == ("MODE=",), "a secret is not offered"


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=40)
    | st.builds(
        "{} {} {}".format,
        st.sampled_from([name for verb in VERBS for name in (verb.name, *verb.others)]),
        st.sampled_from(["", "timeout", "env", "failed", "*", '"', "priority", "+1", "\x1b[2J", "A=", "!"]),
        st.text(max_size=12),
    )
)
def test_no_line_breaks_anything(line: str) -> None:
    deed = parse(line, HERE)
    assert not isinstance(deed, Complaint) or clean(deed.text) == deed.text
    assert complete(line, HERE).start <= len(line)


def test_more_workers_than_the_run_may_have_are_told_as_what_they_become() -> None:
    bounded = scene(diamond(), "report")._replace(options=RunOptions(workers=4, max_workers=12))
    assert parse("workers 99", bounded) == Do(WorkersRequested(99), said="workers: 12, which is max_workers")
    assert parse("workers 9", bounded) == Do(WorkersRequested(9), said="workers: 9")


HERE = scene(fan_out(8), "merge")


# -- the palette -----------------------------------------------------------------------------------------


def test_the_palette_offers_what_makes_sense_here_and_each_entry_is_a_line() -> None:
    here = scene(diamond(), "report")
    entries = entries_for(here, {})
    names = [entry.name for entry in entries]
    assert {"unit.retry", "run.cancel", "kill", "workers"} <= set(names)
    assert len(set(names)) == len(names)
    texts = [entry.text for entry in entries if entry.key != ":"]
    assert all(texts) and len(set(texts)) == len(texts), "each is told alone"
    assert not any(name.startswith(("move.", "time.", "lines.")) for name in names), (
        "keys that only move, and a replay's"
    )
    assert all(entry.more or not isinstance(parse(entry.name, here), Complaint) for entry in entries)
    assert [entry.key for entry in entries_for(here, {"unit.retry": "ctrl+r"}) if entry.name == "unit.retry"] == ["^r"]


def test_a_screen_that_only_reads_offers_nothing_that_is_asked_of_the_run() -> None:
    session = finished()
    session.read_only = True
    here = scene(session, "report")
    names = {entry.name for entry in entries_for(here, {})}
    assert {"filter.begin", "goto", "app.leave"} <= names
    assert not names & {"unit.retry", "cancel", "kill", "workers", "set", "run.cancel"}
    assert "cancel" not in complete("", here).words


def test_typing_narrows_the_palette_to_entries_with_all_words() -> None:
    entries = entries_for(scene(diamond(), "report"), {})
    assert [entry.name for entry in narrowed(entries, "retry")][:1] == ["unit.retry"]
    assert {entry.name for entry in narrowed(entries, "cancel run")} >= {"run.cancel"}
    assert {entry.name for entry in narrowed(entries, "pri")} == {"priority", "unit.later", "unit.earlier"}
    assert narrowed(entries, "cancel nonsense") == []
    assert narrowed(entries, "") == sorted(entries, key=lambda entry: 0)


def test_verbs_have_one_name_each_and_say_what_they_do() -> None:
    names = [name for verb in VERBS for name in (verb.name, *verb.others)]
    assert len(set(names)) == len(names)
    assert all(verb.text for verb in VERBS)
    assert all(verb.does in BY_ID for verb in VERBS if verb.does)
    assert all(verb.takes is Takes.NOTHING for verb in VERBS if verb.does)
