"""A plan that grows while it is on the screen: new rows below the unit that added them, and all else stays put."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import unit
from scripted import ScriptedSession
from stage import GENEROUS, MEDIUM, staged

from qtui.core.model import QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.stimuli import CancelRequested, RetryRequested
from qtui.tui import growing
from qtui.tui.bridge import Bridge
from qtui.tui.laying import lay_out
from qtui.tui.layout import TreeLayout, further_needs
from qtui.tui.screens import base
from qtui.tui.tally import TROUBLED


def shards(count: int, *needs: str, start: int = 0) -> list[QuantumUnit]:
    return [unit(f"shard[{number}]", *needs, family="shard") for number in range(start, start + count)]


def scan() -> ScriptedSession:
    """scan -> report beside other -> last; scan runs and will add units."""
    units = [unit("scan"), unit("report", "scan"), unit("other"), unit("last", "other")]
    return ScriptedSession(units, RunOptions(workers=4))


def drawn(layout: TreeLayout) -> list[str]:
    rows = layout.rows(unfolded=layout.opened, closed=(), exposed=())
    return ["  " * layout.depths[node] + ("┆ " if layout.members[node] else "") + layout.label(node) for node in rows]


def relaid(session: ScriptedSession) -> list[str]:
    return drawn(lay_out(session.view().plan))


# -- where new units stand -------------------------------------------------------------------------------


def test_added_units_stand_below_the_unit_that_added_them() -> None:
    session = scan()
    session.adds("scan", *shards(8), unit("join", "shard"))
    assert relaid(session) == ["scan", "  report", "  shard[0..7]", "    join", "other", "  last"]


def test_units_added_in_a_loop_are_a_family_by_their_numbers() -> None:
    session = scan()
    session.adds("scan", *(unit(f"part_{number}") for number in range(8)), unit("join", "part_*"))
    assert relaid(session)[:4] == ["scan", "  report", "  part_0..7", "    join"]
    layout = lay_out(session.plan)
    assert further_needs(layout, layout.node_of[session.number("join")]) == ""
    assert relaid(ScriptedSession([unit(f"part_{number}") for number in range(8)]))[0] == "part_0"


def test_an_added_unit_with_deeper_needs_elsewhere_stays_with_the_one_that_added_it() -> None:
    session = ScriptedSession([unit("a"), unit("b", "a"), unit("c", "b"), unit("scan")])
    session.adds("scan", unit("extra", "c"))
    assert relaid(session) == ["a", "  b", "    c", "scan", "  extra"]


def test_what_an_item_adds_belongs_to_the_item() -> None:
    item = {"group": "sample", "item": "[id=s0]"}
    other = {"group": "sample", "item": "[id=s1]"}
    session = ScriptedSession(
        [
            *(
                unit(f"{name}[id=s0]", *needs, family=name, **item)
                for name, needs in (("trim", ()), ("sort", ("trim",)))
            ),
            *(
                unit(f"{name}[id=s1]", *needs, family=name, **other)
                for name, needs in (("trim", ()), ("sort", ("trim",)))
            ),
        ]
    )
    session.adds("trim[id=s0]", unit("again"))
    layout = lay_out(session.view().plan)
    bundle = layout.bundles[layout.bundle_of[session.number("again")]]
    assert (bundle.label, len(bundle.units)) == ("sample[id=s0]", 3)


def test_units_that_are_added_no_more_keep_their_place() -> None:
    session = scan()
    session.adds("scan", unit("old"), unit("new"))
    before = relaid(session)
    session.completes("old", "new", "other")
    session.post(RetryRequested((session.number("scan"),)))
    session.adds("scan", unit("new"))
    assert session.view().plan.dropped == {session.number("old")}
    assert relaid(session) == before


@st.composite
def growths(draw: st.DrawFn) -> list[tuple[int, list[tuple[str, frozenset[int]]]]]:
    """For each batch: which unit (of those that run then) adds it, and names and needs of its units."""
    batch = st.lists(st.tuples(st.sampled_from("abc"), st.frozensets(st.integers(0, 9), max_size=2)), max_size=9)
    return draw(st.lists(st.tuples(st.integers(0, 9), batch), min_size=1, max_size=5))


@settings(max_examples=60, deadline=None)
@given(growths())
def test_however_a_plan_grows_every_unit_has_one_node_and_counts_are_right(growth: object) -> None:
    session = ScriptedSession([*shards(4), unit("x", "shard[0]"), unit("y")], RunOptions(workers=8))
    bridge = Bridge(session, lay_out(session.view().plan))
    for by, batch in growth:  # type: ignore[attr-defined]
        running = [found for found in session.view().units if found.state.value == "running"]
        if not running:
            break
        count = len(session.plan)
        ids = [found.id for found in session.view().units]
        units = [
            unit(f"{name}[{count + at}]", *(ids[need % len(ids)] for need in sorted(needs)), family=name)
            for at, (name, needs) in enumerate(batch)
        ]
        session.adds(running[by % len(running)].id, *units)
        bridge.advance()
        assert_sound(session, bridge)
        bridge.grow(lay_out(bridge.view.plan, names=bridge.layout.names))
        assert len(bridge.layout.node_of) == len(session.plan)
        assert_sound(session, bridge)


def assert_sound(session: ScriptedSession, bridge: Bridge) -> None:
    view, layout = session.view(), bridge.layout
    known = range(len(layout.node_of))
    assert sorted(number for number in layout.units if number >= 0) == list(known)
    assert layout.names == [found.id for found in view.units]
    for node in range(len(layout)):
        parent = layout.parents[node]
        assert parent < node < layout.inner_ends[node] <= layout.ends[node]
        assert parent < 0 or layout.ends[node] <= layout.ends[parent]
    for bundle, counts in zip(layout.bundles, bridge.tree.counts, strict=True):
        assert +counts == Counter(view.states[number] for number in bundle.units)
    inside = {number for number in known if layout.bundle_of[number] >= 0}
    assert bridge.tree.exposed == {number for number in inside if view.states[number] in TROUBLED}
    assert len(bridge.holding) == view.active
    for by, added in view.plan.added.items():
        assert all(layout.node_of[by] < layout.node_of[number] for number in added if number in known and by in known)


# -- on the screen ---------------------------------------------------------------------------------------


async def test_new_rows_and_totals_appear_while_the_selection_stays() -> None:
    session = scan()
    async with staged(session, MEDIUM) as stage:
        await stage.select("last")
        await stage.shows("Units 4/4", "0/4")
        at = stage.lines().index(stage.line_with("›"))
        session.adds("scan", *shards(3), unit("join", "shard"))
        await stage.shows("Units 8/8", "1/8")
        assert "last" in stage.line_with("›")
        assert stage.lines().index(stage.line_with("›")) == at + 4
        session.completes("shard[0]", "shard[1]", "other")
        await stage.shows("4/8")


async def test_what_is_selected_and_on_the_screen_stays_in_its_line_when_rows_come_above_it() -> None:
    session = ScriptedSession([unit("scan"), *(unit(f"n{chr(97 + at)}") for at in range(26))], RunOptions(workers=1))
    async with staged(session, (80, 24)) as stage:
        await stage.press("G")
        await stage.shows("Units 27/27")
        at = stage.lines().index(stage.line_with("›"))
        session.adds("scan", *(unit(f"more.{chr(97 + place)}") for place in range(9)))
        await stage.shows("Units 36/36")
        assert "nz" in stage.line_with("›")
        assert stage.lines().index(stage.line_with("›")) == at


async def test_folds_and_filter_stay_with_their_rows() -> None:
    parts = [unit(f"part[{number}]", family="part") for number in range(6)]
    units = [unit("scan"), *parts, unit("upper"), unit("lower", "upper")]
    session = ScriptedSession(units, RunOptions(workers=20))
    async with staged(session, MEDIUM) as stage:
        await stage.select("upper")
        await stage.press("h")
        await stage.shows("upper", "(+1)")
        await stage.press("k", "l")
        await stage.shows("part[5]")
        session.adds("scan", *shards(7))
        await stage.shows("shard[0..6]")
        assert "(+1)" in stage.line_with("upper")
        assert "part[5]" in stage.text()
        await stage.press("slash", *"part[3", "enter")
        await stage.shows("Units /part[3")
        session.adds("shard[0]", unit("later"))
        await stage.until(lambda: not stage.main.bridge.outgrown and len(stage.main.bridge.view.plan) == 17, "the tree")
        await stage.shows("Units /part[3  2/2")


async def test_a_family_that_grows_keeps_its_row_and_its_fold() -> None:
    session = ScriptedSession([unit("scan"), unit("end", "scan")], RunOptions(workers=8))
    async with staged(session, MEDIUM) as stage:
        session.adds("scan", *shards(6))
        await stage.shows("shard[0..5]")
        await stage.press("g", "j", "j", "l")
        await stage.shows("shard[5]")
        session.adds("shard[0]", unit("more"))
        await stage.shows("more")
        assert "shard[5]" in stage.text()
        assert "shard[0..5]" in stage.line_with("›")


async def test_a_bundle_that_grows_is_acted_on_with_what_is_new_in_it() -> None:
    item = {"group": "sample", "item": "[id=s0]"}
    units = [unit("trim[id=s0]", family="trim", **item), unit("sort[id=s0]", "trim", family="sort", **item)]
    session = ScriptedSession(units, RunOptions(workers=1))
    async with staged(session, MEDIUM) as stage:
        await stage.shows("sample[id=s0]")
        session.adds("trim[id=s0]", unit("again"))
        await stage.shows("1 of 3 units have ended")
        await stage.press("g", "x")
        await stage.shows("cancel 2 units of sample[id=s0]")
        await stage.press("y")
        await stage.until(lambda: session.requests == [CancelRequested((1, 2))], "the request")


async def test_a_run_whose_added_unit_fails_at_once_ends_with_that_unit_selected() -> None:
    session = ScriptedSession([unit("scan")])
    async with staged(session, MEDIUM) as stage:
        session.adds("scan", *shards(9))
        session.completes(*(f"shard[{number}]" for number in range(3)))
        session.fails("shard[3]")
        session.completes(*(f"shard[{number}]" for number in range(4, 9)))
        await stage.until(lambda: "shard[3]" in stage.line_with("›"), "the failure selected")
        await stage.shows("FAILED", "10/10", "1 failed")


async def test_events_name_units_that_are_new() -> None:
    session = ScriptedSession([unit("scan")])
    async with staged(session, MEDIUM) as stage:
        session.adds("scan", unit("fresh"))
        session.completes("fresh")
        await stage.shows("fresh  ok 0:00")


async def test_the_screen_goes_on_while_ten_thousand_new_units_are_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    go_on.set()

    def slow(*args: Any, **keys: Any) -> TreeLayout:
        assert go_on.wait(GENEROUS)
        return lay_out(*args, **keys)

    monkeypatch.setattr(base, "lay_out", slow)
    session = ScriptedSession([unit("scan"), unit("end"), unit("other")], RunOptions(workers=4))
    async with staged(session, MEDIUM) as stage:
        go_on.clear()
        session.adds("scan", *shards(10_000))
        await stage.shows("1/10003")
        await stage.press("j")
        await stage.until(lambda: "end" in stage.line_with("›"), "the cursor moved")
        session.completes("end")
        await stage.shows("✓ end  ok")
        await stage.press("f", "x")  # keys that look for units and ask about them
        await stage.shows("Units 2/3", "end has ended")
        go_on.set()
        await stage.shows("shard[0..9999]", "Units 3/4")
        assert "end" in stage.line_with("›")


def test_a_plan_that_grows_all_the_time_is_not_laid_out_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    session = scan()
    bridge = Bridge(session, lay_out(session.plan))
    clock = [100.0]
    monkeypatch.setattr(growing, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    begun: list[ExecutionPlan] = []
    relayout = growing.Relayout(bridge, lambda plan, **keys: begun.append(plan) or lay_out(plan, **keys))
    assert relayout.take() is None
    assert not begun

    session.adds("scan", unit("one"))
    bridge.advance()
    deadline = time.monotonic() + GENEROUS
    while (layout := relayout.take()) is None:
        assert time.monotonic() < deadline
        clock[0] += 0.001
    took = clock[0] - 100.0
    bridge.grow(*layout)

    session.adds("one", unit("two"))
    bridge.advance()
    clock[0] += growing.PAUSE * took * 0.9
    assert relayout.take() is None
    assert len(begun) == 1
    clock[0] += growing.PAUSE * took * 0.2
    relayout.take()
    deadline = time.monotonic() + GENEROUS
    while len(begun) < 2:
        assert time.monotonic() < deadline
    relayout.stop()
