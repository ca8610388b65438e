"""What a QuantumPartitioner tells of its runs, and which results it uses again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from library_plans import failing, sums
from library_waiting import eventually

from qtui import (
    EventBus,
    EventType,
    QuantumPartitioner,
    WorkflowFailed,
)

# -- callbacks and metrics ---------------------------------------------------------------------------------------


def test_callbacks_are_called_in_order_on_one_thread_that_is_not_the_callers():
    calls: list[tuple[Any, ...]] = []
    threads = set()

    def note(*call: Any) -> None:
        calls.append(call)
        threads.add(threading.get_ident())

    partitioner = failing(QuantumPartitioner(max_workers=1))
    partitioner.on_unit_start = lambda unit: note("start", unit)
    partitioner.on_unit_complete = lambda unit, result: note("complete", unit, result)
    partitioner.on_unit_error = lambda unit, error: note("error", unit, str(error))
    with pytest.raises(WorkflowFailed):
        partitioner.execute()
    assert calls == [
        ("start", "bad"),
        ("error", "bad", "ValueError: it went wrong"),
        ("start", "good"),
        ("complete", "good", "kept"),
    ]
    assert len(threads) == 1 and threads.isdisjoint({threading.get_ident()})


def test_callbacks_may_ask_how_far_the_run_is():
    seen: list[tuple[set[str], dict[str, Any]]] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="first")
    partitioner.add_unit(lambda context: 2, ["first"], "second")
    partitioner.on_unit_complete = lambda unit, result: seen.append(
        (partitioner.completed_units, partitioner.get_partial_results())
    )
    partitioner.execute()
    assert all("first" in completed and results["first"] == 1 for completed, results in seen)
    assert seen[-1] == ({"first", "second"}, {"first": 1, "second": 2})


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_raises_stops_nobody_and_is_logged(error: BaseException, caplog: pytest.LogCaptureFixture):
    completed: list[str] = []

    def start(unit: str) -> None:
        raise error

    partitioner = sums(QuantumPartitioner())
    partitioner.on_unit_start = start
    partitioner.on_unit_complete = lambda unit, result: completed.append(unit)
    assert partitioner.execute({"number": 4})["sum"] == 45
    assert sorted(completed) == ["given", "more", "sum", "times"]
    records = [record for record in caplog.records if "on_unit_start raised" in record.getMessage()]
    assert len(records) == 4 and records[0].exc_info[1] is error


def test_every_start_is_told_once_before_its_end_also_when_tried_again_or_cached():
    calls: list[str] = []
    tries: list[int] = []

    def flaky() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError

    partitioner = QuantumPartitioner()
    partitioner.add_unit(flaky, name="flaky", retries={"max": 5, "delay": 0}, cache=True)
    partitioner.on_unit_start = lambda unit: calls.append(f"start {unit}")
    partitioner.on_unit_complete = lambda unit, result: calls.append(f"complete {unit}")
    partitioner.execute()
    partitioner.execute()
    assert len(tries) == 3 and calls == ["start flaky", "complete flaky"] * 2


def test_metrics_tell_of_the_last_run():
    partitioner = failing(QuantumPartitioner())
    assert partitioner.last_execution_metrics == {}
    before = time.time()
    with pytest.raises(WorkflowFailed):
        partitioner.execute_with_monitoring()
    after = time.time()
    metrics = partitioner.last_execution_metrics
    assert {key: metrics[key] for key in ("total_units", "completed_units", "failed_units")} == {
        "total_units": 3,
        "completed_units": 1,
        "failed_units": 1,
    }
    assert before - 1 <= metrics["start_time"] <= metrics["end_time"] <= after + 1
    assert metrics["total_duration"] == metrics["end_time"] - metrics["start_time"]
    assert set(metrics["unit_times"]) == {"good", "bad"}
    assert metrics["unit_times"]["bad"]["error"] == "ValueError: it went wrong"
    for times in metrics["unit_times"].values():
        assert times["duration"] == times["end"] - times["start"] >= 0
    trace = [(entry["event"], entry["unit"]) for entry in metrics["execution_trace"]]
    assert set(trace) == {
        ("start", "good"),
        ("complete", "good"),
        ("start", "bad"),
        ("error", "bad"),
        ("skip", "below"),
    }
    assert trace.index(("start", "bad")) < trace.index(("error", "bad")) < trace.index(("skip", "below"))
    assert [entry["time"] for entry in metrics["execution_trace"]] == sorted(
        entry["time"] for entry in metrics["execution_trace"]
    )


def test_a_bus_hears_of_every_run():
    bus, told = EventBus(), []
    bus.subscribe(EventType.TASK_COMPLETED, lambda event: told.append((event.data["task_id"], event.data["result"])))
    partitioner = sums(QuantumPartitioner(bus=bus, max_workers=1))
    partitioner.execute({"number": 1})
    assert sorted(told) == [("given", 1), ("more", 2), ("sum", 12), ("times", 10)]


def test_warnings_of_the_engine_are_logged(caplog: pytest.LogCaptureFixture):
    bus = EventBus()

    def broken(event: Any) -> None:
        raise ValueError("a bug of the subscriber")

    bus.subscribe(EventType.TASK_STARTED, broken)
    partitioner = QuantumPartitioner(bus=bus)
    partitioner.add_unit(lambda: "a", name="first")
    partitioner.add_unit(
        lambda: eventually(lambda: "a bug of the subscriber" in caplog.text, "it is logged"), ["first"]
    )
    partitioner.execute()


# -- the cache ---------------------------------------------------------------------------------------------------


def counted(calls: list[Any], result: Any = "result") -> Any:
    def work(context: Any) -> Any:
        calls.append(dict(context))
        return result

    return work


def test_a_cacheable_unit_runs_once_for_each_context():
    calls: list[Any] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(counted(calls), name="a", metadata={"cacheable": True})
    for number in (1, 1, 2, 1):
        assert partitioner.execute({"number": number, "list": [{"not": "hashable"}]}) == {"a": "result"}
    assert [call["number"] for call in calls] == [1, 2]
    assert (partitioner.cache_hits, partitioner.cache_misses) == (2, 2)
    assert partitioner.last_execution_metrics["cache_hits"] == 1
    assert len(partitioner.cache) == 2 and all(key.startswith("a:") for key in partitioner.cache)


def test_cache_keys_say_what_counts():
    calls: list[Any] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(counted(calls), name="a", metadata={"cacheable": True, "cache_keys": ["day"]})
    for day, noise in (("mon", 1), ("mon", 2), ("tue", 3)):
        partitioner.execute({"day": day, "noise": noise})
    assert [call["day"] for call in calls] == ["mon", "tue"]


def test_a_key_that_the_context_has_not_is_a_miss_every_time():
    calls: list[Any] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(counted(calls), name="a", metadata={"cacheable": True, "cache_keys": ["dya"]})
    for _ in range(2):
        partitioner.execute({"day": 1})
    assert len(calls) == 2


def test_results_of_dependencies_count():
    calls: list[Any] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda context: context["x"] // 10, name="tens")
    partitioner.add_unit(counted(calls), ["tens"], "a", metadata={"cacheable": True, "cache_keys": ["tens"]})
    for x in (11, 12, 21):
        partitioner.execute({"x": x})
    assert [call["tens"] for call in calls] == [1, 2]


class Weather:
    def __init__(self, sunny: bool) -> None:
        self.sunny = sunny


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_objects_count_by_what_is_in_them(mode: str):
    partitioner = QuantumPartitioner(default_execution_mode=mode)
    partitioner.add_unit(lambda context: context["weather"].sunny, name="a", metadata={"cacheable": True})
    for sunny in (True, True, False):
        assert partitioner.execute({"weather": Weather(sunny)}) == {"a": sunny}
    assert (partitioner.cache_hits, partitioner.cache_misses) == (1, 2)


def test_an_object_that_was_changed_in_place_is_another_context():
    calls: list[Any] = []
    partitioner, words = QuantumPartitioner(), ["one"]
    partitioner.add_unit(counted(calls), name="a", metadata={"cacheable": True})
    partitioner.execute({"words": words})
    words.append("two")
    partitioner.execute({"words": words})
    assert len(calls) == 2


def test_what_cannot_be_compared_is_not_cached_and_runs_all_the_same():
    calls: list[Any] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(counted(calls), name="a", metadata={"cacheable": True})
    for _ in range(2):
        assert partitioner.execute({"lock": threading.Lock()}) == {"a": "result"}
    assert len(calls) == 2 and partitioner.cache == {}


def test_results_that_cannot_be_pickled_are_kept_as_they_are():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(threading.Lock, name="lock", metadata={"cacheable": True})
    assert partitioner.execute()["lock"] is partitioner.execute()["lock"]


def test_large_results_of_processes_outlive_their_run(nothing_left_behind: Path):
    partitioner = QuantumPartitioner(default_execution_mode="process")
    partitioner.add_unit(lambda: "x" * 3_000_000, name="big", metadata={"cacheable": True})
    partitioner.add_unit(lambda context: len(context["big"]), ["big"], "length")
    for _ in range(2):
        assert partitioner.execute()["length"] == 3_000_000
        assert not list(nothing_left_behind.iterdir())
    assert partitioner.cache_hits == 1


def test_another_function_under_the_same_name_is_not_mistaken_for_the_first():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: "old", name="a", metadata={"cacheable": True})
    partitioner.execute()
    del partitioner.units["a"]
    partitioner.add_unit(lambda: "new", name="a", metadata={"cacheable": True})
    assert partitioner.execute() == partitioner.execute() == {"a": "new"}


def test_failures_and_fallbacks_are_not_kept():
    calls: list[Any] = []

    def fail(context: Any) -> None:
        calls.append(1)
        raise ValueError

    partitioner = QuantumPartitioner()
    partitioner.add_unit(fail, name="a", metadata={"cacheable": True, "fallback_value": 3})
    assert partitioner.execute() == partitioner.execute() == {"a": 3}
    assert len(calls) == 2


def test_a_forgotten_cache_misses():
    calls: list[Any] = []
    partitioner = QuantumPartitioner()
    partitioner.add_unit(counted(calls), name="a", metadata={"cacheable": True})
    partitioner.execute()
    partitioner.cache.clear()
    partitioner.execute()
    assert len(calls) == 2


def test_files_that_a_unit_reads_and_writes_count(tmp_path: Path):
    given, made = tmp_path / "given.txt", tmp_path / "made.txt"
    given.write_text("one")
    partitioner = QuantumPartitioner()
    partitioner.add_unit(
        lambda: made.write_text(given.read_text()), name="copy", cache={"inputs": [str(given)]}, outputs=[str(made)]
    )
    partitioner.execute()
    partitioner.execute()
    assert partitioner.cache_hits == 1
    given.write_text("two words")
    partitioner.execute()
    assert made.read_text() == "two words"
    made.write_text("changed by somebody")
    partitioner.execute()
    assert made.read_text() == "two words" and partitioner.cache_hits == 1


def test_with_a_state_dir_results_are_found_by_another_partitioner(tmp_path: Path):
    def made() -> QuantumPartitioner:
        partitioner = QuantumPartitioner(state_dir=tmp_path, name="kept")
        partitioner.add_unit(lambda context: context["x"] + 1, name="a", metadata={"cacheable": True})
        return partitioner

    first, second = made(), made()
    assert first.execute({"x": 1}) == second.execute({"x": 1}) == {"a": 2}
    assert (first.cache_hits, second.cache_hits) == (0, 1)
    assert first.cache == {} and (tmp_path / "cache.db").exists()
    assert len(list((tmp_path / "runs").iterdir())) == 2
