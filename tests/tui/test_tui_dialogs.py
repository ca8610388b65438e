"""Boxes over the screen: the command line, the palette, and the form in which units are edited."""

from __future__ import annotations

from scenes import COMMAND, diamond, failed, finished, unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged
from textual import events

from qtui.core.model import Shell
from qtui.core.stimuli import CancelRequested, EditRequested, PauseRequested, RetryRequested
from qtui.tui.commands import Complaint, parse
from qtui.tui.editing import Field, Kind, difference, told
from qtui.tui.screens.commandline import History
from qtui.tui.wrapping import wrapped

MICRO = (40, 12)


def burst(stage: Stage, *keys: str) -> None:
    """Send all keys before the screen has handled any of them."""
    for key in keys:
        stage.app.post_message(events.Key(key, key if len(key) == 1 else None))


async def typed(stage: Stage, text: str) -> None:
    await stage.press(*("space" if sign == " " else sign for sign in text))


async def test_a_command_is_typed_completed_and_remembered() -> None:
    session = diamond()
    async with staged(session, MEDIUM) as stage:
        await stage.press("colon")
        await typed(stage, "canc")
        await stage.shows("cancel", ":canc")
        await stage.press("tab")
        await stage.shows(":cancel ", "cancel [UNITS]")
        await typed(stage, "rep")
        await stage.press("tab", "enter")
        await stage.shows("cancel report")
        await stage.press("y")
        await stage.until(lambda: session.requests, "the answer")
        await stage.press("colon", "up")
        await stage.shows(":cancel report")
        await stage.press("escape", "colon")
        await typed(stage, "set env TOKEN=geheim report")
        await stage.press("enter")
        await stage.shows("env TOKEN")
        await stage.press("n", "colon", "up")
        await stage.shows(":cancel report")
        await stage.hides("geheim")
    assert session.requests == [CancelRequested((4,))]


async def test_what_is_wrong_with_a_line_is_told_in_place_and_the_line_stays() -> None:
    session = diamond()
    async with staged(session, MICRO) as stage:
        await stage.press("colon")
        await typed(stage, "set timeout 5x train")
        await stage.press("enter")
        await stage.shows('timeout: "5x" is no duration', "or none", ":set timeout 5x train")
        await stage.press("escape")
        await stage.hides("5x")
        await stage.press("colon")
        await typed(stage, "theme mono")
        await stage.press("enter")
        await stage.shows("mono")
    assert not session.requests


async def test_a_pasted_command_is_no_row_of_keys() -> None:
    """Typed in one burst: `p` would pause, and `x` cancel."""
    session = diamond()
    async with staged(session) as stage:
        burst(stage, "colon", *"priority", "space")
        await stage.shows(":priorit")
        burst(stage, "escape", "escape")
        await stage.until(lambda: stage.app.screen is stage.main, "the line closed")
        burst(stage, "colon", *"pause", "enter", "j")
        await stage.until(lambda: session.requests, "paused")
        await stage.until(lambda: stage.app.screen is stage.main, "the line closed")
        await stage.press("j")
        assert stage.app.is_running
    assert session.requests == [PauseRequested()]


async def test_the_palette_narrows_as_one_types_and_does_what_was_chosen() -> None:
    session = diamond()
    async with staged(session, MICRO) as stage:
        await stage.press("ctrl+p")
        await stage.shows("What to do")
        await typed(stage, "nothing new")
        await stage.shows("pause, go on")
        await stage.press("ctrl+u", *"pause", "enter")
        await stage.until(lambda: session.requests, "paused")
        await stage.press("ctrl+p", *"workers", "down")
        await stage.press(*" percent")
        await stage.shows("nothing matches")
        burst(stage, "enter", "escape", "escape", "x")  # what is typed behind the line is for what is below
        await stage.shows("cancel fetch; 4 dependents will")
        await stage.press("n")
        await stage.until(lambda: stage.app.screen is stage.main, "the question closed")
        await stage.press("j")
        await stage.press("ctrl+p")
        burst(stage, *"goto", "enter")
        await stage.shows(":goto ")
        await typed(stage, "train")
        await stage.press("enter")
        await stage.until(lambda: stage.main.tree_pane.unit == 3, "train selected")
        assert stage.app.is_running
    assert session.requests == [PauseRequested()]


def editable() -> ScriptedSession:
    session = ScriptedSession(
        [unit("build", action=Shell(("make",)), timeout=60.0, env={"MODE": "fast"}), unit("other", action=COMMAND)]
    )
    session.fails("build", exit_code=2)
    return session


async def test_a_unit_is_edited_in_a_form_and_runs_again() -> None:
    session = editable()
    async with staged(session, MICRO) as stage:
        await stage.select("build")
        await stage.press("e")
        await stage.shows("Edit build", "make", "1m")
        await stage.press("enter")
        await stage.shows("nothing is changed")
        await typed(stage, " all")
        await stage.press("tab", "ctrl+u", *"5x", "enter")
        await stage.shows('"5x" is no duration')
        await stage.press("backspace", "m", "tab", "tab", "tab", "tab", "tab")
        await typed(stage, "DEBUG=1")
        await stage.press("enter")
        await stage.shows("build: command make -> make", "all, timeout 1m -> 5m, env", "runs again", "y  apply")
        await stage.press("n")
        await stage.hides("y  apply")
        burst(stage, "enter", "y", "x")
        await stage.shows("y  apply")
        assert not session.requests, "what was typed ahead has not seen the question"
        await stage.press("y")
        await stage.until(lambda: session.requests, "the edit")
        await stage.until(lambda: stage.app.screen is stage.main, "the form closed")
        await stage.shows("edited build")
    (edit,) = session.requests
    assert edit == EditRequested((0,), env=("DEBUG=1",), command="make all", timeout=300.0)
    now = session.view().plan.table[0]
    assert (str(now.action), now.timeout, now.env) == ("make all", 300.0, {"MODE": "fast", "DEBUG": "1"})
    assert session.view().attempts[0] == 2


async def test_a_consequence_that_has_become_another_one_is_told_before_the_edit_is_applied() -> None:
    session = ScriptedSession([unit("first"), unit("build", "first")])
    async with staged(session, SMALL) as stage:
        await stage.select("build")
        await stage.press("e", *"5m", "enter")
        await stage.shows("build: timeout none -> 5m", "starts with that")
        session.completes("first")
        session.completes("build")
        await stage.shows("runs again", "takes about 1s, runs build, keeps 1 result")
        await stage.press("y")
        await stage.until(lambda: session.requests, "the edit")


async def test_what_is_typed_takes_the_place_of_a_number_or_of_none() -> None:
    session = ScriptedSession([unit("build")])
    session.fails("build")
    async with staged(session, SMALL) as stage:
        await stage.press("e")
        await stage.shows("Edit build", "timeout  none")
        await stage.press(*"5m", "tab")
        await stage.press(*"2G", "tab", *"4", "tab", *"7", "enter")
        await stage.shows("build: timeout none -> 5m, memory none -> 2G, cpus 0 -> 4, priority 0", "-> 7", "runs again")


async def test_a_secret_is_neither_shown_nor_edited() -> None:
    session = ScriptedSession([unit("a"), unit("b", "a", action=Shell(("curl -H geheim",)), env={"KEY": "geheim"})])
    session.secrets = ("geheim",)
    async with staged(session, SMALL) as stage:
        await stage.select("b")
        await stage.press("e")
        await stage.shows("env KEY", "***")
        assert "geheim" not in stage.text()
        await stage.press("up", *"xyz")
        await stage.shows("a secret is neither shown nor edited here")
        await stage.press("enter")
        await stage.shows("nothing is changed")


async def test_a_form_that_others_were_faster_than_changes_nothing() -> None:
    session = editable()
    async with staged(session, SMALL) as stage:
        await stage.select("build")
        await stage.press("e", *" all", "enter")
        await stage.shows("y  apply")
        session.post(RetryRequested((0,)))
        await stage.press("y")
        await stage.shows("too late")
        await stage.press("escape")
    assert not session.requests


async def test_what_cannot_be_asked_is_told() -> None:
    session = finished()
    session.read_only = True
    async with staged(session, SMALL) as stage:
        for keys in (("e",), ("S",), ("less_than_sign",), ("x",)):
            await stage.press(*keys)
            await stage.shows("the run has ended here")
        await stage.press("colon", *"cancel", "enter")
        await stage.shows("the run has ended here")
    assert not session.requests


async def test_keys_go_to_all_that_is_marked_and_then_nothing_is() -> None:
    session = failed()
    async with staged(session, MEDIUM) as stage:
        await stage.select("clean")
        await stage.press("space")
        await stage.select("features")
        await stage.press("space", "r")
        await stage.shows("Retry", "2 marked units")
        await stage.press("a")
        await stage.until(lambda: session.requests, "run again")
        assert not stage.main.tree_pane.marks
    assert session.requests == [RetryRequested((1, 2))]


# -- without a screen ------------------------------------------------------------------------------------


def test_lines_that_may_hold_a_secret_are_not_remembered() -> None:
    history = History()
    for line in ("retry", "set env A=geheim x", "cancel", " retry ", "", ":set args k=geheim"):
        history.add(line)
    assert history.lines() == ("cancel", "retry")


def test_of_a_change_in_a_long_text_what_is_another_is_told() -> None:
    before = "python3 -m pipeline.load --table prices --region eu --output /data/prices"
    after = before.replace("--region eu", "--region us")
    assert difference(before, after, 200) == (before, after)
    assert difference(before, after, 80) == ("...es --region eu --output /d...", "...es --region us --output /d...")
    assert difference("make", f"make {'x' * 90} THE END", 40)[1] == f"make {'x' * 12}...{'x' * 8} THE END"
    fields = [Field(Kind.COMMAND, "", before), Field(Kind.ENV, "A", "1")]
    typed = [(Kind.COMMAND, "", f"{before} --verbose"), (Kind.ENV, "A", "2")]
    assert told(fields, typed, 60) == "command .../data/prices -> .../data/prices --verbose, env A"


async def test_the_form_is_as_wide_as_the_screen_and_shows_what_was_changed_of_a_long_text() -> None:
    command = f"python3 -m pipeline.load {' '.join(f'--table prices_{number}' for number in range(9))}"
    session = ScriptedSession([unit("build", action=Shell((command,)))])
    session.fails("build")
    for size in ((80, 24), (120, 40), (40, 12)):
        async with staged(session, size) as stage:
            await stage.press("e", *"; echo A")
            await stage.shows("prices_8; echo A")
            await stage.press("enter")
            await stage.shows("y  apply", "-> ...")
            assert "prices_8; echo A" in " ".join(line.strip("│ ") for line in stage.lines())


def test_text_is_wrapped_by_cells_and_nothing_is_lost() -> None:
    assert wrapped("a question of some length", 10) == ["a question", "of some", "length"]
    assert wrapped("日本語の名前です", 6) == ["日本語", "の名前", "です"]
    assert wrapped("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert wrapped("a\n\nb\x1b[2J", 10) == ["a", "", "b"]


def test_a_line_that_is_empty_closes_without_a_word() -> None:
    assert parse("  : ", None) == Complaint("")  # type: ignore[arg-type]
