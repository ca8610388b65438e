"""The tree of a plan: every unit once, under one parent chosen once. Pure, and laid out only at the start.

A *node* is a unit or a family: six or more siblings that are items of one unit. A family's members stand under it;
what depends on members stands under the family too, after them, so that folding it moves nothing else.
Nodes are numbered in the order of the screen, so rows are an ascending list of node numbers.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from qtui.core.model import QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.tui.text import clean

FOLD_FROM: Final = 6
_NUMBERED: Final = re.compile(r"(?:.*\D)?(\d+)\D?$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Siblings that are items of one unit; `label` is what their row is called: ``extract[0..199]``."""

    name: str
    label: str
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLayout:
    """The nodes of a tree. By node: `units`, the unit or -1; `families`, the family or -1; `parents`, the node
    above or -1; `depths`; `ends`, the node behind the subtree; `lasts`, whether it is the last of its siblings.
    By unit: `node_of`, and `family_of`, the family it is folded into or -1."""

    plan: ExecutionPlan
    names: tuple[str, ...]
    groups: tuple[Family, ...]
    units: Sequence[int]
    families: Sequence[int]
    parents: Sequence[int]
    depths: Sequence[int]
    ends: Sequence[int]
    lasts: Sequence[bool]
    node_of: Sequence[int]
    family_of: Sequence[int]
    family_nodes: Sequence[int]

    def __len__(self) -> int:
        return len(self.units)

    def is_member(self, node: int) -> bool:
        """True for a unit that is folded into the family above it."""
        unit = self.units[node]
        return unit >= 0 and self.family_of[unit] >= 0

    def children(self, node: int) -> bool:
        """True if anything stands under the node, not counting a family's members."""
        family = self.families[node]
        members = len(self.groups[family].members) if family >= 0 else 0
        return self.ends[node] > node + 1 + members

    def units_under(self, node: int) -> list[int]:
        """The units of a row: the unit, or the family's members."""
        family = self.families[node]
        return list(self.groups[family].members) if family >= 0 else [self.units[node]]

    def ancestors(self, node: int) -> list[int]:
        """The nodes above, nearest first."""
        above = []
        while (node := self.parents[node]) >= 0:
            above.append(node)
        return above

    def rows(self, *, unfolded: Collection[int], closed: Collection[int], exposed: Collection[int]) -> list[int]:
        """The nodes on show, in order: families fold unless in `unfolded`, but for their `exposed` units; nothing
        is shown under the nodes in `closed` but a family's members. All of them are node or unit numbers."""
        rows: list[int] = []
        node, count = 0, len(self.units)
        while node < count:
            rows.append(node)
            family = self.families[node]
            after = node + 1
            if family >= 0:
                members = self.groups[family].members
                after += len(members)
                if node in unfolded:
                    rows.extend(range(node + 1, after))
                else:
                    rows.extend(self.node_of[unit] for unit in members if unit in exposed)
            node = self.ends[node] if node in closed else after
        return rows

    def matching(self, text: str, *, exposed: Collection[int] = ()) -> tuple[list[int], set[int]]:
        """The rows for a filter: nodes whose name holds `text` (any case) and those above them; and the former.

        A family that matches by name stands for its members, but for those in `exposed`.
        """
        wanted = text.lower()
        hits = {node for node in self.family_nodes if wanted in self.groups[self.families[node]].label.lower()}
        for unit, name in enumerate(self.names):
            node = self.node_of[unit]
            if wanted in name.lower() and (
                self.family_of[unit] < 0 or unit in exposed or self.parents[node] not in hits
            ):
                hits.add(node)
        shown = set(hits)
        for node in hits:
            above = self.parents[node]
            while above >= 0 and above not in shown:
                shown.add(above)
                above = self.parents[above]
        return sorted(shown), hits


def family_name(unit: QuantumUnit) -> str:
    """What the items of one unit have in common: ``embed`` of ``embed[shard=3]``; of others the id."""
    if unit.family:
        return unit.family
    head, bracket, _ = unit.id.partition("[")
    return head if bracket and head and unit.id.endswith("]") else unit.id


def further_needs(layout: TreeLayout, node: int, *, times: str = "×", most: int = 2) -> str:
    """The needs of a node that its place in the tree does not tell, by name: ``clean, embed ×6``; or ``""``."""
    plan = layout.plan
    units = layout.units_under(node)
    above = layout.parents[node]
    if layout.is_member(node):
        above = layout.parents[above]
    told = set(layout.units_under(above)) if above >= 0 else set()
    needed = {need: None for unit in units for need in plan.needs[unit]}
    if told <= needed.keys() or layout.families[node] >= 0:
        needed = {need: None for need in needed if need not in told}
    by_family: dict[str, list[int]] = {}
    for need in needed:
        by_family.setdefault(family_name(plan.table[need]), []).append(need)
    names = [
        layout.names[group[0]] if len(group) == 1 else f"{clean(family)} {times}{len(group)}"
        for family, group in by_family.items()
    ]
    return ", ".join(names[:most]) + (f", +{len(names) - most}" if len(names) > most else "")


def row_of(rows: Sequence[int], node: int) -> int | None:
    """Where `node` is among `rows`, or None."""
    at = bisect_left(rows, node)
    return at if at < len(rows) and rows[at] == node else None


def lay_out(plan: ExecutionPlan, *, times: str = "×", dots: str = "..") -> TreeLayout:
    """The tree of `plan`. A unit's parent is its deepest need, the first declared of several. O(units + needs)."""
    return _Builder(plan, times, dots).build()


class _Builder:
    """One pass over the plan, without recursion: chains may be longer than Python's stack."""

    def __init__(self, plan: ExecutionPlan, times: str, dots: str) -> None:
        self._plan = plan
        self._times, self._dots = times, dots
        self._names = tuple(clean(unit.id) or "?" for unit in plan.table)
        self._groups: list[Family] = []
        self._units: list[int] = []
        self._families: list[int] = []
        self._parents: list[int] = []
        self._depths: list[int] = []
        self._lasts: list[bool] = []
        self._node_of = [-1] * len(plan)
        self._family_of = [-1] * len(plan)

    def build(self) -> TreeLayout:
        plan = self._plan
        children: list[list[int]] = [[] for _ in plan.table]
        roots: list[int] = []
        depth = plan.depths.__getitem__
        for number, needs in enumerate(plan.needs):
            (children[max(needs, key=depth)] if needs else roots).append(number)
        self._walk(roots, children)
        nodes = len(self._units)
        ends = [node + 1 for node in range(nodes)]
        for node in range(nodes - 1, -1, -1):
            if (parent := self._parents[node]) >= 0 and ends[parent] < ends[node]:
                ends[parent] = ends[node]
        return TreeLayout(
            plan=plan,
            names=self._names,
            groups=tuple(self._groups),
            units=self._units,
            families=self._families,
            parents=self._parents,
            depths=self._depths,
            ends=ends,
            lasts=self._lasts,
            node_of=self._node_of,
            family_of=self._family_of,
            family_nodes=tuple(node for node, family in enumerate(self._families) if family >= 0),
        )

    def _walk(self, roots: list[int], children: list[list[int]]) -> None:
        # entries of the stack: (items of one family to fold, or a single unit; parent; depth; last of its siblings)
        stack: list[tuple[list[int], int, int, bool]] = []
        self._push(stack, roots, -1, 0)
        while stack:
            items, parent, depth, last = stack.pop()
            if len(items) == 1:
                node = self._add(items[0], -1, parent, depth, last)
                self._node_of[items[0]] = node
                below = children[items[0]]
            else:
                node = self._add_family(items, parent, depth, last)
                below = [child for item in items for child in children[item]]
            if below:
                self._push(stack, below, node, depth + 1)

    def _push(
        self, stack: list[tuple[list[int], int, int, bool]], siblings: list[int], parent: int, depth: int
    ) -> None:
        entries = [items for group in self._by_family(siblings) for items in self._split(group)]
        for place, items in enumerate(reversed(entries)):
            stack.append((items, parent, depth, place == 0))

    def _by_family(self, siblings: list[int]) -> list[list[int]]:
        by_family: dict[str, list[int]] = {}
        for number in siblings:
            by_family.setdefault(family_name(self._plan.table[number]), []).append(number)
        return list(by_family.values())

    def _split(self, group: list[int]) -> list[list[int]]:
        return [group] if len(group) >= FOLD_FROM else [[number] for number in group]

    def _add(self, unit: int, family: int, parent: int, depth: int, last: bool) -> int:
        self._units.append(unit)
        self._families.append(family)
        self._parents.append(parent)
        self._depths.append(depth)
        self._lasts.append(last)
        return len(self._units) - 1

    def _add_family(self, items: list[int], parent: int, depth: int, last: bool) -> int:
        family = len(self._groups)
        name = clean(family_name(self._plan.table[items[0]])) or "?"
        self._groups.append(Family(name=name, label=self._label(name, items), members=tuple(items)))
        node = self._add(-1, family, parent, depth, last)
        for item in items:
            self._node_of[item] = self._add(item, -1, node, depth + 1, False)
            self._family_of[item] = family
        return node

    def _label(self, name: str, items: list[int]) -> str:
        """``extract[0..199]`` for a gapless run of numbers, else ``extract ×30``."""
        found = [_NUMBERED.match(self._names[item]) for item in items]
        numbers = [int(match[1]) for match in found if match and len(match[1]) < 10]
        if len(numbers) == len(items) and numbers == list(range(numbers[0], numbers[0] + len(items))):
            return f"{name}[{numbers[0]}{self._dots}{numbers[-1]}]"
        return f"{name} {self._times}{len(items)}"
