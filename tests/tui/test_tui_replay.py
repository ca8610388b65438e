"""A run played again on the dashboard: back and forth, faster and slower, and nothing asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from core_driver import COMMAND
from recorded_run import START, RecordedRun
from scenes import unit
from stage import MEDIUM, SMALL, Stage, staged

from qtui.core.events import PlanReplaced
from qtui.core.model import ExecutionMode, Outcome, UnitState
from qtui.replayed import ReplaySession
from qtui.store.rundir import RunDirectory
from qtui.tui.app import Leaving, Left
from qtui.tui.format import ASCII, UNICODE
from qtui.tui.player import faster
from qtui.tui.widgets.replay import Slider, slider_line


class Clock:
    """Stands still but for the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(tmp_path: Path) -> RecordedRun:
    """fetch, clean and report took ten seconds each, one after another; report failed."""
    directory = RunDirectory.create(tmp_path / "state", "20260102-030405-abcd")
    recorded = RecordedRun(directory, unit("fetch"), unit("clean", "fetch"), unit("report", "clean"))
    recorded.log(1, 1, b"cleaning up\n")
    for name in ("fetch", "clean"):
        recorded.wait(10)
        recorded.returns(name, Outcome(seconds=10))
    recorded.wait(10)
    recorded.fail("report", "BadRow")
    return recorded


@pytest.fixture
def replay(clock: Clock) -> Iterator[Callable[[RecordedRun], ReplaySession]]:
    sessions: list[ReplaySession] = []

    def begin(run: RecordedRun) -> ReplaySession:
        run.leave()
        sessions.append(ReplaySession(run.directory, clock=clock))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


Replay = Callable[[RecordedRun], ReplaySession]


def slider_of(stage: Stage) -> str:
    return stage.line_with(" x")


async def test_time_goes_on_by_its_clock_and_stands_when_paused(run: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay(run)
    session.speed, session.playing = 2.0, True
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.shows("nightly.toml  replay  RUNNING", "playing x2", "0:00:30")
        clock.now += 6
        await stage.until(lambda: "ok" in stage.line_with("fetch"), "twelve seconds have passed")
        await stage.shows("0:00:12     █", "fetch  ok 0:10")
        await stage.press("p")
        await stage.shows("paused  x2")
        clock.now += 1000
        await stage.press("j", "k")
        assert "0:00:12" in slider_of(stage)
        await stage.press("p")
        clock.now += 1000
        await stage.shows("FAILED", "paused", "BadRow: went wrong")


async def test_steps_go_from_event_to_event_and_back(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.shows("0:00:00")
        await stage.press("right_square_bracket")
        await stage.shows("0:00:10.000 █")
        await stage.until(lambda: "✓ ok" in stage.line_with("0:10 fetch"), "fetch has ended")
        await stage.press("right_square_bracket", "right_square_bracket")
        await stage.shows("FAILED")
        await stage.press("left_square_bracket")
        await stage.hides("FAILED")
        await stage.until(lambda: "▸ run" in stage.line_with("report"), "report runs again")
        await stage.press("left_square_bracket", "left_square_bracket")
        await stage.shows("▸ run    0:00 fetch")
        assert session.view().states[1] is UnitState.PENDING
        await stage.hides("clean  ok")


async def test_the_events_pane_shows_what_had_happened_by_then(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    session.seek(session.end)
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.shows("run started", "fetch  ok 0:10", "clean  ok 0:10", "run failed after 0:30")
        session.seek(START + 15)
        await stage.hides("run failed")
        await stage.hides("clean  ok")
        await stage.shows("run started", "fetch  ok 0:10")
        session.seek(START + 25)
        await stage.shows("clean  ok 0:10")


async def test_the_log_is_there_once_the_attempt_has_begun(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.select("clean")
        await stage.shows("waits for 1 of 1 needs")
        session.seek(START + 12)
        await stage.shows("cleaning up")
        session.seek(START + 2)
        await stage.hides("cleaning up")
        await stage.shows("waits for 1 of 1 needs")


async def test_jumps_speeds_and_clicks_move_through_time(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.press("right_parenthesis", "right_parenthesis", "left_parenthesis")
        assert session.now() == pytest.approx(START + 1.5)
        await stage.press("right_curly_bracket", "right_curly_bracket", "left_curly_bracket")
        await stage.shows("x2 ")
        bar = stage.app.screen.query_one(Slider)._bar
        await stage.pilot.click("#slider", offset=(bar[-1], 0))
        await stage.shows("FAILED", "0:00:30.000 █")
        await stage.pilot.click("#slider", offset=(bar[0], 0))
        await stage.shows("0:00:00.000 ░")


async def test_a_step_of_milliseconds_is_seen(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    async with staged(session, SMALL, player=session) as stage:
        session.seek(START + 10.25)
        await stage.shows("0:00:10.250 █")
        session.seek(START + 10.253)
        await stage.shows("0:00:10.253 █")


@pytest.mark.parametrize(
    ("key", "speed", "told"),
    [("right_curly_bracket", 1024.0, "x1024 is the fastest"), ("left_curly_bracket", 0.5, "x0.5 is the slowest")],
)
async def test_a_speed_that_goes_no_further_is_told(
    run: RecordedRun, replay: Replay, key: str, speed: float, told: str
) -> None:
    session = replay(run)
    session.speed = speed
    async with staged(session, SMALL, player=session) as stage:
        await stage.press(key)
        await stage.shows(told)
    assert session.speed == speed


async def test_the_end_moves_no_selection_and_q_leaves(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    session.seek(session.end)
    async with staged(session, SMALL, player=session) as stage:
        await stage.shows("FAILED", "1 failed: f next; q quits")
        assert "fetch" in stage.line_with("›")
        await stage.press("q")
    assert stage.app.return_value == Leaving(how=Left.FINISHED, exit_code=1)


async def test_nothing_can_be_asked_of_it(run: RecordedRun, replay: Replay) -> None:
    session = replay(run)
    async with staged(session, MEDIUM, player=session) as stage:
        for key in ("x", "X", "plus", "A"):
            await stage.press(key)
            await stage.shows("this is a replay: nothing can be asked")
            stage.main.note("-")
        assert "[ ] event" in stage.lines()[-1]
        assert "cancel" not in stage.lines()[-1]
        await stage.press("question_mark")
        await stage.shows("slower, faster", "a twentieth of the time")
    assert session.answers() == []


async def test_a_plan_that_has_grown_shrinks_again_backwards(tmp_path: Path, replay: Replay) -> None:
    recorded = RecordedRun(RunDirectory.create(tmp_path / "state", "20260102-030405-aaaa"), unit("scan"), workers=4)
    recorded.wait(10)
    recorded.returns("scan", Outcome(added=(unit("part_1"), unit("part_2"))))
    recorded.plan = recorded.view.plan
    recorded.wait(10)
    recorded.succeed("part_1", "part_2")
    session = replay(recorded)
    session.seek(session.end)
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.select("part_2")
        session.seek(START + 5)
        await stage.shows("0/1")
        await stage.hides("part_")
        assert "scan" in stage.line_with("›")
        session.seek(START + 15)
        await stage.shows("part_1", "part_2")


async def test_another_plan_in_the_middle_is_no_trouble(run: RecordedRun, replay: Replay) -> None:
    run.now += 10
    changed = (unit("new"), unit("report"), unit("fetch", "new", action=COMMAND))
    run.record(PlanReplaced(changed, ExecutionMode.AUTO, run.now))
    session = replay(run)
    async with staged(session, MEDIUM, player=session) as stage:
        await stage.shows("clean")
        session.seek(session.end)
        await stage.shows("new", "the workflow has 3 units")
        assert "fetch" in stage.line_with("›")
        session.seek(START + 15)
        await stage.shows("clean")
        assert "fetch" in stage.line_with("›")


# -- the line of time ----------------------------------------------------------------------------------------


class Stopped:
    begin, end, speed, playing = START, START + 100, 0.5, False
    at = START + 25

    def now(self) -> float:
        return self.at

    def seek(self, at: float) -> None:
        self.at = at

    def step(self, by: int) -> None:
        self.at += by


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_the_slider_is_as_full_as_time_has_passed(width: int, glyphs: Any) -> None:
    player = Stopped()
    line, bar = slider_line(player, width, glyphs)
    text = "".join(span.text for span in line)
    assert "paused  x0.5" in text
    assert "0:00:25" in text
    assert "0:01:40" in text
    if bar:
        assert len(text) == width
        assert set(text[bar.start : bar.stop]) <= {glyphs.full, glyphs.empty}
        assert text.count(glyphs.full) == pytest.approx(len(bar) / 4, abs=1)


def test_a_run_without_any_time_has_a_full_slider() -> None:
    player = Stopped()
    player.at = player.end = START
    line, bar = slider_line(player, 80, UNICODE)
    assert sum(span.text.count("█") for span in line) == len(bar) > 0


def test_speeds_double_within_bounds() -> None:
    assert [faster(1, 1), faster(1, -1), faster(3, 1), faster(3, -1)] == [2, 0.5, 4, 2]
    assert faster(1024, 1) == 1024
    assert faster(5000, 1) == 5000
    assert faster(5000, -1) == 1024
    assert faster(0.5, -1) == 0.5
    assert faster(0.1, -1) == 0.1
