"""What no first frame shows: the modules that keys need, imported right behind it.

Before the first frame they would hold it up, and at the key that needs them first it may be beside busy units, where an
import takes many times as long. So what is named here is imported inside of the functions that use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

MODULES: Final = (
    "qtui.tui.forecaster",
    "qtui.tui.foresight",
    "qtui.tui.screens.commandline",
    "qtui.tui.screens.edit",
    "qtui.tui.screens.found",
    "qtui.tui.screens.help",
    "qtui.tui.screens.palette",
    "qtui.tui.screens.question",
    "qtui.tui.screens.searchline",
    "qtui.tui.levels",
    "qtui.tui.tabs.info",
    "qtui.tui.tabs.telling",
    "qtui.tui.widgets.filter",
)


def import_later() -> None:
    """Import them now."""
    for name in MODULES:
        import_module(name)
