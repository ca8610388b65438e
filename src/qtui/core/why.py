"""Why a unit does not run: all that is in its way now, by the scheduler's own predicates. Pure, from a view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from qtui.core.events import ConfirmRequested, UnitFinished, UnitRetrying, UnitSubmitted
from qtui.core.holding import Holders
from qtui.core.limits import WORKER
from qtui.core.model import ExecutionMode, RunState, UnitState
from qtui.core.obstacles import (
    Abandoned,
    BackOff,
    Blame,
    Braked,
    Busy,
    Cause,
    Ending,
    First,
    Handed,
    HeldBack,
    LookUp,
    Needs,
    NotBegun,
    Over,
    Paused,
    Question,
    Reserved,
    Short,
    Unsaved,
    words,
)
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import Key, Room, Terms
from qtui.core.standing import Standing, asks, looks_up
from qtui.core.state import RunView
from qtui.core.targets import WorkerTargets

_PENDING, _READY, _RETRYING = UnitState.PENDING, UnitState.READY, UnitState.RETRYING
WAITING = frozenset({_PENDING, _READY, _RETRYING})
"""The states of units that have not ended and do not run."""


class Reasons:
    """Tells why units wait. What was asked is of the view of the latest `update`.

    The causes of a unit are those, and only those, that would all have to go for it to start, or to be skipped for its
    condition, all else being as it is. Units in a state other than `WAITING` have none.
    """

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        self.holders = Holders(plan, options)
        self._options = options
        self._standing: _Seen | None = None
        self._handlers: tuple[ExecutionPlan, list[bool]] | None = None
        self._know(RunView.initial(plan))

    def update(self, view: RunView, active: Collection[int] | None = None, *, lost: bool = False) -> None:
        """Look at a view; `active` are the units that hold a worker, where they are known already. `lost` says that
        nobody runs the run."""
        if active is None:
            active = [number for number in range(len(view.plan)) if _is_active(view, number)]
        if view.state is RunState.PENDING:
            view = _as_begun(view, self._options)
        self.holders.update(view, active)
        self._know(view, lost=lost)

    def _know(self, view: RunView, *, lost: bool = False) -> None:
        self._view, self._lost = view, lost
        self._in_queue: list[int] | None = None
        self._standing = None
        self._first: dict[int, Cause | None] = {}  # a screen asks for the same ones once a second, and twice in a row

    def words(self, number: int, now: float) -> str:
        """The first cause in the few words a row has room for; empty if there is none."""
        if number not in self._first:
            self._first[number] = next(self.causes(number), None)
        first = self._first[number]
        return words(first, self._view.plan, now) if first is not None else ""

    def all_words(self, number: int, now: float) -> list[str]:
        """Each cause in a few words."""
        return [words(cause, self._view.plan, now) for cause in self.causes(number)]

    def causes(self, number: int) -> Iterator[Cause]:
        """What is in the unit's way, what it waits for itself before what holds all. One by one: the last ones take a
        look at all that are ready."""
        view = self._view
        if view.states[number] not in WAITING:
            return
        unit = view.unit(number)
        if unit.submitted:
            batch = unit.unit.batch is not None and unit.lane is ExecutionMode.PROCESS
            unmanned = view.unmanned_at is not None
            yield Handed(unit.worker or 0, self.holders.cluster and unit.lane is ExecutionMode.CUSTOM, batch, unmanned)
            return
        awaited: set[int] = set()
        ahead: list[Cause] = []
        for cause in self._own(number):
            if isinstance(cause, LookUp | Question) and cause.ahead:
                ahead.append(cause)
                continue
            if isinstance(cause, Needs | Blame | HeldBack):
                awaited.update(cause.units)
            yield cause
        if unit.unit.action is not None:
            yield from self._of_run()
            yield from self._of_queue(number, self._ending_with(awaited))
        elif unit.state is _PENDING or view.state.ended:
            yield from self._not_going()  # all that a milestone needs
        yield from ahead

    def at_work_above(self, needs: Sequence[int]) -> list[int]:
        """What is at work, or could be, above those of `needs` that wait themselves: what they are slow for."""
        states = self._view.states
        above = self._ending_with([need for need in needs if states[need] is _PENDING])
        return sorted(number for number in above if states[number] is not _PENDING and not states[number].ended)

    def _ending_with(self, units: Collection[int]) -> Collection[int]:
        return _ending_with(self._view.plan.needs, self._view.states, units)

    # -- what it waits for itself --------------------------------------------------------------------------

    def _own(self, number: int) -> Iterator[Cause]:
        view = self._view
        state, last, unit = view.states[number], view.last[number], view.plan.table[number]
        if state is _PENDING:
            yield from self._seen.obstacles(number)
        if state is not _READY and (attempts := _left_behind(view, number)):
            yield Abandoned(attempts)
        if state is _RETRYING:
            assert isinstance(last, UnitRetrying)
            tried = view.unit(number).attempt_in_generation
            yield BackOff(last.at + last.delay, tried + 1, unit.retry.max + 1)
            return
        if isinstance(last, ConfirmRequested):
            yield Question(last.question, ahead=False)
            return
        looking = looks_up(unit, last, first=view.begun[number] is None)
        if looking or (state is _PENDING and unit.cache is not None):
            yield LookUp(ahead=not looking)
        if (looking or state is _PENDING) and asks(unit, self._options):
            yield Question(unit.confirm, ahead=True)

    @property
    def _seen(self) -> _Seen:
        if self._standing is None:
            if self._handlers is None or self._handlers[0] is not self._view.plan:
                plan = self._view.plan
                self._handlers = plan, [unit.is_handler for unit in plan.table]
            self._standing = _Seen(self._view, self._handlers[1])
        return self._standing

    # -- what holds all --------------------------------------------------------------------------------------

    def _not_going(self) -> Iterator[Cause]:
        view = self._view
        if view.state is RunState.PENDING:
            yield NotBegun()
        elif view.state.ended or self._lost:
            yield Over(self._lost)

    def _of_run(self) -> Iterator[Cause]:
        """What lets nothing start now."""
        view, stopping, going = self._view, self._view.stopping, True
        for cause in self._not_going():
            going = False
            yield cause
        if going and stopping is not None and stopping.how == "interrupt":
            yield Ending(stopping.cause)
            going = False
        if view.unsaved:
            yield Unsaved(view.unsaved)
        # a run that is being ended otherwise lets its handlers start, and the pause does not keep them
        if view.paused and (stopping is None or not going):
            yield Paused()

    # -- what it is short of ---------------------------------------------------------------------------------

    def _of_queue(self, number: int, ending: Collection[int]) -> Iterator[Cause]:
        """What keeps it in the queue, once those in `ending` have ended and given back what they hold."""
        view, holders = self._view, self.holders
        room, load = holders.room(ending)
        limits, item = holders.limits, view.plan.item_of[number]
        _, terms = limits.of(number, item_begun=item in view.open_items)
        for gate in room.shut(terms):
            yield Braked(view.brakes[gate])
            room.open(gate)
        for limit, amount in terms.holds:
            lacking = amount - room.free(limit)
            if lacking > 0:
                yield Short(holders.share(limit, amount, ending))
                room.give_back(Terms(((limit, lacking),)))
        stuck = max(0, view.stuck - len(_left_behind(view, number)))
        most = (view.workers - stuck) * WORKER
        lacking = load + WORKER // limits.batch(number) - most
        if lacking > 0:
            more = -(-lacking // WORKER)
            busy = holders.busy + view.stuck
            others = tuple(other for other in holders.active if other not in ending)
            yield Busy(busy, view.workers, view.stuck, others, more)
            most += more * WORKER
        queued = [other for other in self._queued() if other != number and other not in ending]
        yield from self._before(number, queued, room, load, most)

    def _before(self, number: int, queued: list[int], room: Room, load: int, most: int) -> Iterator[Cause]:
        """Who goes first where there is just enough for the unit; goes through the queue as `ReadyQueue.pop` does."""
        plan, limits, items = self._view.plan, self.holders.limits, set(self._view.open_items)
        share = WORKER // limits.batch(number)
        first: list[int] = []
        reserved_by: dict[tuple[str, ...], list[int]] = defaultdict(list)
        again = True
        while again:
            again = False
            key, terms = limits.of(number, item_begun=plan.item_of[number] in items)
            wanted = {limit for limit, _ in terms.holds}
            done: set[int] = set()
            reserved: set[str] = set()
            lacking: dict[tuple[int, Terms], int] = {}
            for other, other_terms in self._ranked(queued, items, key):
                if room.shut(other_terms):
                    continue
                short = room.short(other_terms, reserved)
                item = plan.item_of[other]
                if keeps := short & wanted:
                    reserved_by[tuple(sorted(keeps))].append(other)
                    done.add(other)
                    continue
                if short:
                    reserved |= short
                    lacking[item, other_terms] = other
                    continue
                done.add(other)
                takes = WORKER // limits.batch(other)
                fits = load + takes + share <= most
                begins = item >= 0 and item not in items
                if fits:
                    left = room.copy()
                    left.take(other_terms)
                    # the other one takes what the item holds, for all of its units
                    mine = limits.own(number) if begins and item == plan.item_of[number] else terms
                    kept = self._reserved(left, lacking, item if begins else -1)
                    fits = not left.shut(mine) and not left.short(mine, kept)
                if not fits:
                    first.append(other)
                    continue
                room, load, reserved = left, load + takes, kept
                if begins:
                    items.add(item)
                    again = True  # the others of the item go before more units now
                    break
            queued = [other for other in queued if other not in done]
        for short_of, units in reserved_by.items():
            yield Reserved(short_of, tuple(units))
        if first:
            yield First(tuple(first))

    def _ranked(self, queued: Sequence[int], items: Collection[int], key: Key) -> list[tuple[int, Terms]]:
        """Of the queued units those that are ranked before `key`, best first, where these items have begun."""
        limits, item_of = self.holders.limits, self._view.plan.item_of
        ranked: list[tuple[Key, int, Terms]] = []
        for other in queued:
            other_key, terms = limits.of(other, item_begun=item_of[other] in items)
            if other_key < key:
                ranked.append((other_key, other, terms))
        ranked.sort()
        return [(other, terms) for _, other, terms in ranked]

    def _reserved(self, room: Room, lacking: Mapping[tuple[int, Terms], int], begins: int) -> set[str]:
        """What is kept for units that lack something, once an item begins: those of the item lack less then."""
        reserved: set[str] = set()
        for (item, terms), number in lacking.items():
            terms = self.holders.limits.own(number) if item == begins >= 0 else terms
            if not room.shut(terms):
                reserved |= room.short(terms, reserved)
        return reserved

    def _queued(self) -> list[int]:
        """The units that wait for nothing but their turn."""
        if self._in_queue is None:
            ready = [number for number, state in enumerate(self._view.states) if state is _READY]
            self._in_queue = [number for number in ready if self._is_queued(number)]
        return self._in_queue

    def _is_queued(self, number: int) -> bool:
        view = self._view
        last = view.last[number]
        if isinstance(last, ConfirmRequested | UnitSubmitted):
            return False
        return not looks_up(view.plan.table[number], last, first=view.begun[number] is None)


class _Seen(Standing):
    """How units stand in a view."""

    def __init__(self, view: RunView, handlers: Sequence[bool]) -> None:
        plan = view.plan
        self._plan, self._needs, self._state = plan, plan.needs, view.states
        self._handler = handlers
        self._adder = {number: adder for adder, added in plan.added.items() for number in added}
        self._adding = {number for number in plan.added if not view.states[number].ended}
        self._left_behind = view.left_behind
        self._last = view.last

    def obstacles(self, number: int) -> Iterator[Cause]:
        """What keeps a pending unit from being decided about."""
        needs = self._needs[number]
        ending = tuple(need for need in needs if not self._met(number, need))
        if ending:
            yield Needs(ending, len(needs))
        elif self._plan.table[number].when == "failure":
            ends = [last if isinstance(last, UnitFinished) else None for last in self._last]
            self._cause = [end.cause if end is not None else "" for end in ends]
            self._because = [end.because if end is not None else -1 for end in ends]
            failed, undecided = self._blame_above(number)
            if undecided and not failed:
                ending = tuple(sorted(undecided))
                yield Blame(ending)
        above = tuple(self._all_adding_above(number)) if self._adding else ()
        before = _ending_with(self._needs, self._state, ending) if above else ()
        if above := tuple(adder for adder in above if adder not in before):
            yield HeldBack(above)


def _as_begun(view: RunView, options: RunOptions) -> RunView:
    """The view of a run that has not begun, with as many workers as it will begin with."""
    targets = WorkerTargets(view.plan.lanes, options)
    lanes = {str(lane): target for lane, target in targets.of_lane.items()}
    return replace(view, workers=targets.together, lane_workers=lanes)


def _is_active(view: RunView, number: int) -> bool:
    state = view.states[number]
    return state is UnitState.RUNNING or state is UnitState.CANCELING or view.unit(number).submitted


def _left_behind(view: RunView, number: int) -> tuple[int, ...]:
    """The attempts of the unit that were abandoned and go on."""
    if not view.left_behind:
        return ()
    return tuple(sorted(attempt for unit, attempt in view.left_behind if unit == number))


def _ending_with(
    needs: Sequence[Sequence[int]], states: Sequence[UnitState], units: Collection[int]
) -> Collection[int]:
    """These units, and all that has to end before they do, as they need it. O(what is above them)."""
    found, stack = set(units), list(units)
    while stack:
        number = stack.pop()
        if states[number] is not _PENDING:
            continue  # it has all that it waited for
        for other in needs[number]:
            if other not in found:
                found.add(other)
                stack.append(other)
    return found
