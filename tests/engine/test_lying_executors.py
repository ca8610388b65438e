"""Executors promise what they do not keep: each unit still has one end, and the run its own."""

from __future__ import annotations

import os
import pickle
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from engine_waiting import GENEROUS, Start, until
from executor_units import MB, custom, ended, facts, message_of, nothing, runs

from qtui.core.events import LateResult
from qtui.core.model import ExecutionMode, RetryPolicy, UnitState
from qtui.core.stimuli import CancelRequested


class Threads(Executor):
    """An honest executor of one thread for each job, for liars to be made of."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.futures: list[Any] = []

    def new_future(self) -> Any:
        return Future()

    def submit(self, function: Any, /, *arguments: Any, **keywords: Any) -> Any:
        future = self.new_future()
        self.futures.append(future)
        self.start(partial(self.work, future, partial(function, *arguments, **keywords)))
        return future

    def start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.threads.append(thread)

    def work(self, future: Any, job: Callable[[], Any]) -> None:
        if future.set_running_or_notify_cancel():
            future.set_result(job())


class SaysCanceled(Future):  # type: ignore[type-arg]
    """Says that it is cancelled, whatever runs."""

    def cancel(self) -> bool:
        self._state = "CANCELLED"
        self._invoke_callbacks()
        return True

    def set_result(self, result: Any) -> None:
        if self._state != "CANCELLED":
            super().set_result(result)


class CancelsInWords(Threads):
    def new_future(self) -> Any:
        return SaysCanceled()


def test_a_future_that_says_it_is_cancelled_while_the_unit_goes_on_is_not_believed(
    start: Start, gate: threading.Event
) -> None:
    engine = start(custom("deaf", gate.wait, grace=0.2), executor=CancelsInWords())
    until(runs(engine, "deaf"), "it runs")

    engine.post(CancelRequested((0,)))

    end = ended(engine)["deaf"]
    assert (end.state, end.abandoned) == (UnitState.CANCELED, True)
    gate.set()
    until(lambda: facts(engine, LateResult), "it was seen to end late")


def test_a_unit_that_listens_ends_in_its_own_time_even_if_its_future_is_cancelled_before(
    start: Start, gate: threading.Event
) -> None:
    def listen(context: Any) -> None:
        context.cancel_event().wait()
        gate.wait()
        context.log("last words")

    executor = CancelsInWords()
    engine = start(custom("polite", listen, grace=GENEROUS), executor=executor)
    until(runs(engine, "polite"), "it runs")
    engine.post(CancelRequested((0,)))
    until(lambda: executor.futures[0].cancelled(), "its future was cancelled")
    assert engine.state_of(0) is UnitState.CANCELING
    gate.set()

    end = ended(engine)["polite"]
    assert (end.state, end.abandoned) == (UnitState.CANCELED, False)
    assert engine.logs.read(0, 1, 0, MB).data == b"last words\n"


class NeverStarts(Threads):
    """Takes jobs, and lets them lie."""

    def start(self, work: Callable[[], None]) -> None:
        self.work_left = work

    def new_future(self) -> Any:
        future: Future[Any] = Future()
        future.cancel = lambda: False  # type: ignore[method-assign]
        return future


def test_a_job_that_is_never_run_is_no_abandoned_unit_and_does_not_run_after_all(start: Start) -> None:
    ran: list[str] = []
    executor = NeverStarts()
    engine = start(custom("a", lambda: ran.append("it ran"), grace=0.05), executor=executor)
    until(lambda: executor.futures, "it was submitted")

    engine.post(CancelRequested((0,)))
    end = ended(engine)["a"]
    executor.work_left()

    assert (end.state, end.abandoned) == (UnitState.CANCELED, False)
    assert not ran


class NeverTells(Threads):
    """Runs jobs, and says nothing of their ends."""

    def work(self, future: Any, job: Callable[[], Any]) -> None:
        job()


def test_a_unit_here_completes_even_if_its_future_never_does(start: Start) -> None:
    engine = start(custom("a", lambda: 42), custom("b", lambda context: context["a"], ("a",)), executor=NeverTells())

    ended(engine)
    assert engine.value_of(1) == 42


class TellsTwice(Threads):
    """Calls everybody who waits for the end twice, before and after another result."""

    def work(self, future: Any, job: Callable[[], Any]) -> None:
        super().work(future, job)
        future._result = "another result"
        future._invoke_callbacks()
        future._invoke_callbacks()


def in_a_child(job: Callable[[], Any]) -> Any:
    """What the job gives in a child that is forked for it."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with os.fdopen(write, "wb") as pipe:
            pipe.write(pickle.dumps(job()))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(data)


def pickled(job: Callable[[], Any]) -> Any:
    """What the job gives when it has been pickled on its way."""
    return pickle.loads(pickle.dumps(job))()


class ForksAndTellsTwice(TellsTwice):
    def work(self, future: Any, job: Callable[[], Any]) -> None:
        super().work(future, partial(in_a_child, partial(pickled, job)))


@pytest.mark.parametrize("executor", [TellsTwice, ForksAndTellsTwice])
def test_only_the_first_end_counts(start: Start, executor: type[Threads]) -> None:
    engine = start(custom("a", lambda: 42), custom("b", lambda context: context["a"] + 1, ("a",)), executor=executor())

    ended(engine)
    assert [engine.value_of(0), engine.value_of(1)] == [42, 43]


class ForksWithoutPickling(Threads):
    """Runs each job in a child of its own, which has all of qtui's memory and none of its threads."""

    def work(self, future: Any, job: Callable[[], Any]) -> None:
        super().work(future, partial(in_a_child, job))


def test_a_child_that_is_forked_for_a_job_is_another_process(start: Start) -> None:
    engine = start(
        custom("a", os.getpid), custom("b", lambda context: context["a"], ("a",)), executor=ForksWithoutPickling()
    )

    ended(engine)
    assert engine.value_of(1) == engine.value_of(0) != os.getpid()


class PicklesForItself(Threads):
    """Pickles what it runs, although it does so here."""

    def work(self, future: Any, job: Callable[[], Any]) -> None:
        super().work(future, partial(pickled, job))


def test_a_job_that_was_pickled_and_has_come_home_finds_its_context(start: Start, gate: threading.Event) -> None:
    def listen(context: Any) -> None:
        context.progress(1, 2)
        context.cancel_event().wait()
        context.check()

    engine = start(custom("a", listen, grace=GENEROUS), executor=PicklesForItself())
    until(runs(engine, "a"), "it runs")
    engine.post(CancelRequested((0,)))

    end = ended(engine)["a"]
    assert (end.state, end.abandoned) == (UnitState.CANCELED, False)


class BrokenWords:
    """An executor that fails in one place, and is honest otherwise."""

    def __init__(self, **broken: Callable[..., Any]) -> None:
        self._threads, self._broken = Threads(), broken

    def submit(self, *arguments: Any) -> Any:
        future = self._broken.get("submit", self._threads.submit)(*arguments)
        for name in ("result", "exception", "running"):
            if name in self._broken:
                setattr(future, name, self._broken[name])
        return future


def raise_odd(*_arguments: Any, **_keywords: Any) -> Any:
    raise Odd("odd")


class Odd(BaseException):
    def __str__(self) -> str:
        return "odd"


class NotAFuture:
    pass


def foreign(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


@pytest.mark.parametrize(
    ("submit", "message"),
    [
        (raise_odd, "its executor does not take it: Odd: odd"),
        (
            lambda *_: NotAFuture(),
            "its executor does not take it: AttributeError: 'NotAFuture' object has no attribute",
        ),
        (lambda *_: None, "its executor does not take it: AttributeError: 'NoneType' object has no attribute"),
        (lambda *_: foreign(42), "its executor gave a value of type int, which is not from the unit"),
        (lambda *_: foreign(("x",) * 9), "its executor gave a value of type tuple, which is not from the unit"),
    ],
)
def test_a_unit_that_its_executor_does_not_run_is_lost_and_the_run_goes_on(
    start: Start, submit: Any, message: str
) -> None:
    plain = custom("plain", nothing, mode=ExecutionMode.THREAD)
    engine = start(custom("a", nothing), plain, executor=BrokenWords(submit=submit))

    ends = ended(engine)
    assert ends["a"].error is not None and ends["a"].error.type == "lost"
    assert message_of(ends["a"]).startswith(message)
    assert ends["plain"].state is UnitState.COMPLETED


def test_a_unit_whose_end_its_future_would_not_tell_is_lost(start: Start) -> None:
    class Mute(NeverStarts):
        def new_future(self) -> Any:
            future = super().new_future()
            future.add_done_callback = raise_odd
            return future

    executor = Mute()
    ran: list[str] = []
    engine = start(custom("a", lambda: ran.append("it ran")), executor=executor)

    assert message_of(ended(engine)["a"]) == "its executor does not take it: Odd: odd"
    executor.work_left()
    assert not ran


@pytest.mark.parametrize("name", ["result", "exception", "running"])
def test_a_unit_here_completes_whatever_its_future_raises(start: Start, name: str) -> None:
    engine = start(*(custom(f"u{number}", nothing) for number in range(5)), executor=BrokenWords(**{name: raise_odd}))

    assert {end.state for end in ended(engine).values()} == {UnitState.COMPLETED}


class BlocksInSubmit(Threads):
    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate
        self.entered = threading.Event()

    def submit(self, *arguments: Any, **keywords: Any) -> Any:
        self.entered.set()
        self._gate.wait()
        return super().submit(*arguments, **keywords)


def test_a_submit_that_blocks_keeps_nothing_else_from_running_or_stopping(start: Start, gate: threading.Event) -> None:
    ran: list[str] = []
    executor = BlocksInSubmit(gate)
    stuck = [custom(f"stuck{number}", lambda: ran.append("it ran"), grace=0.05) for number in range(2)]
    engine = start(*stuck, custom("plain", nothing, mode=ExecutionMode.THREAD), executor=executor)
    until(lambda: engine.state_of(2) is UnitState.COMPLETED and executor.entered.is_set(), "the plain one runs")

    engine.post(CancelRequested((0, 1)))
    ends = ended(engine)
    gate.set()
    until(lambda: executor.threads, "it was submitted at last")
    executor.threads[0].join()

    assert {(ends[unit.id].state, ends[unit.id].abandoned) for unit in stuck} == {(UnitState.CANCELED, False)}
    assert not ran


def test_a_factory_that_hangs_keeps_nobody_from_leaving(start: Start, gate: threading.Event) -> None:
    made: list[ThreadPoolExecutor] = []
    entered = threading.Event()

    def make() -> ThreadPoolExecutor:
        entered.set()
        gate.wait()
        made.append(ThreadPoolExecutor(1))
        return made[-1]

    engine = start(custom("a", nothing), executor=make)
    until(entered.is_set, "it is being made")
    engine.post(CancelRequested((0,)))
    assert ended(engine)["a"].state is UnitState.CANCELED
    engine.close()
    gate.set()

    until(lambda: made and made[0]._shutdown, "what was made too late was shut down")


WHIMS = ("honest", "honest", "honest", "refuse", "forget", "foreign", "fail", "twice", "liar")


class Whims(Threads):
    """Treats each job in its own way: it refuses, forgets, fails, repeats itself, or does as it should."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self.forgotten: list[int] = []
        """Units that have no end unless somebody stops them."""

    def submit(self, function: Any, /, *arguments: Any, **keywords: Any) -> Any:
        self._whim = self._random.choice(WHIMS)
        if self._whim == "refuse":
            raise RuntimeError("not today")
        if self._whim == "forget":
            self.forgotten.append(arguments[0].key[0])
        return super().submit(function, *arguments, **keywords)

    def new_future(self) -> Any:
        future: Any = SaysCanceled() if self._whim == "liar" else Future()
        future.whim = self._whim
        return future

    def work(self, future: Any, job: Callable[[], Any]) -> None:
        match future.whim:
            case "forget":
                return
            case "foreign":
                future.set_result(object())
            case "fail":
                future.set_exception(Odd("odd"))
            case "twice":
                job()
        if not future.done():
            super().work(future, job)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_an_executor_does_every_unit_has_one_end(start: Start, seed: int) -> None:
    def work(context: Any) -> int:
        context.sleep(0.002)
        return int(context.attempt)

    executor, chance = Whims(seed), random.Random(seed)
    again = RetryPolicy(max=1, delay=0.0)
    units = [custom(f"u{number}", work, timeout=GENEROUS, retry=again) for number in range(200)]
    engine = start(*units, executor=executor, workers=4, grace=0.005)
    deadline = time.monotonic() + GENEROUS
    while engine.wait(0.002) is None and time.monotonic() < deadline:
        engine.post(CancelRequested((*executor.forgotten, chance.randrange(200))))

    ends = ended(engine)
    assert {end.state for end in ends.values()} == {UnitState.COMPLETED, UnitState.FAILED, UnitState.CANCELED}
    completed = [number for number, unit in enumerate(units) if ends[unit.id].state is UnitState.COMPLETED]
    assert [engine.value_of(number) for number in completed] == [ends[f"u{number}"].attempt for number in completed]
