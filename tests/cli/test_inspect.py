"""Looking at a workflow without running it: ``run -n``, ``check``, ``schema``, and ``init`` to begin with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tomli
from jsonschema import Draft202012Validator

from qtui.definition.schema import workflow_schema

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


def test_a_dry_run_tells_what_each_unit_would_do_and_when(called, workflow) -> None:
    result = called("run", "-n", workflow(EVERYTHING, steps=STEPS))

    assert result.returncode == 0
    assert [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()[1:]] == [
        ["level", "lane", "unit", "action"],
        ["1", "command", "fetch", "curl --user 'a b' https://example.org/monday"],
        ["2", "command", "train", "first && second", "[if params.day == 'monday'; pool gpu x2; cpus 1.5; memory 512M]"],
        ["2", "thread", "call", "steps:work(rows=3, raw=fetch)", "[pool db]"],
        ["3", "thread", "done", "(milestone)"],
        ["4", "command", "publish", "rsync", "[asks: Publish monday?]"],
        ["5", "command", "cleanup", "rm -rf tmp", "[when always]"],
    ]


def test_a_dry_run_shows_what_would_be_chosen_and_approved(called, workflow) -> None:
    path = workflow(EVERYTHING, steps=STEPS)

    assert "2 units would run" in called("run", "-n", path, "train").stdout
    assert "[asks: Publish monday? yes]" in called("run", "-n", path, "--yes=pub*").stdout
    assert "[asks: Publish monday?]" in called("run", "-n", path, "--yes=train").stdout


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
    result = called("run", "-n", workflow(toml), "-j", "1")

    names = [line.split()[2] for line in result.stdout.splitlines()[2:]]
    assert names == ["high", "chain", "low", "after", "a[i=1]", "b[i=1]", "a[i=2]", "b[i=2]"]


def test_check_says_how_large_and_how_wide_a_workflow_is(called, workflow) -> None:
    toml = "[workflow]\nworkers = 3\n[units.a]\nmatrix = { i = [1, 2, 3, 4, 5] }\n[units.b]\nneeds = ['a']"
    assert (
        called("check", workflow(toml)).stdout
        == "flow: ok, 6 units, 5 needs, 2 levels, the widest of 5 units; 3 workers\n"
    )
    toml = "[workflow]\nworkers = 1\n[units.a]"
    assert (
        called("check", workflow(toml)).stdout == "flow: ok, 1 unit, 0 needs, 1 level, the widest of 1 unit; 1 worker\n"
    )


def test_check_does_not_tell_secrets(called, workflow) -> None:
    toml = (
        '[secrets]\nnames = ["TOKEN"]\n[units.a]\ncall = "steps:f"\n[units.b]\nrun = "x"\ntimeout = "${{ env.TOKEN }}"'
    )
    path = workflow(toml, steps="import os\nraise RuntimeError(os.environ['TOKEN'])\n")

    for command in (["check"], ["graph"], ["run", "-n"], ["run", "--ui", "plain"]):
        result = called(*command, path, TOKEN="s3cr3t")
        assert result.returncode == 2
        assert result.stderr.count("***") == 2
        assert "s3cr3t" not in result.stdout + result.stderr


def test_secrets_are_masked_in_everything_that_is_printed(called, workflow) -> None:
    toml = """
[secrets]
names = ["TOKEN", "OTHER"]
[env]
OTHER = "quo'te\\\\and two\\nlines of it"
[params]
given = ["x", "${{ env.TOKEN }}"]
[units.a]
run = "curl -H ${{ env.TOKEN }}; echo ${{ env.OTHER }}"
description = "shows ${{ env.TOKEN }}"
[units.b]
call = "steps:f"
args = { token = "${{ env.TOKEN }}", other = "${{ env.OTHER }}" }
confirm = "Use ${{ env.TOKEN }}?"
[units.c]
argv = ["x", "${{ env.TOKEN }} ${{ env.OTHER }}"]
"""
    path = workflow(toml, steps="def f(token, other): pass\n")

    for command in (["run", "-n"], ["graph", "--format", "json"]):
        result = called(*command, path, TOKEN="s3cr3t")
        assert result.returncode == 0
        assert "***" in result.stdout
        assert not [part for part in ("s3cr3t", "quo'te", "and two", "lines of it") if part in result.stdout]


def test_control_characters_do_not_reach_the_terminal(called, workflow) -> None:
    toml = "[units.a]\nrun = \"printf '\\u001b[2J\\u0007'\\necho next line\"\n"
    result = called("run", "-n", workflow(toml))

    assert not set(result.stdout) & set("\x1b\x07")
    assert len(result.stdout.splitlines()) == 3, "a line each"


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
    lines = called("run", "-n", workflow(toml)).stdout.splitlines()

    assert lines[2].endswith("  set -e …(+2 lines)")
    assert lines[3].endswith("  one && two …(+1 line)")


def test_long_commands_are_cut_on_a_terminal_only(called, workflow, terminal) -> None:
    path = workflow(f'[units.a]\nrun = "echo {"x" * 300} end"\nwhen = "always"\n')

    assert f"echo {'x' * 300} end  [when always]" in called("run", "-n", path).stdout
    screen = terminal("run", "-n", path, columns=80)
    assert screen.exit_code() == 0
    line = screen.row("command")
    assert "xxx…" in line
    assert line.rstrip().endswith("[when always]")


def test_check_prints_all_advice_on_standard_error(called, workflow) -> None:
    thread = 'call = "json:loads"\nargs = { s = "1" }\nmode = "thread"\ntimeout = "1s"\n'
    result = called("check", workflow(f"[units.a]\n{thread}[units.b]\n{thread}"))

    assert result.returncode == 0
    assert result.stderr.count("its timeout of 1 s cannot be enforced") == 2
    assert result.stdout.startswith("flow: ok")


def test_check_tells_every_fault_at_once(called, workflow) -> None:
    result = called(
        "check", workflow('[units.a]\nrun = 1\n[units.b]\nruns = "x"\n[units.c]\nneeds = ["a"]\ntimeout = "x"\n')
    )

    assert result.returncode == 2
    assert re.findall(r"flow\.toml:(\d+): units", result.stderr) == ["2", "4", "7"]
    assert "3 problems, nothing was run" in result.stderr
    assert result.stdout == ""


def test_the_schema_is_printed_as_json(called) -> None:
    schema = json.loads(called("schema").stdout)

    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid({"units": {"a": {"run": "true"}}})


@pytest.mark.parametrize(("arguments", "name"), [([], "qtui.toml"), (["--python"], "workflow.py"), (["x.py"], "x.py")])
def test_init_writes_a_workflow_that_is_sound_and_runs(called, tmp_path: Path, arguments: list[str], name: str) -> None:
    result = called("init", *arguments)

    assert result.returncode == 0, result.stderr
    assert f"qtui check {name}" in result.stdout
    checked = called("check", name)
    assert (checked.returncode, checked.stderr) == (0, "")
    ran = called(name, "-p", "name=Ada")
    assert ran.returncode == 0, ran.stdout
    if name.endswith(".toml"):
        Draft202012Validator(workflow_schema()).validate(tomli.loads((tmp_path / name).read_text()))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("state", "__pycache__")) == [name]


def test_init_overwrites_nothing(called, tmp_path: Path) -> None:
    (tmp_path / "qtui.toml").write_text("mine")

    result = called("init")

    assert result.returncode == 2
    assert "exists already" in result.stderr
    assert (tmp_path / "qtui.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["flow.yaml"], "ends in .toml or .py"),
        (["flow.toml", "--python"], "ends in .py"),
        (["qtui.py"], "a module called qtui"),
        (["json.py"], "a module called json"),
        (["nowhere/flow.toml"], "cannot be written"),
    ],
)
def test_init_refuses_names_that_would_not_work(called, tmp_path: Path, arguments: list[str], expected: str) -> None:
    result = called("init", *arguments)

    assert result.returncode == 2
    assert expected in result.stderr
    assert list(tmp_path.iterdir()) == []
