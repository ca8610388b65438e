"""What ``qtui run`` takes from the command line: units, earlier results, answers, variables and the time there is."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from json_events import events_of

CHAIN = """
[units.fetch]
run = "true"
[units.build]
needs = ["fetch"]
run = "true"
tags = ["slow"]
[units.test]
needs = ["build"]
run = "true"
[units.docs]
run = "true"
"""


def ends_of(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The last event of each unit that has ended."""
    return {event["unit"]: event for event in events_of(result) if event["event"] == "unit_finished"}


@pytest.mark.parametrize(
    ("arguments", "units"),
    [
        (["build"], {"fetch", "build"}),
        (["+build"], {"fetch", "build"}),
        (["build+"], {"fetch", "build", "test"}),
        (["docs", "fetch"], {"docs", "fetch"}),
        (["-t", "slow"], {"fetch", "build"}),
        (["--exclude", "build"], {"fetch", "docs"}),
        (["--exclude", "docs", "test"], {"fetch", "build", "test"}),
    ],
)
def test_only_the_units_that_are_chosen_are_run(called, workflow, arguments: list[str], units: set[str]) -> None:
    result = called(workflow(CHAIN), "--ui", "json", *arguments)

    assert result.returncode == 0
    assert set(ends_of(result)) == units


def test_what_is_left_out_because_of_another_unit_is_told(called, workflow) -> None:
    result = called(workflow(CHAIN), "--ui", "json", "--exclude", "build")

    assert "units.test" in result.stderr
    assert "build" in result.stderr


def test_nothing_selected_has_an_exit_code_of_its_own(called, workflow) -> None:
    result = called(workflow(CHAIN), "--exclude", "*")

    assert result.returncode == 5
    assert "no unit is left to run" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["biuld"], 'did you mean "build"?'),
        (["-f", "biuld"], 'did you mean "build"?'),
        (["--yes=biuld"], 'did you mean "build"?'),
        (["-t", "slwo"], "slwo"),
        (["-e", "A=x", "-e", "A=y"], "-e A is given twice"),
        (["-e", "novalue"], '-e "novalue" is not NAME=VALUE'),
        (["--env-file", "missing.env"], "missing.env"),
    ],
)
def test_a_name_that_is_nothing_is_refused(called, workflow, arguments: list[str], expected: str) -> None:
    result = called(workflow(CHAIN), *arguments)

    assert result.returncode == 2
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


CACHED = """
[units.a]
run = "echo a"
cache = true
[units.b]
run = "echo b"
cache = true
"""


def hits_of(result: subprocess.CompletedProcess[str]) -> set[str]:
    return {unit for unit, end in ends_of(result).items() if end["cached"]}


def test_earlier_results_are_used_unless_they_are_not_wanted(called, workflow) -> None:
    path = workflow(CACHED)

    def hits(*arguments: str) -> set[str]:
        return hits_of(called(path, "--ui", "json", *arguments))

    assert hits("--no-cache") == set()
    assert hits() == set(), "without a cache nothing was kept"
    assert hits() == {"a", "b"}
    assert hits("-f", "a") == {"b"}
    assert hits("-f") == set()
    assert hits("--no-cache") == set()
    assert hits() == {"a", "b"}, "what was forced is kept"


def test_plain_lines_tell_hits_and_with_v_misses(called, workflow) -> None:
    path = workflow(CACHED)

    first = called(path, "-v").stdout
    assert "miss  a  " in first
    second = called(path).stdout
    assert "hit   a  " in second
    assert "miss" not in second
    assert "2 completed (2 from the cache)" in second.splitlines()[-1]
    assert "miss  a  forced" in called(path, "-v", "-f").stdout


CONFIRM = """
[units.item]
matrix = { n = [1, 2] }
run = "true"
confirm = "Really ${{ matrix.n }}?"
[units.other]
run = "true"
confirm = "Other?"
"""


@pytest.mark.parametrize(
    "approved", [["--yes"], ["--yes=item", "--yes=other"], ["--yes=item[n=1]", "--yes=item[n=2]", "--yes=o*"]]
)
def test_questions_may_be_answered_beforehand(called, workflow, approved: list[str]) -> None:
    result = called(workflow(CONFIRM), "--ui", "json", *approved)

    assert result.returncode == 0
    assert not [event for event in events_of(result) if event["event"] == "confirm_requested"]


ENV = """
[workflow]
env_file = "own.env"
[env]
STAGE = "dev"
[units.show]
run = "echo $STAGE $REGION $OWN $HERE ${{ env.STAGE }}"
env = { OWN = "unit" }
[units.only-prod]
run = "true"
if = "env.STAGE == 'prod'"
"""


def test_variables_from_the_command_line_go_over_those_of_the_workflow(called, workflow, tmp_path) -> None:
    path = workflow(ENV)
    (tmp_path / "own.env").write_text("REGION=north\n")
    (tmp_path / "given.env").write_text("STAGE=prod\nREGION=south\nHERE=file\n")

    assert "dev north unit dev" in called(path).stdout
    given = called(path, "--env-file", "given.env", "-e", "HERE=line", "-e", "OWN=mine").stdout
    assert "prod south mine line prod" in given
    assert "2 completed" in given, "conditions see them, too"


def test_a_bad_line_in_a_file_of_variables_has_its_place(called, workflow, tmp_path) -> None:
    (tmp_path / "given.env").write_text("A=1\nnonsense\n")

    result = called("check", workflow(CHAIN), "--env-file", "given.env")

    assert result.returncode == 2
    assert "given.env:2: is not a variable" in result.stderr


def test_check_finds_secrets_that_are_given(called, workflow) -> None:
    path = workflow('[secrets]\nnames = ["D4_TOKEN"]\n[units.a]\nrun = "true"')

    assert called("check", path).returncode == 2
    assert called("check", path, "-e", "D4_TOKEN=abcdef").returncode == 0


def test_the_whole_run_may_be_given_less_time(called, workflow) -> None:
    result = called(workflow('[workflow]\ntimeout = "1h"\n[units.long]\nrun = "sleep 300"'), "--timeout", "500ms")

    assert result.returncode == 124
    assert "the run timed out after 0.5 s" in result.stdout
