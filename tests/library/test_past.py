"""What units took in earlier runs is known by unit, for front ends and for the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from library_waiting import eventually

from qtui.cli.earlier import past_in
from qtui.core.model import RunState, UnitState
from qtui.core.session import RunSession
from qtui.core.stimuli import CancelRequested, EditRequested, RetryRequested
from qtui.manager import WorkflowManager
from qtui.replayed import ReplaySession
from qtui.services import open_services
from qtui.store.history import History
from qtui.store.pasts import UnitPast
from qtui.store.rundir import find_run

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
            return manager.past(definition, manager.plan(definition))


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
    past = flow.past
    assert {name: each.data for name, each in past.items()} == {
        "compile": before["build"].data,
        "check": before["check"].data,
        "new": before["check"].data,
    }
    assert {name: each.alike for name, each in past.items()} == {"compile": (True,), "check": (False,), "new": (True,)}


PRINTS = "echo $LEVEL $QTUI_PARAM_DAY s3cretword"


@pytest.mark.parametrize(
    ("params", "env", "alike"),
    [
        ('day = "mon"\nother = 2', 'LEVEL = "1"\nOTHER = "2"', True),  # what the command does not name says nothing
        ('day = "tue"\nother = 1', 'LEVEL = "1"\nOTHER = "1"', False),
        ('day = "mon"\nother = 1', 'LEVEL = "2"\nOTHER = "1"', False),
    ],
)
def test_variables_and_params_that_a_command_names_are_part_of_what_it_does(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, params: str, env: str, alike: bool
) -> None:
    monkeypatch.setenv("TOKEN", "s3cretword")

    def write(params: str, env: str) -> None:
        tables = f'[secrets]\nnames = ["TOKEN"]\n[params]\n{params}\n[env]\n{env}'
        flow.write(unit("a", PRINTS), unit("b", "true"), tables)

    write('day = "mon"\nother = 1', 'LEVEL = "1"\nOTHER = "1"')
    session = flow.run()
    write(params, env)
    assert {name: each.alike for name, each in flow.past.items()} == {"a": (alike,), "b": (True,)}
    # who looks at the run knows the same, also in the record, and so does an index that is made of it
    assert past_in(flow.state)(session)["a"].alike == (True,)
    with closing(ReplaySession(find_run(flow.state, session.run))) as replayed:
        assert past_in(flow.state)(replayed)["a"].alike == (True,)
    for path in flow.state.glob("history.db*"):
        path.unlink()
    with flow.manager() as manager:
        assert manager.runs()
    assert flow.past["a"].alike == (alike,)


def test_how_long_a_unit_ran_that_timed_out_or_was_canceled_is_known(flow: Flow) -> None:
    flow.write(
        unit("slow", "sleep 60", 'timeout = "0.2s"'),
        unit("stopped", "echo begun; sleep 60"),
        unit("bad", "exit 1", "allow_failure = true"),
    )
    with flow.manager() as manager:
        session = manager.start(manager.load(str(flow.path)))
        numbers = session.view().plan.numbers
        eventually(lambda: session.view().states[numbers["slow"]] is UnitState.TIMEOUT, "the timeout comes")
        eventually(lambda: session.view().states[numbers["stopped"]] is UnitState.RUNNING, "the other one runs")
        session.request(CancelRequested((numbers["stopped"],)))
        assert session.wait(30.0) is not None
        ends = {each.id: each.finished for each in session.view().units}
    known = flow.past
    assert {*known} == {"slow", "stopped"}
    for name, past in known.items():
        end = ends[name]
        assert end is not None
        assert (past.cut, past.took.cut, past.seconds) == (end.duration, end.duration, ())
    assert known["slow"].cut >= 0.2


def test_a_unit_that_is_edited_while_it_waits_has_never_done_that(flow: Flow) -> None:
    flow.write(unit("gate", "test -e open || sleep 60"), unit("a", "true", 'needs = ["gate"]'))
    (flow.path.parent / "open").touch()
    flow.run()
    (flow.path.parent / "open").unlink()
    with flow.manager() as manager:
        session = manager.start(manager.load(str(flow.path)))
        number = session.view().plan.numbers["a"]
        assert past_in(flow.state)(session)["a"].alike == (True,)
        session.request(EditRequested((number,), command="true 2"))
        eventually(lambda: "true 2" in str(session.view().plan.table[number].action), "the edit is taken up")
        assert past_in(flow.state)(session)["a"].alike == (False,)


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
        definition = manager.load(str(flow.path))
        assert manager.past(definition, plan)
        assert manager.past(replace(definition, source=None), plan) == {}
    with open_services(None) as services:
        assert services.manager.past(definition, plan) == {}


def test_a_run_counts_from_its_end_on_while_somebody_still_looks_at_it(flow: Flow) -> None:
    flow.write(unit("a", "test -e ready"), unit("b", "true"))
    with flow.manager() as manager:
        session = manager.start(manager.load(str(flow.path)))
        assert session.wait(30.0) is not None

        def told() -> str:
            (run,) = History(flow.state).runs()
            return run.state if run.ended is not None else "goes on"

        eventually(lambda: told() == "failed", "the history knows of the end")
        assert set(flow.past) == {"b"}

        (flow.path.parent / "ready").touch()
        session.request(RetryRequested((session.view().plan.numbers["a"],)))
        eventually(lambda: told() == "completed", "and of the next one")
        assert set(flow.past) == {"a", "b"}
    assert told() == "completed"
