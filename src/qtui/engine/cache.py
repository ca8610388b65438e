"""The result cache: looks for earlier results and keeps new ones, on a thread of its own."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, Protocol

from qtui.core.errors import BrokenResult
from qtui.core.model import CachePolicy
from qtui.core.stimuli import CacheChecked, CheckCache
from qtui.engine.cachestore import CacheStore, Result, place_file
from qtui.engine.earlier import DAMAGED, find_earlier, hit_reason, printable, short
from qtui.engine.failure import describe_exception
from qtui.engine.fingerprint import Changed, Fingerprint, Fingerprints, NotCacheable, Run, describe_changes
from qtui.engine.packing import Packed

NO_CACHE: Final = "there is no cache without a state directory"
"""Why a unit of a run without a cache misses."""

BATCH_COUNT = 256
BATCH_BYTES = 16 << 20
"""Results are written together while there is more to do, up to so many."""

CLOSE_SECONDS = 30.0
"""How long closing waits for results to be written; only a disk that does not answer takes that long."""


class CacheHost(Run, Protocol):
    """The engine, as the cache sees it. Every method may be called from any thread."""

    def value_path(self, name: str) -> str:
        """The file `name` of the run, for a value that is too large for a message."""

    def put_result(self, number: int, value: Any) -> None:
        """Let `value` be the unit's. Raises BrokenResult if it cannot be loaded; then the unit has none."""

    def warn(self, unit: int, message: str) -> None:
        """Tell people something; about the whole run if `unit` is -1."""

    def post(self, stimulus: CacheChecked) -> None:
        """Bring the answer to a check."""


class Cache(Protocol):
    """What the engine asks for earlier results, and tells of new ones."""

    def open(self, host: CacheHost) -> None:
        """Get ready; called once, before anything else."""

    def check(self, effect: CheckCache) -> None:
        """Find out, in time, whether an earlier result will do; then it is put in place, and the answer posted."""

    def prepare(self, number: int) -> None:
        """An attempt has succeeded; called on the lane's thread, before it reports."""

    def keep(self, number: int) -> None:
        """The unit has completed by itself: its value is to be kept. Called under the turn lock."""

    def close(self) -> None:
        """Finish what is to be kept; checks that are under way may get no answer."""


class _Kept(NamedTuple):
    number: int
    policy: CachePolicy
    fingerprint: Fingerprint
    value: Packed
    made: float


class _Closing(Exception):
    """The run is being closed: nobody waits for the answer any more."""


class ResultCache:
    """Answers `CheckCache`, and keeps the results of units that completed, under what they depended on when asked.

    A store that fails does not fail a run: there is one warning, and everything misses from then on.
    """

    def __init__(self, directory: Path, workflow: str) -> None:
        self._store = CacheStore(directory, workflow)
        self._jobs: SimpleQueue[CheckCache | _Kept | None] = SimpleQueue()
        self._checked: dict[int, Fingerprint] = {}
        self._packed: dict[int, Packed] = {}
        self._unwritten: list[Result] = []
        self._unwritten_bytes = 0
        self._trouble = ""
        self._warned: set[int] = set()
        self._closing = self._stoppable = False
        self._thread: threading.Thread | None = None

    def open(self, host: CacheHost) -> None:
        """Get ready; called once, before anything else."""
        self._host = host
        self._fingerprints = Fingerprints(host, self._check_open)

    def close(self) -> None:
        """Write what is to be kept, and end the thread; checks that are under way get no answer."""
        self._closing = True
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    # -- what the engine says ----------------------------------------------------------------------------

    def check(self, effect: CheckCache) -> None:
        """Find out, in time, whether an earlier result will do; then it is put in place, and the answer posted."""
        self._jobs.put(effect)
        if self._thread is None:  # not before: most runs need none, and units with a cache may be added at any time
            self._thread = threading.Thread(target=self._work, name="qtui-cache", daemon=True)
            self._thread.start()

    def prepare(self, number: int) -> None:
        """An attempt has succeeded: take its value as it is now, before anybody else can see and change it.

        Called on the lane's thread, before it reports.
        """
        self._packed.pop(number, None)
        if number not in self._checked:
            return  # it cannot be kept
        try:
            self._packed[number] = self._host.packed_of(number)
        except BaseException as error:  # noqa: BLE001  - pickling raises whatever user classes do
            what = describe_exception(error)
            if number not in self._warned:
                self._warned.add(number)
                name = self._host.plan.table[number].id
                why = f"it cannot be pickled: {what.type}: {what.message}"
                self._host.warn(number, f"the result of {name} is not kept for the next run, {why}")

    def keep(self, number: int) -> None:
        """The unit has completed by itself: its value is to be kept. Called under the turn lock."""
        value, fingerprint = self._packed.pop(number, None), self._checked.pop(number, None)
        policy = self._host.plan.table[number].cache
        if value is not None and fingerprint is not None and policy is not None:
            self._jobs.put(_Kept(number, policy, fingerprint, value, time.time()))

    # -- the thread --------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(block=not self._unwritten)
            except Empty:
                self._write()
                continue
            if job is None:
                break
            if isinstance(job, _Kept):
                self._take(job)
            else:
                self._answer(job)
        self._write()
        with suppress(sqlite3.Error):
            self._store.close()

    def _check_open(self) -> None:
        if self._closing and self._stoppable:
            raise _Closing

    def _answer(self, check: CheckCache) -> None:
        number, generation, forced = check
        self._stoppable = True
        hit, unchanged = False, True
        try:
            hit, reason = True, self._look(number, generation, "run again by you" if forced else "")
        except _Closing:
            return
        except (NotCacheable, BrokenResult) as why:
            unchanged, reason = not isinstance(why, Changed), str(why)
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: what is stored is no JSON
            self._fail(error)
            reason = self._trouble
        except BaseException as error:  # noqa: BLE001  - a unit that never gets an answer would never start
            what = describe_exception(error)
            reason = f"looking for an earlier result failed: {what.type}: {what.message}"
        self._host.post(CacheChecked(number, generation, hit, printable(reason), unchanged and not hit))

    def _look(self, number: int, generation: int, forced: str) -> str:
        """Put the earlier result in place that will do, and say why it does. Raises NotCacheable or BrokenResult if
        there is none, and what the store and reading files raise."""
        unit = self._host.plan.table[number]
        policy = unit.cache or CachePolicy()
        forced = forced or ("forced" if policy.force else "")
        self._checked.pop(number, None)
        self._check_open()
        try:
            found = self._checked[number] = self._fingerprints.of(number, policy)
        except NotCacheable:
            if not forced:
                raise
        if forced:
            raise Changed(forced)
        if self._trouble:
            raise NotCacheable(self._trouble)
        if any(result.unit == unit.id for result in self._unwritten):
            self._write()
        result = find_earlier(self._store, self._fingerprints, number, unit, found)
        self._put(number, generation, result)
        return hit_reason(result, found)

    def _put(self, number: int, generation: int, result: Result) -> None:
        """Put an earlier result in the place of the unit's."""
        value = result.value
        if value.path:
            # a name of the run's own: the store may drop the result at any time
            path = self._host.value_path(f"cached-{number}-{generation}")
            try:
                place_file(value.path, path)
            except OSError as error:
                raise NotCacheable(f"the earlier result is gone: {error.strerror}") from None
            value = value._replace(path=path)
        if self._fingerprints.content(value) != result.content:
            unit = self._host.plan.table[number].id
            self._host.warn(number, f"the earlier result of {unit} is damaged: its content has changed on the disk")
            raise NotCacheable(DAMAGED)
        self._host.put_result(number, value)

    # -- keeping -----------------------------------------------------------------------------------------

    def _take(self, kept: _Kept) -> None:
        """Note a result for writing."""
        self._stoppable = False
        if self._trouble:
            return
        try:
            changes = self._changes_since(kept)
            if changes:
                name = self._host.plan.table[kept.number].id
                message = f"the result of {name} is not kept for the next run: {changes} while it ran"
                self._host.warn(kept.number, printable(message))
            else:
                self._note(kept)
        except Exception as error:  # noqa: BLE001  - whatever it is, the run goes on without a cache
            self._fail(error)
        if len(self._unwritten) >= BATCH_COUNT or self._unwritten_bytes >= BATCH_BYTES:
            self._write()

    def _changes_since(self, kept: _Kept) -> str:
        """What has become of the unit's inputs since it was asked for: the result may be that of either."""
        try:
            return describe_changes(kept.fingerprint.inputs, self._fingerprints.inputs(kept.number, kept.policy))
        except NotCacheable as why:
            return str(why)

    def _note(self, kept: _Kept) -> None:
        try:
            outputs = self._fingerprints.outputs(kept.number)
        except NotCacheable:  # a dependent has taken it away already; the next check will say so
            outputs = {}
        result = Result(
            unit=self._host.plan.table[kept.number].id,
            digest=kept.fingerprint.digest,
            parts=short(kept.fingerprint.parts),
            outputs=outputs,
            made=kept.made,
            content=self._fingerprints.content(kept.value),
            value=self._store.take_file(kept.value),
        )
        self._unwritten.append(result)
        self._unwritten_bytes += len(result.value.data)

    def _write(self) -> None:
        results, self._unwritten, self._unwritten_bytes = self._unwritten, [], 0
        if not results or self._trouble:
            return
        try:
            self._store.add(results)
        except Exception as error:  # noqa: BLE001  - whatever it is, the run goes on without a cache
            self._fail(error)
            for result in results:
                self._store.drop_file(result.value)

    def _fail(self, error: Exception) -> None:
        if not self._trouble:
            text = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._trouble = f"the cache cannot be used: {text}"
            hint = "remove it if it is damaged, which loses nothing but time"
            self._host.warn(-1, f"{self._trouble} ({self._store.path}; {hint})")
