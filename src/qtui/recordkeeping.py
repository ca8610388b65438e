"""All that a run writes down: made when it begins, opened again when it goes on, closed when it is over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from qtui import __version__
from qtui.commanded import Ask, Steward
from qtui.core.actionhash import action_hash
from qtui.core.cutting import told_counts
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import Canceled, QtuiError
from qtui.core.events import RunFinished, UnitFinished
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import EMPTY, Call, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.portable import Digest, Mask
from qtui.core.state import RunView
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.engine import Engine
from qtui.engine.journaling import Keeper, Sink
from qtui.engine.packing import Packed, pack
from qtui.engine.plaindata import FunctionDigests, NotPlain
from qtui.store.boot import boot_id, host_name
from qtui.store.history import Completions, History
from qtui.store.journal import Durability, Head, Journal, Runner, StoredResult
from qtui.store.pasts import Completion, Cut
from qtui.store.resultkey import load_key
from qtui.store.results import ResultStore, Verified
from qtui.store.rundir import RunDirectory
from qtui.store.runlock import RunLock
from qtui.store.who import terminal_name, whoami

ON_NETWORK: Final = (
    "the record is on a network file system ({}): writing it takes longer and waits for those who read it, and only "
    "the locks of that system keep other hosts from the run (--state-dir puts records elsewhere)"
)
"""Warns of where the record is."""


class RunResults(NamedTuple):
    """The results of a run, for reading. `mask` hides the run's secrets in a text, `load` gives a value as the engine
    has it, or raises ResultUnusable."""

    mask: Mask
    load: Callable[[StoredResult], Any]

    @classmethod
    def of(
        cls, state_dir: Path, directory: RunDirectory, definition: WorkflowDefinition, secrets: Sequence[str]
    ) -> RunResults:
        """Those in the run's directory, in which nothing is written. Raises UsageError if the key cannot be had."""
        store = ResultStore(directory, load_key(state_dir), definition.persist_max, pack)
        return cls(mask_of(secrets) or str, partial(_loaded, store))


def _loaded(store: ResultStore, stored: StoredResult) -> Any:
    value = store.load(stored)
    return Packed(*value) if isinstance(value, Verified) else value


class RunRecord:
    """The lock, the journal and the results of a run that this process runs. Closing lets others have it."""

    def __init__(
        self,
        state_dir: Path,
        directory: RunDirectory,
        lock: RunLock,
        journal: Journal,
        results: ResultStore,
        mask: Mask | None,
        about: tuple[str, str, str],
        params: Mapping[str, Any],
    ) -> None:
        self.directory, self._lock, self._journal, self._results = directory, lock, journal, results
        self.results = RunResults(mask or str, partial(_loaded, results))
        self._history, self._about, self._params = History(state_dir), about, params
        self._steward: Steward | None = None
        self._noted: RunFinished | None = None
        self._afterwards: list[Callable[[], object]] = []

    @classmethod
    def begin(
        cls,
        state_dir: Path,
        run: str,
        definition: WorkflowDefinition,
        plan: ExecutionPlan,
        origin: Mapping[str, Any],
        secrets: Sequence[str],
    ) -> RunRecord:
        """The record of a new run.

        Raises UsageError, or another QtuiError, if there can be none: nothing has begun then.
        """
        directory = RunDirectory.create(state_dir, run)
        lock = directory.lock()
        try:
            mask = mask_of(secrets)
            head = Head(
                run=run,
                name=definition.name,
                origin={**origin, "source": definition.source or "", "masked": _holds_secret(origin, mask)},
                params=definition.params,
                plan=plan,
                options=definition.options,
                directory=definition.directory,
                created=time.time(),
                version=__version__,
            )
            journal = Journal.create(
                directory.journal,
                head,
                _durability(definition),
                mask,
                digest=code_digests(),
                wal=not directory.network,
                who=whoami(),
            )
            return cls._opened(state_dir, directory, lock, journal, definition, mask)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def reopen(
        cls,
        state_dir: Path,
        directory: RunDirectory,
        lock: RunLock,
        definition: WorkflowDefinition,
        secrets: Sequence[str],
    ) -> RunRecord:
        """The record of a run that goes on; `lock` is its own from now on. Raises QtuiError."""
        mask = mask_of(secrets)
        journal = Journal.reopen(directory.journal, _durability(definition), mask, digest=code_digests(), who=whoami())
        return cls._opened(state_dir, directory, lock, journal, definition, mask)

    @classmethod
    def _opened(
        cls,
        state_dir: Path,
        directory: RunDirectory,
        lock: RunLock,
        journal: Journal,
        definition: WorkflowDefinition,
        mask: Mask | None,
    ) -> RunRecord:
        try:
            results = ResultStore(directory, load_key(state_dir), definition.persist_max, pack)
            results.sweep()
            directory.clear_values()
        except BaseException:
            journal.close()
            raise
        about = definition.name, definition.source or "", definition.directory or ""
        return cls(state_dir, directory, lock, journal, results, mask, about, definition.params)

    @property
    def source(self) -> str:
        """The file of the workflow; empty if it came from none."""
        return self._about[1]

    @property
    def parts(self) -> tuple[Sink, Keeper]:
        """What the engine writes to."""
        return self._journal, _Keeper(self._results)

    def mark_ready(self) -> None:
        """Note that this process is about to begin. Raises QtuiError."""
        self._journal.add_runner(_this_process())
        self._journal.mark_ready()
        # also of a run that goes on: its old end would stand, should this process be killed
        self._history.begin(self.directory.run, *self._about, time.time())

    def serve(self, engine: Engine, ask: Ask, edited: Callable[[int], str]) -> None:
        """The engine has begun: answer those who ask for something, with what comes of it, and who ask how a unit
        differs on the disk, with what `edited` says."""
        self._noted = engine.opening.finished
        self._steward = Steward(self.directory, self._lock, engine, ask, edited, self._note)
        self._steward.start()
        if self.directory.network:
            engine.warn(-1, ON_NETWORK.format(self.directory.network))

    def afterwards(self, call: Callable[[], object]) -> None:
        """Have this called when the record is closed, or abandoned, and before anybody else can have the run."""
        self._afterwards.append(call)

    def abandon(self) -> None:
        """Nothing has begun: let go of the run as it was."""
        with suppress(QtuiError):
            self._journal.close()
        self._let_go()

    def close(self, view: RunView) -> str:
        """The engine is closed, and this is the last view; returns what went wrong with the end of the record."""
        if self._steward is not None:
            self._steward.close()
        trouble = ""
        try:
            self._close_journal()
        except QtuiError as error:
            trouble = str(error)
        self._note(view)
        self._let_go()
        return trouble

    def _note(self, view: RunView) -> None:
        """Let the history know of an end at once, also while somebody still looks at the run, and that it goes on if
        units run again."""
        if view.finished is self._noted or self._journal.taken:
            return
        self._noted = view.finished
        if view.finished is not None:
            self._note_end(view, view.finished)
        else:
            self._history.begin(self.directory.run, *self._about, time.time())

    def _close_journal(self) -> None:
        """Results of earlier attempts go once it is safe that nothing refers to them. Raises QtuiError."""
        try:
            referred = self._journal.result_paths()
        finally:
            safe = self._journal.close()
        if safe:
            self._results.remove_others(referred)

    def _let_go(self) -> None:
        while self._afterwards:
            self._afterwards.pop(0)()
        self._lock.release()

    def _note_end(self, view: RunView, end: RunFinished) -> None:
        _, source, _ = self._about
        known = completions_of(view, self.results.mask, self._params) if source else Completions({})  # nobody would ask
        run, state = self.directory.run, str(end.state)
        self._history.end(run, state, end.exit_code, told_counts(view), end.at, end.duration, known)


class _Keeper:
    """What processes have pickled already is kept as it is."""

    def __init__(self, results: ResultStore) -> None:
        self._results = results

    def encode(self, number: int, unit_id: str, attempt: int, value: Any) -> StoredResult:
        """What is to be kept of the unit's value. Never raises."""
        if isinstance(value, Elsewhere):
            return StoredResult(number, unit_id, attempt, "none", why=f"it was {value.place}")
        encode = self._results.encode_packed if isinstance(value, Packed) else self._results.encode
        try:
            return encode(number, unit_id, attempt, value)
        except Canceled:  # a class of the user's looks into the context while it is pickled
            return StoredResult(number, unit_id, attempt, "none", why="the unit was asked to stop while it was kept")


def completions_of(view: RunView, mask: Mask = str, params: Mapping[str, Any] = EMPTY) -> Completions:
    """The units that ran and completed, or were cut, however the run ended; not those whose value came from elsewhere.
    `params` are those of the run."""
    completed: dict[str, Completion] = {}
    cut: dict[str, Cut] = {}
    others: list[str] = []
    for unit, last, base in zip(view.plan.table, view.last, view.bases, strict=True):
        hash_ = action_hash(unit, mask, params)
        ran = isinstance(last, UnitFinished) and last.attempt and not (last.cached or last.fallback)
        if ran and (last.state is UnitState.TIMEOUT or (last.state is UnitState.CANCELED and last.error is None)):
            cut[unit.id] = Cut(hash_, last.duration)
        elif ran and last.state is UnitState.COMPLETED:
            tries = last.attempt - base
            completed[unit.id] = Completion(
                hash_, last.at, last.duration, last.peak_memory, last.cpu_seconds, attempts=tries
            )
        else:
            others.append(hash_)
    return Completions(completed, others, cut)


def code_digests() -> Digest:
    """Identifies the code of functions, of each once; empty for one that holds more than plain data."""
    digests = FunctionDigests()
    known: dict[Callable[..., Any], str] = {}

    def digest(call: Call) -> str:
        try:
            found = known.get(call.function)
            if found is None:
                found = known[call.function] = _short(digests, call)
        except TypeError:  # it cannot be a key
            found = _short(digests, call)
        return found

    return digest


def _short(digests: FunctionDigests, call: Call) -> str:
    try:
        return digests.of(call.function)[:16]
    except (NotPlain, OSError, RecursionError):
        return ""


def _holds_secret(origin: Mapping[str, Any], mask: Mask | None) -> bool:
    """Whether the command line, or an answer to it, has something that the record must not keep."""
    texts = [*origin.get("words", ()), *origin.get("answers", {}).values()]
    return mask is not None and any(mask(text) != text for text in texts)


def mask_of(secrets: Sequence[str]) -> Mask | None:
    """What hides these secrets in a text; None if there are none."""
    return TextMasker(masks_of(secrets)).text if secrets else None


def _durability(definition: WorkflowDefinition) -> Durability:
    return "full" if definition.durability == "full" else "normal"


def _this_process() -> Runner:
    return Runner(
        host=host_name(),
        boot=boot_id(),
        pid=os.getpid(),
        started=_started(),
        version=__version__,
        at=time.time(),
        session=terminal_name(),
    )


def _started() -> float:
    """When this process began, in clock ticks since its machine did; 0 where nobody tells."""
    try:
        stat = Path("/proc/self/stat").read_text()
    except OSError:
        return 0.0
    return float(stat.rpartition(")")[2].split()[19])
