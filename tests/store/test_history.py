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
from qtui.store.history import LAST, History, RunSummary

W = "/work/flow.toml"


def index(state: Path) -> tuple[History, list[str]]:
    """A history, and what it warns of."""
    told: list[str] = []
    return History(state, told.append), told


def run(history: History, number: int, durations: dict[str, list[float]] | None = None, source: str = W) -> str:
    name = f"run-{number}"
    history.begin(name, "flow", source, "/work", 1000.0 + number)
    history.end(name, RunState.COMPLETED, 0, {"completed": 2}, 1000.5 + number, 0.5, durations or {})
    return name


def test_a_run_is_known_from_its_begin_and_its_end_is_told_later(tmp_path: Path) -> None:
    history, told = index(tmp_path)
    history.begin("r", "flow", W, "/work", 1000.0)
    going = RunSummary(run="r", name="flow", source=W, directory="/work", began=1000.0)
    assert history.runs() == [going]
    history.end("r", RunState.FAILED, 1, {"completed": 3, "failed": 1}, 1060.0, 60.0, {})
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
    name = run(history, 1, {"a": [1.0]})
    history.begin(name, "flow", W, "/work", 5000.0)
    assert (history.runs()[0].state, history.runs()[0].ended, history.runs()[0].began) == ("running", None, 1001.0)
    history.end(name, RunState.COMPLETED, 0, {}, 5001.0, 1.0, {"a": [1.0, 3.0]})
    history.end(run(history, 2), RunState.COMPLETED, 0, {}, 5002.0, 1.0, {"a": [5.0]})
    assert history.durations(W) == {"a": 3.0}, "its durations count once"


def test_the_last_runs_come_first_and_those_of_one_workflow_can_be_asked_for(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    for number in range(5):
        run(history, number, source=W if number % 2 else "other")
    assert [each.run for each in history.runs(limit=3)] == ["run-4", "run-3", "run-2"]
    assert [each.run for each in history.runs(W)] == ["run-3", "run-1"]
    assert history.runs("unknown") == []


def test_a_unit_takes_as_long_as_the_median_of_the_last_twenty(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    run(history, 1, {"fetch": [100.0] * 30, "embed": [1.0, 2.0, 9.0], "nothing": []})
    run(history, 2, {"fetch": [2.0] * 9})
    assert history.durations(W) == {"fetch": 100.0, "embed": 2.0}, "nine of twenty"
    run(history, 3, {"fetch": [500.0, *[3.0] * 19]}, source="other")
    run(history, 4, {"fetch": [4.0] * 2})
    assert history.durations(W)["fetch"] == 4.0, "eleven of twenty: between 2 and 100 there is 4"
    assert history.durations("other") == {"fetch": 3.0}


def test_only_what_counts_is_kept_of_a_family(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    for number in range(LAST + 5):
        run(history, number, {"often": [float(number)], "seldom": [1.0]} if number < 2 else {"often": [float(number)]})
    with sqlite3.connect(history.path) as database:
        kept = dict(database.execute("SELECT family, count(*) FROM duration GROUP BY family"))
    assert kept == {"often": LAST, "seldom": 2}, "it is not crowded out by others"


def test_runs_that_no_estimate_looks_at_any_more_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtui.store.history.MOST_ROWS", 3)
    history, _ = index(tmp_path)
    run(history, 1, {"old": [1.0]})
    run(history, 2, {"a": [2.0], "b": [2.0]})
    run(history, 3, {"a": [4.0], "c": [4.0]})
    assert history.durations(W) == {"a": 3.0, "b": 2.0, "c": 4.0}, "the third row is amid a run, which counts"
    with sqlite3.connect(history.path) as database:
        kept = {family for (family,) in database.execute("SELECT family FROM duration")}
    assert kept == {"a", "b", "c"}, "what is not looked at is not there"


def test_a_run_that_is_forgotten_still_tells_how_long_units_take(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    history.forget(run(history, 1, {"a": [1.0]}))
    assert history.runs() == []
    assert history.durations(W) == {"a": 1.0}


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    history, told = index(tmp_path)
    run(history, 1, {"\udcff": [1.0]}, source="/work/\udcff.toml")
    assert len(history.runs("/work/\udcff.toml")) == 1
    assert list(history.durations("/work/\udcff.toml").values()) == [1.0]
    assert told == []


# -- made anew ---------------------------------------------------------------------------------------------

TOLD = [
    (RunSummary(run="b", name="flow", source=W, directory="/work", began=20.0, ended=21.0, state="failed"), {}),
    (
        RunSummary(run="a", name="flow", source=W, directory="/", began=10.0, ended=11.0, counts={"completed": 1}),
        {"u": [1.0]},
    ),
]


def test_it_is_complete_once_it_was_made_from_the_journals(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    assert not history.complete
    history.rebuild(TOLD)
    assert History(tmp_path).complete
    assert history.runs() == [summary for summary, _ in TOLD]
    assert history.durations(W) == {"u": 1.0}
    history.rebuild(TOLD)
    assert len(history.runs()) == 2


def test_making_it_anew_forgets_what_is_gone_and_keeps_what_begins_meanwhile(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    run(history, 1)
    run(history, 2)
    (tmp_path / "runs" / "run-2").mkdir(parents=True)
    history.rebuild(TOLD)
    assert [each.run for each in history.runs()] == ["run-2", "b", "a"]


def damage_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(8192))


def damage_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def damage_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mine (x)")


def damage_pages(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x55" * (len(whole) - 4096))


@pytest.mark.parametrize("damage", [damage_garbage, damage_newer, damage_foreign, damage_pages])
def test_what_cannot_be_used_is_put_aside_and_made_anew(tmp_path: Path, damage) -> None:
    first, _ = index(tmp_path)
    first.rebuild(TOLD)
    damage(first.path)
    damaged = first.path.read_bytes()
    history, told = index(tmp_path)
    history.begin("new", "flow", W, "/work", 30.0)
    assert [each.run for each in history.runs()] == ["new"]
    assert not history.complete
    assert (tmp_path / "history.db.damaged-1").read_bytes() == damaged
    assert len(told) == 1
    assert "made anew" in told[0]
    history.rebuild([*TOLD, (history.runs()[0], {})])
    assert [each.run for each in history.runs()] == ["new", "b", "a"]


def test_a_file_cut_at_any_page_never_raises(tmp_path: Path) -> None:
    history, _ = index(tmp_path)
    for number in range(20):
        run(history, number, {f"family-{number}": [1.0]})
    whole = history.path.read_bytes()
    for size in range(0, len(whole), 1024):
        history.path.write_bytes(whole[:size])
        again, _ = index(tmp_path)
        run(again, 99, {"a": [1.0]})
        assert "run-99" in [each.run for each in again.runs()]
        assert again.durations(W)["a"] == 1.0


def test_a_place_that_cannot_be_written_is_told_once_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file is in the way")
    history, told = index(tmp_path / "state")
    run(history, 1, {"a": [1.0]})
    assert (history.runs(), history.durations(W), history.complete, history.sizes()) == ([], {}, False, {})
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
from qtui.store.history import History
history = History(Path(sys.argv[1]), print)
for number in range(25):
    name = f"{sys.argv[2]}-{number}"
    history.begin(name, "flow", "w", "/", float(number))
    history.end(name, "completed", 0, {}, number + 1.0, 1.0, {"a": [1.0]})
"""


def test_several_processes_write_at_a_time(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", MANY, tmp_path, str(writer)], stdout=subprocess.PIPE)
        for writer in range(3)
    ]
    assert [writer.communicate()[0] for writer in writers] == [b""] * 3
    assert len(History(tmp_path).runs(limit=1000)) == 75
    assert {each.state for each in History(tmp_path).runs(limit=1000)} == {"completed"}
