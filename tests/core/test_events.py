"""Events as plain data, and the small values beside the scheduler: retry policies, calls, the ready queue."""

from __future__ import annotations

import functools
import json
from random import Random
from typing import Any, get_args

import pytest
from core_driver import COMMAND, plan_of, unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtui.core.events import (
    CLASSES,
    NAMES,
    BrakeChanged,
    CacheMissed,
    ConfirmRequested,
    Event,
    GovernorChanged,
    JournalChanged,
    LateResult,
    PlanReplaced,
    RunFinished,
    RunPaused,
    RunReopened,
    RunResumed,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitAbandoned,
    UnitApproved,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    UnitSilent,
    UnitStale,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
    from_plain,
    to_plain,
)
from qtui.core.model import Call, ExecutionMode, QuantumUnit, RetryPolicy, RunState, UnitError, UnitState
from qtui.core.ready import FREE, Key, ReadyQueue, Terms

PLAN = plan_of(unit("a", family="fam"), unit("b", "a", action=COMMAND))
ERROR = UnitError("ValueError", "wrong \x1b[31m", "  File x", None, ("Exception", "BaseException"))
EXIT = UnitError("exit", "exit code 3", exit_code=3)

EVENTS: list[Event] = [
    RunStarted(1.5, "nightly", 4),
    RunPaused(2.0, "paused by you"),
    RunUnpaused(2.5, "unpaused by you"),
    RunReopened(2.75, "retried by you"),
    RunStopping(3.0, "interrupt", "interrupted", 15),
    RunResumed(2.8, "resumed by you", 4, True, {"thread": 2}),
    PlanReplaced((QuantumUnit(id="b", dependencies=("a",), mode=ExecutionMode.COMMAND),), ExecutionMode.AUTO, 2.9),
    JournalChanged("no space left on device", 2.95),
    UnitReady(0, 3.5),
    CacheMissed(0, "output a.csv is missing", 3.5, True),
    ConfirmRequested(0, "Publish?", 3.5),
    UnitApproved(0, "approved by you", 3.75),
    UnitSubmitted(1, 1, ExecutionMode.COMMAND, 2, 4.0),
    UnitStarted(1, 1, ExecutionMode.COMMAND, 2, 4711, 4.5),
    UnitRetrying(0, 2, 0.5, EXIT, 5.0),
    UnitCanceling(0, 3, "timeout", "timed out after 2 s", True, 5.5),
    UnitAbandoned(0, 3, 2, 5.5),
    LateResult(0, 3, 2, 5.75),
    UnitsAdded(0, (QuantumUnit(id="b", dependencies=("a",), mode=ExecutionMode.COMMAND),), 7.8, (0,)),
    UnitReset(1, 2, "retried by you", 6.0, True),
    UnitStale(0, "input a.csv changed", 6.2),
    UnitRedefined(1, QuantumUnit(id="b", dependencies=("a",), mode=ExecutionMode.COMMAND), "retried by you", 6.3),
    UnitProgress(0, 3, 10.0, 0.0, "halfway", 6.5),
    UnitSilent(0, 3, 6.5, 6.75),
    UnitSilent(0, 3, None, 6.8),
    UnitFinished(0, 3, 2, UnitState.FAILED, 7.0, 1.25, ERROR, "", False, False, True, {"rows": 12}),
    UnitFinished(1, 0, 1, UnitState.SKIPPED, 7.0, cause="because a"),
    UnitFinished(1, 0, 1, UnitState.CANCELED, 7.0, cause="fail-fast: a failed", because=0),
    BrakeChanged("tag:net", "held", 3, "exit 7", "3 failures in a row", 7.25),
    WorkersChanged(8, "set by you", 7.5, "", 8),
    WorkersChanged(2, "8 → 2: cpu 97 %", 7.6, "process", 10),
    GovernorChanged(False, "set by you", 7.7),
    Warned(-1, "disk is almost full", 8.0),
    Warned(1, "strange", 8.0),
    RunFinished(RunState.FAILED, {"failed": 1, "skipped": 1}, 6.5, 1, 8.5),
]


# a busy machine must not fail a test
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# -- plain data ------------------------------------------------------------------------------------------


def test_every_event_class_has_a_name_and_an_example_here() -> None:
    classes = set(get_args(Event))
    assert set(NAMES) == classes
    assert set(CLASSES.values()) == classes
    assert len(set(NAMES.values())) == len(classes)
    assert {type(event) for event in EVENTS} == classes


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: NAMES[type(event)])
def test_an_event_survives_json(event: Event) -> None:
    text = json.dumps(to_plain(event, PLAN), allow_nan=False)
    back = from_plain(json.loads(text), PLAN.numbers.__getitem__)
    assert type(back) is type(event)
    assert back == event
    for name, value in event._asdict().items():
        # equal is not enough: the word "failed" equals the state, but has no `ended`
        assert isinstance(getattr(back, name), type(value)) or value == {}


def test_units_are_ids_in_plain_data() -> None:
    assert to_plain(UnitReady(1, 2.0), PLAN) == {"event": "unit_ready", "unit": "b", "at": 2.0}
    assert to_plain(Warned(-1, "hm", 2.0), PLAN)["unit"] is None


def test_the_start_of_a_run_carries_its_plan() -> None:
    assert to_plain(RunStarted(1.0, "nightly", 4), PLAN)["units"] == [
        {"id": "a", "family": "fam", "needs": [], "mode": "thread"},
        {"id": "b", "family": "b", "needs": ["a"], "mode": "command"},
    ]


def test_an_end_tells_whether_its_failure_is_allowed() -> None:
    plan = plan_of(unit("may", allow_failure=True), unit("must"))

    def allowed(unit: int, state: UnitState) -> bool:
        return to_plain(UnitFinished(unit, 1, 1, state, 5.0), plan)["allowed"]

    assert [allowed(0, state) for state in (UnitState.FAILED, UnitState.TIMEOUT)] == [True, True]
    assert [allowed(1, state) for state in (UnitState.FAILED, UnitState.TIMEOUT)] == [False, False]
    assert not any(allowed(0, state) for state in (UnitState.COMPLETED, UnitState.SKIPPED, UnitState.CANCELED))


def test_a_retry_tells_its_cause_in_words() -> None:
    assert to_plain(UnitRetrying(0, 1, 1.0, EXIT, 2.0), PLAN)["cause"] == "exit code 3"


def test_an_unknown_event_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        from_plain({"event": "unit_teleported", "unit": "a"}, PLAN.numbers.__getitem__)


# -- retry policies --------------------------------------------------------------------------------------

policies = st.builds(
    RetryPolicy,
    delay=st.floats(0, 1e6),
    backoff=st.floats(1, 1e9),
    max_delay=st.floats(0, 1e6),
    jitter=st.booleans(),
)


@patiently
@given(policies, st.integers(1, 10_000), st.integers(0, 10**6))
def test_a_wait_lies_between_zero_and_the_longest_delay(policy: RetryPolicy, retry: int, salt: int) -> None:
    assert 0 <= policy.wait(retry, salt) <= policy.max_delay
    if policy.jitter:
        steady = RetryPolicy(delay=policy.delay, backoff=policy.backoff, max_delay=policy.max_delay)
        assert steady.wait(retry) / 2 <= policy.wait(retry, salt) <= steady.wait(retry)


@patiently
@given(st.floats(0.001, 1e6), st.floats(1, 100), st.floats(0.001, 1e6))
def test_without_jitter_no_wait_is_shorter_than_the_one_before(delay: float, backoff: float, most: float) -> None:
    waits = [RetryPolicy(delay=delay, backoff=backoff, max_delay=most).wait(retry) for retry in range(1, 80)]
    assert waits == sorted(waits)


def test_waits_grow_by_the_backoff_up_to_the_longest() -> None:
    policy = RetryPolicy(delay=1.0, backoff=3.0, max_delay=20.0)
    assert [policy.wait(retry) for retry in (1, 2, 3, 4, 5)] == [1.0, 3.0, 9.0, 20.0, 20.0]


def test_jitter_follows_from_the_salt_and_spreads() -> None:
    policy = RetryPolicy(delay=10.0, jitter=True)
    waits = [policy.wait(1, salt) for salt in range(100)]
    assert waits == [policy.wait(1, salt) for salt in range(100)]
    assert len(set(waits)) == 100
    assert min(waits) < 6 < 9 < max(waits)


@pytest.mark.parametrize(
    ("on", "error", "covered"),
    [
        ((), UnitError("ValueError", ""), True),
        ((3,), UnitError("exit", "", exit_code=3), True),
        ((3,), UnitError("exit", "", exit_code=4), False),
        ((3,), UnitError("ValueError", ""), False),
        (("ConnectionError",), UnitError("ConnectionError", ""), True),
        (("OSError",), UnitError("ConnectionError", "", bases=("OSError", "Exception")), True),
        (("timeout",), UnitError("timeout", ""), True),
        (("timeout",), UnitError("lost", ""), False),
    ],
)
def test_on_names_the_errors_that_are_tried_again(on: tuple[int | str, ...], error: UnitError, covered: bool) -> None:
    assert RetryPolicy(max=1, on=on).covers(error) is covered


# -- calls -----------------------------------------------------------------------------------------------


class ExecutionContext:
    """Named like the real one, which is all that `Call.of` looks at."""


def required(x: Any) -> None: ...
def named_context(context: Any = None) -> None: ...
def named_ctx(ctx: Any = None) -> None: ...
def variadic(*everything: Any) -> None: ...
def none() -> None: ...
def optional(x: int = 1) -> None: ...
def keyword_only(*, x: int = 1) -> None: ...
def keywords(**keys: Any) -> None: ...
def two(x: Any, y: int) -> None: ...
async def coroutine(context: Any) -> None: ...


class Job:
    def method(self, context: Any) -> None: ...
    async def __call__(self, context: Any) -> None: ...


@pytest.mark.parametrize(
    "function",
    [required, named_context, named_ctx, variadic, coroutine, Job().method, Job()],
)
def test_the_context_is_passed_to_a_function_that_takes_one(function: Any) -> None:
    assert Call.of(function).wants_context


@pytest.mark.parametrize("annotation", [ExecutionContext, "ExecutionContext", "qtui.ExecutionContext"])
def test_the_context_is_passed_to_a_parameter_that_is_annotated_as_one(annotation: object) -> None:
    def annotated(c: Any = None) -> None: ...

    annotated.__annotations__["c"] = annotation
    assert Call.of(annotated).wants_context


@pytest.mark.parametrize("function", [none, optional, keyword_only, keywords, dict])
def test_no_context_is_passed_to_a_function_that_takes_none(function: Any) -> None:
    assert not Call.of(function).wants_context


def test_a_first_parameter_that_has_an_argument_gets_no_context() -> None:
    assert not Call.of(required, {"x": 1}).wants_context
    assert not Call.of(two, {"x": 1, "y": 2}).wants_context
    assert Call.of(two, {"y": 2}).wants_context
    assert not Call.of(named_context, {"context": 1}).wants_context


def test_a_partial_is_a_call_of_what_is_left() -> None:
    assert Call.of(functools.partial(two, y=2)).wants_context
    assert not Call.of(functools.partial(optional, 1)).wants_context


@pytest.mark.parametrize(
    ("function", "args"),
    [(none, {"x": 1}), (two, {}), (two, {"x": 1}), (required, {"z": 1}), (keyword_only, {"y": 1})],
)
def test_arguments_that_do_not_bind_are_a_type_error(function: Any, args: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Call.of(function, args)


def test_coroutine_functions_are_known_as_such() -> None:
    assert Call.of(coroutine).is_async
    assert Call.of(Job()).is_async
    assert Call.of(functools.partial(coroutine, None)).is_async
    assert not Call.of(required).is_async


# -- the ready queue -------------------------------------------------------------------------------------

TERMS = [
    FREE,
    Terms(),
    Terms((("x", 1),)),
    Terms((("y", 1),)),
    Terms((("y", 3),)),
    Terms((("x", 1), ("y", 2))),
    Terms((), ("p",)),
    Terms((("y", 2),), ("p",)),
    Terms((("x", 1),), ("p", "q")),
]


def first_allowed(waiting: dict[int, tuple[Key, Terms]], free: dict[str, int], passes: dict[str, int]) -> int | None:
    """The best unit that finds enough of all it holds, gates that let it pass, and nobody before it who is short."""
    short: set[str] = set()
    for number in sorted(waiting, key=waiting.__getitem__):
        terms = waiting[number][1]
        if not all(passes.get(gate, 1) for gate in terms.gates):
            continue  # what may not start at all keeps nothing for itself
        short |= (lacking := {limit for limit, amount in terms.holds if free[limit] < amount})
        if not lacking and short.isdisjoint(limit for limit, _ in terms.holds):
            return number
    return None


@patiently
@given(st.randoms(use_true_random=False, note_method_calls=False))
def test_the_queue_offers_what_a_sort_of_the_allowed_units_puts_first(rng: Random) -> None:
    count = rng.randint(1, 10)
    free = {"x": 1, "y": 3}
    passes: dict[str, int] = {}
    queue = ReadyQueue(count, free)
    waiting: dict[int, tuple[Key, Terms]] = {}
    taken: list[Terms] = []
    for _ in range(60):
        match rng.choice(["push"] * 4 + ["pop"] * 4 + ["discard", "give back", "give back", "limit", "open"]):
            case "push":  # one that waits already gets another place and other terms
                number = rng.randrange(count)
                waiting[number] = (rng.randrange(3), rng.randrange(3), number), rng.choice(TERMS)
                queue.push(number, *waiting[number])
            case "discard" if waiting:
                number = rng.choice(sorted(waiting))
                del waiting[number]
                queue.discard(number)
            case "give back" if taken:
                terms = taken.pop(rng.randrange(len(taken)))
                queue.give_back(terms)
                free.update({limit: free[limit] + amount for limit, amount in terms.holds})
            case "limit":
                gate = rng.choice("pq")
                passes[gate] = rng.randrange(3)
                queue.limit_passes(gate, passes[gate])
            case "open":
                gate = rng.choice("pq")
                passes.pop(gate, None)
                queue.open(gate)
            case "pop":
                best = first_allowed(waiting, free, passes)
                if best is None:
                    assert queue.pop() is None
                    continue
                _, terms = waiting.pop(best)
                assert queue.pop() == (best, terms)
                taken.append(terms)
                free.update({limit: free[limit] - amount for limit, amount in terms.holds})
                passes.update({gate: passes[gate] - 1 for gate in terms.gates if gate in passes})
        assert {number for number in range(count) if number in queue} == set(waiting)
