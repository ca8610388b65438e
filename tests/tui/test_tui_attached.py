"""The dashboard on a run of another process, and what it says when the record or the process is in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded_run import RecordedRun
from scenes import COMMAND, diamond, fan_out, finished, nightly, unit
from scripted import START, ScriptedSession
from stage import MEDIUM, SMALL, staged

from qtui.attached import AttachedSession
from qtui.core.events import JournalChanged, PlanReplaced, RunResumed, UnitFinished, UnitReset, UnitStale, UnitStarted
from qtui.core.model import ExecutionMode, RetryPolicy, UnitState
from qtui.core.session import Answer
from qtui.core.stimuli import CancelRequested, RunRequested
from qtui.store.rundir import RunDirectory
from qtui.tui.app import Leaving, Left
from qtui.tui.bridge import Bridge
from qtui.tui.laying import lay_out
from qtui.tui.widgets.header import Header, look_counts

SIZES = [(40, 12), (60, 16), SMALL, (80, 50), MEDIUM, (200, 20), (200, 60)]
MODE = ExecutionMode.AUTO


def attached(session: ScriptedSession, *, read_only: bool = False) -> ScriptedSession:
    session.kind, session.read_only = "attached", read_only
    return session


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "state", "20260102-030405-abcd")


@pytest.fixture
def run(directory: RunDirectory) -> Iterator[RecordedRun]:
    """fetch -> clean, features; another process runs it."""
    recorded = RecordedRun(directory, unit("fetch"), unit("clean", "fetch"), unit("features", "fetch"), workers=4)
    yield recorded
    recorded.leave()


@pytest.fixture
def attach(directory: RunDirectory) -> Iterator[Callable[..., AttachedSession]]:
    sessions: list[AttachedSession] = []

    def begin(**keys: Any) -> AttachedSession:
        sessions.append(AttachedSession(directory, **keys))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


# -- how it looks, and how it is left ------------------------------------------------------------------------


@pytest.mark.parametrize(("read_only", "word"), [(False, "attached"), (True, "read-only")])
async def test_the_header_says_how_one_looks_at_the_run(read_only: bool, word: str) -> None:
    async with staged(attached(diamond(), read_only=read_only), SMALL) as stage:
        assert f"nightly.toml  {word}  RUNNING" in stage.lines()[0]


async def test_the_header_of_a_run_of_this_process_has_no_such_word() -> None:
    async with staged(diamond(), SMALL) as stage:
        assert "nightly.toml  RUNNING" in stage.lines()[0]


@pytest.mark.parametrize("key", ["q", "D", "ctrl+c"])
async def test_leaving_asks_nothing_and_touches_nothing(key: str) -> None:
    session = attached(diamond())
    async with staged(session) as stage:
        await stage.press(key)
        await stage.until(lambda: not stage.app.is_running, "the screen is left")
    assert stage.app.return_value == Leaving(how=Left.RUNNING, exit_code=None)
    assert session.requests == []


async def test_a_run_that_was_interrupted_before_can_be_looked_at() -> None:
    session = attached(diamond())
    session.post(RunRequested("again"))
    async with staged(session, (120, 110)) as stage:
        await stage.shows("RUNNING")
        await stage.press("question_mark")
        await stage.shows("quit; the run goes on")
        assert "without a screen" not in stage.text()


async def test_a_screen_that_only_reads_asks_nothing_of_the_run() -> None:
    session = attached(diamond(), read_only=True)
    async with staged(session, MEDIUM) as stage:
        for key in ("x", "X", "p", "plus", "A"):
            await stage.press(key)
            await stage.shows("this screen only reads")
            stage.main.note("-")
        assert "cancel" not in stage.lines()[-1]
        await stage.press("question_mark")
        await stage.shows("Move")
        assert "again while it stops: kill" not in stage.text()
    assert session.requests == []


async def test_what_became_of_a_request_is_told_unless_it_was_done() -> None:
    session = attached(diamond())
    async with staged(session) as stage:
        asked = CancelRequested((0,))
        session.answered = [Answer(asked, START, "done", START), Answer(asked, START)]
        await stage.press("j", "k")
        assert "done" not in stage.lines()[-2]
        session.answered[1] = Answer(asked, START, "too late: fetch had ended", START)
        await stage.shows("too late: fetch had ended")


# -- trouble -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_a_record_that_cannot_be_written_is_told_in_every_arrangement(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    session = nightly()
    async with staged(session, SMALL) as stage:
        await stage.pilot.resize_terminal(*size)
        session._record([JournalChanged("disk full", START)])
        words = "! the record cannot be written: disk full - nothing new starts"
        await stage.until(lambda: words in " ".join(stage.text().split()), "the banner")
        session._record([JournalChanged("", START)])
        await stage.until(lambda: words not in " ".join(stage.text().split()), "the banner has gone")


@pytest.mark.parametrize("size", SIZES)
async def test_a_lost_process_is_told_with_what_to_do(size: tuple[int, int]) -> None:
    session = attached(diamond())
    async with staged(session, SMALL) as stage:
        await stage.pilot.resize_terminal(*size)
        session.trouble = "the process that ran it is gone: qtui resume test-run"
        words = "! the process that ran it is gone: qtui resume test-run"
        await stage.until(lambda: words in " ".join(stage.text().split()), "the banner")
        session.trouble = ""
        await stage.hides("the process that")


async def test_in_a_lost_run_nothing_runs_until_somebody_goes_on_with_it() -> None:
    waits = RetryPolicy(max=2, delay=8)
    session = attached(ScriptedSession([unit("busy"), unit("flaky", retry=waits), unit("after", "busy")]))
    session.fails("flaky")
    async with staged(session, MEDIUM) as stage:
        await stage.shows("run 1", "retry 1", "try 2/3")
        session.lost, session.trouble = True, "the process that ran it is gone: qtui resume test-run"
        await stage.shows("LOST", "run 0", "interrupted: ran when its process was lost", "interrupted: waited for")
        assert "retry 1" not in stage.text() and "try 2/3" not in stage.text()
        session.lost, session.trouble = False, ""
        await stage.shows("run 1", "retry 1", "try 2/3")


async def test_a_lost_run_asks_for_nothing_and_takes_nothing() -> None:
    session = attached(ScriptedSession([unit("publish", confirm="Publish?")]))
    async with staged(session, SMALL) as stage:
        await stage.shows("1 unit asks you")
        session.lost, session.trouble = True, "the process that ran it is gone: qtui resume test-run"
        await stage.shows("LOST", "at least 0:0", "this is the last on record; q quits")
        assert "asks you" not in stage.text()
        assert "workers" not in stage.lines()[-2]
        for key in ("a", "x", "p", "X"):
            await stage.press(key)
            await stage.until(lambda: "is gone: qtui resume test-run" in stage.lines()[-2], f"{key} is refused")
            stage.main.note("-")
    assert session.requests == []


async def test_a_sentence_goes_before_the_figures_where_there_is_no_room_for_both() -> None:
    async with staged(attached(diamond()), SMALL) as stage:
        await stage.shows("workers 1/4")
        stage.main.note("refused: nobody runs it: qtui resume 20260102-030405-abcd1234")
        await stage.shows("qtui resume 20260102-030405-abcd1234")
        assert "workers" not in stage.text()


async def test_the_events_tell_of_a_record_in_trouble_and_of_a_new_process() -> None:
    session = nightly()
    async with staged(session, MEDIUM) as stage:
        session._record([JournalChanged("disk full", START), JournalChanged("", START)])
        session._record([RunResumed(START, "resumed by ada@here", 4)])
        await stage.press("4", "z")
        await stage.shows(
            "! the record cannot be written: disk full", "the record is written again", "resumed by ada@here"
        )


async def test_the_rows_of_families_follow_a_run_that_another_process_has_taken_up() -> None:
    session = fan_out()
    async with staged(session, MEDIUM) as stage:
        session.completes("list_files")
        await stage.shows("extract[0..29]  4▸ 26")
        session._record([RunResumed(START, "resumed by ada@here", 4)])
        session.completes("extract[0]", "extract[1]")
        await stage.shows("extract[0..29]  2✓ 4▸ 24")


# -- plans that are replaced ---------------------------------------------------------------------------------


async def test_a_stale_unit_says_so_in_its_row_and_why_below() -> None:
    session = finished()
    async with staged(session, MEDIUM) as stage:
        session._record([UnitStale(session.number("clean"), "its command changed", START)])
        await stage.shows("1 stale", "clean  stale")
        await stage.select("clean")
        await stage.shows("stale: its command changed", "its earlier result is kept")


async def test_the_selection_follows_its_unit_into_another_plan() -> None:
    session = attached(fan_out(8))
    async with staged(session, MEDIUM) as stage:
        await stage.select("publish")
        new = [unit("first"), unit("list_files"), unit("publish", "first"), unit("merge", "list_files")]
        session._record([PlanReplaced(tuple(new), MODE, START)])
        await stage.hides("extract")
        assert "publish" in stage.line_with("›")
        await stage.shows("0/4", "the workflow has 4 units from here on")
        session._record([UnitStarted(3, 1, ExecutionMode.COMMAND, 1, 77, START)])
        await stage.until(lambda: "run" in stage.line_with("merge"), "the unit with the new number runs")


async def test_the_list_has_the_names_of_another_plan() -> None:
    session = attached(ScriptedSession([unit("old"), unit("older")]))
    async with staged(session, MEDIUM) as stage:
        await stage.press("t", "t")
        await stage.shows("Units by state", "older")
        session._record([PlanReplaced((unit("newer"), unit("new"), unit("newest")), MODE, START)])
        await stage.hides("older")
        await stage.shows("newer", "new", "newest")


async def test_the_log_follows_its_unit_into_another_plan() -> None:
    session = attached(fan_out(8))
    session.prints("list_files", "old lines\n")
    async with staged(session, MEDIUM) as stage:
        await stage.shows("old lines")
        session.logs[(1, 1)] = session.logs.pop((0, 1))
        session._record([PlanReplaced((unit("first"), unit("list_files")), MODE, START)])
        await stage.shows("[Log] Info Why Deps Tries  list_files", "old lines")


async def test_a_selected_unit_that_is_gone_gives_way_to_what_it_stood_below() -> None:
    session = attached(fan_out(8))
    async with staged(session, MEDIUM) as stage:
        await stage.select("extract[3]")
        session._record([PlanReplaced((unit("other"), unit("list_files")), MODE, START)])
        await stage.shows("0/2")
        assert "list_files" in stage.line_with("›")


async def test_events_keep_the_names_that_their_units_had() -> None:
    session = attached(diamond())
    async with staged(session, MEDIUM) as stage:
        session._record([UnitReset(2, 2, "asked for", START)])
        session._record([PlanReplaced((unit("x"), unit("y"), unit("z")), MODE, START)])
        session._record([UnitReset(2, 2, "asked for once more", START)])
        await stage.shows("features  asked for", "z  asked for once more")


def test_all_is_counted_anew_for_another_plan() -> None:
    session = fan_out(12)
    session.completes("list_files")
    bridge = Bridge(session, lay_out(session.plan))
    bridge.advance()
    session.fails("extract[0]")
    kept = tuple(unit(f"extract[{at}]", family="extract", action=COMMAND) for at in range(6, 12))
    session._record([PlanReplaced((unit("new"), *kept), MODE, START)])
    change = bridge.advance()
    assert change.replaced
    assert bridge.layout.names == ["new", *(f"extract[{at}]" for at in range(6, 12))]
    assert [sum(counts.values()) for counts in bridge.tree.counts] == [6]
    assert bridge.holding == {n for n, state in enumerate(bridge.view.states) if state is UnitState.RUNNING}
    assert sum(look_counts(bridge.view).values()) == 7


# -- the real thing ------------------------------------------------------------------------------------------


async def test_two_screens_follow_one_run_and_the_second_cancel_is_too_late(
    run: RecordedRun, attach: Callable[..., AttachedSession]
) -> None:
    async with staged(attach(), MEDIUM) as first, staged(attach(), MEDIUM) as second:
        for stage in (first, second):
            await stage.shows("attached  RUNNING", "▸ run")
            await stage.press("x")
            await stage.shows("cancel fetch; 2 dependents will be skipped")
        await first.press("y")
        await first.until(lambda: len(run.commands.pending()) == 1, "the request has been sent")
        (command,) = run.commands.pending()
        assert command.request.units == (0,)
        assert "@" in command.who
        run.send(command.request)
        run.stopped("fetch")
        run.commands.answer(command.id, "done")
        await first.shows("CANC")
        await second.shows("CANC")
        assert "done" not in first.lines()[-2]


async def test_a_run_whose_process_has_gone_is_no_traceback(
    run: RecordedRun, attach: Callable[..., AttachedSession]
) -> None:
    session = attach()
    async with staged(session, SMALL) as stage:
        await stage.shows("RUNNING")
        run.leave()
        await stage.shows(f"! the process that ran it is gone: qtui resume {session.run}", "attached  LOST")
        assert "cancel" not in stage.lines()[-1]
        await stage.press("x")
        await stage.until(lambda: stage.text().count("it is gone: qtui resume") == 2, "the key is refused")
        await stage.press("q")
    assert stage.app.return_value == Leaving(how=Left.RUNNING, exit_code=None)


@pytest.mark.parametrize(("read_only", "word"), [(False, "attached"), (True, "read-only")])
async def test_how_one_looks_at_a_run_is_told_the_same_after_its_end(
    run: RecordedRun, attach: Callable[..., AttachedSession], read_only: bool, word: str
) -> None:
    session = attach(read_only=read_only)
    async with staged(session, SMALL) as stage:
        await stage.shows(f"{word}  RUNNING")
        run.fail("fetch", "BadRow")
        run.leave()
        await stage.shows(f"{word}  FAILED")
        await stage.until(lambda: session.read_only, "nobody is there any more")
        header = stage.main.query_one(Header)
        header.update_run(session.now(), changed=True)
        assert f"{word}  FAILED" in "".join(span.text for span in header.line(0))


async def test_a_run_that_has_ended_long_ago_shows_its_end(
    run: RecordedRun, attach: Callable[..., AttachedSession]
) -> None:
    run.log(0, 1, b"reading rows\n")
    run.fail("fetch", "BadRow")
    run.leave()
    async with staged(attach(), MEDIUM) as stage:
        await stage.shows("attached  FAILED", "BadRow: went wrong", "reading rows", "q quits")
        assert not {"cancel", "retry", "pause", "answer"} & set(stage.lines()[-1].split())
        for key in "xrRpaX":
            await stage.press(key)
            await stage.until(
                lambda: "the run has ended here: qtui resume 20260102-030405-abcd" in stage.lines()[-2], key
            )
            stage.main.note("-")
        assert any(isinstance(event, UnitFinished) for event in run.events)
        await stage.press("q")
    assert stage.app.return_value == Leaving(how=Left.FINISHED, exit_code=1)
