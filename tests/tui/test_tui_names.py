"""Names in little room: what tells the units of a family apart is the last that is cut, and goes before the reason."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from scenes import COMMAND, unit
from scripted import ScriptedSession
from stage import staged
from test_tui_forecasts import told_of

from qtui.core.model import UnitError
from qtui.core.options import RunOptions
from qtui.tui.bridge import Bridge
from qtui.tui.forecaster import Forecaster, Past
from qtui.tui.format import ASCII, UNICODE
from qtui.tui.laying import lay_out
from qtui.tui.rows import Drawing, RowPainter, gutter_width
from qtui.tui.shortnames import ShortNames

TABLES, SHARDS = ("users", "orders", "items"), (1, 2, 3)
IMPORTS = tuple(f"import[table={table},shard={shard}]" for table in TABLES for shard in SHARDS)


def short_names(*names: str) -> ShortNames:
    session = ScriptedSession([unit(name) for name in names])
    return ShortNames(session.plan, names)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (28, "import[table=orders,shard=1]"),
        (26, "import[tab…orders,shard=1]"),
        (23, "import[…orders,shard=1]"),
        (14, "impo…orders…1]"),
        (10, "…orders…1]"),
        (8, "orders…1"),
        (6, "or…s…1"),
    ],
)
def test_what_a_family_shares_is_cut_first_and_then_the_rest_of_it(width: int, shown: str) -> None:
    names = short_names(*IMPORTS, "other")
    assert names.within(IMPORTS.index("import[table=orders,shard=1]"), width, "…") == shown


@pytest.mark.parametrize("width", [9, 12, 17, 20, 24, 27])
def test_no_two_names_of_a_family_look_alike(width: int) -> None:
    names = short_names(*IMPORTS)
    shown = {names.within(number, width, "~") for number in range(len(IMPORTS))}
    assert len(shown) == len(IMPORTS)
    assert all(len(each) <= width for each in shown)


async def test_the_title_of_the_log_tells_the_units_of_a_family_apart() -> None:
    session = ScriptedSession([unit(name) for name in IMPORTS], RunOptions(workers=9))
    async with staged(session, (40, 12)) as stage:
        titles = set()
        for name in IMPORTS:
            await stage.select(name)
            number = session.number(name)
            await stage.until(lambda number=number: stage.main.log_pane.shown == (number, 1), "its log")  # type: ignore[misc]
            await stage.press("2")
            await stage.until(lambda: stage.main.log_pane.size.width, "a width")
            await stage.pilot.pause()
            titles.add(str(stage.main.log_pane.border_title))
            await stage.press("1")
        assert len(titles) == len(IMPORTS)


def test_words_dates_and_numbers_are_not_taken_apart() -> None:
    days = short_names(*(f"rebuild_the_index[day=2024-01-1{n},mode=fast]" for n in range(7)))
    assert days.within(3, 20, "…") == "rebuild_…2024-01-13…"
    parts = short_names(*(f"a_part_of_many[{n}]" for n in range(120)))
    assert [parts.within(n, 12, "…") for n in (7, 119)] == ["a_part_of…7]", "a_part_…119]"]


def test_a_name_without_a_family_keeps_both_of_its_ends() -> None:
    names = short_names("check_everything_again", "only[child=of_its_family]", *IMPORTS)
    assert names.within(0, 11, "…") == "check…again"
    assert names.within(1, 13, "…") == "only[c…amily]"


# -- rows ------------------------------------------------------------------------------------------------


def texts_of(session: ScriptedSession, names: Sequence[str], room: int, past: Past | None = None) -> list[str]:
    """The rows of these units in the list, without their gutters."""
    bridge = Bridge(session, lay_out(session.plan))
    if past is not None:
        forecaster = Forecaster(session, dict)
        forecaster.latest = told_of(session, past)
        bridge.outlook.take(forecaster, bridge.view)
    painter = RowPainter(bridge.tree, bridge, UNICODE)
    drawing = Drawing(now=session.now(), width=room + gutter_width(words=True), words=True)
    rows = [painter.flat_row(session.number(name), "", drawing).body for name in names]
    texts = ["".join(span.text for span in row) for row in rows]
    assert {len(text) for text in texts} == {room}
    return [text.rstrip() for text in texts]


def test_the_name_goes_before_a_reason_but_bad_news_has_some_room() -> None:
    units = [unit(name, action=COMMAND, pools={"db": 1}) for name in IMPORTS]
    session = ScriptedSession(units, RunOptions(workers=9, pools={"db": 1}))
    first, held = IMPORTS[:2]
    assert texts_of(session, [held], 48) == [f"{held}  held by import[tab…"]
    assert texts_of(session, [held], 34) == [held]
    session.fails(first, UnitError("exit", "exit 28", exit_code=28, last_line="no space left on device"))
    assert texts_of(session, [first], 34) == ["import[…users…1]  exit 28: no spa…"]
    assert texts_of(session, [first], 20) == ["imp…users…1]"]


def test_what_is_soon_has_a_column_that_a_longer_name_does_not_lose() -> None:
    names = [f"train[model={name}]" for name in ("a", "b", "one_of_many", "one_whose_name_is_as_long_as_a_row")]
    session = ScriptedSession([unit(name, pools={"gpu": 1}) for name in names], RunOptions(pools={"gpu": 1}))
    rows = texts_of(session, names, 45, {name: [60.0] * 9 for name in names})
    assert rows[0].endswith(" ~1m left")
    assert [row[-6:] for row in rows[1:]] == ["in ~1m", "in ~2m", "in ~3m"]
    assert {len(row) for row in rows} == {45}
    assert rows[1].startswith("train[model=b]  held by train[")


def test_in_ascii_nothing_else_is_drawn() -> None:
    assert short_names(*IMPORTS).within(0, 10, ASCII.ellipsis).isascii()
