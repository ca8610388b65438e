"""What changed in a run between two frames, at a cost that follows the changes and not the size of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from typing import NamedTuple

from qtui.core.events import UNIT_EVENTS, ConfirmRequested, UnitFinished, UnitProgress
from qtui.core.holding import Holders, waits_for
from qtui.core.model import FAILURES, UnitState
from qtui.core.session import Record, RunSession
from qtui.core.state import RunView
from qtui.tui.layout import TreeLayout

TROUBLED = frozenset({UnitState.FAILED, UnitState.TIMEOUT, UnitState.RETRYING, UnitState.CANCELING})
"""The states of members that a folded family does not hide."""


class Change(NamedTuple):
    """One step of the bridge: the events that came, the units they are about, and whether a member of a family
    entered or left trouble, so that rows come or go."""

    records: list[Record]
    units: Set[int]
    exposure: bool


class Bridge:
    """Follows a session: the latest view, and what the screen would otherwise count anew in each frame.

    `family_counts` has the states of each family's members, `exposed` the members a folded family shows, `holding`
    the units that hold a worker, `fallbacks` and `cached` the completed units that used one or were not run, `allowed`
    those whose failure is allowed, `asking` those that wait for an answer. Never waits for the engine.
    """

    def __init__(self, session: RunSession, layout: TreeLayout) -> None:
        self._session = session
        self._layout = layout
        self._feed = session.feed()
        self.view: RunView = session.view()
        self._states: list[UnitState] = list(self.view.states)
        self.family_counts: list[Counter[UnitState]] = [
            Counter(self._states[unit] for unit in family.members) for family in layout.groups
        ]
        self.exposed: set[int] = set()
        self.holding: set[int] = set()
        self.fallbacks: set[int] = set()
        self.cached: set[int] = set()
        self.allowed: set[int] = set()
        self.asking: set[int] = set()
        self._holders = Holders(session.plan, session.options)
        self._held_at = -1
        self._follow(range(len(self._states)))

    def advance(self) -> Change:
        """Take what has come since the last call."""
        # events first: the session folds them into its view before it hands them out
        records = self._feed.take(timeout=0)
        view = self._session.view()
        if not records and view.seq == self.view.seq:
            return Change([], frozenset(), False)
        self.view = view
        of_units = [event for _, event in records if isinstance(event, UNIT_EVENTS)]
        stepped = {event.unit for event in of_units if not isinstance(event, UnitProgress)}
        return Change(records, {event.unit for event in of_units}, self._follow(stepped))

    def waits_for(self, number: int) -> str:
        """Why a ready unit has not started, in a few words; empty if it is about to, or not ready."""
        view = self.view
        if view.states[number] is not UnitState.READY or number in self.holding:
            return ""
        if self._held_at != view.seq:  # counted once for all rows of a frame
            self._held_at = view.seq
            self._holders.update(view, self.holding)
        return waits_for(view, self._session.options, self._holders, number)

    def _follow(self, units: Iterable[int]) -> bool:
        """Bring the indexes up to date for `units`; True if the exposed members changed."""
        states, shown, family_of = self.view.states, self._states, self._layout.family_of
        exposure = False
        for unit in units:
            old, new = shown[unit], states[unit]
            family = family_of[unit]
            if family >= 0:
                if old is not new:
                    counts = self.family_counts[family]
                    counts[old] -= 1
                    counts[new] += 1
                if (new in TROUBLED) != (unit in self.exposed):
                    self.exposed ^= {unit}
                    exposure = True
            shown[unit] = new
            self._index(unit, new)
        return exposure

    def _index(self, unit: int, state: UnitState) -> None:
        running = state is UnitState.RUNNING or state is UnitState.CANCELING
        holding = running or (state is UnitState.READY and self.view.unit(unit).submitted)
        last = self.view.last[unit]
        end = last if isinstance(last, UnitFinished) else None
        for index, belongs in (
            (self.holding, holding),
            (self.fallbacks, end is not None and end.fallback),
            (self.cached, end is not None and end.cached),
            (self.allowed, state in FAILURES and self.view.plan.table[unit].allow_failure),
            (self.asking, isinstance(last, ConfirmRequested)),
        ):
            if belongs:
                index.add(unit)
            else:
                index.discard(unit)
