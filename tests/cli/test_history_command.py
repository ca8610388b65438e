"""``qtui history``: which runs there are, and what got worse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from told import Told, command

from qtui.core.events import ConfirmRequested, RunFinished, RunResumed, UnitReady, UnitReset
from qtui.core.model import Argv, RunState
from qtui.core.settling import CUT
from qtui.listing import known_runs
from qtui.store.history import Completions, History

Qtui = Callable[..., subprocess.CompletedProcess[str]]


def run_of(state_home: Path, day: int, seconds: float = 2.0, name: str = "nightly", **params: object) -> str:
    """A run on that day, in which `fetch` took so long."""
    fetch = replace(command("fetch"), action=Argv(("sh", "-c", "fetch $QTUI_PARAM_SIZE")))
    told = Told(fetch, command("check"), name=name)
    begun = 101.0 + 10 * day  # no two runs are at the same time
    told.starts("fetch", begun).ends("fetch", at=begun + seconds).starts("check").ends("check")
    told.over(RunState.COMPLETED, 0)
    return told.recorded(state_home, f"202601{day:02}-030405-abcd", f"/flows/{name}.toml", **params).run


def test_runs_are_listed_from_the_newest_on_with_state_and_counts(called: Qtui, state_home: Path) -> None:
    runs = [run_of(state_home, day) for day in (1, 2)]
    lost = Told(command("a"), name="other").starts("a").recorded(state_home, "20260103-030405-abcd").run
    lines = called("history").stdout.splitlines()

    assert lines[0].split() == ["run", "ago", "took", "state", "workflow", "units"]
    assert [line.split()[0] for line in lines[1:]] == [lost, *reversed(runs)]
    assert [line.split()[2:] for line in lines[1:3]] == [
        [">1.00s", "lost", "other", "1,", "1", "interrupted"],
        ["10.0s", "completed", "nightly", "2"],
    ]
    assert max(map(len, lines)) <= 80


def test_a_unit_that_asks_is_counted_as_one_that_asks(called: Qtui, state_home: Path) -> None:
    told = Told(*(command(name) for name in "abc"))
    told.add(UnitReady(0, 101.0), ConfirmRequested(0, "sure?", 101.0), UnitReady(1, 101.0))
    lock = told.recorded(state_home).lock()
    (line,) = called("history").stdout.splitlines()[1:]
    lock.release()
    assert line.endswith("3, 1 asking, 1 pending, 1 ready")


def test_lines_are_whole_where_no_terminal_bounds_them(called: Qtui, state_home: Path) -> None:
    told = Told(*(command(name) for name in "abcd"), name="w" * 16).starts("a").starts("b").ends("b").starts("c")
    told.recorded(state_home, "20260101-030405-abcdabcd")
    (line,) = called("history").stdout.splitlines()[1:]
    assert line.endswith("4, 1 pending, 2 interrupted")


def test_a_run_took_what_its_processes_took_however_long_nobody_ran_it(called: Qtui, state_home: Path) -> None:
    told = Told(command("a")).starts("a", 101.0)
    told.add(RunResumed(5000.0, "resumed", 1)).add(RunResumed(9000.0, "resumed", 1))
    cut, day = told.recorded(state_home, "20260101-030405-abcd"), state_home / "qtui"
    assert called("history").stdout.splitlines()[1].split()[2:4] == [">1.00s", "lost"]
    assert "lost after at least 0:00:01" in called("status").stdout

    told.add(UnitReset(0, 2, "interrupted", 9001.0)).starts("a", 9001.0).ends("a", at=9004.0)
    told.add(RunFinished(RunState.COMPLETED, {}, 6.0, 0, 9005.0)).goes_on(cut)
    (known,) = known_runs(day)
    shown = json.loads(called("status", "--json").stdout)["duration"]
    assert known.summary.seconds == shown == told.view.elapsed(9e9) == 6
    assert "- Took: 6.00s" in called("report").stdout


def test_what_a_signal_has_cut_is_interrupted_in_the_list_and_in_the_last_line(called: Qtui, state_home: Path) -> None:
    told = Told(command("a"), command("b", "a"), name="nightly").starts("a").add(UnitReset(0, 2, CUT, 123.0))
    told.over(RunState.INTERRUPTED, 143).recorded(state_home)

    assert called("history").stdout.splitlines()[1].endswith("nightly   2, 1 pending, 1 interrupted")
    assert called("attach", "--ui", "plain").stdout.splitlines()[-1].endswith("(1 pending, 1 interrupted)")


def test_the_list_may_be_of_one_workflow_and_short(called: Qtui, state_home: Path) -> None:
    run_of(state_home, 1)
    run_of(state_home, 2, name="other")
    newest = run_of(state_home, 3)

    shown = [line.split()[0] for line in called("history", "nightly", "--limit", "1").stdout.splitlines()]
    assert shown == ["run", newest]
    assert called("history", "nonsense").stdout == "no runs\n"


def test_what_the_index_knows_is_not_read_from_journals(called: Qtui, state_home: Path) -> None:
    run = run_of(state_home, 1)
    index = History(state_home / "qtui")
    index.begin(run, "nightly", "/flows/nightly.toml", "/flows", 100.0)
    index.end(run, "completed", 0, {"completed": 7, "failed": 0}, 130.0, 30.0, Completions({}))
    journal = state_home / "qtui" / "runs" / run / "journal.db"
    journal.write_bytes(b"garbage" * 999)

    for words in ((), ("nightly",), ("/flows/nightly.toml",)):
        line = called("history", *words).stdout.splitlines()[1]
        assert line.split()[2:] == ["30.0s", "completed", "nightly", "7"]
    assert called("history", "/flows/other.toml").stdout == "no runs\n"


def test_what_is_worse_in_the_latest_run_of_each_workflow_is_told(called: Qtui, state_home: Path) -> None:
    for name in ("weekly", "nightly"):
        for day in (1, 2, 3):
            run_of(state_home, day + 10 * (name == "weekly"), 2.0, name)
    calm = called("history").stdout.splitlines()
    run_of(state_home, 4, 5.0)
    lines = called("history").stdout.splitlines()

    assert len(calm) == 7
    assert lines[-3:] == [
        "",
        "in the latest run of nightly:",
        "  slower: fetch 5.00s, usually 2.00s (p90 2.00s of 3 runs)",
    ]


def test_what_did_something_else_is_not_told_as_slower(called: Qtui, state_home: Path) -> None:
    for day in (1, 2, 3):
        run_of(state_home, day, 2.0, size=1)
    run_of(state_home, 4, 5.0, size=2)
    assert "slower" not in called("history").stdout
    run_of(state_home, 5, 5.0, size=1)
    assert called("history").stdout.endswith("slower: fetch 5.00s, usually 2.00s (p90 2.00s of 3 runs)\n")


def test_a_run_that_cannot_be_read_does_not_hide_the_others(called: Qtui, state_home: Path) -> None:
    run_of(state_home, 1)
    (state_home / "qtui" / "runs" / run_of(state_home, 2) / "journal.db").write_bytes(b"garbage" * 999)
    result = called("history")

    assert result.returncode == 0
    assert result.stdout.splitlines()[2].split()[-3:] == ["completed", "nightly", "2"]
    assert "unreadable" in result.stdout


def test_without_runs_there_is_nothing_to_list(called: Qtui) -> None:
    result = called("history")

    assert (result.returncode, result.stdout) == (0, "no runs\n")
