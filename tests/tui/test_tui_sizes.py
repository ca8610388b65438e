"""The dashboard on terminals of all sizes, without colour, and in ASCII."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import pytest
import textual.timer
from rich.cells import cell_len
from rich.segment import Segment
from scenes import diamond, fan_out, nightly, unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged

from qtui.tui.format import ASCII, COUNT_ORDER, SIGNS, UNICODE, Glyphs, Look
from qtui.tui.helptext import help_lines
from qtui.tui.keys import Key
from qtui.tui.panes import Arrangement, Pane, arrangement_for, panes_shown
from qtui.tui.roles import Role, loud
from qtui.tui.theme import MONO
from qtui.tui.widgets.header import counts_line
from qtui.tui.widgets.lines import Line
from qtui.tui.widgets.status import key_line

SIZES = ((40, 12), (80, 24), (120, 40), (200, 60))


class Place(NamedTuple):
    """Something to look at: the keys that lead there from the units, and back."""

    name: str
    there: Sequence[str] = ()
    back: Sequence[str] = ()


PLACES = (
    Place("units"),
    Place("log", "2", "1"),
    Place("info", "d", ["L", "1"]),
    Place("why", "w", ["L", "1"]),
    Place("deps", "c", ["L", "1"]),
    Place("tries", "v", ["L", "1"]),
    Place("workers", "3", "1"),
    Place("events", "4", "1"),
    Place("timeline", "5", "1"),
    Place("a part of the timeline", ["5", "i", "l"], ["0", "1"]),
    Place("other views", "t", "t"),
    Place("the last view", "t", "t"),
    Place("filter", ["slash", *"grid"], ["escape", "escape"]),
    Place("zoom", "z", "z"),
    Place("question", "X", ["escape"]),
    Place("help", ["question_mark"], ["escape"]),
)


def with_wide_names() -> ScriptedSession:
    session = nightly()
    wide = "数据清洗与特征工程流水线"
    session.adds("embed[shard=5]", unit(wide), unit(f"{wide}.{wide}.{wide}.{wide}", wide))
    return session


def faults(stage: Stage, size: tuple[int, int], *, bare: bool) -> list[str]:
    """What is wrong with what is on the screen now."""
    lines, (width, height) = stage.lines(), size
    found = [f"{cell_len(line)} cells wide: {line!r}" for line in lines if cell_len(line) != width]
    if len(lines) != height:
        found.append(f"{len(lines)} lines")
    if bare:
        found += [f"not ASCII: {line!r}" for line in lines if not line.isascii()]
        found += [f"coloured: {segment!r}" for segment in stage.segments() if is_coloured(segment)]
    if stage.app.screen is stage.main:
        counted = count_of(lines[1])
        if counted != len(stage.session.view().plan):
            found.append(f"{counted} units in {lines[1]!r}")
        typing = stage.main.has_class("-filtering")  # ? would be typed
        if not (stage.main.noted or typing) and not lines[-1].rstrip().endswith("? help"):
            found.append(f"the way to the keys is not there: {lines[-1]!r}")
    return found


def is_coloured(segment: Segment) -> bool:
    style = segment.style
    return style is not None and any(
        color is not None and not color.is_default for color in (style.color, style.bgcolor)
    )


def count_of(line: str) -> int:
    """All units that a line of counts tells of."""
    without = re.sub(r"\d+ ?(?:fallback|fb|stale|st)\b", "", line)
    return sum(map(int, re.findall(r"\d+", without)))


@pytest.mark.parametrize("bare", [False, True], ids=["", "in ASCII and without colour"])
async def test_every_place_fits_every_size(bare: bool) -> None:
    async with staged(with_wide_names(), SIZES[-1], ascii=bare, color=False if bare else None) as stage:
        for size in SIZES:
            await stage.pilot.resize_terminal(*size)
            await stage.until(lambda size=size: stage.main.size == size, "the new size")  # type: ignore[misc]
            for place in PLACES:
                await stage.press(*place.there)
                await stage.pilot.pause(0.02)
                await stage.pilot.pause(0.02)
                # what was noted goes with the key, and its line with the frame after it
                await stage.until(lambda size=size: not faults(stage, size, bare=bare), f"{place.name} at {size}")  # type: ignore[misc]
                if place.name == "units" and size[0] >= 60:
                    assert {"FAIL", "run", "ok"} <= set(re.findall(r"[A-Za-z]+", "\n".join(stage.lines()[2:])))
                await stage.press(*place.back)
        assert stage.app.screen is stage.main


def without_sparklines(lines: list[str]) -> list[str]:
    """Those of the machine go on by themselves."""
    return [line for line in lines if not line.startswith("│ cpu ")]


async def test_after_a_storm_of_resizes_the_screen_is_as_if_drawn_anew() -> None:
    async with staged(fan_out(), MEDIUM) as stage:
        for size in ((50, 12), (200, 60), (18, 4), (81, 24), (100, 20), (80, 50), (10, 2), (140, 33)):
            await stage.pilot.resize_terminal(*size)
        await stage.until(lambda: stage.main.size == (140, 33), "the last size")
        await stage.shows("Workers 1/4", "Events")
        await stage.pilot.pause(0.25)  # two frames, in which nothing happens but what is left to draw
        shown = without_sparklines(stage.lines())
        stage.app.refresh(layout=True)
        for widget in stage.main.query("*"):
            widget.refresh()
        await stage.pilot.pause(0.05)
        assert without_sparklines(stage.lines()) == shown
        await stage.press("j")
        await stage.shows("Units 2/")


async def test_a_tiny_terminal_shows_one_line_and_the_focus_comes_back() -> None:
    async with staged(nightly(), SMALL) as stage:
        await stage.pilot.resize_terminal(19, 3)
        await stage.until(lambda: "".join(stage.lines()).split() == ["12/23", "✗2", "RUNNING"], "one line")
        await stage.pilot.resize_terminal(*SMALL)
        await stage.shows("Units 1/")
        await stage.until(lambda: stage.main.focused is stage.main.tree_pane, "the focus on the units")
        await stage.press("j")
        await stage.shows("Units 2/")


async def test_a_low_terminal_says_notes_in_place_of_the_keys() -> None:
    async with staged(diamond(), (40, 12)) as stage:
        await stage.press("f")
        await stage.until(lambda: "nothing has failed" in stage.lines()[-1], "the note in the last line")
        await stage.press("j")
        await stage.until(lambda: stage.lines()[-1].rstrip().endswith("? help"), "the keys again")


async def test_at_every_size_a_paused_run_says_how_to_go_on() -> None:
    session = ScriptedSession([unit("publish", confirm="Publish?"), unit("a"), unit("b", "a")])
    async with staged(session, SMALL) as stage:
        await stage.press("p")
        for size in (SMALL, MEDIUM, (200, 60), (40, 12), (24, 3)):
            await stage.pilot.resize_terminal(*size)
            await stage.until(lambda: "PAUSED" in stage.text() and "p go" in stage.text(), f"p goes on, at {size}")


async def test_a_timer_that_is_late_goes_off_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As beside units that keep the interpreter busy: whole milliseconds pass between two lines of the timer."""
    now = 0.0

    def late() -> float:
        nonlocal now
        now += 0.05
        return now

    async with staged(diamond(), SMALL) as stage:
        monkeypatch.setattr(textual.timer._time, "get_time", late)
        await stage.pilot.resize_terminal(60, 20)
        await stage.until(lambda: stage.main.size == (60, 20), "the new size")


async def test_a_line_feed_is_the_enter_of_somebody_who_typed_ahead() -> None:
    async with staged(nightly(), SMALL) as stage:
        await stage.press("ctrl+j")
        await stage.hides("Units 1/")


# -- arrangements ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "arrangement"),
    [
        (19, 30, Arrangement.LINE),
        (80, 4, Arrangement.LINE),
        (20, 5, Arrangement.MICRO),
        (59, 50, Arrangement.MICRO),
        (99, 15, Arrangement.MICRO),
        (60, 16, Arrangement.SMALL),
        (80, 24, Arrangement.SMALL),
        (80, 50, Arrangement.STACK),
        (200, 20, Arrangement.SIDE),
        (100, 30, Arrangement.GRID),
        (179, 60, Arrangement.GRID),
        (200, 49, Arrangement.GRID),
        (180, 50, Arrangement.LARGE),
    ],
)
def test_height_and_width_decide_apart(width: int, height: int, arrangement: Arrangement) -> None:
    assert arrangement_for(width, height) is arrangement


def test_every_pane_can_be_reached_wherever_there_is_more_than_a_line() -> None:
    for arrangement in set(Arrangement) - {Arrangement.LINE}:
        for pane in Pane:
            lower = Pane.LOG if pane is Pane.UNITS else pane
            for zoomed in (False, True):
                shown = panes_shown(arrangement, lower=lower, lowest=lower, focused=pane, zoomed=zoomed)
                assert pane in shown
                assert not {Pane.TIMELINE, Pane.EVENTS} <= shown or arrangement is Arrangement.LARGE


# -- lines -----------------------------------------------------------------------------------------------


def text_of(line: Line) -> str:
    return "".join(span.text for span in line)


def test_counts_lose_zeros_words_and_gaps_but_no_unit() -> None:
    counts = {look: 1_000 + place for place, look in enumerate(COUNT_ORDER)}
    for width in range(40, 200):
        line = text_of(counts_line(counts, 12, width, UNICODE, stale=3))
        assert cell_len(line) <= width
        assert count_of(line) == sum(counts.values())


def test_the_key_line_drops_what_is_least_needed_and_never_the_help() -> None:
    hints = (Key("q", "quit"), Key("enter", "log"), Key("?", "help"), Key("x", "cancel"))

    assert text_of(key_line(80, hints)).split() == ["q", "quit", "enter", "log", "x", "cancel", "?", "help"]
    assert text_of(key_line(20, hints)).split() == ["q", "quit", "?", "help"]
    assert text_of(key_line(8, hints)).split() == ["?", "help"]


def test_the_help_begins_with_the_pane_one_is_in_and_loses_no_word() -> None:
    groups = (("Move", (Key("j k ↓ ↑", "down, up"),)), ("Log", (Key("F", "follow the end, on and off, of a log"),)))
    for width in (36, 60, 130):
        for glyphs in (UNICODE, ASCII):
            lines = [text_of(line) for line in help_lines(groups, width, glyphs, first=["Log"])]
            assert lines[0].startswith(" Log")
            assert all(cell_len(line) <= width for line in lines)
            words = " ".join("".join(f"{line}\n" for line in lines).split())
            assert {"follow", "down,", "FAIL", "completed"} <= set(words.split())
            assert " ! " in words
            assert {"critical", "stale"} <= set(words.split())
            assert glyphs.unicode or words.isascii()


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_two_states_look_alike_without_colour(glyphs: Glyphs) -> None:
    for one, other in combinations(Look, 2):
        assert glyphs.sign(one) != glyphs.sign(other), f"{one.name} and {other.name} have the same sign"
        assert one.value != other.value
    for look in (Look.FAIL, Look.TIME, Look.STOP):
        assert MONO.style(loud(SIGNS[look].role)) != MONO.style(Role.TEXT), f"{look.name} is not seen"
