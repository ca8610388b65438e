"""What each tab but the first tells of a unit, and of the units of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qtui.tui.tabs.deps import deps_of
from qtui.tui.tabs.entry import Entry, Tab
from qtui.tui.tabs.scene import Scene
from qtui.tui.tabs.tries import tries_unit, tries_units
from qtui.tui.tabs.why import why_unit, why_units

OF_UNIT: Final[Mapping[Tab, Callable[[Scene, int], Sequence[Entry]]]] = {
    Tab.WHY: why_unit,
    Tab.DEPS: lambda scene, unit: deps_of(scene, (unit,)),
    Tab.TRIES: tries_unit,
}
OF_UNITS: Final[Mapping[Tab, Callable[[Scene, Sequence[int]], Sequence[Entry]]]] = {
    Tab.WHY: why_units,
    Tab.DEPS: deps_of,
    Tab.TRIES: tries_units,
}
