"""A dashboard on a scripted session, without a terminal: keys go in, lines of text come out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rich.segment import Segment
from textual.pilot import Pilot

from qtui.core.session import RunSession
from qtui.tui.actions import Keymap
from qtui.tui.app import Dashboard
from qtui.tui.drawn import Drawn
from qtui.tui.forecaster import Past
from qtui.tui.player import Player
from qtui.tui.screens.main import MainScreen

GENEROUS = 20.0
SMALL, MEDIUM = (80, 24), (120, 40)


class Stage:
    """What a test sees and does."""

    def __init__(self, app: Drawn[Any], pilot: Pilot[Any], session: Any = None) -> None:
        self.app = app
        self.pilot = pilot
        self.session = session

    @property
    def main(self) -> MainScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def segments(self) -> list[Segment]:
        return [segment for strip in self._strips() for segment in strip]

    def lines(self) -> list[str]:
        return ["".join(segment.text for segment in strip) for strip in self._strips()]

    def _strips(self) -> list[list[Segment]]:
        return [list(strip) for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.lines())

    def line_with(self, part: str) -> str:
        found = [line for line in self.lines() if part in line]
        assert found, f"{part!r} is nowhere on the screen:\n{self.text()}"
        return found[0]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition; fail with the screen when it does not come."""
        deadline = time.monotonic() + GENEROUS
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what}\n{self.text()}"
            await self.pilot.pause(0.02)

    async def shows(self, *parts: str) -> None:
        for part in parts:
            await self.until(lambda part=part: part in self.text(), f"{part!r} on the screen")  # type: ignore[misc]

    async def hides(self, part: str) -> None:
        await self.until(lambda: part not in self.text(), f"{part!r} gone from the screen")

    async def select(self, name: str) -> None:
        self.main.tree_pane.select_unit(self.session.view().plan.numbers[name])
        await self.pilot.pause()


@asynccontextmanager
async def staged(
    session: RunSession,
    size: tuple[int, int] = SMALL,
    *,
    player: Player | None = None,
    ask_past: Callable[[RunSession], Past] | None = None,
    keymap: Keymap | None = None,
    ascii: bool = False,
    color: bool | None = None,
) -> AsyncIterator[Stage]:
    app = Dashboard(session, "nightly.toml", player=player, ask_past=ask_past, keymap=keymap, ascii=ascii, color=color)
    async with app.run_test(size=size) as pilot:
        stage = Stage(app, pilot, session)
        await stage.until(lambda: stage.main._second >= 0, "the first frame")
        yield stage
