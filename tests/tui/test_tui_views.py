"""The views of the units: what has a row, in what order, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pvector
from scenes import COMMAND, nightly, unit
from scripted import ScriptedSession
from test_tui_bundles import steps

from qtui.core.events import UnitFinished
from qtui.core.model import QuantumUnit, RetryPolicy, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.tui.bars import bar_of
from qtui.tui.bridge import Bridge
from qtui.tui.format import ASCII, UNICODE, Glyphs
from qtui.tui.laying import lay_out
from qtui.tui.levels import columns_for
from qtui.tui.marks import Marks
from qtui.tui.rows import Drawing
from qtui.tui.tally import PER_BUNDLE, PER_CAUSE, TROUBLED, Tally
from qtui.tui.views.base import UnitsView, ViewKind
from qtui.tui.views.flat import FlatView, SortKey, in_order
from qtui.tui.views.folding import DependencyView, LevelsView

WIDE = Drawing(now=0.0, width=90, words=True)


def bridged(session: ScriptedSession) -> Bridge:
    return Bridge(session, lay_out(session.view().plan), lay_out=lay_out)


def flat(session: ScriptedSession) -> FlatView:
    return FlatView(bridged(session), UNICODE, session.now)


def levels(session: ScriptedSession, glyphs: Glyphs = UNICODE) -> LevelsView:
    return LevelsView(bridged(session), glyphs)


def rows_of(view: UnitsView, *, unfinished: bool = False, selected: int = 0) -> list[str]:
    return [view.label(node) for node in view.rows(selected, unfinished=unfinished)]


def painted(view: UnitsView, session: ScriptedSession, drawing: Drawing = WIDE) -> list[str]:
    rows = [view.paint(node, drawing._replace(now=session.now())) for node in view.rows(0, unfinished=False)]
    texts = ["".join(span.text for span in (*row.gutter, *row.body)) for row in rows]
    assert {len(text) for text in texts} <= {drawing.width}
    return [text.rstrip() for text in texts]


def commands(*names: str, needs: Sequence[str] = ()) -> list[QuantumUnit]:
    return [unit(name, *needs, action=COMMAND, retry=RetryPolicy(max=0)) for name in names]


# -- by level --------------------------------------------------------------------------------------------


def test_levels_have_a_row_for_each_family_and_group_and_fold_them() -> None:
    units = [
        unit("fetch"),
        *(unit(f"part[{n}]", "fetch", family="part") for n in range(4)),
        unit("other", "fetch"),
        *steps(20, "fetch"),
        unit("report", "part", "call"),
    ]
    view = levels(ScriptedSession(units))
    assert rows_of(view) == ["fetch", "part[0..3]", "other", "sample ×20", "report"]
    part = view.node_of(1)
    assert part is not None
    assert view.unfold(part - 1)
    assert rows_of(view)[1:6] == ["part[0..3]", "part[0]", "part[1]", "part[2]", "part[3]"]


def test_a_level_has_its_number_once_and_a_family_a_bar() -> None:
    session = nightly()
    text = painted(levels(session), session)
    assert [line[16:18].strip() for line in text] == ["0", "", "1", "", "2", "", "", "", "", "3", "", "4", "5"]
    assert text[9][18:] == "██▒▒▒▒▒░░░ embed[0..11]  3✓ 7▸ 2⋮  ↑ encode.tokens"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_small_group_is_a_grid_with_its_columns_named(glyphs: Glyphs) -> None:
    session = ScriptedSession(steps(3), RunOptions(workers=8))
    session.completes("trim[id=s0]")
    session.fails("align[id=s0]", exit_code=4)
    ok, failed, skipped, runs, waits = "✓✗↷▸∙" if glyphs.unicode else "+X->."
    text = painted(levels(session, glyphs), session)
    assert text[0].split()[3:8] == ["0", "trim", "align", "sort", "call"]
    assert text[1].split()[3:] == [ok, failed, skipped, skipped, "sample[id=s0]", "align", "exit", "4"]
    assert text[2].split()[-6:] == [runs, waits, waits, waits, "sample[id=s1]", "trim"]
    header, row = text[0], text[1]
    assert [row[header.index(name)] for name in ("trim", "align", "sort", "call")] == [ok, failed, skipped, skipped]


def by_need(session: ScriptedSession) -> DependencyView:
    return DependencyView(bridged(session), UNICODE)


def test_beside_a_name_a_long_cause_is_cut_first_and_a_fold_is_never_lost() -> None:
    name = "load[table=orders,shop=tokyo]"
    session = ScriptedSession(commands("validate", name, "after") + commands("last", needs=(name,)))
    last = "disk quota exceeded writing /data/out/6.parquet, and so on at length"
    session.fails(name, UnitError("exit", "exit 28", exit_code=28, last_line=last))
    view, narrow = by_need(session), WIDE._replace(width=70)
    row = next(text for text in painted(view, session, narrow) if "load" in text)
    assert row.endswith("load[table=orders,shop=tokyo]  exit 28: disk quota ex…")
    node = view.node_of(session.number(name)) or 0
    assert view.fold(node)
    row = next(text for text in painted(view, session, narrow) if "load" in text)
    assert "load[table=orders,shop=tokyo]  (+1) exit 28: disk" in row


def test_what_has_ended_badly_is_not_100_percent() -> None:
    units = [unit(f"part[{n}]", family="part", action=COMMAND, retry=RetryPolicy(max=0)) for n in range(8)]
    session = ScriptedSession(units, RunOptions(workers=8))
    session.completes(*(each.id for each in units[:6]))
    assert "75%" in painted(by_need(session), session)[0]
    session.fails("part[6]", exit_code=1)
    session.fails("part[7]", exit_code=1)
    row = painted(by_need(session), session)[0]
    assert "FAIL" in row
    assert "%" not in row


def test_columns_get_as_wide_as_there_is_room_and_vanish_where_there_is_none() -> None:
    names = ("trim", "align")
    assert columns_for(names, 60) == (names, 6)
    assert columns_for(names, 16) == (names, 4)
    assert columns_for(names, 7) is None
    assert columns_for((), 60) is None


@pytest.mark.parametrize("width", [24, 30, 40, 58, 80, 160])
def test_rows_by_level_fill_exactly_the_width_there_is(width: int) -> None:
    session = ScriptedSession(steps(3, names=tuple("abcdefghijklmnop")), RunOptions(workers=2))
    painted(levels(session), session, Drawing(now=0.0, width=width, words=width >= 60))


@st.composite
def plans(draw: st.DrawFn) -> ExecutionPlan:
    units: list[QuantumUnit] = []
    for number in range(draw(st.integers(1, 25))):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        name = draw(st.sampled_from(["a", "b", "c"]))
        where = draw(
            st.sampled_from([{}, {"workflow": "w"}, {"group": "g", "item": "[1]"}, {"group": "g", "item": "[2]"}])
        )
        units.append(unit(f"{name}[{number}]", *(units[need].id for need in needs), family=name, **where))
    return ExecutionPlan.build(units)


@given(plans())
def test_by_level_every_unit_has_one_node_and_levels_do_not_fall(plan: ExecutionPlan) -> None:
    layout = lay_out(plan, levels=True)
    assert sorted(number for number in layout.units if number >= 0) == list(range(len(plan)))
    tops = [node for node in range(len(layout)) if layout.parents[node] < 0]
    firsts = [min(plan.depths[number] for number in layout.units_under(node)) for node in tops]
    assert firsts == sorted(firsts)
    for node in range(len(layout)):
        assert layout.depths[node] == len(layout.ancestors(node)) <= 2
        if layout.bundle(node) is not None:
            inside = layout.units[node + 1 : layout.inner_ends[node]]
            assert sorted(number for number in inside if number >= 0) == sorted(layout.units_under(node))


# -- the list --------------------------------------------------------------------------------------------


def test_the_list_begins_with_what_needs_eyes() -> None:
    session = ScriptedSession([*commands(*"abcdef"), unit("asks", confirm="Really?")], RunOptions(workers=3))
    session.completes("a")
    session.fails("c", exit_code=1)
    assert rows_of(flat(session)) == ["c", "asks", "b", "d", "e", "f", "a"]


def test_the_list_is_sorted_by_what_a_person_chooses() -> None:
    session = ScriptedSession(commands("part_10", "part_2", "x"), RunOptions(workers=1))
    session.after(5)
    session.completes("part_10")
    session.after(1)
    orders = {
        by: [
            session.plan.table[number].id
            for number in in_order(session.view(), by, lay_out(session.plan).names, session.now())
        ]
        for by in SortKey
    }
    assert orders == {
        SortKey.STATE: ["part_2", "x", "part_10"],
        SortKey.START: ["part_2", "part_10", "x"],
        SortKey.TIME: ["part_10", "part_2", "x"],
        SortKey.MEMORY: ["part_10", "part_2", "x"],
        SortKey.NAME: ["part_2", "part_10", "x"],
    }


def test_what_the_list_is_sorted_by_stands_before_the_name() -> None:
    session = ScriptedSession(commands("a", "b"), RunOptions(workers=1))
    session.after(65)
    session.completes("a")
    view = flat(session)
    view.sort(SortKey.START)
    assert [line[16:].split() for line in painted(view, session)] == [["+1:05", "b"], ["+0:00", "a"]]


def test_names_of_hostile_numbers_are_sorted_too() -> None:
    names = ["a" + "9" * 5000, "a²", "a٣", "", "a1"]
    view = ScriptedSession(commands(*"abcde")).view()
    assert sorted(in_order(view, SortKey.NAME, names, 0.0)) == [0, 1, 2, 3, 4]


def test_the_order_of_the_list_stays_until_it_is_asked_to_change() -> None:
    session = ScriptedSession(commands(*"abc"), RunOptions(workers=3))
    bridge = bridged(session)
    view = FlatView(bridge, UNICODE, session.now)
    session.fails("b", exit_code=1)
    bridge.advance()
    assert rows_of(view) == ["a", "b", "c"]
    assert view.refresh()
    assert rows_of(view) == ["b", "a", "c"]
    assert not view.refresh()


# -- what has ended well ---------------------------------------------------------------------------------


def test_finished_branches_vanish_and_failures_and_the_selected_row_stay() -> None:
    units = [
        *commands("a"),
        *commands("b", needs=["a"]),
        *commands("c"),
        *commands("d", needs=["c"]),
        *commands("e"),
        *commands("f", needs=["e"]),
    ]
    session = ScriptedSession(units, RunOptions(workers=8))
    session.completes("a", "b", "c", "e", "f")
    session.fails("d", exit_code=1)
    view = DependencyView(bridged(session), UNICODE)
    node = view.node_of(session.number("b"))
    assert node is not None
    assert rows_of(view, unfinished=True, selected=node) == ["a", "b", "c", "d"]
    assert rows_of(view, unfinished=True, selected=view.node_of(session.number("d")) or 0) == ["c", "d"]
    assert rows_of(flat(session), unfinished=True, selected=session.number("d")) == ["d"]


# -- trouble in bundles ----------------------------------------------------------------------------------


def test_a_folded_bundle_shows_a_few_of_each_cause_and_counts_the_rest() -> None:
    units = [unit(f"x[{n}]", family="x", action=COMMAND, retry=RetryPolicy(max=0)) for n in range(20)]
    session = ScriptedSession(units, RunOptions(workers=20))
    for n in range(8):
        session.fails(f"x[{n}]", exit_code=137)
    session.fails("x[9]", exit_code=2)
    bridge = bridged(session)
    view = DependencyView(bridge, UNICODE)
    assert rows_of(view) == ["x[0..19]", "x[0]", "x[1]", "x[2]", "x[9]"]
    assert painted(view, session)[0].endswith("11▸ 9✗ (+5 more)")
    view.unfold(0)
    assert "more" not in painted(view, session)[0]


@given(st.lists(st.dictionaries(st.integers(0, 39), st.sampled_from(UnitState), max_size=12), max_size=60))
def test_whoever_leaves_trouble_makes_room_for_who_waits(steps: list[dict[int, UnitState]]) -> None:
    session = ScriptedSession([unit(f"x[{n}]", family="x", action=COMMAND) for n in range(40)], start=False)
    error = UnitError("ValueError", "bad row 17")
    ends = [UnitFinished(n, 1, 1, UnitState.FAILED, 0.0, error=error) for n in range(40)]
    layout, view = lay_out(session.plan), replace(session.view(), last=pvector(ends))
    states: list[UnitState] = list(view.states)
    tally = Tally(layout, states, view)
    for together in steps:
        before = list(states)
        for number, new in together.items():
            states[number] = new
        tally.follow(together.keys(), before, replace(view, states=pvector(states)))
        troubled = {at for at, state in enumerate(states) if state in TROUBLED}
        assert tally.exposed <= troubled
        assert len(tally.exposed) == min(PER_CAUSE, PER_BUNDLE, len(troubled)), "all have the same error"
        assert len(tally.exposed) + tally.hidden(0) == len(troubled)
        assert +tally.counts[0] == {state: states.count(state) for state in set(states)}


def test_many_causes_do_not_fill_the_screen() -> None:
    units = [unit(f"x[{n}]", family="x", retry=RetryPolicy(max=0)) for n in range(60)]
    session = ScriptedSession(units, RunOptions(workers=60))
    for n in range(60):
        session.fails(f"x[{n}]", UnitError("ValueError", f"bad {chr(97 + n % 26) * (1 + n // 26)}"))
    tally = bridged(session).tree
    assert (len(tally.exposed), tally.hidden(0)) == (PER_BUNDLE, 60 - PER_BUNDLE)


# -- from view to view, and to another plan --------------------------------------------------------------


def test_a_bundle_is_found_again_in_other_views() -> None:
    session = ScriptedSession([unit("a"), *(unit(f"x[{n}]", "a", family="x") for n in range(9))])
    bridge = bridged(session)
    tree, by_level, listed = (
        DependencyView(bridge, UNICODE),
        LevelsView(bridge, UNICODE),
        FlatView(bridge, UNICODE, session.now),
    )
    bundle = tree.bundle(1)
    assert bundle is not None
    assert by_level.label(by_level.node_like(bundle)) == "x[0..8]"
    assert listed.label(listed.node_like(bundle)) == "x[0]"
    assert [kind.next for kind in ViewKind] == [ViewKind.LEVELS, ViewKind.FLAT, ViewKind.DEPENDENCY]


def test_each_view_keeps_its_folds_when_the_plan_grows() -> None:
    session = ScriptedSession([unit("scan"), *(unit(f"x[{n}]", family="x") for n in range(9))], RunOptions(workers=20))
    bridge = bridged(session)
    tree, by_level = DependencyView(bridge, UNICODE), LevelsView(bridge, UNICODE)
    tree.unfold(1)
    session.adds("scan", unit("new"))
    bridge.advance()
    plan, names = bridge.view.plan, bridge.layout.names
    bridge.grow(lay_out(plan, names=names), lay_out(plan, names=names, levels=True))
    for view in (tree, by_level):
        view.follow(replaced=False)
    assert rows_of(tree) == ["scan", "new", "x[0..8]", *(f"x[{n}]" for n in range(9))]
    assert rows_of(by_level) == ["scan", "x[0..8]", "new"]


def test_another_plan_has_the_same_units_by_their_ids() -> None:
    session = ScriptedSession(commands("a", "b", "c"))
    bridge = bridged(session)
    views: list[UnitsView] = [
        DependencyView(bridge, UNICODE),
        LevelsView(bridge, UNICODE),
        FlatView(bridge, UNICODE, session.now),
    ]
    nodes = [(view.node_of(1), view.node_of(2)) for view in views]
    other = ExecutionPlan.build(commands("c", "x", "y"))
    bridge.view = RunView.initial(other)
    bridge.grow(lay_out(other), lay_out(other, levels=True))
    for view, (gone, kept) in zip(views, nodes, strict=True):
        moved = view.follow(replaced=True)
        assert gone is not None and kept is not None
        assert view.label(moved(kept)) == "c"
        assert view.label(moved(gone)) in {"c", "x", "y"}


# -- marks and bars --------------------------------------------------------------------------------------


def test_marks_are_units_and_mark_again_to_unmark() -> None:
    marks = Marks()
    assert marks.toggle([3, 1])
    assert marks.toggle([1, 2])
    assert (marks.units, marks.label, marks.within(0, [1, 2, 9])) == ((1, 2, 3), "3 marked units", 2)
    found = [1, 7]
    assert marks.outside(found) == marks.outside(found) == 2
    assert not marks.toggle([1, 2])
    assert (marks.outside(found), marks.outside([3])) == (1, 0)
    assert (marks.units, marks.label, marks.within(0, [1, 2, 9])) == ((3,), "1 marked unit", 0)


def test_marks_follow_their_units_into_another_plan() -> None:
    marks = Marks()
    marks.toggle([0, 1])
    marks.follow(ExecutionPlan.build(commands("a", "b")), ExecutionPlan.build(commands("c", "b")))
    assert marks.units == (1,)


def test_a_marked_row_says_so_in_a_column_of_its_own() -> None:
    session = ScriptedSession([unit(f"x[{n}]", family="x") for n in range(9)], RunOptions(workers=20))
    view = DependencyView(bridged(session), UNICODE)

    def row(marked: int) -> str:
        return "".join(
            span.text for part in view.paint(0, WIDE._replace(marked=marked, selected=True)) for span in part
        )

    assert [row(marked)[:3] for marked in (0, 4, 9)] == ["› ▸", "›'▸", "›*▸"]
    assert "x[0..8]  9▸ 4*" in row(4)
    assert "x[0..8]  9▸ " in row(9)


@given(
    st.dictionaries(st.sampled_from(UnitState), st.integers(0, 50), min_size=1),
    st.integers(0, 40),
)
def test_a_bar_is_as_wide_as_it_is_to_be(counts: dict[UnitState, int], width: int) -> None:
    assert sum(len(span.text) for span in bar_of(counts, sum(counts.values()), width, ASCII)) == width
