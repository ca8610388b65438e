"""``qtui plan`` and ``run -n``: what a run would do, when, and how long that would take. Nothing is run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from math import inf
from typing import Any

from qtui.cli.adjust import adjusted, environment_of, overrides_of
from qtui.cli.ask import asker
from qtui.cli.inspect import tell_advice
from qtui.cli.options import params_of
from qtui.cli.outlook import Outlook, outlook_of
from qtui.cli.preview import HOW_TO_TELL, head_of, lines_of, masker
from qtui.cli.reaching import state_dir_of
from qtui.cli.telling import tell
from qtui.cli.words import counted, duration
from qtui.core.comparing import Cell, Comparison, compare
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import EXIT_FAILED, EXIT_OK
from qtui.core.expecting import CUT, ESTIMATE, FAMILY, NO_TIME, TYPICAL
from qtui.core.planned import Fate, PlannedUnit
from qtui.definition import machine
from qtui.definition.options import default_workers
from qtui.listing import complete_index
from qtui.services import open_services

_BASES = {CUT: "cut", ESTIMATE: "estimate", FAMILY: "family", TYPICAL: "typical", NO_TIME: "none"}


def plan(options: argparse.Namespace) -> int:
    """Tell what a run would do. Returns 0 or, with ``--check``, 1 if there is something to do."""
    env = environment_of(options)
    os.environ.update(env)  # as if they had been set outside; over the workflow's own, they are an override
    # what user modules print when they are imported would be no JSON
    apart = redirect_stdout(sys.stderr) if options.json else nullcontext()
    with apart, open_services(state_dir_of(options)) as services:
        loaded = services.manager.load(
            options.workflow, params_of(options.param), overrides_of(options, env), asker(os.environ)
        )
        definition = adjusted(loaded, options)
        complete_index(state_dir_of(options))
        outlook = outlook_of(services.manager, definition)
    tell_advice(definition, outlook.planned.plan)
    comparison = _compared(outlook) if options.compare and outlook.planned.due else None
    if options.json:
        print(json.dumps(_as_json(definition, outlook, comparison), indent=2))
    else:
        lines = lines_of(definition, outlook) if comparison is None else _comparison_lines(comparison)
        for line in (*head_of(definition, outlook), "", *lines):
            print(line)
    return EXIT_FAILED if options.check and outlook.planned.due else EXIT_OK


# -- comparing -------------------------------------------------------------------------------------------


def _compared(outlook: Outlook) -> Comparison | None:
    if outlook.planned.told is None:
        tell(f"there is nothing to compare, as nothing is known of how long units take: {HOW_TO_TELL}")
        return None
    options = outlook.planned.options
    begins = options.workers if options.adaptive else default_workers(options.max_workers, options.min_workers)
    return compare(outlook.planned, begins=begins, cores=machine.cores(), cpu=outlook.cpu)


def _comparison_lines(comparison: Comparison) -> Iterator[str]:
    """A row for each number of workers, a column for strategies that take the same time everywhere."""
    columns: list[tuple[list[str], list[Cell]]] = []
    for strategy, cells in comparison.cells.items():
        same = next((names for names, others in columns if others == list(cells.values())), None)
        if same is not None:
            same.append(strategy)
        else:
            columns.append(([strategy], list(cells.values())))
    texts = [[", ".join(names), *map(_cell, cells)] for names, cells in columns]
    widths = [max(map(len, column)) for column in texts]
    heads, *rows = zip(*texts, strict=True)
    yield "workers  " + "  ".join(f"{head:{width}}" for head, width in zip(heads, widths, strict=True)).rstrip()
    for workers, row in zip(next(iter(comparison.cells.values())), rows, strict=True):
        now = "  (as it is now)" if workers == comparison.current else ""
        yield f"{workers:>7}  {'  '.join(f'{text:>{width}}' for text, width in zip(row, widths, strict=True))}{now}"
    yield ""
    yield f"beyond {counted(comparison.knee, 'worker')} nothing gains: {comparison.because}"
    if fewest := min(cell.incomplete for _, cells in columns for cell in cells):
        yield f"{counted(fewest, 'unit')} would not complete in time with any number of workers"


def _cell(cell: Cell) -> str:
    if not cell.incomplete:
        return duration(cell.seconds)
    return f"{counted(cell.incomplete, 'unit')} incomplete  {duration(cell.seconds)}"


# -- JSON ------------------------------------------------------------------------------------------------


def _as_json(definition: WorkflowDefinition, outlook: Outlook, comparison: Comparison | None) -> dict[str, Any]:
    planned, told = outlook.planned, outlook.planned.told
    data: dict[str, Any] = {
        "workflow": definition.name,
        "due": planned.due,
        "makespan": _rounded(told.p50) if told is not None else None,
        "p10": _rounded(told.p10) if told is not None else None,
        "p90": _rounded(told.p90) if told is not None else None,
        "critical_path": _ids(outlook, planned.path),
        "attribution": [
            {"what": part.what, "seconds": _rounded(part.seconds)} for part in (told.parts if told is not None else ())
        ],
        "incomplete": told.incomplete if told is not None else None,
        "risk": round(told.risk, 3) if told is not None else None,
        "times_out": told.times_out if told is not None else None,
        "assumed": outlook.assumed,
        "executor": definition.options.executor,
        "address": definition.options.address,
        "units": list(_units(definition, outlook)),
    }
    if comparison is not None:
        data["comparison"] = {
            "makespans": {
                strategy: {str(workers): _rounded(cell.seconds) for workers, cell in cells.items()}
                for strategy, cells in comparison.cells.items()
            },
            "incomplete": {
                strategy: {str(workers): cell.incomplete for workers, cell in cells.items()}
                for strategy, cells in comparison.cells.items()
            },
            "knee": comparison.knee,
            "because": comparison.because,
            "current": comparison.current,
        }
    return data


def _units(definition: WorkflowDefinition, outlook: Outlook) -> Iterator[dict[str, Any]]:
    planned, mask = outlook.planned, masker(definition)
    times = planned.told is not None
    for unit in planned.units:
        number = unit.number
        found, memory = outlook.cache.get(number), outlook.memory.get(number)
        skips = unit.fate in (Fate.SKIP, Fate.NEVER)
        start = unit.start if unit.fate is Fate.RUN else unit.end
        yield {
            "id": planned.plan.table[number].id,
            "fate": str(unit.fate),
            "start": _rounded(start) if times and not skips else None,
            "end": _rounded(unit.end) if times and not skips else None,
            "seconds": _rounded(unit.expected.middle) if unit.due and unit.expected is not None else None,
            "basis": _basis(unit, number in outlook.runs),
            "runs": outlook.runs.get(number, 0),
            "memory": memory.bytes if memory is not None else None,
            "memory_basis": None if memory is None else "declared" if memory.declared else "past",
            "cache": {"hit": found.hit, "reason": mask(found.reason)} if found is not None else None,
            "cause": mask(unit.cause) or None,
            "critical": number in planned.critical,
            "mode": str(planned.plan.lanes[number]),
            "level": planned.plan.depths[number],
        }


def _basis(unit: PlannedUnit, known: bool) -> str | None:
    if unit.expected is None:
        return "unknown"
    if unit.expected.other:
        return "other"
    return _BASES.get(unit.expected.basis, "past" if known else None)


def _ids(outlook: Outlook, numbers: Sequence[int]) -> list[str]:
    return [outlook.planned.plan.table[number].id for number in numbers]


def _rounded(seconds: float) -> float | None:
    return round(seconds, 3) if seconds != inf else None
