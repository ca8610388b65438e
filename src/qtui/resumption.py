"""What a resume finds out before a run goes on: what has changed since, which results are there, what is left over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from glob import glob
from pathlib import Path
from typing import Any, Final

from qtui.core.events import UnitFinished
from qtui.core.model import Fallback, QuantumUnit, UnitState, WorkflowDefinition
from qtui.core.plan import ExecutionPlan
from qtui.core.portable import plain_unit
from qtui.core.state import RunView
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

    What an earlier resume has found and left as it was counts, too: since then the record has the new definition.
    """
    digest = code_digests()
    found = {view.plan.table[number].id: why for number, why in view.stale.items()}
    for unit in definition.units:
        number = view.plan.numbers.get(unit.id)
        if number is None or view.states[number] is not UnitState.COMPLETED or unit.id in found:
            continue
        old = plain_unit(view.plan.table[number])
        new = plain_unit(unit, mask=mask, digest=digest)
        why = next((words for part, words in _COUNTS.items() if not alike(old.get(part), new.get(part))), "")
        last = view.last[number]
        if not why and isinstance(last, UnitFinished):
            why = next(_touched(unit, last.at), "")
        if why:
            found[unit.id] = why
    return found


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


def end_leftovers(run: str) -> list[int]:
    """End the processes that still carry the run's tag, however they got away; returns their pids. Only on Linux."""
    left = list(_tagged(run))
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + LEFT_GRACE_SECONDS
    going = left
    while going and time.monotonic() < deadline:
        time.sleep(0.02)
        going = [pid for pid in going if pid in set(_tagged(run))]
    for pid in going:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return left


def _tagged(run: str) -> Iterator[int]:
    tag, own = f"QTUI_RUN={run}".encode(), set(_ancestors())
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid in own:
            continue
        try:
            if tag in (entry / "environ").read_bytes().split(b"\0"):
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
