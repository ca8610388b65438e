"""The pane of units with its keys: views, order, filter, marks, and failures one after another."""

from __future__ import annotations

import pytest
from scenes import COMMAND, fan_out, nightly, unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged

from qtui.core.model import QuantumUnit, RetryPolicy, UnitError
from qtui.core.options import RunOptions
from qtui.tui.views.base import ViewKind
from qtui.tui.views.flat import SortKey
from qtui.tui.widgets import unitrows


def plain(name: str, *needs: str, family: str = "") -> QuantumUnit:
    return unit(name, *needs, family=family, action=COMMAND, retry=RetryPolicy(max=0))


def troubled() -> ScriptedSession:
    """scan -> part[0..29] -> merge; five parts failed: three with exit 137, two with an exception."""
    units = [plain("scan"), *(plain(f"part[{n}]", "scan", family="part") for n in range(30)), plain("merge", "part")]
    session = ScriptedSession(units, RunOptions(workers=40))
    session.completes("scan")
    session.after(2)
    session.fails("part[9]", UnitError("ValueError", "bad row 17"))
    for n in (20, 3, 25):
        session.after(1)
        session.fails(f"part[{n}]", exit_code=137)
    session.fails("part[4]", UnitError("ValueError", "bad row 4"))
    return session


def cursor(stage: Stage) -> str:
    return stage.line_with("›")


def gutters(stage: Stage) -> list[str]:
    return [line[:4] for line in stage.lines() if "part[" in line and "FAIL" in line]


async def test_space_and_star_mark_and_escape_unmarks() -> None:
    async with staged(troubled(), SMALL) as stage:
        tree = stage.main.tree_pane
        await stage.press("space")
        await stage.shows("Units 2/8  1 marked")
        assert tree.targets_label == "1 marked unit"
        await stage.press("space")
        await stage.shows("31 marked")
        await stage.press("k", "space", "escape")
        await stage.hides("marked")
        assert tree.targets == tuple(tree.units)
        await stage.press("g", "asterisk")
        await stage.shows("* marks what a filter finds, or on a failed unit")
        await stage.press("f", "asterisk")
        await stage.shows("3 units marked that failed alike", "3*")
        assert [stage.session.plan.table[number].id for number in tree.targets] == ["part[3]", "part[20]", "part[25]"]
        await stage.press("slash", *"state:run", "enter")
        await stage.shows("3 of 3 marks are hidden by the filter")
        await stage.press("asterisk")
        await stage.shows("25 units marked that the filter finds")
        assert len(tree.marks) == 28
        await stage.press("asterisk", "escape")
        await stage.shows("3 marked")
        await stage.press("escape")
        await stage.hides("marked")


@pytest.mark.parametrize(("size", "keys"), [((40, 12), ""), (SMALL, "51"), (SMALL, "5"), ((200, 60), "z")])
async def test_f_has_the_log_on_the_screen_wherever_one_comes_from(size: tuple[int, int], keys: str) -> None:
    session = troubled()
    async with staged(session, size) as stage:
        await stage.press("1", *keys)
        await stage.until(lambda: not stage.main.log_pane.display, "no log")
        await stage.press("f")
        await stage.until(lambda: stage.main.log_pane.display, "a log")
        selected = stage.main.tree_pane.unit
        assert stage.main.log_pane.shown == (selected, 1)
        assert stage.main.tree_pane.display is (size != (40, 12)), "the units stand beside it where there is room"
        await stage.press("f")
        await stage.until(lambda: stage.main.log_pane.shown not in (None, (selected, 1)), "the log of the next one")


async def test_f_leaves_the_tab_that_is_open() -> None:
    async with staged(troubled(), SMALL) as stage:
        await stage.press("w", "f")
        await stage.shows("[Why]")


async def test_f_goes_to_one_of_each_cause_then_to_the_next_and_says_how_many_there_are() -> None:
    async with staged(troubled(), SMALL) as stage:
        seen = []
        for at in ("1/2 (1 of 3", "2/2 (1 of 2", "1/2 (2 of 3", "2/2 (2 of 2", "1/2 (3 of 3", "1/2 (1 of 3"):
            await stage.press("f")
            await stage.shows(f"cause {at} units, * marks them): ")
            seen.append(stage.main.tree_pane.label)
        assert seen == ["part[20]", "part[9]", "part[3]", "part[4]", "part[25]", "part[20]"]
        assert "exit 137" in stage.text()


async def test_the_selection_goes_with_its_unit_from_view_to_view() -> None:
    session = nightly()
    async with staged(session, MEDIUM) as stage:
        await stage.select("grid[lr=0.01]")
        y = stage.lines().index(cursor(stage))
        for heading in ("Units by level", "Units by state", "Units "):
            await stage.press("t")
            await stage.shows(heading)
            assert "grid[lr=0.01]" in cursor(stage)
        assert stage.lines().index(cursor(stage)) == y
        await stage.press("o")
        await stage.shows("Units by state", "t goes on to the tree")
        await stage.press("o", "o", "o", "o")
        await stage.shows("Units by name")
        assert stage.main.tree_pane.sorted_by is SortKey.NAME
        await stage.press("h")
        await stage.shows("nothing folds in this list; t shows another view")
        await stage.press("t", "g", "h")
        await stage.shows("(+")


async def test_a_row_under_the_cursor_stays_while_the_list_is_sorted() -> None:
    session = fan_out(60, workers=30)
    session.completes("list_files")
    async with staged(session, SMALL) as stage:
        stage.main.tree_pane.show_view(ViewKind.FLAT)
        await stage.select("extract[25]")
        y = stage.lines().index(cursor(stage))
        for n in (24, 26, 27):
            session.fails(f"extract[{n}]", exit_code=1)
        await stage.until(lambda: "extract[24]" not in "".join(stage.lines()[y - 1 : y]), "sorted anew")
        assert "extract[25]" in stage.lines()[y]


async def test_what_ended_well_folds_away_and_comes_back() -> None:
    session = ScriptedSession([plain(name) for name in ("a", "b", "c", "d")], RunOptions(workers=8))
    session.completes("a", "b")
    async with staged(session, SMALL) as stage:
        await stage.press("G", "full_stop")
        await stage.shows("Units 2/2  2 finished folded", "what has ended well is folded away")
        assert stage.main.tree_pane.label == "d"
        session.completes("c")
        await stage.shows("Units 1/1  3 finished folded")
        await stage.press("full_stop")
        await stage.shows("Units 4/4", "all units are on show")
        await stage.press("slash", *"state:ok", "enter", "full_stop")
        await stage.shows("the filter decides what is on show")


async def test_a_filter_by_state_follows_the_run_and_says_when_it_makes_no_sense() -> None:
    session = fan_out(3, workers=8)
    async with staged(session, SMALL) as stage:
        await stage.press("slash", *"state:bogus")
        await stage.shows("state:bogus is no state; there are wait queue")
        await stage.press("enter")
        await stage.shows(" state:bogus is no state", "Units 1/6")
        await stage.press("slash", *"state:run", "enter")
        await stage.shows("list_files")
        assert "merge" not in stage.text()
        session.completes("list_files")
        await stage.shows("extract[2]", "filter: state:run; n N next, esc clears")


async def test_what_is_run_again_stays_in_sight_until_the_filter_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unitrows, "ORDER_SECONDS", 0.0)
    session = troubled()
    async with staged(session, MEDIUM) as stage:
        await stage.press("slash", *"state:failed", "enter")
        await stage.shows("Units /state:failed  3/7  5 found")
        await stage.press("f", "r")
        await stage.until(lambda: session.requests, "run again")
        (again,) = session.requests[0].units
        name = session.view().plan.table[again].id
        session.completes(name)
        await stage.until(lambda: name in cursor(stage) and "ok" in cursor(stage), "what became of it")
        session.fails("part[7]", exit_code=1)
        tree = stage.main.tree_pane
        await stage.until(lambda: session.number("part[7]") in (tree.found or ()), "what fails meanwhile joins it")
        assert again in (tree.found or ()) and name in cursor(stage)
        await stage.press("slash", *"state:failed", "enter")
        assert again not in (tree.found or ())


async def test_a_filter_that_finds_nothing_any_more_says_so_where_the_rows_were() -> None:
    session = ScriptedSession([plain("a"), plain("b", "a")], RunOptions(workers=8))
    async with staged(session, SMALL) as stage:
        await stage.press("slash", *"state:run", "enter")
        await stage.shows("filter: state:run")
        session.completes("a", "b")
        await stage.shows("nothing matches state:run now; esc shows all")
        await stage.press("escape")
        await stage.shows("Units 1/2")


async def test_the_brief_list_stays_at_what_needs_eyes_until_somebody_moves() -> None:
    session = fan_out(30, workers=8)
    session.completes("list_files")
    async with staged(session, (40, 12)) as stage:
        tree = stage.main.tree_pane
        tree.brief = False
        await stage.select("merge")
        tree.brief = True
        await stage.until(lambda: "extract[0]" in cursor(stage), "the first that runs")
        session.fails("extract[3]", exit_code=1)
        await stage.until(lambda: "extract[3]" in cursor(stage), "what is in trouble comes first")
        tree.brief = False
        await stage.until(lambda: tree.label == "merge", "what was selected before")
        tree.brief = True
        await stage.press("j")
        moved = tree.label
        tree.brief = False
        assert tree.label == moved
        assert tree.view_kind is ViewKind.DEPENDENCY
