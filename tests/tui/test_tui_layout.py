"""The tree: each unit once, families folded, rows that stay where they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scenes import unit

from qtui.core.model import QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.tui.laying import lay_out
from qtui.tui.layout import TreeLayout, further_needs
from qtui.tui.match import find_units


def laid_out(*units: QuantumUnit) -> TreeLayout:
    return lay_out(ExecutionPlan.build(units))


def drawn(layout: TreeLayout, rows: list[int] | None = None) -> list[str]:
    if rows is None:
        rows = layout.rows(unfolded=layout.opened, closed=(), exposed=())
    return ["  " * layout.depths[node] + layout.label(node) for node in rows]


def found(layout: TreeLayout, words: str) -> tuple[list[int], set[int]]:
    return layout.matching(find_units(RunView.initial(layout.plan), words))


def family(name: str, count: int, *needs: str) -> list[QuantumUnit]:
    return [unit(f"{name}[{item}]", *needs, family=name) for item in range(count)]


def test_a_unit_stands_under_its_deepest_need_and_names_the_others() -> None:
    layout = laid_out(
        unit("fetch"), unit("clean", "fetch"), unit("features", "clean"), unit("train", "fetch", "features", "clean")
    )
    assert drawn(layout) == ["fetch", "  clean", "    features", "      train"]
    assert further_needs(layout, layout.node_of[3]) == "fetch, clean"


def test_of_needs_equally_deep_the_first_declared_is_the_parent() -> None:
    layout = laid_out(unit("a"), unit("b"), unit("c", "b", "a"))
    assert drawn(layout) == ["a", "b", "  c"]
    assert further_needs(layout, layout.node_of[2]) == "a"


def test_six_siblings_of_one_family_fold_and_what_needs_them_stands_below() -> None:
    layout = laid_out(unit("list"), *family("extract", 6, "list"), unit("merge", "extract"))
    assert drawn(layout) == ["list", "  extract[0..5]", "    merge"]
    assert further_needs(layout, layout.node_of[7]) == ""


def test_five_siblings_do_not_fold() -> None:
    layout = laid_out(unit("list"), *family("extract", 5, "list"))
    assert len(drawn(layout)) == 6


def test_a_family_without_a_run_of_numbers_is_counted() -> None:
    items = [unit(f"grid[{name}]", family="grid") for name in ("a", "b", "c", "d", "e", "f")]
    assert drawn(laid_out(*items)) == ["grid ×6"]


def test_items_named_in_python_are_a_family_too() -> None:
    assert drawn(laid_out(*[unit(f"part[{item}]") for item in range(7)])) == ["part[0..6]"]


def test_a_chain_of_families_takes_a_row_each() -> None:
    units = [unit("manifest"), *family("load", 8, "manifest")]
    units += [unit(f"parse[{item}]", f"load[{item}]", family="parse") for item in range(8)]
    layout = laid_out(*units, unit("report", "parse"))
    assert drawn(layout) == ["manifest", "  load[0..7]", "    parse[0..7]", "      report"]
    one = layout.node_of[units.index(units[-1])]
    assert further_needs(layout, one) == "load[7]"


def test_exposed_members_come_and_go_and_everything_else_stays_in_order() -> None:
    layout = laid_out(unit("list"), *family("extract", 8, "list"), unit("merge", "extract"))
    folded = layout.rows(unfolded=(), closed=(), exposed=())
    exposed = layout.rows(unfolded=(), closed=(), exposed={layout.node_of[3], layout.node_of[5]})
    assert drawn(layout, exposed) == ["list", "  extract[0..7]", "    extract[2]", "    extract[4]", "    merge"]
    assert [node for node in exposed if node in folded] == folded


def test_unfolding_shows_all_members_before_the_dependents() -> None:
    layout = laid_out(unit("list"), *family("extract", 6, "list"), unit("merge", "extract"))
    rows = layout.rows(unfolded={1}, closed=(), exposed=())
    assert [layout.label(node) for node in rows] == [
        "list",
        "extract[0..5]",
        *(f"extract[{i}]" for i in range(6)),
        "merge",
    ]


def test_a_closed_node_hides_what_stands_under_it() -> None:
    layout = laid_out(unit("a"), unit("b", "a"), unit("c", "b"), unit("d"))
    assert drawn(layout, layout.rows(unfolded=(), closed={0}, exposed=())) == ["a", "d"]


def test_a_filter_shows_matches_and_the_way_to_them() -> None:
    layout = laid_out(unit("fetch"), unit("clean", "fetch"), unit("train", "clean"), unit("docs"))
    rows, hits = found(layout, "TRA")
    assert drawn(layout, rows) == ["fetch", "  clean", "    train"]
    assert [layout.label(node) for node in hits] == ["train"]


def test_a_family_that_matches_by_name_stands_for_its_members() -> None:
    layout = laid_out(unit("list"), *family("extract", 20, "list"))
    assert drawn(layout, found(layout, "extract")[0]) == ["list", "  extract[0..19]"]
    assert drawn(layout, found(layout, "extract[17")[0]) == ["list", "  extract[0..19]", "    extract[17]"]


def test_hostile_names_are_safe_before_they_are_drawn() -> None:
    assert laid_out(unit("a\x1b[2J\u202eb")).names == ["ab"]


def test_a_long_chain_needs_no_deep_stack() -> None:
    chain = [unit("c0"), *(unit(f"c{at}", f"c{at - 1}") for at in range(1, 5000))]
    layout = laid_out(*chain)
    assert layout.depths[layout.node_of[4999]] == 4999
    assert layout.ends[0] == 5000


@st.composite
def plans(draw: st.DrawFn) -> ExecutionPlan:
    count = draw(st.integers(1, 30))
    units = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        name = draw(st.sampled_from(["a", "b", "c"]))
        units.append(unit(f"{name}[{number}]", *(units[need].id for need in needs), family=name))
    return ExecutionPlan.build(units)


@given(plans(), st.data())
def test_every_unit_has_one_node_and_subtrees_nest(plan: ExecutionPlan, data: st.DataObject) -> None:
    layout = lay_out(plan)
    assert sorted(unit for unit in layout.units if unit >= 0) == list(range(len(plan)))
    for node in range(len(layout)):
        parent = layout.parents[node]
        assert parent < node < layout.ends[node]
        assert parent < 0 or layout.ends[node] <= layout.ends[parent]
    numbers = st.sets(st.integers(0, len(layout) - 1))
    rows = layout.rows(unfolded=data.draw(numbers), closed=data.draw(numbers), exposed=data.draw(numbers))
    assert rows == sorted(set(rows))
