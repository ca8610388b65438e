"""A unit that is silent for longer than it may: told wherever it is told of, and of its end nothing is promised."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from scenes import unit
from scripted import ScriptedSession
from stage import staged
from test_tui_why import why

from qtui.core.model import EMPTY, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.stimuli import CancelRunRequested, PauseRequested, SilenceReported
from qtui.tui.bridge import Bridge
from qtui.tui.eventlist import EventList
from qtui.tui.forecaster import told_at_once
from qtui.tui.foresight import Foresight
from qtui.tui.format import UNICODE
from qtui.tui.happenings import event_text
from qtui.tui.laying import lay_out
from qtui.tui.outlook import Outlook, eta_texts, left_words
from qtui.tui.roles import Role
from qtui.tui.rows import Drawing, Row, RowPainter
from qtui.tui.widgets.header import eta_that_fits
from qtui.tui.widgets.status import in_a_line, situation, with_silence

PAST = {"fetch": [30.0] * 9, "clean": [60.0] * 9}


def silent(*more: QuantumUnit, since: float = 61.0, **keys: object) -> ScriptedSession:
    """`stuck` has run for 90 s and been silent for the last `since` of them."""
    stuck = unit("stuck", stall=15.0, **keys)
    session = ScriptedSession([stuck, *more], RunOptions(workers=8))
    session.after(90)
    session.post(SilenceReported(0, 1, session.now() - since))
    return session


def outlook_of(session: ScriptedSession, past: dict[str, Sequence[float]]) -> Outlook:
    outlook = Outlook()
    outlook.told = told_at_once(session, past)
    assert outlook.told is not None
    return outlook


def rows(session: ScriptedSession, width: int = 80) -> list[Row]:
    bridge = Bridge(session, lay_out(session.view().plan))
    painter = RowPainter(bridge.tree, bridge, UNICODE)
    drawing = Drawing(now=session.now(), width=width, words=True)
    return [painter.row(node, drawing) for node in range(len(bridge.layout.units))]


@pytest.mark.parametrize("width", [40, 80])
def test_its_row_says_so_in_a_warning_and_in_words(width: int) -> None:
    body = rows(silent(unit("fetch")), width)[0].body
    assert [span.style for span in body if span.text == "silent 1:01"] == [Role.WARNING]


def test_it_goes_away_when_the_unit_speaks_again_or_ends() -> None:
    session = silent()
    session.post(SilenceReported(0, 1, None))
    assert "silent" not in str(rows(session))
    assert session.view().silent == {}
    session = silent()
    session.completes("stuck")
    assert session.view().silent == {}


def test_news_of_an_attempt_that_is_over_are_none() -> None:
    session = silent()
    session.completes("stuck")
    session.post(SilenceReported(0, 1, session.now()))
    assert session.view().silent == {}


def test_a_folded_family_says_how_many_of_it_are() -> None:
    family = [unit(f"copy[{n}]", stall=5.0) for n in range(8)]
    session = ScriptedSession(family, RunOptions(workers=8))
    for number in (2, 5):
        session.post(SilenceReported(number, 1, session.now()))
    assert "2 silent" in [span.text for span in rows(session)[0].body]


def test_what_is_said_of_the_run_begins_with_it() -> None:
    session = silent(unit("ask", confirm="Sure?"))
    view, now = session.view(), session.now()
    said = with_silence(*situation(view), view, now)
    assert said == ("stuck silent 1:01; 1 unit asks you; a answers", Role.WARNING)
    assert with_silence("", Role.MUTED, view, now) == ("stuck silent 1:01", Role.WARNING)
    assert in_a_line(view, UNICODE) == ("0/2 1 silent RUNNING", Role.WARNING)


@pytest.mark.parametrize("paused", [False, True])
async def test_where_there_is_little_room_the_keys_come_first(paused: bool) -> None:
    session = silent(unit("ask", confirm="Sure?"))
    if paused:
        session.post(PauseRequested())
    async with staged(session, (40, 12)) as stage:
        await stage.shows("paused, p goes on; 1 asks, a answers" if paused else "1 asks; a answers; stuck silent 1:")
        await stage.pilot.resize_terminal(80, 24)
        keys = "paused, p goes on; 1 unit asks you, a answers" if paused else "1 unit asks you; a answers"
        await stage.shows("stuck silent 1:", f"; {keys}")


async def test_every_size_of_the_screen_tells_it() -> None:
    session = silent(unit("ask", confirm="Sure?"), unit("fetch"))
    for size in ((19, 4), (40, 12), (80, 24), (120, 40)):
        async with staged(session, size) as stage:
            await stage.shows("1 silent" if size[0] < 20 else "stuck silent 1:")


def test_why_tells_for_how_long_and_that_nobody_knows_the_end() -> None:
    told = why(silent(unit("fetch"), timeout=600.0), "stuck", PAST)
    assert told[1:4] == [
        "silent      and idle for 1:01 (stall = 15 s)",
        "ends        nobody knows when: no earlier run completed it",
        "at most     times out in ~8m, if it goes on until then",
    ]
    told = why(silent(unit("clean", "stuck")), "clean", PAST)
    assert told[0] == "starts      nobody knows when: waits for stuck: no earlier run completed it"


def test_of_one_that_has_completed_before_it_is_still_told_when_it_ends() -> None:
    told = why(silent(), "stuck", {"stuck": [300.0] * 9})
    assert told[1] == "silent      and idle for 1:01 (stall = 15 s)"
    assert told[2].startswith("ends        in about ")


def test_no_time_is_promised_for_it_nor_for_what_waits_for_it() -> None:
    session = silent(unit("fetch"), unit("clean", "stuck"), timeout=600.0)
    outlook = outlook_of(session, {**PAST, "fetch": [100.0] * 9})
    view, now = session.view(), session.now()
    assert [outlook.soon(number, view, now) for number in (0, 2)] == ["times out in ~8m", ""]
    assert outlook.why_so_long(view, now, 99) == "nobody knows when stuck ends: no earlier run completed it"
    first, *_, last = eta_texts(outlook.told, 0, view, now)
    assert re.fullmatch(r"eta \d\d:\d\d \(.*\) if stuck ends", first)
    assert last == "~1m at best"
    assert outlook.told is not None
    assert left_words(outlook.told, view, now).endswith("if stuck ends")


def test_an_end_that_follows_from_it_alone_is_no_time_and_comes_no_nearer() -> None:
    session = silent_beside()
    outlook, view, now = outlook_of(session, PAST), session.view(), session.now()
    assert eta_texts(outlook.told, 0, view, now) == ("ends when stuck ends", "eta unknown")
    assert outlook.told is not None
    assert left_words(outlook.told, view, now) == "ends when stuck ends"
    assert outlook.told.left(now) == outlook.told.left(now + 60)


def silent_beside() -> ScriptedSession:
    """Only `stuck` is left."""
    session = silent(unit("fetch"))
    session.completes("fetch")
    session.after(1)
    return session


def test_who_is_to_be_asked_has_no_time_and_who_will_be_is_told_when() -> None:
    units = [
        unit("fetch"),
        unit("drop", confirm="Drop?"),
        unit("report", "drop"),
        unit("publish", "fetch", confirm="?"),
    ]
    session = ScriptedSession(units, RunOptions(workers=8))
    outlook, view = outlook_of(session, {"fetch": [60.0] * 9, "drop": [9.0] * 9}), session.view()
    assert [outlook.soon(number, view, session.now()) for number in (1, 2)] == ["", ""]
    assert outlook.soon(3, view, session.now()) == "asks in ~1m"


def test_an_older_unit_than_ever_is_told_as_that_instead_of_a_time() -> None:
    session = ScriptedSession([unit("fetch"), unit("clean", "fetch")])
    session.after(1000)
    bridge = Bridge(session, lay_out(session.view().plan))
    bridge.outlook.told = told_at_once(session, PAST)
    row = RowPainter(bridge.tree, bridge, UNICODE).row(0, Drawing(now=session.now(), width=80, words=True))
    assert "longer than ever before" in [span.text for span in row.body]
    assert sum(cell_len(span.text) for span in (*row.gutter, *row.body)) == 80
    assert why(session, "fetch", PAST)[1] == "ends        nobody knows when: longer than ever before"
    assert " if fetch ends" in eta_texts(bridge.outlook.told, 0, session.view(), session.now())[0]


def test_that_the_end_needs_it_is_said_where_the_end_follows_from_it() -> None:
    session = ScriptedSession([unit("fetch"), unit("clean")], RunOptions(workers=2))
    session.after(100)
    told = told_at_once(session, {"fetch": [30.0] * 9, "clean": [600.0] * 9})
    assert told is not None
    assert list(told.forecast.unforeseen) == [0]
    assert not any("if" in text for text in eta_texts(told, 0, session.view(), session.now()))


def test_what_a_time_rests_on_is_told_where_that_is_no_more_than_what_others_take() -> None:
    session = ScriptedSession([unit("fetch"), unit("new"), unit("next", "new")], RunOptions(workers=2))
    session.after(1)
    guessed = "taken for   a typical unit: no earlier run completed it"
    past = {"fetch": [60.0] * 9}
    assert [guessed in why(session, name, past) for name in ("fetch", "new", "next")] == [False, True, True]


def test_only_that_it_speaks_again_is_told_by_itself_among_the_events() -> None:
    session = silent()
    session.post(SilenceReported(0, 1, None))
    events = [record.event for record in session.feed().take(0)]
    told = EventList(session.view().plan)
    told.add(events)
    assert [event_text(line.event) for line in told.all][-1] == "prints or computes again"
    assert why(session, "stuck", EMPTY)[1].startswith("worker")


def hanging_beside(**keys: object) -> ScriptedSession:
    """`stuck` is silent, `fetch` runs, and `clean` waits for both."""
    return silent(unit("fetch"), unit("clean", "stuck", "fetch"), **keys)


def drained(session: ScriptedSession) -> tuple[str, ...]:
    foresight = Foresight(session, [CancelRunRequested("drain")], lambda: {"fetch": [100.0] * 9})
    foresight._run()
    (texts,) = foresight.texts
    assert texts is not None
    return texts


def test_to_finish_what_runs_takes_as_long_as_it_does_and_says_so() -> None:
    first, last = drained(hanging_beside(timeout=600.0))
    assert re.match(r"takes about \d+s if stuck ends \(times out in ~8m\), ", first + ", ")
    assert re.match(r"takes about \d+s if stuck ends(, |$)", last)
    session = hanging_beside()
    session.completes("fetch")
    assert drained(session)[0].startswith("ends when stuck ends")


def test_without_room_for_all_conditions_the_end_is_told_as_the_best_case() -> None:
    session = silent(unit("fetch"), unit("publish", confirm="Sure?"), unit("clean", "stuck", "publish"))
    outlook = outlook_of(session, {**PAST, "fetch": [100.0] * 9})
    texts = eta_texts(outlook.told, 0, session.view(), session.now())
    assert [eta_that_fits(texts, width - 28) for width in (90, 80, 60)] == [
        "1-7m if answered and stuck ends",
        "~3m at best",
        "",
    ]


def test_who_asks_before_its_forecast_has_no_time_and_neither_has_what_waits_for_it() -> None:
    units = [unit("fetch"), unit("drop", "fetch", confirm="Drop?"), unit("report", "drop")]
    session = ScriptedSession(units, RunOptions(workers=8))
    outlook = outlook_of(session, {"fetch": [60.0] * 9, "drop": [9.0] * 9})
    view, now = session.view(), session.now()
    assert [outlook.soon(number, view, now) for number in (1, 2)] == ["asks in ~1m", "in ~1m"]
    session.completes("fetch")
    view = session.view()
    assert view.asked == 1
    assert [outlook.soon(number, view, now) for number in (1, 2)] == ["", ""]
