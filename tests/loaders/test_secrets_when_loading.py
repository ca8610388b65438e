"""What loading a workflow tells has no secrets in it, and secrets cannot become names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.loaders.load import load_definition
from qtui.workflow import Overrides, Workflow

Problems = Callable[..., tuple[Problem, ...]]
SECRET = "sword\\fish'4711"
DECLARED = "[secrets]\nnames = ['TOKEN']\n"
TIMEOUT = "[units.a]\nrun = 'x'\ntimeout = '${{ env.TOKEN }}'\n"
REFUSED = 'expected a duration such as "90s", "1h30m" or "500ms", not the string '


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)


def test_a_value_that_is_refused_is_not_told_if_it_is_a_secret(problems: Problems) -> None:
    (problem,) = problems(DECLARED + TIMEOUT)
    assert problem.message == REFUSED + '"***"'
    (problem,) = problems(TIMEOUT)
    assert problem.message == REFUSED + f'"{SECRET}"', "it is not declared"


def test_a_secret_that_is_cut_short_is_masked_too(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "4711" * 40)
    (problem,) = problems(DECLARED + TIMEOUT.replace("'$", "'ten minutes and $"))
    assert problem.message == REFUSED + '"ten minutes and ***…"'


def test_what_a_module_says_when_it_cannot_be_imported_is_masked(problems: Problems, tmp_path: Path) -> None:
    raising = "import os\nraise RuntimeError('no connection to', os.environ['TOKEN'])\n"
    (tmp_path / "hidden_steps.py").write_text(raising)
    (problem,) = problems(DECLARED + "[units.a]\ncall = 'hidden_steps:work'")
    assert problem.message.endswith("hidden_steps.py:2: RuntimeError: ('no connection to', \"***\")")


@pytest.mark.parametrize(
    "text",
    [
        DECLARED + "[env]\nTOKEN = 'elsewhere'\n" + TIMEOUT,
        "[workflow]\nenv_file = '.env'\n" + DECLARED + TIMEOUT,
        DECLARED + "[units.a]\nrun = 'x'\nenv = { TOKEN = 'elsewhere' }\ntimeout = '${{ env.TOKEN }}'",
        DECLARED + "[defaults]\nenv = { TOKEN = 'elsewhere' }\n" + TIMEOUT,
        DECLARED + "[params]\np = '${{ env.TOKEN }}'\n" + TIMEOUT.replace("env.TOKEN", "params.p"),
        "[workflow]\ninclude = { docs = 'docs.toml' }\n" + DECLARED + "[units.b]\n",
        "[workflow]\ninclude = { docs = 'docs.toml' }\n" + TIMEOUT,
    ],
    ids=["in [env]", "in a file", "of a unit", "in the defaults", "by a param", "of a file", "declared by a file"],
)
def test_secrets_are_masked_wherever_they_come_from(problems: Problems, tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text("TOKEN=elsewhere\n")
    (tmp_path / "docs.toml").write_text(DECLARED + TIMEOUT)
    assert {problem.message for problem in problems(text)} == {REFUSED + '"***"'}


def test_secrets_from_the_command_line_are_masked(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(DECLARED + TIMEOUT)
    with pytest.raises(InvalidWorkflow) as raised:
        load_definition("flow.toml", {}, Overrides(env={"TOKEN": "elsewhere"}))
    assert str(raised.value) == f'flow.toml:5: units.a.timeout: {REFUSED}"***"'


def test_a_workflow_in_python_does_not_tell_its_secrets() -> None:
    workflow = Workflow("flow", secrets=["TOKEN"])
    workflow.command("a", run="x", timeout="${{ env.TOKEN }}")
    with pytest.raises(InvalidWorkflow) as raised:
        workflow.definition()
    assert raised.value.problems[0].message == REFUSED + '"***"'


def test_descriptions_and_questions_are_masked(load: Callable[..., WorkflowDefinition]) -> None:
    text = (
        "[workflow]\ndescription = 'with ${{ env.TOKEN }}'\n"
        + DECLARED
        + "[units.a]\nrun = 'x ${{ env.TOKEN }}'\ndescription = 'by ${{ env.TOKEN }}'\nconfirm = '${{ env.TOKEN }}?'\n"
    )
    definition = load(text)
    (unit,) = definition.units
    assert (definition.description, unit.description, unit.confirm) == ("with ***", "by ***", "***?")
    assert SECRET in str(unit.action), "what it does is not changed"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[units.a]\nmatrix = { x = ['a', '${{ env.TOKEN }}'] }", "4:23: units.a.matrix"),
        ("[units.a]\nmatrix = { x = [1], include = [{ x = '${{ env.TOKEN }}' }] }", "4:39: units.a.matrix"),
        ("[units.a]\ntags = ['t-${{ env.TOKEN }}']", "4:12: units.a.tags"),
        ("[units.a]\nrun = 'x'\nmutex = '${{ env.TOKEN }}'", "5:10: units.a.mutex"),
        ("[defaults]\ntags = ['${{env.TOKEN}}']\n[units.a]", "4:10: defaults.tags"),
        ("[groups.g]\nmatrix = { x = ['${{ env.TOKEN }}'] }\n[units.a]\ngroup = 'g'", "4:18: groups.g.matrix"),
        ("[params]\np = ['${{ env.TOKEN }}']\n[units.a]\nmatrix = { x = 'params.p' }", "6: units.a.matrix"),
        ("[params]\np = '${{ env.TOKEN }}'\n[units.a]\ntags = ['${{ params.p }}']", "6:10: units.a.tags"),
        ("[env]\nE = 'x${{ env.TOKEN }}'\n[units.a]\nmatrix = { x = ['${{ env.E }}'] }", "6:18: units.a.matrix"),
    ],
)
def test_a_secret_cannot_become_part_of_a_name(problems: Problems, text: str, place: str) -> None:
    (problem,) = problems(DECLARED + text)
    assert str(problem).startswith(f"flow.toml:{place}: a name cannot have the value of the secret TOKEN in it")
    assert "4711" not in str(problem)


def test_a_secret_of_the_including_file_cannot_become_part_of_a_name_either(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "docs.toml").write_text("[units.a]\nmatrix = { x = ['${{ env.TOKEN }}'] }")
    (problem,) = problems("[workflow]\ninclude = { docs = 'docs.toml' }\n" + DECLARED + "[units.b]")
    assert str(problem).startswith("docs.toml:2:18: units.a.matrix: a name cannot have")


def test_what_only_names_a_file_may_have_secrets(load: Callable[..., WorkflowDefinition], tmp_path: Path) -> None:
    (tmp_path / f"{SECRET}.tsv").write_text("id\ns1\n")
    definition = load(
        DECLARED + "[units.a]\nmatrix = { file = '${{ env.TOKEN }}.tsv' }\n[units.b]\ntags = ['${{ env.HOME }}']"
    )
    assert definition.units[0].id == "a[id=s1]"


# -- workflows in Python ---------------------------------------------------------------------------------


def refused(workflow: Workflow) -> list[str]:
    with pytest.raises(InvalidWorkflow) as raised:
        workflow.definition()
    assert "4711" not in str(raised.value)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"matrix": {"x": ["a", "${{ env.TOKEN }}"]}}, "units.a.matrix"),
        ({"matrix": {"x": ["${{ env.E }}"]}}, "units.a.matrix"),
        ({"tags": ["t-${{ env.TOKEN }}"]}, "units.a.tags"),
        ({"mutex": "${{ env.TOKEN }}"}, "units.a.mutex"),
    ],
)
def test_a_secret_cannot_become_part_of_a_name_in_python(keys: dict[str, Any], place: str) -> None:
    workflow = Workflow("flow", secrets=["TOKEN"], env={"E": "x${{ env.TOKEN }}"})
    workflow.command("a", run="x", **keys)
    (problem,) = refused(workflow)
    assert f": {place}: a name cannot have the value of the secret TOKEN in it" in problem


def test_a_secret_cannot_become_part_of_the_items_of_a_group_in_python() -> None:
    workflow = Workflow("flow", secrets=["TOKEN"], groups={"g": {"matrix": {"x": ["${{ env.TOKEN }}"]}}})
    workflow.command("a", run="x", group="g")
    (problem,) = refused(workflow)
    assert ": groups.g.matrix: a name cannot have" in problem


def test_a_secret_cannot_become_part_of_a_name_in_an_included_workflow() -> None:
    inner, outer = Workflow("inner"), Workflow("outer", secrets=["TOKEN"])
    inner.command("a", run="x", matrix={"x": ["${{ env.TOKEN }}"]})
    outer.include(inner, "docs")
    (problem,) = refused(outer)
    assert ": units.a.matrix: a name cannot have" in problem


def test_what_is_refused_where_a_unit_is_added_does_not_tell_secrets() -> None:
    workflow = Workflow("flow", secrets=["TOKEN"])
    with pytest.raises(InvalidWorkflow) as raised:
        workflow.command("a", run="x", timeout=SECRET)
    assert raised.value.problems[0].message == REFUSED + '"***"'


RAISING = "raise RuntimeError('no connection to', os.environ['TOKEN'])\n"


@pytest.mark.parametrize(
    "text",
    [
        f"workflow = Workflow('flow', secrets=['TOKEN'])\n{RAISING}",
        f"def build_workflow(params):\n    workflow = Workflow('flow', secrets=['TOKEN'])\n    {RAISING}",
        f"class Mine(Workflow):\n    def definition(self, **given):\n        {RAISING}"
        "workflow = Mine('flow', secrets=['TOKEN'])\n",
        "def connect():\n    return None\n"
        "workflow = Workflow('flow', secrets=['TOKEN'], mode='custom', executor='raising:connect')\n"
        "workflow.add_unit(connect)\n",
    ],
    ids=["while it runs", "while it builds", "while it defines", "while its executor is imported"],
)
def test_what_the_module_of_a_workflow_raises_is_masked(tmp_path: Path, text: str) -> None:
    (tmp_path / "raising.py").write_text(f"import os\n{RAISING}")
    (tmp_path / "masked_flow.py").write_text(f"import os\nfrom qtui import Workflow\n{text}")
    with pytest.raises(InvalidWorkflow) as raised:
        load_definition("masked_flow.py")
    assert "RuntimeError: ('no connection to', \"***\")" in str(raised.value)


def test_what_a_module_raises_is_told_if_no_workflow_there_has_secrets(tmp_path: Path) -> None:
    (tmp_path / "open_flow.py").write_text(f"import os\n{RAISING}")
    with pytest.raises(InvalidWorkflow) as raised:
        load_definition("open_flow.py")
    assert "4711" in str(raised.value)
