"""The cache in memory: results of earlier runs, as they are, for runs that have no directory to keep them in."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, MutableMapping
from queue import SimpleQueue
from typing import Any, NamedTuple

from qtui.core.errors import BrokenResult
from qtui.core.model import CachePolicy, QuantumUnit, UnitState
from qtui.core.stimuli import CacheChecked, CheckCache
from qtui.engine.cache import CLOSE_SECONDS, CacheHost
from qtui.engine.failure import describe_exception
from qtui.engine.fingerprint import Fingerprints, NotCacheable
from qtui.engine.packing import Packed, dumps, load_value
from qtui.engine.plaindata import NotPlain, digest_bytes, digest_value


class KeptResult(NamedTuple):
    """A result, when it was made (Unix seconds), what made it, and the digests of the files that came with it."""

    value: Any
    made: float
    action: object
    args: Mapping[str, Any]
    outputs: Mapping[str, str]


class MemoryCache:
    """Answers `CheckCache` from `kept`, and keeps the results of units that completed there, for one run.

    `kept` outlives the run and may be shared by several at a time. Its keys are ``UNIT:DIGEST``, where the digest is
    that of all that the unit's policy names. Values are not copied, so who changes one in place changes it for later
    runs too. Unlike the cache in a directory it tells functions apart by what they are, not by their text.
    """

    def __init__(self, kept: MutableMapping[str, KeptResult]) -> None:
        self._kept = kept
        self._keys: dict[int, str] = {}
        self._jobs: SimpleQueue[CheckCache | tuple[int, str, Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self, host: CacheHost) -> None:
        """Get ready; called once, before anything else."""
        self._host = host
        self._prints = _LivePrints(host)

    def check(self, effect: CheckCache) -> None:
        """Find out, in time, whether an earlier result will do; then it is put in place, and the answer posted."""
        self._jobs.put(effect)
        if self._thread is None:  # not before: most runs need none, and units with a cache may be added at any time
            self._thread = threading.Thread(target=self._work, name="qtui-cache", daemon=True)
            self._thread.start()

    def prepare(self, number: int) -> None:
        """Nothing: results are kept as they are."""

    def keep(self, number: int) -> None:
        """The unit has completed by itself: its value is to be kept. Called under the turn lock."""
        key = self._keys.pop(number, None)
        if key is not None:
            self._jobs.put((number, key, self._host.results[number]))

    def close(self) -> None:
        """Keep what is still to be kept, and end the thread."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, CheckCache):
                self._answer(job)
            else:
                self._take(*job)

    def _answer(self, check: CheckCache) -> None:
        try:
            hit, reason = self._look(check)
        except (NotCacheable, BrokenResult) as why:
            hit, reason = False, str(why)
        except BaseException as error:  # noqa: BLE001  - a unit that never gets an answer would never start
            what = describe_exception(error)
            hit, reason = False, f"looking for an earlier result failed: {what.type}: {what.message}"
        self._host.post(CacheChecked(check.unit, check.generation, hit, reason))

    def _look(self, check: CheckCache) -> tuple[bool, str]:
        number = check.unit
        unit = self._host.plan.table[number]
        policy = unit.cache or CachePolicy()
        self._keys.pop(number, None)
        key = f"{unit.id}:{self._prints.of(number, policy).digest}"
        self._keys[number] = key
        if check.forced or policy.force:
            return False, "run again by you" if check.forced else "forced"
        kept = self._kept.get(key)
        if kept is None or not _same_work(kept, unit):
            return False, "no earlier result for this context"
        if policy.ttl is not None and time.time() - kept.made > policy.ttl:
            return False, "older than its ttl"
        if unit.outputs and self._prints.outputs(number) != kept.outputs:
            return False, "its outputs are not as they were left"
        self._host.put_result(number, kept.value)
        return True, "same context as before"

    def _take(self, number: int, key: str, value: Any) -> None:
        unit = self._host.plan.table[number]
        try:
            outputs = self._prints.outputs(number)
            value = load_value(value, unit.id) if isinstance(value, Packed) else value  # its file goes with the run
        except (NotCacheable, BrokenResult) as why:
            self._host.warn(number, f"the result of {unit.id} is not kept for the next run: {why}")
            return
        self._kept[key] = KeptResult(value, time.time(), unit.action, unit.args, outputs)


def _same_work(kept: KeptResult, unit: QuantumUnit) -> bool:
    return kept.action is unit.action and kept.args is unit.args


class _LivePrints(Fingerprints):
    """Fingerprints for this process alone: of functions nothing, of values whatever can be pickled."""

    def __init__(self, run: CacheHost) -> None:
        super().__init__(run, lambda: None)
        self._host = run

    def _action(self, unit: QuantumUnit) -> dict[str, str]:
        if unit.action is None:
            raise NotCacheable("a milestone does nothing that could be kept")
        return {}

    def _code(self, unit: QuantumUnit) -> dict[str, str]:  # noqa: ARG002  - code that changes makes another function
        return {}

    def _params(self, keys: set[str] | None) -> dict[str, str]:
        params = self._host.params
        named = {name: params[name] for name in params if keys is None or {name, "params"} & keys}
        return {f"input {name}": _digest(f"input {name}", value) for name, value in named.items()}

    def _result(self, number: int) -> str:
        state = self._host.state_of(number)
        if state is not UnitState.COMPLETED:
            return digest_value(str(state))
        return _digest(f"the result of {self._host.plan.table[number].id}", self._host.value_of(number))


def _digest(what: str, value: Any) -> str:
    try:
        return digest_value(value)
    except NotPlain:
        pass
    try:
        return digest_bytes(dumps(value))
    except BaseException as error:  # noqa: BLE001  - pickling raises whatever user classes do
        why = describe_exception(error)
        raise NotCacheable(f"{what} cannot be compared with what it was: {why.type}: {why.message}") from None
