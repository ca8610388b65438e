"""How a run goes on after its process has gone: what it does with each unit, as events, and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from qtui.core.events import Event, PlanReplaced, RunResumed, UnitFinished, UnitReady, UnitReset, UnitStale
from qtui.core.folding import fold
from qtui.core.growth import STAR, robbed
from qtui.core.model import FAILURES, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.settling import CUT
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
    canceled, or skipped for another reason than a failure, stay as they are. `again` are the ids of units that are not
    idempotent, and may run again all the same. `former` are units, by id, that were in the workflow earlier.

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
    resumed = RunResumed(now, wishes.cause, targets.together, targets.governed, lanes)
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
    more = [*back, *deciding.events(now)]
    asking = {view.plan.table[number].id: question for number, question in deciding.questions().items()}
    if asking:
        # the question stands in the plan, so it is asked again should this process go, too
        table = tuple(replace(unit, confirm=asking.get(unit.id, unit.confirm)) for unit in units)
        replan = True
    events = [resumed, PlanReplaced(table, options.mode, now)] if replan else [resumed]
    return Resumption(
        events=[*events, *more],
        view=fold(before if replan else _with_functions(before, table), [*events, *more]),
        reasons=deciding.reasons,
        options=_asking_options(options, view.plan, asking),
        questions=[view.plan.numbers[unit] for unit in asking],
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


def _asking_options(options: RunOptions, plan: ExecutionPlan, asking: Collection[str]) -> RunOptions:
    """What was approved when the run began says nothing of the questions that have come since."""
    if not asking or not options.approved:
        return options
    patterns = options.approved
    approved = [
        unit.id.replace("[", "[[]")
        for unit in plan.table
        if unit.id not in asking and any(fnmatchcase(unit.id, pattern) for pattern in patterns)
    ]
    return replace(options, approved=tuple(approved))


def _with_functions(view: RunView, table: Sequence[QuantumUnit]) -> RunView:
    """The record knows what units are called, not what they call."""
    plan = view.plan.thawed()
    plan.table[: len(table)] = table  # type: ignore[index]
    return replace(view, plan=plan)


def _may_have_run(view: RunView, number: int) -> bool:
    """True for a unit that began, or had been handed to a lane, and has no end."""
    if view.states[number].ended:
        return False
    last = view.last[number]
    was_cut = isinstance(last, UnitReset) and last.cause == CUT
    return was_cut or (view.begun[number] is not None and not isinstance(last, UnitReset))


def _was_left_out(last: Event | None) -> bool:
    return isinstance(last, UnitFinished) and last.cause in (LEFT_OUT, CUT_AND_LEFT_OUT)


def _became(view: RunView, number: int) -> str:
    """What became of a unit that does not run, in words."""
    last = view.last[number]
    if _may_have_run(view, number) or (isinstance(last, UnitFinished) and last.cause == CUT_AND_LEFT_OUT):
        return "interrupted"
    state: UnitState = view.states[number]
    return str(state) if state.ended and not _was_left_out(last) else "not run"


class _Deciding:
    """What becomes of each unit of a run that goes on; `before` is the plan that it had."""

    def __init__(self, before: ExecutionPlan, view: RunView, wishes: Wishes) -> None:
        self._view, self._plan, self._wishes = view, view.plan, wishes
        self._before, self._robbed = before, robbed(before, view.plan)
        self._adders = {added: by for by, units in self._plan.added.items() for added in units}
        self._named = {self._adder(self._plan.numbers[name]) for name in wishes.named or ()}
        self._needed = self._needs_of(self._named)
        self.reasons: dict[int, str] = {}
        self._reset: dict[int, str] = {}

    def events(self, now: float) -> list[Event]:
        """The resets, the ends of what is left out, and what is told of the results that stay."""
        plan, wishes = self._plan, self._wishes
        for number in plan.order:
            if number not in plan.dropped and (wishes.named is None or self._is_chosen(number)):
                self._decide(number)
        self._fetch_results()
        self._pull_handlers()
        self._note_added()
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
            if why:
                stale[number] = why
                events.append(UnitStale(number, why, now))
        return events

    # -- what a person has named -------------------------------------------------------------------------

    def _adder(self, number: int) -> int:
        """The unit that has to run so that this one does: one that was added is added anew."""
        while number in self._adders:
            number = self._adders[number]
        return number

    def _needs_of(self, numbers: Collection[int]) -> set[int]:
        """What units need, directly or not. A handler of everything handles what there is."""
        plan, stack, found = self._plan, list(numbers), set[int]()
        while stack:
            number = stack.pop()
            needs = plan.needs[number]
            if plan.table[number].is_handler:
                needs = tuple(other for need in plan.declared[number] if need.name != STAR for other in need.units)
            stack += (need for need in needs if need not in found)
            found.update(needs)
        return found

    def _is_chosen(self, number: int) -> bool:
        """Whether a unit is named, needed, or follows on what runs."""
        if number in self._named or number in self._needed:
            return True
        if number in self._adders or not self._above(number):
            return False
        state = self._view.states[number]
        waits = not state.ended or state is UnitState.SKIPPED or _was_left_out(self._view.last[number])
        return waits and (self._plan.table[number].is_handler or all(map(self._will_do, self._plan.needs[number])))

    def _will_do(self, need: int) -> bool:
        """Whether what needs this unit can run, as far as anybody can tell."""
        state = self._view.states[need]
        allowed = state in FAILURES and self._plan.table[need].allow_failure
        return need in self.reasons or state is UnitState.COMPLETED or allowed

    def _left_out_events(self, number: int, now: float) -> Iterator[Event]:
        """The end of a unit that has none yet, and is not to run."""
        state, generation = self._view.states[number], self._view.generations[number]
        if state.ended:
            return
        cause = CUT_AND_LEFT_OUT if _may_have_run(self._view, number) else LEFT_OUT
        if state is not UnitState.PENDING:
            generation += 1
            yield UnitReset(number, generation, INTERRUPTED, now)
        attempts = self._view.attempts[number]
        yield UnitFinished(number, attempts, generation, UnitState.CANCELED, now, cause=cause)

    # -- why units run -----------------------------------------------------------------------------------

    def _decide(self, number: int) -> None:
        """Whether the unit runs again for its own sake."""
        view, unit, state = self._view, self._plan.table[number], self._view.states[number]
        last = view.last[number]
        why = ""
        if not state.ended:
            why = INTERRUPTED if _may_have_run(view, number) else self._fresh(number)
            if state is UnitState.PENDING:
                self.reasons[number] = why
                return
        elif state in FAILURES:
            why = "failed last time" if state is UnitState.FAILED else "timed out last time"
        elif state in (UnitState.CANCELED, UnitState.SKIPPED):
            why = self._left_out(number, last)
        elif isinstance(last, UnitFinished) and last.fallback:
            why = "used its fallback last time"
        elif number in self._robbed:
            why = "what it had added is not in the plan any more"
        elif not self._additions_done(number):
            why = "what it adds has not all completed"
        elif number in self._named and not self._wishes.only_failed:
            why = self._above(number) or NAMED
        elif self._wishes.redo_stale:
            why = self._wishes.changed.get(unit.id, "") or self._above(number) or self._changed_additions(number)
        if why:
            self._again(number, why)

    def _fresh(self, number: int) -> str:
        """Why a unit that has not run runs."""
        name = self._plan.table[number].id
        former = self._wishes.former.get(name)
        if former is not None:
            return former.why
        return NOT_RUN if name in self._before.numbers else NEW

    def _changed_additions(self, number: int) -> str:
        """What a unit has added is done again by adding it anew."""
        for added in self._plan.added.get(number, ()):
            if added not in self._plan.dropped:
                name = self._plan.table[added].id
                why = self._wishes.changed.get(name)
                found = f"{name}, which it adds: {why}" if why else self._changed_additions(added)
                if found:
                    return found
        return ""

    def _again(self, number: int, why: str) -> None:
        self._reset[number] = self.reasons[number] = why

    def _left_out(self, number: int, last: Event | None) -> str:
        """Why a unit that was canceled or skipped runs after all; empty if it stays as it is."""
        if _was_left_out(last):
            return LEFT_OUT
        if self._wishes.only_failed:
            because = last.because if isinstance(last, UnitFinished) else -1
            needs_again = any(need in self._reset for need in self._plan.needs[number])
            return "what it needs failed last time" if because >= 0 and needs_again else ""
        state = self._view.states[number]
        return "was canceled" if state is UnitState.CANCELED else "was skipped"

    def _additions_done(self, number: int) -> bool:
        added = self._plan.added.get(number, ())
        states = self._view.states
        return all(states[other] is UnitState.COMPLETED for other in added if other not in self._plan.dropped)

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
        for number in reversed(self._plan.order):
            why = self._wishes.missing.get(self._plan.table[number].id)
            if why is None or number in self._reset or self._view.states[number] is not UnitState.COMPLETED:
                continue
            feeds = self._plan.feeds[number]
            user = next((fed for fed in feeds if fed in self.reasons and fed not in self._plan.dropped), None)
            if user is None:
                continue
            adder, name = self._adder(number), self._plan.table[user].id
            if adder == number:
                self._again(number, f"{name} needs its result, {why}")
            elif adder not in self.reasons:
                self._again(adder, f"{name} needs the result of {self._plan.table[number].id}, which it adds, {why}")

    def _pull_handlers(self) -> None:
        """Handlers below of what runs again run again, too."""
        for number in self._plan.order:
            again = self._plan.table[number].is_handler and self._view.states[number].ended
            if again and number not in self._reset:
                above = self._above(number)
                if above:
                    self._again(number, above)

    def _note_added(self) -> None:
        """What units have added that run again is added anew, and runs again with that."""
        stack = [number for number in self._plan.added if number in self._reset]
        for number in stack:  # grows while it is read
            for added in self._plan.added.get(number, ()):
                if added not in self._plan.dropped:
                    self.reasons[added] = f"{self._plan.table[number].id} runs again, and adds it anew"
                    stack.append(added)

    def questions(self) -> dict[int, str]:
        """What is asked before units run that are not idempotent and have begun before, by the unit that asks.

        What is added anew asks by the unit that adds it, as long as that has not added it.
        """
        asking: dict[int, str] = {}
        for number in self.reasons:
            unit = self._plan.table[number]
            if unit.idempotent or not self._view.attempts[number] or unit.id in self._wishes.again:
                continue
            by = self._adder(number)
            name = self._plan.table[by].id
            if name in self._wishes.again:
                continue
            if by == number:
                asking[by] = f"{name} may have done its work: run it again?"
            else:
                asking.setdefault(by, f"{unit.id}, which it adds, may have done its work: run {name} again?")
        return asking
