"""What follows for a unit from how others stand: one answer for the scheduler, and for whoever asks why it waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from qtui.core.events import Event, UnitReady
from qtui.core.model import FAILURES, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan

_COMPLETED, _SKIPPED, _CANCELED = UnitState.COMPLETED, UnitState.SKIPPED, UnitState.CANCELED

BECAUSE: Final = "because "
"""How the cause of a unit begins that was skipped because of a need."""


def doubt(unit: str) -> str:
    """What is asked before a unit that is not idempotent, and has begun before, runs because of something else."""
    return f"{unit} may have done its work: run it again?"


def asks(unit: QuantumUnit, options: RunOptions) -> bool:
    """Whether a person is asked before the unit's first attempt."""
    # what was approved when the run began says nothing of a doubt that has come since
    doubted = unit.confirm == doubt(unit.id)
    return bool(unit.confirm) and (doubted or not any(fnmatchcase(unit.id, pattern) for pattern in options.approved))


def lets_run(unit: QuantumUnit, state: UnitState) -> bool:
    """True for an end that lets dependents run."""
    return state is _COMPLETED or (state in FAILURES and unit.allow_failure)


def looks_up(unit: QuantumUnit, last: Event | None, *, first: bool) -> bool:
    """Whether the cache is being asked for a ready unit, before its `first` attempt, whose latest event is `last`."""
    return isinstance(last, UnitReady) and first and unit.cache is not None


class Standing:
    """How units stand, over columns indexed by unit number; see `RunMachine`, which keeps them."""

    __slots__ = ()

    _plan: ExecutionPlan
    _needs: Sequence[Sequence[int]]
    _handler: Sequence[bool]
    _state: Sequence[UnitState]
    _cause: Sequence[str]
    _because: Sequence[int]
    _adder: Mapping[int, int]
    _adding: Collection[int]
    _left_behind: Mapping[tuple[int, int], Any]

    def _good(self, number: int) -> bool:
        """True for an end that lets dependents run."""
        return lets_run(self._plan.table[number], self._state[number])

    def _met(self, number: int, need: int) -> bool:
        """True if `need` has ended as `number` wants it: well, or, for a handler, at all."""
        return self._state[need].ended if self._handler[number] else self._good(need)

    def _bad_need(self, number: int) -> int | None:
        """A need that has ended in a way that keeps the unit from running, if there is one."""
        if self._handler[number]:
            return None
        return next((need for need in self._needs[number] if self._state[need].ended and not self._good(need)), None)

    def _adding_above(self, number: int) -> int | None:
        """A unit that runs again and has added this one, or what has added it, however far above; None without any."""
        return next(self._all_adding_above(number), None) if self._adding else None

    def _all_adding_above(self, number: int) -> Iterator[int]:
        """Each of these, from below."""
        adder = self._adder.get(number)
        while adder is not None:
            if adder in self._adding:
                yield adder
            adder = self._adder.get(adder)

    def _haunted(self, number: int) -> bool:
        """True while an abandoned attempt of the unit still goes on."""
        return bool(self._left_behind) and any(unit == number for unit, _ in self._left_behind)

    def _skipped_for_need(self, number: int) -> bool:
        return self._state[number] is _SKIPPED and self._cause[number].startswith(BECAUSE)

    def _failure_above(self, number: int) -> bool | None:
        """Whether a need has failed, or was skipped or canceled because of a failure; None if that is still open."""
        failed, undecided = self._blame_above(number)
        return True if failed else None if undecided else False

    def _blame_above(self, number: int) -> tuple[bool, list[int]]:
        """Whether a failure is behind the end of a need, and of which units that may still come, if it is not.

        What a skipped need was skipped for depends on which of its own needs ended first, so all of those are looked
        at: the answer must not depend on timing.
        """
        seen = set(self._needs[number])
        stack = list(seen)
        undecided = []
        while stack:
            need = stack.pop()
            state = self._state[need]
            direct = need in self._needs[number]
            if (state in FAILURES and (direct or not self._good(need))) or (
                state is _CANCELED and self._because[need] >= 0
            ):
                return True, []
            if not state.ended:
                undecided.append(need)
            if self._skipped_for_need(need):
                further = [above for above in self._needs[need] if above not in seen]
                seen.update(further)
                stack += further
        return False, undecided
