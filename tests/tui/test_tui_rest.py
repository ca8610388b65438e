"""While nothing moves, frames are drawn only for what is new: and then at once, whatever it is."""

from __future__ import annotations

import pytest
from scenes import diamond, finished, unit
from scripted import ScriptedSession
from stage import Stage, staged

from qtui.core.model import Call, QuantumUnit


def asking() -> ScriptedSession:
    """Nothing runs: a person is asked first."""
    return ScriptedSession([QuantumUnit(id="deploy", action=Call.of(print), confirm="deploy to prod?"), unit("tell")])


async def at_rest(stage: Stage) -> None:
    await stage.until(lambda: stage.main.resting, "frames only for what is new")


async def test_a_finished_run_comes_to_rest_and_its_clock_keys_and_messages_go_on() -> None:
    async with staged(finished()) as stage:
        await at_rest(stage)
        await stage.press("3")
        assert not stage.main.resting
        await stage.shows("Workers")
        await at_rest(stage)
        stage.app.tell("from a signal, say")
        await stage.shows("from a signal, say")


async def test_news_of_a_run_at_rest_are_on_the_screen() -> None:
    session = asking()
    session.begins("tell", "thread")
    session.returns("tell")
    async with staged(session) as stage:
        await at_rest(stage)
        session.warns("disk is 91% full: /data")
        await stage.shows("disk is 91% full")
        await at_rest(stage)
        session.after(61)
        await stage.shows("0:01:0")


@pytest.mark.parametrize("key", ["down", "question_mark", "slash"])
async def test_keys_stir_it(key: str) -> None:
    async with staged(finished()) as stage:
        await at_rest(stage)
        await stage.press(key)
        assert not stage.main.resting


async def test_what_runs_is_drawn_as_often_as_ever() -> None:
    async with staged(diamond()) as stage:
        stage.main._rests_from = 0.0
        frames = 0

        def drawn() -> None:
            nonlocal frames
            frames += 1

        stage.main._on_frame = drawn
        await stage.until(lambda: frames > 5, "more frames")
        assert not stage.main.resting


async def test_a_size_that_changes_at_rest_is_drawn() -> None:
    async with staged(finished()) as stage:
        await at_rest(stage)
        await stage.pilot.resize_terminal(120, 40)
        await stage.shows("Events", "Workers")
