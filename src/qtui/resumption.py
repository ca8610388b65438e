"""What a resume finds out before a run goes on: what has changed since, which results are there, what is left over."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Any, Final

from qtui.core.definition import WorkflowDefinition
from qtui.core.events import UnitFinished
from qtui.core.model import Call, Fallback, QuantumUnit, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.portable import Digest, Mask, plain_unit
from qtui.core.resuming import AWAY, Former
from qtui.core.state import RunView, UnitView
from qtui.engine.variables import RECORD, record_tag
from qtui.ondisk import alike
from qtui.recordkeeping import code_digests
from qtui.store.journal import JournalDamaged, JournalReader, StoredResult, recover
from qtui.store.results import ResultUnusable
from qtui.store.rundir import RunDirectory

_COUNTS: Final[Mapping[str, str]] = {
    "action": "its command or function changed",
    "args": "its arguments changed",
    "env": "its environment changed",
    "cwd": "its directory changed",
    "dependencies": "what it needs changed",
    "matrix": "its matrix values changed",
    "condition": "its condition changed",
    "outputs": "its outputs changed",
}
"""The parts of a definition that a result depends on, and what is told when one of them is another."""

LEFT_GRACE_SECONDS: Final = 2.0
"""How long what is left of a run's processes has to end before it is killed."""


def last_known(directory: RunDirectory, tell: Callable[[str], None]) -> tuple[RunView, dict[str, StoredResult]]:
    """What was known of a run when its process had gone, and what is kept of the results of its units, by id.

    A journal that is damaged is recovered first, and `tell` hears what is left of it; whoever calls holds the run's
    lock. Raises JournalError, as JournalReader and `recover` do.
    """
    try:
        return _known(directory.journal)
    except JournalDamaged:
        tell(recover(directory.journal, wal=not directory.network))
        return _known(directory.journal)


def _known(journal: Path) -> tuple[RunView, dict[str, StoredResult]]:
    with closing(JournalReader(journal)) as reader:
        view = reader.view()
        ids = [view.plan.table[n].id for n, state in enumerate(view.states) if state is UnitState.COMPLETED]
        found = ((unit_id, reader.result(unit_id)) for unit_id in ids)
        return view, {unit_id: stored for unit_id, stored in found if stored is not None}


def changes(view: RunView, definition: WorkflowDefinition, mask: Callable[[str], str] = str) -> dict[str, str]:
    """Why results of completed units could be others now, by id: their definition or their inputs have changed.

    What an earlier resume has found and left as it was counts, too: since then the record has the new definition. Of a
    unit that a running one has added nobody knows what its definition would be now; but its files are there, and the
    code of its function if the module of the unit that adds it has one of that name.
    """
    digest = code_digests()
    found = {view.plan.table[number].id: why for number, why in view.stale.items()}
    now = {unit.id: unit for unit in definition.units}
    adders = {added: by for by, units in view.plan.added.items() for added in units if added not in view.plan.dropped}
    for number, unit in enumerate(view.plan.table):
        new = now.get(unit.id)
        if view.states[number] is not UnitState.COMPLETED or unit.id in found:
            continue
        if new is not None:
            why = _difference(unit, new, mask, digest)
        elif number in adders:
            by = number
            while by in adders:
                by = adders[by]
            why = _other_code(unit, now.get(view.plan.table[by].id), digest)
        else:
            continue
        last = view.last[number]
        if not why and isinstance(last, UnitFinished):
            why = next(_touched(new or unit, last.at), "")
        if why:
            found[unit.id] = why
    return found


def _difference(old: QuantumUnit, new: QuantumUnit, mask: Mask, digest: Digest) -> str:
    """Why the results of a unit could be others with its new definition; empty if they could not."""
    before, after = plain_unit(old), plain_unit(new, mask=mask, digest=digest)
    return next((words for part, words in _COUNTS.items() if not alike(before.get(part), after.get(part))), "")


def _other_code(unit: QuantumUnit, adder: QuantumUnit | None, digest: Digest) -> str:
    """Whether the function of a unit that `adder` has added is another one by now; empty if nobody can tell."""
    if adder is None or not isinstance(adder.action, Call) or not isinstance(unit.action, Call):
        return ""
    found: Any = sys.modules.get(getattr(adder.action.function, "__module__", ""))
    for name in str(unit.action).split("."):
        found = getattr(found, name, None)
    if not callable(found):
        return ""
    new = plain_unit(replace(unit, action=replace(unit.action, function=found)), digest=digest)
    return "" if alike(plain_unit(unit)["action"], new["action"]) else _COUNTS["action"]


def former_units(
    journal: Path, view: RunView, definition: WorkflowDefinition, mask: Mask = str
) -> tuple[dict[str, Former], dict[str, StoredResult]]:
    """The units of the workflow that the plan of `view` has not, but one before had, and what is kept of the results of
    those that are as they were."""
    units = {unit.id: unit for unit in definition.units if unit.id not in view.plan.numbers}
    found: dict[str, Former] = {}
    kept: dict[str, StoredResult] = {}
    digest = code_digests()
    with closing(JournalReader(journal)) as reader:
        for seq in reversed(reader.replaced_at() if units else []):
            before = reader.view(seq - 1)
            for name in [name for name in units if name in before.plan.numbers]:
                new = units.pop(name)
                stored = reader.result(name)
                found[name] = former = _former(before.unit(before.plan.numbers[name]), new, stored, mask, digest)
                if former.end is not None and stored is not None:
                    kept[name] = stored
    return found, kept


def _former(was: UnitView, new: QuantumUnit, stored: StoredResult | None, mask: Mask, digest: Digest) -> Former:
    end = was.finished
    changed = _difference(was.unit, new, mask, digest)
    if end is None or end.state is not UnitState.COMPLETED or end.fallback:
        why = AWAY
    elif changed:
        why = f"{AWAY}, and {changed}"
    elif any(added not in was.view.plan.dropped for added in was.view.plan.added.get(was.number, ())):
        why = f"{AWAY}, and what it had added is gone"
    elif stored is not None and stored.kind == "none":
        why = f"{AWAY}, and its result is not there: {stored.why}"
    else:
        return Former(was.attempt, was.generation, end)
    return Former(was.attempt, was.generation, None, why)


def _touched(unit: QuantumUnit, ended: float) -> Iterator[str]:
    """The inputs that were written after the unit had ended, as make would tell, and the outputs that are gone."""
    where = unit.cwd or "."
    for pattern in unit.cache.inputs if unit.cache is not None else ():
        names = _found(pattern, where) or [pattern]
        for name in names[:1000]:
            path = Path(where, name)
            try:
                if path.stat().st_mtime > ended:
                    yield f"input {name} changed"
            except OSError:
                yield f"input {name} is gone"
    for name in unit.outputs:
        if not _found(name, where):
            yield f"output {name} is gone"


def _found(pattern: str, where: str) -> list[str]:
    """The files that a pattern means: relative to `where`, or absolute."""
    return sorted(glob(pattern, root_dir=where, recursive=True))  # noqa: PTH207  - patterns may be absolute


def same_plan(old: ExecutionPlan, definition: WorkflowDefinition, mask: Callable[[str], str] = str) -> bool:
    """Whether the workflow is what the record has: then the plan need not be written again."""
    base = len(old) - len({number for added in old.added.values() for number in added})
    if base != len(definition.units) or old.mode is not definition.options.mode:
        return False
    digest = code_digests()
    pairs = zip(old.table, definition.units, strict=False)
    return all(a.id == b.id and plain_unit(a) == plain_unit(b, mask=mask, digest=digest) for a, b in pairs)


def results_of(
    view: RunView, kept: Mapping[str, StoredResult], load: Callable[[StoredResult], Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The results of completed units by id, and why others are not there any more."""
    values: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for number, last in enumerate(view.last):
        if not isinstance(last, UnitFinished) or last.state is not UnitState.COMPLETED:
            continue
        unit = view.plan.table[number]
        if last.fallback:
            values[unit.id] = unit.fallback.value if isinstance(unit.fallback, Fallback) else None
            continue
        stored = kept.get(unit.id)
        if stored is None:
            continue  # None needs no row
        try:
            values[unit.id] = load(stored)
        except ResultUnusable as error:
            missing[unit.id] = f"which is not there: {stored.why or error}"
    return values, missing


def loaded(
    former: Mapping[str, Former], kept: Mapping[str, StoredResult], load: Callable[[StoredResult], Any]
) -> tuple[dict[str, Former], dict[str, Any]]:
    """The units that are back, and the results of those of them that need not run again."""
    found, values = dict(former), {}
    for name, stored in kept.items():
        try:
            values[name] = load(stored)
        except ResultUnusable as error:
            found[name] = former[name]._replace(end=None, why=f"{AWAY}, and its result is not there: {error}")
    return found, values


def end_leftovers(directory: RunDirectory) -> list[int]:
    """End the processes that still carry the run's tags, however they got away; returns their pids. Only on Linux.

    A copy of the directory is a run of the same id: what that runs carries another tag, and is left alone.
    """
    tags = {f"QTUI_RUN={directory.run}".encode(), f"{RECORD}={record_tag(directory.path)}".encode()}
    left = list(_tagged(tags))
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + LEFT_GRACE_SECONDS
    going = left
    while going and time.monotonic() < deadline:
        time.sleep(0.02)
        going = [pid for pid in going if pid in set(_tagged(tags))]
    for pid in going:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return left


def _tagged(tags: set[bytes]) -> Iterator[int]:
    own = set(_ancestors())
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid in own:
            continue
        try:
            if tags <= set((entry / "environ").read_bytes().split(b"\0")):
                yield pid
        except OSError:
            continue  # it has ended, or is somebody else's


def _ancestors() -> Iterator[int]:
    """This process and those that it hangs on: a resume may be asked for from inside of a unit."""
    pid = os.getpid()
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return
