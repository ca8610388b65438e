"""A journal says what was written to it: events, results, runners and the state at any moment."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from stored_runs import START, head_of, history, units, write

from qtui.core.events import (
    Event,
    PlanReplaced,
    RunPaused,
    RunStarted,
    RunStopping,
    UnitApproved,
    UnitFinished,
    UnitReady,
    UnitReset,
    UnitsAdded,
    UnitStarted,
)
from qtui.core.folding import fold
from qtui.core.model import ExecutionMode, QuantumUnit, Shell, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.store.journal import Journal, JournalDamaged, JournalError, JournalReader, JournalTooNew, Runner, StoredResult
from qtui.store.migrations import APPLICATION_ID, VERSION, migrate

PLAN = ExecutionPlan.build(units(5))
EVENTS = list(history(PLAN, 3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def read(path: Path) -> list[Event]:
    with closing(JournalReader(path)) as reader:
        return reader.after(0)


# -- what is written is read -----------------------------------------------------------------------------


def test_events_come_back_in_their_order_and_from_anywhere(path: Path) -> None:
    write(path, PLAN, EVENTS)
    with closing(JournalReader(path)) as reader:
        assert reader.last_seq() == len(EVENTS)
        for seq in range(len(EVENTS) + 2):
            assert reader.after(seq) == EVENTS[seq:]
            assert reader.after(seq, 3) == EVENTS[seq : seq + 3]


def test_the_head_comes_back(path: Path) -> None:
    head = head_of(PLAN, params={"n": 3, "x": 1.5}, options=RunOptions(workers=2), directory="/work", name="a\udcffb")
    Journal.create(path, head).close()
    with closing(JournalReader(path)) as reader:
        assert reader.head == head
        assert reader.last_seq() == 0
        assert reader.view() == RunView.initial(PLAN, head.name)


def runner(pid: int) -> Runner:
    return Runner(host="here", boot="b", pid=pid, started=1, version="1", at=START, session="")


def test_who_ran_the_run_before_writes_nothing_once_somebody_else_does(path: Path) -> None:
    before = Journal.create(path, head_of(PLAN))
    before.add_runner(runner(1))
    before.append(1, EVENTS[:2])
    with closing(Journal.reopen(path)) as after:
        after.add_runner(runner(2))
        with pytest.raises(JournalError, match="another process runs this run by now"):
            before.append(3, EVENTS[2:3])
        after.append(3, EVENTS[2:4])
        assert before.taken and not after.taken
        assert not before.close(), "nothing may be tidied up by it"
    assert read(path) == EVENTS[:4]


def test_a_journal_that_was_written_to_since_it_was_opened_is_not_gone_on_with(path: Path) -> None:
    with closing(Journal.create(path, head_of(PLAN))) as before, closing(Journal.reopen(path)) as after:
        before.append(1, EVENTS[:2])
        with pytest.raises(JournalError, match="another program has written to it"):
            after.add_runner(runner(2))


def test_secrets_are_not_in_the_file(path: Path) -> None:
    unit = QuantumUnit(id="a", action=Shell(("curl -u s3cret",)), env={"KEY": "s3cret"})
    head = head_of(
        ExecutionPlan.build([unit]),
        params={"key": "s3cret"},
        origin={"words": ["qtui", "-p", "key=s3cret"], "cwd": "/", "source": ""},
    )
    journal = Journal.create(path, head, masks=lambda text: text.replace("s3cret", "***"))
    journal.append(1, [UnitsAdded(0, (QuantumUnit(id="b", env={"KEY": "s3cret"}),), START)])
    journal.append(2, [PlanReplaced((unit,), ExecutionMode.AUTO, START)])
    journal.close()
    assert b"s3cret" not in path.read_bytes()
    with closing(JournalReader(path)) as reader:
        assert reader.head.params == {"key": "***"}
        assert reader.head.plan.table[0].env == {"KEY": "***"}


def test_the_state_of_every_moment_is_that_of_the_events_with_and_without_checkpoints(path: Path) -> None:
    write(path, PLAN, EVENTS, checkpoint=2)
    plain = path.with_name("plain.db")
    write(plain, PLAN, EVENTS)
    with closing(JournalReader(path)) as quick, closing(JournalReader(plain)) as slow:
        view = RunView.initial(quick.head.plan, quick.head.name)
        assert quick.view(0) == slow.view(0) == view
        for seq, event in enumerate(EVENTS, 1):
            view = fold(view, [event])
            assert quick.view(seq) == slow.view(seq) == view
        assert quick.view() == quick.view(10**9) == view


def test_a_checkpoint_that_cannot_be_read_costs_time_and_nothing_else(path: Path) -> None:
    write(path, PLAN, EVENTS, checkpoint=2)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE checkpoint SET data = zeroblob(9) WHERE seq > 20")
        database.commit()
    with closing(JournalReader(path)) as reader:
        assert reader.view() == fold(RunView.initial(reader.head.plan), EVENTS)


def test_a_checkpoint_is_due_once_it_is_worth_its_costs(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    events = [UnitReady(0, START)] * 10_000
    for _ in range(5):
        assert not journal.checkpoint_due(5)
        journal.append(journal.last + 1, events)
    assert journal.checkpoint_due(5) and not journal.checkpoint_due(10_000)
    journal.checkpoint(fold(RunView.initial(PLAN), events * 5))
    assert not journal.checkpoint_due(5)
    journal.close()
    journal = Journal.reopen(path)
    journal.append(50_001, events)
    assert not journal.checkpoint_due(5)
    journal.close()


def test_a_checkpoint_is_of_the_last_event_only(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    with pytest.raises(ValueError, match="checkpoint of event 1"):
        journal.checkpoint(fold(RunView.initial(PLAN), EVENTS[:1]))
    journal.close()


def growing_events() -> list[Event]:
    more = (QuantumUnit(id="more", action=Shell(("true",))), QuantumUnit(id="again", dependencies=("more",)))
    return [
        RunStarted(START, "demo", 2),
        UnitReady(0, START),
        UnitStarted(0, 1, ExecutionMode.COMMAND, 1, 7, START),
        UnitsAdded(0, more, START + 1),
        UnitFinished(0, 1, 1, UnitState.COMPLETED, START + 1, 1.0),
        UnitReady(5, START + 2),
        PlanReplaced((QuantumUnit(id="new"), *units(2)), ExecutionMode.AUTO, START + 3),
        UnitReady(0, START + 4),
        UnitsAdded(2, (QuantumUnit(id="late"),), START + 5),
        UnitReady(5, START + 5),
    ]


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_checkpoints_know_the_plan_that_holds_by_then(path: Path, batch: int) -> None:
    events = growing_events()
    write(path, PLAN, events, batch=batch, checkpoint=1)
    with closing(JournalReader(path)) as reader:
        assert reader.after(0) == events
        view = RunView.initial(reader.head.plan)
        for seq, event in enumerate(events, 1):
            view = fold(view, [event])
            found = reader.view(seq)
            assert list(found.plan.table) == list(view.plan.table)
            assert list(found.plan.needs) == list(view.plan.needs)
            assert (found.states, found.last, found.counts) == (view.states, view.last, view.counts)
        assert [unit.id for unit in view.plan.table] == ["new", "u0", "u1", "more", "again", "late"]


def test_the_moment_of_a_time_is_before_what_came_later(path: Path) -> None:
    write(path, PLAN, EVENTS)
    with closing(JournalReader(path)) as reader:
        assert reader.seq_at(START - 1) == 0
        assert reader.seq_at(START + 10**6) == len(EVENTS)
        for event in EVENTS:
            seq = reader.seq_at(event.at)
            assert all(earlier.at <= event.at for earlier in EVENTS[:seq])
            assert seq == len(EVENTS) or EVENTS[seq].at > event.at


def test_a_reader_sees_what_comes_and_only_then_a_change(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    with closing(JournalReader(path)) as reader:
        assert not reader.changed()
        journal.append(1, EVENTS[:4])
        assert reader.changed() and not reader.changed()
        assert reader.after(0) == EVENTS[:4]
        journal.append(5, EVENTS[4:6])
        assert reader.changed() and reader.after(4) == EVENTS[4:6]
    journal.close()


def test_results_are_kept_with_the_events_and_the_latest_counts(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    first = StoredResult(0, "u0", 1, "json", b"[1]")
    again = StoredResult(0, "u0", 2, "file", b"", "results/abc", "digest")
    none = StoredResult(1, "odd\udcff", 1, "none", why="a lock cannot be pickled \ud800")
    journal.append(1, EVENTS[:1], [first])
    journal.append(2, EVENTS[1:2], [again, none])
    journal.close()
    with closing(JournalReader(path)) as reader:
        assert reader.result("u0") == again
        found = reader.result("odd\udcff")
        assert found is not None and found.kind == "none" and "lock" in found.why
        assert reader.result("u1") is None


def test_the_latest_runner_says_when_it_is_ready(path: Path) -> None:
    runners = [
        Runner(host="h", boot="b", pid=n, started=1.5, version="1", at=START + n, session="/dev/pts/1") for n in (1, 2)
    ]
    journal = Journal.create(path, head_of(PLAN))
    with closing(JournalReader(path)) as reader:
        assert not reader.ready()
        journal.add_runner(runners[0])
        assert not reader.ready()
        journal.mark_ready()
        assert reader.ready()
        journal.add_runner(runners[1])
        assert not reader.ready()
    journal.close()


def test_what_you_have_done_is_done_by_a_name_for_who_reads_it(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN), who="ada@lab (pts/3)")
    events = [
        RunStarted(START, "demo", 4),
        RunPaused(START, "paused by you"),
        UnitReset(1, 2, "retried by you", START),
        UnitApproved(2, "approved by you", START),
        RunStopping(START, "stop", "canceled by you"),
        UnitFinished(0, 0, 1, UnitState.CANCELED, START, cause="canceled by bob@lab"),
    ]
    journal.append(1, events)
    journal.checkpoint(fold(RunView.initial(PLAN, "demo"), events))
    journal.close()
    with closing(JournalReader(path)) as reader:
        found, view = reader.after(0), reader.view()
        assert view == fold(reader.view(0), found), "the checkpoint says the same"
    told = [getattr(event, "cause", "") or getattr(event, "by", "") for event in found]
    ada = "by ada@lab (pts/3)"
    assert told == ["", f"paused {ada}", f"retried {ada}", f"approved {ada}", f"canceled {ada}", "canceled by bob@lab"]


def test_the_view_for_people_has_a_row_for_each_event(path: Path) -> None:
    write(path, PLAN, EVENTS)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT seq, kind, json_extract(data, '$[1]') FROM event ORDER BY seq").fetchall()
    assert len(rows) == len(EVENTS)
    assert rows[0][:2] == (1, "run_started") and rows[1] == (2, "unit_ready", 0)


# -- going on --------------------------------------------------------------------------------------------


def test_a_journal_that_is_opened_again_goes_on_where_it_ended(path: Path) -> None:
    write(path, PLAN, EVENTS[:10])
    journal = Journal.reopen(path)
    assert journal.last == 10
    journal.append(11, EVENTS[10:], sync=True)
    journal.close()
    assert read(path) == EVENTS


def test_events_are_numbered_without_a_gap(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    for wrong in (0, 2):
        with pytest.raises(ValueError, match="cannot follow"):
            journal.append(wrong, EVENTS[:1])
    journal.close()


def test_the_files_are_for_the_user_alone_and_one_is_left_at_the_end(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    journal.append(1, EVENTS)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    journal.close()
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_commit_is_forced_to_the_disk_where_that_is_asked_for(path: Path, durability: str) -> None:
    journal = Journal.create(path, head_of(PLAN), durability)  # type: ignore[arg-type]
    level = {"normal": 1, "full": 2}[durability]
    statements: list[str] = []
    database = journal._database
    assert database.execute("PRAGMA synchronous").fetchone() == (level,)
    database.set_trace_callback(statements.append)
    journal.append(1, EVENTS[:1], sync=True)
    database.set_trace_callback(None)
    full = [n for n, statement in enumerate(statements) if statement == "PRAGMA synchronous = FULL"]
    assert durability == "full" or full[0] < statements.index("COMMIT")
    assert database.execute("PRAGMA synchronous").fetchone() == (level,)
    journal.close()


def test_without_a_log_beside_it_one_file_is_enough(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN), wal=False)
    journal.append(1, EVENTS[:5])
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]
    assert read(path) == EVENTS[:5]
    journal.close()


def test_a_journal_is_never_made_over_something_else(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(JournalError, match="File exists"):
        Journal.create(path, head_of(PLAN))
    assert path.read_text() == "mine"
    link = path.with_name("link.db")
    link.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(JournalError):
        Journal.create(link, head_of(PLAN))
    assert not path.with_name("elsewhere").exists()


# -- other versions --------------------------------------------------------------------------------------


def set_pragma(path: Path, name: str, value: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA {name} = {value}")
        database.commit()


def test_a_newer_journal_is_refused_in_words_and_left_alone(path: Path) -> None:
    write(path, PLAN, EVENTS)
    set_pragma(path, "user_version", VERSION + 1)
    before = path.read_bytes()
    for opening in (JournalReader, Journal.reopen):
        with pytest.raises(JournalTooNew, match="newer version of qtui"):
            opening(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("make", [Path.touch, lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)")])
def test_a_file_that_is_no_journal_is_refused(path: Path, make: object) -> None:
    make(path)  # type: ignore[operator]
    for opening in (JournalReader, Journal.reopen):
        with pytest.raises(JournalDamaged, match="not the journal of a run"):
            opening(path)


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    for opening in (JournalReader, Journal.reopen):
        with pytest.raises(JournalError, match="no such journal"):
            opening(path)
    assert not path.exists()


STEPS = {
    0: ("ALTER TABLE note RENAME TO remark", "ALTER TABLE remark ADD COLUMN who TEXT NOT NULL DEFAULT 'unknown'"),
    1: ("UPDATE remark SET text = upper(text)",),
}


def version_zero(path: Path) -> None:
    """A file of a layout that is older than the first one that was released."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('kept')"
        )


def remarks(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT * FROM remark").fetchall()


def test_an_old_file_is_brought_up_step_by_step_after_a_copy(path: Path) -> None:
    version_zero(path)
    before = path.read_bytes()
    copy = migrate(path, STEPS, 2)
    assert copy is not None and copy.read_bytes() == before
    assert remarks(path) == [("KEPT", "unknown")]
    assert migrate(path, STEPS, 2) is None


def test_a_step_that_fails_leaves_the_old_file(path: Path) -> None:
    version_zero(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(path, {**STEPS, 1: ("UPDATE nothing SET x = 1",)}, 2)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT text FROM note").fetchall() == [("kept",)]
        assert database.execute("PRAGMA user_version").fetchone() == (0,)
    migrate(path, STEPS, 2)
    assert remarks(path) == [("KEPT", "unknown")]


def test_a_layout_that_was_never_released_is_refused(path: Path) -> None:
    version_zero(path)
    with pytest.raises(JournalDamaged, match="layout 0"):
        Journal.reopen(path)
    with pytest.raises(JournalError, match="earlier version"):
        JournalReader(path)
