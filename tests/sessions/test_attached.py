"""A session on a run of another process sees what happens there, asks for things, and knows when nobody is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from core_driver import unit
from recorded_run import GENEROUS, START, RecordedRun, eventually, known

from qtui import attached, recorded
from qtui.attached import AttachedSession
from qtui.core.events import PlanReplaced, RunFinished, RunPaused, RunUnpaused, UnitsAdded, Warned
from qtui.core.folding import fold
from qtui.core.model import ExecutionMode, RunState, UnitState
from qtui.core.stimuli import CancelRequested, PauseRequested, RetryRequested
from qtui.store.commands import CommandQueue, DifferencesAsked, put_aside
from qtui.store.errors import JournalError
from qtui.store.rundir import RunDirectory
from qtui.store.who import whoami

REFUSED = "refused: this version of qtui does not know that request"
Start = Callable[..., RecordedRun]
Attach = Callable[..., AttachedSession]


@pytest.fixture
def attach(directory: RunDirectory) -> Iterator[Attach]:
    """Attach to the run; closed at the end of the test."""
    sessions: list[AttachedSession] = []

    def begin(**keys: object) -> AttachedSession:
        sessions.append(AttachedSession(directory, **keys))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


def seen(session: AttachedSession, run: RecordedRun) -> None:
    """Wait until the session has seen all that was recorded."""
    eventually(lambda: session.view().seq == run.view.seq, "the session has seen everything")


# -- what is seen ------------------------------------------------------------------------------------------


def test_the_view_is_that_of_the_process_that_runs_it(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b", "a"))
    run.succeed("a")
    session = attach()
    assert known(session.view()) == known(run.view)
    assert session.plan.units.keys() == {"a", "b"} and session.options == run.options
    run.fail("b")
    seen(session, run)
    assert known(session.view()) == known(run.view)
    assert not session.lost and not session.trouble


def test_a_feed_begins_with_the_first_event_and_goes_on(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b", "a"))
    run.succeed("a")
    session = attach()
    feed = session.feed()
    records = feed.take(timeout=0)
    assert [record.event for record in records] == run.events
    run.succeed("b")
    while len(records) < len(run.events):
        records += feed.take(timeout=GENEROUS)
    assert [record.seq for record in records] == list(range(1, len(run.events) + 1))
    assert known(fold(session.opening, [record.event for record in records])) == known(run.view)
    session.close()
    assert feed.take() == [] and feed.closed


def test_what_a_feed_hands_out_is_in_the_view_already(start: Start, attach: Attach) -> None:
    run = start(*(unit(f"u{number}") for number in range(30)), max_workers=30)
    session = attach()
    feed, told = session.feed(), 0
    for number in range(30):
        run.succeed(f"u{number}")
        while told < run.view.seq:
            told += len(feed.take(timeout=GENEROUS))
            assert session.view().seq >= told


def test_all_who_have_attached_see_the_same(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    sessions = [attach() for _ in range(3)]
    run.succeed("a", "b")
    for session in sessions:
        end = session.wait(GENEROUS)
        assert end == run.finished and known(session.view()) == known(run.view)


def test_a_finished_run_is_finished_while_its_process_lives(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    assert session.wait(timeout=0) is None
    run.succeed("a")
    end = session.wait(GENEROUS)
    assert isinstance(end, RunFinished) and end.exit_code == 0 and not session.lost


def test_a_run_that_has_long_been_over_can_be_looked_at(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    run.succeed("a")
    run.leave()
    session = attach()
    assert session.wait() == run.finished and not session.lost and not session.trouble


def test_waiting_ends_when_the_session_is_closed(start: Start, attach: Attach) -> None:
    start(unit("a"))
    session = attach()
    ends: list[object] = []
    waiter = threading.Thread(target=lambda: ends.append(session.wait()))
    waiter.start()
    session.close()
    waiter.join(GENEROUS)
    assert ends == [None]


def test_units_that_are_added_are_seen(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    run.record(UnitsAdded(0, (unit("more"),), run.now))
    seen(session, run)
    assert [each.id for each in session.view().units] == ["a", "more"]
    assert len(session.plan) == 1, "the plan is the one of the opening"


def test_a_feed_begins_behind_the_latest_replacement_of_the_plan(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    run.succeed("a")
    run.record(PlanReplaced((unit("b"), unit("c")), ExecutionMode.AUTO, run.now), Warned(1, "careful", run.now))
    session = attach()
    assert [each.id for each in session.opening.units] == ["b", "c"] == list(session.plan.units)
    (record,) = session.feed().take(timeout=0)
    assert record == (run.view.seq, Warned(1, "careful", run.now))
    assert known(session.view()) == known(run.view)


def test_of_a_long_record_the_latest_events_are_read(
    start: Start, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "FEW_EVENTS", 50)
    monkeypatch.setattr(recorded, "LATEST_EVENTS", 10)
    names = [f"u{number}" for number in range(40)]
    run = start(*map(unit, names), max_workers=40)
    run.succeed(*names[:35])
    session = attach()
    assert known(session.view()) == known(run.view) and session.opening.seq == run.view.seq - 10
    records = session.feed().take(timeout=0)
    assert [record.event for record in records] == run.events[-10:]
    assert [record.seq for record in records] == list(range(run.view.seq - 9, run.view.seq + 1))
    assert known(fold(session.opening, [record.event for record in records])) == known(run.view)


# -- clock, logs, samples ----------------------------------------------------------------------------------


def test_the_clock_is_never_before_the_latest_event(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"), at=time.time() + 3600)  # a host whose clock is an hour ahead
    session = attach()
    first = session.now()
    assert first >= run.now
    run.now += 1800
    run.succeed("a")
    seen(session, run)
    assert session.now() >= run.now > first


def test_logs_are_read_where_the_other_process_writes_them(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    assert session.read_log(0, 1).data == b"" and session.log_path(0, 1) is None
    assert not run.directory.logs.exists(), "looking makes nothing"
    run.log(0, 1, b"hello\n")
    assert session.read_log(0, 1).data == b"hello\n"
    assert session.log_times(0, 1).at(0) == (run.directory.logs / "a.1.log").stat().st_mtime
    assert session.log_path(0, 1) == str(run.directory.logs / "a.1.log")
    assert session.read_log(7, 1).data == b"" and session.log_path(7, 1) is None


def test_samples_are_of_the_process_that_runs_it_and_of_its_units(start: Start, attach: Attach) -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        run = start(unit("a", mode=ExecutionMode.COMMAND), unit("b"))
        run.begins("a", pid=sleeper.pid)
        session = attach()
        sample = session.sample()
        assert sample.units.keys() == {0} and sample.units[0].memory
        assert sample.own.memory > 1 << 20
        sleeper.kill()


# -- what is asked for -------------------------------------------------------------------------------------


def test_a_request_reaches_the_other_process_with_the_attempt_that_is_seen(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    session = attach(who="ada@lab (pts/3)")
    session.request(CancelRequested((1,)))
    session.request(PauseRequested())
    first, second = eventually(lambda: len(found := run.commands.pending()) == 2 and found, "both are asked")
    assert (first.who, first.attempt, second.attempt) == ("ada@lab (pts/3)", 1, 0)
    assert (first.request, second.request) == (CancelRequested((1,)), PauseRequested())
    assert [answer.text for answer in session.answers()] == ["", ""]
    run.commands.answer(second.id, "done")
    run.commands.answer(first.id, "too late: b had ended")
    eventually(lambda: all(answer.text for answer in session.answers()), "both are answered")
    assert [answer.text for answer in session.answers()] == ["too late: b had ended", "done"]
    assert all(answer.answered_at >= answer.asked_at > START for answer in session.answers())


def test_you_is_who_asks_in_this_session_and_everybody_else_has_a_name(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    run.record(RunPaused(run.now, "paused by ada@lab (pts/3)"))
    ada, bob = attach(who="ada@lab (pts/3)"), attach(who="bob@lab (pts/4)")
    run.record(RunUnpaused(run.now, "unpaused by ada@lab (pts/3)"))
    told = {}
    for session in (ada, bob):
        eventually(lambda session=session: session.view().seq == run.view.seq, "it has come")
        events = [event for _, event in session.feed().take(0)]
        told[session] = [event.cause for event in events if isinstance(event, RunPaused | RunUnpaused)]
    assert told[ada] == ["paused by ada@lab (pts/3)", "unpaused by you"]
    assert told[bob] == ["paused by ada@lab (pts/3)", "unpaused by ada@lab (pts/3)"]


def test_of_two_who_cancel_each_gets_an_answer_of_its_own(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    sessions = [attach(), attach()]
    for session in sessions:
        session.request(CancelRequested((0,)))
    commands = eventually(lambda: len(found := run.commands.pending()) == 2 and found, "both are asked")
    for command, text in zip(commands, ("done", "too late: a had ended"), strict=True):
        run.commands.answer(command.id, text)
    texts = eventually(
        lambda: all(found := [session.answers()[0].text for session in sessions]) and found, "both are answered"
    )
    assert sorted(texts) == ["done", "too late: a had ended"]


def test_what_was_asked_for_is_sent_before_closing(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    session.request(PauseRequested())
    session.close()
    assert len(run.commands.pending()) == 1


def test_several_units_are_asked_for_without_an_attempt(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    session = attach()
    session.request(RetryRequested((0, 1), cause="again"))
    (command,) = eventually(run.commands.pending, "it is asked")
    assert command.attempt == 0 and command.request == RetryRequested((0, 1), cause="again")


def test_a_session_that_only_reads_refuses(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach(read_only=True)
    session.request(PauseRequested())
    (answer,) = session.answers()
    assert answer.text.startswith("refused: ") and answer.answered_at
    session.close()
    assert run.commands.pending() == []


@contextmanager
def answering(run: RecordedRun, answer: str) -> Iterator[list[tuple[int, ...]]]:
    """Whoever runs it answers whatever is asked for; yields the units of what was asked."""
    asked: list[tuple[int, ...]] = []
    over = threading.Event()

    def answer_all() -> None:
        with closing(CommandQueue(run.directory.commands)) as queue:
            while not over.wait(0.005):
                for command in queue.pending():
                    assert isinstance(command.request, DifferencesAsked)
                    asked.append(command.request.units)
                    queue.answer(command.id, answer)

    thread = threading.Thread(target=answer_all)
    thread.start()
    yield asked
    over.set()
    thread.join()


def test_how_units_differ_on_the_disk_is_asked_once_for_all_that_failed(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"), unit("c"))
    run.fail("a")
    run.fail("b")
    session = attach()
    with answering(run, '[["does: x -> y", [0, 1]]]') as asked:
        assert [session.edited(0), session.edited(1)] == ["does: x -> y"] * 2
        assert asked == [(0, 1)]
        assert session.edited(2) == ""
        assert session.edited(2) == ""
        assert asked == [(0, 1), (0, 1, 2), (0, 1, 2)], "what was told once is asked anew"
    assert session.answers() == [], "a question is no request"


@pytest.mark.parametrize(
    "answer", [REFUSED, "", "null", "[1]", '[["x"]]', '[["x", 1]]', '[["x", [null]]]', "[" * 10_000]
)
def test_an_answer_that_tells_nothing_of_the_disk_is_none(start: Start, attach: Attach, answer: str) -> None:
    run = start(unit("a"))
    run.fail("a")
    with answering(run, answer):
        assert attach().edited(0) == ""


def test_nobody_is_asked_for_differences_by_who_only_reads_or_where_nobody_is(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    run.fail("a")
    with answering(run, '[["does: x -> y", [0]]]') as asked:
        assert attach(read_only=True).edited(0) == ""
    run.leave()
    assert attach().edited(0) == ""
    assert asked == []


def test_who_asks_for_differences_as_the_process_ends_is_not_kept_waiting(
    start: Start, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached, "ANSWER_SECONDS", 10 * GENEROUS)
    run = start(unit("a"))
    run.fail("a")
    session = attach()
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(session.edited(0)), daemon=True)
    thread.start()
    eventually(run.commands.pending, "it is asked")
    run.leave()
    eventually(lambda: told == [""], "it has its answer")
    assert session.read_only, "so that a person is told that nobody is there"


def test_a_request_that_nobody_answers_any_more_is_refused_in_the_end(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    session.request(PauseRequested())
    eventually(run.commands.pending, "it is asked")
    run.leave()
    (answer,) = eventually(lambda: (found := session.answers())[0].text and found, "it is answered")
    assert answer.text == f"refused: nobody runs it: qtui resume {session.run}"


def test_who_asks_is_a_user_on_a_host() -> None:
    user, _, place = whoami().partition("@")
    assert user and place.startswith(os.uname().nodename)


# -- a process that is gone --------------------------------------------------------------------------------


def test_a_run_whose_process_is_gone_is_lost_and_its_clock_stands_still(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    run.leave()
    assert session.wait(GENEROUS) is None and session.lost
    assert f"qtui resume {session.run}" in session.trouble
    now = session.now()
    for _ in range(3):
        assert session.now() == now


def test_a_lost_run_stops_at_its_latest_event_for_who_comes_later(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    run.leave()
    session = attach()
    assert session.lost and session.wait() is None and session.now() == run.now


def test_nothing_is_left_in_the_file_for_a_process_that_is_gone(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    run.leave()
    session = attach()
    session.request(CancelRequested((0,)))
    (answer,) = eventually(lambda: (found := session.answers())[0].text and found, "it is answered")
    assert answer.text == f"refused: nobody runs it: qtui resume {session.run}"
    queue = CommandQueue(run.directory.commands)
    assert queue.all() == []
    queue.close()


def test_a_session_goes_on_when_somebody_else_takes_over(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    run.lock.release()
    session = attach()
    assert session.lost
    with run.directory.lock():
        run.succeed("a")
        assert eventually(lambda: session.wait(0.1), "the end is seen") == run.finished
        assert not session.lost and not session.trouble


OTHER = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from core_driver import unit
from recorded_run import RecordedRun
from qtui.store.errors import JournalError
from qtui.store.rundir import RunDirectory
run = RecordedRun(RunDirectory.open(Path({state!r}), {run!r}), unit("a"), unit("b"))
run.succeed("a")
print("ready", flush=True)
sys.stdin.readline()
run.succeed("b")
sys.stdin.readline()
"""


@pytest.fixture
def other(directory: RunDirectory, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs it; for each line that it gets, it goes on."""
    here = Path(__file__).parent
    script = OTHER.format(
        paths=[str(here), str(here.parent / "core")], state=str(tmp_path / "state"), run=directory.run
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_run_of_another_process_is_followed_to_its_end(other: subprocess.Popen[str], attach: Attach) -> None:
    session = attach()
    assert [str(each.state) for each in session.view().units] == ["completed", "running"]
    assert other.stdin is not None
    other.stdin.write("\n")
    other.stdin.flush()
    end = session.wait(GENEROUS)
    assert end is not None and end.state is RunState.COMPLETED
    assert {each.state for each in session.view().units} == {UnitState.COMPLETED}


def test_a_killed_process_is_noticed(other: subprocess.Popen[str], attach: Attach) -> None:
    session = attach()
    assert not session.lost
    other.send_signal(signal.SIGKILL)
    assert session.wait(GENEROUS) is None and session.lost
    assert session.view().unit(1).state is UnitState.RUNNING, "nobody has said what became of it"


# -- what cannot be read -----------------------------------------------------------------------------------


def test_without_a_journal_there_is_no_session(directory: RunDirectory) -> None:
    with pytest.raises(Exception, match=r"journal\.db"):
        AttachedSession(directory)


def test_a_journal_that_is_taken_away_is_told_of_and_ends_in_a_lost_run(start: Start, attach: Attach) -> None:
    run = start(unit("a"))
    session = attach()
    before = session.view()
    for path in run.directory.path.glob("*"):
        path.unlink()
    eventually(
        lambda: "lock" in session.trouble or "journal.db is gone" in session.trouble or session.lost, "it is told of"
    )
    run.lock.release()
    assert session.wait(GENEROUS) is None
    assert session.lost and session.view() == before


def test_a_journal_that_its_writer_has_put_back_is_read_on(start: Start, attach: Attach) -> None:
    run = start(unit("a"), unit("b"))
    session = attach()
    for path in run.directory.path.glob("journal.db*"):
        path.unlink()
    with pytest.raises(JournalError):
        run.succeed("a")
    eventually(lambda: "journal.db is gone" in session.trouble, "it is told of")
    lost = run.events[session.view().seq :]
    run.journal.append(session.view().seq + 1, lost)
    seen(session, run)
    eventually(lambda: not session.trouble, "all is well again")
    run.succeed("b")
    assert session.wait(GENEROUS) == run.finished


def test_another_journal_in_its_place_is_not_read(start: Start, attach: Attach, tmp_path: Path) -> None:
    run = start(unit("a"), unit("b"))
    run.succeed("a")
    session = attach()
    before = session.view()
    stranger = RecordedRun(RunDirectory.create(tmp_path / "other", "20260102-030405-ffff"), unit("z"))
    stranger.leave()
    stranger.directory.journal.replace(run.directory.journal)
    eventually(lambda: "is another file now" in session.trouble, "it is told of")
    assert session.view() == before and not session.lost


def test_what_was_asked_in_a_file_that_was_put_aside_is_refused_and_may_be_asked_again(
    start: Start, attach: Attach
) -> None:
    run = start(unit("a"))
    session = attach()
    session.request(PauseRequested())
    eventually(run.commands.pending, "the request arrives")
    put_aside(run.directory.commands)
    (answer,) = eventually(lambda: (found := session.answers())[0].text and found, "it is answered")
    assert answer.text == "refused: it was lost; ask again"
    session.request(PauseRequested())
    with closing(CommandQueue(run.directory.commands)) as queue:
        (again,) = eventually(queue.pending, "it arrives")
        queue.answer(again.id, "done")
    eventually(lambda: session.answers()[1].text == "done", "it is answered")
