"""The index of runs: what it knows, and that nothing depends on it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qtui.core.model import RunState
from qtui.store.history import Completions, History, RunSummary
from qtui.store.pasts import Completion

W = "/work/flow.toml"
NOTHING = Completions({})


def index(state: Path) -> tuple[History, list[str]]:
    """A history, and what it warns of."""
    told: list[str] = []
    return History(state, told.append), told


def completed(at: float, **seconds: float) -> Completions:
    """The units that completed then, and what they took."""
    return Completions({unit: Completion(f"hash of {unit!a}", at, took) for unit, took in seconds.items()})


def run(history: History, number: int, source: str = W, **seconds: float) -> str:
    name = f"run-{number}"
    history.begin(name, "flow", source, "/work", 1000.0 + number)
    taken = completed(1000.5 + number, **seconds)
    history.end(name, RunState.COMPLETED, 0, {"completed": 2}, 1000.5 + number, 0.5, taken)
    return name


def seconds_of(history: History, unit: str = "a", source: str = W) -> tuple[float, ...]:
    past = history.past(source, {unit: ""})
    return past[unit].seconds if past else ()


def test_a_run_is_known_from_its_begin_and_its_end_is_told_later(tmp_path: Path) -> None:
    history, told = index(tmp_path)
    history.begin("r", "flow", W, "/work", 1000.0)
    going = RunSummary(run="r", name="flow", source=W, directory="/work", began=1000.0)
    assert history.runs() == [going]
    history.end("r", RunState.FAILED, 1, {"completed": 3, "failed": 1}, 1060.0, 60.0, NOTHING)
    (ended,) = History(tmp_path).runs()
    assert (ended.ended, ended.state, ended.exit_code, ended.counts) == (
        1060.0,
        "failed",
        1,
        {"completed": 3, "failed": 1},
    )
    assert told == []
    assert history.path.stat().st_mode & 0o777 == 0o600


def test_a_run_that_goes_on_is_running_again_and_keeps_its_begin(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    name = run(history, 1, a=1.0)
    history.begin(name, "flow", W, "/work", 5000.0)
    assert (history.runs()[0].state, history.runs()[0].ended, history.runs()[0].began) == ("running", None, 1001.0)
    history.end(name, RunState.COMPLETED, 0, {}, 5001.0, 1.0, completed(1001.5, a=1.0))
    history.end(run(history, 2), RunState.COMPLETED, 0, {}, 5002.0, 1.0, completed(5002.0, a=5.0))
    assert seconds_of(history) == (1.0, 5.0), "what completed counts once"


def test_the_last_runs_come_first_and_those_of_one_workflow_can_be_asked_for(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    for number in range(5):
        run(history, number, source=W if number % 2 else "other")
    assert [each.run for each in history.runs(limit=3)] == ["run-4", "run-3", "run-2"]
    assert [each.run for each in history.runs(W)] == ["run-3", "run-1"]
    assert history.runs("unknown") == []


def test_a_run_that_is_forgotten_still_tells_how_long_units_take(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    history.forget(run(history, 1, a=1.0))
    assert history.runs() == []
    assert seconds_of(history) == (1.0,)


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    history, told = index(tmp_path)
    run(history, 1, source="/work/\udcff.toml", **{"\udcff": 1.0, "a": 2.0})
    assert len(history.runs("/work/\udcff.toml")) == 1
    assert seconds_of(history, source="/work/\udcff.toml") == (2.0,)
    assert told == []


# -- made anew ---------------------------------------------------------------------------------------------

TOLD = [
    (
        RunSummary(run="a", name="flow", source=W, directory="/", began=10.0, ended=11.0, counts={"completed": 1}),
        completed(11.0, u=1.0),
    ),
    (RunSummary(run="b", name="flow", source=W, directory="/work", began=20.0, ended=21.0, state="failed"), NOTHING),
]


def test_it_is_complete_once_it_was_made_from_the_journals(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    assert not history.complete
    history.rebuild(TOLD)
    assert History(tmp_path).complete
    assert history.runs() == [summary for summary, _ in reversed(TOLD)]
    assert seconds_of(history, "u") == (1.0,)
    history.rebuild(TOLD)
    assert len(history.runs()) == 2
    assert seconds_of(history, "u") == (1.0,)


def test_making_it_anew_forgets_what_is_gone_and_keeps_what_begins_meanwhile(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    run(history, 1)
    run(history, 2)
    (tmp_path / "runs" / "run-2").mkdir(parents=True)
    history.rebuild(TOLD)
    assert [each.run for each in history.runs()] == ["run-2", "b", "a"]


# the layouts of the versions that knew how long families took, and units whatever they did
RUNS = """
CREATE TABLE run (
    run TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, directory TEXT NOT NULL, began REAL NOT NULL,
    ended REAL, seconds REAL NOT NULL, state TEXT NOT NULL, exit_code INTEGER, counts TEXT NOT NULL
);
CREATE INDEX run_began ON run (began);
CREATE TABLE size (run TEXT PRIMARY KEY, changed INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE complete (at REAL NOT NULL);
INSERT INTO run VALUES ('old', 'flow', '/work/flow.toml', '/', 10.0, 11.0, 1.0, 'completed', 0, '{"completed": 1}');
INSERT INTO size VALUES ('old', 7, 4096);
INSERT INTO complete VALUES (11.0);
PRAGMA application_id = 0x71747568;
"""
VERSION_2 = """
CREATE TABLE duration (
    source TEXT NOT NULL, family TEXT NOT NULL, at REAL NOT NULL, run TEXT NOT NULL, seconds TEXT NOT NULL,
    PRIMARY KEY (run, family)
) WITHOUT ROWID;
CREATE INDEX duration_at ON duration (source, at);
INSERT INTO duration VALUES ('/work/flow.toml', 'u', 11.0, 'old', '[1.0]');
PRAGMA user_version = 2;
"""
VERSION_3 = """
CREATE TABLE workflow (number INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE);
CREATE TABLE past (
    workflow INTEGER NOT NULL, unit TEXT NOT NULL, hash TEXT NOT NULL, told REAL NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (workflow, unit)
) WITHOUT ROWID;
INSERT INTO workflow VALUES (1, '/work/flow.toml');
INSERT INTO past VALUES (1, 'u', '', 11.0, zeroblob(34));
PRAGMA user_version = 3;
"""


@pytest.mark.parametrize("version", [VERSION_2, VERSION_3])
def test_one_of_a_version_before_is_brought_up_to_date_without_a_word(tmp_path: Path, version: str) -> None:
    history, told = index(tmp_path)
    with closing(sqlite3.connect(history.path)) as database:
        database.executescript(RUNS + version)
    assert [each.run for each in history.runs()] == ["old"]
    assert history.sizes() == {"old": (7, 4096)}
    assert not history.complete, "the journals know more than it did"
    run(history, 1, a=1.0)
    assert [each.run for each in history.runs()] == ["run-1", "old"]
    history.rebuild([(history.runs()[1], completed(11.0, u=1.0))])
    assert (seconds_of(history, "u"), seconds_of(history)) == ((1.0,), (1.0,))
    assert told == []
    assert [each.name for each in tmp_path.glob("*damaged*")] == []


def damage_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(8192))


def damage_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def damage_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mine (x)")


def changed_by_hand(statement: str):
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.executescript(statement)

    return damage


BY_HAND = [
    "UPDATE run SET counts = '{'",
    "UPDATE run SET counts = x'ff'",
    "UPDATE run SET counts = CAST(x'ff' AS TEXT)",
    "UPDATE run SET counts = '[]'",
    'UPDATE run SET counts = \'{"completed": "x"}\'',
    "UPDATE run SET state = 'asleep'",
    "UPDATE run SET began = 'yesterday'",
    "UPDATE run SET seconds = 9e999",
    "UPDATE run SET name = x'ff'",
    "ALTER TABLE run ADD COLUMN more",
    "ALTER TABLE run DROP COLUMN counts",
    "ALTER TABLE past DROP COLUMN cut",
    "DROP TABLE past",
    "DROP TABLE workflow; PRAGMA user_version = 3",
]


@pytest.mark.parametrize("statement", BY_HAND)
def test_one_that_was_changed_by_hand_is_made_anew_at_the_latest_when_that_is_asked_for(
    tmp_path: Path, statement: str
) -> None:
    first, _ = index(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    run(first, 1, a=1.0)
    changed_by_hand(statement)(first.path)
    history, told = index(tmp_path)
    history.runs()
    assert seconds_of(history) in ((), (1.0,))
    assert len(told) == 1
    assert "made anew" in told[0]
    assert not history.complete
    history.rebuild(TOLD)
    assert [each.run for each in history.runs()] == ["b", "a"]
    assert history.complete


def test_names_and_sizes_that_are_none_are_not_known(tmp_path: Path) -> None:
    history, told = index(tmp_path)
    run(history, 1, a=1.0, b=2.0)
    history.note_sizes({"run-1": (7, 4096), "run-2": (7, 4096)})
    changed_by_hand("UPDATE past SET unit = x'ff' WHERE unit = 'b'; UPDATE size SET bytes = 'x' WHERE run = 'run-2'")(
        history.path
    )
    assert history.durations(W, {"a": "", "c[1]": ""}) == {"a": 1.0}
    assert history.sizes() == {"run-1": (7, 4096)}
    assert told == []


def test_it_is_complete_if_it_knows_the_first_of_all_runs(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    run(history, 1)
    assert history.complete
    (tmp_path / "runs" / "run-2").mkdir()
    history.path.unlink()
    run(history, 1)
    assert not history.complete


def damage_pages(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x55" * (len(whole) - 4096))


@pytest.mark.parametrize("damage", [damage_garbage, damage_newer, damage_foreign, damage_pages])
def test_what_cannot_be_used_is_put_aside_and_made_anew(tmp_path: Path, damage) -> None:
    first, _ = index(tmp_path)
    first.rebuild(TOLD)
    damage(first.path)
    damaged = first.path.read_bytes()
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    history, told = index(tmp_path)
    history.begin("new", "flow", W, "/work", 30.0)
    assert [each.run for each in history.runs()] == ["new"]
    assert not history.complete
    assert (tmp_path / "history.db.damaged-1").read_bytes() == damaged
    assert len(told) == 1
    assert "made anew" in told[0]
    history.rebuild([*TOLD, (history.runs()[0], NOTHING)])
    assert [each.run for each in history.runs()] == ["new", "b", "a"]


def test_a_file_cut_at_any_page_never_raises(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    for number in range(20):
        run(history, number, **{f"unit-{number}": 1.0})
    whole = history.path.read_bytes()
    for size in range(0, len(whole), 1024):
        history.path.write_bytes(whole[:size])
        again, _ = index(tmp_path)
        for _ in range(2):  # it may be found out between begin and end; then the index lacks the run until a rebuild
            run(again, 99, a=1.0)
        assert "run-99" in [each.run for each in again.runs()]
        assert seconds_of(again) == (1.0,)


def test_a_place_that_cannot_be_written_is_told_once_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file is in the way")
    history, told = index(tmp_path / "state")
    run(history, 1, a=1.0)
    assert (history.runs(), seconds_of(history), history.complete, history.sizes()) == ([], (), False, {})
    assert len(told) == 1
    assert "the history of runs cannot be used" in told[0]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"as it was")
    (tmp_path / "history.db").symlink_to(tmp_path / "target")
    history, told = index(tmp_path)
    run(history, 1)
    assert (tmp_path / "target").read_bytes() == b"as it was"
    assert len(told) == 1


FULL = """
import resource, signal, sys
from pathlib import Path
from qtui.store.history import History
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
history = History(Path(sys.argv[1]), print)
for number in range(3):
    history.begin(f"full-{number}", "flow", "w", "/", 1.0)
"""


def test_a_full_disk_is_told_once_and_what_was_known_stays(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    run(history, 1)
    told = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert len(told.stdout.splitlines()) == 1
    assert "the history of runs cannot be used" in told.stdout
    assert [each.run for each in history.runs()] == ["run-1"]


MANY = """
import sys
from pathlib import Path
from qtui.store.history import Completions, History
from qtui.store.pasts import Completion
history, writer = History(Path(sys.argv[1]), print), int(sys.argv[2])
for number in range(25):
    name = f"{writer}-{number}"
    history.begin(name, "flow", "w", "/", float(number))
    at = number + writer / 4
    completed = {"all": Completion("h", at, at), f"one{number}": Completion(f"{number}", at, at)}
    history.end(name, "completed", 0, {}, at, 1.0, Completions(completed))
"""


def test_several_processes_write_at_a_time(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", MANY, tmp_path, str(writer)], stdout=subprocess.PIPE)
        for writer in range(3)
    ]
    assert [writer.communicate()[0] for writer in writers] == [b""] * 3
    assert len(History(tmp_path).runs(limit=1000)) == 75
    assert {each.state for each in History(tmp_path).runs(limit=1000)} == {"completed"}
    assert len(seconds_of(History(tmp_path), "all", "w")) == 20
    for number in range(25):
        times = tuple(number + writer / 4 for writer in range(3))
        assert seconds_of(History(tmp_path), f"one{number}", "w") == times, "nobody's is lost"
