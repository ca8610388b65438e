"""What a unit needs, and what needs it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qtui.tui.format import counted
from qtui.tui.roles import Role
from qtui.tui.tabs.entry import BLANK, Entry, heading
from qtui.tui.tabs.scene import Scene

MOST_LISTED: Final = 200


def deps_of(scene: Scene, units: Sequence[int]) -> list[Entry]:
    """The needs of one or several units, and what needs them, both without the units themselves."""
    plan, states, own = scene.view.plan, scene.view.states, set(units)
    needs = sorted({need for unit in units for need in plan.needs[unit]} - own)
    feeds = sorted({fed for unit in units for fed in plan.feeds[unit]} - own)
    entries: list[Entry] = []
    if needs:
        ended = sum(states[need].ended for need in needs)
        entries.append(heading(f"needs {counted(len(needs), 'unit')}, of which {ended:,} {_have(ended)} ended"))
        entries += scene.units(needs, MOST_LISTED)
    else:
        entries.append(Entry("needs nothing", Role.MUTED))
    entries.append(BLANK)
    if feeds:
        count = scene.reach.below(plan, units)
        more = f", {count:,} with all below" if count > len(feeds) else ""
        entries.append(heading(f"needed by {counted(len(feeds), 'unit')}{more}"))
        entries += scene.units(feeds, MOST_LISTED)
    else:
        entries.append(Entry("nothing needs it" if len(own) == 1 else "nothing else needs them", Role.MUTED))
    return entries + _growth(scene, own)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _growth(scene: Scene, own: set[int]) -> list[Entry]:
    """What the units have added to the plan, and what has added them."""
    plan = scene.view.plan
    added = sorted({new for by in own for new in plan.added.get(by, ())} - own - plan.dropped)
    adders = sorted({by for by, new in plan.added.items() if not own.isdisjoint(new)} - own)
    entries: list[Entry] = []
    if adders:
        entries += [BLANK, heading("added by"), *scene.units(adders)]
    if added:
        entries += [BLANK, heading(f"has added {counted(len(added), 'unit')}"), *scene.units(added)]
    return entries
