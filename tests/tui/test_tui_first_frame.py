"""What the first frame does without, and that it is there all the same when somebody wants it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scenes import COMMAND, unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, staged

from qtui.tui import later
from qtui.tui.panes import Pane
from qtui.tui.widgets.filter import FilterInput


def one_unit() -> ScriptedSession:
    return ScriptedSession([unit("fetch", action=COMMAND)])


def test_the_dashboard_imports_nothing_that_only_keys_need() -> None:
    code = "import sys, qtui.tui.app; from qtui.tui.later import MODULES; print(*sys.modules.keys() & {*MODULES})"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert imported.stdout.split() == []


async def test_what_keys_need_is_imported_behind_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    later.import_later()  # all of them are there
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    monkeypatch.setattr(later, "MODULES", ("colorsys",))
    async with staged(one_unit(), SMALL) as stage:
        await stage.until(lambda: "colorsys" in sys.modules, "what comes later")


async def test_the_line_of_the_filter_is_made_once_and_takes_what_is_typed_at_it_at_once() -> None:
    async with staged(one_unit(), SMALL) as stage:
        assert not stage.main.query(FilterInput)
        for _ in range(2):
            await stage.press("slash", *"fet")
            await stage.shows("Units /fet  1/1")
            await stage.press("escape")
            await stage.until(lambda: not stage.main.tree_pane.filter, "no filter")
        assert len(stage.main.query(FilterInput)) == 1


async def test_the_stylesheet_is_read_with_the_theme_that_the_screen_has() -> None:
    async with staged(one_unit(), SMALL) as stage:
        assert stage.app.theme == "ansi-dark"
        assert stage.app.stylesheet._variables == stage.app.get_css_variables()


async def test_only_the_pane_with_the_focus_has_its_border() -> None:
    async with staged(one_unit(), MEDIUM) as stage:
        for number, focused in enumerate(Pane, 1):
            await stage.press(str(number))
            await stage.pilot.pause()
            blue = [pane for pane in Pane if stage.main.query_one(f"#{pane}").styles.border_top[1].ansi == 12]
            assert blue == [focused]
