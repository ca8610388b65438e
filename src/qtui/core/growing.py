"""What a run does with the units that a running unit has added."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from qtui.core.events import UnitRedefined, UnitsAdded, Warned
from qtui.core.growth import Growth, grow, problems_of
from qtui.core.machine import (
    CANCELED,
    COMPLETED,
    FAILED,
    HANDLER_TIMER,
    PENDING,
    READY,
    RETRYING,
    SKIPPED,
    goes_straight,
)
from qtui.core.model import ExecutionMode, Outcome, QuantumUnit, RunState, UnitError
from qtui.core.redefining import redefine
from qtui.core.settling import SettlingMachine
from qtui.core.standing import doubt


class GrowingMachine(SettlingMachine):
    """Units that join the plan while it runs, in the decision that completes the unit which adds them."""

    __slots__ = ()

    def _complete(self, number: int, outcome: Outcome, now: float) -> None:
        """An attempt has succeeded; if it adds units that cannot be, that is its failure."""
        if outcome.added or number in self._plan.added:
            stars = self._plan.stars
            begun = [star for star in stars if self._slot[star] or self._state[star].ended]
            problems = problems_of(self._plan, number, outcome.added, self._options, begun)
            if problems:
                text = "\n".join(map(str, problems))
                self._failed(
                    number, FAILED, UnitError("InvalidWorkflow", f"cannot add its units: {text}"), outcome, now
                )
                return
            self._add(number, outcome.added, now)
        self._finish(number, COMPLETED, now, outcome)
        if self._options.brakes:
            self._brake(number, COMPLETED, now)

    def _added_runs(self, number: int) -> int | None:
        """A unit that holds a worker and was added by this one, or by what that has added; None if there is none."""
        if not self._active or number not in self._plan.added:
            return None
        for running in self._holding():
            adder = self._adder.get(running)
            while adder is not None:
                if adder == number:
                    return running
                adder = self._adder.get(adder)
        return None

    def _add(self, by: int, units: Sequence[QuantumUnit], now: float) -> None:
        begun = tuple(star for star in self._plan.stars if self._slot[star])
        units = tuple(map(self._doubted, units))
        self._events.append(UnitsAdded(by, units, now, begun))
        growth = grow(self._plan, by, units, begun)
        self._make_room(growth)
        self._adder.update(dict.fromkeys(growth.numbers, by))
        self._drop_timers(HANDLER_TIMER)  # its time counts from the end of the last unit that is no handler
        for number in growth.dropped:
            self._drop(number, now)
        again = [number for number in growth.numbers if number < growth.first]
        for number in again:
            if self._state[number] is not PENDING:
                self._reset(number, f"added again by {self._plan.table[by].id}", now)
        for number in growth.numbers:
            # the end of what was dropped just now is told later in this decision, and counts then
            left = (need in self._ended or not self._met(number, need) for need in self._needs[number])
            self._left[number] = sum(left)
        if growth.dropped or again:
            for star in growth.stars:
                self._left[star] = sum(not self._met(star, need) for need in self._needs[star])
        for number in again:
            self._revive(number, now)
        for star in growth.stars:
            self._look_at_star(star, by, now, freed=bool(growth.dropped or again))
        self._welcome((*growth.numbers, *(star for star in growth.stars if self._state[star] is PENDING)), now)
        if again:
            self._targets.keep(self._lanes)
        lanes = {self._lanes[number] for number in growth.numbers}
        self._let_lanes_join(lanes, f"{self._plan.table[by].id} added units", now)

    def _doubted(self, unit: QuantumUnit) -> QuantumUnit:
        """A unit that is added, and asks first if it must not simply do again what it may have done."""
        number = self._plan.numbers.get(unit.id)
        attempts = self._attempt[number] if number is not None else self._former.get(unit.id, (0, 0))[0]
        if unit.idempotent or attempts <= self._options.again.get(unit.id, 0):
            return unit
        return replace(unit, confirm=doubt(unit.id))

    def _look_at_star(self, star: int, by: int, now: float, *, freed: bool) -> None:
        """What needs everything needs other units than before: it may have to wait for them, or, where it was `freed`
        of some, to wait no more."""
        cause = f"{self._plan.table[by].id} has added units"
        if self._left[star] and self._state[star] in (READY, RETRYING) and not self._slot[star]:
            self._reset(star, cause, now)
        elif freed and self._skipped_for_need(star) and self._bad_need(star) is None and self._added_runs(star) is None:
            self._reset(star, cause, now)
            self._revive(star, now)
        if not self._left[star] and self._state[star] is PENDING:
            self._undecided.add(star)  # until the end that is told in this decision

    def _revive(self, number: int, now: float) -> None:
        """Reset the units below that were skipped for a reason that is gone, and the handlers there."""
        stack = [number]
        while stack:
            for fed in self._feeds[stack.pop()]:
                skipped = self._state[fed] is SKIPPED and self._bad_need(fed) is None
                if self._added_runs(fed) is not None:
                    continue
                if skipped or (self._handler[fed] and self._state[fed].ended):
                    cause = f"{self._plan.table[number].id} runs again"
                    self._reset(fed, cause, now)
                    self._redefine(fed, cause, now)
                    stack.append(fed)

    def _let_lanes_join(self, lanes: Collection[ExecutionMode], cause: str, now: float) -> None:
        """Units of other lanes than before may run, too."""
        together = self._targets.together
        new = self._targets.join(lanes)
        if new:
            self._renew_limits()
        if self._run is RunState.PENDING:
            return  # with how many workers a run begins is told when it does
        for lane in new:
            self._note_workers(f"{self._targets.of_lane[lane]}: {cause}", now, lane)
        if not new and self._targets.together != together:
            self._note_workers(cause, now)

    def _redefine(self, number: int, cause: str, now: float) -> None:
        """Take up the other definition of a unit that a person has run again, if it has one; it waits to be decided."""
        if number in self._refused:
            self._events.append(Warned(number, f"runs as it was: {self._refused[number]}", now))
        unit = self._redefined.pop(number, None)
        if unit is None:
            return
        lane = self._lanes[number]
        redefine(self._plan, number, unit)
        self._limits.learn((number,))
        self._straight[number] = goes_straight(unit)
        self._batched = self._batched or unit.batch is not None
        self._events.append(UnitRedefined(number, unit, cause, now))
        if self._lanes[number] is not lane:
            self._targets.keep(self._lanes)
            self._let_lanes_join({self._lanes[number]}, f"{unit.id} is another unit now", now)

    def _make_room(self, growth: Growth) -> None:
        """Let every column have a place for each new unit, and know the others anew."""
        new = len(self._plan) - growth.first
        self._state += [PENDING] * new
        for number in range(growth.first, len(self._plan)):
            attempts, generation = self._former.get(self._plan.table[number].id, (0, 0))
            self._attempt.append(attempts)
            self._base.append(attempts)
            self._generation.append(generation + 1)
        for column in (self._left, self._slot):
            column += [0] * new
        self._because += [-1] * new
        self._begun_at += [0.0] * new
        self._reason += [""] * new
        self._cause += [""] * new
        self._killing += [False] * new
        self._handler += [False] * new
        self._straight += [False] * new
        self._ready.grow(new)
        self._open += new
        self._limits.learn(growth.numbers)
        for number in growth.numbers:
            unit = self._plan.table[number]
            was, self._handler[number] = self._handler[number], unit.is_handler
            if not self._state[number].ended:
                self._open_handlers += unit.is_handler - was
            self._straight[number] = goes_straight(unit)
            self._batched = self._batched or unit.batch is not None
            for star in growth.stars if number >= growth.first else ():
                self._left[star] += star in self._feeds[number]

    def _drop(self, number: int, now: float) -> None:
        """A unit that was added earlier is part of the plan no more."""
        cause = f"{self._plan.table[self._adder[number]].id} no longer adds it"
        if self._state[number].ended:
            self._reset(number, cause, now)
        self._end_waiting(number, SKIPPED, cause, now)

    def _welcome(self, numbers: Sequence[int], now: float) -> None:
        """Whether units that now wait may ever run: not if the run comes to its end, or what they need has failed."""
        stopping, fails_fast = self._stopping, not self._options.keep_going
        failure = self._first_failure() if fails_fast else None
        for number in numbers:
            bad = self._bad_need(number)
            if bad is not None:
                self._skip_for(number, bad, now)
            elif self._handler[number]:
                continue
            elif stopping is not None:
                if stopping.how != "interrupt":
                    self._end_waiting(number, CANCELED, stopping.cause, now)
            elif failure is not None:
                cause = f"fail-fast: {self._plan.table[failure].id} failed"
                self._end_waiting(number, CANCELED, cause, now, because=failure)
            elif self._brakes.stopped(self._limits.scopes[number]):
                self._end_waiting(number, CANCELED, "stopped: too many failures in a row", now)
