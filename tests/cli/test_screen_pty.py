"""What only a real terminal can tell of the dashboard: its bytes, its size, and what was typed before it was there."""

from __future__ import annotations

import base64
import re

import pytest
from terminal import engine_of

WAITING = """
[units.talk]
run = "echo the first line; echo the last line; exec sleep 300"
"""


def copied(raw: bytes) -> list[str]:
    """What the terminal was asked to put into its clipboard."""
    return [
        base64.b64decode(each).decode() for each in re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)(?:\x07|\x1b\\)", raw)
    ]


def test_what_is_copied_reaches_the_terminal_whole(terminal, workflow) -> None:
    screen = terminal(workflow(WAITING), columns=100, rows=24, TMUX="", STY="")
    screen.wait_for("the last line")

    screen.press("Y")
    screen.wait_for(lambda _: copied(bytes(screen.raw)), "bytes for the clipboard")
    assert copied(bytes(screen.raw)) == ["the first line\nthe last line\n"]
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


@pytest.mark.parametrize("size", [(133, 37), (18, 4)])
def test_after_a_storm_of_resizes_the_last_size_counts(terminal, workflow, size: tuple[int, int]) -> None:
    screen = terminal(workflow(WAITING))
    screen.wait_for("the last line")

    for number in range(80):
        screen.resize(40 + number * 7 % 140, 10 + number % 50)
        screen.text()  # as a terminal does; what was drawn for other sizes would be read as of this one
    screen.resize(*size)
    end = "? help" if size[1] > 5 else "0/1 RUNNING"
    screen.wait_for(lambda shown: shown.splitlines()[-1 if size[1] > 5 else 0].strip().endswith(end), "the last size")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_a_terminal_that_was_smaller_while_nobody_looked_is_drawn_whole_again(terminal, workflow) -> None:
    screen = terminal(workflow(WAITING), columns=100, rows=30)
    screen.wait_for("the last line")
    screen.wait_for("run started with")

    engine = engine_of(screen)
    engine.suspend()
    screen.text()  # what was drawn until then is of the size until then
    screen.resize(40, 12)
    screen.resize(100, 30)
    assert "run started with" not in screen.text(), "the terminal has cut off what stood there"
    engine.resume()
    screen.wait_for("run started with")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_enter_and_quit_typed_before_the_screen_is_there_count(terminal, workflow) -> None:
    screen = terminal(workflow(WAITING))
    screen.press("j", "\n", "q")
    screen.wait_for("Quit")
    screen.press("\x1b")
    screen.wait_for(lambda shown: "Quit" not in shown and "Units" not in shown, "the log on the whole screen")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


TALKING = """
[units.talks]
run = "echo to pause; exec sleep 300"
[units.keeps]
run = "exec sleep 300"
"""


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (":goto keeps\r", "Units 2/2"),
        ("/keeps\r", "filter: keeps"),
        ("2/pause\r", "/pause"),
        ("\x06to p\r", "of 2 logs"),
        ("/keeps\r:goto talks\r", "Units 1/2"),
    ],
)
def test_a_line_typed_in_one_burst_before_the_screen_is_there_is_carried_out(
    terminal, workflow, typed: str, shown: str
) -> None:
    screen = terminal(workflow(TALKING), columns=120, rows=40)
    screen.press(typed)
    screen.wait_for(shown)
    assert "PAUSED" not in screen.text()
    screen.press("\x1b\x1b", "\x03", "\x03")
    assert screen.exit_code() == 130


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("/keeps\r:goto talks\r", "Units 1/2"),
        ("2/pause\r:goto keeps\r", "Units 2/2"),
        ("/keeps\r*", "marked"),
        (":goto keeps\rp", "PAUSED"),
    ],
)
def test_what_is_typed_right_behind_the_enter_of_a_line_goes_where_it_would_go_slowly(
    terminal, workflow, typed: str, shown: str
) -> None:
    screen = terminal(workflow(TALKING.replace("to pause;", "to pause; echo up;")), columns=120, rows=40)
    screen.wait_for("to pause")
    screen.press(typed)
    screen.wait_for(shown)
    screen.press("\x1b\x1b", "\x03", "\x03")
    assert screen.exit_code() == 130
