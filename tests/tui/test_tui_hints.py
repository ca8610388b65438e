"""The key line says what does something here and now."""

from __future__ import annotations

import pytest
from scenes import diamond, failed, unit
from scripted import ScriptedSession
from stage import staged

from qtui.tui.actions import BY_ID
from qtui.tui.keys import Place, groups_for, hints_for, key_for
from qtui.tui.widgets.status import situation

SESSION = diamond()


def hints(place: Place = Place(), **keymap: str) -> dict[str, str]:  # noqa: B008  - a value
    return {
        hint.text: hint.keys
        for hint in hints_for(SESSION, {name.replace("__", "."): keys for name, keys in keymap.items()}, place)
    }


def test_the_most_needed_comes_first_and_leaving_has_two_words() -> None:
    texts = list(hints())

    assert texts[:3] == ["help", "quit", "detach"]
    assert not [text for text in texts if "leave" in text]


def test_a_run_that_has_ended_can_be_retried_and_left_but_not_steered() -> None:
    running, ended = hints(), hints(Place(ended=True))

    assert {"pause", "cancel", "cancel run", "workers", "detach", "answer"} <= running.keys()
    assert not {"pause", "cancel", "cancel run", "workers", "detach", "answer"} & ended.keys()
    assert {"quit", "retry", "retry failed", "failed"} <= ended.keys()


@pytest.mark.parametrize(
    ("place", "gone"),
    [
        (Place(selected=False), {"retry", "cancel", "log", "mark"}),
        (Place(failed=False), {"failed", "retry failed"}),
        (Place(asks=False), {"answer"}),
    ],
)
def test_keys_that_would_do_nothing_are_not_told(place: Place, gone: set[str]) -> None:
    assert gone <= hints().keys()
    assert not gone & hints(place).keys()


def test_in_a_paused_run_how_to_go_on_comes_first() -> None:
    assert hints()["pause"] == "p" and "go on" not in hints()
    assert next(iter(hints(Place(paused=True)).items())) == ("go on", "p")
    assert "go on" not in hints(Place(paused=True, ended=True))
    assert hints(Place(paused=True), run__pause="f9")["go on"] == "f9"


def test_the_slash_is_what_the_pane_makes_of_it() -> None:
    assert hints()["filter"] == "/" and "search" not in hints()
    assert hints(Place(pane="log"))["search"] == "/" and "filter" not in hints(Place(pane="log"))
    assert hints(Place(pane="workers"))["filter"] == "/"


def test_the_next_match_is_that_of_the_filter_or_the_search() -> None:
    assert "next match" not in hints()
    assert hints(Place(filtered=True))["next match"] == "n"
    assert hints(Place(pane="log", searched=True))["next match"] == "n"
    assert "next match" not in hints(Place(pane="log", filtered=True))


def test_what_the_log_has_keys_for_comes_first_there_and_before_it_the_way_back_from_a_zoom() -> None:
    assert "back" not in hints()
    texts = [text for text in hints(Place(pane="log", zoomed=True)) if text != "help"]
    assert texts[:2] == ["back", "search"]
    assert texts.index("copy") < texts.index("quit")


def test_enter_opens_the_log_only_where_units_are() -> None:
    assert hints()["log"] == "enter"
    assert "log" not in hints(Place(pane="log"))


def test_chosen_keys_are_told_and_those_without_a_key_are_not() -> None:
    assert hints(unit__retry="f5,ctrl+r")["retry"] == "f5"
    assert "cancel run" not in hints(run__cancel="none")
    keys = [key for _, rows in groups_for(SESSION, {"run.cancel": "none"}) for key in rows]
    assert BY_ID["run.cancel"].text not in [key.text for key in keys]


def test_hints_of_a_place_are_made_once() -> None:
    assert hints_for(SESSION, {}, Place()) is hints_for(SESSION, {}, Place())


def test_the_status_line_names_the_keys_that_a_person_has_chosen() -> None:
    keymap = {"unit.retry": "ctrl+r,r", "unit.retry_all": "none", "app.leave": "f10"}
    told, _ = situation(failed().view(), keymap=keymap)
    assert told == "1 failed: f next, ^r again, :unit.retry_all all; f10 quits"
    assert key_for("units.finished", {}) == "." and key_for("screen.back", {}) == "esc"


@pytest.mark.parametrize("size", [(40, 12), (80, 24)])
async def test_below_a_box_stand_its_own_keys(size: tuple[int, int]) -> None:
    async with staged(diamond(), size) as stage:
        await stage.shows("q quit")
        await stage.press("X")
        await stage.until(lambda: stage.lines()[-1].split()[-3:] == ["answer", "n", "back"], "the keys of the box")
        await stage.press("n")
        await stage.shows("q quit")


async def test_a_small_screen_with_an_open_question_names_the_key_of_the_help() -> None:
    async with staged(ScriptedSession([unit("publish", confirm="Publish?")]), (40, 12)) as stage:
        await stage.shows("1 unit asks you; a answers", "? help")
