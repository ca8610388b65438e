"""When a run ends, as the screen tells it: looked for beside it, told in words that stay calm."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from scenes import unit
from scripted import ScriptedSession
from stage import SMALL, Stage, staged

from qtui.core.blast import Blast
from qtui.core.forecast import CRITICAL_PATH, WAITING, WORKERS, Part
from qtui.core.gains import Gain, gains
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.stimuli import (
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    LaneWorkersRequested,
    PauseRequested,
    RetryRequested,
    WorkersRequested,
)
from qtui.tui.forecaster import SHARE, Forecaster, Pace, Past, Told, told_at_once
from qtui.tui.foresight import Foresight, told
from qtui.tui.format import UNICODE
from qtui.tui.outlook import Outlook, about, eta_texts, left_words, span
from qtui.tui.text import longest_that_fits
from qtui.tui.widgets.header import progress_line

GENEROUS = 20.0
PAST: Past = {"fetch": [60.0] * 9, "clean": [120.0] * 9, "report": [240.0] * 9, "lint": [30.0] * 9}


def chain(**options: object) -> ScriptedSession:
    """fetch (1m) -> clean (2m) -> report (4m), and lint (30s); fetch and lint run."""
    units = [unit("fetch"), unit("clean", "fetch"), unit("report", "clean"), unit("lint")]
    return ScriptedSession(units, RunOptions(workers=2, **options))  # type: ignore[arg-type]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def told_of(session: ScriptedSession, past: Past = PAST) -> Told:
    told = told_at_once(session, past)
    assert told is not None
    return told


# -- looking ahead ---------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-4, 0.2), min_size=1, max_size=50))
@settings(deadline=None, suppress_health_check=list(HealthCheck))  # of a busy machine
def test_whoever_keeps_pace_uses_no_more_than_a_share_of_a_core(steps: list[float]) -> None:
    used, waited = [0.0], [0.0]

    def wait(seconds: float) -> bool:
        waited[0] += seconds
        return False

    pace = Pace(wait, lambda: used[0])
    for step in steps:
        used[0] += step
        assert pace.keep()
    assert used[0] <= SHARE * (used[0] + waited[0]) * 1.001
    assert pace.used == pytest.approx(sum(steps))


def test_a_pause_ends_the_work_when_nothing_more_is_wanted() -> None:
    assert not Pace(lambda _: True, lambda: 0.0).keep()


class Looking:
    """A forecaster at work on a session."""

    def __init__(self, session: ScriptedSession, past: Callable[[], Past] = lambda: PAST) -> None:
        self.forecaster = Forecaster(session, past)

    def __enter__(self) -> Forecaster:
        self.forecaster.start()
        return self.forecaster

    def __exit__(self, *_: object) -> None:
        self.forecaster.stop()
        self.forecaster._thread.join(GENEROUS)
        assert not self.forecaster._thread.is_alive()


def test_a_forecaster_tells_the_end_and_what_would_help() -> None:
    with Looking(chain()) as forecaster:
        until(lambda: forecaster.latest is not None and forecaster.latest.gains)
        told = forecaster.latest
        assert told is not None
        assert told.forecast.p10 < told.forecast.p50 < told.forecast.p90
        assert told.forecast.p50 == pytest.approx(420, rel=0.2)
        assert [gain.what for gain in told.gains] == ["+2 workers"]


class Recording(Forecaster):
    """Keeps all that it has ever told."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "latest" and value is not None:
            self.__dict__.setdefault("said", []).append(value)
        super().__setattr__(name, value)


def test_what_would_help_is_of_the_same_moment_as_the_forecast_beside_it() -> None:
    units = [unit(f"train[{n}]", estimate=60.0, pools={"gpu": 1}) for n in range(5)]
    session = ScriptedSession(units, RunOptions(workers=4, pools={"gpu": 1}))
    looking = Looking(session, dict)
    looking.forecaster = Recording(session, dict)
    with looking as forecaster:
        until(lambda: forecaster.latest is not None and forecaster.latest.gains)
        session.after(60)
        session.completes("train[0]")
        until(lambda: forecaster.latest is not None and forecaster.latest.view is session.view())
    for said in looking.forecaster.__dict__["said"]:
        worth = tuple(gain for gain in gains(said.view, session.options, said.forecast) if gain is not None)
        assert said.gains in ((), worth)


def test_who_is_made_to_look_anew_tells_of_the_run_as_it_is_now() -> None:
    session = chain()
    with Looking(session) as forecaster:
        until(lambda: forecaster.latest is not None)
        session.post(CancelRequested((session.number("report"),)))
        forecaster.hurry()
        until(lambda: forecaster.latest is not None and forecaster.latest.view is session.view())
        assert forecaster.latest is not None
        assert forecaster.latest.forecast.p50 < 300


def test_a_unit_that_is_edited_has_another_past() -> None:
    session = chain()
    report = session.number("report")

    def past() -> Past:
        return {**PAST, "report": [30.0] * 9} if session.view().plan.table[report].priority else PAST

    with Looking(session, past) as forecaster:
        until(lambda: forecaster.latest is not None)
        session.post(EditRequested((report,), priority=1))
        forecaster.hurry()
        until(lambda: forecaster.latest is not None and forecaster.latest.view is session.view())
        assert forecaster.latest is not None
        assert forecaster.latest.forecast.p50 == pytest.approx(210, rel=0.2)


def test_what_is_taken_at_its_word_replaces_what_was_sampled() -> None:
    """All estimates: one case is all there is, and counts for more than an old forecast of many."""
    session = ScriptedSession([unit("fetch", estimate=60.0), unit("clean", "fetch", estimate=30.0)])
    with Looking(session, dict) as forecaster:
        until(lambda: forecaster.latest is not None)
        session.completes("fetch")
        until(lambda: forecaster.latest is not None and forecaster.latest.view is session.view())
        assert forecaster.latest is not None
        assert (forecaster.latest.forecast.samples, forecaster.latest.forecast.p50) == (1, 30.0)


def test_nothing_is_told_where_nothing_is_known_or_nothing_goes_on() -> None:
    session = chain()
    with Looking(session, dict) as forecaster:
        until(lambda: forecaster.unknown == 4)
        assert forecaster.latest is None
    with Looking(session) as forecaster:
        until(lambda: forecaster.latest is not None)
        session.post(CancelRunRequested("stop"))
        session.stops("fetch", "lint")
        until(lambda: forecaster.latest is None)
        assert not forecaster.error
    assert told_at_once(session, PAST) is None


def test_a_plan_that_was_replaced_takes_its_forecast_along() -> None:
    held = threading.Event()

    def past() -> Past:
        held.wait(GENEROUS)
        return PAST

    with Looking(chain(), past) as forecaster:
        forecaster.latest = told_of(chain())
        forecaster.forget()
        assert forecaster.latest is None
        held.set()
        until(lambda: forecaster.latest is not None)


def test_what_goes_wrong_is_told_and_ends_the_looking() -> None:
    def past() -> Past:
        raise OSError("no disk")

    with Looking(chain(), past) as forecaster:
        until(lambda: forecaster.error)
        assert forecaster.error == "OSError: no disk"
        assert forecaster.past() == {}, "nobody waits for what does not come"
        assert forecaster.latest is None


class Latest:
    """A forecaster that has said its last word."""

    def __init__(self, latest: Told | None) -> None:
        self.latest, self.unknown = latest, 0


def test_the_screen_tells_of_the_plan_that_it_shows() -> None:
    session, other = chain(), ScriptedSession([unit("lint"), unit("publish", "lint")])
    told, outlook = told_of(session), Outlook()
    assert outlook.take(Latest(told), session.view())  # type: ignore[arg-type]
    assert outlook.told is told
    assert outlook.is_on_path(0, session.view())
    assert outlook.take(Latest(told), other.view())  # type: ignore[arg-type]
    assert outlook.told is None
    assert not outlook.is_on_path(0, other.view())
    assert not outlook.soon(1, other.view(), other.now())
    assert not outlook.why_so_long(other.view(), other.now(), 99)


def test_the_time_left_gets_less_with_its_parts_until_there_is_another_forecast() -> None:
    session, outlook = chain(), Outlook()
    told = replace(told_of(session), gains=(Gain("+2 gpu slots", 65.0), Gain("+2 workers", 4.0)))
    stretches = (Part(WAITING, 30.0), Part(CRITICAL_PATH, 60.0), Part(WORKERS, 40.0), Part(CRITICAL_PATH, 80.0))
    outlook.told = replace(told, forecast=replace(told.forecast, stretches=stretches))

    def left(after: float, room: int = 99) -> str:
        return outlook.why_so_long(session.view(), session.now() + after, room)

    saved = "; +2 gpu slots would save"
    assert left(0) == f"3m30s left = 2m20s critical path + 40s workers + 30s back-off{saved} 1m05s"
    assert left(20, room=70) == "3m10s left = 2m20s critical path + 40s workers + 10s back-off"
    assert left(50) == f"2m40s left = 2m00s critical path + 40s workers{saved} 15s"
    assert left(150) == "1m00s left, all critical path"
    outlook.told = replace(outlook.told, gains=(Gain("+2 gpu slots", 300.0),))
    assert left(0).endswith("would save 1m10s"), "what runs on the critical path no slots make shorter"
    assert left(211) == ""


def test_until_there_is_one_of_the_plan_that_is_shown_the_forecast_before_stays() -> None:
    session, later = chain(), ScriptedSession([unit("lint"), unit("publish", "lint")])
    before, ahead, outlook = told_of(session), told_of(later), Outlook()
    outlook.take(Latest(before), session.view())  # type: ignore[arg-type]
    assert not outlook.take(Latest(ahead), session.view())  # type: ignore[arg-type]
    assert outlook.told is before
    assert outlook.take(Latest(ahead), later.view())  # type: ignore[arg-type]
    assert outlook.told is ahead


def test_nothing_is_left_of_a_forecast_once_the_run_has_ended_whoever_makes_it_knows_or_not() -> None:
    session, outlook = chain(), Outlook()
    told = told_of(session)
    outlook.take(Latest(told), session.view())  # type: ignore[arg-type]
    session.post(CancelRunRequested("stop"))
    session.stops("fetch", "lint")
    assert outlook.take(Latest(told), session.view())  # type: ignore[arg-type]
    assert outlook.told is None


def test_all_who_look_at_a_run_tell_the_same_end() -> None:
    session = chain()
    session.after(41)
    first = told_of(session)
    session.after(7)
    assert told_of(session).forecast == first.forecast
    session.after(5)
    assert told_of(session).forecast != first.forecast, "what runs has run longer"


# -- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (401, 479, "6-8m"),
        (42, 53, "40-55s"),
        (20, 100, "<2m"),
        (60, 120, "1-2m"),
        (3900, 4790, "65-80m"),
        (4000, 6000, "65m-1h40m"),
        (40_000, 50_000, "11-14h"),
        (50_000, 300_000, "<4d"),
        (300, 300, "5m"),
        (2.5, 9.2, "2-10s"),
        (17, 28, "16-28s"),
        (0.2, 1.4, "<2s"),
        (0, 0, "any moment"),
        (0, 0.9, "any moment"),
    ],
)
def test_a_range_is_rounded_away_from_its_middle(least: float, most: float, words: str) -> None:
    assert span(least, most) == words


def test_a_single_time_is_never_nothing() -> None:
    assert [about(each) for each in (0, 2, 44, 422, 5_000, 9_000, 90_000)] == [
        "~1s", "~2s", "~45s", "~7m", "~83m", "~2h30m", "~25h",
    ]  # fmt: skip


def test_the_words_stay_the_same_while_nothing_happens_but_time() -> None:
    session = chain()
    told = told_of(session)
    texts = [eta_texts(told, 0, session.view(), session.now() + second) for second in range(60)]
    assert len({text[0][:9] for text in texts}) == 1  # the time of day
    assert len({text[1] for text in texts}) <= 3


def test_an_end_that_waits_for_a_person_says_so_and_comes_no_nearer() -> None:
    session = chain()
    session.post(PauseRequested())
    told = told_of(session)
    assert told.left(session.now()) == told.left(session.now() + 60)
    first, second, *_ = eta_texts(told, 0, session.view(), session.now())
    assert first.endswith(") if resumed now")
    assert re.fullmatch(r"\d+-\d+m if resumed now", second)
    assert left_words(told, session.view(), session.now()).endswith("if resumed now")


def test_an_end_that_waits_for_a_worker_of_the_cluster_says_so() -> None:
    units = [unit("fetch", mode=ExecutionMode.CUSTOM), unit("clean", "fetch", mode=ExecutionMode.CUSTOM)]
    session = ScriptedSession(units, RunOptions(workers=2, executor="dask"))
    session.post(LaneWorkersRequested(ExecutionMode.CUSTOM, 0, "wait: the cluster has no workers"))
    told, view, now = told_of(session), session.view(), session.now()
    assert told.left(now) == told.left(now + 60), "it comes no nearer"
    assert all(text.endswith(" if a worker comes") for text in eta_texts(told, 0, view, now))
    assert left_words(told, view, now).endswith(" if a worker comes")
    outlook = Outlook()
    outlook.told = told
    why = outlook.why_so_long(view, now + 40, 80)
    assert why == "the cluster has had no workers for 40 s: its units wait until one comes"
    assert not outlook.soon(view.plan.numbers["clean"], view, now), "nobody knows when that is"


def test_where_there_is_little_room_an_end_that_waits_for_a_person_keeps_its_condition() -> None:
    session = chain()
    session.post(PauseRequested())
    *_, short, shortest = eta_texts(told_of(session), 0, session.view(), session.now())
    assert re.fullmatch(r"\d+-\d+m if resumed", short)
    assert re.fullmatch(r"~\d+m if resumed", shortest)
    told, view = told_of(session), replace(session.view(), asked=1)
    *_, first, second, _, shortest = eta_texts(told, 0, view, session.now())
    assert first.endswith("if resumed and answered now") and second.endswith("if resumed and answered now")
    assert re.fullmatch(r"~\d+m if answered", shortest), "that it is paused stands beside it"


def test_a_run_that_never_ends_by_itself_is_told_as_that() -> None:
    session = chain()
    told = told_of(session)
    endless = replace(told, forecast=replace(told.forecast, endless=2))
    assert eta_texts(endless, 0, session.view(), session.now())[0] == "no end in sight for 2 units"
    assert left_words(endless, session.view(), session.now()) == "no end in sight"
    outlook = Outlook()
    outlook.told = endless
    assert not outlook.why_so_long(session.view(), session.now(), 99)


def test_nothing_known_is_told_as_that() -> None:
    session = chain()
    assert eta_texts(None, 4, session.view(), session.now())[0] == "eta unknown: nothing is known of 4 units"
    assert eta_texts(None, 1, session.view(), session.now())[0] == "eta unknown: nothing is known of 1 unit"
    assert eta_texts(None, 0, session.view(), session.now()) == ()


@given(st.integers(20, 220), st.sampled_from(["", "eta 12:41 (6-8m)", "~7m"]))
def test_the_first_line_has_the_end_and_still_fits(width: int, eta: str) -> None:
    session = chain()
    line = progress_line(session.view(), session.now(), "nightly-with-a-long-name.toml", width, UNICODE, eta=eta)
    if width >= 50:
        text = "".join(span.text for span in line)
        assert cell_len(text) == width
        assert eta in text
        assert "0/4" in text


# -- the screen ------------------------------------------------------------------------------------------


async def seen(stage: Stage) -> None:
    await stage.until(lambda: stage.main.bridge.outlook.told is not None, "a forecast")
    await stage.shows("!")
    await stage.until(lambda: re.search(r"  ~?\d+(-\d+)?m| eta ", stage.lines()[0]), "the end in the header")


def row_of(stage: Stage, name: str) -> str:
    """The row of a unit or family in the tree."""
    return next(line[:66] for line in stage.lines()[3:] if name in line)


async def show_for_good(stage: Stage, past: Past) -> None:
    """A forecast that no later one replaces."""
    forecaster = Forecaster(stage.session, dict)
    forecaster.latest = told_of(stage.session, past)
    stage.main.bridge.outlook.take(forecaster, stage.main.bridge.view)
    stage.main.stale = True
    await stage.shows("!")


def telling(past: Past) -> Callable[[object], Past]:
    return lambda _: past


async def test_the_screen_tells_when_and_why_and_marks_what_it_waits_for() -> None:
    async with staged(chain(), (120, 40), ask_past=telling(PAST)) as stage:
        end = re.compile(r"0:00:00  eta ([A-Z][a-z]{2} )?\d\d:\d\d \(\d+-\d+m\)")
        await stage.until(lambda: end.search(stage.lines()[0]), "the end, from more than one sample")
        for name in ("fetch", "clean", "report"):
            assert f"{name}  !" in row_of(stage, name), stage.text()
        assert "!" not in row_of(stage, "lint")
        assert re.search(r"in ~\d", row_of(stage, "report"))
        assert re.search(r"left(, all| = .*) critical path", stage.text())


async def test_a_queued_row_tells_when_it_starts_and_its_reason_is_cut_for_that() -> None:
    units = [unit("start"), *(unit(f"train_the_model_{letter}", "start", pools={"gpu": 1}) for letter in "abc")]
    session = ScriptedSession(units, RunOptions(workers=4, pools={"gpu": 1}))
    session.completes("start")
    async with staged(session, (120, 40)) as stage:
        await show_for_good(stage, {each.id: [60.0] * 9 for each in units})
        row = row_of(stage, "train_the_model_c")
        assert re.search(r"train_the_model_c  (! )?held by.*…  +in ~2m│", row), row


async def test_a_path_mark_goes_when_its_unit_has_ended() -> None:
    session = chain()
    async with staged(session, (120, 40)) as stage:
        await show_for_good(stage, PAST)
        session.after(60)
        session.completes("fetch")
        await stage.until(lambda: "!" not in row_of(stage, "fetch"), "the mark gone")
        assert "!" in row_of(stage, "clean")


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize(
    ("size", "wanted"), [((40, 12), r"  (~\d+m|\d-\dm) "), (SMALL, r"eta "), ((120, 40), "eta "), ((200, 60), "eta ")]
)
async def test_every_size_has_the_end(size: tuple[int, int], wanted: str, ascii: bool) -> None:
    async with staged(chain(), size, ask_past=telling(PAST), ascii=ascii) as stage:
        await seen(stage)
        assert re.search(wanted, stage.lines()[0]), stage.text()
        assert all(cell_len(line) == size[0] for line in stage.lines())
        assert not ascii or all(line.isascii() for line in stage.lines())


async def test_the_columns_of_the_header_stay_when_the_range_becomes_shorter() -> None:
    session = chain()
    async with staged(session, (120, 40), ask_past=telling(PAST)) as stage:
        await seen(stage)
        before = stage.lines()[0]
        session.post(CancelRequested((session.number("clean"),)))
        await stage.until(lambda: "(1-2m)" in stage.lines()[0] or "(<2m)" in stage.lines()[0], "an earlier end")
        assert stage.lines()[0].index("eta") == before.index("eta")


async def test_without_a_past_there_is_no_forecast_and_no_mark() -> None:
    async with staged(chain(), (120, 40), ask_past=telling({})) as stage:
        await stage.shows("eta unknown: nothing is known of 4 units")
        assert "!" not in stage.text()
    async with staged(chain(), (120, 40)) as stage:
        await stage.pilot.pause(0.25)
        assert " eta " not in stage.text()


async def test_a_family_on_the_path_is_marked_until_its_last_unit_on_it_has_ended() -> None:
    units = [unit(f"part[{n}]", family="part") for n in range(8)]
    session = ScriptedSession([*units, unit("merge", "part")], RunOptions(workers=8))
    past = {each.id: [10.0 + number] * 9 for number, each in enumerate(units)} | {"merge": [5.0] * 9}
    async with staged(session, (120, 40)) as stage:
        await show_for_good(stage, past)
        assert "!" in row_of(stage, "part[0..7]")
        session.completes(*(each.id for each in units))
        await stage.until(lambda: "!" not in row_of(stage, "part[0..7]"), "no mark on the family")


# -- what an answer would come to ------------------------------------------------------------------------


def foreseen(session: ScriptedSession, *requests: object, past: Past = PAST) -> list[str]:
    """The longest words for each."""
    foresight = Foresight(session, requests, lambda: past)  # type: ignore[arg-type]
    foresight.start()
    until(lambda: foresight.done)
    return [each[0] if each else "" for each in foresight.texts]


def test_answers_are_told_with_what_they_cost() -> None:
    session = chain()
    clean, fetch = (session.number(name) for name in ("clean", "fetch"))
    assert foreseen(session, CancelRequested((clean,)), CancelRunRequested("drain")) == [
        "ends about 6m earlier, skips report",
        "takes about 1m",
    ]
    session.after(60)
    session.completes("fetch", "lint")
    assert foreseen(session, RetryRequested((fetch,))) == ["adds no time, runs fetch, keeps 1 result"]
    session.post(WorkersRequested(1))
    assert foreseen(session, RetryRequested((fetch,))) == ["adds about 1m, runs fetch, keeps 1 result"]
    edit = EditRequested((session.number("clean"),), command="sleep 9")
    assert foreseen(session, edit) == ["how long it takes is not known"]
    assert foreseen(session, EditRequested((session.number("clean"),), priority=3)) == ["adds no time"]


def test_short_of_room_an_answer_is_told_with_numbers_instead_of_names() -> None:
    blast = Blast(again=(0,), skipped=(1, 2, 3), kept=5, late=0, left=100.0, added=-10.0)
    texts = told(blast, RetryRequested((0,)), chain().view(), 0.0)
    assert texts == (
        "ends about 10s earlier, skips clean and 2 more, runs fetch, keeps 5 results",
        "ends about 10s earlier, skips 3, runs 1, keeps 5",
    )
    assert longest_that_fits(texts, 75) == texts[0]
    assert longest_that_fits(texts, 74) == longest_that_fits(texts, 10) == texts[1]
    assert longest_that_fits((), 10) == ""


def test_a_question_stands_when_what_it_comes_to_cannot_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    session = chain()
    broken: Mapping[str, Sequence[float]] = {"fetch": ["no number"]}  # type: ignore[list-item]
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    assert foreseen(session, CancelRequested((0,)), past=broken) == [""]


async def test_a_question_fills_in_what_its_answers_come_to_and_does_not_move() -> None:
    session = chain()
    async with staged(session, SMALL, ask_past=telling(PAST)) as stage:
        await seen(stage)
        await stage.select("clean")
        await stage.press("x")
        await stage.shows("cancel clean")
        height = stage.app.screen.query_one("#question").size.height
        await stage.shows("ends about 6m earlier, skips report")
        assert stage.app.screen.query_one("#question").size.height == height
        await stage.press("y")
        await stage.until(lambda: session.requests == [CancelRequested((1,))], "the request")


async def test_a_question_about_the_run_tells_of_it_as_it_is_while_the_question_stands() -> None:
    session = chain()
    async with staged(session, SMALL, ask_past=telling(PAST)) as stage:
        await seen(stage)
        await stage.press("X")
        await stage.shows("2 units running, 2 not started yet", "takes about 1m")
        session.after(60)
        session.completes("fetch", "lint")
        await stage.shows("1 unit running, 1 not started yet", "takes about 2m")


async def test_the_form_to_edit_tells_it_before_it_is_applied() -> None:
    session = chain()
    async with staged(session, (120, 40), ask_past=telling(PAST)) as stage:
        await seen(stage)
        session.after(60)
        session.completes("fetch", "lint")
        await stage.select("lint")
        await stage.press("e")
        await stage.shows("Edit lint")
        await stage.press("9", "0", "s", "enter")
        await stage.shows("runs again", "adds no time, runs lint")


async def test_on_a_low_screen_the_answers_come_first() -> None:
    async with staged(chain(), (40, 8), ask_past=telling(PAST)) as stage:
        await stage.press("X")
        await stage.shows("finish what runs", "back")


async def test_many_units_do_not_hold_up_a_question() -> None:
    units: list[QuantumUnit] = [unit(f"u{n}", *([f"u{n - 10}"] if n >= 10 else [])) for n in range(3_000)]
    session = ScriptedSession(units, RunOptions(workers=8))
    async with staged(session, SMALL, ask_past=telling({"u0": [1.0] * 9})) as stage:
        await stage.press("X")
        await stage.shows("Cancel the run", "takes about")
