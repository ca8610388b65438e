"""Full disks, lost and damaged files, killed writers: what was acknowledged is there, and the rest is told in words."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from stored_runs import head_of, history, units, write

from qtui.core.events import RunStarted, UnitFinished, UnitReset
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan
from qtui.store.journal import Journal, JournalDamaged, JournalError, JournalReader, StoredResult, recover
from qtui.store.recovery import kept_words

PLAN = ExecutionPlan.build(units(20))
EVENTS = list(history(PLAN, 3))
ROOT = os.geteuid() == 0
SOAK = bool(os.environ.get("QTUI_SOAK"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def check_whole(path: Path) -> int:
    """The number of events in a file that must be all right, and that they are those that were written."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    with closing(JournalReader(path)) as reader:
        assert reader.problems() == []
        found = reader.after(0)
    assert found == EVENTS[: len(found)]
    return len(found)


PROGRAM = """
import os, random, resource, signal, sqlite3
from contextlib import closing
from pathlib import Path
from test_journal_faults import EVENTS, PLAN, fill
from qtui.store.journal import Journal, JournalError, JournalReader, StoredResult
from stored_runs import head_of
"""


def run_child(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has the journal at hand."""
    setup = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{PROGRAM}\n"
    command = [sys.executable, "-c", setup + code, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# -- a disk that is full, or may only be read ------------------------------------------------------------


def fill(journal: Journal) -> str:
    """Write events over and over until that fails, and say why."""
    while True:
        rest = EVENTS[journal.last % len(EVENTS) :]
        try:
            journal.append(journal.last + 1, rest)
        except JournalError as error:
            return str(error)


@pytest.mark.skipif(not ROOT, reason="only root may mount a small disk")
def test_a_full_disk_is_told_loses_nothing_and_the_journal_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip(f"cannot mount a small disk: {mount.stderr!r}")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * (1 << 20))
        journal = Journal.create(disk / "journal.db", head_of(PLAN))
        why = fill(journal)
        assert "the disk is full" in why and str(disk / "journal.db") in why
        written = journal.last
        for _ in range(3):
            with pytest.raises(JournalError, match="full"):
                journal.append(written + 1, EVENTS, [StoredResult(0, "u0", 1, "json", b"x" * 100_000)])
        with closing(JournalReader(disk / "journal.db")) as reader:
            assert reader.last_seq() == written and reader.result("u0") is None
        ballast.unlink()
        journal.append(written + 1, EVENTS[:9])
        assert journal.last == written + 9
        journal.close()
        with closing(JournalReader(disk / "journal.db")) as reader:
            assert reader.problems() == [] and reader.last_seq() == written + 9
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_limit_on_the_size_of_files_is_told_and_loses_nothing(path: Path) -> None:
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.create(Path(sys.argv[1]), head_of(PLAN))
why = fill(journal)
last = journal.last
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(last + 1, EVENTS)
assert journal.last == last + len(EVENTS)
journal.close()
print(last, why)
"""
    done = run_child(code, str(path))
    assert done.returncode == 0, done.stderr
    last, _, why = done.stdout.partition(" ")
    assert str(path) in why and ("disk reports an error" in why or "full" in why)
    with closing(JournalReader(path)) as reader:
        assert reader.last_seq() == int(last) + len(EVENTS) and reader.problems() == []


READ_ONLY = """
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
path = Path(sys.argv[1])
try:
    {}
except JournalError as error:
    print(error)
"""


@pytest.fixture
def open_to_all(tmp_path: Path) -> Iterator[Path]:
    """A directory that another user can get to, as root may write anywhere."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_directory_that_may_only_be_read_is_told(open_to_all: Path) -> None:
    open_to_all.chmod(0o555)
    done = run_child(READ_ONLY.format("Journal.create(path, head_of(PLAN))"), str(open_to_all / "journal.db"))
    assert "cannot be made: Permission denied" in done.stdout, done.stderr
    assert list(open_to_all.iterdir()) == []


def test_a_journal_in_such_a_directory_can_be_read_all_the_same(open_to_all: Path) -> None:
    path = open_to_all / "journal.db"
    write(path, PLAN, EVENTS, checkpoint=3)
    path.chmod(0o444)
    open_to_all.chmod(0o555)
    reading = "reader = JournalReader(path); print(reader.after(0) == EVENTS, reader.problems())"
    done = run_child(READ_ONLY.format(reading), str(path))
    assert done.stdout == "True []\n", done.stderr
    done = run_child(READ_ONLY.format("Journal.reopen(path).append(len(EVENTS) + 1, EVENTS[:1])"), str(path))
    assert "it may only be read" in done.stdout or "cannot be opened" in done.stdout, (done.stdout, done.stderr)


# -- files that go away ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [["journal.db"], ["journal.db-wal"], ["journal.db", "journal.db-wal", "journal.db-shm"]]
)
def test_a_journal_that_was_removed_under_its_writer_is_told_and_written_again(path: Path, names: list[str]) -> None:
    journal = Journal.create(path, head_of(PLAN))
    journal.append(1, EVENTS[:20])
    with closing(JournalReader(path)) as reader:
        for name in names:
            path.with_name(name).unlink()
        with pytest.raises(JournalError, match="somebody has removed the file"):
            journal.append(21, EVENTS[20:30])
        assert reader.after(0) == EVENTS[:20]
        reader.changed()
        journal.append(21, EVENTS[20:30])
        assert reader.changed() and reader.after(0) == EVENTS[:30]
    assert check_whole(path) == 30
    journal.append(31, EVENTS[30:])
    journal.close()
    assert check_whole(path) == len(EVENTS)
    assert {file.name for file in path.parent.iterdir()} <= {"journal.db", "journal.db-wal", "journal.db-shm"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_was_removed_is_told_again_and_again(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    journal = Journal.create(directory / "journal.db", head_of(PLAN))
    shutil.rmtree(directory)
    for _ in range(3):
        with pytest.raises(JournalError, match=r"removed|No such file"):
            journal.append(1, EVENTS)
    directory.mkdir()
    journal.append(1, EVENTS)
    journal.close()
    assert check_whole(directory / "journal.db") == len(EVENTS)


def test_another_file_in_the_journals_place_is_never_overwritten(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    path.unlink()
    path.write_text("mine")
    for _ in range(3):
        with pytest.raises(JournalError, match="another"):
            journal.append(1, EVENTS)
    assert path.read_text() == "mine"


# -- several at once -------------------------------------------------------------------------------------


def test_two_writers_that_should_never_have_met_leave_one_history(path: Path) -> None:
    Journal.create(path, head_of(PLAN)).close()
    told: list[str] = []

    def work(journal: Journal) -> None:
        try:
            for at in range(len(EVENTS)):
                journal.append(at + 1, EVENTS[at : at + 1])
        except JournalError as error:
            told.append(str(error))
        journal._database.close()

    threads = [threading.Thread(target=work, args=(Journal.reopen(path),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1 and "another program has written to it" in told[0]
    assert check_whole(path) == len(EVENTS)


def test_a_writer_waits_for_another_that_is_only_slow(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=journal.append, args=(1, EVENTS))
        thread.start()
        assert thread.is_alive()
        other.execute("ROLLBACK")
        thread.join()
    assert journal.last == len(EVENTS)
    journal.close()


# -- damage ----------------------------------------------------------------------------------------------


def look(path: Path) -> int | None:
    """How many events a reader finds, all of them as they were written; None if it says that the file is damaged."""
    try:
        with closing(JournalReader(path)) as reader:
            reader.head  # noqa: B018
            found = reader.after(0)
            view = reader.view()
    except JournalDamaged as error:
        assert str(path) in str(error)
        return None
    except JournalError as error:
        assert str(path) in str(error)
        return None
    assert found == EVENTS[: len(found)]
    assert view.seq == len(found)
    return len(found)


def check_recovery(path: Path) -> int | None:
    """How many events come out of a recovery, which leaves a whole journal and the damaged one as it was."""
    before = path.read_bytes()
    try:
        said = recover(path)
    except JournalError as error:
        assert "nothing can be read" in str(error) or "newer" in str(error)
        assert path.read_bytes() == before
        return None
    finally:
        copies = sorted(path.parent.glob("journal.db.damaged-?"))
        assert copies[-1].read_bytes() == before
    last = check_whole(path)
    assert kept_words(last) in said and copies[-1].name in said
    journal = Journal.reopen(path)
    journal.append(last + 1, EVENTS[last : last + 1] or EVENTS[:1])
    journal.close()
    return last


def test_a_journal_cut_off_anywhere_is_told_and_what_is_left_is_saved(path: Path) -> None:
    write(path, PLAN, EVENTS, checkpoint=10)
    whole = path.read_bytes()
    saved = []
    for size in range(0, len(whole), 512):
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(whole[:size])
        assert look(path) is None
        saved.append(check_recovery(path))
    assert saved[0] is None
    assert max(filter(None, saved), default=0) > len(EVENTS) // 2


def test_a_log_cut_off_anywhere_leaves_what_came_before(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    for at in range(0, len(EVENTS), 9):
        journal.append(at + 1, EVENTS[at : at + 9])
    log = path.with_name("journal.db-wal").read_bytes()
    base = path.read_bytes()
    journal.close()
    found = set()
    copy = path.with_name("copy.db")
    for size in range(0, len(log), 512):
        copy.write_bytes(base)
        copy.with_name("copy.db-wal").write_bytes(log[:size])
        copy.with_name("copy.db-shm").unlink(missing_ok=True)
        found.add(look(copy) or 0)
    assert len(found) > 10 and max(found) >= len(EVENTS) - 9


def test_garbage_anywhere_is_never_taken_for_history(path: Path) -> None:
    write(path, PLAN, EVENTS, checkpoint=10)
    whole = path.read_bytes()
    chance = random.Random(7)
    outcomes = []
    for _ in range(150 if SOAK else 60):
        for file in path.parent.iterdir():
            file.unlink()
        damaged = bytearray(whole)
        at, size = chance.randrange(len(whole)), chance.choice([1, 16, 512, 4096])
        damaged[at : at + size] = chance.randbytes(min(size, len(whole) - at))
        path.write_bytes(damaged)
        outcomes.append(look(path))
        check_recovery(path)
    assert None in outcomes and len(EVENTS) in outcomes


def test_a_second_recovery_keeps_the_first_copy(path: Path) -> None:
    write(path, PLAN, EVENTS)
    assert "damaged-1" in recover(path)
    assert "damaged-2" in recover(path)
    assert check_whole(path) == len(EVENTS)
    assert check_whole(path.with_name("journal.db.damaged-1")) == len(EVENTS)


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        ("DELETE FROM batch WHERE first = 4", {"u0": "json", "u1": "none"}),
        ("UPDATE result SET kind = CAST(x'ff' AS TEXT) WHERE id = 'u0'", {"u0": "none", "u1": "none", "u2": "none"}),
    ],
)
def test_results_are_kept_only_of_what_is_known_to_have_made_them(
    path: Path, harm: str, expected: dict[str, str]
) -> None:
    journal = Journal.create(path, head_of(PLAN))
    journal.append(1, [RunStarted(1.0, "demo", 4)])
    for unit, attempt in ((0, 1), (1, 1), (1, 2), (2, 1)):
        result = StoredResult(unit, f"u{unit}", attempt, "json", b"%d" % attempt)
        end = UnitFinished(unit, attempt, attempt, UnitState.COMPLETED, 1.0)
        reset = [UnitReset(unit, attempt, "retried by you", 1.0)] if attempt > 1 else []
        journal.append(journal.last + 1, [*reset, end], [result])
    journal.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(harm)
    recover(path)

    with closing(JournalReader(path)) as reader:
        found = {unit: reader.result(unit) for unit in ("u0", "u1", "u2")}
    assert {unit: stored.kind for unit, stored in found.items() if stored is not None} == expected


def test_what_still_waits_beside_a_damaged_journal_is_saved_too(path: Path) -> None:
    journal = Journal.create(path, head_of(PLAN))
    journal.append(1, EVENTS)
    keep = path.parent / "keep"
    keep.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(path.with_name(name), keep / name)
    journal.close()
    recover(keep / "journal.db")
    assert check_whole(keep / "journal.db") == len(EVENTS)


# -- kill -9 ---------------------------------------------------------------------------------------------

WRITER = """
# one writer after the other, each killed at a moment that only chance knows
path, rounds, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
Journal.create(path, head_of(PLAN)).close()
for _ in range(rounds):
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        journal = Journal.reopen(path)
        while True:
            size = chance.choice([1, 3, 40])
            at = journal.last % len(EVENTS)
            part = EVENTS[at : at + size]
            said = b"%d" % (journal.last + len(part))
            journal.append(journal.last + 1, part, [StoredResult(0, "u0", 1, "json", said)])
            os.write(into, b"%12d" % journal.last)
    os.close(into)
    acknowledged = 0
    for _ in range(chance.randrange(1, 200)):
        acknowledged = int(os.read(out, 12))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(out, 12):
        acknowledged = int(more)
    os.close(out)
    with closing(JournalReader(path)) as reader:
        last, kept = reader.last_seq(), reader.result("u0")
        assert last >= acknowledged, (last, acknowledged)
        assert kept is not None and int(kept.data) == last, (kept, last)
        found = reader.after(0)
        assert len(found) == last and all(event == EVENTS[n % len(EVENTS)] for n, event in enumerate(found))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    print(acknowledged, flush=True)
"""


def test_no_event_that_was_acknowledged_is_lost_when_the_writer_is_killed(path: Path) -> None:
    kills = 100 if SOAK else 10
    done = run_child(WRITER, str(path), str(kills), "5")
    assert done.returncode == 0, done.stderr
    acknowledged = [int(line) for line in done.stdout.split()]
    assert len(acknowledged) == kills
    assert acknowledged == sorted(set(acknowledged))
