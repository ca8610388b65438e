"""Params, expressions and matrices at work in a workflow file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import Problem
from qtui.core.model import Call, Shell
from qtui.core.plan import ExecutionPlan

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]


def test_a_matrix_becomes_a_family(load: Load) -> None:
    units = load(
        """
        [units.embed]
        matrix = { shard = [0, 1], size = ["s", "l"] }
        run = "embed ${{ matrix.shard }} ${{ matrix.size }}"
        [units.one]
        needs = ["embed[shard=0,size=s]"]
        [units.all]
        needs = ["embed"]
        [units.some]
        needs = ["embed[*size=l]"]
        """
    ).units
    assert [unit.id for unit in units[:4]] == [
        "embed[shard=0,size=s]",
        "embed[shard=0,size=l]",
        "embed[shard=1,size=s]",
        "embed[shard=1,size=l]",
    ]
    assert {unit.family for unit in units[:4]} == {"embed"}
    assert units[1].matrix == {"shard": 0, "size": "l"}
    assert units[3].action == Shell(("embed 1 l",))
    plan = ExecutionPlan.build(units)
    assert plan.dependencies["one"] == {"embed[shard=0,size=s]"}
    assert len(plan.dependencies["all"]) == 4
    assert plan.dependencies["some"] == {"embed[shard=0,size=l]", "embed[shard=1,size=l]"}


def test_arguments_and_lists_keep_the_types_of_params(load: Load, in_directory: object) -> None:
    units = load(
        """
        [params]
        rows = 5
        hosts = ["a", "b"]
        limit = 1.5
        [units.ping]
        matrix = { host = "${{ params.hosts }}" }
        call = "json:dumps"
        args = { obj = "${{ matrix.host }}", indent = "${{ params.rows }}" }
        timeout = "${{ params.limit }}"
        tags = ["${{ params.rows }}"]
        """,
        hosts="x,y,z",
    ).units
    assert [unit.id for unit in units] == ["ping[host=x]", "ping[host=y]", "ping[host=z]"]
    assert units[0].args == {"obj": "x", "indent": 5}
    assert units[0].timeout == 1.5
    assert units[0].tags == {"5"}
    assert isinstance(units[0].action, Call)


def test_defaults_see_the_matrix_of_each_unit(load: Load) -> None:
    units = load('[defaults]\ncwd = "d${{ matrix.x }}"\n[units.a]\nmatrix = { x = [1, 2] }\n[units.b]\ncwd = "e"').units
    assert [unit.cwd and unit.cwd.rsplit("/", 1)[1] for unit in units] == ["d1", "d2", "e"]


def test_the_environment_can_be_extended(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/bin")
    (unit,) = load('[env]\nPLACE = "x:${{ env.PLACE }}"\n[units.a]\nrun = "echo ${{ env.PLACE }}"').units
    assert unit.env == {"PLACE": "x:/bin"}
    assert unit.action == Shell(("echo x:/bin",))


def test_params_may_drive_the_workflow_table(load: Load) -> None:
    definition = load('[params]\nn = 3\n[workflow]\nworkers = "${{ params.n }}"\n[units.a]', n="4")
    assert definition.options.workers == 4


def test_a_missing_param_is_told_once_however_often_it_is_used(problems: Problems) -> None:
    text = """
    [params]
    day = { type = "str", required = true }
    [env]
    DAY = "${{ params.day }}"
    [units.a]
    run = "${{ params.day }}"
    [units.b]
    matrix = { d = ["${{ params.day }}"] }
    """
    (problem,) = problems(text)
    assert str(problem) == "flow.toml:3: params.day: a value is required (give one with -p day=VALUE)"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dya": "x"}, 'flow.toml:1: params.dya: there is no such param (did you mean "day"?)'),
        ({"day": "x"}, 'flow.toml:2: params.day: "x" does not match the pattern'),
        ({"rows": "many"}, 'flow.toml:3: params.rows: expected a whole number, not the string "many"'),
        ({"size": "XL"}, 'flow.toml:4: params.size: "XL" is not one of S, L'),
    ],
)
def test_values_from_the_command_line_are_checked(problems: Problems, params: dict[str, str], message: str) -> None:
    text = """[params]
day = { default = "1", pattern = '\\d' }
rows = 3
size = { choices = ["S", "L"], default = "S" }
[units.a]
"""
    (problem,) = problems(text, **params)
    assert str(problem).startswith(message)
