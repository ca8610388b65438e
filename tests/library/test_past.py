"""What units took in earlier runs is known by unit, for front ends and for the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from library_waiting import eventually

from qtui.core.model import RunState, UnitState
from qtui.core.session import RunSession
from qtui.manager import WorkflowManager
from qtui.services import open_services
from qtui.store.pasts import UnitPast

USE = "python3 -c 'x = bytearray(64 << 20); sum(i * i for i in range(1_000_000))'"


class Flow:
    """A workflow's file, and the state directory of its runs."""

    def __init__(self, place: Path) -> None:
        self.path, self.state = place / "flow.toml", place / "state"

    def write(self, *units: str) -> None:
        self.path.write_text("\n".join(['[workflow]\nname = "flow"', *units]))

    @contextmanager
    def manager(self) -> Iterator[WorkflowManager]:
        with open_services(self.state) as services:
            yield services.manager

    def run(self) -> RunSession:
        with self.manager() as manager:
            session = manager.start(manager.load(str(self.path)))
            assert session.wait(30.0) is not None
            return session

    @property
    def past(self) -> Mapping[str, UnitPast]:
        with self.manager() as manager:
            definition = manager.load(str(self.path))
            return manager.past(definition.source, manager.plan(definition))


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    return Flow(tmp_path)


def unit(name: str, run: str, more: str = "") -> str:
    return f'[units.{name}]\nrun = """{run}"""\n{more}\n'


def test_time_memory_and_attempts_of_each_completion_are_known(flow: Flow) -> None:
    flow.write(
        unit("big", USE),
        unit("shaky", "test -e tried || { touch tried; exit 1; }", "retries = { max = 2, delay = 0 }"),
        '[units.fit]\nrun = "true"\nmatrix = { n = [1, 2] }\n',
    )
    assert flow.past == {}
    view = flow.run().view()
    past = flow.past
    assert {name: each.attempts for name, each in past.items()} == {
        "big": (1,),
        "shaky": (2,),
        "fit[n=1]": (1,),
        "fit[n=2]": (1,),
    }
    for each in view.units:
        assert each.finished is not None
        assert past[each.id].seconds == (each.finished.duration,)
        assert past[each.id].ended == (each.finished.at,)
    assert past["big"].peaks[0] > 64 << 20
    assert past["big"].cpu[0] > 0.01


def test_what_failed_or_was_skipped_does_not_count_and_what_completed_in_a_failed_run_does(flow: Flow) -> None:
    flow.write(
        unit("good", "true"),
        unit("bad", "exit 1"),
        unit("after", "true", 'needs = ["bad"]'),
        unit("instead", "exit 1", "fallback = 1"),
    )
    view = flow.run().view()
    assert view.state is RunState.FAILED
    assert {*flow.past} == {"good"}


def test_a_result_that_came_from_the_cache_took_no_time(flow: Flow) -> None:
    flow.write(unit("a", "echo 1", "cache = true"))
    flow.run()
    flow.run()
    assert len(flow.past["a"].seconds) == 1


def test_what_completed_before_a_run_was_interrupted_counts(flow: Flow) -> None:
    flow.write(unit("first", "true"), unit("second", "sleep 60", 'needs = ["first"]'))
    with flow.manager() as manager:
        session = manager.start(manager.load(str(flow.path)))
        eventually(lambda: session.view().counts[UnitState.COMPLETED] == 1, "the first unit completes")
    assert session.view().state is RunState.INTERRUPTED
    assert {*flow.past} == {"first"}


def test_a_run_that_goes_on_tells_what_had_completed_once(flow: Flow) -> None:
    flow.write(unit("first", "true"), unit("second", "test -e go", 'needs = ["first"]'))
    run = flow.run()
    (flow.path.parent / "go").touch()
    assert {*flow.past} == {"first"}
    with flow.manager() as manager:
        prepared = manager.resume(run.run, manager.load(str(flow.path)))
        assert prepared.begin().wait(30.0) is not None
    assert {name: len(past.seconds) for name, past in flow.past.items()} == {"first": 1, "second": 1}


def test_a_renamed_unit_and_an_edited_one_keep_their_past(flow: Flow) -> None:
    flow.write(unit("build", "true # 1"), unit("check", "true # 2"))
    flow.run()
    before = flow.past
    flow.write(unit("compile", "true # 1"), unit("check", "true # 3", 'env = { A = "1" }'), unit("new", "true # 2"))
    assert flow.past == {"compile": before["build"], "check": before["check"], "new": before["check"]}


def test_a_renamed_unit_with_a_secret_has_its_weight(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cretword")
    secrets = '[secrets]\nnames = ["TOKEN"]'
    flow.write(unit("login", "sleep 0.3 # s3cretword"), unit("other", "true"), secrets)
    flow.run()
    flow.write(unit("enter", "sleep 0.3 # s3cretword"), unit("other", "true"), secrets)
    with flow.manager() as manager:
        plan = manager.plan(manager.load(str(flow.path)))
    assert plan.ranks[plan.numbers["enter"]] > plan.ranks[plan.numbers["other"]]


def test_an_index_that_is_lost_is_made_anew_from_the_journals(flow: Flow) -> None:
    flow.write(unit("build", "true # 1", 'matrix = { n = [1, 2] }\nenv = { N = "{matrix.n}" }'), unit("big", USE))
    flow.run()
    flow.run()
    known = flow.past
    assert {name: len(past.seconds) for name, past in known.items()} == {"build[n=1]": 2, "build[n=2]": 2, "big": 2}
    for path in flow.state.glob("history.db*"):
        path.unlink()
    assert flow.past == {}
    with flow.manager() as manager:
        assert len(manager.runs()) == 2
    assert flow.past == known
    flow.write(unit("make", "true # 1", "matrix = { n = [1, 2] }"), unit("big", USE))
    assert flow.past["make[n=2]"] == known["build[n=2]"], "also what a unit does is known again"


def test_workflows_without_a_file_have_no_past(flow: Flow) -> None:
    flow.write(unit("a", "true"))
    flow.run()
    with flow.manager() as manager:
        plan = manager.plan(manager.load(str(flow.path)))
        assert manager.past("", plan) == manager.past(None, plan) == {}
    with open_services(None) as services:
        assert services.manager.past(str(flow.path), plan) == {}
