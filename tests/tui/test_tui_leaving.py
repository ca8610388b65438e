"""How the dashboard is left, and what becomes of the run."""

from __future__ import annotations

import pytest
from scenes import diamond, finished, unit
from scripted import ScriptedSession
from stage import MEDIUM, staged

from qtui.core.model import Argv, UnitState
from qtui.core.stimuli import CancelRunRequested, InterruptRequested
from qtui.tui.app import Leaving, Left


async def test_q_leaves_a_finished_run_with_its_exit_code() -> None:
    async with staged(finished()) as stage:
        await stage.shows("finished; q quits")
        await stage.press("q")
    assert stage.app.return_value == Leaving(how=Left.FINISHED, exit_code=0)


async def test_a_failed_run_stays_at_its_first_failure() -> None:
    session = diamond()
    async with staged(session, MEDIUM) as stage:
        session.completes("fetch")
        session.fails("features")
        session.completes("clean")
        await stage.until(lambda: "features" in stage.line_with("›"), "the failure is selected")
        await stage.shows("FAILED", "1 failed: f next", "ValueError: bad row 17")
        await stage.press("q")
    assert stage.app.return_value == Leaving(how=Left.FINISHED, exit_code=1)


async def test_q_on_a_running_run_asks_and_cancels_before_it_leaves() -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press("q", "c")
        await stage.shows("STOPPING")
        assert stage.app.is_running
        session.stops("fetch")
        await stage.until(lambda: stage.app.return_value is not None, "the screen left")
    assert stage.app.return_value == Leaving(how=Left.CANCELED, exit_code=130)
    assert session.requests == [CancelRunRequested("stop")]


async def test_q_can_drain() -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press("q", "f")
        await stage.shows("DRAINING")
        session.completes("fetch")
        await stage.until(lambda: stage.app.return_value is not None, "the screen left")
    assert session.view().states[0] is UnitState.COMPLETED


async def test_ctrl_c_asks_then_cancels_then_kills() -> None:
    session = ScriptedSession([unit("a", action=Argv(("sleep", "99")))])
    async with staged(session) as stage:
        await stage.press("ctrl+c")
        await stage.shows("cancel the run, quit when it has stopped")
        assert not session.requests
        await stage.press("ctrl+c")
        await stage.shows("STOPPING")
        assert session.interrupted == [0]
        await stage.press("ctrl+c")
        await stage.until(lambda: session.killed == [0], "the unit killed")
        session.stops("a")
        await stage.until(lambda: stage.app.return_value is not None, "the screen left")
    assert session.requests == [CancelRunRequested("stop")] * 2


@pytest.mark.parametrize("key", ["ctrl+z", "ctrl+q", "ctrl+s"])
async def test_keys_of_the_terminal_do_nothing(key: str) -> None:
    session = diamond()
    async with staged(session) as stage:
        await stage.press(key)
        await stage.shows("fetch")
        assert stage.app.is_running
        assert stage.app.screen is stage.main
    assert not session.requests


async def test_what_keeps_the_machine_from_being_measured_is_told() -> None:
    session = diamond()
    session.load = None
    async with staged(session, MEDIUM) as stage:
        await stage.shows("cannot measure the machine: OSError: no /proc here")


async def test_an_error_in_a_widget_comes_out_of_the_app() -> None:
    session = diamond()
    with pytest.raises(RuntimeError, match="broken session"):
        async with staged(session) as stage:

            def broken() -> None:
                raise RuntimeError("broken session")

            session.view = broken  # type: ignore[method-assign,assignment]
            await stage.until(lambda: stage.app.failure is not None, "the failure")


async def test_a_signal_that_ends_the_run_ends_the_screen() -> None:
    session = diamond()
    async with staged(session) as stage:
        session.post(InterruptRequested(15))
        await stage.shows("STOPPING")
        session.stops("fetch")
        await stage.until(lambda: stage.app.return_value is not None, "the screen left")
    assert stage.app.return_value == Leaving(how=Left.CANCELED, exit_code=143)


async def test_detaching_says_when_the_run_cannot_go_on_without_its_screen() -> None:
    async with staged(diamond()) as stage:
        await stage.press("D")
        await stage.shows("this run cannot go on without its screen")
        assert stage.app.is_running


async def test_a_key_that_comes_while_the_screen_is_taken_down_breaks_nothing() -> None:
    async with staged(finished()) as stage:
        tree = stage.main.tree_pane
        stage.app.action_leave()
        tree.call_next(lambda: stage.main.query_one("#taken-down-already"))
        await stage.until(lambda: not stage.app._running, "the screen left")
    assert stage.app.failure is None
    assert stage.app.return_value == Leaving(how=Left.FINISHED, exit_code=0)
