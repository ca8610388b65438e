"""What units took before is what they are expected to take: the longest path begins first."""

from __future__ import annotations

from pathlib import Path

from qtui.core.model import QuantumUnit, Shell
from qtui.core.plan import ExecutionPlan
from qtui.manager import WorkflowManager
from qtui.resumption import same_plan
from qtui.services import open_services
from qtui.store.history import Completions, History
from qtui.store.journal import JournalReader
from qtui.store.pasts import Completion
from qtui.store.rundir import RunDirectory

BRANCHES = """
[workflow]
name = "branches"
workers = 1
[units.short]
run = "true"
[units.short_end]
needs = ["short"]
run = "true"
[units.long]
run = "sleep 0.5"
"""


def unit(name: str, *needs: str, estimate: float | None = None, family: str = "") -> QuantumUnit:
    return QuantumUnit(id=name, action=Shell("true"), dependencies=needs, estimate=estimate, family=family)


def ranks(*units: QuantumUnit, **durations: float) -> dict[str, float]:
    plan = ExecutionPlan.build(units, durations=durations)
    return {unit.id: plan.ranks[number] for number, unit in enumerate(plan.table)}


def started(manager: WorkflowManager, path: Path) -> list[str]:
    """The units of a run in the order in which they started."""
    session = manager.start(manager.load(str(path)))
    session.wait()
    session.close()
    units = session.view().units
    return [unit.id for unit in sorted(units, key=lambda unit: unit.started_at or 0.0)]


def test_a_second_run_begins_with_what_took_longest_in_the_first(tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(BRANCHES)
    for expected in ("short", "long", "long"):
        with open_services(tmp_path / "state") as services:
            first, *_ = started(services.manager, path)
        assert first == expected


def test_the_definition_on_record_stays_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(BRANCHES)
    state = tmp_path / "state"
    with open_services(state) as services:
        for _ in range(2):
            started(services.manager, path)
        definition = services.manager.load(str(path))
        newest = services.manager.head().run
        reader = JournalReader(RunDirectory.open(state, newest).journal)
        plan = reader.head.plan
        reader.close()
    assert {unit.estimate for unit in plan.table} == {None}
    assert max(plan.ranks) > 2, "but the ranks are those of the second run"
    assert same_plan(plan, definition)


def test_an_estimate_counts_for_more_than_what_was_before() -> None:
    found = ranks(unit("a", estimate=1.0), unit("b", estimate=2.0), a=100.0, b=2.0)
    assert found == {"a": 0.5, "b": 1.0}


def test_units_of_which_nothing_is_known_count_as_typical_ones() -> None:
    assert ranks(unit("a"), unit("b"), unit("c"), unit("new"), a=1.0, b=4.0, c=8.0) == {
        "a": 0.25,
        "b": 1.0,
        "c": 2.0,
        "new": 1.0,
    }


def test_all_items_of_a_family_take_what_it_took() -> None:
    items = [unit(f"embed[{number}]", family="embed") for number in range(2)]
    assert ranks(*items, unit("all", "embed"), embed=3.0, all=6.0) == {"embed[0]": 3.0, "embed[1]": 3.0, "all": 2.0}


def test_an_item_takes_what_it_took_itself_and_a_new_one_what_its_family_took() -> None:
    items = [unit(f"embed[{number}]", family="embed") for number in range(3)]
    assert ranks(*items, **{"embed[0]": 2.0, "embed[1]": 8.0, "embed": 4.0}) == {
        "embed[0]": 0.5,
        "embed[1]": 2.0,
        "embed[2]": 1.0,
    }


def test_a_milestone_takes_no_time_whatever_had_its_name_before() -> None:
    assert ranks(unit("a"), QuantumUnit(id="gate", dependencies=("a",)), a=2.0, gate=50.0) == {"a": 1.0, "gate": 0}


def test_without_a_history_ranks_count_units() -> None:
    assert ranks(unit("a"), unit("b", "a")) == {"a": 2, "b": 1}


def test_workflows_without_a_file_learn_nothing_of_each_other(tmp_path: Path) -> None:
    history = History(tmp_path / "state")
    history.begin("one", "a", "", "", 1.0)
    history.end("one", "completed", 0, {}, 2.0, 1.0, Completions({"b": Completion("h", 2.0, 50.0)}))
    with open_services(tmp_path / "state") as services:
        manager = services.manager
        workflow = manager.create_workflow("other", tasks=[QuantumUnit(id="b", action=Shell("true"))])
        manager.execute_workflow(workflow)
        assert manager.wait(workflow, 30.0) is not None
        (run,) = [each.summary.run for each in manager.runs()]
        reader = JournalReader(RunDirectory.open(tmp_path / "state", run).journal)
        assert reader.head.plan.typical == 0.0
        reader.close()
