"""The table of all that keys do."""

from __future__ import annotations

import pytest
from scenes import diamond
from stage import MEDIUM, staged

from qtui.tui.actions import ACTIONS, Action, Where, clashes
from qtui.tui.app import Dashboard
from qtui.tui.keys import shown
from qtui.tui.screens.main import MainScreen
from qtui.tui.widgets.cursor import CursorLines
from qtui.tui.widgets.details import DetailView
from qtui.tui.widgets.events import EventsPane
from qtui.tui.widgets.lines import Lines
from qtui.tui.widgets.log import LogView
from qtui.tui.widgets.replay import ReplayPanes
from qtui.tui.widgets.timeline import TimelinePane
from qtui.tui.widgets.tree import UnitTree

PARTS = {
    Where.TREE: UnitTree,
    Where.LOG: LogView,
    Where.LINES: Lines,
    Where.CURSOR: CursorLines,
    Where.DETAILS: DetailView,
    Where.EVENTS: EventsPane,
    Where.TIMELINE: TimelinePane,
    Where.REPLAY: ReplayPanes,
    Where.SCREEN: MainScreen,
    Where.APP: Dashboard,
}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_is_carried_out_by_its_part_of_the_screen(action: Action) -> None:
    name = action.does.partition("(")[0]
    namespace, _, name = name.rpartition(".")
    part = {"app": Dashboard, "screen": MainScreen}.get(namespace, PARTS[action.where])
    assert callable(getattr(part, f"action_{name}"))


def test_names_are_unique_and_no_key_means_two_things() -> None:
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)
    assert clashes({}) == []


def test_a_chosen_key_that_is_taken_is_found() -> None:
    assert [(key, one.id, other.id) for key, one, other in clashes({"unit.retry": "x"})] == [
        ("x", "unit.retry", "unit.cancel")
    ]
    assert [key for key, *_ in clashes({"unit.retry": "j"})] == ["j", "j"], "of the units and of the other panes"
    assert clashes({"unit.retry": "x", "unit.cancel": "r"}) == [], "swapped"
    assert clashes({"time.play": "x"}) == [], "a replay has nothing to cancel"


def test_keys_are_written_as_people_write_them() -> None:
    assert [shown(key) for key in ("ctrl+d", "shift+tab", "question_mark", "pagedown", "r")] == [
        "^d",
        "S-tab",
        "?",
        "pgdn",
        "r",
    ]


async def test_a_chosen_key_works_and_is_told() -> None:
    keymap = {"app.help": "f2", "pane.zoom": "Z"}
    async with staged(diamond(), MEDIUM, keymap=keymap) as stage:
        await stage.shows(" f2 help ")
        await stage.press("f2")
        await stage.shows("Z            zoom the pane")
        await stage.press("escape", "z")
        await stage.shows("Workers")
        await stage.press("Z")
        await stage.hides("Workers")
