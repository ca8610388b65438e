"""``qtui check``, ``qtui graph`` and ``qtui schema``: look at a workflow without running it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from qtui.cli.adjust import environment_of
from qtui.cli.lookup import missing
from qtui.cli.options import params_of
from qtui.cli.preview import masker, where_of
from qtui.cli.words import counted
from qtui.core.advice import advise
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import EXIT_OK
from qtui.core.model import ExecutionMode
from qtui.core.plan import ExecutionPlan
from qtui.core.targets import WorkerTargets
from qtui.definition.options import Overrides
from qtui.definition.schema import workflow_schema
from qtui.services import open_services
from qtui.tui.charset import ascii_only
from qtui.tui.format import ASCII, UNICODE
from qtui.tui.laying import lay_out
from qtui.tui.layout import further_needs
from qtui.tui.text import clean


def check(options: argparse.Namespace) -> int:
    """Validate; say how large the workflow is, and on standard error what in it cannot work as written."""
    definition, plan = _load(options)
    tell_advice(definition, plan)
    edges = sum(len(needs) for needs in plan.needs)
    workers = WorkerTargets(plan.lanes, definition.options).together
    custom = f"; custom units: {where_of(definition.options)}" if ExecutionMode.CUSTOM in plan.lanes else ""
    print(
        f"{clean(definition.name)}: ok, {counted(plan.unit_count, 'unit')}, {counted(edges, 'need')}, "
        f"{counted(len(plan.levels), 'level')}, the widest of {counted(plan.max_parallel_units, 'unit')}; "
        f"{counted(workers, 'worker')}{custom}"
    )
    return EXIT_OK


def graph(options: argparse.Namespace) -> int:
    """Print the graph as a tree of text, as DOT, or as JSON."""
    definition, plan = _load(options)
    match options.format:
        case "dot":
            print(plan.visualize(), end="")
        case "json":
            print(json.dumps(_as_json(definition, plan), indent=2, default=str))
        case _:
            for line in _tree_lines(plan):
                print(line)
    return EXIT_OK


def schema(_: argparse.Namespace) -> int:
    """Print the JSON Schema of workflow files."""
    print(json.dumps(workflow_schema(), indent=2, ensure_ascii=False))
    return EXIT_OK


def tell_advice(definition: WorkflowDefinition, plan: ExecutionPlan) -> None:
    """Say on standard error what cannot work as written, so that standard output stays what scripts read."""
    mask = masker(definition)
    for problem in dict.fromkeys((*definition.advice, *advise(plan), *missing(definition))):
        print(clean(mask(str(problem))), file=sys.stderr)


def _load(options: argparse.Namespace) -> tuple[WorkflowDefinition, ExecutionPlan]:
    with open_services() as services:
        env = environment_of(options)
        os.environ.update(env)  # as if they had been set outside; over the workflow's own, they are an override
        overrides = Overrides(env=env, executor=options.executor, address=options.address, insecure=options.insecure)
        definition = services.manager.load(options.workflow, params_of(options.param), overrides)
        return definition, services.manager.plan(definition)


def _tree_lines(plan: ExecutionPlan) -> Iterator[str]:
    """The tree that the dashboard shows: each unit once, families of six and more folded to one line."""
    glyphs = ASCII if ascii_only(sys.stdout) else UNICODE
    layout = lay_out(plan, times=glyphs.times, dots=glyphs.range)
    for node in layout.rows(unfolded=layout.opened, closed=(), exposed=()):
        name = layout.label(node)
        further = further_needs(layout, node, times=glyphs.times)
        also = f"  {glyphs.up} also {further}" if further else ""
        own = glyphs.member if layout.members[node] else glyphs.last if layout.lasts[node] else glyphs.branch
        parts = [own] if layout.depths[node] else []
        parts += [
            glyphs.space if layout.lasts[above] else glyphs.through
            for above in layout.ancestors(node)
            if layout.depths[above]
        ]
        yield f"{''.join(reversed(parts))}{name}{also}"


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def _as_json(definition: WorkflowDefinition, plan: ExecutionPlan) -> dict[str, Any]:
    mask = masker(definition)
    return {
        "name": definition.name,
        "description": definition.description,
        "params": {name: _masked(value, mask) for name, value in definition.params.items()},
        "critical_path": plan.critical_path,
        "units": [
            {
                "id": unit.id,
                "family": unit.name,
                "description": unit.description,
                "needs": [plan.table[need].id for need in plan.needs[number]],
                "mode": str(plan.lanes[number]),
                "level": plan.depths[number],
                "priority": unit.priority,
                "tags": sorted(unit.tags),
                "action": mask(str(unit.action)) if unit.action is not None else None,
            }
            for number, unit in enumerate(plan.table)
        ],
    }
