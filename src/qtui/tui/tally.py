"""What the bundles of a layout hold, counted step by step: states, and which units in trouble a folded one shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from itertools import chain
from typing import Final

from qtui.core.failures import signature
from qtui.core.model import UnitState
from qtui.core.state import RunView
from qtui.tui.layout import TreeLayout

TROUBLED: Final = frozenset({UnitState.FAILED, UnitState.TIMEOUT, UnitState.RETRYING, UnitState.CANCELING})
"""The states of units that a folded bundle does not hide."""
PER_CAUSE: Final = 3
PER_BUNDLE: Final = 24
"""How many of them that is, of one cause and in all; of more than that the bundle's row says how many there are."""


class Tally:
    """`counts` has the states of each bundle's units, `exposed` the units that folded bundles show.

    Knows the units of its layout, as far as `states` had them; those that come later begin in a layout of their own.
    """

    def __init__(self, layout: TreeLayout, states: Sequence[UnitState], view: RunView) -> None:
        self.layout = layout
        self.count_anew(states, view)

    def count_anew(self, states: Sequence[UnitState], view: RunView) -> None:
        """Forget all that was counted: this is how the units stand. Whoever draws the counts keeps this tally."""
        layout = self.layout
        self.counts: list[Counter[UnitState]] = [
            Counter([states[unit] for unit in bundle.units]) for bundle in layout.bundles
        ]
        self.exposed: set[int] = set()
        self._causes: dict[int, str] = {}  # of the units in trouble
        self._shown: dict[int, Counter[str]] = {}  # by bundle and cause
        self._waiting: dict[int, dict[str, dict[int, None]]] = {}  # for a place among those, in the order they came
        for unit, around in enumerate(layout.bundle_of):
            if around >= 0 and states[unit] in TROUBLED:
                self._enter(unit, view)

    def follow(self, units: Set[int], before: Sequence[UnitState], view: RunView) -> bool:
        """Count the steps of `units`, whose states were those of `before`, to those of the view; True if rows come or
        go for them. What takes the same step in the same bundle is counted at once."""
        bundle_of, bundles, states = self.layout.bundle_of, self.layout.bundles, view.states
        if not bundles:
            return False
        inside = [unit for unit in units if unit < len(bundle_of) and bundle_of[unit] >= 0]
        steps = Counter([(bundle_of[unit], before[unit], states[unit]) for unit in inside])
        for (around, old, new), count in steps.items():
            while around >= 0 and old is not new:
                counts = self.counts[around]
                counts[old] -= count
                counts[new] += count
                around = bundles[around].around
        exposure = False
        for unit in [unit for unit in self._causes.keys() & units if states[unit] not in TROUBLED]:
            exposure |= self._leave(unit)
        for unit in inside:
            if states[unit] in TROUBLED and unit not in self._causes:
                exposure |= self._enter(unit, view)
        return exposure

    def hidden(self, bundle: int) -> int:
        """How many units in trouble right inside of a folded bundle have no row of their own."""
        return sum(len(units) for units in self._waiting.get(bundle, {}).values())

    def _enter(self, unit: int, view: RunView) -> bool:
        lens = view.unit(unit)
        cause = self._causes[unit] = signature(lens.error) if lens.error is not None else lens.state.value
        holder = self._holder(unit)
        if self._room(holder, cause):
            self._show(unit, holder, cause)
            return True
        self._waiting.setdefault(holder, {}).setdefault(cause, {})[unit] = None
        return False

    def _leave(self, unit: int) -> bool:
        cause, holder = self._causes.pop(unit), self._holder(unit)
        waiting = self._waiting.get(holder, {})
        if unit not in self.exposed:
            _drop(waiting, cause, unit)
            return False
        self.exposed.remove(unit)
        shown = self._shown[holder]
        shown[cause] -= 1
        if not shown[cause]:
            del shown[cause]
        # one of the same cause, else of any: only a few causes can have all the rows that they may have
        other = next((name for name in chain((cause,), waiting) if name in waiting and self._room(holder, name)), None)
        if other is not None:
            heir = next(iter(waiting[other]))
            _drop(waiting, other, heir)
            self._show(heir, holder, other)
        return True

    def _show(self, unit: int, holder: int, cause: str) -> None:
        self.exposed.add(unit)
        self._shown.setdefault(holder, Counter())[cause] += 1

    def _room(self, holder: int, cause: str) -> bool:
        shown: Mapping[str, int] = self._shown.get(holder, {})
        return shown.get(cause, 0) < PER_CAUSE and sum(shown.values()) < PER_BUNDLE

    def _holder(self, unit: int) -> int:
        """The bundle right around the row that shows the unit."""
        layout = self.layout
        at = layout.bundle_at[layout.exposing(unit)]
        return layout.bundles[at].around if at >= 0 else layout.bundle_of[unit]


def _drop(waiting: dict[str, dict[int, None]], cause: str, unit: int) -> None:
    del waiting[cause][unit]
    if not waiting[cause]:
        del waiting[cause]
