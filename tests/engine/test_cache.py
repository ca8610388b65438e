"""The result cache: real runs, one after another, with one state directory."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cached_units
import pytest
from cache_runs import CACHE, CachedRuns, Ran, call, lines, shell
from engine_waiting import GENEROUS, until

from qtui.core.events import Warned
from qtui.core.model import (
    Argv,
    CachePolicy,
    Call,
    ExecutionMode,
    Fallback,
    FromUnit,
    QuantumUnit,
    RetryPolicy,
    RunState,
    UnitState,
)
from qtui.core.stimuli import CancelRequested, RetryRequested
from qtui.engine.cache import NO_CACHE
from qtui.engine.cachestore import CacheStore
from qtui.engine.engine import Engine
from qtui.engine.filedigest import FileDigests
from qtui.manager import WorkflowManager

Run = Callable[..., Ran]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CachedRuns]:
    """Runs in the test's directory, with a cache in `state` of it."""
    monkeypatch.chdir(tmp_path)
    runs = CachedRuns(tmp_path / "state")
    yield runs
    runs.close()


@pytest.fixture
def begin(runs: CachedRuns) -> Callable[..., Engine]:
    """Begin a run of some units; closed at the end of the test."""
    return runs.begin


@pytest.fixture
def run(runs: CachedRuns) -> Run:
    """Run units to their end, and close the run."""
    return runs.run


# -- hits --------------------------------------------------------------------------------------------------


def test_a_command_whose_inputs_are_the_same_is_not_run_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    unit = shell("echo ran >> ran; echo hello", cache=CachePolicy(inputs=("a.csv",)))

    first, second = run(unit), run(unit)

    assert first.missed == {"unit": "never completed before"}
    assert second.missed == {}
    assert second.hits["unit"].startswith("same inputs as on 20")
    assert lines(tmp_path / "ran") == 1
    assert second.values == first.values == {"unit": {"exit_code": 0, "stdout": "hello\n"}}


def test_a_function_is_not_called_again_in_any_lane(run: Run, tmp_path: Path) -> None:
    def counted(context):
        sys.modules["test_cache"].CALLS.append("thread")
        return {"rows": [1, 2]}

    async def counted_too(context):
        sys.modules["test_cache"].CALLS.append("async")
        return ("tuple", b"bytes")

    CALLS.clear()
    units = [
        call(counted, "thread"),
        call(counted_too, "async"),
        call(cached_units.make_large, "large", mode=ExecutionMode.PROCESS),
        call(cached_units.measure, "measure", dependencies=("large",), cache=None, mode=ExecutionMode.PROCESS),
    ]

    first, second = run(*units), run(*units)

    assert sorted(CALLS) == ["async", "thread"]
    assert second.hits.keys() == {"thread", "async", "large"}
    assert second.values == first.values
    assert second.values["measure"] == 3 << 20, "a worker reads the large value of the first run"


CALLS: list[str] = []


def test_what_needs_a_cached_unit_hits_too_while_the_results_it_receives_are_the_same(run: Run) -> None:
    def source(context):
        return context["params"]["rows"] > 0

    def total(context):
        return {"source": context["source"]}

    units = [
        call(source, "source"),
        call(total, "total", dependencies=("source",), cache=CachePolicy(keys=("source",))),
    ]

    run(*units, params={"rows": 1})
    same = run(*units, params={"rows": 1})
    equal = run(*units, params={"rows": 2})
    other = run(*units, params={"rows": 0})

    assert same.hits.keys() == {"source", "total"}
    assert (equal.missed, list(equal.hits)) == ({"source": "param rows changed"}, ["total"])
    assert other.missed == {"source": "param rows changed", "total": "the result of source changed"}
    assert other.values["total"] == {"source": False}


def test_an_argument_that_is_a_result_counts_whatever_the_keys(run: Run) -> None:
    def total(given):
        return given

    def units(text: str) -> list[QuantumUnit]:
        made = shell(f"echo {text}", "made", cache=None)
        action = Call(total, wants_context=False)
        args = {"given": FromUnit("made")}
        policy = CachePolicy(keys=())
        return [made, QuantumUnit(id="total", action=action, args=args, dependencies=("made",), cache=policy)]

    run(*units("1"))

    assert run(*units("1")).hits.keys() == {"total"}
    assert run(*units("2")).missed == {"total": "the result of made changed"}


def test_an_older_result_of_the_same_inputs_is_found_again(run: Run, tmp_path: Path) -> None:
    unit = shell("echo ran >> ran; cat a.csv", cache=CachePolicy(inputs=("a.csv",)))
    for text in ("one", "two", "one"):
        (tmp_path / "a.csv").write_text(text)
        ran = run(unit)

    assert ran.hits.keys() == {"unit"}
    assert ran.values["unit"]["stdout"] == "one"
    assert lines(tmp_path / "ran") == 2


# -- misses ------------------------------------------------------------------------------------------------


def test_a_miss_says_what_has_changed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1")
    policy = CachePolicy(inputs=("data/*.csv",), env=("DAY",))

    def reason(text: str = "true", **params: object) -> str:
        ran = run(shell(text, cache=policy), params={"day": "mon", **params})
        assert not ran.unchanged
        return ran.missed.get("unit", "a hit")

    assert reason() == "never completed before"
    assert reason() == "a hit"
    (tmp_path / "data" / "a.csv").write_text("2")
    assert reason() == "input data/a.csv changed"
    (tmp_path / "data" / "b.csv").write_text("2")
    assert reason() == "input data/b.csv is new"
    (tmp_path / "data" / "b.csv").unlink()
    (tmp_path / "data" / "c.csv").write_text("1")
    assert reason() == "input data/c.csv is new, input data/b.csv is gone"
    assert reason("exit 0") == "the command changed"
    assert reason("exit 0", day="tue") == "param day changed"
    monkeypatch.setenv("DAY", "tue")
    assert reason("exit 0", day="tue") == "env DAY changed"
    (tmp_path / "data" / "c.csv").write_text("3")
    assert reason("true", day="wed") == "the command changed, param day changed and 1 more"
    assert reason("true", day="wed") == "a hit"


def test_a_missing_input_is_a_miss_and_its_result_is_not_kept(run: Run, tmp_path: Path) -> None:
    unit = shell("echo ran >> ran", cache=CachePolicy(inputs=("a.csv", "*.tsv")))

    missing = run(unit)
    assert (missing.missed, missing.unchanged) == ({"unit": "input a.csv is missing"}, set())
    (tmp_path / "a.csv").write_text("1")
    assert run(unit).missed == {"unit": "input *.tsv matches no file"}
    (tmp_path / "a.tsv").write_text("1")
    assert run(unit).missed == {"unit": "never completed before"}
    assert lines(tmp_path / "ran") == 3


def test_a_result_of_inputs_that_changed_while_it_ran_is_not_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("before")
    unit = shell("echo after > a.csv", cache=CachePolicy(inputs=("a.csv",)))

    first = run(unit)
    (tmp_path / "a.csv").write_text("before")

    message = "the result of unit is not kept for the next run: input a.csv changed while it ran"
    assert first.warnings == [message]
    assert run(unit).missed == {"unit": "never completed before"}


def test_a_result_is_not_used_beyond_its_ttl(run: Run, tmp_path: Path) -> None:
    unit = shell("true", cache=CachePolicy(ttl=7 * 86400))
    run(unit)
    assert run(unit).hits.keys() == {"unit"}
    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        database.execute("UPDATE results SET made = made - 7 * 86400 - 1")
    database.close()

    missed = run(unit)
    assert (missed.missed, missed.unchanged) == ({"unit": "older than its ttl of 7d"}, set())
    assert run(unit).hits.keys() == {"unit"}, "the new result has taken its place"


def test_a_forced_unit_runs_and_its_new_result_is_kept(run: Run, tmp_path: Path) -> None:
    text = "echo ran >> ran; wc -l < ran"
    run(shell(text))

    forced = run(shell(text, cache=CachePolicy(force=True)))
    assert (forced.missed, forced.unchanged) == ({"unit": "forced"}, set())
    assert run(shell(text)).values["unit"]["stdout"].strip() == "2"


def test_outputs_must_be_there_as_the_unit_left_them(run: Run, tmp_path: Path) -> None:
    unit = shell("mkdir -p out && echo made > out/x", outputs=("out/x",))
    run(unit)
    assert run(unit).hits.keys() == {"unit"}

    (tmp_path / "out" / "x").unlink()
    missed = run(unit)
    assert (missed.missed, missed.unchanged) == ({"unit": "output out/x is missing"}, {"unit"})
    (tmp_path / "out" / "x").write_text("of another run")
    assert run(unit).missed == {"unit": "output out/x is not as it was left"}
    assert run(unit).hits.keys() == {"unit"}


def test_units_and_workflows_do_not_share_results(run: Run) -> None:
    run(shell("true", "a"), workflow="/one.toml")

    assert run(shell("true", "b"), workflow="/one.toml").missed == {"b": "never completed before"}
    assert run(shell("true", "a"), workflow="/two.toml").missed == {"a": "never completed before"}
    assert run(shell("true", "a"), workflow="/one.toml").hits.keys() == {"a"}


def test_without_a_state_directory_there_is_no_cache(run: Run) -> None:
    assert run(shell("true"), with_cache=False).missed == {"unit": NO_CACHE}


def test_the_manager_keeps_results_in_its_state_directory(tmp_path: Path) -> None:
    from qtui.core.definition import WorkflowDefinition
    from qtui.engine.bus import EventBus

    definition = WorkflowDefinition(name="w", units=(shell("echo kept"),))
    manager = WorkflowManager(bus=EventBus(), state_dir=tmp_path / "state")
    for cached in (False, True):
        session = manager.start(definition)
        assert session.wait(GENEROUS).state is RunState.COMPLETED
        assert session.view().unit(0).finished.cached is cached
        session.close()

    assert (tmp_path / "state" / "cache.db").stat().st_mode & 0o777 == 0o600


# -- what is not kept --------------------------------------------------------------------------------------


def test_failures_and_fallbacks_are_not_kept(run: Run, tmp_path: Path) -> None:
    failing = [
        shell("echo ran >> ran; exit 3", "failed"),
        shell("echo ran >> ran; exit 3", "fell", fallback=Fallback("instead")),
    ]
    run(*failing)
    again = run(*failing)

    assert again.missed == {"failed": "never completed before", "fell": "never completed before"}
    assert lines(tmp_path / "ran") == 4


def test_a_canceled_unit_is_not_kept(begin: Callable[..., Engine]) -> None:
    def stubborn(context):
        sys.modules["test_cache"].STARTED.set()
        context.cancel_event().wait(GENEROUS)
        return "though asked to stop"

    STARTED.clear()
    engine = begin(call(stubborn))
    until(STARTED.is_set, "it runs")
    engine.post(CancelRequested((0,)))
    assert engine.wait(GENEROUS).state is RunState.CANCELED
    engine.close()

    again = begin(call(stubborn))
    until(lambda: again.view().states[0] is UnitState.RUNNING, "it runs again")
    again.post(CancelRequested((0,)))


STARTED = threading.Event()


def test_an_attempt_after_a_failed_one_is_kept(run: Run, tmp_path: Path) -> None:
    unit = shell("test -e failed || { touch failed; exit 1; }", retry=RetryPolicy(max=1, delay=0))

    assert run(unit).states == {"unit": UnitState.COMPLETED}
    assert run(unit).hits.keys() == {"unit"}


def test_a_value_that_cannot_be_pickled_is_not_kept_with_one_warning(run: Run) -> None:
    def make(context):
        return (number for number in range(3))

    first = run(call(make))

    assert first.states == {"unit": UnitState.COMPLETED}
    (warning,) = first.warnings
    assert warning.startswith("the result of unit is not kept for the next run, it cannot be pickled: TypeError")
    assert run(call(make)).missed == {"unit": "never completed before"}


def test_a_value_is_kept_as_it_was_before_dependents_could_change_it(run: Run) -> None:
    def make(context):
        return [1]

    def change(context):
        context["make"].append(2)
        return list(context["make"])

    units = [call(make, "make"), call(change, "change", dependencies=("make",), cache=None)]
    run(*units)

    assert run(*units).values["change"] == [1, 2]


def test_a_function_that_closes_over_an_object_always_runs_and_says_why(run: Run) -> None:
    model = threading.Lock()

    def predict(context):
        return str(model)

    run(call(predict))

    why = 'the function cannot be compared with what it was: the closure variable "model" holds a lock'
    missed = run(call(predict))
    assert (missed.missed, missed.unchanged) == ({"unit": why}, {"unit"})


def test_a_milestone_is_not_cached(run: Run) -> None:
    unit = QuantumUnit(id="unit", cache=CACHE)
    assert run(unit).missed == {"unit": "a milestone does nothing that could be kept"}


def test_a_unit_reset_by_a_person_is_checked_and_kept_once_more(begin: Callable[..., Engine], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    engine = begin(shell("cat a.csv", cache=CachePolicy(inputs=("a.csv",))))
    assert engine.wait(GENEROUS) is not None
    (tmp_path / "a.csv").write_text("2")
    engine.post(RetryRequested((0,)))
    until(lambda: (end := engine.view().unit(0).finished) and end.generation == 2, "it ran again")

    assert engine.value_of(0)["stdout"] == "2"
    engine.close()
    again = begin(shell("cat a.csv", cache=CachePolicy(inputs=("a.csv",))))
    assert again.wait(GENEROUS) is not None
    assert again.view().unit(0).finished.cached


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Looking at the input ``gate`` waits for this event."""
    gate, find = threading.Event(), FileDigests.find

    def find_in_time(digests: FileDigests, pattern: str, directory: str) -> dict[str, str]:
        assert pattern != "gate" or gate.wait(GENEROUS)
        return find(digests, pattern, directory)

    monkeypatch.setattr(FileDigests, "find", find_in_time)
    yield gate
    gate.set()


def test_a_check_sees_what_waits_to_be_written(
    begin: Callable[..., Engine], tmp_path: Path, gate: threading.Event
) -> None:
    (tmp_path / "gate").touch()
    engine = begin(
        shell("true", "up", cache=None),
        shell("true", dependencies=("up",)),
        shell("true", "slow", cache=CachePolicy(inputs=("gate",)), dependencies=("unit",)),
    )
    until(lambda: engine.view().states[1] is UnitState.COMPLETED, "the unit has completed, and slow is looked at")

    engine.post(RetryRequested((0,), "dependents"))
    until(lambda: engine.view().generations[1] == 2, "it is to run again, because up is")
    gate.set()

    assert engine.wait(GENEROUS).state is RunState.COMPLETED
    assert engine.view().unit(1).finished.cached


def test_closing_waits_for_results_and_not_for_checks(
    begin: Callable[..., Engine], run: Run, tmp_path: Path, gate: threading.Event
) -> None:
    for name in ("gate", "a.csv"):
        (tmp_path / name).touch()
    unit = shell("true", cache=CachePolicy(inputs=("a.csv",)))
    engine = begin(unit, shell("true", "slow", cache=CachePolicy(inputs=("gate",))))
    until(lambda: engine.view().states[0] is UnitState.COMPLETED, "the unit has completed, and slow is looked at")

    closing = threading.Thread(target=engine.close)
    closing.start()
    until(lambda: engine._cache._closing, "the cache is being closed")
    gate.set()
    closing.join(GENEROUS)

    assert Ran(engine, [None, None]).missed.keys() == {"unit"}, "slow never got an answer"
    assert run(unit).hits.keys() == {"unit"}


# -- trouble -----------------------------------------------------------------------------------------------


def test_a_damaged_database_costs_one_warning_and_no_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cache.db").write_bytes(b"this is no database" * 100)

    ran = run(shell("true", "a"), shell("true", "b"), shell("true", "c", dependencies=("a",)))

    assert set(ran.states.values()) == {UnitState.COMPLETED}
    assert set(ran.missed.values()) == {"the cache cannot be used: file is not a database"}
    (warning,) = ran.warnings
    assert f"{tmp_path}/state/cache.db; remove it if it is damaged" in warning


def test_a_database_of_a_newer_version_is_left_alone(run: Run, tmp_path: Path) -> None:
    run(shell("true"))
    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()

    assert run(shell("true")).missed == {"unit": "the cache cannot be used: it was made by a newer version of qtui"}


def test_results_of_an_older_version_are_dropped_as_less_counted_for_them(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        database.execute("CREATE TABLE results (number INTEGER PRIMARY KEY, length INTEGER NOT NULL)")
        database.execute("PRAGMA user_version = 1")
    database.close()

    first, second = run(shell("true")), run(shell("true"))

    assert first.missed == {"unit": "never completed before"}
    assert first.warnings == []
    assert second.hits.keys() == {"unit"}


def test_a_result_that_no_longer_loads_is_a_miss(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = call(cached_units.make_kept)
    run(unit)
    assert isinstance(run(unit).values["unit"], cached_units.Kept)

    monkeypatch.delattr(cached_units, "Kept")
    again = run(unit)

    assert again.missed["unit"].startswith("the result of unit cannot be loaded: AttributeError")
    assert again.states == {"unit": UnitState.FAILED}, "it runs, and misses the class itself"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (Path.unlink, "the earlier result is gone: No such file or directory"),
        (lambda file: os.truncate(file, 100), "the earlier result is damaged"),
        (lambda file: file.write_bytes(b"y" * (3 << 20)), "the earlier result is damaged"),
    ],
)
def test_a_large_value_whose_file_is_gone_cut_or_overwritten_is_a_miss(
    run: Run, tmp_path: Path, damage, reason: str
) -> None:
    unit = call(cached_units.make_large)
    run(unit)
    (file,) = (tmp_path / "state" / "cache").iterdir()
    damage(file)

    again = run(unit)

    assert again.missed == {"unit": reason}
    assert again.values["unit"] == b"x" * (3 << 20)
    told = ["the earlier result of unit is damaged: its content has changed on the disk"]
    assert again.warnings == (told if reason.endswith("damaged") else [])
    assert run(unit).hits.keys() == {"unit"}


def test_a_small_value_that_was_overwritten_in_the_database_is_a_miss(run: Run, tmp_path: Path) -> None:
    run(shell("echo right"))
    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        (data,) = database.execute("SELECT data FROM results").fetchone()
        database.execute("UPDATE results SET data = ?", (data.replace(b"right", b"wrong"),))
    database.close()

    again = run(shell("echo right"))

    assert again.missed == {"unit": "the earlier result is damaged"}
    assert again.values["unit"] == {"exit_code": 0, "stdout": "right\n"}


def test_a_command_that_is_given_another_result_of_its_need_runs_again(run: Run, tmp_path: Path) -> None:
    def units(value: int) -> list[QuantumUnit]:
        made = shell(f'echo {value} > "$QTUI_RESULT"', "made", cache=None)
        return [made, shell('cat "$QTUI_NEEDS" >> got', "reads", dependencies=("made",))]

    run(*units(1))
    same = run(*units(1))
    other = run(*units(2))

    assert same.hits.keys() == {"reads"}
    assert other.missed == {"reads": "the result of made changed"}
    assert (tmp_path / "got").read_text() == '{"made": 1}\n{"made": 2}\n'


def test_many_units_are_kept_in_few_transactions(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    add = CacheStore.add
    monkeypatch.setattr(CacheStore, "add", lambda store, results: (written.append(len(results)), add(store, results)))
    units = [call(answer, f"unit{number}") for number in range(600)]

    run(*units)

    assert sum(written) == 600
    assert len(run(*units).hits) == 600


def answer(context) -> int:
    return 42


def test_two_runs_at_a_time_share_what_they_know(begin: Callable[..., Engine], run: Run) -> None:
    units = [call(answer, f"unit{number}") for number in range(50)]
    engines = [begin(*units), begin(*units)]
    for engine in engines:
        assert engine.wait(GENEROUS).state is RunState.COMPLETED
        engine.close()
        assert not [1 for record in engine.feed().take(0) if isinstance(record.event, Warned)]

    assert len(run(*units).hits) == 50


def test_what_is_stored_tells_no_values_of_params_or_variables(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "very-secret")
    unit = QuantumUnit(id="unit", action=Argv(("true",)), cache=CachePolicy(env=("TOKEN",)))
    run(unit, params={"password": "hidden-too"})

    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        (parts,) = database.execute("SELECT parts FROM results").fetchone()
    database.close()
    assert {"env TOKEN", "param password"} < json.loads(parts).keys()
    assert "secret" not in parts
    assert "hidden" not in parts
