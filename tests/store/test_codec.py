"""Events and views as texts: exactly the same when they come back, whatever is in them."""

from __future__ import annotations

import json
import math
import random
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import history, units

from qtui.core.events import (
    NAMES,
    Event,
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitReset,
    UnitsAdded,
    UnitStarted,
    Warned,
)
from qtui.core.folding import fold
from qtui.core.model import ExecutionMode, QuantumUnit, RunState, Shell, UnitError, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.store.codec import decode_events, decode_view, dump, encode_events, encode_view, load
from qtui.store.errors import JournalDamaged

texts = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "a\udcff", '{"float":', "\x00\x1b", "😀"])
numbers = st.integers(-1, 10**6)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("float"), inner, max_size=2),
    max_leaves=5,
)
errors = st.builds(
    UnitError, texts, texts, texts, st.none() | st.integers(0, 255), st.lists(texts, max_size=2).map(tuple), texts
)
definitions = st.builds(QuantumUnit, id=texts, action=st.builds(Shell, st.tuples(texts)), priority=numbers)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    int: numbers,
    float: st.floats(allow_nan=False),
    str: texts,
    bool: st.booleans(),
    ExecutionMode: st.sampled_from(ExecutionMode),
    UnitState: st.sampled_from(UnitState),
    RunState: st.sampled_from(RunState),
    UnitError: errors,
    UnitError | None: st.none() | errors,
    QuantumUnit: definitions,
    tuple[QuantumUnit, ...]: st.lists(definitions, max_size=2).map(tuple),
    tuple[int, ...]: st.lists(numbers, max_size=3).map(tuple),
}


def any_of(cls: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(cls)
    mappings = st.dictionaries(texts | st.just("float"), plain, max_size=2)
    return st.tuples(*(FIELDS.get(hint, mappings) for hint in hints.values())).map(cls._make)


@pytest.mark.parametrize("cls", NAMES, ids=NAMES.values())
def test_every_event_comes_back_as_it_was(cls: type[Event]) -> None:
    @given(st.lists(any_of(cls), min_size=1, max_size=3))
    def check(events: list[Event]) -> None:
        text = encode_events(events)
        assert text.isascii()
        back = decode_events(text)
        assert back == events
        for one, other in zip(back, events, strict=True):
            assert type(one) is cls
            assert [type(field) for field in one] == [type(field) for field in other]

    check()


def test_numbers_that_json_does_not_have_come_back_and_json_stays_json() -> None:
    odd = {"a": math.inf, "b": -math.inf, "c": [math.nan], "float": 1.0}
    text = encode_events([UnitFinished(0, 1, 1, UnitState.COMPLETED, 1.0, metrics=odd)])
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (back,) = decode_events(text)
    assert isinstance(back, UnitFinished)
    assert back.metrics["a"] == math.inf and back.metrics["b"] == -math.inf
    assert math.isnan(back.metrics["c"][0])
    (progress,) = decode_events(encode_events([UnitProgress(0, 1, math.nan, math.inf, "", 1.0)]))
    assert isinstance(progress, UnitProgress) and math.isnan(progress.done) and progress.total == math.inf


@pytest.mark.parametrize(
    "value", [{"float": "nan"}, {"float": ["nan"]}, {"float": {"float": math.inf}}, [{"float": None}]]
)
def test_a_dictionary_that_looks_like_such_a_number_stays_a_dictionary(value: Any) -> None:
    assert load(dump(value)) == value


def test_metrics_that_are_no_json_are_told_as_text_and_never_lost_with_their_event() -> None:
    ring: dict[str, Any] = {}
    ring["again"] = ring
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    metrics = {"set": {1}, "ring": ring, "deep": deep, "pair": {(1, 2): 3}, "huge": 10**5000, "ok": 1}
    (back,) = decode_events(encode_events([UnitFinished(0, 1, 1, UnitState.COMPLETED, 1.0, metrics=metrics)]))
    assert isinstance(back, UnitFinished)
    assert back.metrics["ok"] == 1 and back.metrics["set"] == {"repr": "{1}"}
    assert set(back.metrics) == set(metrics)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "[[]]", '[["no_such_event",1]]', '[["unit_ready"]]', '[["unit_ready",1,2.0,3]]', "[" * 100_000,
     '[["unit_started",0,1,"no_lane",1,0,1.0]]', '[["units_added",0,[{"id":"a","colour":1}],1.0]]'],
)  # fmt: skip
def test_a_text_that_is_no_events_is_refused(text: str) -> None:
    with pytest.raises(JournalDamaged):
        decode_events(text)


def test_an_event_without_a_field_that_came_later_has_its_default() -> None:
    assert decode_events('[["run_stopping",1.0,"drain","why"]]')[0][3] == 0


def test_what_only_a_cluster_has_is_written_only_where_there_is_one() -> None:
    local: list[Event] = [UnitStarted(0, 1, ExecutionMode.THREAD, 1, 0, 1.0), UnitReset(0, 2, "again", 2.0)]
    text = encode_events(local)
    assert text == '[["unit_started",0,1,"thread",1,0,1.0],["unit_reset",0,2,"again",2.0,false,0]]'
    assert decode_events(text) == local  # so journals of before there were clusters are read, too
    far = [UnitStarted(0, 1, ExecutionMode.CUSTOM, 1, 7, 1.0, "node-3"), UnitReset(0, 2, "lost", 2.0, losses=1)]
    assert decode_events(encode_events(far)) == far


def test_a_view_comes_back_at_every_moment_of_a_run() -> None:
    for view in moments():
        assert decode_view(encode_view(view), view.plan) == view


def test_a_view_of_before_it_told_all_that_it_tells_now_can_be_read() -> None:
    view = RunView.initial(ExecutionPlan.build(units(3)))
    text = encode_view(view)
    for later in (',"missed":[]', ',"losses":[]', ',"silent":[]'):
        assert later in text
        text = text.replace(later, "")
    assert decode_view(text, view.plan) == view


def moments() -> list[RunView]:
    """A view after each of many events of every kind, in no sensible order."""
    plan = ExecutionPlan.build(units(6))
    view = RunView.initial(plan)
    views = [view]
    for event in (*history(plan, 2), *_odd_events()):
        view = fold(view, [event])
        views.append(view)
    return views


def _odd_events() -> list[Event]:
    texts = """[["run_started",1.0,"x",2,true,{"thread":2}],["unit_ready",0,2.0],
    ["cache_missed",0,"output x is missing",2.0,true],["unit_submitted",0,3,"process",1,2.0],
    ["confirm_requested",1,"sure?",2.0],["unit_started",0,3,"process",1,9,2.5],
    ["unit_progress",0,3,1.0,2.0,"half",3.0],["unit_canceling",0,3,"cancel","by you",false,4.0],
    ["unit_silent",0,3,4.5,5.0],["unit_silent",1,3,4.5,5.0],["unit_silent",1,3,null,5.0],
    ["unit_abandoned",0,3,1,5.0],["brake_changed","","held",3,"","three in a row",5.0],
    ["unit_finished",0,3,3,"canceled",5.0,1.0,["Canceled","no","",null,["X"],""],"c",false,false,true,{},-1,99000000,1.5],
    ["unit_finished",1,3,3,"completed",5.0,1.0,null,"",false,false,false,{"m":1},-1,99000000,1.5],
    ["unit_retrying",3,1,0.0,["lost_worker","gone","",null,[],""],5.0],
    ["unit_reset",4,2,"its result is gone",5.0,false,0,2],["unit_started",5,1,"custom",1,9,5.0,"node-3"],
    ["unit_stale",1,"code changed",5.0],["journal_changed","disk full",6.0],["run_stopping",6.0,"stop","by you",2],
    ["units_added",2,[{"id":"more"}],7.0,[1]],["run_finished","canceled",{"canceled":1},6.0,130,8.0]]"""
    return decode_events(texts)


def test_batch_durations_and_what_began_are_kept_in_a_view() -> None:
    plan = ExecutionPlan.build([QuantumUnit(id="a", batch="auto"), QuantumUnit(id="b")])
    view = fold(RunView.initial(plan), history(plan))
    assert view.durations == {"a": (1, 0.001)}
    back = decode_view(encode_view(view), plan)
    assert back.durations == view.durations
    running = fold(RunView.initial(plan), list(history(plan))[:3])
    back = decode_view(encode_view(running), plan)
    assert back.last[0] is back.begun[0]


def test_a_view_of_another_plan_or_no_view_is_refused() -> None:
    view = RunView.initial(ExecutionPlan.build(units(3)))
    with pytest.raises(JournalDamaged, match="another plan"):
        decode_view(encode_view(view), ExecutionPlan.build(units(2)))
    for text in ("", "[]", "{}", encode_view(view).replace("states", "stets")):
        with pytest.raises(JournalDamaged):
            decode_view(text, view.plan)


def test_garbled_texts_are_refused_or_read_but_never_a_crash() -> None:
    text = encode_events(list(history(ExecutionPlan.build(units(3)))))
    chance = random.Random(1)
    for _ in range(500):
        at = chance.randrange(len(text))
        garbled = text[:at] + chance.choice('[]{},:"0e-x') + text[at + chance.randrange(3) :]
        try:
            decode_events(garbled)
        except JournalDamaged:
            continue


def test_added_units_are_written_as_the_caller_wants() -> None:
    added = UnitsAdded(0, (QuantumUnit(id="a", env={"KEY": "s3cret"}),), 1.0)
    text = encode_events([added, Warned(-1, "x", 1.0), UnitReady(0, 1.0)], lambda unit: {"id": unit.id})
    assert "s3cret" not in text
    assert decode_events(text)[0] == UnitsAdded(0, (QuantumUnit(id="a"),), 1.0)
