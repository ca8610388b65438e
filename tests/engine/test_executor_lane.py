"""The custom lane: who makes an executor, what stops in it, how it ends, and what travels."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import GENEROUS, Start, until
from executor_units import MB, custom, ended, facts, message_of, nothing, runs, spawned

from qtui.core.errors import UsageError
from qtui.core.events import LateResult, UnitStarted, Warned
from qtui.core.model import ExecutionMode, RetryPolicy, RunState, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.output import routed_output

# -- who made it shuts it down -----------------------------------------------------------------------------


def test_an_executor_that_is_given_stays_open(start: Start) -> None:
    with ThreadPoolExecutor(2) as pool:
        engine = start(custom("a", threading.get_ident), executor=pool)
        assert ended(engine)["a"].state is UnitState.COMPLETED
        engine.close()

        assert pool.submit(threading.get_ident).result(GENEROUS) == engine.value_of(0)


def test_an_executor_that_a_function_makes_is_made_once_and_shut_down(start: Start) -> None:
    made: list[ThreadPoolExecutor] = []

    def make() -> ThreadPoolExecutor:
        made.append(ThreadPoolExecutor(2))
        return made[-1]

    engine = start(*(custom(f"u{number}", nothing) for number in range(20)), executor=make)
    ended(engine)
    engine.close()

    (pool,) = made
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(nothing)


def test_a_class_of_executors_is_a_function_that_makes_one(start: Start) -> None:
    ends = ended(start(custom("a", nothing), executor=ThreadPoolExecutor))
    assert ends["a"].state is UnitState.COMPLETED


def test_it_is_made_only_when_a_unit_needs_it(start: Start) -> None:
    def fail() -> None:
        raise ValueError("before")

    made: list[str] = []
    first = custom("first", fail, mode=ExecutionMode.THREAD)
    engine = start(first, custom("never", nothing, ("first",)), executor=lambda: made.append("made"))

    assert ended(engine)["never"].state is UnitState.SKIPPED
    assert not made


def test_a_function_that_fails_to_make_one_is_called_again_for_the_next_try(start: Start) -> None:
    pools: list[Any] = [OSError("the cluster is down"), ThreadPoolExecutor(1)]

    def connect() -> Any:
        pool = pools.pop(0)
        if isinstance(pool, OSError):
            raise pool
        return pool

    again = RetryPolicy(max=1, delay=0.0)
    engine = start(custom("a", nothing, retry=again), executor=connect)

    end = ended(engine)["a"]
    assert (end.state, end.attempt) == (UnitState.COMPLETED, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: the executor cannot be made: division by zero"),
        (lambda: sys.exit("no"), "SystemExit: the executor cannot be made: no"),
        (lambda: 42, "TypeError: the executor cannot be made: int has no method submit"),
    ],
)
def test_units_say_why_their_executor_cannot_be_made(start: Start, make: Any, message: str) -> None:
    engine = start(custom("a", nothing), custom("b", nothing, mode=ExecutionMode.THREAD), executor=make)

    ends = ended(engine)
    assert message_of(ends["a"]) == message
    assert ends["b"].state is UnitState.COMPLETED


def test_a_client_that_a_function_makes_is_closed_and_its_cluster_is_not_shut_down(start: Start) -> None:
    class Client:
        def __init__(self) -> None:
            self.pool = ThreadPoolExecutor(1)
            self.called: list[str] = []

        def submit(self, function: Any, *arguments: Any) -> Future[Any]:
            return self.pool.submit(function, *arguments)

        def close(self) -> None:
            self.called.append("close")
            self.pool.shutdown()

        def shutdown(self) -> None:
            self.called.append("shutdown")

    client = Client()
    engine = start(custom("a", nothing), executor=lambda: client)
    ended(engine)
    engine.close()

    assert client.called == ["close"]


def test_an_executor_that_does_not_shut_down_keeps_nobody(
    start: Start, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qtui.engine.workers.executor.CLOSE_SECONDS", 0.1)

    class Stubborn(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            gate.wait()
            super().shutdown(wait, cancel_futures=cancel_futures)

    engine = start(custom("a", nothing), executor=lambda: Stubborn(1))
    ended(engine)

    engine.close()

    assert "the executor goes on: it has not shut down in time" in [w.message for w in facts(engine, Warned)]


def sleep_long(path: str) -> None:
    Path(path).touch()
    time.sleep(300)


def test_processes_that_a_function_made_are_gone_after_close_even_if_a_unit_sleeps_in_one(
    start: Start, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    pools: list[ProcessPoolExecutor] = []

    def make() -> ProcessPoolExecutor:
        pools.append(spawned(1))
        return pools[-1]

    engine = start(custom("sleeper", sleep_long, args={"path": str(begun)}), executor=make)
    until(begun.exists, "it sleeps")
    (process,) = pools[0]._processes.values()

    engine.close()

    until(lambda: not process.is_alive(), "its process was killed")


def test_custom_units_without_an_executor_are_refused_before_anything_runs(start: Start) -> None:
    with pytest.raises(UsageError, match='mode "custom" needs an executor'):
        start(custom("a", nothing))


# -- stopping ----------------------------------------------------------------------------------------------


def test_a_unit_that_is_queued_is_cancelled_there_and_never_runs(start: Start, gate: threading.Event) -> None:
    ran: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        engine = start(custom("first", gate.wait), custom("second", lambda: ran.append("it ran")), executor=pool)
        until(runs(engine, "first"), "the first runs")

        engine.post(CancelRequested((1,)))
        until(lambda: engine.state_of(1).ended, "the second has ended")
        gate.set()

        ends = ended(engine)
        assert (ends["second"].state, ends["second"].abandoned) == (UnitState.CANCELED, False)
        assert ends["first"].state is UnitState.COMPLETED
    assert not ran
    assert [started.unit for started in facts(engine, UnitStarted)] == [0]


def test_a_unit_that_does_not_listen_is_abandoned_and_its_late_result_is_dropped(
    start: Start, gate: threading.Event
) -> None:
    with ThreadPoolExecutor(2) as pool:
        engine = start(custom("deaf", gate.wait, grace=0.05), custom("other", nothing, ("deaf",)), executor=pool)
        until(runs(engine, "deaf"), "it runs")

        engine.post(CancelRequested((0,)))
        ends = ended(engine)
        gate.set()
        until(lambda: facts(engine, LateResult), "it was seen to end late")

    assert (ends["deaf"].state, ends["deaf"].abandoned) == (UnitState.CANCELED, True)
    assert ends["other"].state is UnitState.SKIPPED
    assert engine.results[0] is None


def sleep_until(path: str) -> str:
    Path(f"{path}.begun").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return "late"


def test_a_unit_in_another_process_cannot_be_stopped_and_nobody_pretends(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "go"
    with spawned(1) as pool:
        engine = start(custom("far", sleep_until, args={"path": str(path)}, timeout=0.2, grace=0.05), executor=pool)

        end = ended(engine)["far"]
        until(tmp_path.joinpath("go.begun").exists, "it really ran")
        path.touch()
        until(lambda: facts(engine, LateResult), "it was seen to end late")

    assert (end.state, end.abandoned) == (UnitState.TIMEOUT, True)
    assert engine.results[0] is None


def test_the_timeout_counts_from_when_the_unit_runs_and_not_while_it_is_queued(
    start: Start, gate: threading.Event
) -> None:
    with ThreadPoolExecutor(1) as pool:
        engine = start(
            custom("first", gate.wait), custom("second", lambda context: context.deadline, timeout=0.5), executor=pool
        )
        until(runs(engine, "first"), "the first runs")
        submitted = engine.now()
        until(lambda: engine.now() > submitted + 0.6, "the second would have timed out")
        gate.set()

        assert ended(engine)["second"].state is UnitState.COMPLETED
        assert engine.value_of(1) > submitted + 0.6 + 0.4


def test_no_more_units_are_submitted_than_may_run(start: Start) -> None:
    lock, inside, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.001)
        with lock:
            inside -= 1

    with ThreadPoolExecutor(16) as pool:
        ended(start(*(custom(f"u{number}", work) for number in range(100)), executor=pool, workers=3))

    assert 1 < most <= 3


# -- executors that end under us -----------------------------------------------------------------------------


def test_units_of_an_executor_that_is_shut_down_are_lost_and_the_run_ends(start: Start, gate: threading.Event) -> None:
    pool = ThreadPoolExecutor(1)
    units = [custom("running", gate.wait), custom("queued", nothing), custom("later", nothing)]
    engine = start(*units, executor=pool, workers=2)
    until(runs(engine, "running"), "the first runs")
    lane = engine._lanes[ExecutionMode.CUSTOM]
    until(lambda: len([job for job in lane._jobs.values() if job.future is not None]) == 2, "two are submitted")

    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()

    ends = ended(engine)
    assert ends["running"].state is UnitState.COMPLETED
    assert message_of(ends["queued"]) == "its executor cancelled it"
    assert message_of(ends["later"]).startswith("its executor does not take it: RuntimeError: cannot schedule new")
    assert engine.view().state is RunState.FAILED


def die(context: Any) -> int:
    if context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(context.attempt)


def test_a_unit_whose_pool_broke_is_lost_and_tried_again_in_a_new_one(start: Start) -> None:
    again = RetryPolicy(max=1, delay=0.0, on=("lost",))
    units = [custom("killer", die, retry=again), custom("later", os.getpid, ("killer",))]
    engine = start(*units, executor=spawned)

    ends = ended(engine)
    assert ends["killer"].attempt == 2
    assert {end.state for end in ends.values()} == {UnitState.COMPLETED}


def test_the_units_of_a_pool_that_was_given_and_broke_are_lost(start: Start) -> None:
    with spawned(1) as pool:
        named = RetryPolicy(max=1, delay=0.0, on=("BrokenExecutor",))
        engine = start(custom("killer", die, retry=named), custom("later", nothing, when="always"), executor=pool)

        ends = ended(engine)

    assert ends["killer"].attempt == 2, "retry.on may name what the executor raised"
    assert message_of(ends["killer"]).startswith("its executor does not take it: BrokenProcessPool")
    assert ends["killer"].error.type == "lost"  # type: ignore[union-attr]


class BreaksOnce(ThreadPoolExecutor):
    def submit(self, *arguments: Any, **keywords: Any) -> Any:
        raise BrokenExecutor("at once")


def test_a_broken_executor_is_replaced_before_a_unit_pays_for_it(start: Start) -> None:
    pools = [BreaksOnce(1), ThreadPoolExecutor(1)]
    broken = pools[0]
    engine = start(custom("a", nothing), executor=lambda: pools.pop(0))

    end = ended(engine)["a"]
    assert (end.state, end.attempt) == (UnitState.COMPLETED, 1)
    until(lambda: broken._shutdown, "the broken one was shut down")


# -- what travels --------------------------------------------------------------------------------------------


def print_much() -> None:
    print("begin")
    for _ in range(3 * MB // 100):
        print("x" * 99)
    print("end")


def test_of_much_output_from_another_process_the_first_and_the_last_part_arrive(start: Start) -> None:
    engine = start(custom("a", print_much), executor=partial(spawned, 1))
    assert ended(engine)["a"].state is UnitState.COMPLETED

    text = engine.logs.read(0, 1, 0, 4 * MB).data
    assert text.startswith(b"begin\n") and text.endswith(b"\nend\n")
    assert b"bytes of output were dropped here]" in text
    assert len(text) < MB + 1000


def add_two(context: Any) -> None:
    for number in (1, 2):
        context.add_unit(double, name=f"added{number}", args={"number": number}, mode="custom")
    context.add_unit(add_up, ["added1", "added2"], mode="custom")


def double(number: int) -> int:
    return 2 * number


def add_up(context: Any) -> int:
    return int(context["added1"] + context["added2"])


def test_units_that_a_unit_in_another_process_adds_run_there_too(start: Start) -> None:
    engine = start(custom("adder", add_two), executor=partial(spawned, 1))

    assert engine.wait(GENEROUS) is not None
    plan = engine.view().plan
    assert [unit.id for unit in plan.table] == ["adder", "added1", "added2", "add_up"]
    assert engine.value_of(plan.numbers["add_up"]) == 6


def tell_secret() -> str:
    print("the secret is hunter22")
    raise ValueError("hunter22")


def test_secrets_are_masked_in_what_comes_from_another_process(start: Start) -> None:
    engine = start(custom("a", tell_secret), executor=partial(spawned, 1), secrets=("hunter22",))

    assert message_of(ended(engine)["a"]) == "ValueError: ***"
    assert engine.logs.read(0, 1, 0, MB).data == b"the secret is ***\n"


def print_and_wait(context: Any) -> None:
    print(f"I am {context.unit.id}")
    context["meet"]()


def test_units_that_run_side_by_side_print_to_their_own_logs(start: Start) -> None:
    meet = threading.Barrier(3, timeout=GENEROUS).wait
    with routed_output(), ThreadPoolExecutor(3) as pool:
        engine = start(
            *(custom(f"u{number}", print_and_wait) for number in range(3)), executor=pool, params={"meet": meet}
        )
        ended(engine)

    assert [engine.logs.read(number, 1, 0, MB).data for number in range(3)] == [
        f"I am u{number}\n".encode() for number in range(3)
    ]


def read_environment(context: Any) -> list[Any]:
    environment = context.environment
    return [environment["OWN"], environment["QTUI_RUN"], environment["QTUI_PARAM_DAY"], os.environ.get("OWN")]


def test_a_unit_in_another_process_has_its_variables_in_its_context(start: Start) -> None:
    unit = custom("a", read_environment, env={"OWN": "yes"})
    engine = start(unit, executor=partial(spawned, 1), params={"day": "monday"})

    ended(engine)
    assert engine.value_of(0) == ["yes", engine.run, "monday", None]
