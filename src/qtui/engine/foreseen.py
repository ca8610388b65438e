"""What the cache would say to the units of a run that has not begun: nothing is run, and nothing is changed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qtui.core.errors import BrokenResult
from qtui.core.model import CachePolicy, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.engine import variables
from qtui.engine.cache import NO_CACHE
from qtui.engine.cachestore import CacheStore, Result
from qtui.engine.earlier import DAMAGED, NEVER, find_earlier, hit_reason, printable, short
from qtui.engine.failure import describe_exception
from qtui.engine.fingerprint import Fingerprints, NotCacheable, describe_changes
from qtui.engine.packing import Packed, load_value, pack


class Foreseen(NamedTuple):
    """Whether an earlier result of a unit will do, and why; None if that depends on what units make that run first."""

    hit: bool | None
    reason: str


def foresee(
    directory: Path | None,
    workflow: str,
    plan: ExecutionPlan,
    params: Mapping[str, Any],
    skipped: Mapping[int, str],
) -> dict[int, Foreseen]:
    """What a run would find in the cache in `directory` for each unit that has one, by number.

    `skipped` are the units that will not run, and how they end. All others that have no hit run, so what follows from
    their results, or from files that they might write, is not known. Inputs are read as they are now.
    """
    return _Foresight(directory, workflow, plan, params, skipped).of_all()


class _Foresight:
    """A run that has not begun, as fingerprints see it: units that will run are pending for ever."""

    def __init__(
        self,
        directory: Path | None,
        workflow: str,
        plan: ExecutionPlan,
        params: Mapping[str, Any],
        skipped: Mapping[int, str],
    ) -> None:
        self.plan, self.params = plan, params
        self.results: list[Any] = [None] * len(plan)
        self._skipped = skipped
        self._environment = variables.of_run(os.environ, "", params)
        self._known: dict[int, Packed] = {}
        self._runs: dict[int, int] = {}
        """Of each unit that runs, or comes after one that does, such a unit."""
        self._asked: list[int] = []
        self._trouble = "" if directory is not None else NO_CACHE
        self._store = CacheStore(directory or Path(), workflow, read_only=True)
        self._fingerprints = Fingerprints(self, _go_on)

    def of_all(self) -> dict[int, Foreseen]:
        found: dict[int, Foreseen] = {}
        nothing: Packed | None = None
        try:
            for number in self.plan.order:
                unit = self.plan.table[number]
                before = next((self._runs[need] for need in self.plan.needs[number] if need in self._runs), None)
                if before is not None:
                    self._runs[number] = before
                if number in self._skipped:
                    continue
                if unit.action is None:
                    nothing = self._known[number] = nothing or pack(None, str)
                    continue
                if unit.cache is not None:
                    foreseen = self._look(number, unit.cache, before)
                    found[number] = foreseen._replace(reason=printable(foreseen.reason))
                if number not in self._known:
                    self._runs[number] = number
        finally:
            self._store.close()
        return found

    def _look(self, number: int, policy: CachePolicy, before: int | None) -> Foreseen:
        if policy.force:
            return Foreseen(False, "forced")
        if self._trouble:
            return Foreseen(False, self._trouble)
        self._asked.clear()
        try:
            return self._compared(number, policy, before)
        except NotCacheable as why:
            return self._open(str(why), before) if before is not None and policy.inputs else Foreseen(False, str(why))
        except BrokenResult as broken:
            return Foreseen(False, str(broken))
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: what is stored is no JSON
            text = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._trouble = f"the cache cannot be used: {text}"
            return Foreseen(False, self._trouble)
        except Exception as error:  # noqa: BLE001  - pickling and loading raise whatever user classes do
            what = describe_exception(error)
            return Foreseen(False, f"looking for an earlier result failed: {what.type}: {what.message}")

    def _compared(self, number: int, policy: CachePolicy, before: int | None) -> Foreseen:
        unit = self.plan.table[number]
        found = self._fingerprints.of(number, policy)
        later = self._to_come(number)
        if later or (before is not None and policy.inputs):
            newest = self._store.newest(unit.id)
            if newest is None:
                return Foreseen(False, NEVER)
            # of results before the newest nobody knows what they are results of: one of them may do after all
            old = {name: digest for name, digest in newest.parts.items() if name not in later}
            new = {name: digest for name, digest in short(found.parts).items() if name not in later}
            first = self._asked[0] if later else before
            assert first is not None
            return self._open(describe_changes(old, new) or "nothing else has changed", first)
        result = find_earlier(self._store, self._fingerprints, number, unit, found)
        self._put(number, result)
        return Foreseen(True, hit_reason(result, found))

    def _to_come(self, number: int) -> set[str]:
        """The parts of a fingerprint that are results of units which run first."""
        asked = set(self._asked)
        names = {f"the result of {self._name(each)}" for each in asked}
        return names | {
            f"the result of {need.name}" for need in self.plan.declared[number] if asked.intersection(need.units)
        }

    def _open(self, seen: str, first: int) -> Foreseen:
        """What was seen is not the last word, for a unit runs before that."""
        return Foreseen(None, f"{seen}, and {self._name(first)} runs first")

    def _put(self, number: int, result: Result) -> None:
        if self._fingerprints.content(result.value) != result.content:
            raise NotCacheable(DAMAGED)
        load_value(result.value, self._name(number))  # a run would not take what cannot be loaded
        self._known[number] = self.results[number] = result.value

    def _name(self, number: int) -> str:
        return self.plan.table[number].id

    # -- what fingerprints ask ---------------------------------------------------------------------------

    def environment_of(self, number: int) -> Mapping[str, str]:
        """The unit's environment variables."""
        return {**self._environment, **variables.of_unit(self.plan.table[number])}

    def packed_of(self, number: int) -> Packed:
        """The earlier result of a unit that has a hit."""
        return self._known[number]

    def value_of(self, number: int) -> Any:
        """The same, loaded. Raises BrokenResult."""
        return load_value(self._known[number], self._name(number))

    def state_of(self, number: int) -> UnitState:
        """The state in which a unit will be found; pending if it runs, for what will become of it is not known."""
        if number in self._skipped:
            return UnitState(self._skipped[number])
        if number in self._known:
            return UnitState.COMPLETED
        self._asked.append(number)
        return UnitState.PENDING

    def added_to(self, _number: int) -> Sequence[int]:
        """Nothing has been added yet."""
        return ()


def _go_on() -> None:
    """Nobody stops it."""
