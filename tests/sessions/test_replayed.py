"""A replay plays the record of a run again, and goes back and forth in it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import pytest
from core_driver import unit
from recorded_run import GENEROUS, START, RecordedRun, known

from qtui import replayed
from qtui.core.errors import UsageError
from qtui.core.events import PlanReplaced, RunResumed, UnitProgress, Warned
from qtui.core.folding import fold
from qtui.core.model import ExecutionMode, UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import PauseRequested
from qtui.replayed import ReplaySession
from qtui.store.rundir import RunDirectory

Start = Callable[..., RecordedRun]
Replay = Callable[..., ReplaySession]


class Clock:
    """Stands still but for the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replay(directory: RunDirectory, clock: Clock) -> Iterator[Replay]:
    """Open a replay of the run; closed at the end of the test."""
    sessions: list[ReplaySession] = []

    def begin(**keys: object) -> ReplaySession:
        sessions.append(ReplaySession(directory, **{"clock": clock, **keys}))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


@pytest.fixture
def three(start: Start) -> RecordedRun:
    """a, b and c took ten seconds each, one after another."""
    run = start(unit("a"), unit("b", "a"), unit("c", "b"))
    for name in "abc":
        run.wait(10)
        run.succeed(name)
    run.leave()
    return run


def view_at(run: RecordedRun, at: float) -> RunView:
    return fold(RunView.initial(run.plan), [event for event in run.events if event.at <= at])


# -- playing -----------------------------------------------------------------------------------------------


def test_a_replay_begins_at_the_first_moment_and_stands_still(three: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay()
    assert (session.begin, session.end, session.now()) == (START, START + 30, START)
    clock.now += 100
    assert session.now() == START and known(session.view()) == known(view_at(three, START)) and not session.playing


def test_time_passes_as_fast_as_it_is_told(three: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay()
    session.playing = True
    clock.now += 12
    assert session.now() == START + 12
    session.speed = 4
    clock.now += 2
    assert session.now() == START + 20 and known(session.view()) == known(view_at(three, START + 20))
    session.playing = False
    clock.now += 2
    assert session.now() == START + 20


def test_a_feed_hands_out_what_time_passes(three: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay()
    feed, records = session.feed(), []
    session.playing = True
    for _ in range(31):
        records += feed.take(timeout=0)
        assert fold(session.opening, [record.event for record in records]) == session.view()
        clock.now += 1
    assert [record.event for record in records] == three.events
    assert [record.seq for record in records] == list(range(1, len(three.events) + 1))
    assert not feed.closed


def test_a_feed_wakes_when_something_is_played(three: RecordedRun, directory: RunDirectory) -> None:
    session = ReplaySession(directory)
    feed = session.feed()
    feed.take(timeout=0)
    session.speed = 1000
    session.playing = True
    assert feed.take(timeout=GENEROUS)
    assert session.wait(GENEROUS) == three.finished and not session.playing
    session.close()
    while feed.take():
        pass
    assert feed.closed


def test_playing_stops_at_the_end_and_begins_anew_there(three: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay()
    session.playing = True
    clock.now += 1000
    assert session.now() == session.end and not session.playing
    assert known(session.view()) == known(three.view) and session.wait() == three.finished
    session.playing = True
    assert session.playing and session.now() == session.begin


def test_the_time_in_which_nobody_ran_it_is_skipped(start: Start, replay: Replay, clock: Clock) -> None:
    run = start(unit("a"))
    run.now += 10
    run.record(Warned(-1, "the last words", run.now))
    run.now += 86_400
    run.record(RunResumed(run.now, "resumed by you", 2))
    run.now += 10
    run.record(Warned(-1, "goes on", run.now))
    session = replay()
    session.playing = True
    clock.now += 11
    assert session.now() == run.now - 10
    clock.now += 5
    assert session.now() == run.now - 5


def test_a_speed_is_more_than_nothing(three: RecordedRun, replay: Replay) -> None:
    session = replay()
    for speed in (0, -1, math.nan, math.inf):
        with pytest.raises(UsageError, match="speed"):
            session.speed = speed
    assert session.speed == 1


# -- going back and forth ----------------------------------------------------------------------------------


def test_every_moment_is_what_it_was(start: Start, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayed, "PIECE", 7)  # many pieces, of which few are kept
    monkeypatch.setattr(replayed, "KEPT", 3)
    monkeypatch.setattr(replayed, "LATEST_EVENTS", 11)
    monkeypatch.setattr(replayed, "MOST_PLAYED", 15)
    names = [f"u{number}" for number in range(40)]
    run = start(*map(unit, names), max_workers=5)
    while run.running:
        run.wait(1)
        run.succeed(sorted(run.running)[0])
    session, chance = replay(), random.Random(5)
    feed, opening, jumps, records = session.feed(), session.opening, 0, []
    for _ in range(100):
        at = chance.uniform(session.begin - 1, session.end + 1)
        session.seek(at)
        moment = min(max(at, session.begin), session.end)
        assert session.now() == moment and known(session.view()) == known(view_at(run, moment))
        if session.opening is not opening:
            assert feed.take() is not None and (feed.take() == [] and feed.closed)
            feed, opening, jumps, records = session.feed(), session.opening, jumps + 1, []
        records += feed.take(timeout=0)
        assert fold(session.opening, [record.event for record in records]) == session.view()
        assert not records or records[-1].seq == session.view().seq
    assert jumps


def test_going_forward_is_no_jump(three: RecordedRun, replay: Replay) -> None:
    session = replay()
    feed = session.feed()
    session.seek(START + 15)
    session.seek(START + 25)
    assert not feed.closed
    assert [record.event for record in feed.take(timeout=0)] == [e for e in three.events if e.at <= START + 25]


def test_steps_go_from_moment_to_moment(three: RecordedRun, replay: Replay) -> None:
    session, moments = replay(), []
    for by in (1, 1, 1, 1, -1, -1, -1, -1, 1):
        session.step(by)
        moments.append(session.now() - START)
        assert known(session.view()) == known(view_at(three, session.now()))
    assert moments == [10, 20, 30, 30, 20, 10, 0, 0, 10]


def test_a_step_back_between_two_moments_goes_to_the_first(three: RecordedRun, replay: Replay) -> None:
    session = replay()
    session.seek(START + 14)
    session.step(-1)
    assert session.now() == START + 10


def test_a_step_stops_playing(three: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay()
    session.playing = True
    session.step(1)
    clock.now += 5
    assert not session.playing and session.now() == START + 10


def test_steps_pass_progress(start: Start, replay: Replay) -> None:
    run = start(unit("a"))
    for _ in range(3):
        run.wait(1)
        run.progress("a", 1, 3)
    run.wait(1)
    run.succeed("a")
    assert any(isinstance(event, UnitProgress) for event in run.events)
    session = replay()
    session.step(1)
    assert session.now() == START + 4
    session.step(-1)
    assert session.now() == START


def test_behind_a_replacement_of_the_plan_numbers_are_of_the_new_one(start: Start, replay: Replay) -> None:
    run = start(unit("a"), unit("b"))
    run.now += 1
    run.succeed("a")
    run.now += 1
    run.record(PlanReplaced((unit("b"), unit("c")), ExecutionMode.AUTO, run.now))
    run.now += 1
    run.record(Warned(1, "careful", run.now))
    session = replay()
    session.seek(session.end)
    session.seek(START + 2.5)
    assert list(session.plan.units) == ["b", "c"]
    assert session.view() == session.opening
    session.seek(START + 1)
    assert list(session.plan.units) == ["a", "b"] and session.view().unit(0).state is UnitState.COMPLETED


# -- the rest of a session ---------------------------------------------------------------------------------


def test_a_log_is_there_once_its_attempt_has_begun(three: RecordedRun, replay: Replay) -> None:
    three.log(1, 1, b"of b\n")
    session = replay()
    assert session.read_log(1, 1).data == b"" and session.log_path(1, 1) is None
    session.seek(START + 12)
    assert session.read_log(1, 1).data == b"of b\n" and session.log_path(1, 1)


def test_requests_are_refused(three: RecordedRun, replay: Replay) -> None:
    session = replay()
    session.request(PauseRequested())
    (answer,) = session.answers()
    assert answer.text == "refused: this is a replay" and session.read_only


def test_there_are_no_samples(three: RecordedRun, replay: Replay) -> None:
    with pytest.raises(UsageError, match="no samples"):
        replay().sample()


def test_a_run_without_events_can_be_replayed(directory: RunDirectory, start: Start, replay: Replay) -> None:
    run = start(unit("a"), silent=True)
    session = replay()
    assert session.begin == session.end == START and known(session.view()) == known(RunView.initial(run.plan, "demo"))
    session.playing = True
    session.step(1)
    session.step(-1)
    assert session.now() == START and not session.playing


def test_a_record_that_becomes_unreadable_stops_time(three: RecordedRun, replay: Replay, clock: Clock) -> None:
    session = replay()
    session._tape._pieces.clear()
    session._reader.close()
    session.playing = True
    clock.now += 15
    assert session.now() == START and not session.playing and session.trouble


def test_a_record_without_an_end_is_that_of_a_lost_run_unless_somebody_runs_it(start: Start, replay: Replay) -> None:
    run = start(unit("a"))
    run.wait(5)
    run.send(PauseRequested())
    live = replay()
    run.leave()
    lost = replay()
    assert not lost.lost, "there it has not come to its end yet"
    for session in (live, lost):
        session.seek(math.inf)
    assert (live.lost, lost.lost) == (False, True)
