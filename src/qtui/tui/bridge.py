"""What changed in a run between two frames, at a cost that follows the changes and not the size of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol, get_args

from qtui.core.cutting import shown
from qtui.core.events import (
    UNIT_EVENTS,
    ConfirmRequested,
    Event,
    PlanReplaced,
    RunResumed,
    UnitFinished,
    UnitProgress,
    UnitSubmitted,
)
from qtui.core.failures import FailureCause, causes_of
from qtui.core.holding import Holders
from qtui.core.model import FAILURES, RunState, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.core.why import WAITING, Reasons
from qtui.tui.format import Look, look_of
from qtui.tui.laying import lay_out
from qtui.tui.layout import TreeLayout, add_names
from qtui.tui.outlook import Outlook
from qtui.tui.shortnames import ShortNames
from qtui.tui.tally import Tally

_OF_UNITS: Final = frozenset(get_args(UNIT_EVENTS))
_AT_WORK: Final = (UnitState.RUNNING, UnitState.CANCELING)
_EVENT_OF: Final = itemgetter(1)  # of a record


class Change(NamedTuple):
    """One step of the bridge: the events that came, of which kinds they are, the units they are about, and whether a
    unit inside of a bundle entered or left trouble, so that rows come or go.

    `replaced` says that unit numbers mean something else than before, and that the bridge has a new layout. `jumped`
    says that the events do not go on where those before ended, but begin behind the session's new opening.
    """

    events: list[Event]
    kinds: Set[type[Event]]
    units: Set[int]
    exposure: bool
    replaced: bool = False
    jumped: bool = False

    def of(self, kinds: Set[type[Event]]) -> list[Event]:
        """The events of these kinds, in order; of kinds that there are none of, at no cost."""
        return [] if self.kinds.isdisjoint(kinds) else [event for event in self.events if type(event) in kinds]


class LayOut(Protocol):
    """Makes layouts of plans; see `laying.lay_out`."""

    def __call__(self, plan: ExecutionPlan, *, names: list[str] | None = None, levels: bool = False) -> TreeLayout: ...


class Bridge:
    """Follows a session: the latest view, in which units that were cut have an end (see `core.cutting`), and what the
    screen would otherwise count anew in each frame.

    It begins with `view`, by default the session's latest.

    `tree` counts by the bundles of the layout, `levels` by those of the layout by level once that is wanted (see
    `by_level`). `holding` are the units that hold a worker, `failed` those that failed or timed out, `allowed` those
    of them whose failure is allowed, `asking` those that wait for an answer. `fallbacks`, `cached` and `aside` are the
    completed ones that used one, were not run, or were marked as done by a person. `outlook` has what is expected of
    the run, which somebody else finds out, `short` the names of units where there is little room. Never waits for the
    engine.

    The plan may grow. The view, the names and the indexes of units follow at once; what is counted by bundle knows only
    the units of the layout until there is a new one: see `outgrown` and `grow`. When the plan is another one, for which
    `lay_out` is called at once, or the session is at another moment than its events lead to, all is counted anew.
    """

    def __init__(
        self,
        session: RunSession,
        layout: TreeLayout,
        *,
        lay_out: LayOut = lay_out,
        view: RunView | None = None,
    ) -> None:
        self._session = session
        self._lay_out = lay_out
        self._feed = session.feed()
        view = view or session.view()
        self._cut = self._may_be_cut(view)
        self.view: RunView = self._shown(view)
        self._states: list[UnitState] = list(self.view.states)
        self.levels: Tally | None = None
        self.holding: set[int] = set()
        self.failed: set[int] = set()
        self.fallbacks: set[int] = set()
        self.cached: set[int] = set()
        self.aside: set[int] = set()
        self.allowed: set[int] = set()
        self.asking: set[int] = set()
        self.outlook = Outlook()
        self._held_at = -1
        self._causes: tuple[FailureCause, ...] | None = None
        add_names(layout.names, self.view.plan)
        self.tree = Tally(layout, self._states, self.view)
        self.short = ShortNames(layout.plan, layout.names)
        self._index_all()

    def advance(self) -> Change:
        """Take what has come since the last call."""
        # events first: the session folds them into its view before it hands them out
        events, jumped = self._take()
        view = self._session.view()
        cut, self._cut = self._cut, self._may_be_cut(view)
        anew = jumped or cut is not self._cut
        if not events and view.seq == self.view.seq and not anew:
            return Change([], frozenset(), frozenset(), False)
        before, self.view = self.view, self._shown(view)
        replaced = not _goes_on(before.plan, view.plan)
        kinds = set(map(type, events))
        if anew or replaced or not kinds.isdisjoint((PlanReplaced, RunResumed)):
            return self._count_anew(events, kinds, replaced=replaced, jumped=jumped)
        if len(view.plan) > len(self._states):
            self._states += [UnitState.PENDING] * (len(view.plan) - len(self._states))  # as their events find them
            add_names(self.layout.names, view.plan)
        of_units: list[Any] = events if kinds <= _OF_UNITS else [event for event in events if type(event) in _OF_UNITS]
        units = {event.unit for event in of_units}
        if UnitProgress in kinds:
            stepped = {event.unit for event in of_units if type(event) is not UnitProgress}
        else:
            stepped = units
        return Change(events, kinds, units, self._follow(stepped))

    def _may_be_cut(self, view: RunView) -> bool:
        """Whether what has begun and has no end was cut."""
        return self._session.lost or view.state is RunState.INTERRUPTED

    def _shown(self, view: RunView) -> RunView:
        return shown(view, lost=self._session.lost) if self._cut else view

    def _take(self) -> tuple[list[Event], bool]:
        """The new events, and whether they go on elsewhere: a replay that jumps closes its feeds."""
        records, jumped = self._feed.take(timeout=0), False
        if self._session.kind == "replay" and self._feed.closed:
            self._feed = self._session.feed()
            records, jumped = self._feed.take(timeout=0), True
        return list(map(_EVENT_OF, records)), jumped

    def _count_anew(self, events: list[Event], kinds: Set[type[Event]], *, replaced: bool, jumped: bool) -> Change:
        view = self.view
        self._states = list(view.states)
        if replaced:
            layout = self._lay_out(view.plan)
            wanted = self.levels is not None
            self.grow(layout, self._lay_out(view.plan, names=layout.names, levels=True) if wanted else None)
        else:
            add_names(self.layout.names, view.plan)
            for tally in filter(None, (self.tree, self.levels)):
                tally.count_anew(self._states, view)
        kept = (self.holding, self.failed, self.fallbacks, self.cached, self.aside, self.allowed, self.asking)
        for index in kept:
            index.clear()
        self._held_at, self._causes = -1, None
        self._index_all()
        units = frozenset(range(len(self._states)))
        return Change(events, kinds, units, True, replaced=replaced, jumped=jumped)

    @property
    def layout(self) -> TreeLayout:
        """The layout of the tree."""
        return self.tree.layout

    @property
    def outgrown(self) -> bool:
        """True if the plan is not the one that the layout is of any more."""
        return self.view.plan is not self.layout.plan

    def grow(self, layout: TreeLayout, levels: TreeLayout | None = None) -> None:
        """Count by the bundles of new layouts from now on."""
        self.tree = Tally(layout, self._states, self.view)
        self.short = ShortNames(layout.plan, layout.names)
        self.levels = Tally(levels, self._states, self.view) if levels is not None else None

    def by_level(self) -> Tally:
        """The tally by level; made when it is asked for first, and kept up to date from then on."""
        if self.levels is None:
            levels = self._lay_out(self.layout.plan, names=self.layout.names, levels=True)
            self.levels = Tally(levels, self._states, self.view)
        return self.levels

    @property
    def causes(self) -> tuple[FailureCause, ...]:
        """The failures by cause; grouped anew only when there are others."""
        if self._causes is None:
            counting, allowed = sorted(self.failed - self.allowed), sorted(self.allowed)
            self._causes = (*causes_of(self.view, counting), *causes_of(self.view, allowed))
        return self._causes

    def waits_for(self, number: int, now: float) -> str:
        """What is in the way of a unit that waits, first of all, in a few words; empty for one that does not wait."""
        return self.reasons.words(number, now) if self.view.states[number] in WAITING else ""

    @property
    def clustered(self) -> bool:
        """Whether the run may send units to a cluster."""
        return bool(self._session.options.elsewhere)

    @property
    def busy(self) -> int:
        """How many workers have units; those that share one count as one, and what waits in a cluster has none."""
        return self.holders.busy - self.holders.waiting

    @property
    def holders(self) -> Holders:
        """Who holds what."""
        return self.reasons.holders

    @property
    def reasons(self) -> Reasons:
        """Why units wait; looks at the view once for all that is drawn in a frame."""
        if self._held_at != self.view.seq:
            self._held_at = self.view.seq
            self._reasons.update(self.view, self.holding, lost=self._session.lost)
        return self._reasons

    def look_of(self, number: int) -> Look:
        """How a unit is shown."""
        view = self.view
        if view.states[number] is not UnitState.READY or number in self.holding:
            return look_of(view.unit(number))
        return look_of(view.unit(number), self.waits_for(number, view.updated_at))

    @cached_property
    def _reasons(self) -> Reasons:
        """Made when it is asked for, behind the first frame: it knows the limits of each of ten thousand units."""
        return Reasons(self._session.plan, self._session.options)

    def _follow(self, units: Set[int]) -> bool:
        """Bring the indexes up to date for `units`; True if the exposed units changed."""
        view, shown = self.view, self._states
        exposure = self.tree.follow(units, shown, view)
        if self.levels is not None:
            exposure |= self.levels.follow(units, shown, view)
        states = view.states
        by_state: defaultdict[UnitState, list[int]] = defaultdict(list)
        for unit in units:
            state = shown[unit] = states[unit]
            by_state[state].append(unit)
        for state, those in by_state.items():
            self._index(those, state)
        return exposure

    def _index_all(self) -> None:
        """Fill the empty indexes. A unit that is pending is in none of them."""
        by_state: defaultdict[UnitState, list[int]] = defaultdict(list)
        for unit, state in enumerate(self._states):
            if state is not UnitState.PENDING:
                by_state[state].append(unit)
        for state, those in by_state.items():
            self._index(those, state)

    def _index(self, units: Sequence[int], state: UnitState) -> None:
        """Bring the indexes up to date for units that are all in this state: one by one it would cost four times as
        much, and an engine whose units do nothing ends ten thousands of them a second."""
        last, table = self.view.last, self.view.plan.table
        failed: Sequence[int] = units if state in FAILURES else ()
        holding: Sequence[int] = units if state in _AT_WORK else ()
        asking: list[int] = []
        fallbacks: list[int] = []
        cached: list[int] = []
        aside: list[int] = []
        if state.ended:
            for unit in units:
                end = last[unit]
                if type(end) is UnitFinished and (end.fallback or end.cached):
                    (aside if end.set_aside else fallbacks).extend([unit] if end.fallback else [])
                    cached += [unit] if end.cached else []
        elif state is UnitState.READY:
            holding = [unit for unit in units if type(last[unit]) is UnitSubmitted]
            asking = [unit for unit in units if type(last[unit]) is ConfirmRequested]
        if failed or not self.failed.isdisjoint(units):
            self._causes = None
        for index, belonging in (
            (self.holding, holding),
            (self.failed, failed),
            (self.fallbacks, fallbacks),
            (self.cached, cached),
            (self.aside, aside),
            (self.allowed, [unit for unit in failed if table[unit].allow_failure]),
            (self.asking, asking),
        ):
            if index:
                index.difference_update(units)
            index.update(belonging)


def _goes_on(before: ExecutionPlan, after: ExecutionPlan) -> bool:
    """Whether `after` is `before`, or has grown from it: the units of that have the same numbers."""
    if before is after:
        return True
    same = (old is new or old.id == new.id for old, new in zip(before.table, after.table, strict=False))
    return len(before) <= len(after) and all(same)
