"""Keys that people choose: names, what terminals keep to themselves, clashes; and the table that tells them all."""

from __future__ import annotations

import pytest

from qtui.cli.keys import table
from qtui.cli.main import main
from qtui.tui.actions import ACTIONS, clashes
from qtui.tui.keycheck import check_keys, key_name
from qtui.tui.presskeys import PressKeys, line_of


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("r", "r"),
        ("R", "R"),
        ("shift+r", "R"),
        ("?", "question_mark"),
        ("+", "plus"),
        ("ctrl++", "ctrl+plus"),
        (",", "comma"),
        ("comma", "comma"),
        ("é", "é"),
        (" ", "space"),
        ("Ctrl+R", "ctrl+r"),
        ("shift+ctrl+up", "ctrl+shift+up"),
        ("F5", "f5"),
        ("alt+Q", "alt+shift+q"),
        ("shift+alt+q", "alt+shift+q"),
        ("esc", "escape"),
        ("pgdn", "pagedown"),
        ("", None),
        ("ctrl+", None),
        ("+a", None),
        ("ctrl+ctrl+a", None),
        ("hyper+a", None),
        ("retry", None),
        ("\x1b", None),
        ("<any>", None),
    ],
)
def test_a_key_is_written_as_its_sign_or_by_name(written: str, name: str | None) -> None:
    assert key_name(written) == name


def test_every_usual_key_has_a_name_that_may_be_chosen() -> None:
    keymap, faults = check_keys({action.id: action.keys.split(",") for action in ACTIONS})

    assert keymap == {action.id: action.keys for action in ACTIONS}
    assert not faults


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("ctrl+m", 'no terminal tells "ctrl+m" from enter'),
        ("ctrl+i", 'no terminal tells "ctrl+i" from tab'),
        ("ctrl+h", 'no terminal tells "ctrl+h" from backspace'),
        ("ctrl+s", '"ctrl+s" cannot be used: terminals stop their output with it'),
        ("ctrl+z", '"ctrl+z" cannot be used: it goes to the shell, as everywhere'),
        ("ctrl+shift+alt+q", 'terminals send ctrl+q for "ctrl+shift+alt+q", or nothing'),
        ("alt+1", '"alt+1" cannot be used: terminals change tabs with it'),
        ("f11", '"f11" cannot be used: terminals fill the whole screen with it'),
        ("escpe", 'there is no key "escpe"'),
        (3, "is a key, or a list of keys"),
    ],
)
def test_keys_that_never_come_are_refused(key: object, message: str) -> None:
    keymap, faults = check_keys({"unit.retry": key})

    assert [fault.message for fault in faults] == [message]
    assert not keymap


def test_a_clash_names_both_actions_and_what_to_do() -> None:
    _, (fault,) = check_keys({"unit.retry": "x"})

    assert (fault.action, fault.message) == (
        "unit.retry",
        '"x" is also the key of unit.cancel (cancel; again while it stops: kill)',
    )
    assert fault.hint == "choose another key, or give unit.cancel another one, too"


def test_keys_may_change_places() -> None:
    keymap, faults = check_keys({"unit.retry": "x", "unit.cancel": "r"})

    assert not faults
    assert keymap == {"unit.retry": "x", "unit.cancel": "r"}


def test_actions_without_keys_do_not_clash() -> None:
    keymap, faults = check_keys({"unit.retry": "none", "unit.cancel": []})

    assert not faults and not clashes(keymap)


def test_the_table_has_every_action_and_marks_what_was_chosen() -> None:
    lines = list(table({"unit.retry": "f5", "run.cancel": "none"}))

    for action in ACTIONS:
        assert any(f" {action.id} " in f"{line} " for line in lines)
    assert [line.split()[:3] for line in lines if "*" in line[:4]] == [
        ["*", "f5", "unit.retry"],
        ["*", "none", "run.cancel"],
    ]
    assert not [line for line in table({}) if line.lstrip().startswith("* ") and "mark" not in line]


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys"]) == 0

    printed = capsys.readouterr().out
    assert "unit.retry" in printed and "config.toml" in printed


def test_pressing_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "--press"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_a_pressed_key_is_told_with_what_it_does() -> None:
    assert "".join(span.text for span in line_of("x", {})) == '  "x"  unit.cancel'
    assert "".join(span.text for span in line_of("f9", {})) == '  "f9"'


async def test_keys_are_told_until_one_that_ends_is_pressed_twice() -> None:
    app = PressKeys({})
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("ctrl+c", "q", "x", "escape")
        told = [line[0].text.strip() for line in app._told[2:]]
        assert app.is_running
        await pilot.press("escape")
    assert told == ['"ctrl+c"', '"q"', '"x"', '"escape"']
    assert not app.is_running
