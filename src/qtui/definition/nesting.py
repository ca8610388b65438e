"""Workflows inside of workflows: their units get a prefix, in everything that names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from qtui.core.model import FromUnit, QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.definition.assemble import Assembly

Rename = Callable[[str], str]


def nested(inner: Assembly, prefix: str, env: Mapping[str, str]) -> Assembly:
    """What was assembled with ``prefix.`` before every name; ``*`` goes on meaning the units it meant before.

    `env` are the variables around it, below those that the units have. Raises InvalidWorkflow if ``*`` cannot be told
    because the graph has a fault.
    """

    def rename(name: str) -> str:
        return f"{prefix}.{name}"

    needs = _without_stars(inner.units) if inner.known else {}
    units = [
        replace(
            unit,
            id=rename(unit.id),
            family=unit.family and rename(unit.family),
            group=unit.group and rename(unit.group),
            workflow=rename(unit.workflow) if unit.workflow else prefix,
            dependencies=tuple(map(rename, needs.get(unit.id, unit.dependencies))),
            args={name: _renamed_argument(value, rename) for name, value in unit.args.items()},
            condition=unit.condition and unit.condition.renamed(rename),
            env={**env, **unit.env},
        )
        for unit in inner.units
    ]
    drafts = {rename(name): draft for name, draft in inner.drafts.items()}
    groups = {rename(name): group for name, group in inner.groups.items()}
    return Assembly(units=units, drafts=drafts, groups=groups, mutexes=inner.mutexes, known=inner.known)


def _without_stars(units: list[QuantumUnit]) -> dict[str, tuple[str, ...]]:
    """The needs of the units that have a ``*`` in them, with the names of all the units that it means."""
    if not any("*" in unit.dependencies for unit in units):
        return {}
    plan = ExecutionPlan.build(units)
    needs = {}
    for number, declared in enumerate(plan.declared):
        if any(need.name == "*" for need in declared):
            meant: Iterator[list[str]] = (
                [plan.table[other].id for other in need.units] if need.name == "*" else [need.name] for need in declared
            )
            needs[plan.table[number].id] = tuple(dict.fromkeys(chain.from_iterable(meant)))
    return needs


def _renamed_argument(value: Any, rename: Rename) -> Any:
    return FromUnit(rename(value.need)) if isinstance(value, FromUnit) else value
