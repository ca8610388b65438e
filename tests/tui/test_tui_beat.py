"""How often things are painted, and how much of a row."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import pytest
from stage import GENEROUS

from qtui.tui.beat import BEHIND_SECONDS, BUSY, BUSY_SECONDS, FLOOD, Beat, Pace
from qtui.tui.roles import Role
from qtui.tui.rows import Row, cells_until_same
from qtui.tui.text import Span
from qtui.tui.turns import CALM_SECONDS, LATE_TICKS, QUICK_SECONDS, Turns


def row(sign: str, name: str, cause: str) -> Row:
    return Row((Span(sign, Role.TEXT),), (Span(name, Role.TEXT), Span(cause, Role.MUTED)))


def test_a_change_after_a_pause_is_painted_at_once_and_the_next_ones_later() -> None:
    beat = Beat(seconds=3600)
    assert beat.due(changed=True)
    assert not beat.due(changed=True)
    assert not beat.due(changed=False)
    assert beat.due(changed=False, at_once=True), "another state of the run does not wait"


def test_a_change_that_had_to_wait_is_not_forgotten() -> None:
    beat = Beat(seconds=0.02)
    beat.due(changed=True)
    assert not beat.due(changed=True)
    deadline = time.monotonic() + GENEROUS
    while not beat.due(changed=False):
        assert time.monotonic() < deadline, "it was forgotten"
    assert not beat.due(changed=False)


def test_what_is_asked_to_hurry_is_painted_in_the_next_frame() -> None:
    beat = Beat(seconds=3600)
    beat.due(changed=True)
    beat.hurry()
    assert beat.due(changed=False)


def test_of_a_row_only_what_changed_and_what_stands_before_it_is_painted() -> None:
    before = row("▸", "名前", "  60%")
    assert cells_until_same(before, row("✓", "名前", "  60%"), 20) == 1
    assert cells_until_same(before, row("▸", "名称", "  60%"), 20) == 5
    assert cells_until_same(before, row("▸", "名前", "  61%"), 20) == 10
    assert cells_until_same(before, row("▸", "名", "  60%"), 20) == 20, "everything moved"
    assert cells_until_same(before, before, 20) == 0


def frames(pace: Pace, until: float, events: Callable[[float], int], now: list[float]) -> int:
    """How many frames there are, asked for ten times a second, when so many events come a second."""
    drawn = 0
    while now[0] < until:
        now[0] += 0.1
        if pace.due():
            drawn += 1
            pace.came(int(events(now[0]) * 0.1))
    return drawn


def test_frames_are_fewer_while_more_comes_than_anybody_can_follow() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert frames(pace, 9.99, lambda _: BUSY // 2, now) == 100
    assert frames(pace, 19.99, lambda _: FLOOD, now) <= 10 / BUSY_SECONDS
    assert frames(pace, 29.99, lambda _: 0, now) >= 99, "and are back when it is over"


def test_frames_are_left_out_for_a_terminal_that_has_not_taken_the_last_ones() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.came(1)
    now[0] = 0.2
    assert pace.due()
    assert not pace.due(behind=True)
    now[0] = BEHIND_SECONDS
    assert pace.due(behind=True)


@pytest.fixture
def usual() -> Iterator[float]:
    """Python's own interval, whatever a test does with it."""
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_threads_take_quick_turns_while_ticks_come_late_and_the_usual_ones_are_tried_again(usual: float) -> None:
    now = [0.0]
    turns = Turns(0.1, lambda: now[0])

    def ticks(count: int, seconds: float) -> float:
        for _ in range(count):
            now[0] += seconds
            turns.ticked()
        return sys.getswitchinterval()

    assert ticks(100, 0.1) == usual
    assert ticks(LATE_TICKS - 1, 0.2) == usual, "one frame may be long"
    assert ticks(1, 0.2) == pytest.approx(QUICK_SECONDS)
    assert ticks(10, 0.1) == pytest.approx(QUICK_SECONDS)
    assert ticks(int(CALM_SECONDS / 0.1), 0.1) == usual


def test_a_screen_that_closes_leaves_the_turns_as_they_were(usual: float) -> None:
    now = [0.0]
    turns = Turns(0.1, lambda: now[0])
    for _ in range(LATE_TICKS):
        now[0] += 1.0
        turns.ticked()
    turns.stop()
    assert sys.getswitchinterval() == usual
