"""Which units of a workflow are sent to its cluster: commands as well as functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.core.model import Argv, ExecutionMode, Outcome, QuantumUnit, Shell
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.definition.options import Overrides
from qtui.engine.adoption import Adoption
from qtui.loaders.load import load_definition

FLOW = """
[workflow]
{}

[units.all]
[units.fetch]
run = "true"
[units.mix]
argv = ["true"]
mode = "custom"
[units.look]
run = "true"
mode = "thread"
[units.sum]
call = "steps:add"
[units.plot]
call = "steps:add"
mode = "process"
"""
POOL = (
    "def make(workers):\n    from concurrent.futures import ThreadPoolExecutor\n    return ThreadPoolExecutor(workers)"
)


def lanes(path: str, overrides: Overrides | None = None) -> dict[str, str]:
    definition = load_definition(path, overrides=overrides or Overrides())
    plan = ExecutionPlan.build(definition.units, default_mode=definition.options.mode)
    return {unit.id: str(lane) for unit, lane in zip(plan.table, plan.lanes, strict=True) if unit.action is not None}


@pytest.fixture(autouse=True)
def steps(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(f"def add(): ...\n{POOL}")


def test_all_units_without_another_mode_go_to_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(FLOW.format('mode = "custom"\nexecutor = "dask"'))
    assert lanes("flow.toml") == {
        "fetch": "custom", "mix": "custom", "look": "command", "sum": "custom", "plot": "process"
    }  # fmt: skip


def test_or_only_those_that_say_so(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(FLOW.format('executor = "dask"'))
    assert lanes("flow.toml") == {
        "fetch": "command", "mix": "custom", "look": "command", "sum": "thread", "plot": "process"
    }  # fmt: skip


def test_another_executor_has_functions_only(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(FLOW.format('mode = "custom"\nexecutor = "steps:make"'))
    assert lanes("flow.toml") == {
        "fetch": "command", "mix": "command", "look": "command", "sum": "custom", "plot": "process"
    }  # fmt: skip


def test_the_command_line_sends_commands_of_any_workflow_there(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("import qtui\nw = qtui.Workflow('w')\nw.command('fetch', 'true')")
    assert lanes("flow.py") == {"fetch": "command"}
    assert lanes("flow.py", Overrides(executor="dask")) == {"fetch": "custom"}


@pytest.mark.parametrize(("executor", "mode"), [("dask", "custom"), ("steps:make", "auto"), (None, "auto")])
def test_a_command_that_is_added_while_the_run_goes_on_goes_where_the_others_are(
    executor: str | None, mode: str
) -> None:
    adoption = Adoption(RunOptions(executor=executor, mode=ExecutionMode.CUSTOM), None, library=False)
    added = QuantumUnit(id="a", action=Shell(("true",))), QuantumUnit(id="b", action=Argv(("true",)))
    assert [unit.mode for unit in adoption.adopted(Outcome(added=added)).added] == [mode, mode]
