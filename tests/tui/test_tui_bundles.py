"""Groups, their items and included workflows in the tree: one row each, folded by itself, acted on as one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scenes import unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged

from qtui.core.model import QuantumUnit, RetryPolicy
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRequested, RetryRequested
from qtui.loaders.load import load_definition
from qtui.tui import retrying, steering
from qtui.tui.laying import lay_out
from qtui.tui.layout import TreeLayout, further_needs
from qtui.tui.match import find_units
from qtui.tui.scopes import Kind
from qtui.tui.steering import Ask, Note

STEPS = ("trim", "align", "sort", "call")


def steps(items: int, *needs: str, group: str = "sample", names: tuple[str, ...] = STEPS) -> list[QuantumUnit]:
    """The steps of a sample sheet: those of an item follow one another."""
    units = []
    for step, before in zip(names, ((), *((name,) for name in names)), strict=False):
        for number in range(items):
            item = f"[id=s{number}]"
            keys = {"family": step, "group": group, "item": item, "retry": RetryPolicy(max=0)}
            units.append(unit(f"{step}{item}", *(before or needs), **keys))
    return units


def inner(name: str, *needs: str, workflow: str = "docs") -> QuantumUnit:
    return unit(f"{workflow}.{name}", *(f"{workflow}.{need}" for need in needs), workflow=workflow)


def docs(pages: int) -> list[QuantumUnit]:
    return [
        inner("outline"),
        *(inner(f"page_{chr(97 + page)}", "outline") for page in range(pages)),
    ]


def laid_out(*units: QuantumUnit) -> TreeLayout:
    return lay_out(ExecutionPlan.build(units))


def drawn(layout: TreeLayout, *unfolded: str, exposed: tuple[int, ...] = ()) -> list[str]:
    more = {node for node in layout.bundle_nodes if layout.label(node) in unfolded}
    rows = layout.rows(unfolded=layout.opened | more, closed=(), exposed={layout.exposing(unit) for unit in exposed})
    return ["  " * layout.depths[node] + ("┆ " if layout.members[node] else "") + layout.label(node) for node in rows]


# -- where things stand ----------------------------------------------------------------------------------


def test_a_sample_sheet_is_one_row_between_what_it_needs_and_what_needs_it() -> None:
    layout = laid_out(unit("index"), *steps(500, "index"), unit("report", "call"))
    assert drawn(layout) == ["index", "  sample ×500", "    report"]
    assert [further_needs(layout, node) for node in layout.rows(unfolded=(), closed=(), exposed=())] == ["", "", ""]


def test_a_group_unfolds_to_its_items_and_an_item_to_its_units() -> None:
    layout = laid_out(*steps(6), unit("report", "call"))
    assert drawn(layout, "sample ×6", "sample[id=s1]") == [
        "sample ×6",
        "  ┆ sample[id=s0]",
        "  ┆ sample[id=s1]",
        "    ┆ trim[id=s1]",
        "      align[id=s1]",
        "        sort[id=s1]",
        "          call[id=s1]",
        *(f"  ┆ sample[id=s{number}]" for number in (2, 3, 4, 5)),
        "  report",
    ]


def test_a_group_of_few_items_begins_unfolded() -> None:
    layout = laid_out(*steps(3), unit("report", "call"))
    assert drawn(layout) == ["sample ×3", *(f"  ┆ sample[id=s{number}]" for number in range(3)), "  report"]


def test_an_item_in_trouble_is_a_row_of_its_folded_group_in_its_place() -> None:
    units = [*steps(8), unit("report", "call")]
    layout = laid_out(*units)
    calm = drawn(layout)
    align, trim = 8 + 5, 2
    troubled = drawn(layout, exposed=(align, trim, 2 * 8 + 5))
    assert troubled == ["sample ×8", "  ┆ sample[id=s2]", "  ┆ sample[id=s5]", "  report"]
    assert [row for row in troubled if row in calm] == calm


def test_items_of_a_single_unit_are_a_family() -> None:
    assert drawn(laid_out(*steps(8, names=("trim",)))) == ["trim[0..7]"]


def test_a_matrix_inside_of_an_item_folds_inside_of_it() -> None:
    item = {"group": "sample", "item": "[id=s1]"}
    units = [unit("load[id=s1]", family="load", **item)]
    units += [unit(f"part[id=s1,n={n}]", "load", family="part", **item) for n in range(7)]
    layout = laid_out(*units, *(unit(f"{name}[id=s2]", family=name, group="sample", item="[id=s2]") for name in "ab"))
    assert drawn(layout, "sample[id=s1]")[:4] == [
        "sample ×2",
        "  ┆ sample[id=s1]",
        "    ┆ load[id=s1]",
        "      part[0..6]",
    ]


def test_an_included_workflow_is_a_node_around_its_own_tree() -> None:
    layout = laid_out(unit("fetch"), *docs(2), unit("publish", "fetch", "docs.page_b"))
    assert drawn(layout) == [
        "fetch",
        "docs.*",
        "  ┆ docs.outline",
        "    docs.page_a",
        "    docs.page_b",
        "  publish",
    ]
    assert further_needs(layout, layout.node_of[4]) == "fetch"


def test_a_large_included_workflow_begins_folded() -> None:
    layout = laid_out(*docs(9), unit("publish", "docs.*"))
    assert drawn(layout) == ["docs.*", "  publish"]


def test_a_workflow_file_says_what_is_included(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text('[units.one]\nrun = "true"\n[units.two]\nrun = "true"\n')
    (tmp_path / "docs.toml").write_text(
        '[workflow]\nname = "d"\ninclude = { api = "deep.toml" }\n[units.page]\nneeds = ["api.one"]\nrun = "true"\n'
    )
    (tmp_path / "main.toml").write_text('[workflow]\nname = "m"\ninclude = { docs = "docs.toml" }\n')
    units = load_definition(str(tmp_path / "main.toml")).units
    assert drawn(laid_out(*units)) == [
        "docs.*",
        "  ┆ docs.api.*",
        "    ┆ docs.api.one",
        "    ┆ docs.api.two",
        "    docs.page",
    ]


def test_names_with_dots_are_no_included_workflow() -> None:
    assert drawn(laid_out(unit("fetch.raw"), unit("fetch.meta"))) == ["fetch.raw", "fetch.meta"]


def test_workflows_nest_and_one_that_holds_a_single_thing_is_no_row() -> None:
    deep = [inner("one", workflow="docs.api"), inner("two", "one", workflow="docs.api")]
    assert drawn(laid_out(*deep)) == ["docs.api.*", "  ┆ docs.api.one", "    docs.api.two"]
    assert drawn(laid_out(*docs(1), *deep))[:2] == ["docs.*", "  ┆ docs.outline"]
    assert "  ┆ docs.api.*" in drawn(laid_out(*docs(1), *deep))


def test_a_unit_between_two_steps_of_a_group_makes_no_circle() -> None:
    units = [*steps(6, names=("trim",)), unit("middle", "trim")]
    units += [unit(f"align[id=s{n}]", "middle", family="align", group="sample", item=f"[id=s{n}]") for n in range(6)]
    assert drawn(laid_out(*units)) == ["sample ×6", "  middle"]


def test_a_filter_finds_items_and_a_group_stands_for_all_of_it() -> None:
    layout = laid_out(unit("index"), *steps(12, "index"))

    def found(text: str) -> list[str]:
        return [layout.label(node) for node in layout.matching(find_units(RunView.initial(layout.plan), text))[0]]

    assert found("SAMPLE[id=s7") == ["index", "sample ×12", "sample[id=s7]"]
    assert found("sample[") == ["index", "sample ×12"]
    assert found("align[id=s7") == ["index", "sample ×12", "sample[id=s7]", "trim[id=s7]", "align[id=s7]"]


def test_every_unit_is_in_the_bundles_around_it() -> None:
    layout = laid_out(*steps(3), *docs(2))
    kinds = {bundle.label: (bundle.kind, len(bundle.units)) for bundle in layout.bundles}
    assert kinds["sample ×3"] == (Kind.GROUP, 12)
    assert kinds["sample[id=s1]"] == (Kind.ITEM, 4)
    assert kinds["docs.*"] == (Kind.WORKFLOW, 3)
    assert [layout.label(node) for node in layout.holders(layout.node_of[1])] == ["sample[id=s1]", "sample ×3"]


# -- acting on all of it ---------------------------------------------------------------------------------


def asked(answer: object) -> Ask:
    assert isinstance(answer, Ask)
    return answer


def test_canceling_an_item_names_its_units_by_what_they_do_and_the_dependents() -> None:
    session = ScriptedSession([*steps(2), unit("report", "call")], RunOptions(workers=1))
    item = [session.number(f"{step}[id=s0]") for step in STEPS]
    answer = asked(steering.cancel(session.view(), item, "sample[id=s0]"))
    assert answer.text == "cancel 4 units of sample[id=s0]: 1 running, 3 waiting; 1 dependent will be skipped"
    assert [option.action.request for option in answer.options] == [CancelRequested(tuple(item))]


def test_canceling_what_is_stopping_already_says_that_it_will_be_killed() -> None:
    session = ScriptedSession(steps(1))
    session.post(CancelRequested((0,)))
    answer = asked(steering.cancel(session.view(), [0, 1], "sample[id=s0]"))
    told = "cancel 2 units of sample[id=s0]: 1 stopping (to be killed), 1 waiting; 2 dependents will be skipped"
    assert answer.text == told


def test_what_was_skipped_for_a_unit_elsewhere_names_that() -> None:
    session = ScriptedSession([unit("index"), *steps(2, "index")])
    session.fails("index")
    item = [session.number(f"{step}[id=s0]") for step in STEPS]
    answer = retrying.retry_units(session.view(), item, "sample[id=s0]")
    assert answer == Note("sample[id=s0] was skipped because of index: run that again")


# -- on the screen ---------------------------------------------------------------------------------------


def sheet(items: int = 12, *, workers: int = 3) -> ScriptedSession:
    units = [unit("index"), *steps(items, "index"), unit("report", "call")]
    session = ScriptedSession(units, RunOptions(workers=workers))
    session.completes("index")
    return session


async def selects(stage: Stage, label: str) -> None:
    """Move the cursor, with the keys, to the row that is so called."""
    await stage.press("g")
    while stage.main.tree_pane.label != label:
        before = stage.main.tree_pane.selected
        await stage.press("j")
        assert stage.main.tree_pane.selected != before, f"{label} is on no row:\n{stage.text()}"


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("size", [SMALL, MEDIUM, (200, 60)])
async def test_an_item_tells_in_its_row_how_far_each_unit_is(size: tuple[int, int], ascii: bool) -> None:
    session = sheet()
    async with staged(session, size, ascii=ascii) as stage:
        session.completes("trim[id=s0]", "trim[id=s1]")
        session.fails("align[id=s0]", exit_code=4)
        session.progresses("align[id=s1]", 3, 10)
        times, guide, signs = ("x", ":", "+X--") if ascii else ("×", "┆", "✓✗↷↷")
        await stage.shows(f"sample {times}12")
        await stage.until(lambda: signs in stage.text(), "the item in trouble")
        row = stage.line_with("sample[id=s0]")
        assert re.search(rf"FAIL +{guide}  {re.escape(signs)} sample\[id=s0\]  align exit 4", row)
        await selects(stage, f"sample {times}12")
        await stage.press("l")
        running = "+>.." if ascii else "✓▸∙∙"
        await stage.shows(f"{running} sample[id=s1]  align 30%")
        assert not ascii or stage.text().isascii()


async def test_the_rest_of_the_screen_stays_while_a_group_works() -> None:
    session = sheet()
    async with staged(session, MEDIUM) as stage:
        await stage.shows("sample ×12")
        places = [stage.lines().index(stage.line_with(name)) for name in ("index", "sample ×12", "report")]
        for number in range(12):
            for step in STEPS:
                session.completes(f"{step}[id=s{number}]")
                await stage.pilot.pause()
                assert places == [
                    stage.lines().index(stage.line_with(f" {name}")) for name in ("index", "sample ×12", "report")
                ]
        await stage.until(lambda: "48✓" in stage.line_with("sample ×12"), "all counted")


async def test_the_pane_beside_a_group_counts_its_steps_and_names_what_failed() -> None:
    session = sheet()
    session.completes("trim[id=s0]")
    session.fails("align[id=s0]", exit_code=4)
    async with staged(session, (200, 60)) as stage:
        await selects(stage, "sample ×12")
        await stage.shows("1 of 12 items have ended", "4 of 48 units have ended")
        await stage.shows("trim   ✓ ok 1  ▸ run 3  ⋮ queue 8", "sort   ∙ wait 11  ↷ skip 1", "align[id=s0]  exit 4")
        await selects(stage, "sample[id=s0]")
        await stage.shows("↷ skip        call[id=s0]  because align[id=s0]")


async def test_x_on_an_item_asks_once_and_hits_only_that() -> None:
    session = sheet()
    async with staged(session) as stage:
        await selects(stage, "sample ×12")
        await stage.press("l", "j", "x")
        await stage.shows("cancel 4 units of sample[id=s0]: 1 running, 3 waiting; 1 dependent will", "be skipped")
        await stage.press("y")
        await stage.shows("⊗⊘⊘⊘ sample[id=s0]")
        session.stops("trim[id=s0]")
        await stage.shows("⊘⊘⊘⊘ sample[id=s0]")
        assert [request.units for request in session.requests] == [
            tuple(session.number(f"{step}[id=s0]") for step in STEPS)
        ]
        await stage.press("x")
        await stage.shows("sample[id=s0] have ended")


async def test_x_on_an_included_workflow_hits_all_of_it() -> None:
    session = ScriptedSession([*docs(2), unit("publish", "docs.page_a"), unit("other")])
    async with staged(session) as stage:
        await stage.press("g", "x")
        await stage.shows("cancel 3 units of docs.*: 1 running, 2 waiting; 1 dependent")
        await stage.press("y")
        await stage.until(lambda: session.requests == [CancelRequested((0, 1, 2))], "the request")


async def test_r_on_a_group_runs_again_what_failed_and_what_was_skipped_for_it() -> None:
    session = sheet()
    for number in (0, 1):
        session.completes(f"trim[id=s{number}]")
        session.fails(f"align[id=s{number}]")
    async with staged(session, MEDIUM) as stage:
        await selects(stage, "sample ×12")
        await stage.press("r")
        await stage.shows("2 units, and 5 skipped", "because of them?")
        await stage.press("y")
        failed = tuple(session.number(f"align[id=s{number}]") for number in (0, 1))
        await stage.until(lambda: session.requests == [RetryRequested(failed)], "the request")
        await stage.hides("↷↷")


async def test_f_opens_the_failed_unit_of_an_item_and_leaving_it_folds_the_item_again() -> None:
    session = sheet()
    session.completes("trim[id=s0]")
    session.prints("align[id=s0]", "no space left\n")
    session.fails("align[id=s0]", exit_code=4)
    async with staged(session) as stage:
        await stage.press("f")
        await stage.until(lambda: "align[id=s0]  exit 4" in stage.line_with("›"), "the unit selected")
        await stage.shows("no space left")
        await stage.press("G")
        await stage.until(lambda: "┆  ┆  " not in stage.text(), "the unit folded away")
        assert "✓✗↷↷ sample[id=s0]" in stage.text()


async def test_an_item_of_many_units_shows_counts() -> None:
    names = tuple(f"step{number}" for number in range(20))
    session = ScriptedSession(steps(2, names=names))
    async with staged(session) as stage:
        await stage.shows("sample[id=s0]  1▸ 19∙")


async def test_hostile_names_of_groups_and_workflows_are_safe() -> None:
    evil = "\x1b[2J\u202e"
    units = [
        unit(f"{step}[{n}]", group=f"g{evil}", item=f"[{n}{evil}]", family=step, workflow=f"w{evil}")
        for n in range(2)
        for step in ("a", "b")
    ]
    session = ScriptedSession([*units, unit("plain", workflow=f"w{evil}")])
    async with staged(session, MEDIUM) as stage:
        await stage.shows("w.*", "g ×2", "g[0]")
        await stage.press("g", "x")
        await stage.shows("5 units of w.*")
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(stage.lines()))
