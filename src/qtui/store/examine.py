"""A second look at a journal: whether the file is whole, and whether what is derived from its events is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from qtui.core.events import Event, PlanReplaced
from qtui.core.folding import fold
from qtui.core.model import STEPS, UnitState
from qtui.core.state import RunView
from qtui.store.errors import JournalError
from qtui.store.journal import JournalReader

CHUNK: Final = 5_000
"""Events that are read at a time."""

MOST_FAULTS: Final = 20
"""Of one kind so many are told; whoever mends a journal needs no more."""

_DERIVED: Final = frozenset(RunView.__slots__) - {"plan", "states", "_blamed"}


class Check(NamedTuple):
    """What was looked at: `words` if all is well, else the `faults`."""

    what: str
    words: str
    faults: tuple[str, ...] = ()


def examine(path: Path) -> Iterator[Check]:
    """Check the journal of a run that is over or goes on, without writing anything; some 40 us an event.

    A run that goes on is not held up by that.
    """
    try:
        with closing(JournalReader(path)) as reader:
            problems = tuple(reader.problems())
            yield Check("journal", f"whole, events 1 to {reader.last_seq()} without a gap", problems)
            if not problems:
                yield from _story(reader)
                yield _results(reader, path.parent)
    except JournalError as error:
        yield Check("journal", "", (str(error),))


def _story(reader: JournalReader) -> Iterator[Check]:
    """Every event folded by itself, each step looked at; then the view that others see, compared with that."""
    upto = reader.last_seq()
    view, faults = reader.view(0), []
    while view.seq < upto:
        events = reader.after(view.seq, min(CHUNK, upto - view.seq))
        if not events:
            faults.append(f"there is nothing after event {view.seq}, but there should be {upto}")
            break
        for event in events:
            after = fold(view, [event])
            faults += _illegal(view, after, event)
            view = after
    yield Check("steps", f"{view.seq} events, each step a legal one", tuple(faults[:MOST_FAULTS]))
    differences = tuple(_differences(reader.view(upto), view))
    ended = f"{view.ended} of {len(view.plan)} units have ended"
    yield Check("states", f"as the events say: {ended}", differences[:MOST_FAULTS])


def _illegal(before: RunView, after: RunView, event: Event) -> Iterator[str]:
    unit = getattr(event, "unit", -1)
    if unit < 0 or isinstance(event, PlanReplaced):
        return
    old: UnitState = before.states[unit]
    new: UnitState = after.states[unit]
    if old is not new and new not in STEPS[old]:
        yield f"event {after.seq}: {before.plan.table[unit].id}: {old} -> {new}"


def _differences(seen: RunView, folded: RunView) -> Iterator[str]:
    if [unit.id for unit in seen.plan.table] != [unit.id for unit in folded.plan.table]:
        yield "the plan is not the one that the events make"
        return
    for unit, state, true in zip(folded.plan.table, seen.states, folded.states, strict=True):
        if state is not true:
            yield f"{unit.id} is {state}, but its events say {true}"
    for name in sorted(_DERIVED):
        if getattr(seen, name) != getattr(folded, name):
            yield f"a checkpoint has a `{name}` that does not follow from the events"


def _results(reader: JournalReader, directory: Path) -> Check:
    """Files of results are there; what is in them is checked by whoever loads them."""
    view, faults, kept = reader.view(), [], 0
    for unit in view.units:
        if unit.state is not UnitState.COMPLETED:
            continue
        result = reader.result(unit.id)
        kept += result is not None and result.kind != "none"
        if result is not None and result.kind == "file" and not (directory / result.path).is_file():
            faults.append(f"{unit.id}: its result should be in {directory / result.path}: it will run again")
    return Check("results", f"{kept} kept", tuple(faults[:MOST_FAULTS]))
