"""When a screen leaves by itself at the end of a run, and when the bell rings."""

from __future__ import annotations

import pytest
from scenes import diamond, failed, finished, unit
from scripted import ScriptedSession
from stage import Stage, staged
from textual.events import AppBlur, AppFocus, MouseMove, MouseScrollRight, Resize
from textual.geometry import Size

from qtui.core.model import RunState
from qtui.core.options import RunOptions
from qtui.core.stimuli import CancelRunRequested, InterruptRequested
from qtui.tui.app import Dashboard, Leaving, Left
from qtui.tui.ending import COUNTDOWN_SECONDS, Countdown, OnFinish, is_heard, leaves_after

AUTO, STAY, EXIT = OnFinish


def canceled() -> ScriptedSession:
    session = diamond()
    session.post(CancelRunRequested("stop"))
    session.stops("fetch")
    return session


def interrupted() -> ScriptedSession:
    session = diamond()
    session.post(InterruptRequested(15))
    session.stops("fetch")
    return session


def cut_off() -> ScriptedSession:
    session = diamond()
    session.post(InterruptRequested(0, "the connection to the cluster was lost"))
    session.stops("fetch")
    return session


@pytest.mark.parametrize(
    ("make", "state", "after"),
    [
        (diamond, RunState.RUNNING, {AUTO: None, STAY: None, EXIT: None}),
        (finished, RunState.COMPLETED, {AUTO: COUNTDOWN_SECONDS, STAY: None, EXIT: 0.0}),
        (failed, RunState.FAILED, {AUTO: None, STAY: None, EXIT: 0.0}),
        (canceled, RunState.CANCELED, {AUTO: None, STAY: None, EXIT: 0.0}),
        (interrupted, RunState.INTERRUPTED, {AUTO: 0.0, STAY: 0.0, EXIT: 0.0}),
        (cut_off, RunState.INTERRUPTED, {AUTO: None, STAY: None, EXIT: 0.0}),
    ],
)
def test_a_live_screen_leaves_by_itself_where_nothing_is_to_be_seen(
    make: object, state: RunState, after: dict[OnFinish, float | None]
) -> None:
    view = make().view()  # type: ignore[operator]

    assert view.state is state
    assert {wanted: leaves_after(wanted, view, "live") for wanted in OnFinish} == after


async def test_why_the_run_could_not_go_on_stays_readable() -> None:
    async with staged(cut_off(), (120, 40)) as stage:
        await stage.shows("INTERRUPTED", "interrupted: the connection to the cluster was lost")


def test_who_looks_on_leaves_when_they_like() -> None:
    view = finished().view()

    assert [leaves_after(wanted, view, "attached") for wanted in OnFinish] == [None, None, 0.0]
    assert [leaves_after(wanted, view, "replay") for wanted in OnFinish] == [None, None, None]


def test_the_countdown_says_whole_seconds_and_never_none() -> None:
    view, countdown = finished().view(), Countdown(100.0, 10.0)

    assert countdown.words(view, 100.0).endswith("; quits in 10 s, any key stays")
    assert countdown.words(view, 100.1).startswith("OK in 0:12")
    assert "in 1 s" in countdown.words(view, 109.5)
    assert "in 1 s" in countdown.words(view, 111.0)
    assert not countdown.over(109.9) and countdown.over(110.0)


def test_the_bell_is_for_those_who_do_not_look() -> None:
    view = finished().view()

    assert is_heard(view, focused=False)
    assert not is_heard(view, focused=True)


def to_its_end(session: ScriptedSession) -> None:
    for names in (("fetch",), ("clean", "features"), ("train",), ("report",)):
        session.completes(*names)


async def test_a_success_counts_down_until_a_key_is_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[RunState] = []
    session = diamond()
    app = Dashboard(session, "nightly.toml", on_finish=AUTO, rings=lambda view: view.state is RunState.COMPLETED)
    monkeypatch.setattr(app, "bell", lambda: rung.append(session.view().state))
    async with app.run_test() as pilot:
        stage = Stage(app, pilot, session)
        await stage.shows("fetch")
        app.post_message(AppBlur())
        await pilot.pause()
        to_its_end(session)
        await stage.shows("OK in 0:00; quits in 10 s, any key stays")
        assert rung == [RunState.COMPLETED]
        await stage.press("j")
        await stage.shows("finished; q quits")
        assert app.is_running


async def test_a_terminal_that_tells_of_itself_does_not_stop_the_countdown_but_a_hand_does() -> None:
    session = diamond()
    app = Dashboard(session, "nightly.toml", on_finish=AUTO)
    async with app.run_test(size=(80, 24)) as pilot:
        stage = Stage(app, pilot, session)
        to_its_end(session)
        await stage.shows(", any key stays")
        at = {"x": 3, "y": 3, "delta_x": 0, "delta_y": 0, "button": 0, "shift": False, "meta": False, "ctrl": False}
        for event in (AppBlur(), AppFocus(), Resize(Size(80, 25), Size(80, 25)), MouseMove(None, **at)):
            app.post_message(event)
        await pilot.pause()
        await stage.shows(", any key stays")
        app.post_message(MouseScrollRight(None, **at))
        await stage.shows("finished; q quits")


@pytest.mark.parametrize("wanted", [AUTO, EXIT])
async def test_who_presses_nothing_is_back_in_the_shell(wanted: OnFinish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtui.tui.ending.COUNTDOWN_SECONDS", 0.2)
    session = diamond()
    app = Dashboard(session, "nightly.toml", on_finish=wanted)
    async with app.run_test() as pilot:
        stage = Stage(app, pilot, session)
        to_its_end(session)
        await stage.until(lambda: app.return_value is not None, "the screen left")
    assert app.return_value == Leaving(how=Left.FINISHED, exit_code=0)


@pytest.mark.parametrize(("keys", "shown"), [([], "features"), (["j"], "clean"), (["g", "r"], "fetch")])
async def test_the_end_shows_what_failed_unless_a_person_has_chosen_what_to_see(keys: list[str], shown: str) -> None:
    session = diamond()
    async with staged(session, (120, 40)) as stage:
        await stage.shows("fetch")
        await stage.press(*keys)
        session.completes("fetch")
        session.fails("features")
        session.completes("clean")
        await stage.shows("run failed after")
        await stage.until(lambda: stage.main._ended, "the frame after the end")
        assert stage.main.tree_pane.label == shown


async def test_who_runs_a_failure_again_stays_with_it_when_the_run_ends_with_others() -> None:
    session = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=2))
    session.fails("a")
    session.after(1)
    session.fails("b")
    async with staged(session, (120, 40)) as stage:
        await stage.shows("run failed after")
        assert stage.main.tree_pane.label == "a"
        await stage.select("b")
        await stage.press("r")
        await stage.until(lambda: not stage.main._ended, "it runs again")
        session.completes("b")
        await stage.until(lambda: stage.main._ended, "the end")
        assert stage.main.tree_pane.label == "b"
