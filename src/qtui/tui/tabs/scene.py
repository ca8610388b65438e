"""What the tabs are made from, and how they tell units: one line for one, one for all of a family that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from qtui.core.masking import TextMasker
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan, reached
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.actions import Keymap
from qtui.tui.bridge import Bridge
from qtui.tui.format import SIGNS, Glyphs, Look, cause_of, counted, look_of_state, short_clock
from qtui.tui.layout import family_name
from qtui.tui.roles import Role
from qtui.tui.scopes import Kind
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.tabs.entry import Entry, Goal

MOST_TOLD = 12
"""Units, or groups of alike ones, below one heading."""


class Reach:
    """How many units depend on some, directly or not; counted once for each plan and question."""

    def __init__(self) -> None:
        self._plan: ExecutionPlan | None = None
        self._known: dict[tuple[int, ...], int] = {}

    def below(self, plan: ExecutionPlan, units: Sequence[int]) -> int:
        """The number of units below these. O(what is below) the first time."""
        if plan is not self._plan:
            self._plan, self._known = plan, {}
        key = tuple(units)
        if key not in self._known:
            self._known[key] = len(reached(plan.feeds, *key))
        return self._known[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A moment of a run, and the keys of who looks at it."""

    session: RunSession
    bridge: Bridge
    attempts: Attempts
    texts: TextMasker
    glyphs: Glyphs
    now: float
    reach: Reach = field(default_factory=Reach)
    keymap: Keymap = field(default_factory=dict)

    @property
    def view(self) -> RunView:
        """What is known of the run."""
        return self.bridge.view

    def unit(self, number: int, note: str | None = None) -> Entry:
        """The line of one unit: how it is, its name, why, and when it is expected to begin or to end."""
        unit, look = self.view.unit(number), self.bridge.look_of(number)
        elapsed = unit.elapsed(self.now)
        took = "" if elapsed is None else short_clock(elapsed)
        why, soon = note, ""
        if why is None:
            why = cause_of(unit, self.now, self.bridge.waits_for(number, self.now))
            soon = self.bridge.outlook.soon(number, self.view, self.now)
        role = SIGNS[look].role if look in (Look.FAIL, Look.TIME, Look.RUN) else Role.TEXT
        note = ", ".join(filter(None, (f"{took} {why}".strip(), soon)))
        return Entry(unit.id, role, look=look, note=note, goal=Goal(number))

    def units(self, numbers: Iterable[int], most: int = MOST_TOLD) -> list[Entry]:
        """Up to `most` lines of units, in which those of a family that look alike are one; what ended well comes last,
        and what is left is counted."""
        groups: dict[tuple[str, Look], list[int]] = {}
        # why a ready one has not started is not asked for each: there may be ten thousands
        states, looks = self.view.states, {state: look_of_state(state, self.view) for state in UnitState}
        bridge = self.bridge
        own = ((bridge.cached, Look.HIT), (bridge.asking, Look.ASK), (bridge.allowed, Look.ALLOWED))
        for number in numbers:
            look = next((look for those, look in own if number in those), None) or looks[states[number]]
            groups.setdefault((self._family(number), look), []).append(number)
        ordered = sorted(groups.items(), key=lambda group: _PLACE[group[0][1]])
        entries = []
        for (family, look), members in ordered[:most]:
            if len(members) == 1:
                entries.append(self.unit(members[0]))
            else:
                name = f"{family} {self.glyphs.times}{len(members):,}"
                entries.append(Entry(name, look=look, goal=Goal(members[0])))
        rest = sum(len(members) for _, members in ordered[most:])
        if rest:
            entries.append(Entry(f"and {counted(rest, 'unit')} more", Role.MUTED))
        return entries

    def _family(self, number: int) -> str:
        """What a unit is called with others: as in the tree, if it folds there."""
        layout = self.bridge.layout
        around = layout.bundle_of[number] if number < len(layout.bundle_of) else -1
        if around >= 0 and layout.bundles[around].kind is Kind.FAMILY:
            return layout.bundles[around].name
        return family_name(self.view.plan.table[number])


_ORDER = (
    *(Look.FAIL, Look.TIME, Look.STOP, Look.RETRY, Look.ASK, Look.RUN, Look.QUEUE, Look.READY, Look.WAIT),
    *(Look.ALLOWED, Look.SKIP, Look.CANC, Look.OK, Look.HIT),
)
_PLACE = {look: place for place, look in enumerate(_ORDER)}
