"""Looking at a workflow without running it: ``check``, ``graph``, ``schema``, and ``init`` to begin with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tomli
from jsonschema import Draft202012Validator

from qtui.definition.schema import workflow_schema


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


def test_init_in_another_directory_says_what_to_type_here(called, tmp_path: Path) -> None:
    (tmp_path / "sub dir").mkdir()

    result = called("init", "-C", "sub dir")

    assert (tmp_path / "sub dir" / "qtui.toml").exists()
    assert "  qtui check 'sub dir/qtui.toml' " in result.stdout


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
