"""What of a plan stands inside of what: included workflows, groups and their items; and what stands below what. Pure.

An *entity* is a unit, by its number, or a scope, by the complement of its place in the list of scopes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from qtui.core.model import QuantumUnit
from qtui.core.plan import ExecutionPlan

TOP: Final = -1
"""Where units are that no scope holds."""


class Kind(StrEnum):
    """What a row stands for that is not a unit."""

    FAMILY = "family"
    ITEM = "item"
    GROUP = "group"
    WORKFLOW = "workflow"


class Scope(NamedTuple):
    """A part of the plan that is a row of its own; `name` is what it is called in the workflow, `around` the scope
    that holds it."""

    kind: Kind
    name: str
    around: int


class Structure(NamedTuple):
    """`scope_of` has the innermost scope of each unit, `chains` each scope with those around it and `TOP`; `roots` are
    the entities of each scope (the last is `TOP`'s) that have none above them, `children` what stands below an entity,
    all in the order of their first units. `adders` has the unit that added another."""

    scopes: tuple[Scope, ...]
    scope_of: Sequence[int]
    chains: Sequence[tuple[int, ...]]
    roots: Sequence[list[int]]
    children: dict[int, list[int]]
    adders: dict[int, int]


def structure_of(plan: ExecutionPlan) -> Structure:
    """Where each unit of `plan` stands. O(units + needs).

    A scope of one thing only is none. A unit stands below its deepest need in its scope, the first declared of several;
    one that another unit has added stands below that one, or below others that it has added.
    """
    adders = {number: by for by, numbers in plan.added.items() for number in numbers}
    scopes, scope_of = _dissolved(*_scopes(plan, adders))
    return _Placer(plan, adders, scopes, scope_of).place()


def _scopes(plan: ExecutionPlan, adders: dict[int, int]) -> tuple[list[Scope], list[int]]:
    """Every scope there is a name for, those around before those inside; and the innermost of each unit."""
    scopes: list[Scope] = []
    known: dict[tuple[str, ...], int] = {("", "", ""): TOP}
    scope_of: list[int] = []
    if not any(unit.workflow or unit.group for unit in plan.table):
        return scopes, [TOP] * len(plan)

    def scope(path: tuple[str, ...], kind: Kind, name: str, around: int) -> int:
        if path not in known:
            known[path] = len(scopes)
            scopes.append(Scope(kind, name, around))
        return known[path]

    def scope_at(unit: QuantumUnit) -> int:
        at = TOP
        parts = unit.workflow.split(".") if unit.workflow else []
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            at = scope((name, "", ""), Kind.WORKFLOW, name, at)
        if unit.group:
            at = scope((unit.workflow, unit.group, ""), Kind.GROUP, unit.group, at)
            at = scope((unit.workflow, unit.group, unit.item), Kind.ITEM, f"{unit.group}{unit.item}", at)
        return at

    for number, unit in enumerate(plan.table):
        at = known.get((unit.workflow, unit.group, unit.item))
        if at is None:
            at = scope_at(unit)
        if at == TOP and number in adders:
            at = scope_of[adders[number]]  # what an item adds belongs to the item
        scope_of.append(at)
    return scopes, scope_of


def _dissolved(scopes: list[Scope], scope_of: list[int]) -> tuple[list[Scope], list[int]]:
    """Without scopes that hold one thing only, and without groups of single units, which are families."""
    units = [0] * len(scopes)
    inner: list[list[int]] = [[] for _ in scopes]
    for at in scope_of:
        if at != TOP:
            units[at] += 1
    kept = [False] * len(scopes)
    for at in range(len(scopes) - 1, -1, -1):
        scope = scopes[at]
        group_of_units = scope.kind is Kind.GROUP and not inner[at]
        kept[at] = units[at] + len(inner[at]) > 1 and not group_of_units
        if scope.around != TOP:
            inner[scope.around] += [at] if kept[at] else inner[at]
            units[scope.around] += 0 if kept[at] else units[at]
    place: dict[int, int] = {TOP: TOP}
    left: list[Scope] = []
    for at, scope in enumerate(scopes):
        around = place[scope.around]
        place[at] = len(left) if kept[at] else around
        if kept[at]:
            left.append(scope._replace(around=around))
    return left, [place[at] for at in scope_of]


class _Placer:
    """Finds what each entity stands below; cannot go in circles, as depths fall along the way up."""

    def __init__(self, plan: ExecutionPlan, adders: dict[int, int], scopes: list[Scope], scope_of: list[int]) -> None:
        self._plan, self._adders = plan, adders
        self._scopes, self._scope_of = scopes, scope_of
        self._chains: list[tuple[int, ...]] = []
        for at, scope in enumerate(scopes):
            self._chains.append((at, *(self._chains[scope.around] if scope.around != TOP else (TOP,))))
        self._chains.append((TOP,))  # chains[TOP]
        self._depths = list(plan.depths)
        for number in sorted(plan.dropped):  # they need nothing any more, and stay where they were
            self._depths[number] = self._depths[adders[number]] + 1

    def place(self) -> Structure:
        scopes, scope_of, chains = self._scopes, self._scope_of, self._chains
        needs, adders = self._plan.needs, self._adders
        above = self._above_scopes() if scopes else []
        roots: list[list[int]] = [[] for _ in range(len(scopes) + 1)]
        children: dict[int, list[int]] = {}
        seen = [False] * len(scopes) + [True]  # TOP needs no place
        for number, scope in enumerate(scope_of):
            if not seen[scope]:
                for at in reversed(chains[scope][:-1]):
                    if not seen[at]:
                        seen[at] = True
                        _hang(roots[scopes[at].around], children, above[at], ~at)
            if needs[number] or number in adders:
                _hang(roots[scope], children, self._above_unit(number, scope), number)
            else:
                roots[scope].append(number)
        return Structure(
            scopes=tuple(scopes),
            scope_of=scope_of,
            chains=chains,
            roots=roots,
            children=children,
            adders=self._adders,
        )

    def _above_unit(self, number: int, scope: int) -> int | None:
        needs: Sequence[int] = self._plan.needs[number]
        if number in self._adders:
            by = self._adders[number]
            needs = [need for need in needs if self._adders.get(need) == by] or [by]
        scope_of = self._scope_of
        if scope != TOP:
            needs = [need for need in needs if scope_of[need] == scope or scope in self._chains[scope_of[need]]]
        if not needs:
            return None
        deepest = needs[0] if len(needs) == 1 else max(needs, key=self._depths.__getitem__)
        return deepest if scope_of[deepest] == scope else self._entity(deepest, scope)

    def _above_scopes(self) -> list[int | None]:
        """By scope: the deepest need, outside of it, of any of its units, that is not as deep as the scope begins."""
        scopes, scope_of, chains, depths = self._scopes, self._scope_of, self._chains, self._depths
        begins = [len(depths)] * len(scopes)
        for number, scope in enumerate(scope_of):
            for at in chains[scope][:-1]:
                begins[at] = min(begins[at], depths[number])
        best: list[int | None] = [None] * len(scopes)
        for number, scope in enumerate(scope_of):
            if scope == TOP:
                continue
            for need in self._plan.needs[number]:
                theirs = chains[scope_of[need]]
                for at in chains[scope][:-1]:
                    if at in theirs:
                        break  # so are all around it
                    found = best[at]
                    higher = depths[need] < begins[at] and (found is None or depths[need] > depths[found])
                    if higher and scopes[at].around in theirs:
                        best[at] = need
        return [None if need is None else self._entity(need, scopes[at].around) for at, need in enumerate(best)]

    def _entity(self, number: int, scope: int) -> int:
        """The unit, or what holds it, as it is seen in `scope`."""
        chain = self._chains[self._scope_of[number]]
        at = chain.index(scope)
        return number if at == 0 else ~chain[at - 1]


def _hang(roots: list[int], children: dict[int, list[int]], above: int | None, entity: int) -> None:
    if above is None:
        roots.append(entity)
    else:
        children.setdefault(above, []).append(entity)
