"""What stands on the terminal until the dashboard is there: it fits, it is harmless, and it goes again."""

from __future__ import annotations

import sys
import termios

import pyte
import pytest
from terminal import Terminal

from qtui.cli.sketch import sketch_of

HOSTILE = ["\x1b[2J\x1b]0;title\x07gone", "\r\n\ttabs", "宽" * 60, "é" * 90, "", "x" * 500]


def drawn(columns: int, rows: int, title: str, names: list[str], *, ascii: bool = False) -> list[str]:
    """The screen with the sketch on it."""
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed("".join(sketch_of(title, names, columns, rows, ascii=ascii)))
    return screen.display


def test_the_sketch_is_where_the_dashboard_will_be() -> None:
    shown = [line.rstrip() for line in drawn(60, 12, "nightly", ["fetch", "clean"])]

    assert shown == [" nightly  STARTING", "", "", f"{' ' * 18}fetch", f"{' ' * 18}clean", *[""] * 7]


@pytest.mark.parametrize("ascii", [False, True], ids=["unicode", "ascii"])
@pytest.mark.parametrize(("columns", "rows"), [(200, 60), (80, 24), (40, 12), (21, 5), (10, 3), (1, 1)])
def test_no_name_leaves_its_row_or_steers_the_terminal(columns: int, rows: int, ascii: bool) -> None:
    for title in HOSTILE:
        texts = list(sketch_of(title, HOSTILE * 20, columns, rows, ascii=ascii))
        shown = drawn(columns, rows, title, HOSTILE * 20, ascii=ascii)

        assert len(texts) <= max(1, rows - 5)
        assert "\x07" not in "".join(texts)
        assert not ascii or "".join(texts).isascii()
        assert columns <= 20 or "STARTING" in shown[0]
        if columns > 20:  # the last cell stays free: a terminal that wraps has nothing to wrap
            assert all(line[-1:] == " " for line in shown[1:])


FAILING = """
import os
from qtui.cli.sketch import sketched
with sketched("nightly", ["fetch"], ascii=False):
    typed = os.read(0, 1) + os.read(0, 1)
    raise SystemExit(f"typed {typed}")
"""


def test_what_fails_before_the_dashboard_leaves_the_terminal_as_it_was() -> None:
    screen = Terminal(program=(sys.executable, "-c", FAILING))
    try:
        while "fetch" not in screen.text():
            assert "Traceback" not in screen.text()
        during = termios.tcgetattr(screen._process.child_fd)
        screen.press("\x1a", "\r")  # ctrl+z would leave the sketch to the shell

        assert screen.exit_code() == 1
        assert not during[3] & (termios.ECHO | termios.ICANON)
        assert screen.modes == screen.modes_before
        entered, _, rest = bytes(screen.raw).partition(b"STARTING")
        assert b"\x1b[?1049h" in entered
        assert rest.partition(b"\x1b[?1049l")[2].endswith(b"typed b'\\x1a\\r'\r\n")
    finally:
        screen.close()


FAILING_TO_BEGIN = """
import os
from qtui.cli.sketch import sketched
from qtui.cli.screen import show
def begin():
    os.write(1, b"said by a library")
    raise SystemExit("it cannot begin")
with sketched("nightly", ["fetch"], ascii=False) as sketch:
    show(begin, title="nightly", look=None, sketch=sketch)
"""


def test_what_is_written_while_a_run_fails_to_begin_is_there_to_be_read() -> None:
    screen = Terminal(program=(sys.executable, "-c", FAILING_TO_BEGIN))
    try:
        assert screen.exit_code() == 1
        assert screen.modes == screen.modes_before
        left = bytes(screen.raw).rpartition(b"\x1b[?1049l")[2].decode()
        assert "said by a library" in left
        assert left.endswith("it cannot begin\r\n")
    finally:
        screen.close()
