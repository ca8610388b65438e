"""The picker: what there is to run, attach to, replay or resume, and how one gets at it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from stage import SMALL, Stage

from qtui.tui.picker import Picker, PickerList
from qtui.tui.picking import ATTACH, REPLAY, RESUME, RUN, Choice, Entry, Offer, ago
from qtui.tui.roles import Role

OFFER = Offer(
    workflows=[
        Entry(Choice(RUN, "nightly.toml"), "nightly.toml", about="last run FAILED 2 h ago"),
        Entry(Choice(RUN, "workflows/etl.toml"), "workflows/etl.toml"),
    ],
    runs=[
        Entry(Choice(ATTACH, "20260101-120000-aaaa"), "nightly", "RUNNING", Role.PRIMARY, "3/12"),
        Entry(
            Choice(REPLAY, "20260101-110000-bbbb"), "nightly", "FAILED", Role.ERROR, "11 ok, 1 failed",
            Choice(RESUME, "20260101-110000-bbbb"),
        ),
        Entry(Choice(RESUME, "20260101-100000-cccc"), "etl", "INTERRUPTED", Role.SECONDARY, "4/9"),
    ],
)  # fmt: skip


@asynccontextmanager
async def picking(offer: Offer = OFFER, size: tuple[int, int] = SMALL, *, ascii: bool = False) -> AsyncIterator[Stage]:
    app = Picker("/work/flow", lambda: offer, ascii=ascii)
    async with app.run_test(size=size) as pilot:
        stage = Stage(app, pilot)
        await stage.shows("qtui  /work/flow")
        yield stage


async def test_each_row_names_what_enter_does() -> None:
    async with picking() as stage:
        await stage.shows("Workflows here  2", "Runs  3")
        assert re.search(r"› run +nightly\.toml +last run FAILED 2 h ago", stage.line_with("last run"))
        assert re.search(r"attach +nightly +RUNNING +3/12", stage.line_with("RUNNING"))
        assert re.search(r"replay +nightly +FAILED +11 ok, 1 failed", stage.line_with("11 ok"))
        assert re.search(r"resume +etl +INTERRUPTED", stage.line_with("INTERRUPTED"))


@pytest.mark.parametrize(
    ("keys", "choice"),
    [
        (["enter"], Choice(RUN, "nightly.toml")),
        (["j", "j", "enter"], Choice(ATTACH, "20260101-120000-aaaa")),
        (["G", "enter"], Choice(RESUME, "20260101-100000-cccc")),
        (["G", "k", "enter"], Choice(REPLAY, "20260101-110000-bbbb")),
        (["G", "k", "r"], Choice(RESUME, "20260101-110000-bbbb")),
        (["G", "r"], Choice(RESUME, "20260101-100000-cccc")),
        (["slash", "e", "t", "l", "enter", "j", "enter"], Choice(RESUME, "20260101-100000-cccc")),
        (["q"], None),
        (["ctrl+c"], None),
    ],
)
async def test_keys_pick(keys: list[str], choice: Choice | None) -> None:
    async with picking() as stage:
        await stage.press(*keys)
        await stage.until(lambda: not stage.app.is_running, "the picker is left")
    assert stage.app.return_value == choice


LIVE = Choice(ATTACH, "20260101-120000-aaaa")
WHILE_ONE_RUNS = OFFER._replace(
    workflows=[OFFER.workflows[0]._replace(live=LIVE), OFFER.workflows[1]], first=LIVE.target
)


@pytest.mark.parametrize(
    ("keys", "choice"),
    [
        (["enter"], LIVE),
        (["g", "enter", "a"], LIVE),
        (["g", "enter", "y"], Choice(RUN, "nightly.toml")),
        (["g", "enter", "enter", "q"], None),
        (["g", "enter", "x", "escape", "j", "enter"], Choice(RUN, "workflows/etl.toml")),
    ],
)
async def test_while_a_run_goes_on_it_is_selected_and_a_second_one_is_asked_first(
    keys: list[str], choice: Choice | None
) -> None:
    async with picking(WHILE_ONE_RUNS) as stage:
        await stage.press(*keys)
        await stage.until(lambda: not stage.app.is_running, "the picker is left")
    assert stage.app.return_value == choice


@pytest.mark.parametrize("size", [SMALL, (30, 8)])
async def test_the_question_tells_what_a_second_run_would_do(size: tuple[int, int]) -> None:
    async with picking(WHILE_ONE_RUNS) as stage:
        await stage.press("g", "enter")
        await stage.pilot.resize_terminal(*size)
        await stage.shows("nightly.toml is", "attach to the run", "start a second", "back (also")


async def test_what_cannot_be_resumed_says_so() -> None:
    over = Entry(Choice(REPLAY, "20260101-090000-eeee"), "done", "OK", Role.SUCCESS)
    async with picking(Offer(OFFER.workflows, [over])) as stage:
        await stage.press("r")
        await stage.shows("nightly.toml: enter runs it, only runs are resumed")
        stage.app.screen._write(OFFER)  # type: ignore[attr-defined]
        await stage.shows("nightly.toml: enter runs it")
        await stage.press("G", "r")
        await stage.shows("done: there is nothing to resume")


@pytest.mark.parametrize("size", [SMALL, (200, 50)])
async def test_the_help_shows_the_keys_and_no_states_of_units(size: tuple[int, int]) -> None:
    async with picking(size=size) as stage:
        await stage.press("question_mark")
        await stage.shows("this help", "resume the run", "filter the rows; esc shows all again")
        assert "needs not met" not in stage.text()
        await stage.press("question_mark")
        await stage.hides("this help")
        await stage.press("question_mark", "ctrl+c")
        await stage.until(lambda: not stage.app.is_running, "the picker is left")
    assert stage.app.return_value is None


async def test_a_filter_shows_what_matches_and_counts_it() -> None:
    async with picking() as stage:
        await stage.press("slash", *"failed")
        await stage.shows("Workflows here  1 of 2", "Runs  1 of 3")
        await stage.hides("INTERRUPTED")
        await stage.press("escape")
        await stage.shows("Runs  3", "INTERRUPTED")


async def test_the_selection_stays_with_its_run_when_others_come() -> None:
    offers = [OFFER]
    app = Picker("here", lambda: offers[-1])
    async with app.run_test(size=SMALL) as pilot:
        stage = Stage(app, pilot)
        await stage.shows("Runs  3")
        await stage.press("j", "j")
        new = Entry(Choice(ATTACH, "20260101-130000-dddd"), "brand-new", "RUNNING")
        stage.app.screen.query_one(PickerList).offer(OFFER._replace(runs=[new, *OFFER.runs]))
        await stage.shows("Runs  4", "brand-new")
        assert "3/12" in stage.line_with("›")


async def test_nothing_to_pick_says_how_to_begin() -> None:
    async with picking(Offer([], [])) as stage:
        await stage.shows("qtui init")
        await stage.press("enter", "j", "r", "G", "q")
    assert stage.app.return_value is None


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (40, 10), (120, 40)])
async def test_any_size_and_ascii_will_do(size: tuple[int, int]) -> None:
    async with picking(size=SMALL, ascii=True) as stage:
        await stage.pilot.resize_terminal(*size)
        await stage.press("j", "G", "g", "slash", "x", "escape")
        assert stage.text().isascii()


async def test_hostile_names_stay_text() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e[/x][red]"
    entry = Entry(Choice(REPLAY, "r"), f"name{evil}", "FAILED", Role.ERROR, f"about{evil}")
    async with picking(Offer([], [entry], [f"note{evil}"])) as stage:
        await stage.shows("name[/x][red]", "about[/x][red]", "note[/x][red]")
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(stage.lines()))


def test_how_long_ago_is_one_figure() -> None:
    assert [ago(seconds) for seconds in (3, 60, 3599, 7200, 86400, 900_000)] == [
        "just now", "1 min ago", "59 min ago", "2 h ago", "1 day ago", "10 days ago",
    ]  # fmt: skip
