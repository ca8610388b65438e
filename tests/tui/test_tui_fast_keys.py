"""Keys that come in one burst: typed fast, repeated by the keyboard, or pasted."""

from __future__ import annotations

import asyncio

import pytest
from scenes import diamond, unit
from scripted import ScriptedSession
from stage import Stage, staged
from textual import events

from qtui.core.stimuli import ApproveRequested, CancelRequested, CancelRunRequested, Request


def burst(stage: Stage, *keys: str) -> None:
    """Send all keys before the screen has handled any of them."""
    for key in keys:
        stage.app.post_message(events.Key(key, key if len(key) == 1 else None))


@pytest.mark.parametrize(
    ("opens", "shown", "keys", "asked"),
    [
        ("q", "Quit", "cc", CancelRunRequested("stop")),
        ("X", "Cancel the run", "ss", CancelRunRequested("stop")),
        ("X", "Cancel the run", "fs", CancelRunRequested("drain")),
        ("x", "4 dependents will be skipped", "yyy", CancelRequested((0,))),
        ("x", "4 dependents will be skipped", "yn", CancelRequested((0,))),
    ],
)
async def test_only_the_first_of_several_answers_in_one_burst_counts(
    opens: str, shown: str, keys: str, asked: Request
) -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press(opens)
        await stage.shows(shown)
        burst(stage, *keys)
        await stage.until(lambda: stage.app.screen is stage.main, "the question closed")
        await stage.press("j")
        assert stage.app.is_running
    assert session.requests == [asked]


@pytest.mark.parametrize("keys", [("escape", "escape"), ("enter", "n"), ("n", "enter", "escape"), ("escape", "s")])
async def test_who_goes_back_twice_in_one_burst_is_back_once(keys: tuple[str, ...]) -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press("X")
        await stage.shows("Cancel the run")
        burst(stage, *keys)
        await stage.hides("Cancel the run")
        await stage.press("j")
        assert stage.app.is_running
    assert not session.requests


async def test_a_unit_that_asks_is_answered_once() -> None:
    session = ScriptedSession([unit("publish", confirm="Publish?"), unit("other")])
    async with staged(session) as stage:
        await stage.select("publish")
        await stage.press("a")
        await stage.shows("Publish?", "y ")
        burst(stage, "y", "y")
        await stage.until(lambda: stage.app.screen is stage.main, "the question closed")
        await stage.press("j")
        assert stage.app.is_running
    assert session.requests == [ApproveRequested((0,))]


async def test_what_is_wrong_with_a_line_is_told_also_if_it_came_with_its_enter() -> None:
    async with staged(diamond()) as stage:
        await stage.press("colon")
        burst(stage, *"cancle", "enter")
        await stage.shows('there is no command cancle; did you mean "cancel"?')
        await stage.pilot.pause(0.05)
        await stage.shows('there is no command cancle; did you mean "cancel"?')
        await stage.press("x")
        await stage.hides("there is no command cancle")


@pytest.mark.parametrize("pane", ["1", "4", "5"])
async def test_a_filter_typed_in_one_burst_with_its_slash_filters(pane: str) -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press(pane)
        burst(stage, "slash", *"features", "enter")
        await stage.until(lambda: stage.main.tree_pane.filter == "features", "the filter")
        await stage.until(lambda: not stage.main.has_class("-filtering"), "the line closed")
        await stage.press("escape")
        burst(stage, "slash", *"xX")  # the line is there already
        await stage.until(lambda: stage.main.tree_pane.filter == "xX", "another filter")
    assert session.requests == []


async def test_a_search_of_the_log_typed_in_one_burst_with_its_slash_searches() -> None:
    session = diamond()
    session.completes("fetch")
    session.prints("fetch", "a line\nto pause\n")
    async with staged(session) as stage:
        await stage.press("2")
        burst(stage, "slash", *"pause", "enter")
        await stage.until(lambda: stage.main.log_pane.finder.pattern is not None, "the search")
        assert stage.main.log_pane.finder.pattern.typed == "pause"
        await stage.shows("1/1 /pause")
    assert session.requests == []


@pytest.mark.parametrize("keys", ["/pause", ":pause", "2/pause"])
async def test_what_is_typed_behind_the_key_of_a_line_goes_into_it_in_order_however_fast(keys: str) -> None:
    session = diamond()
    async with staged(session) as stage:
        for key in keys:
            stage.app.post_message(events.Key({"/": "slash", ":": "colon"}.get(key, key), key))
            await asyncio.sleep(0)  # the next one comes while the one before is still on its way
        await stage.until(lambda: getattr(stage.app.focused, "value", "") == "pause", "all of it in the line")
    assert session.requests == []


async def test_a_box_that_has_to_be_read_first_takes_no_key_that_was_typed_before_it_was_there() -> None:
    session = diamond()
    async with staged(session) as stage:
        burst(stage, "x", "y")
        await stage.shows("4 dependents will be skipped")
        await stage.pilot.pause()
        assert session.requests == []
        await stage.press("y")
        await stage.until(lambda: session.requests == [CancelRequested((0,))], "the answer")
