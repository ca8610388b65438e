"""The list of runs says which go on, which have ended and which have lost their process, whatever the index knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core_driver import unit
from recorded_run import START, RecordedRun

from qtui.core.errors import UsageError
from qtui.core.events import RunResumed
from qtui.listing import KnownRun
from qtui.manager import WorkflowManager
from qtui.services import open_services
from qtui.store.history import Completions, History, RunSummary
from qtui.store.rundir import RunDirectory

Begin = Callable[..., RecordedRun]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def manager(state: Path) -> Iterator[WorkflowManager]:
    with open_services(state) as services:
        yield services.manager


@pytest.fixture
def begin(state: Path) -> Iterator[Begin]:
    """Begin a run of one unit; the number is part of its id."""
    runs: list[RecordedRun] = []

    def begin_run(number: int) -> RecordedRun:
        directory = RunDirectory.create(state, f"20260102-03040{number}-abcd")
        runs.append(RecordedRun(directory, unit("a"), at=START + number))
        return runs[-1]

    yield begin_run
    for run in runs:
        run.leave()


def of(run: RecordedRun, known: list[KnownRun]) -> KnownRun:
    (found,) = [each for each in known if each.summary.run == run.directory.run]
    return found


def test_without_runs_the_list_is_empty(manager: WorkflowManager) -> None:
    assert manager.runs() == []


def test_runs_are_known_from_their_journals(manager: WorkflowManager, begin: Begin) -> None:
    ended, lost, live = begin(1), begin(2), begin(3)
    ended.succeed("a")
    ended.leave()
    lost.leave()
    known = manager.runs()
    assert [each.summary.run[:15] for each in known] == ["20260102-030403", "20260102-030402", "20260102-030401"]
    first, second, third = (of(run, known) for run in (ended, lost, live))
    assert first.summary == RunSummary(
        run=ended.directory.run,
        name="demo",
        source="",
        directory="",
        began=START + 1,
        ended=START + 1,
        state="completed",
        exit_code=0,
        counts={"completed": 1},
    )
    assert not first.lost and first.holder is None
    assert second.lost and second.summary.ended is None
    assert third.holder is not None and third.holder.is_here and not third.lost


def test_an_end_that_has_not_reached_the_index_is_known(manager: WorkflowManager, begin: Begin, state: Path) -> None:
    run = begin(1)
    History(state).rebuild([])
    History(state).begin(run.directory.run, "demo", "", "", START)
    run.succeed("a")
    run.leave()
    (known,) = manager.runs()
    assert known.summary.state == "completed" and not known.lost


def test_a_run_that_cannot_be_read_is_there_all_the_same(manager: WorkflowManager, begin: Begin) -> None:
    run = begin(1)
    run.leave()
    run.directory.journal.write_bytes(b"garbage " * 1000)
    (known,) = manager.runs()
    assert known.summary.run == run.directory.run and "journal.db" in known.fault and not known.lost


def test_so_many_as_asked_for_are_listed_newest_first(manager: WorkflowManager, begin: Begin) -> None:
    for number in range(1, 6):
        begin(number).leave()
    assert [each.summary.run[14] for each in manager.runs(limit=2)] == ["5", "4"]


def test_runs_of_one_workflow_can_be_asked_for(manager: WorkflowManager, begin: Begin, state: Path) -> None:
    ours, other = begin(1), begin(2)
    manager.runs()
    for run, source in ((ours, "/w/ours.toml"), (other, "/w/other.toml")):
        run.succeed("a")
        run.leave()
        History(state).forget(run.directory.run)
        History(state).begin(run.directory.run, "demo", source, "/w", START)
        History(state).end(run.directory.run, "completed", 0, {"completed": 1}, START, 0.0, Completions({}))
    assert [each.summary.run for each in manager.runs("/w/ours.toml")] == [ours.directory.run]


def test_attach_and_replay_find_a_run_by_a_part_of_its_id(manager: WorkflowManager, begin: Begin) -> None:
    first, second = begin(1), begin(2)
    for named, run in ((None, second), ("20260102-030401", first), (second.directory.run, second)):
        session, replay = manager.attach(named), manager.replay(named)
        assert session.run == replay.run == run.directory.run
        session.close()
        replay.close()
    for missing in ("2026", "20270101"):
        with pytest.raises(UsageError, match=missing):
            manager.attach(missing)


def test_without_a_state_directory_there_is_nothing_to_attach_to() -> None:
    with open_services() as services:
        assert services.manager.runs() == []
        with pytest.raises(UsageError, match="state directory"):
            services.manager.attach()


def test_a_run_that_somebody_has_taken_up_again_goes_on_whatever_the_index_knows(
    manager: WorkflowManager, begin: Begin, state: Path
) -> None:
    run = begin(1)
    manager.runs()
    index = History(state)
    index.begin(run.directory.run, "demo", "", "", START)
    index.end(run.directory.run, "interrupted", 130, {}, START, 0.0, {})
    run.record(RunResumed(START + 5, "resumed", 1))
    (known,) = manager.runs()
    assert (known.summary.state, known.summary.ended, known.summary.counts) == ("running", None, {"running": 1})
    assert known.holder is not None and not known.lost
