"""What is no plain success and yet nothing that anybody has to do something about: allowed failures, and units that a
person has set aside."""

from __future__ import annotations

from collections import Counter

from scenes import COMMAND, unit
from scripted import ScriptedSession
from stage import MEDIUM, staged

from qtui.core.model import QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.stimuli import SetAsideRequested
from qtui.tui.bars import bar_of
from qtui.tui.bridge import Bridge
from qtui.tui.details import after_output
from qtui.tui.format import UNICODE, Look, cause_of, look_of
from qtui.tui.happenings import event_text
from qtui.tui.laying import lay_out
from qtui.tui.layout import add_names
from qtui.tui.roles import Role
from qtui.tui.rows import Drawing, RowPainter, bundle_look, bundle_looks
from qtui.tui.views.flat import SortKey, in_order
from qtui.tui.widgets.header import counts_line, look_counts

DRAWING = Drawing(now=0.0, width=100, words=True)


def of_commands(*units: QuantumUnit) -> ScriptedSession:
    return ScriptedSession(units, RunOptions(workers=8))


def some_allowed() -> ScriptedSession:
    """Two lints have failed as they may, alike, and then build, which may not."""
    session = of_commands(*(unit(f"lint{n}", action=COMMAND, allow_failure=True) for n in (1, 2)), unit("build"))
    session.fails("lint1", exit_code=3)
    session.fails("lint2", exit_code=3)
    session.after(1)
    session.fails("build")
    return session


def test_an_allowed_failure_is_calmer_than_another_and_says_in_words_that_it_may_be() -> None:
    session = some_allowed()
    bridge = Bridge(session, lay_out(session.plan))
    painter = RowPainter(bridge.tree, bridge, UNICODE)
    rows = [painter.row(bridge.layout.node_of[session.number(name)], DRAWING) for name in ("lint1", "build")]
    words = [{span.text: span.style for span in row.gutter} for row in rows]
    assert words[0]["fail"] is Role.WARNING and words[1]["FAIL"] is Role.LOUD_ERROR
    assert "allowed" in "".join(span.text for span in rows[0].body)
    assert Role.ERROR not in {span.style for span in (*rows[0].gutter, *rows[0].body)}


def test_the_header_counts_allowed_failures_apart() -> None:
    session = some_allowed()
    bridge = Bridge(session, lay_out(session.plan))
    counts = look_counts(session.view(), allowed=Counter(session.view().states[n] for n in bridge.allowed))
    assert (counts[Look.FAIL], counts[Look.ALLOWED]) == (1, 2)
    line = "".join(span.text for span in counts_line(counts, 0, 120, UNICODE))
    assert "✗ FAIL 1" in line and "× allowed 2" in line
    bar = bar_of(session.view().counts, 3, 30, UNICODE, allowed=2)
    assert sum(len(span.text) for span in bar if span.style is Role.ERROR) == 10


def test_a_bundle_tells_allowed_failures_from_others() -> None:
    view = some_allowed().view()
    counts = Counter({UnitState.FAILED: 3, UnitState.COMPLETED: 5})
    assert bundle_look(counts, view, {UnitState.FAILED: 2}) is Look.FAIL
    assert bundle_look(counts, view, {UnitState.FAILED: 3}) is Look.ALLOWED
    assert bundle_looks(counts, view, {UnitState.FAILED: 2}) == [(Look.OK, 5), (Look.FAIL, 1), (Look.ALLOWED, 2)]
    family = of_commands(*(unit(f"lint[{n}]", family="lint", allow_failure=True) for n in range(6)))
    family.fails("lint[0]")
    family.completes(*(f"lint[{n}]" for n in range(1, 6)))
    layout = lay_out(family.plan)
    add_names(layout.names, family.plan)
    bridge = Bridge(family, layout)
    row = RowPainter(bridge.tree, bridge, UNICODE).row(0, DRAWING)
    text = "".join(span.text for span in (*row.gutter, *row.body))
    assert "fail" in text and "5✓ 1×" in text and "100%" not in text


def test_failures_are_gone_through_with_those_that_count_first() -> None:
    session = some_allowed()
    causes = Bridge(session, lay_out(session.plan)).causes
    assert [cause.units for cause in causes] == [(2,), (0, 1)], "although two hit more units, and came first"
    names = [session.plan.table[number].id for number in in_order(session.view(), SortKey.STATE, (), session.now())]
    assert names == ["build", "lint1", "lint2"]


async def test_the_key_for_the_next_failure_comes_to_allowed_ones_last_and_says_so() -> None:
    async with staged(some_allowed(), MEDIUM) as stage:
        await stage.until(lambda: stage.main.tree_pane.label == "build", "what the run has failed for")
        await stage.shows("× lint1  allowed, failed: exit code 3", "✗ build  failed: ValueError: bad row 17")
        await stage.press("f")
        await stage.shows("cause 2/2 (1 of 2 units, * marks them, allowed)")
        await stage.press("f")
        await stage.shows("cause 2/2 (2 of 2 units, * marks them, allowed)")
        await stage.press("f")
        await stage.shows("cause 1/2 (1 unit): ValueError")


def test_what_a_person_has_set_aside_says_who_and_is_no_fallback() -> None:
    session = of_commands(unit("stuck", action=COMMAND), unit("next", "stuck"))
    session.post(SetAsideRequested((1,), "skip", "skipped by you"))
    session.fails("stuck", exit_code=1)
    session.post(SetAsideRequested((0,), "done", "marked as done by you"))
    view, bridge = session.view(), Bridge(session, lay_out(session.plan))
    assert look_of(view.unit(0)) is Look.OK
    assert cause_of(view.unit(0), session.now()) == "marked as done by you"
    assert cause_of(view.unit(1), session.now()) in ("skipped by you", "")
    assert (bridge.aside, bridge.fallbacks) == ({0}, set())
    line = "".join(span.text for span in counts_line(look_counts(view), 0, 120, UNICODE, aside=1))
    assert line.endswith("1 set aside")
    counts = {look: 1 if look in (Look.OK, Look.ASK, Look.WAIT, Look.ALLOWED) else 0 for look in Look}
    lines = ["".join(span.text for span in counts_line(counts, 0, width, UNICODE, aside=1)) for width in (80, 60, 30)]
    assert [line.rpartition("1")[2] for line in lines] == [" set aside", " set aside", " aside"]
    told = [detail.text for detail in after_output(view.unit(0), session.now())]
    assert told == ["marked as done by you: its fallback value, or none, is used as its result"]
    assert event_text(view.last[0]) == "marked as done by you"
