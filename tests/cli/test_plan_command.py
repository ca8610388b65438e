"""``qtui plan`` and ``run -n``: what a run would do, when, what it would not do and why; nothing is run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

EVERYTHING = """
[params]
day = "monday"
[pools]
gpu = 2
[units.fetch]
argv = ["curl", "--user", "a b", "https://example.org/${{ params.day }}"]
[units.train]
needs = ["fetch"]
run = ["first", "second"]
pools = { gpu = 2 }
resources = { cpus = 1.5, memory = "0.5G" }
if = "params.day == 'monday'"
[units.call]
call = "steps:work"
args = { rows = 3, raw = { from = "fetch" } }
needs = ["fetch"]
mutex = "db"
[units.done]
needs = ["train", "call"]
[units.publish]
needs = ["done"]
run = "rsync"
confirm = "Publish ${{ params.day }}?"
[units.cleanup]
needs = ["*"]
run = "rm -rf tmp"
when = "always"
"""
STEPS = "def work(rows, raw): pass\n"


# -- without estimates and earlier runs ------------------------------------------------------------------


def rows(output: str) -> list[list[str]]:
    """The cells of the table, its head first; the mark, if there is one, is a cell."""
    lines = output.split("\n\n", 1)[1].splitlines()
    return [re.split(r"\s{2,}|(?<=^[!=?-]) ", line.strip()) for line in lines]


def units(output: str, column: int = 1) -> list[str]:
    """The names of the units in the order in which they are listed."""
    return [cells[column] for cells in rows(output)[1:]]


def test_a_plan_tells_what_each_unit_would_do_in_order(called, workflow) -> None:
    result = called("plan", workflow(EVERYTHING, steps=STEPS))

    assert result.returncode == 0
    assert result.stdout.startswith("flow: 6 units would run, ")
    assert "expected: unknown; nothing is known of 5 units: give them an estimate (estimate = " in result.stdout
    assert rows(result.stdout) == [
        ["memory", "mode", "unit", "what it does"],
        ["command", "fetch", "curl --user 'a b' https://example.org/monday"],
        ["512M", "command", "train", "first && second", "[if params.day == 'monday'; pool gpu x2; cpus 1.5]"],
        ["thread", "call", "steps:work(rows=3, raw=fetch)", "[mutex db]"],
        ["thread", "done", "(milestone)"],
        ["command", "publish", "rsync", "[asks: Publish monday?]"],
        ["command", "cleanup", "rm -rf tmp", "[when always]"],
    ]


def test_a_dry_run_is_a_plan(called, workflow, tmp_path: Path) -> None:
    path = workflow(EVERYTHING, steps=STEPS)

    assert called("run", "-n", path, "-j", "2").stdout == called("plan", path, "-j", "2").stdout
    assert json.loads(called("run", "-n", "--ui", "json", path).stdout)["workflow"] == "flow"
    assert not (tmp_path / "state").exists(), "nothing is written, not even that somebody asked"


def test_a_plan_shows_what_would_be_chosen_and_approved(called, workflow) -> None:
    path = workflow(EVERYTHING, steps=STEPS)

    assert "2 units would run" in called("plan", path, "train").stdout
    asking, approved = called("plan", path, "--yes=train").stdout, called("plan", path, "--yes=pub*").stdout
    assert "[asks: Publish monday?]" in asking
    assert "assumed: 1 question answered with yes\n" in asking
    assert "[asks: Publish monday? yes]" in approved
    assert "question" not in approved


def test_the_order_is_that_of_starts_with_so_many_workers(called, workflow) -> None:
    toml = """
[units.low]
run = "true"
[units.high]
run = "true"
priority = 5
[units.chain]
run = "true"
[units.after]
needs = ["chain"]
run = "true"
[pools]
one = 1
[groups.g]
matrix = { i = [1, 2] }
[units.a]
group = "g"
run = "true"
priority = -1
[units.b]
group = "g"
needs = ["a"]
run = "true"
priority = -1
"""
    result = called("plan", workflow(toml), "-j", "1")

    assert units(result.stdout) == ["high", "chain", "low", "after", "a[i=1]", "b[i=1]", "a[i=2]", "b[i=2]"]


def test_what_would_be_skipped_says_why(called, workflow) -> None:
    toml = """
[params]
full = false
[units.a]
run = "true"
[units.deep]
needs = ["a"]
run = "true"
if = "params.full"
[units.below]
needs = ["deep"]
run = "true"
[units.alarm]
needs = ["a"]
run = "true"
when = "failure"
"""
    result = called("plan", workflow(toml))

    assert "flow: 1 unit would run, " in result.stdout
    assert "; 3 skipped\n" in result.stdout
    assert {cells[2]: cells[-1] for cells in rows(result.stdout) if cells[0] == "-" and len(cells) > 2} == {
        "deep": "skip: its condition does not hold: params.full",
        "below": "skip: because deep",
        "alarm": "skip: no need has failed",
    }


# -- times -----------------------------------------------------------------------------------------------

TIMED = """
[workflow]
workers = 2
[pools]
gpu = 1
[units.fetch]
run = "true"
estimate = "10s"
[units.train]
matrix = { i = [1, 2] }
needs = ["fetch"]
run = "true"
estimate = "1m"
pools = { gpu = 1 }
[units.side]
run = "true"
estimate = "30s"
"""


SHORT = """
[workflow]
timeout = "40s"
[units.a]
matrix = { i = [1, 2, 3] }
run = "true"
estimate = "30s"
"""


def test_with_estimates_it_tells_when_it_ends_and_what_that_is_made_of(called, workflow) -> None:
    result = called("plan", workflow(TIMED))

    assert result.stdout.splitlines()[:2] == [
        "flow: 4 units would run, 2 at a time",
        "expected: 2m10s = 1m10s critical path + 1m00s pool gpu",
    ]
    assert rows(result.stdout) == [
        ["start", "takes", "basis", "mode", "unit", "what it does"],
        ["!", "0.00s", "10.0s", "estimate", "command", "fetch", "true"],
        ["0.00s", "30.0s", "estimate", "command", "side", "true"],
        ["10.0s", "1m00s", "estimate", "command", "train[i=1]", "true", "[pool gpu]"],
        ["!", "1m10s", "1m00s", "estimate", "command", "train[i=2]", "true", "[pool gpu]"],
        ["!", "critical"],
    ]


def test_the_plan_as_json(called, workflow) -> None:
    told = json.loads(called("plan", "--json", workflow(TIMED)).stdout)

    assert (told["makespan"], told["p10"], told["p90"], told["due"]) == (130.0, 130.0, 130.0, 4)
    assert told["critical_path"] == ["fetch", "train[i=2]"]
    assert told["attribution"] == [
        {"what": "critical path", "seconds": 70.0},
        {"what": "pool gpu", "seconds": 60.0},
    ]
    times = {unit["id"]: (unit["start"], unit["end"], unit["seconds"], unit["basis"]) for unit in told["units"]}
    assert times == {
        "fetch": (0.0, 10.0, 10.0, "estimate"),
        "side": (0.0, 30.0, 30.0, "estimate"),
        "train[i=1]": (10.0, 70.0, 60.0, "estimate"),
        "train[i=2]": (70.0, 130.0, 60.0, "estimate"),
    }


def test_where_nothing_is_known_there_are_no_times(called, workflow) -> None:
    told = json.loads(called("plan", "--json", workflow("[units.a]\nrun = 'true'")).stdout)

    assert (told["makespan"], told["p10"], told["p90"], told["attribution"]) == (None, None, None, [])
    (unit,) = told["units"]
    assert (unit["start"], unit["end"], unit["basis"]) == (None, None, "unknown")


def test_earlier_runs_tell_times_and_memory(called, workflow) -> None:
    path = workflow("[units.a]\nrun = 'sleep 0.05'\n[units.b]\nneeds = ['a']\nrun = 'true'\nresources = {memory='1G'}")
    assert called("run", path).returncode == 0

    told = json.loads(called("plan", "--json", path).stdout)

    assert told["p10"] < told["makespan"] < told["p90"]
    first, second = told["units"]
    assert (first["basis"], first["runs"], first["memory_basis"]) == ("past", 1, "past")
    assert first["seconds"] >= 0.05
    assert told["p10"] < first["seconds"] + second["seconds"] < told["p90"]
    assert (second["memory"], second["memory_basis"]) == (1 << 30, "declared")
    lines = called("plan", path).stdout
    assert re.search(r"^four of five runs would take \S+ to \S+$", lines, re.MULTILINE)
    assert re.search(r"^! +0.00s +\S+  1 run +~\S+  command +a +sleep 0.05$", lines, re.MULTILINE)


def test_an_index_that_was_lost_is_made_anew_from_the_records(called, workflow, state_home: Path) -> None:
    path = workflow("[units.a]\nrun = 'true'")
    assert called("run", path).returncode == 0
    (state_home / "qtui" / "history.db").unlink()

    assert json.loads(called("plan", "--json", path).stdout)["units"][0]["runs"] == 1


def test_a_unit_that_takes_longer_than_it_may_is_told(called, workflow) -> None:
    toml = "[units.a]\nrun = 'true'\nestimate = '20s'\ntimeout = '10s'\n[units.b]\nneeds = ['a']\nrun = 'true'"
    result = called("plan", workflow(toml))

    assert "\n2 of 2 units will not complete in time\n" in result.stdout
    assert "[timed out after 10 s]" in result.stdout
    assert "skip: because a" in result.stdout


def test_a_run_that_does_not_end_before_its_timeout_is_told(called, workflow) -> None:
    path = workflow(SHORT)
    result, told = called("plan", path, "-j", "1"), json.loads(called("plan", "--json", path, "-j", "1").stdout)

    assert result.stdout.splitlines()[1] == (
        "expected: stops at its timeout after 40.0s; 2 of 3 units will not complete in time"
    )
    assert (told["makespan"], told["incomplete"], told["risk"], told["times_out"]) == (40.0, 2, 1.0, True)
    assert "expected: 30.0s, all critical path\n" in called("plan", path, "-j", "3").stdout


def test_rows_that_do_not_add_up_to_the_end_say_why(called, workflow) -> None:
    chain = "\n".join(f"[units.{name}]\nneeds = ['{need}']\nrun = 'true'" for need, name in ("ab", "bc", "cd"))
    path = workflow(f"[units.a]\nrun = 'true'\nestimate = '10s'\n{chain}")
    output = called("plan", path).stdout

    assert "assumed: 3 units without estimate and earlier run taken for typical ones" in output
    assert output.endswith("the rows end after 40.0s: in them no unit takes longer than is expected of it\n")
    assert json.loads(called("plan", "--json", path).stdout)["makespan"] > 42
    assert "the rows" not in called("plan", workflow(TIMED)).stdout


def test_rows_in_which_more_units_complete_than_the_head_says_tell_that(called, workflow) -> None:
    guessed = "\n".join(f"[units.b{n}]\nrun = 'true'\ntimeout = '11s'" for n in range(6))
    output = called("plan", workflow(f"[units.a]\nrun = 'true'\nestimate = '10s'\n{guessed}")).stdout

    assert re.search(r"^[2-5] of 7 units may not complete in time", output, re.MULTILINE)
    assert output.endswith(", and all units complete in time: in them each takes as long as is expected of it\n")


def test_a_run_that_is_stopped_at_its_timeout_ends_after_its_handlers(called, workflow) -> None:
    units = (
        "[units.a]\nrun = 'true'\nestimate = '10s'\n"
        "[units.b]\nneeds = ['a']\nwhen = 'always'\nrun = 'true'\nestimate = '3s'\n"
    )
    told = called("plan", workflow(f"[workflow]\ntimeout = '5s'\n{units}")).stdout.splitlines()[1]

    assert told == ("expected: stops at its timeout after 5.00s, and ends after 8.00s; a will not complete in time")


# -- earlier results -------------------------------------------------------------------------------------

CACHED = """
[units.fetch]
run = "cat in.txt"
cache = { inputs = ["in.txt"] }
[units.count]
needs = ["fetch"]
run = "wc -c < $QTUI_NEEDS"
cache = true
"""


def test_hits_and_misses_say_why_and_check_says_whether_work_is_due(called, workflow, tmp_path: Path) -> None:
    path, given = workflow(CACHED), tmp_path / "in.txt"
    given.write_text("1")
    assert called("plan", "--check", path).returncode == 1
    assert called("run", path).returncode == 0

    done = called("plan", "--check", path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "flow: nothing would run; 2 from the cache"
    assert [cells[0] for cells in rows(done.stdout)[1:3]] == ["=", "="]
    assert done.stdout.count("hit: same inputs as on 20") == 2

    given.write_text("2")
    changed = called("plan", "--check", path)
    assert changed.returncode == 1
    assert "[miss: input in.txt changed]  cat in.txt" in changed.stdout
    assert "[open: nothing else has changed, and fetch runs first]  wc -c" in changed.stdout
    assert "1 open look-up of the cache taken for a miss" in changed.stdout

    assert "[miss: forced]" in called("plan", path, "-f", "count").stdout
    assert "hit" not in called("plan", path, "--no-cache").stdout
    caches = {unit["id"]: unit["cache"] for unit in json.loads(called("plan", "--json", path).stdout)["units"]}
    assert caches["fetch"] == {"hit": False, "reason": "input in.txt changed"}
    assert caches["count"]["hit"] is None


def test_a_plan_changes_nothing(called, workflow, tmp_path: Path) -> None:
    path = workflow(CACHED)
    (tmp_path / "in.txt").write_text("1")
    called("run", path)
    state = tmp_path / "state" / "qtui"
    before = {file.name: file.read_bytes() for file in state.iterdir() if file.is_file()}

    assert called("plan", path, "--compare").returncode == 0

    assert {file.name: file.read_bytes() for file in state.iterdir() if file.is_file()} == before


# -- comparing -------------------------------------------------------------------------------------------


def test_strategies_and_numbers_of_workers_are_compared(called, workflow) -> None:
    path = workflow(
        "[workflow]\nworkers = 2\n[units.a]\nmatrix = { i = [1, 2, 3, 4, 5, 6] }\nrun = 'true'\nestimate = '60s'"
    )

    table = called("plan", "--compare", path).stdout.split("\n\n", 1)[1]

    assert [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()] == [
        ["workers", "priority, resource_balanced, adaptive"],
        ["1", "6m00s"],
        ["2", "3m00s", "(as it is now)"],
        ["4", "2m00s"],
        ["6", "1m00s"],
        [""],
        ["beyond 6 workers nothing gains: critical path"],
    ]
    told = json.loads(called("plan", "--compare", "--json", path).stdout)["comparison"]
    assert (told["knee"], told["because"], told["current"]) == (6, "critical path", 2)
    assert told["makespans"]["priority"] == {"1": 360.0, "2": 180.0, "4": 120.0, "6": 60.0}


def test_numbers_of_workers_with_which_the_run_times_out_are_told_as_that(called, workflow) -> None:
    path = workflow(SHORT)
    table = called("plan", "--compare", "-j", "1", path).stdout.split("\n\n", 1)[1]

    assert [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()] == [
        ["workers", "priority, resource_balanced, adaptive"],
        ["1", "2 units incomplete", "40.0s", "(as it is now)"],
        ["2", "1 unit incomplete", "40.0s"],
        ["3", "30.0s"],
        [""],
        ["beyond 3 workers nothing gains: critical path"],
    ]
    told = json.loads(called("plan", "--compare", "--json", "-j", "1", path).stdout)["comparison"]
    assert (told["knee"], told["incomplete"]["priority"]) == (3, {"1": 2, "2": 1, "3": 0})
    assert "units would not complete in time with any number of workers" in (
        called("plan", "--compare", "--timeout", "20s", path).stdout
    )


def test_times_of_which_nothing_is_known_are_not_compared_but_there_is_the_plan(called, workflow) -> None:
    result = called("plan", "--compare", workflow("[units.a]\nrun = 'true'"))

    assert result.returncode == 0
    assert result.stdout.startswith("flow: 1 unit would run, ")
    assert "workers  priority" not in result.stdout
    assert 'give them an estimate (estimate = "30s"), or run the workflow once' in result.stderr


# -- how it looks ----------------------------------------------------------------------------------------


def test_control_characters_do_not_reach_the_terminal(called, workflow) -> None:
    toml = "[units.a]\nrun = \"printf '\\u001b[2J\\u0007'\\necho next line\"\n"
    result = called("plan", workflow(toml))

    assert not set(result.stdout) & set("\x1b\x07")
    assert len(rows(result.stdout)) == 2, "a line each"


def test_of_a_text_of_several_lines_the_first_is_shown(called, workflow) -> None:
    toml = """
[units.script]
run = '''
set -e

make all
make test
'''
[units.two]
run = ["one", "two\\nthree\\n"]
"""
    result = called("plan", workflow(toml))

    assert [cells[-1] for cells in rows(result.stdout)[1:]] == ["set -e …(+2 lines)", "one && two …(+1 line)"]


def test_long_commands_are_cut_on_a_terminal_only(called, workflow, terminal) -> None:
    path = workflow(f'[units.a]\nrun = "echo {"x" * 300} end"\nwhen = "always"\n')

    assert f"echo {'x' * 300} end  [when always]" in called("plan", path).stdout
    screen = terminal("plan", path, columns=80)
    assert screen.exit_code() == 0
    line = screen.row("echo")
    assert "xxx…" in line
    assert line.rstrip().endswith("[when always]")


@pytest.mark.parametrize(("columns", "shown"), [(80, False), (120, True)])
def test_what_there_is_room_for_depends_on_the_terminal(workflow, terminal, columns: int, shown: bool) -> None:
    screen = terminal("plan", workflow(TIMED), columns=columns)

    assert screen.exit_code() == 0
    assert ("mode" in screen.row("takes")) == shown
    assert screen.row("train[i=2]").rstrip().endswith("[pool gpu]")
