"""What a timeline shows, without a screen: rows by start, bars in cells, the axis, and its title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import COMMAND, diamond, unit
from scripted import START, ScriptedSession

from qtui.core.forecast import CRITICAL_PATH, Part, forecast
from qtui.core.gains import Gain
from qtui.core.model import RetryPolicy, UnitError
from qtui.core.options import RunOptions
from qtui.tui.forecaster import Told
from qtui.tui.format import ASCII, UNICODE, Glyphs, Look
from qtui.tui.laying import lay_out
from qtui.tui.layout import TreeLayout
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.timeaxis import LEAST_CELL, Window, axis, span_of, whole
from qtui.tui.timeline import (
    FOLD_FROM,
    Bar,
    Texture,
    bars_of,
    critical_nodes,
    density,
    folded_line,
    legend,
    line_of,
    row_of,
    rows_of,
    span_of_run,
    starts_of,
    title,
    top_that_follows,
)
from qtui.tui.widgets.lines import Line


class Drawn:
    """A session's timeline, as text."""

    def __init__(self, session: ScriptedSession, *, looks_ahead: bool = False) -> None:
        self.session, self.view, self.now = session, session.view(), session.now()
        self.attempts = Attempts(session.opening.plan)
        self.attempts.take(record.event for record in session.records)
        self.layout: TreeLayout = lay_out(self.view.plan)
        ahead = forecast(self.view, session.options, now=self.now) if looks_ahead else None
        self.told = Told(ahead, self.view) if ahead is not None else None
        self.forecast = ahead
        self.starts = starts_of(self.view, self.attempts, self.forecast)

    def rows(self, *opened: Any) -> list[str]:
        return [self.layout.label(node) for node in rows_of(self.layout, self.starts, opened)]

    def bars(self, name: str) -> list[tuple[float, float, Texture, Look | None]]:
        number = self.view.plan.numbers[name]
        known = self.attempts.of(self.view, number)
        bars = bars_of(self.view, number, known, self.forecast, self.now)
        return [(bar.begin - START, bar.end - START, bar.texture, bar.sign) for bar in bars]

    def cells(
        self, name: str, *, cell: float = 1.0, begin: float = 0.0, width: int = 20, glyphs: Glyphs = ASCII
    ) -> str:
        number = self.view.plan.numbers[name]
        bars = bars_of(self.view, number, self.attempts.of(self.view, number), self.forecast, self.now)
        now = None if self.view.state.ended else self.now
        window = Window(START + begin, cell, width)
        return text_of(line_of("", bars, window, now, glyphs, width=0, critical=False)).removeprefix(" " * 11).rstrip()


def text_of(line: Line) -> str:
    return "".join(span.text for span in line)


def retried() -> ScriptedSession:
    """fetch fails after 3 s, is tried again after 2, and has run 4 s of that; two others wait for it."""
    fetch = unit("fetch", action=COMMAND, retry=RetryPolicy(max=2, delay=2), estimate=6.0)
    session = ScriptedSession([fetch, unit("clean", "fetch", estimate=6.0), unit("docs", "clean", estimate=3.0)])
    session.after(3)
    session.fails("fetch", exit_code=7)
    session.after(2)
    session.after(4)
    return session


# -- bars ------------------------------------------------------------------------------------------------


def test_each_attempt_is_a_bar_and_a_failure_has_its_sign() -> None:
    drawn = Drawn(retried())
    assert drawn.bars("fetch") == [(0, 3, Texture.DONE, Look.FAIL), (5, 9, Texture.RUNNING, None)]
    assert drawn.cells("fetch") == "%%X  ####|"
    assert drawn.cells("fetch", glyphs=UNICODE) == "▓▓✗  ████╎"
    assert drawn.cells("clean") == "         |"


def test_what_is_expected_stands_behind_the_line_of_now() -> None:
    drawn = Drawn(retried(), looks_ahead=True)
    assert drawn.cells("fetch") == "%%X  ####|-"
    assert drawn.cells("clean") == "         | ------"
    assert drawn.cells("docs") == "         |       ---"


def test_a_unit_that_is_ready_is_queued_until_it_is_expected_to_start() -> None:
    session = ScriptedSession([unit("a", estimate=10.0), unit("b", estimate=10.0)], RunOptions(workers=1))
    session.after(4)
    drawn = Drawn(session, looks_ahead=True)
    assert drawn.cells("a") == "####|-----"
    assert drawn.cells("b") == "....|.....----------"
    assert Drawn(session).cells("b") == "....|", "nobody knows when"


def test_the_wait_for_the_next_try_is_told_while_it_lasts() -> None:
    session = retried()
    session.fails("fetch", exit_code=7)
    session.after(1)
    assert Drawn(session).cells("fetch") == "%%X  %%%X.|"


def test_what_was_not_run_has_a_sign_where_that_was_decided() -> None:
    session = diamond()
    session.after(2)
    session.completes("fetch")
    session.after(2)
    session.fails("features", UnitError("ValueError", "bad row 17"))
    session.completes("clean")
    drawn = Drawn(session)
    assert drawn.cells("features") == "  %X"
    assert drawn.cells("train") == "    -", "skipped"
    assert drawn.cells("fetch") == "%%", "and a run that is over has no line of now"


def test_a_short_attempt_has_a_cell_and_none_hides_the_sign_of_another() -> None:
    drawn = Drawn(retried())
    assert drawn.cells("fetch", cell=5) == "X#"
    assert drawn.cells("fetch", cell=60) == "X"


def test_what_is_outside_of_the_window_is_pointed_at() -> None:
    drawn = Drawn(retried(), looks_ahead=True)
    assert drawn.cells("fetch", begin=100) == "<"
    assert drawn.cells("docs", begin=-30, width=10) == "         >"
    assert drawn.cells("fetch", begin=-30, width=10) == "         >"


@given(
    bars=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e9)), max_size=4),
    cell=st.sampled_from([LEAST_CELL, 0.7, 60.0, 1e6]),
    width=st.integers(1, 60),
    now=st.floats(-1e9, 1e9),
)
def test_a_row_fills_its_cells_whatever_the_times(
    bars: list[tuple[float, float]], cell: float, width: int, now: float
) -> None:
    drawn = [Bar(begin, begin + long, Texture.DONE, Look.FAIL) for begin, long in bars]
    line = line_of("a", drawn, Window(0.0, cell, width), now, UNICODE, width=0, critical=True)
    assert len(text_of(line)) == 11 + width
    assert text_of(line).startswith("a        ! ")


# -- rows ------------------------------------------------------------------------------------------------


def test_rows_stand_in_the_order_in_which_units_begin() -> None:
    session = ScriptedSession(
        [unit("late", "long"), unit("long", estimate=30.0), unit("short", estimate=30.0), unit("next", "short")]
    )
    session.after(2)
    session.completes("short")
    drawn = Drawn(session, looks_ahead=True)
    assert drawn.rows() == ["long", "short", "next", "late"]
    assert Drawn(session).rows() == ["long", "short", "next", "late"], "next runs"


def test_a_unit_that_is_tried_again_keeps_its_place() -> None:
    session = retried()
    assert Drawn(session).starts[0] == START
    assert Drawn(session).rows() == ["fetch", "clean", "docs"]


def many(count: int) -> ScriptedSession:
    units = [unit(f"load[{n}]", family="load", estimate=10.0) for n in range(count)]
    return ScriptedSession(
        [*units, unit("merge", "load", estimate=5.0), unit("docs", estimate=1.0)], RunOptions(workers=8)
    )


def test_of_many_units_a_family_has_one_row_until_it_is_opened() -> None:
    drawn = Drawn(many(FOLD_FROM), looks_ahead=True)
    assert drawn.rows() == [f"load[0..{FOLD_FROM - 1}]", "docs", "merge"]
    key = next(bundle.key for bundle in drawn.layout.bundles)
    assert drawn.rows(key)[:3] == [f"load[0..{FOLD_FROM - 1}]", "load[0]", "load[1]"]
    assert len(drawn.rows(key)) == FOLD_FROM + 3
    few = Drawn(many(FOLD_FROM - 2), looks_ahead=True)
    assert len(few.rows()) == FOLD_FROM, "all of fewer units"


def test_a_unit_is_found_in_the_row_that_shows_it() -> None:
    drawn = Drawn(many(FOLD_FROM), looks_ahead=True)
    layout, key = drawn.layout, drawn.layout.bundles[0].key
    folded, opened = rows_of(layout, drawn.starts, ()), rows_of(layout, drawn.starts, {key})
    assert row_of(layout, 3, folded) == layout.bundle_nodes[0]
    assert row_of(layout, 3, opened) == layout.node_of[3]
    assert row_of(layout, key, opened) == layout.bundle_nodes[0]
    assert row_of(layout, len(drawn.starts), folded) is None, "it has just been added"
    small = Drawn(many(10))
    rows = rows_of(small.layout, small.starts, ())
    assert row_of(small.layout, small.layout.bundles[0].key, rows) == small.layout.node_of[0], "its first unit"


def test_what_is_left_of_the_critical_path_is_marked_and_what_holds_it() -> None:
    drawn = Drawn(many(FOLD_FROM), looks_ahead=True)
    marked = {drawn.layout.label(node) for node in critical_nodes(drawn.view, drawn.layout, drawn.forecast)}
    assert {"merge", f"load[0..{FOLD_FROM - 1}]"} <= marked
    assert "docs" not in marked
    assert critical_nodes(drawn.view, drawn.layout, None) == frozenset()


# -- density ---------------------------------------------------------------------------------------------


def test_density_is_how_many_go_on_at_a_time() -> None:
    window = Window(100.0, 10.0, 4)
    assert density(iter([(100.0, 120.0), (110.0, 130.0)]), window) == [1, 2, 1, 0]
    assert density(iter([(104.0, 106.0)]), window) == pytest.approx([0.2, 0, 0, 0])
    assert density(iter([(95.0, 105.0), (135.0, 999.0)]), window) == pytest.approx([0.5, 0, 0, 0.5])
    assert density(iter([(0.0, 50.0), (200.0, 300.0)]), window) == [0, 0, 0, 0]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=20), st.integers(1, 30))
def test_density_loses_no_time_inside_of_the_window(spans: list[tuple[float, float]], width: int) -> None:
    window = Window(25.0, 50 / width, width)
    whole_time = sum(max(0.0, min(b, 75.0) - max(a, 25.0)) for a, b in map(sorted, spans))
    counts = density(((min(span), max(span)) for span in spans), window)
    assert sum(counts) * window.cell == pytest.approx(whole_time, abs=1e-6)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_folded_row_is_as_high_as_much_goes_on_and_shows_failures(glyphs: Glyphs) -> None:
    session = many(FOLD_FROM)
    session.after(4)
    session.fails("load[0]", exit_code=1)
    session.after(4)
    drawn = Drawn(session, looks_ahead=True)
    units = drawn.layout.bundles[0].units
    window = Window(START, 4.0, 50)
    line = folded_line("load", drawn.view, units, drawn.forecast, window, drawn.now, glyphs, width=0, critical=False)
    cells = text_of(line)[11:]
    high = glyphs.spark[-1]
    assert cells[1] == glyphs.sign(Look.FAIL)
    assert cells[2] == ("╎" if glyphs.unicode else "|"), "now"
    assert cells[0] == high and cells[3] == high
    assert cells.endswith(" ")


# -- the window and its axis -----------------------------------------------------------------------------


def test_the_window_has_room_for_all_and_one_of_few_scales() -> None:
    for seconds in (0.001, 1, 59, 422, 86_400, 1e9):
        window = whole(1000.0, 1000.0 + seconds, 70)
        assert window.at(1000.0 + min(seconds, 69 * 2**20)) < 70
        assert window.cell <= max(LEAST_CELL, 1.5 * seconds / 70)
    assert whole(0.0, 420.0, 70) == whole(0.0, 425.0, 70), "a little later is drawn in the same cells"


def test_zooming_keeps_its_middle_and_panning_the_scale() -> None:
    window = Window(100.0, 2.0, 50)
    closer = window.zoomed(1, 150.0)
    assert (closer.begin, closer.cell) == (125.0, 1.0)
    assert closer.zoomed(-1, 150.0) == window
    assert window.panned(1) == Window(125.0, 2.0, 50)
    assert window.panned(1).panned(-1) == window
    assert Window(0.0, LEAST_CELL, 9).zoomed(3, 0.0).cell == LEAST_CELL


def test_rows_that_follow_the_time_have_in_sight_what_is_at_work() -> None:
    assert top_that_follows(0, 10, first=3, begun=5) == 0, "as before"
    assert top_that_follows(0, 10, first=8, begun=10) == 4, "some of what was, and of what comes"
    assert top_that_follows(4, 10, first=5, begun=13) == 4, "as before"
    assert top_that_follows(5, 10, first=2, begun=10) == 2, "what has been at work for long"
    assert top_that_follows(5, 10, first=0, begun=12) == 5, "if there is room for it"
    assert top_that_follows(0, 1, first=5, begun=6) == 6


def test_a_window_that_follows_the_time_moves_seldom() -> None:
    window = Window(0.0, 1.0, 100)
    assert window.holding(89.0) is window
    assert window.holding(90.0) == Window(40.0, 1.0, 100)
    assert window.holding(-1.0) == Window(-51.0, 1.0, 100)


def test_labels_begin_at_their_moments_and_never_overlap() -> None:
    assert axis(Window(0.0, 1.0, 50), 20.0, now=True) == "     -15s           now            +15s".ljust(50)
    assert axis(Window(0.0, 6.0, 40), 0.0, now=False) == "0                   2m".ljust(40)
    for cell in (LEAST_CELL, 0.3, 1, 7, 60, 1000, 1e5, 1e6):
        line = axis(Window(12345.0, cell, 90), 12400.0, now=True)
        assert len(line) == 90
        assert 1 <= len(line.split()) <= 9
    assert axis(Window(0.0, 1.0, 2), 20.0, now=True) == "  "


def test_the_window_begins_with_the_run_and_ends_where_that_is_expected_to() -> None:
    drawn = Drawn(retried(), looks_ahead=True)
    begin, end = span_of_run(drawn.view, drawn.starts, drawn.forecast, drawn.now)
    assert begin == START
    assert end > drawn.now
    assert span_of_run(drawn.view, drawn.starts, None, drawn.now) == (START, drawn.now)


def test_a_night_in_which_nobody_ran_the_run_is_left_out() -> None:
    drawn = Drawn(retried())
    night = 36_000.0
    view = replace(drawn.view, started_at=START + night, opened_at=START + night + 5)
    begin, _ = span_of_run(view, drawn.starts, None, drawn.now + night)
    assert begin == START + night + 5
    assert span_of_run(view, drawn.starts, None, drawn.now + night, idle=True)[0] == START
    short = replace(drawn.view, started_at=START + 2, opened_at=START + 7)
    assert span_of_run(short, drawn.starts, None, drawn.now + 2)[0] == START


# -- words -----------------------------------------------------------------------------------------------


def test_spans_are_told_in_two_units_at_most() -> None:
    spans = [span_of(seconds) for seconds in (-1, 0.4, 40, 422, 3599.6, 3840, 183_600)]
    assert spans == ["0s", "0s", "40s", "7m02s", "1h00m", "1h04m", "2d03h"]


def test_the_title_says_what_would_help_and_is_cut_from_the_right() -> None:
    drawn = Drawn(diamond(), looks_ahead=True)
    assert drawn.told is not None
    worth = Gain("+2 gpu slots", 50.0), Gain("+2 workers", 20.0), Gain("+2 disk slots", 0.0)
    stretches = Part("pool gpu", 70.0), Part(CRITICAL_PATH, 50.0)
    told = Told(replace(drawn.told.forecast, at=drawn.now, stretches=stretches), drawn.view, worth)
    now = drawn.now
    full = title("5", told, now, 200)
    parts = full.split("  ")
    assert parts[0] == "Timeline (5)"
    assert parts[1] == "critical path 50s of 2m00s"
    assert parts[2:] == ["+2 gpu slots would save 50s", "+2 workers would save 20s"]
    assert title("5", told, now, len(full) - 1) == "  ".join(parts[:3])
    assert title("5", told, now, 10) == "Timeline (5)"
    assert title("5", None, now, 80) == "Timeline (5)"
    assert title("5", None, now, 80, rows="rows 1-7 of 16", shows="since noon") == (
        "Timeline (5)  rows 1-7 of 16  since noon"
    )
    assert title("5", None, now, 80, "OSError: gone") == "Timeline (5)  no forecast: OSError: gone"


@pytest.mark.parametrize("over", [False, True])
def test_the_legend_names_all_textures_and_fits(over: bool) -> None:
    words = ["done"] if over else ["done", "running", "queued", "forecast", "critical", "now", "stopping"]
    assert all(
        word in text_of(legend(UNICODE, 200, over=over, ahead=not over, folds=True))
        for word in [*words, "failed", "skipped", "canceled"]
    )
    assert ("now" in text_of(legend(UNICODE, 200, over=over, ahead=not over, folds=True))) is not over
    assert text_of(legend(ASCII, 200, over=over, ahead=not over, folds=True)).isascii()
    assert "forecast" not in text_of(legend(UNICODE, 200, over=over, ahead=False, folds=False))
    for width in range(20, 120):
        assert len(text_of(legend(UNICODE, width, over=over, ahead=not over, folds=True))) <= width


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_sign_of_what_was_means_two_things(glyphs: Glyphs) -> None:
    signs = [span.text for span in legend(glyphs, 300, over=True, ahead=False, folds=True)[::2]]
    assert len(set(signs)) == len(signs)


def test_textures_differ_without_colour() -> None:
    def shown(glyphs: Glyphs) -> Sequence[str]:
        return [
            part
            for part in text_of(legend(glyphs, 200, over=False, ahead=True, folds=True)).split()
            if not part.isalpha()
        ][:6]

    for glyphs in (UNICODE, ASCII):
        assert len(set(shown(glyphs))) == 6
