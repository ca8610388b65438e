"""Workflows in Python files: found, built, and clear about what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import Source
from qtui.loaders.load import load_definition

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]

ONE = """
from qtui.workflow import Workflow
import neighbour

flow = Workflow("one", params={"rows": 3})
same = flow

@flow.unit(retries=2)
def first(context):
    return neighbour.value
"""


@pytest.fixture(autouse=True)
def neighbour(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("value = 7")


def test_the_one_workflow_of_a_file_is_found(load: Load, tmp_path: Path) -> None:
    definition = load(ONE, "one.py", rows="5")
    assert (definition.name, definition.params) == ("one", {"rows": 5})
    assert definition.directory == str(tmp_path)
    assert definition.source == str(tmp_path / "one.py")
    (unit,) = definition.units
    assert unit.id == "first"
    assert unit.cwd == str(tmp_path)
    assert unit.source == Source(file="one.py", line=8)


def test_other_processes_can_import_the_file_under_the_same_name(load: Load) -> None:
    load(ONE, "one.py")
    assert sys.modules["one"].flow.name == "one"


def test_a_file_whose_name_is_taken_gets_a_name_of_its_own(load: Load) -> None:
    import json

    load(ONE, "json.py")
    assert sys.modules["json"] is json


def test_a_file_is_run_anew_each_time(load: Load) -> None:
    assert load(ONE, "one.py").name == "one"
    assert load(ONE.replace('"one"', '"two"') + "\n# longer", "one.py").name == "two"


TWO = ONE + "\nother = Workflow('other')\nother.command('a', run='true')\n"


def test_one_of_several_workflows_is_named(load: Load, problems: Problems) -> None:
    assert load(TWO, "two.py", "two.py:other").name == "other"
    (problem,) = problems(TWO, "two.py")
    assert str(problem) == "two.py: has several workflows: flow, other (name one: two.py:flow)"
    (problem,) = problems(TWO, "two.py", "two.py:flov")
    assert str(problem) == 'two.py: two.py has no "flov" (did you mean "flow"?)'
    (problem,) = problems(TWO, "two.py", "two.py:first")
    assert '"first" is not a workflow but a value of type function' in str(problem)


def test_an_object_of_an_importable_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "flows.py").write_text(TWO)
    assert load_definition("pack.flows:other").name == "other"
    with pytest.raises(InvalidWorkflow, match=r"there is no module nopack in"):
        load_definition("nopack.flows:other")


BUILT = """
from qtui.workflow import Workflow

def build_workflow(params):
    flow = Workflow("built", params={"rows": 3})
    for number in range(int(params.get("count", 2))):
        flow.command(f"u{number}", run="true")
    return flow
"""


def test_build_workflow_is_called_with_the_params(load: Load) -> None:
    definition = load(BUILT, "built.py", count="3", rows="4")
    assert [unit.id for unit in definition.units] == ["u0", "u1", "u2"]
    assert definition.params == {"count": "3", "rows": 4}
    assert len(load(BUILT, "built.py", "built.py:build_workflow").units) == 2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "bad.py: has no workflow (make a qtui.Workflow, or define build_workflow(params))"),
        ("def f():\n    raise OSError(2, 'no')\nf()", "bad.py: running bad.py failed at bad.py:2: FileNotFoundError"),
        ("import sys\nsys.exit('bye')", "bad.py: running bad.py failed at bad.py:2: it calls sys.exit('bye')"),
        ("def f(:", "bad.py: running bad.py failed at bad.py:1: SyntaxError"),
        ("import neighbor", "bad.py: running bad.py failed at bad.py:1: ModuleNotFoundError: No module named 'neigh"),
        (
            "def build_workflow(params):\n    return 1 / 0",
            "bad.py: build_workflow(params) failed at bad.py:2: ZeroDivisionError: division by zero",
        ),
        (
            "def build_workflow():\n    pass",
            "bad.py: build_workflow(params) failed: TypeError: build_workflow() takes 0",
        ),
        (
            "def build_workflow(params):\n    return 3",
            "bad.py: build_workflow(params) returned no workflow but a value",
        ),
        (
            "from qtui.workflow import Workflow\nflow = Workflow('x')\nflow.command('a', run='x', timout=3)",
            'bad.py:3: units.a.timout: unknown key (did you mean "timeout"?)',
        ),
        (
            "from qtui.workflow import Workflow\nflow = Workflow('x')\nflow.command('a', run='x', dependencies=['b'])",
            'bad.py:3: units.a: needs "b", which is not a unit',
        ),
        ("from qtui.workflow import Workflow\nflow = Workflow('x')", "bad.py: there is no unit to run"),
        (
            "class Odd:\n    def definition(self, **kw): return 3\nodd = Odd()",
            "bad.py: definition() returned a value of",
        ),
    ],
)
def test_a_python_file_that_cannot_be_used_is_told_in_one_line(problems: Problems, code: str, message: str) -> None:
    (problem,) = problems(code, "bad.py")
    assert str(problem).startswith(message)
    assert "\n" not in str(problem)


def test_a_failed_file_leaves_no_module_behind(problems: Problems) -> None:
    problems("raise ValueError", "bad.py")
    assert "bad" not in sys.modules


def test_a_file_with_bytes_that_are_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b"x = '\xff'")
    with pytest.raises(InvalidWorkflow, match="SyntaxError"):
        load_definition("bad.py")


SHY = """
class Shy:
    def __getattr__(self, name):
        raise RuntimeError("working outside of a request")

class Hidden:
    @property
    def __class__(self):
        raise RuntimeError("working outside of a request")

class Leaver:
    def __getattr__(self, name):
        raise SystemExit(3)

shy, hidden, leaver = Shy(), Hidden(), Leaver()

def __getattr__(name):
    raise RuntimeError(f"no lazy {name}")
"""


def test_objects_that_raise_when_they_are_looked_at_are_no_workflows(load: Load, problems: Problems) -> None:
    assert load(ONE + SHY, "one.py").name == "one"
    (problem,) = problems(SHY, "shy.py")
    assert str(problem).startswith("shy.py: has no workflow")
    (problem,) = problems(SHY, "shy.py", "shy.py:shy")
    assert '"shy" is not a workflow but a value of type Shy' in str(problem)


def test_a_module_that_raises_when_it_is_asked_for_a_name_is_told(problems: Problems) -> None:
    (problem,) = problems(SHY, "shy.py", "shy.py:flow")
    assert str(problem) == 'shy.py: looking for "flow" in shy.py failed: RuntimeError: no lazy flow'


def test_params_that_cannot_be_read_are_told(problems: Problems) -> None:
    code = """
class Odd:
    params = 3
    def definition(self, **given): ...

def build_workflow(params):
    return Odd()
"""
    (problem,) = problems(code, "odd.py", rows="3")
    assert str(problem).startswith("odd.py: reading the params of the workflow of odd.py failed")


def test_an_error_whose_message_leaves_the_program_is_told(problems: Problems) -> None:
    code = """
class Rude(Exception):
    def __str__(self):
        raise SystemExit(3)

raise Rude
"""
    (problem,) = problems(code, "rude.py")
    assert "rude.py:6: Rude: (its message cannot be shown: __str__ raised)" in str(problem)
