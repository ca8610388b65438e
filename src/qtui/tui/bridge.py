"""What changed in a run between two frames, at a cost that follows the changes and not the size of the run."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any, Final, NamedTuple, Protocol, get_args

from qtui.core.cutting import shown
from qtui.core.events import UNIT_EVENTS, ConfirmRequested, PlanReplaced, RunResumed, UnitFinished, UnitProgress
from qtui.core.failures import FailureCause, causes_of
from qtui.core.holding import Holders, waits_for
from qtui.core.model import FAILURES, RunState, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.session import Record, RunSession
from qtui.core.state import RunView
from qtui.tui.format import Look, look_of
from qtui.tui.laying import lay_out
from qtui.tui.layout import TreeLayout, add_names
from qtui.tui.tally import Tally

_OF_UNITS: Final = frozenset(get_args(UNIT_EVENTS))


class Change(NamedTuple):
    """One step of the bridge: the events that came, the units they are about, and whether a unit inside of a bundle
    entered or left trouble, so that rows come or go.

    `replaced` says that unit numbers mean something else than before, and that the bridge has a new layout. `jumped`
    says that the events do not go on where those before ended, but begin behind the session's new opening.
    """

    records: list[Record]
    units: Set[int]
    exposure: bool
    replaced: bool = False
    jumped: bool = False


class LayOut(Protocol):
    """Makes layouts of plans; see `laying.lay_out`."""

    def __call__(self, plan: ExecutionPlan, *, names: list[str] | None = None, levels: bool = False) -> TreeLayout: ...


class Bridge:
    """Follows a session: the latest view, in which units that were cut have an end (see `core.cutting`), and what the
    screen would otherwise count anew in each frame.

    `tree` counts by the bundles of the layout, `levels` by those of the layout by level once that is wanted (see
    `by_level`). `holding` are the units that hold a worker, `failed` those that failed or timed out, `fallbacks` and
    `cached` the completed ones that used one or were not run, `allowed` those whose failure is allowed, `asking` those
    that wait for an answer. Never waits for the engine.

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
    ) -> None:
        self._session = session
        self._lay_out = lay_out
        self._feed = session.feed()
        self._cut = self._may_be_cut(session.view())
        self.view: RunView = self._shown(session.view())
        self._states: list[UnitState] = list(self.view.states)
        self.levels: Tally | None = None
        self.holding: set[int] = set()
        self.failed: set[int] = set()
        self.fallbacks: set[int] = set()
        self.cached: set[int] = set()
        self.allowed: set[int] = set()
        self.asking: set[int] = set()
        self._holders = Holders(session.plan, session.options)
        self._held_at = -1
        self._causes: tuple[FailureCause, ...] | None = None
        add_names(layout.names, self.view.plan)
        self.tree = Tally(layout, self._states, self.view)
        self._follow(range(len(self._states)))

    def advance(self) -> Change:
        """Take what has come since the last call."""
        # events first: the session folds them into its view before it hands them out
        records, jumped = self._take()
        view = self._session.view()
        cut, self._cut = self._cut, self._may_be_cut(view)
        anew = jumped or cut is not self._cut
        if not records and view.seq == self.view.seq and not anew:
            return Change([], frozenset(), False)
        before, self.view = self.view, self._shown(view)
        replaced = not _goes_on(before.plan, view.plan)
        kinds = {type(event) for _, event in records}
        if anew or replaced or not kinds.isdisjoint((PlanReplaced, RunResumed)):
            return self._count_anew(records, replaced=replaced, jumped=jumped)
        if len(view.plan) > len(self._states):
            self._states += [UnitState.PENDING] * (len(view.plan) - len(self._states))  # as their events find them
            add_names(self.layout.names, view.plan)
        of_units: list[Any] = [event for _, event in records if type(event) in _OF_UNITS]
        units = {event.unit for event in of_units}
        if UnitProgress in kinds:
            stepped = {event.unit for event in of_units if type(event) is not UnitProgress}
        else:
            stepped = units
        return Change(records, units, self._follow(stepped))

    def _may_be_cut(self, view: RunView) -> bool:
        """Whether what has begun and has no end was cut."""
        return self._session.lost or view.state is RunState.INTERRUPTED

    def _shown(self, view: RunView) -> RunView:
        return shown(view, lost=self._session.lost) if self._cut else view

    def _take(self) -> tuple[list[Record], bool]:
        """The new events, and whether they go on elsewhere: a replay that jumps closes its feeds."""
        records = self._feed.take(timeout=0)
        if self._session.kind != "replay" or not self._feed.closed:
            return records, False
        self._feed = self._session.feed()
        return self._feed.take(timeout=0), True

    def _count_anew(self, records: list[Record], *, replaced: bool, jumped: bool) -> Change:
        view = self.view
        layout, levels = self.layout, self.levels.layout if self.levels is not None else None
        if replaced:
            layout = self._lay_out(view.plan)
            levels = self._lay_out(view.plan, names=layout.names, levels=True) if levels is not None else None
        else:
            add_names(layout.names, view.plan)
        self._states = list(view.states)
        for index in (self.holding, self.failed, self.fallbacks, self.cached, self.allowed, self.asking):
            index.clear()
        self._held_at, self._causes = -1, None
        self.grow(layout, levels)
        self._follow(range(len(self._states)))
        return Change(records, frozenset(range(len(self._states))), True, replaced=replaced, jumped=jumped)

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
            self._causes = causes_of(self.view, sorted(self.failed))
        return self._causes

    def waits_for(self, number: int) -> str:
        """Why a ready unit has not started, in a few words; empty if it is about to, or not ready."""
        view = self.view
        if view.states[number] is not UnitState.READY or number in self.holding:
            return ""
        return waits_for(view, self._session.options, self._count_holders(), number)

    @property
    def busy(self) -> int:
        """How many workers have units; those that share one count as one."""
        return self._count_holders().busy

    @property
    def holders(self) -> Holders:
        """Who holds what."""
        return self._count_holders()

    def look_of(self, number: int) -> Look:
        """How a unit is shown."""
        return look_of(self.view.unit(number), self.waits_for(number))

    def _count_holders(self) -> Holders:
        """Who holds what, counted once for all that is drawn in a frame."""
        if self._held_at != self.view.seq:
            self._held_at = self.view.seq
            self._holders.update(self.view, self.holding)
        return self._holders

    def _follow(self, units: Iterable[int]) -> bool:
        """Bring the indexes up to date for `units`; True if the exposed units changed."""
        view, shown = self.view, self._states
        exposure = False
        for unit in units:
            old, new = shown[unit], view.states[unit]
            exposure |= self.tree.step(unit, old, new, view)
            if self.levels is not None:
                exposure |= self.levels.step(unit, old, new, view)
            shown[unit] = new
            self._index(unit, new)
        return exposure

    def _index(self, unit: int, state: UnitState) -> None:
        running = state is UnitState.RUNNING or state is UnitState.CANCELING
        holding = running or (state is UnitState.READY and self.view.unit(unit).submitted)
        last = self.view.last[unit]
        end = last if isinstance(last, UnitFinished) else None
        if state in FAILURES or unit in self.failed:
            self._causes = None
        for index, belongs in (
            (self.holding, holding),
            (self.failed, state in FAILURES),
            (self.fallbacks, end is not None and end.fallback),
            (self.cached, end is not None and end.cached),
            (self.allowed, state in FAILURES and self.view.plan.table[unit].allow_failure),
            (self.asking, isinstance(last, ConfirmRequested)),
        ):
            if belongs:
                index.add(unit)
            else:
                index.discard(unit)


def _goes_on(before: ExecutionPlan, after: ExecutionPlan) -> bool:
    """Whether `after` is `before`, or has grown from it: the units of that have the same numbers."""
    if before is after:
        return True
    same = (old is new or old.id == new.id for old, new in zip(before.table, after.table, strict=False))
    return len(before) <= len(after) and all(same)
