"""How a run goes on after its process has gone: what it does with each unit, as events, and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from qtui.core.cutting import may_have_run
from qtui.core.events import (
    Event,
    PlanReplaced,
    RunResumed,
    RunStarted,
    UnitAbandoned,
    UnitFinished,
    UnitReady,
    UnitRedefined,
    UnitReset,
    UnitStale,
)
from qtui.core.folding import fold
from qtui.core.growth import STAR, robbed
from qtui.core.model import FAILURES, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.standing import doubt
from qtui.core.state import RunView
from qtui.core.targets import WorkerTargets

INTERRUPTED: Final = "was interrupted"
"""The cause of the reset of a unit that was running when the run's process died."""

NOT_RUN: Final = "has not run yet"
NEW: Final = "is new in the workflow"
NAMED: Final = "you have named it"

LEFT_OUT: Final = "was left out of a resume"
"""The cause of the end of a unit that had none yet when a person had others run."""

CUT_AND_LEFT_OUT: Final = f"{INTERRUPTED}, and {LEFT_OUT}"
"""The same of a unit that had begun."""

AWAY: Final = "was out of the workflow for a while"
AGAIN: Final = "may run again"
ROBBED: Final = "what it had added is not in the plan any more"
NOT_ALL: Final = "what it adds has not all completed"


class Former(NamedTuple):
    """What is known of a unit that an earlier resume found gone from the workflow, and that is there again.

    `attempts` and `generation` were its last ones. `end` is its end if its result may be kept; without one it runs
    again, because of `why`.
    """

    attempts: int
    generation: int
    end: UnitFinished | None
    why: str = AWAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person wants of a resume.

    `changed` says of completed units, by id, why their results could be others now; with `redo_stale` they run again.
    `missing` says of completed units why their results cannot be had any more. With `only_failed`, units that were
    canceled, or skipped for another reason than a failure, stay as they are, and so does what has an end and cannot run
    without a canceled one. `again` are the ids of units that are not idempotent, and may run again all the same.
    `former` are units, by id, that were in the workflow earlier.

    With `named`, ids of units of the plan, only those run, even if they have completed, and with them what they need,
    what has waited for them or was skipped for want of them, and the handlers below; `only_failed` holds for them, too.
    """

    changed: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    redo_stale: bool = False
    only_failed: bool = False
    again: Collection[str] = ()
    former: Mapping[str, Former] = field(default_factory=dict)
    named: Collection[str] | None = None
    cause: str = "resumed by you"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """How a run goes on: the `events` that make it ready for that, and the `view` with them.

    `reasons` says why each unit runs that will, by number; `questions` are those that may have done their work
    already, and ask before they do it again. `options` are those of the run from now on. `gone` says of units that the
    workflow does not have any more how they had ended, by id.
    """

    events: list[Event]
    view: RunView
    reasons: Mapping[int, str]
    options: RunOptions
    questions: Sequence[int] = ()
    gone: Mapping[str, str] = field(default_factory=dict)

    def beside(self, attempts: Iterable[tuple[str, int]], now: float) -> Resumption:
        """The same beside attempts, by unit and number, that go on in this very process, as it could not stop them:
        their units wait for them."""
        there = [(self.view.plan.numbers.get(name), attempt) for name, attempt in attempts]
        left = [UnitAbandoned(number, attempt, 0, now) for number, attempt in there if number is not None]
        return replace(self, events=[*self.events, *left], view=fold(self.view, left))

    @property
    def left(self) -> dict[str, int]:
        """How many units stay as they are without having completed, by what became of them, in words."""
        plan = self.view.plan
        ends = [
            number
            for number, state in enumerate(self.view.states)
            if number not in self.reasons and number not in plan.dropped and state is not UnitState.COMPLETED
        ]
        return Counter(_became(self.view, number) for number in ends)

    @property
    def kept(self) -> int:
        """How many units keep their results."""
        states = enumerate(self.view.states)
        return sum(1 for n, state in states if state is UnitState.COMPLETED and n not in self.reasons)


def resume(
    view: RunView, units: Sequence[QuantumUnit], options: RunOptions, wishes: Wishes, now: float, *, replan: bool
) -> Resumption:
    """Let the run of `view` go on with `units`, the workflow's as they are now, at `now`.

    With `replan` they are not what the record has, so it must have them. Raises InvalidWorkflow if they make no plan.
    """
    plan = ExecutionPlan.build(units, default_mode=options.mode)
    targets = WorkerTargets(plan.lanes, options)
    lanes = {str(lane): target for lane, target in targets.of_lane.items()}
    workers = targets.together, targets.governed, lanes
    # of a run whose process died before anything was written, nothing is known but its name
    begun = view.started_at is not None
    resumed: Event = RunResumed(now, wishes.cause, *workers) if begun else RunStarted(now, view.name, *workers)
    before, table = view, tuple(units)
    back: list[Event] = []
    if replan:
        view = fold(before, [resumed, PlanReplaced(table, options.mode, now)])
        changed = {**_other_needs(before, view), **dict.fromkeys(wishes.former, AWAY), **wishes.changed}
        wishes = replace(wishes, changed=changed)
        back = list(_back(view, wishes.former, now))
        view = fold(view, back)
    else:
        view = fold(_with_functions(before, table), [resumed])
    deciding = _Deciding(before.plan, view, wishes)
    questions = deciding.questions()
    doubted = {
        number: replace(view.plan.table[number], confirm=doubt(view.plan.table[number].id)) for number in questions
    }
    asking = {unit.id for unit in doubted.values()}.intersection(unit.id for unit in units)
    # what was added asks, too, in case that the unit which is to add it anew fails, and that is allowed
    added = [UnitRedefined(n, unit, AGAIN, now) for n, unit in doubted.items() if unit.id not in asking]
    more = [*back, *deciding.events(now), *added]
    if asking and not replan:  # the plan that has the questions counts its units without those that were dropped
        return resume(before, units, options, wishes, now, replan=True)
    if asking:
        # the question stands in the plan, so it is asked again should this process go, too
        table = tuple(replace(unit, confirm=doubt(unit.id)) if unit.id in asking else unit for unit in units)
    events = [resumed, PlanReplaced(table, options.mode, now)] if replan else [resumed]
    return Resumption(
        events=[*events, *more],
        view=fold(before if replan else _with_functions(before, table), [*events, *more]),
        reasons=deciding.reasons,
        options=replace(options, again=deciding.answered()),
        questions=questions,
        gone=_gone(before, view.plan),
    )


def _gone(before: RunView, plan: ExecutionPlan) -> dict[str, str]:
    """How the units had ended that the plan does not have any more."""
    there = enumerate(before.plan.table)
    lost = (n for n, unit in there if n not in before.plan.dropped and unit.id not in plan.numbers)
    return {before.plan.table[n].id: _became(before, n) for n in lost}


def _back(view: RunView, former: Mapping[str, Former], now: float) -> Iterator[Event]:
    """Units that are there again go on where they were; what had completed, and is the same, has its end again."""
    for name, was in former.items():
        number, generation = view.plan.numbers[name], was.generation + 1
        yield UnitReset(number, generation, was.why, now, attempts=was.attempts)
        if was.end is not None:
            yield UnitReady(number, now)
            yield was.end._replace(unit=number, generation=generation, at=now)


def _other_needs(before: RunView, view: RunView) -> dict[str, str]:
    """The units that need others than before, as a matrix or a glob means more or fewer of them."""
    old, new = before.plan, view.plan
    found = {}
    for number, unit in enumerate(new.table):
        was = old.numbers.get(unit.id)
        needs = {new.table[need].id for need in new.needs[number]}
        if was is not None and {old.table[need].id for need in old.needs[was]} != needs:
            found[unit.id] = "what it needs changed"
    return found


def _with_functions(view: RunView, table: Sequence[QuantumUnit]) -> RunView:
    """The record knows what units are called, not what they call."""
    plan = view.plan.thawed()
    plan.table[: len(table)] = table  # type: ignore[index]
    return replace(view, plan=plan)


def _was_left_out(last: Event | None) -> bool:
    return isinstance(last, UnitFinished) and last.cause in (LEFT_OUT, CUT_AND_LEFT_OUT)


def _became(view: RunView, number: int) -> str:
    """What became of a unit that does not run, in words."""
    last = view.last[number]
    if may_have_run(view, number) or (isinstance(last, UnitFinished) and last.cause == CUT_AND_LEFT_OUT):
        return "interrupted"
    state: UnitState = view.states[number]
    return str(state) if state.ended and not _was_left_out(last) else "not run"


class _Deciding:
    """What becomes of each unit of a run that goes on; `before` is the plan that it had."""

    def __init__(self, before: ExecutionPlan, view: RunView, wishes: Wishes) -> None:
        self._view, self._plan, self._wishes = view, view.plan, wishes
        self._before, self._robbed = before, frozenset(robbed(before, view.plan))
        self._adders = {added: by for by, units in self._plan.added.items() for added in units}
        self._named = {self._adder(self._plan.numbers[name]) for name in wishes.named or ()}
        self._would: set[int] = set()  # what would run if nobody had named any units
        if wishes.named is not None:
            self._would.update(_Deciding(before, view, replace(wishes, named=None)).reasons)
        self._decide_all()
        # what would run only because of units that nobody has named stays, and so does what only that needs
        while idle := self._would.intersection(self._wanted).difference(self.reasons):
            self._would -= idle
            self._decide_all()

    def _decide_all(self) -> None:
        """Decide until nothing more follows: what runs can let others run before it and after it."""
        self._wanted = set(self._named)  # with what they need
        self._anew: set[int] = set()  # added anew, or looked at once more because of that
        self._stuck: set[int] = set()  # what cannot run without a unit that was canceled
        self.reasons: dict[int, str] = {}
        self._reset: dict[int, str] = {}
        known = -1
        while known != len(self.reasons):
            known = len(self.reasons)
            self._want_needs()
            self._stuck.clear()
            for number in self._plan.order:
                if number in self.reasons or number in self._plan.dropped:
                    continue
                if self._is_stuck(number):
                    self._stuck.add(number)
                elif self._wishes.named is None or self._is_chosen(number):
                    self._decide(number)
            self._fetch_results()
            self._pull_handlers()

    def events(self, now: float) -> list[Event]:
        """The resets, the ends of what is left out, and what is told of the results that stay."""
        plan, wishes = self._plan, self._wishes
        events: list[Event] = []
        for number in plan.order:
            if number in self._reset:
                cause, forced = self._reset[number], number in self._named
                events.append(UnitReset(number, self._view.generations[number] + 1, cause, now, forced=forced))
            elif number not in self.reasons and number not in plan.dropped:
                events += self._left_out_events(number, now)
        stale: dict[int, str] = {}
        for number in plan.order:
            if self._view.states[number] is not UnitState.COMPLETED or number in self.reasons:
                continue
            why = wishes.changed.get(plan.table[number].id) or self._stale_by_needs(number, stale)
            if why and number not in self._robbed:
                stale[number] = why
                events.append(UnitStale(number, why, now))
        return events

    # -- what a person has named -------------------------------------------------------------------------

    def _adder(self, number: int) -> int:
        """The unit that has to run so that this one does: one that was added is added anew."""
        while number in self._adders:
            number = self._adders[number]
        return number

    def _needs_of(self, number: int) -> Iterable[int]:
        """What a unit needs that is named. A handler of everything handles what there is."""
        if not self._plan.table[number].is_handler:
            return self._plan.needs[number]
        return (other for need in self._plan.declared[number] if need.name != STAR for other in need.units)

    def _want_needs(self) -> None:
        """What is wanted comes with what it has added, and if it runs with what it needs; nobody waits for what only a
        unit needs that stays."""
        forced = () if self._wishes.only_failed else self._named
        stack = list(self._wanted)
        while stack:
            number = stack.pop()
            more = set(self._additions(number))
            if number in self.reasons or number in self._would or number in forced:
                more.update(need for need in self._needs_of(number) if need in self._would)
            stack += more - self._wanted
            self._wanted |= more

    def _is_chosen(self, number: int) -> bool:
        """Whether a unit is named, needed, or follows on what runs."""
        if number in self._wanted:
            return True
        needs = self._plan.needs[number]
        if not self._above(number) or (number in self._adders and self._anew.isdisjoint(needs)):
            return False
        state = self._view.states[number]
        waits = not state.ended or state is UnitState.SKIPPED or _was_left_out(self._view.last[number])
        return waits and (self._plan.table[number].is_handler or all(map(self._will_do, needs)))

    def _will_do(self, need: int) -> bool:
        """Whether what needs this unit can run, as far as anybody can tell."""
        state = self._view.states[need]
        allowed = state in FAILURES and self._plan.table[need].allow_failure
        return need in self.reasons or state is UnitState.COMPLETED or allowed

    def _left_out_events(self, number: int, now: float) -> Iterator[Event]:
        """The end of a unit that has none yet, or cannot keep it, and is not to run."""
        state, generation = self._view.states[number], self._view.generations[number]
        if state.ended and number not in self._robbed:
            return
        cause = CUT_AND_LEFT_OUT if may_have_run(self._view, number) else LEFT_OUT
        if state is not UnitState.PENDING:
            generation += 1
            yield UnitReset(number, generation, ROBBED if state.ended else INTERRUPTED, now)
        attempts = self._view.attempts[number]
        yield UnitFinished(number, attempts, generation, UnitState.CANCELED, now, cause=cause)

    # -- why units run -----------------------------------------------------------------------------------

    def _decide(self, number: int) -> None:
        """Whether the unit runs again for its own sake."""
        view, unit, state = self._view, self._plan.table[number], self._view.states[number]
        last = view.last[number]
        why = ""
        if not state.ended:
            why = INTERRUPTED if may_have_run(view, number) else self._fresh(number)
        elif state in FAILURES:
            why = "failed last time" if state is UnitState.FAILED else "timed out last time"
        elif state in (UnitState.CANCELED, UnitState.SKIPPED):
            why = self._left_out(number, last)
        elif isinstance(last, UnitFinished) and last.fallback:
            why = "used its fallback last time"
        elif number in self._robbed:
            why = ROBBED
        elif any(map(self._is_due, self._additions(number))):
            why = NOT_ALL
        elif number in self._named and not self._wishes.only_failed:
            why = self._above(number) or NAMED
        elif self._wishes.redo_stale:
            why = self._wishes.changed.get(unit.id, "") or self._above(number) or self._changed_additions(number)
        if why:
            self._again(number, why)

    def _again(self, number: int, why: str) -> None:
        """The unit runs. One that was added does by being added anew, with all that is added with it, if it can be."""
        if self._is_cut_off(number):
            return
        if number in self._adders:
            number, why = self._adder(number), NOT_ALL
        self._note(number, why)
        stack = [number]
        while stack:
            by = stack.pop()
            for added in self._additions(by):
                self._anew.add(added)
                self._note(added, f"{self._plan.table[by].id} runs again, and adds it anew")
                stack.append(added)

    def _note(self, number: int, why: str) -> None:
        state = self._view.states[number]
        self.reasons[number] = why
        # what has completed stays so until it is added anew, as it may be dropped instead
        if state is not UnitState.PENDING and not (state is UnitState.COMPLETED and number in self._anew):
            self._reset[number] = why

    def _is_stuck(self, number: int) -> bool:
        """Whether a unit would only be skipped if it ran, for want of what was canceled and stays so."""
        if not self._wishes.only_failed or self._plan.table[number].is_handler:
            return False
        has_end = self._view.states[number].ended and not _was_left_out(self._view.last[number])
        return has_end and any(map(self._stays, self._plan.needs[number]))

    def _stays(self, number: int) -> bool:
        """Whether a unit is not to run that was canceled, or that cannot without one that was, and has no result."""
        state, name = self._view.states[number], self._plan.table[number].id
        there = state is UnitState.COMPLETED and name not in self._wishes.missing
        if there or number in self.reasons or _was_left_out(self._view.last[number]):
            return False
        return state is UnitState.CANCELED or number in self._stuck

    def _is_cut_off(self, number: int) -> bool:
        """Whether a unit was added, and nothing can add it anew: what did was canceled or skipped, and stays so."""
        while number in self._adders and self._wishes.only_failed:
            number = self._adders[number]
            skipped = self._view.states[number] is UnitState.SKIPPED and number not in self.reasons
            if skipped or number in self._stuck or self._stays(number):
                return True
        return False

    def _additions(self, number: int) -> Iterator[int]:
        """What a unit has added, and would drop if it added nothing any more."""
        return (added for added in self._plan.added.get(number, ()) if added not in self._plan.dropped)

    def _fresh(self, number: int) -> str:
        """Why a unit that has not run runs."""
        name = self._plan.table[number].id
        former = self._wishes.former.get(name)
        if former is not None:
            return former.why
        return NOT_RUN if name in self._before.numbers else NEW

    def _changed_additions(self, number: int) -> str:
        """What a unit has added is done again by adding it anew."""
        for added in self._additions(number):
            name = self._plan.table[added].id
            why = self._wishes.changed.get(name) if not self._is_cut_off(added) else None
            found = f"{name}, which it adds: {why}" if why else self._changed_additions(added)
            if found:
                return found
        return ""

    def _left_out(self, number: int, last: Event | None) -> str:
        """Why a unit that was canceled or skipped runs after all; empty if it stays as it is."""
        if _was_left_out(last):
            return LEFT_OUT
        state = self._view.states[number]
        if not self._wishes.only_failed:
            return "was canceled" if state is UnitState.CANCELED else "was skipped"
        needs = self._plan.needs[number]
        if isinstance(last, UnitFinished) and last.because >= 0 and any(need in self.reasons for need in needs):
            return "what it needs failed last time"
        anew = next((need for need in needs if need in self._anew), None)
        if anew is None or state is not UnitState.SKIPPED or not all(map(self._will_do, needs)):
            return ""
        self._anew.add(number)
        return f"{self._plan.table[anew].id} is there anew"

    def _is_due(self, number: int) -> bool:
        """Whether a unit that was added has still to be done."""
        state = self._view.states[number]
        if state in (UnitState.CANCELED, UnitState.SKIPPED) and self._wishes.only_failed:
            return _was_left_out(self._view.last[number])
        return state is not UnitState.COMPLETED

    def _above(self, number: int) -> str:
        """With stale results done again, what is built on them is, too."""
        need = next((need for need in self._plan.needs[number] if need in self.reasons), None)
        return f"{self._plan.table[need].id} runs again" if need is not None else ""

    def _stale_by_needs(self, number: int, stale: Mapping[int, str]) -> str:
        for need in self._plan.needs[number]:
            if need in self.reasons:
                return f"{self._plan.table[need].id} runs again"
            if need in stale:
                return f"{self._plan.table[need].id} is stale"
        return ""

    def _fetch_results(self) -> None:
        """A result that is not there any more is made again if a unit that runs needs it."""
        for number in reversed(self._plan.order) if self._wishes.missing else ():
            why = self._wishes.missing.get(self._plan.table[number].id)
            if why is None or number in self.reasons or self._view.states[number] is not UnitState.COMPLETED:
                continue
            feeds = self._plan.feeds[number]
            user = next((fed for fed in feeds if fed in self.reasons and fed not in self._plan.dropped), None)
            if user is None:
                continue
            adder, name = self._adder(number), self._plan.table[user].id
            self._wanted.add(adder)
            if self._is_cut_off(number):
                # it is skipped, and so is what needs it: nobody gets a result that is not there
                self._note(number, f"{name} needs its result, {why}")
            elif adder == number:
                self._again(number, f"{name} needs its result, {why}")
            else:
                self._again(adder, f"{name} needs the result of {self._plan.table[number].id}, which it adds, {why}")

    def _pull_handlers(self) -> None:
        """Handlers below of what runs again run again, too."""
        for number in self._plan.order:
            if self._plan.table[number].is_handler and self._view.states[number].ended and number not in self.reasons:
                above = self._above(number)
                if above and number not in self._plan.dropped:
                    again = self._note if self._is_cut_off(number) else self._again  # a handler does not need its adder
                    again(number, above)

    def questions(self) -> list[int]:
        """The units that are not idempotent, have begun before and run again: these ask first.

        What is added anew asks once it is.
        """
        return [
            number
            for number in self.reasons
            if not self._plan.table[number].idempotent and self._view.attempts[number] and not self._is_answered(number)
        ]

    def _is_answered(self, number: int) -> bool:
        """Whether a person has said that the unit, or one that adds it, may run again."""
        while self._plan.table[number].id not in self._wishes.again:
            if number not in self._adders:
                return False
            number = self._adders[number]
        return True

    def answered(self) -> dict[str, int]:
        """Up to which attempts units may be done again, of those that are added, by id."""
        return {
            self._plan.table[number].id: self._view.attempts[number]
            for number in self._adders
            if self._wishes.again and self._is_answered(number)
        }
