"""A screen that does not end by itself is ended, and one that is only slow is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from scenes import diamond, finished
from stage import GENEROUS, SMALL, staged

from qtui.tui.drawn import Drawn
from qtui.tui.guard import DEAF_TICKS, LEAVING_TICKS, Patience, guarded


def test_a_screen_that_is_left_has_some_ticks_to_go() -> None:
    patience = Patience()
    ticks = [patience.over(leaving=True, answered=True) for _ in range(LEAVING_TICKS)]
    assert ticks == [False] * (LEAVING_TICKS - 1) + [True]


def test_a_screen_that_answers_now_and_then_is_not_ended() -> None:
    patience = Patience()
    answers = ([False] * (DEAF_TICKS - 1) + [True]) * 3
    assert not any(patience.over(leaving=False, answered=answered) for answered in answers)
    assert [patience.over(leaving=False, answered=False) for _ in range(DEAF_TICKS)][-1]


class Pump:
    """Takes calls, and waits for ever in the end; it may have to be told several times to end."""

    def __init__(self, *, deaf: bool, stubborn: int = 0) -> None:
        self.calls: list[Callable[[], None]] = []
        self.story: list[str] = []
        self._deaf, self._stubborn = deaf, stubborn

    async def waits_in_vain(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self._stubborn -= 1
                if self._stubborn < 0:
                    raise

    def ping(self, call: Callable[[], None]) -> None:
        self.calls.append(call)
        if not self._deaf:
            call()

    async def guarded(self, *, leaving: bool) -> asyncio.Task[None]:
        task = asyncio.create_task(self.waits_in_vain())
        await guarded(task, is_leaving=lambda: leaving, ping=self.ping, give_up=self.story.append, tick=0)
        return task


async def test_a_screen_that_has_been_left_and_hangs_is_ended_and_tells_where_it_was() -> None:
    pump = Pump(deaf=False)
    assert (await pump.guarded(leaving=True)).cancelled()
    assert len(pump.story) == 1
    assert "waits_in_vain" in pump.story[0]


async def test_it_is_told_again_if_it_goes_on_to_wait_for_something_else() -> None:
    pump = Pump(deaf=False, stubborn=2)
    assert (await pump.guarded(leaving=True)).cancelled()
    assert len(pump.story) == 3


async def test_a_screen_that_takes_no_keys_any_more_is_ended_and_asked_once() -> None:
    pump = Pump(deaf=True)
    assert (await pump.guarded(leaving=False)).cancelled()
    assert len(pump.calls) == 1


async def test_a_dashboard_that_waits_in_vain_when_it_is_left_goes_with_the_answer_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Drawn, "TICK_SECONDS", 0.01)
    async with staged(finished()) as stage:
        stage.app.call_next(asyncio.Event().wait)
        stage.app.action_leave()
        deadline = asyncio.get_running_loop().time() + GENEROUS
        while stage.app._running:  # whoever waits for its widgets, as stages do, waits in vain
            assert asyncio.get_running_loop().time() < deadline, "it was never left"
            await asyncio.sleep(0.01)
    assert stage.app.return_value is not None
    assert stage.app.failure is None


async def test_a_size_of_which_the_terminal_did_not_tell_is_taken_all_the_same() -> None:
    async with staged(diamond(), SMALL) as stage:
        assert stage.app._driver is not None
        stage.app._driver._size = (100, 30)
        stage.app.measure()
        await stage.until(lambda: stage.app.screen.outer_size == (100, 30), "the new size")
