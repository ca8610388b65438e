"""Workflow files that include others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import Call, FromUnit, Shell
from qtui.core.options import Brake
from qtui.core.plan import ExecutionPlan
from qtui.loaders.load import load_definition

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]

OUTER = """
[workflow]
include = { docs = "sub/docs.toml" }
[pools]
press = 1
[env]
WHO = "site"
WHERE = "here"
[defaults]
timeout = "1m"
[units.first]
[units.last]
needs = ["docs.build", "docs.ch*"]
"""

DOCS = """
[workflow]
name = "docs"
env_file = ".env"
[params]
lang = "en"
[pools]
press = 1
[tags.slow]
max_failures = 2
[env]
WHO = "docs"
[units.build]
matrix = { n = [1, 2] }
run = "make ${{ params.lang }} ${{ matrix.n }}"
pools = ["press"]
tags = ["slow"]
[units.check]
needs = ["build[n=1]"]
if = "units.'build[n=1]'.state == 'completed'"
call = "tools:check"
args = { page = { from = "build[n=1]" } }
[units.end]
needs = ["*"]
mutex = "press"
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "docs.toml").write_text(DOCS)
    (tmp_path / "sub" / ".env").write_text("PLACE=sub")
    (tmp_path / "sub" / "tools.py").write_text("def check(page): pass")
    return tmp_path


@pytest.mark.usefixtures("files")
def test_included_units_keep_what_is_theirs(load: Load, tmp_path: Path) -> None:
    definition = load(OUTER, lang="de")
    units = {unit.id: unit for unit in definition.units}
    plan = ExecutionPlan.build(definition.units)
    build, check = units["docs.build[n=1]"], units["docs.check"]
    assert build.action == Shell(("make de 1",))
    assert build.family == "docs.build"
    assert build.env == {"PLACE": "sub", "WHO": "docs", "WHERE": "here"}
    assert build.cwd == str(tmp_path / "sub")
    assert build.timeout is None
    assert str(build.source) == "sub/docs.toml:13"
    assert isinstance(check.action, Call)
    assert check.args == {"page": FromUnit("docs.build[n=1]")}
    assert check.condition is not None
    assert check.condition.units == ("docs.build[n=1]",)
    assert check.condition.holds(lambda name, fact: {"docs.build[n=1]": "completed"}[name])
    assert plan.dependencies["docs.end"] == {"docs.build[n=1]", "docs.build[n=2]", "docs.check"}
    assert plan.dependencies["last"] == {"docs.build[n=1]", "docs.build[n=2]", "docs.check"}


@pytest.mark.usefixtures("files")
def test_pools_tags_and_params_are_shared(load: Load) -> None:
    definition = load(OUTER)
    assert definition.params == {"lang": "en"}
    assert definition.options.pools == {"press": 1, "mutex press": 1}
    assert definition.options.brakes == {"tag:slow": Brake(count=2)}


def test_files_include_files(load: Load, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("[workflow]\ninclude = { c = 'c.toml' }\n[units.y]\nneeds = ['c.x']")
    (tmp_path / "c.toml").write_text("[units.x]")
    definition = load("[workflow]\ninclude = { b = 'b.toml', again = 'c.toml' }")
    assert [unit.id for unit in definition.units] == ["b.y", "b.c.x", "again.x"]
    assert definition.units[0].dependencies == ("b.c.x",)


def test_what_only_counts_in_the_file_that_is_run_is_advised_of(load: Load, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(
        "[workflow]\nname = 'b'\nworkers = 3\ngrace = '${{ params.no }}'\n[notify]\nbell = 'always'\n[units.x]"
    )
    definition = load("[workflow]\ninclude = { b = 'b.toml' }")
    assert [str(advice) for advice in definition.advice] == [
        "b.toml:3: workflow.workers: has no effect where the file is included",
        "b.toml:4: workflow.grace: has no effect where the file is included",
        "b.toml:5: notify: has no effect where the file is included",
    ]
    assert definition.notify is None


@pytest.mark.parametrize(
    ("inner", "problem"),
    [
        ("[units.x]\ntimeout = -1", "b.toml:2: units.x.timeout: a duration cannot be negative"),
        ("[units.x]\nrun = 'x ${{ params.p }}'", "b.toml:2:10: units.x.run: params.p is not known"),
        ("[params]\np = 2\n[units.x]", "b.toml:2: params.p: is declared differently in the file that includes this"),
        ("[params]\nq = { type = 'int' }\n[units.x]", "b.toml:2: params.q: a value is required"),
        ("[pools]\ngpu = 2\n[units.x]", 'b.toml: both workflows declare the pool "gpu", and differently'),
        ("[tags.t]\nmax_failures = 1\n[units.x]", "b.toml:1: tags.t: no unit has this tag"),
        ("[secrets]\nnames = ['NOT_SET']\n[units.x]", "b.toml:2:11: secrets.names[0]: the variable"),
        ("[unit.x]", 'b.toml:1: unit: unknown key (did you mean "units"?)'),
        ("[units.x]\nneeds = ['y']", 'b.toml:1: units.b.x: needs "b.y", which is not a unit'),
        ("[units.x]\nneeds = ['*', 'y']", 'b.toml:1: units.x: needs "y", which is not a unit'),
        ("[units.x]\n[units.x]", "b.toml:2:9: not correct TOML: "),
        ("[units.'x\u202e']", "b.toml:1:10: units.x"),
        (
            "[units.x]\nif = 'units.y.cached'\n[units.y]",
            'b.toml:2:7: units.x.if: asks about "y", which it does not need',
        ),
        ("[workflow]\ninclude = { o = 'flow.toml' }", "b.toml:2: workflow.include.o: these files include each other"),
        ("[workflow]\ninclude = { o = 'b.toml' }", "b.toml:2: workflow.include.o: these files include each other"),
        ("[workflow]\nworker = 1\n[units.x]", "b.toml:2: workflow.worker: unknown key"),
    ],
)
def test_a_fault_of_an_included_file_is_told_with_its_name(
    problems: Problems, tmp_path: Path, inner: str, problem: str
) -> None:
    (tmp_path / "b.toml").write_text(inner)
    (found,) = problems("[workflow]\ninclude = { b = 'b.toml' }\n[params]\np = 1\n[pools]\ngpu = 1\n[units.a]")
    assert str(found).startswith(problem)


@pytest.mark.parametrize(
    ("include", "problem"),
    [
        ("'b.toml'", "2: workflow.include: expected a table such as { docs = "),
        ("{ b = 3 }", "2: workflow.include.b: expected a string"),
        ("{ b = 'nowhere.toml' }", "2: workflow.include.b: there is no file nowhere.toml"),
        ("{ b = 'b.py' }", "2: workflow.include.b: only .toml files can be included"),
        ("{ b = '.' }", "2: workflow.include.b: only .toml files can be included"),
        ("{ 'b c' = 'b.toml' }", '2: workflow.include.b c: "b c" cannot be the name of a unit'),
    ],
)
def test_what_cannot_be_included_is_told(problems: Problems, tmp_path: Path, include: str, problem: str) -> None:
    (tmp_path / "b.toml").write_text("[units.x]")
    (tmp_path / "b.py").write_text("")
    (found,) = problems(f"[workflow]\ninclude = {include}\n[units.a]\nneeds = ['b.x']")
    assert str(found).removeprefix("flow.toml:").startswith(problem)


def test_one_id_in_two_files_is_told(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("[units.x]")
    (problem,) = problems("[workflow]\ninclude = { b = 'b.toml' }\n[units.'b.x']")
    assert str(problem) == "b.toml:1: units.b.x: this name is already taken (first used at flow.toml:3)"


def write_chain(directory: Path, depth: int, own: str) -> None:
    """Files ``c0.toml`` and so on, each of which but the last includes the next twice."""
    for number in range(depth):
        following = f"[workflow]\ninclude = {{ l = 'c{number + 1}.toml', r = 'c{number + 1}.toml' }}\n"
        (directory / f"c{number}.toml").write_text((following if number < depth - 1 else "") + own)


@pytest.mark.parametrize(
    ("depth", "own", "message"),
    [
        (40, "[units.a]\n", "with this file there are more than the 100,000 units that a workflow may have"),
        (12, "[units.a]\n", "with this file there are more than the 1,000 files that a workflow may include"),
        (40, "", "with this file there are more than the 1,000 files that a workflow may include"),
    ],
)
def test_files_that_double_with_each_step_are_refused_before_any_is_made_twice(
    tmp_path: Path, depth: int, own: str, message: str
) -> None:
    write_chain(tmp_path, depth, own)
    with pytest.raises(InvalidWorkflow) as raised:
        load_definition("c0.toml")  # if it were not refused early, this would take centuries
    assert str(raised.value) == f"c0.toml:2: workflow.include.l: {message}"


def test_files_may_be_included_often(tmp_path: Path) -> None:
    write_chain(tmp_path, 6, "[units.a]\n")
    assert len(load_definition("c0.toml").units) == 2**6 - 1


def test_items_of_all_files_count_together(tmp_path: Path) -> None:
    items = ", ".join(map(str, range(225)))
    big = f"[units.x]\nmatrix = {{ a = [{items}], b = [{items}] }}\n"
    (tmp_path / "b.toml").write_text(big)
    (tmp_path / "flow.toml").write_text("[workflow]\ninclude = { b = 'b.toml', c = 'b.toml' }")
    with pytest.raises(InvalidWorkflow, match=r"b\.toml:1: units\.x: with this unit there are more than the 100,000"):
        load_definition("flow.toml")
