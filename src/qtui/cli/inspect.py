"""``qtui check``, ``qtui graph`` and ``run -n``: look at a workflow without running it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from qtui.cli.options import params_of
from qtui.core.advice import advise
from qtui.core.errors import EXIT_OK
from qtui.core.model import WorkflowDefinition
from qtui.core.plan import ExecutionPlan
from qtui.manager import WorkflowManager
from qtui.services import open_services
from qtui.tui.format import ASCII, UNICODE, prefers_ascii
from qtui.tui.layout import further_needs, lay_out
from qtui.tui.text import clean


def check(options: argparse.Namespace) -> int:
    """Validate; say how large the workflow is, and on standard error what in it cannot work as written."""
    definition, plan = _load(options)
    _warn(plan)
    edges = sum(len(needs) for needs in plan.needs)
    print(
        f"{clean(definition.name)}: ok, {_count(plan.unit_count, 'unit')}, {_count(edges, 'need')}, "
        f"{_count(len(plan.levels), 'level')}, at most {plan.max_parallel_units} at a time"
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


def dry_run(definition: WorkflowDefinition, plan: ExecutionPlan) -> int:
    """Print what would run, level by level, in the order in which units would be offered to workers."""
    _warn(plan)
    print(
        f"{clean(definition.name)}: {_count(plan.unit_count, 'unit')} would run, {definition.options.workers} at a time"
    )
    for depth, level in enumerate(plan.levels):
        numbers = sorted(
            (plan.numbers[unit] for unit in level), key=lambda n: (-plan.table[n].priority, -plan.ranks[n], n)
        )
        for number in numbers:
            print(f"{depth + 1:>3}  {plan.lanes[number]:<10} {clean(plan.table[number].id)}")
    return EXIT_OK


def _warn(plan: ExecutionPlan) -> None:
    """Advice goes to standard error, so that standard output stays what scripts read."""
    for problem in advise(plan):
        print(clean(str(problem)), file=sys.stderr)


def _load(options: argparse.Namespace) -> tuple[WorkflowDefinition, ExecutionPlan]:
    with open_services() as services:
        return load(services.manager, options)


def load(manager: WorkflowManager, options: argparse.Namespace) -> tuple[WorkflowDefinition, ExecutionPlan]:
    """The workflow a command line names, and its plan. Raises InvalidWorkflow or UsageError."""
    definition = manager.load(options.workflow, params_of(options.param))
    return definition, manager.plan(definition)


def _tree_lines(plan: ExecutionPlan) -> Iterator[str]:
    """The tree that the dashboard shows: each unit once, families of six and more folded to one line."""
    glyphs = ASCII if prefers_ascii(os.environ, sys.stdout.encoding) else UNICODE
    layout = lay_out(plan, times=glyphs.times, dots=glyphs.range)
    for node in layout.rows(unfolded=(), closed=(), exposed=()):
        family = layout.families[node]
        name = layout.groups[family].label if family >= 0 else layout.names[layout.units[node]]
        further = further_needs(layout, node, times=glyphs.times)
        also = f"  {glyphs.up} also {further}" if further else ""
        parts = [glyphs.last if layout.lasts[node] else glyphs.branch] if layout.depths[node] else []
        parts += [
            glyphs.space if layout.lasts[above] else glyphs.through
            for above in layout.ancestors(node)
            if layout.depths[above]
        ]
        yield f"{''.join(reversed(parts))}{name}{also}"


def _as_json(definition: WorkflowDefinition, plan: ExecutionPlan) -> dict[str, Any]:
    return {
        "name": definition.name,
        "description": definition.description,
        "params": dict(definition.params),
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
                "action": str(unit.action) if unit.action is not None else None,
            }
            for number, unit in enumerate(plan.table)
        ],
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
