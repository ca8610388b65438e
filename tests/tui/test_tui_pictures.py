"""A few pictures of the screen, colours and all; none shows the machine, which is drawn anew each second.

``QTUI_PICTURES=write`` makes them anew; look at what has changed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scenes import failed, finished, nightly
from scripted import ScriptedSession
from stage import staged

PICTURES = Path(__file__).parent / "pictures"
WRITE = os.environ.get("QTUI_PICTURES") == "write"


@pytest.fixture(autouse=True)
def same_clock_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("name", "scene", "size", "keys", "color"),
    [
        ("small", nightly, (80, 24), (), None),
        ("failed-side", failed, (120, 24), (), None),
        ("why-side", nightly, (120, 24), ("j", "j", "j", "j", "w"), None),
        ("mono", nightly, (100, 20), (), False),
        ("finished-micro", finished, (40, 12), (), None),
    ],
)
async def test_the_screen_looks_as_in_its_picture(
    name: str, scene: Callable[[], ScriptedSession], size: tuple[int, int], keys: tuple[str, ...], color: bool | None
) -> None:
    async with staged(scene(), size, color=color) as stage:
        await stage.press(*keys)
        await stage.pilot.pause(0.6)  # all is painted, also what is painted twice a second
        picture = without_ids(stage.app.export_screenshot(title=name))
    path = PICTURES / f"{name}.svg"
    if WRITE:
        PICTURES.mkdir(exist_ok=True)
        path.write_text(picture)
    assert picture == path.read_text(), "it looks otherwise; QTUI_PICTURES=write keeps it, git shows the difference"


def without_ids(svg: str) -> str:
    """Each picture has a number that its classes begin with, so that several can stand on one page."""
    return re.sub(r"terminal-\d+", "terminal", svg)
