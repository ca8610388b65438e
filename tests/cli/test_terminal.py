"""The dashboard in a real terminal: a pty, a terminal emulator, real keys and real processes."""

from __future__ import annotations

import re
import signal
import sys

import pytest
from terminal import Terminal

SIZES = [pytest.param(80, 24, id="80x24"), pytest.param(120, 40, id="120x40")]

STEERED = """
[workflow]
name = "steered"
grace = 2
[units.first]
run = "echo hello from first; sleep 0.5"
[units.slow]
needs = ["first"]
run = "test -e flag || { echo waiting; exec sleep 300; }; echo flag found"
[units.after-slow]
needs = ["slow"]
run = "true"
[units.other]
needs = ["first"]
run = "while ! test -e release; do sleep 0.05; done"
[units.after-other]
needs = ["other"]
run = "true"
"""

QUICK = """
[workflow]
name = "quick"
[units.a]
run = "echo output of a"
"""


def is_in_state(name: str, word: str):
    """A condition: the unit's row shows the word (left of its name)."""

    def condition(screen: str) -> bool:
        return any(re.search(rf"\b{word}\b.*\s{re.escape(name)}(?:\s|│|$)", line) for line in screen.splitlines())

    return condition


def wait_state(terminal: Terminal, name: str, word: str) -> str:
    return terminal.wait_for(is_in_state(name, word), f"{name} is {word}")


def select(terminal: Terminal, name: str) -> None:
    """Find a unit with the filter, as a person would, and clear the filter again."""
    terminal.press("/", name, "\r")
    terminal.wait_for(f"/{name}")
    terminal.press("\x1b")
    terminal.wait_for(lambda screen: f"/{name}" not in screen, "no filter")


def assert_left_clean(terminal: Terminal, modes_before: list[object]) -> None:
    """The terminal is as it was found: modes, main screen, cursor, mouse and paste reporting."""
    assert terminal.modes == modes_before
    raw = bytes(terminal.raw)
    for mode, rest in ((b"1049", b"l"), (b"25", b"h"), (b"1000", b"l"), (b"1003", b"l"), (b"2004", b"l")):
        switched = [match[1] for match in re.finditer(rb"\x1b\[\?" + mode + rb"([hl])", raw)]
        assert not switched or switched[-1] == rest, f"mode {mode.decode()} was left {switched[-1:]}"


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_steering_a_run_with_keys(terminal, workflow, tmp_path, columns: int, rows: int) -> None:
    until_seen = STEERED.replace("sleep 0.5", "while ! test -e begin; do sleep 0.05; done")
    screen = terminal(workflow(until_seen), columns=columns, rows=rows)
    modes = screen.modes_before
    wait_state(screen, "first", "run")
    (tmp_path / "begin").touch()
    wait_state(screen, "first", "ok")
    wait_state(screen, "slow", "run")
    wait_state(screen, "other", "run")

    select(screen, "slow")
    screen.press("x")
    screen.wait_for("1 dependent will be skipped")
    screen.press("y")
    wait_state(screen, "slow", "CANC")
    shown = wait_state(screen, "after-slow", "skip")
    assert is_in_state("other", "run")(shown), "the unit beside it goes on"

    (tmp_path / "flag").touch()
    screen.press("r")
    wait_state(screen, "slow", "ok")
    wait_state(screen, "after-slow", "ok")
    screen.wait_for("flag found")

    (tmp_path / "release").touch()
    wait_state(screen, "after-other", "ok")
    screen.press("q")
    assert screen.exit_code() == 0
    assert_left_clean(screen, modes)
    assert b"steered: completed" in screen.raw


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_leaving_a_running_workflow_asks_first(terminal, workflow, columns: int, rows: int) -> None:
    screen = terminal(workflow(STEERED), columns=columns, rows=rows)
    modes = screen.modes_before
    wait_state(screen, "slow", "run")

    screen.press("q")
    screen.wait_for("Quit")
    screen.press("\r")  # the default is the safe answer
    screen.wait_for(lambda shown: "Quit" not in shown, "the question is gone")
    assert is_in_state("slow", "run")(screen.text())

    screen.press("q")
    screen.wait_for("Quit")
    screen.press("cc")  # in one burst, as an impatient hand or a repeating key sends it
    assert screen.exit_code() == 130
    assert_left_clean(screen, modes)
    assert b"steered: canceled" in screen.raw
    assert b"Traceback" not in screen.raw


def test_ctrl_c_asks_and_twice_cancels(terminal, workflow) -> None:
    screen = terminal(workflow(STEERED))
    modes = screen.modes_before
    wait_state(screen, "slow", "run")

    screen.press("\x03")
    screen.wait_for("Quit")
    screen.press("\x03")

    assert screen.exit_code() == 130
    assert_left_clean(screen, modes)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_interrupts_the_run_and_restores_the_terminal(terminal, workflow, number, code: int) -> None:
    screen = terminal(workflow(STEERED))
    modes = screen.modes_before
    wait_state(screen, "slow", "run")

    screen.signal(number)

    assert screen.exit_code() == code
    assert_left_clean(screen, modes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_end_leaves_with_the_runs_own_code(terminal, workflow, number) -> None:
    screen = terminal(workflow(QUICK))
    modes = screen.modes_before
    screen.wait_for("finished; q quits")

    screen.signal(number)

    assert screen.exit_code() == 0
    assert_left_clean(screen, modes)


def test_a_terminal_that_vanishes_after_the_end_leaves_no_process(terminal, workflow) -> None:
    screen = terminal(workflow(QUICK))
    screen.wait_for("finished; q quits")

    assert screen.vanish(), "the program ended by itself"


def test_a_failed_run_stays_and_shows_the_failure(terminal, workflow) -> None:
    toml = '[units.good]\nrun = "true"\n[units.bad]\nneeds = ["good"]\nrun = "echo the last words; exit 7"\n'
    screen = terminal(workflow(toml))

    wait_state(screen, "bad", "FAIL")
    screen.wait_for("FAILED")
    screen.wait_for("the last words")
    assert "exit 7" in screen.row("bad")

    screen.press("q")
    assert screen.exit_code() == 1
    assert b"FAIL bad: exit 7" in screen.raw


def test_the_traceback_of_a_failed_unit_is_in_the_summary(terminal, workflow) -> None:
    module = "def bad():\n    print('before')\n    raise ValueError('x')\n"
    path = workflow('[units.bad]\ncall = "steps:bad"\n', steps=module)
    screen = terminal(path)
    screen.wait_for("FAILED")
    screen.press("q")

    assert screen.exit_code() == 1
    left = bytes(screen.raw).rpartition(b"\x1b[?1049l")[2].decode()
    assert "before" in left
    assert 'steps.py", line 3, in bad' in left


def test_the_log_is_that_of_the_unit_under_the_cursor_when_a_filter_is_dropped(terminal, workflow) -> None:
    screen = terminal(workflow(STEERED), columns=120, rows=40)
    wait_state(screen, "slow", "run")
    screen.press("g", "h")  # fold everything below the first unit
    screen.wait_for("(+4)")

    screen.press("/", "other", "\r")
    screen.wait_for("Tries  other")
    screen.press("\x1b")
    screen.wait_for(lambda shown: "/other" not in shown, "no filter")
    screen.wait_for(lambda shown: "(+4)" not in shown, "the fold that hid the match is open")
    assert "Tries  other" in screen.text()
    screen.press("/", "no such unit", "\r")
    screen.wait_for("nothing matches")
    screen.wait_for("Tries  other")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_pause_workers_and_help(terminal, workflow, tmp_path) -> None:
    screen = terminal(workflow(STEERED), "-j", "3")
    wait_state(screen, "other", "run")

    screen.press("p")
    screen.wait_for("PAUSED")
    (tmp_path / "release").touch()
    wait_state(screen, "after-other", "queue")
    screen.press("+")
    screen.wait_for("/4")
    screen.press("-", "-")
    screen.wait_for("/2")
    screen.press("p")
    screen.wait_for("RUNNING")
    wait_state(screen, "after-other", "ok")

    screen.press("?")
    screen.wait_for("down, up")
    screen.press("\x1b")
    wait_state(screen, "after-other", "ok")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_output_of_units_cannot_steer_the_terminal(terminal, workflow) -> None:
    toml = r"""
[units.evil]
call = "evil:main"
"""
    evil = r"""
import os, sys
def main():
    print("\x1b]52;c;Y2xpcA==\x07\x1b]0;title\x07\x1b[2J\x1b[6n\x9b31mvisible evil")
    os.system("printf '\\033]52;c;Y2xpcA==\\007child'; printf 'to stderr' >&2")
    raise ValueError("\x1b]52;c;Y2xpcA==\x07[/oops] \u202e boom")
"""
    screen = terminal(workflow(toml, evil=evil))
    screen.wait_for("FAILED")
    screen.press("\r", "g")  # the log on the whole screen, from its first line
    screen.wait_for("visible evil")
    screen.wait_for("boom")
    screen.press("q")

    assert screen.exit_code() == 1
    assert b"\x1b]52" not in screen.raw
    assert b"title" not in re.findall(rb"\x1b\]0;([^\x07]*)", bytes(screen.raw))
    assert b"\x1b[6n" not in screen.raw
    assert "\u202e".encode() not in screen.raw


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"CI": "true"}, {"TERM": ""}])
def test_where_no_screen_can_or_should_be_drawn_there_are_lines(terminal, workflow, environment) -> None:
    screen = terminal(workflow(QUICK), **environment)

    assert screen.exit_code() == 0
    assert b"output of a" in screen.raw
    assert b"quick: completed" in screen.raw
    assert b"\x1b[?1049h" not in screen.raw


def test_what_is_typed_right_behind_the_key_of_a_line_goes_into_the_line(terminal, workflow) -> None:
    toml = '[units.talks]\nrun = "echo to pause; exec sleep 300"\n[units.keeps]\nrun = "exec sleep 300"\n'
    screen = terminal(workflow(toml), columns=120, rows=40)
    screen.wait_for("to pause")
    screen.press("/keeps\r")
    screen.wait_for(lambda shown: "Units /keeps" in shown and "filter: keeps" in shown, "the filter is kept")
    screen.press("\x1b:goto talks\r")
    screen.wait_for(lambda shown: "Units 1/2" in shown and "Log] Info Why Deps Tries  talks" in shown, "it went there")
    screen.press("2/pause\r")
    screen.wait_for("1/1 /pause")
    screen.press("\x06to p\r")
    screen.wait_for("to p  2 of 2 logs, 1 found")
    screen.press("\x1b")
    screen.wait_for("RUNNING")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_a_tiny_terminal_gets_lines(terminal, workflow) -> None:
    screen = terminal(workflow(QUICK), columns=30, rows=8)

    assert screen.exit_code() == 0
    assert b"\x1b[?1049h" not in screen.raw


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"QTUI_THEME": "mono"}])
def test_no_color_means_no_colour_and_so_does_mono(terminal, workflow, environment) -> None:
    screen = terminal(workflow(QUICK), **environment)
    screen.wait_for("OK")
    screen.press("q")

    assert screen.exit_code() == 0
    colours = re.findall(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m", bytes(screen.raw))
    assert colours == []


def test_the_c_locale_is_drawn_with_ascii(terminal, workflow) -> None:
    screen = terminal(workflow(QUICK), LC_ALL="C")
    screen.wait_for("OK")
    screen.press("q")

    assert screen.exit_code() == 0
    assert bytes(screen.raw).isascii()


def test_a_storm_of_resizes_leaves_a_working_screen(terminal, workflow, tmp_path) -> None:
    screen = terminal(workflow(STEERED))
    wait_state(screen, "slow", "run")

    for number in range(60):
        screen.resize(40 + number * 3 % 140, 10 + number % 50)
        screen.text()
    screen.resize(120, 40)
    wait_state(screen, "slow", "run")
    (tmp_path / "release").touch()
    wait_state(screen, "after-other", "ok")
    screen.press("\x03", "\x03")
    assert screen.exit_code() == 130


def test_what_python_units_print_while_the_screen_is_up_goes_to_their_logs(terminal, workflow) -> None:
    module = """
import sys, threading, time, os
def main(context):
    while not os.path.exists("go"):
        context.sleep(0.02)
    print("printed by the unit")
    print("and to stderr", file=sys.stderr)
    thread = threading.Thread(target=print, args=("printed by a thread of the unit",))
    thread.start()
    thread.join()
"""
    path = workflow('[units.talk]\ncall = "talk:main"\n', talk=module)
    screen = terminal(path)
    wait_state(screen, "talk", "run")

    (path.parent / "go").touch()

    screen.wait_for("printed by the unit")
    screen.wait_for("and to stderr")
    assert "printed by a thread" not in screen.text(), "it has no log, and must not be drawn across the screen"
    screen.press("q")
    assert screen.exit_code() == 0
    left = bytes(screen.raw).rpartition(b"\x1b[?1049l")[2]
    assert b"printed by a thread of the unit" in left, "shown when the screen is gone"


BREAKING = """
import sys
from qtui.cli.main import main
from qtui.tui.screens.main import MainScreen

def break_down(self):
    raise ZeroDivisionError("while a frame was drawn")

MainScreen.draw_frame = break_down
sys.exit(main(["replay"]))
"""


def test_a_screen_that_breaks_on_a_run_that_it_only_shows_says_so_and_is_no_success(terminal, workflow, qtui) -> None:
    assert qtui("run", workflow('[units.a]\nrun = "true"\n')).returncode == 0

    screen = terminal(program=(sys.executable, "-c", BREAKING))

    assert screen.exit_code() == 3
    left = bytes(screen.raw).rpartition(b"\x1b[?1049l")[2].decode()
    assert "ZeroDivisionError: while a frame was drawn" in left
    assert "the run was only looked at: nothing of it is lost" in left
