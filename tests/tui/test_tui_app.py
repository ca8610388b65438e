"""The dashboard as people use it: what is on the screen, and what keys ask of the run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from scenes import TRACEBACK, diamond, failed, fan_out, finished, nightly, unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, staged
from textual.events import MouseScrollUp

from qtui.core.model import Argv, Call, QuantumUnit, RetryPolicy, UnitError
from qtui.core.options import RunOptions
from qtui.core.state import RunView
from qtui.core.stimuli import (
    CancelRequested,
    CancelRunRequested,
    PauseRequested,
    RetryRequested,
    UnpauseRequested,
    WorkersStepRequested,
)
from qtui.tui import steering
from qtui.tui.format import UNICODE
from qtui.tui.screens.help import Help
from qtui.tui.screens.question import Question
from qtui.tui.widgets.lines import Lines

# -- what is shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, MEDIUM, (200, 60), (100, 20), (80, 50)])
async def test_a_row_tells_sign_word_time_and_cause(size: tuple[int, int]) -> None:
    async with staged(nightly(), size) as stage:
        await stage.shows("fetch.raw")
        assert re.search(r"✗ FAIL +0:17 +├─ grid\[lr=1\.0\]  ValueError", stage.line_with("├─ grid[lr=1.0]"))
        assert re.search(r"✓ ok +0:03 fetch\.meta  fallback", stage.line_with("fetch.meta"))
        assert "3✓ 7▸ 2⋮" in stage.line_with("embed[0..11]")
        assert "RUNNING" in stage.lines()[0]
        assert "12/23" in stage.lines()[0]


async def test_a_change_of_state_is_on_the_screen_a_frame_later() -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.shows("▸ run")
        session.after(5)
        session.completes("fetch")
        await stage.until(lambda: "✓ ok     0:05 fetch" in stage.text(), "fetch completed")
        assert "1/5" in stage.lines()[0]


async def test_the_medium_screen_shows_all_four_panes() -> None:
    async with staged(nightly(), MEDIUM) as stage:
        await stage.shows("Units", "Log", "Workers 8/8", "Events", "disk is 91% full: /data")
        assert re.search(r"w8 +▸ +1:03 +187% +1\.2G command +embed\[shard=3\]", stage.line_with("187%"))
        assert re.search(r"cpu +▄+  41%  mem +▄+  38% +6\.0G/16G", stage.line_with("cpu"))


async def test_workers_and_events_can_be_reached_on_a_small_screen() -> None:
    async with staged(nightly(), SMALL) as stage:
        await stage.press("3")
        await stage.shows("Workers 8/8", "w1")
        await stage.press("4")
        await stage.shows("disk is 91% full: /data")
        await stage.hides("Workers 8/8 ")
        await stage.press("shift+tab", "shift+tab")
        await stage.shows("[Log]")


async def test_a_resize_changes_the_arrangement_at_once() -> None:
    async with staged(nightly(), SMALL) as stage:
        assert "Events" not in stage.text()
        await stage.pilot.resize_terminal(*MEDIUM)
        await stage.shows("Events", "Workers 8/8")
        await stage.pilot.resize_terminal(40, 12)
        await stage.hides("Events")
        await stage.until(lambda: "FAIL" not in stage.text() and "✗" in stage.lines()[3], "what failed, first")


@pytest.mark.parametrize("size", [(1, 1), (5, 2), (10, 3), (40, 10), (59, 15)])
async def test_tiny_terminals_do_not_break_it(size: tuple[int, int]) -> None:
    session = nightly()
    async with staged(session, SMALL) as stage:
        await stage.pilot.resize_terminal(*size)
        session.completes("embed[shard=5]")
        await stage.press("j", "2", "3", "4", "1", "question_mark", "escape", "q", "escape")
        await stage.pilot.resize_terminal(*SMALL)
        await stage.shows("embed[0..11]  4✓")


async def test_ascii_draws_with_ascii_only() -> None:
    async with staged(nightly(), MEDIUM, ascii=True) as stage:
        await stage.shows("X FAIL", "`- ")
        assert stage.text().isascii()
        await stage.press("question_mark")
        await stage.shows("Keys")
        assert stage.text().isascii()


async def test_without_colour_no_segment_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    session = nightly()
    session.prints("fetch.raw", "\x1b[31mred\x1b[0m\n")
    async with staged(session, MEDIUM) as stage:
        await stage.shows("✗ FAIL", "red")
        for key in ("q", "escape", "question_mark"):
            await stage.press(key)
            for segment in stage.segments():
                assert segment.style is not None
                assert segment.style.color is None or segment.style.color.is_default
                assert segment.style.bgcolor is None or segment.style.bgcolor.is_default


async def test_colour_can_be_forced_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with staged(nightly(), color=True) as stage:
        await stage.shows("✗ FAIL")
        names = {segment.style.color.name for segment in stage.segments() if segment.style and segment.style.color}
        assert "bright_red" in names


async def test_hostile_text_never_reaches_the_screen() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e[/x][red]"
    session = ScriptedSession([QuantumUnit(id=f"a{evil}", action=Call.of(nightly)), unit("b", action=Argv(("x",)))])
    session.prints(f"a{evil}", f"said{evil}\x9b31m\n")
    session.progresses(f"a{evil}", 1, 2, evil)
    session.warns(f"warned{evil}")
    session.fails("b", UnitError("Evil", evil, f"Traceback{evil}\n  at{evil}"))
    async with staged(session, MEDIUM) as stage:
        await stage.shows("said[/x][red]", "a[/x][red]", "warned[/x][red]")
        await stage.press("j")
        await stage.shows("Evil: [/x][red]")
        await stage.press("k", "x")
        dangerous = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
        assert not dangerous.search("".join(stage.lines()))
        for segment in stage.segments():
            assert segment.style is None or segment.style.link is None


# -- the tree --------------------------------------------------------------------------------------------


async def test_moving_stops_at_both_ends() -> None:
    async with staged(diamond()) as stage:
        await stage.press("k", "G")
        await stage.shows("Units 5/5")
        await stage.press("j", "g")
        await stage.shows("Units 1/5")
        await stage.press("pagedown")
        await stage.shows("Units 5/5")


async def test_a_family_unfolds_and_folds() -> None:
    async with staged(fan_out(8)) as stage:
        await stage.press("j", "l")
        await stage.shows("extract[7]")
        await stage.press("h")
        await stage.hides("extract[7]")
        await stage.press("enter")
        await stage.shows("extract[7]")


async def test_a_family_that_a_filter_finds_unfolds_and_folds_as_it_does_without_one() -> None:
    async with staged(fan_out(8)) as stage:
        await stage.press("slash", *"extract", "enter")
        await stage.shows("8 found", "enter unfolds")
        await stage.hides("extract[7]")
        await stage.press("l")
        await stage.shows("extract[7]", "enter folds")
        await stage.press("n")
        await stage.until(lambda: stage.main.tree_pane.label == "extract[0]", "the first one that was found")
        await stage.press("h", "enter")
        await stage.shows("enter unfolds")
        await stage.hides("extract[7]")
        await stage.press("enter", "escape")
        await stage.shows("merge", "extract[7]", "enter folds")


async def test_of_a_family_that_a_filter_finds_in_part_those_are_on_show_that_it_finds() -> None:
    async with staged(fan_out(8)) as stage:
        await stage.press("slash", *"extract[3", "enter", "k")
        await stage.shows("enter goes to the first that is found", "extract[3]")
        await stage.press("enter")
        await stage.until(lambda: stage.main.tree_pane.label == "extract[3]", "the one that was found")
        await stage.hides("extract[2]")


async def test_a_failed_member_stays_in_sight_of_a_folded_family() -> None:
    session = fan_out(8)
    async with staged(session) as stage:
        session.completes("list_files")
        session.fails("extract[2]", exit_code=9)
        await stage.shows("↻ retry")
        assert "try 2/2 in" in stage.line_with("extract[2]")
        assert "1↻" in stage.line_with("extract[0..7]")
        session.after(8)
        await stage.until(lambda: "extract[2]" not in stage.text(), "the member folded away when it was ready again")


async def test_the_selection_stays_with_its_unit_when_rows_come() -> None:
    session = fan_out(8)
    async with staged(session) as stage:
        await stage.press("G")
        await stage.shows("Units 4/4")
        session.completes("list_files")
        session.fails("extract[2]")
        await stage.shows("Units 5/5")
        assert "publish" in stage.line_with("›")


async def test_a_selected_member_stays_when_its_trouble_is_over() -> None:
    session = fan_out(8)
    session.completes("list_files")
    session.fails("extract[2]")
    async with staged(session) as stage:
        await stage.select("extract[2]")
        session.after(8)
        await stage.until(lambda: "↻ retry" not in stage.text(), "the next try")
        assert "extract[2]" in stage.line_with("›")
        await stage.press("G")
        await stage.hides("extract[2]")


async def test_a_branch_folds_and_says_what_it_hides() -> None:
    async with staged(failed()) as stage:
        await stage.press("g", "h")
        await stage.shows("(+4, 1 failed)")
        await stage.press("f")
        await stage.shows("✗ FAIL")


async def test_the_filter_shows_matches_and_escape_shows_all() -> None:
    async with staged(nightly()) as stage:
        await stage.press("slash", *"grid", "enter")
        await stage.shows("Units /grid")
        assert "encode.tokens" not in stage.text()
        await stage.press("n")
        first = stage.line_with("›")
        await stage.press("n")
        assert stage.line_with("›") != first
        await stage.press("escape")
        await stage.shows("encode.tokens")


async def test_letters_typed_into_the_filter_are_no_commands() -> None:
    session = nightly()
    async with staged(session) as stage:
        await stage.press("slash", *"xXpq")
        await stage.shows("no match", "enter keep the filter")
        assert "r retry" not in stage.lines()[-1]
        assert not session.requests
        await stage.press("escape")
        await stage.shows("fetch.raw")


async def test_f_goes_round_what_failed() -> None:
    async with staged(nightly()) as stage:
        await stage.press("f")
        await stage.until(lambda: "grid[lr=1.0]" in stage.line_with("›"), "the first failure")
        await stage.press("f")
        await stage.until(lambda: "grid[lr=0.01]" in stage.line_with("›"), "the second")
        await stage.press("f")
        await stage.until(lambda: "grid[lr=1.0]" in stage.line_with("›"), "the first again")


# -- the log ---------------------------------------------------------------------------------------------


async def test_the_log_follows_until_one_scrolls_up_and_end_resumes() -> None:
    session = diamond()
    session.prints("fetch", "".join(f"line {number}\n" for number in range(100)))
    async with staged(session) as stage:
        await stage.shows("line 99", "following")
        await stage.press("2", "k")
        await stage.shows("F follows")
        session.prints("fetch", "line 100\n")
        session.after(61)
        await stage.shows("0:01:01")
        assert "line 100" not in stage.text()
        await stage.press("end")
        await stage.shows("line 100", "following")


async def test_enter_opens_the_log_and_escape_goes_back() -> None:
    session = diamond()
    session.prints("fetch", "hello\n")
    async with staged(session) as stage:
        await stage.press("enter")
        await stage.hides("Units")
        await stage.shows("hello")
        await stage.press("escape")
        await stage.shows("Units 1/5")


async def test_long_lines_can_be_read_to_their_end() -> None:
    session = diamond()
    session.prints("fetch", "a" * 100 + "THE END\n")
    async with staged(session) as stage:
        await stage.shows("aaa…")
        await stage.press("2", *["l"] * 5)
        await stage.shows("THE END")


async def test_a_failed_unit_shows_its_traceback_below_its_output() -> None:
    async with staged(failed(), MEDIUM) as stage:
        await stage.shows("reading block 199", TRACEBACK.splitlines()[0], "ValueError: bad row 17")


async def test_a_waiting_unit_says_what_it_waits_for() -> None:
    async with staged(diamond()) as stage:
        await stage.select("train")
        await stage.shows("waits for 2 of 2 needs", "∙ wait   clean")


async def test_the_log_of_a_new_attempt_replaces_the_old() -> None:
    session = ScriptedSession([unit("a", retry=RetryPolicy(max=1, delay=1))])
    session.prints("a", "first try\n")
    async with staged(session) as stage:
        await stage.shows("first try")
        session.fails("a")
        await stage.shows("ValueError: bad row 17")
        session.after(1)
        await stage.hides("first try")
        session.prints("a", "second try\n")
        await stage.shows("second try", "try 2/2")


# -- steering --------------------------------------------------------------------------------------------


async def test_canceling_asks_and_n_enter_and_escape_mean_back() -> None:
    session = diamond()
    async with staged(session) as stage:
        for back in ("n", "enter", "escape"):
            await stage.press("x")
            await stage.shows("cancel fetch; 4 dependents will be skipped")
            await stage.press(back)
            await stage.hides("will be skipped")
        assert not session.requests
        await stage.press("x", "y")
        await stage.shows("⊗ stop", "a thread cannot be stopped")
        assert session.requests == [CancelRequested((0,))]


@pytest.mark.parametrize("size", [SMALL, (50, 30), (51, 30)])
async def test_no_character_of_a_question_is_lost_where_it_wraps(size: tuple[int, int]) -> None:
    session = failed()
    words = "".join(f"{'界' * (count % 3)}{count:02}x " for count in range(60)).strip()
    session.on_disk[session.number("features")] = words
    async with staged(session, size) as stage:
        await stage.select("features")
        await stage.press("r")
        await stage.shows("its edited definition")
        beside = (part for line in stage.lines() for part in re.split("[│|]", line))  # the tree stands beside the box
        shown = "".join(part.strip() for part in beside if re.search(r"\d\dx", part))
        assert words.replace(" ", "") in shown.replace(" ", "")
        await stage.press("n")
        await stage.hides("its edited definition")
    assert not session.requests


async def test_a_second_x_kills() -> None:
    session = ScriptedSession([unit("a", action=Argv(("sleep", "99")))])
    async with staged(session) as stage:
        await stage.press("x", "y")
        await stage.shows("⊗ stop")
        assert session.interrupted == [0]
        assert not session.killed
        await stage.press("x")
        await stage.shows("kill a, which has been asked to stop")
        await stage.press("y")
        await stage.shows("killing for")
        assert session.killed == [0]


async def test_the_screen_shows_no_wish_before_the_run_grants_it() -> None:
    session = diamond()
    session.request = session.requests.append  # type: ignore[method-assign]
    async with staged(session) as stage:
        await stage.press("p")
        session.after(61)
        await stage.shows("0:01:01")
        assert session.requests == [PauseRequested()]
        assert "RUNNING" in stage.lines()[0]


async def test_x_on_a_family_cancels_its_open_members() -> None:
    session = fan_out(8)
    async with staged(session) as stage:
        await stage.press("j", "x")
        await stage.shows("cancel 8 units of extract[0..7]: 8 waiting; 2 dependents")
        await stage.press("y")
        await stage.shows("8⊘")


async def test_r_and_capital_r_run_again() -> None:
    session = failed()
    async with staged(session) as stage:
        await stage.shows("1 failed: f next")
        await stage.press("r")
        await stage.until(lambda: session.requests == [RetryRequested((2,))], "the request")
        session.fails("features")
        await stage.shows("features runs again; 2 skipped because of it wait again", "✗ FAIL")
        await stage.press("R")
        await stage.shows("Run again what failed", "unit, and 2 skipped because of it?")
        await stage.press("y")
        await stage.until(lambda: len(session.requests) == 2, "the second request")


async def test_a_completed_unit_asks_for_the_scope() -> None:
    session = finished()
    async with staged(session) as stage:
        await stage.press("g", "r")
        await stage.shows("this unit only", "the unit, and 4 dependents after it")
        await stage.press("y")  # an answer to other questions
        await stage.shows("press u, d or n")
        await stage.press("d")
        await stage.shows("RUNNING")
        assert session.requests == [RetryRequested((0,), "dependents")]


async def test_p_plus_and_minus_steer_the_run() -> None:
    session = ScriptedSession([unit("a"), unit("b"), unit("c")], RunOptions(workers=2))
    async with staged(session) as stage:
        await stage.press("p")
        await stage.shows("PAUSED")
        await stage.press("p")
        await stage.shows("RUNNING")
        await stage.press("plus", "minus", "minus", "minus")
        assert session.requests == [
            PauseRequested(),
            UnpauseRequested(),
            WorkersStepRequested(1),
            WorkersStepRequested(-1),
            WorkersStepRequested(-1),
        ]
        await stage.shows("one worker is the least")


async def test_plus_says_why_there_are_no_more_workers_and_the_next_key_takes_that_away() -> None:
    session = ScriptedSession([unit("a"), unit("b"), unit("c")], RunOptions(workers=2, max_workers=2))
    async with staged(session) as stage:
        await stage.press("plus")
        await stage.shows("no more workers: 2 is max_workers")
        await stage.press("j")
        await stage.hides(" no more workers")


async def test_help_lists_the_keys_and_closes() -> None:
    async with staged(diamond(), MEDIUM) as stage:
        await stage.press("question_mark")
        await stage.shows("Keys", "down, up")
        await stage.press("G")
        await stage.shows("not run: a need failed")
        await stage.press("question_mark")
        await stage.hides("not run: a need failed")


async def test_the_run_goes_on_under_an_open_question() -> None:
    session = diamond()
    async with staged(session, MEDIUM) as stage:
        await stage.press("q")
        await stage.shows("Quit")
        session.after(61)
        session.completes("fetch")
        await stage.shows("✓ ok     1:01", "0:01:01")


async def test_a_question_about_a_running_workflow_goes_when_it_has_finished() -> None:
    session = ScriptedSession([unit("only")])
    async with staged(session) as stage:
        await stage.press("q")
        await stage.shows("Quit")
        session.completes("only")
        await stage.hides("Quit")
        await stage.shows("finished; q quits")


# -- the mouse -------------------------------------------------------------------------------------------


async def test_a_click_selects_and_a_double_click_opens() -> None:
    session = diamond()
    session.prints("fetch", "hello\n")
    async with staged(session) as stage:
        await stage.pilot.click("#units", offset=(20, 3))
        await stage.until(lambda: "features" in stage.line_with("›"), "the third row selected")
        await stage.pilot.click("#units", offset=(20, 1), times=2)
        await stage.hides("Units")
        await stage.shows("hello")


async def test_the_wheel_scrolls_what_is_under_the_pointer() -> None:
    session = diamond()
    session.prints("fetch", "".join(f"line {number}\n" for number in range(100)))
    async with staged(session) as stage:
        await stage.shows("line 99")
        log = stage.main.log_pane
        at = {"x": 1, "y": 1, "delta_x": 0, "delta_y": -1, "button": 0}
        log.post_message(MouseScrollUp(log, **at, shift=False, meta=False, ctrl=False))
        await stage.shows("F follows")


@pytest.mark.parametrize(
    "make", [lambda view: Help(UNICODE, ()), lambda view: Question(steering.leave(view), UNICODE, lambda: view)]
)
async def test_a_screen_that_is_drawn_when_its_box_has_gone_breaks_nothing(make: Callable[[RunView], Any]) -> None:
    """Keys may come faster than screens: what is closed before it is there is drawn once all the same."""
    async with staged(diamond()) as stage:
        screen = make(stage.session.view())
        await stage.app.push_screen(screen)
        await screen.query(Lines).remove()
        screen.on_mount()
        screen.on_resize()


async def test_an_answer_to_what_has_changed_meanwhile_is_not_carried_out() -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press("X")
        await stage.shows("finish what runs, cancel the rest (drain)")
        session.post(CancelRunRequested("stop"))
        await stage.press("s")
        await stage.shows("too late: the run has changed")
        assert not session.requests
