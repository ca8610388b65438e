"""What pruning removes: old runs and too much of them, but never what is live or could still go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from stored_runs import head_of, history, units

from qtui.core.errors import UsageError
from qtui.core.events import RunFinished, RunStarted
from qtui.core.model import RunState
from qtui.core.plan import ExecutionPlan
from qtui.store.history import History
from qtui.store.journal import Journal
from qtui.store.journal_reader import JournalReader
from qtui.store.prune import Pruned, held_open, prune
from qtui.store.rundir import RunDirectory, list_runs, run_directories

DAY = 86400
MB = 1 << 20


def name(number: int) -> str:
    return f"20260101-12000{number}-0000000{number}"


def made(state: Path, number: int, *, days: float = 0, size: int = 0, end: RunState | None = RunState.COMPLETED) -> str:
    """A run that last changed so many days ago; without an end its process has died."""
    directory = RunDirectory.create(state, name(number))
    plan = ExecutionPlan.build(units(2))
    journal = Journal.create(directory.journal, head_of(plan, run=directory.run))
    events = [*history(plan)][:-1] if end else [RunStarted(1.0, "demo", 4)]
    journal.append(1, events)
    if end:
        journal.append(len(events) + 1, [RunFinished(end, {}, 1.0, 0, 2.0)])
    journal.close()
    if size:
        directory.logs.mkdir()
        (directory.logs / "log").write_bytes(os.urandom(size))
    History(state).begin(directory.run, "demo", "", "", float(number))
    age(directory.path, days)
    return directory.run


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))


def told(pruned: Sequence[Pruned]) -> list[str]:
    assert [each.error for each in pruned] == [""] * len(pruned)
    return [each.run for each in pruned]


def test_old_runs_go_and_the_others_stay(tmp_path: Path) -> None:
    for number, days in enumerate((200, 91, 89, 0)):
        made(tmp_path, number, days=days)
    pruned = prune(tmp_path)
    assert told(pruned) == [name(0), name(1)]
    assert [each.why for each in pruned] == ["last changed 200 days ago", "last changed 91 days ago"]
    assert list_runs(tmp_path) == [name(2), name(3)]
    assert [each.run for each in History(tmp_path).runs()] == [name(3), name(2)], "the history lists what there is"
    assert prune(tmp_path) == []


def test_the_oldest_go_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    for number in range(4):
        made(tmp_path, number, days=10 - number, size=2 * MB)
    pruned = prune(tmp_path, max_bytes=5 * MB)
    assert told(pruned) == [name(0), name(1)]
    assert all(each.bytes >= 2 * MB and "take too much" in each.why for each in pruned)
    assert prune(tmp_path, max_bytes=5 * MB) == []
    assert prune(tmp_path, keep_days=None, max_bytes=None) == []


def test_a_trial_tells_the_same_as_what_is_done_then_and_removes_nothing(tmp_path: Path) -> None:
    for number in range(4):
        made(tmp_path, number, days=100 - number, size=MB)
    trial = prune(tmp_path, keep_days=98.5, max_bytes=1, dry_run=True)
    assert len(list_runs(tmp_path)) == 4
    assert prune(tmp_path, keep_days=98.5, max_bytes=1) == trial
    assert list_runs(tmp_path) == []


def test_a_run_that_is_to_be_spared_stays_however_large(tmp_path: Path) -> None:
    made(tmp_path, 0, days=5, size=MB)
    made(tmp_path, 1, size=2 * MB)
    assert told(prune(tmp_path, max_bytes=1, spare={name(1)})) == [name(0)]
    assert list_runs(tmp_path) == [name(1)]


@pytest.mark.parametrize("end", [None, RunState.INTERRUPTED])
def test_a_run_that_could_go_on_stays_unless_told(tmp_path: Path, end: RunState | None) -> None:
    made(tmp_path, 0, days=200, end=end)
    for _ in range(2):
        assert prune(tmp_path) == []
    assert told(prune(tmp_path, unfinished=True)) == [name(0)], "looking at it has not made it younger"


@pytest.mark.parametrize("end", [RunState.FAILED, RunState.CANCELED])
def test_failed_and_canceled_runs_have_come_to_their_end(tmp_path: Path, end: RunState) -> None:
    made(tmp_path, 0, days=200, end=end)
    assert told(prune(tmp_path)) == [name(0)]


def test_a_live_run_is_never_removed(tmp_path: Path) -> None:
    run = made(tmp_path, 0, days=200)
    with RunDirectory.open(tmp_path, run).lock():
        age(tmp_path / "runs" / run, 200)
        for dry_run in (True, False):
            assert prune(tmp_path, max_bytes=0, dry_run=dry_run, unfinished=True) == []
    age(tmp_path / "runs" / run, 200)
    assert told(prune(tmp_path)) == [run]


@pytest.mark.parametrize("end", [RunState.COMPLETED, None])
def test_values_that_a_killed_process_has_left_go_but_not_those_of_one_that_lives(
    tmp_path: Path, end: RunState | None
) -> None:
    run = made(tmp_path, 0, end=end)
    directory = RunDirectory.open(tmp_path, run)
    left = directory.path / "values" / "large"
    left.parent.mkdir()
    left.write_bytes(b"x" * MB)
    with directory.lock():
        prune(tmp_path)
        assert left.exists()
    prune(tmp_path, dry_run=True)
    assert left.exists()
    assert prune(tmp_path) == []
    assert not left.parent.exists() and directory.journal.exists()


def test_runs_that_a_limit_is_against_and_that_stay_are_told(tmp_path: Path) -> None:
    finished, cut, _young = made(tmp_path, 0, days=200), made(tmp_path, 1, days=200, end=None), made(tmp_path, 2)
    spared: list[str] = []
    with RunDirectory.open(tmp_path, finished).lock():
        age(tmp_path / "runs" / finished, 200)
        assert prune(tmp_path, spared=spared.append) == []
    assert sorted(spared) == [finished, cut]


def test_a_run_that_somebody_has_open_stays_and_may_be_gone_on_with(tmp_path: Path) -> None:
    run = made(tmp_path, 0, days=200)
    directory = RunDirectory.open(tmp_path, run)
    with held_open(directory), held_open(directory):
        for dry_run in (True, False):
            assert prune(tmp_path, max_bytes=0, dry_run=dry_run, unfinished=True) == []
        directory.lock().release()
    age(directory.path, 200)
    assert told(prune(tmp_path)) == [run]


def test_a_damaged_run_stays_until_told(tmp_path: Path) -> None:
    run = made(tmp_path, 0)
    journal = RunDirectory.open(tmp_path, run).journal
    journal.write_bytes(b"garbage" * 1000)
    age(journal.parent, 200)
    assert prune(tmp_path) == []
    assert told(prune(tmp_path, unfinished=True)) == [run]


def test_what_older_versions_left_without_a_journal_goes_by_age(tmp_path: Path) -> None:
    for number, days in ((0, 200), (1, 10)):
        directory = RunDirectory.create(tmp_path, name(number))
        directory.logs.mkdir()
        (directory.logs / "unit.1.log").write_text("said")
        age(directory.path, days)
    assert told(prune(tmp_path)) == [name(0)]
    assert run_directories(tmp_path) == [name(1)]


def test_who_reads_a_run_that_is_removed_can_go_on_reading(tmp_path: Path) -> None:
    run = made(tmp_path, 0, days=200)
    reader = JournalReader(RunDirectory.open(tmp_path, run).journal)
    assert told(prune(tmp_path)) == [run]
    assert reader.view().state is RunState.COMPLETED
    reader.close()


def test_links_inside_of_a_run_are_removed_and_not_what_they_lead_to(tmp_path: Path) -> None:
    run = made(tmp_path / "state", 0, size=MB)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    (tmp_path / "state" / "runs" / run / "logs" / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "state" / "runs" / name(5)).symlink_to(tmp_path / "precious")
    assert told(prune(tmp_path / "state", max_bytes=0)) == [run]
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_a_removal_that_was_cut_short_is_finished_later(tmp_path: Path) -> None:
    made(tmp_path, 0)
    left = tmp_path / "runs" / ".pruned-x"
    (left / "logs").mkdir(parents=True)
    assert list_runs(tmp_path) == [name(0)]
    prune(tmp_path, dry_run=True)
    assert left.exists()
    prune(tmp_path)
    assert not left.exists()


def test_a_size_is_measured_again_when_a_run_has_changed(tmp_path: Path) -> None:
    run = made(tmp_path, 0, days=3, size=MB)
    assert prune(tmp_path, max_bytes=2 * MB) == []
    (tmp_path / "runs" / run / "logs" / "more").write_bytes(os.urandom(2 * MB))
    assert [each.run for each in prune(tmp_path, max_bytes=2 * MB)] == [run]


def test_a_run_that_is_not_safe_is_told_of_and_stays(tmp_path: Path) -> None:
    run = made(tmp_path, 0, days=200)
    (tmp_path / "runs" / run).chmod(0o777)
    (pruned,) = prune(tmp_path)
    assert "others may write to" in pruned.error
    assert list_runs(tmp_path) == [run]
    (tmp_path / "runs").chmod(0o777)
    with pytest.raises(UsageError, match="others may write to"):
        prune(tmp_path)


def test_a_place_without_runs_has_nothing_to_prune(tmp_path: Path) -> None:
    assert prune(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


WRITES_NOTHING = """
import resource, sys
from pathlib import Path
from qtui.store.prune import prune
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print([each.error for each in prune(Path(sys.argv[1]))])
"""


def test_runs_go_where_not_a_byte_can_be_written(tmp_path: Path) -> None:
    run = made(tmp_path, 0)
    RunDirectory.open(tmp_path, run).lock().release()
    age(tmp_path / "runs" / run, 200)
    words = [sys.executable, "-c", WRITES_NOTHING, str(tmp_path)]
    assert subprocess.run(words, capture_output=True, text=True, timeout=60).stdout == "['']\n"
    assert list_runs(tmp_path) == []
