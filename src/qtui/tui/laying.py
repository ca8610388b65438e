"""Laying out: which node a unit is, and what stands inside of what and below what. Pure; made when the plan changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from qtui.core.plan import ExecutionPlan
from qtui.tui.layout import Bundle, TreeLayout, add_names, family_name
from qtui.tui.scopes import TOP, Kind, Structure, structure_of
from qtui.tui.text import clean

FOLD_FROM: Final = 6
SMALL_GRID: Final = 12
"""Items of a group that is a grid from the start; a larger one begins folded."""
_STEM: Final = re.compile(r"(.*?\D)\d+", re.DOTALL)
_NUMBERED: Final = re.compile(r"(?:.*\D)?(\d+)\D?$", re.DOTALL)


def lay_out(
    plan: ExecutionPlan, *, names: list[str] | None = None, times: str = "×", dots: str = "..", levels: bool = False
) -> TreeLayout:
    """The tree of `plan` by what depends on what, or with `levels` by level; `names` are those of an earlier layout of
    it. O(units + needs).

    By dependency a unit's parent is its deepest need, the first declared of several; see `structure_of`. By level
    nothing stands below anything: the units of one family and level are one row, and so are the items of a group, at
    the level of its first unit.
    """
    names = [] if names is None else names
    add_names(names, plan)
    return (_LevelsBuilder if levels else _Builder)(plan, names, times, dots).build()


_Entity = int | list[int]
"""What becomes one node: a unit or scope, or the units of a family."""

# Siblings that are being laid out: the rest of them, the last one, parent, depth, whether they are inside of the
# parent, and the bundle around. A node is unit, bundle, parent, depth, last, member. Plain tuples: there are ten
# thousands of them.
_Siblings = tuple[Iterator[_Entity], _Entity | None, int, int, bool, int]
_Node = tuple[int, int, int, int, bool, bool]


class _Builder:
    """One pass over the structure, without recursion: chains may be longer than Python's stack."""

    def __init__(self, plan: ExecutionPlan, names: list[str], times: str, dots: str) -> None:
        self._plan = plan
        self._names = names
        self._times, self._dots = times, dots
        self._structure: Structure = structure_of(plan)
        self._held: list[list[int]] = [[] for _ in self._structure.scopes]
        for number, scope in enumerate(self._structure.scope_of if self._held else ()):
            while scope != TOP:
                self._held[scope].append(number)
                scope = self._structure.scopes[scope].around
        self._bundles: list[Bundle] = []
        self._bundle_nodes: list[int] = []
        self._nodes: list[_Node] = []
        self._node_of = [-1] * len(plan)
        self._bundle_of = [-1] * len(plan)

    def build(self) -> TreeLayout:
        self._walk()
        units, bundle_at, parents, depths, lasts, members = zip(*self._nodes, strict=True)
        inner_ends, ends = _ends(parents, members)
        return TreeLayout(
            plan=self._plan,
            names=self._names,
            bundles=tuple(self._bundles),
            units=units,
            bundle_at=bundle_at,
            parents=parents,
            depths=depths,
            inner_ends=inner_ends,
            ends=ends,
            lasts=lasts,
            members=members,
            node_of=self._node_of,
            bundle_of=self._bundle_of,
            bundle_nodes=self._bundle_nodes,
            opened=self._opened(),
            adders=self._structure.adders,
            places={bundle.key: node for bundle, node in zip(self._bundles, self._bundle_nodes, strict=True)},
        )

    def _opened(self) -> frozenset[int]:
        """Groups and workflows that take fewer rows than a family that folds; an item's row shows all of it."""
        if not self._held:
            return frozenset()  # without groups and workflows, as large plans often are
        count = len(self._nodes)
        inside, below = [0] * count, [0] * count
        opened = set()
        for at in range(count - 1, -1, -1):
            _, bundle, parent, _, _, member = self._nodes[at]
            rows = 1 + below[at]
            if bundle >= 0 and inside[at] < FOLD_FROM and self._bundles[bundle].kind in (Kind.GROUP, Kind.WORKFLOW):
                opened.add(at)
                rows += inside[at]
            if parent >= 0:
                (inside if member else below)[parent] += rows
        return frozenset(opened)

    def _walk(self) -> None:
        roots, children, nodes = self._structure.roots, self._structure.children, self._nodes
        node_of, bundle_of = self._node_of, self._bundle_of
        stack = [self._siblings(roots[TOP], -1, 0, False, -1)]
        while stack:
            entities, final, parent, depth, member, around = stack[-1]
            for entity in entities:
                node = len(nodes)
                if isinstance(entity, list):
                    self._add_family(entity, parent, depth, entity is final, member, around)
                    below = [child for unit in entity for child in children.get(unit, ())]
                elif entity >= 0:
                    node_of[entity], bundle_of[entity] = node, around
                    nodes.append((entity, -1, parent, depth, entity == final, member))
                    if entity not in children:
                        continue  # most units of large plans
                    below = children[entity]
                else:
                    self._add_bundle(self._scope(~entity, around), parent, depth, entity == final, member)
                    below = children.get(entity, [])
                if below:
                    stack.append(self._siblings(below, node, depth + 1, False, around))
                if isinstance(entity, int) and entity < 0:
                    stack.append(self._siblings(roots[~entity], node, depth + 1, True, len(self._bundles) - 1))
                break  # what stands inside and below comes before the next sibling
            else:
                stack.pop()

    def _siblings(self, siblings: list[int], parent: int, depth: int, member: bool, around: int) -> _Siblings:
        """What is laid out next, families together."""
        entities: Sequence[_Entity] = siblings
        if len(siblings) >= FOLD_FROM:
            families = [self._family(entity) if entity >= 0 else entity for entity in siblings]
            if len(set(families)) < len(families):
                entities = _together(siblings, families)
        return iter(entities), None if member else entities[-1], parent, depth, member, around

    def _add_bundle(self, bundle: Bundle, parent: int, depth: int, last: bool, member: bool) -> None:
        self._bundle_nodes.append(len(self._nodes))
        self._nodes.append((-1, len(self._bundles), parent, depth, last, member))
        self._bundles.append(bundle)

    def _add_family(self, units: list[int], parent: int, depth: int, last: bool, member: bool, around: int) -> None:
        name = clean(self._family(units[0])) or "?"
        label = self._family_label(name, units)
        node, inside = len(self._nodes), len(self._bundles)
        bundle = Bundle(kind=Kind.FAMILY, name=name, label=label, units=tuple(units), around=around)
        self._add_bundle(bundle, parent, depth, last, member)
        for at, unit in enumerate(units, node + 1):
            self._node_of[unit], self._bundle_of[unit] = at, inside
            self._nodes.append((unit, -1, node, depth + 1, False, True))

    def _scope(self, at: int, around: int) -> Bundle:
        kind, scope_name, _ = self._structure.scopes[at]
        units = tuple(self._held[at])
        label = name = clean(scope_name) or "?"
        if kind is Kind.WORKFLOW:
            label = f"{name}.*"
        elif kind is Kind.GROUP:
            items = {self._plan.table[unit].item for unit in units} - {""}
            label = f"{name} {self._times}{len(items)}"
        return Bundle(kind=kind, name=name, label=label, units=units, around=around)

    def _family(self, unit: int) -> str:
        """The name that a unit shares with its family: of units that are added in a loop what stands before a number,
        as in ``part_`` of ``part_17``."""
        definition = self._plan.table[unit]
        name = family_name(definition)
        if unit in self._structure.adders and name == definition.id and (stem := _STEM.fullmatch(name)):
            return stem[1]
        return name

    def _family_label(self, name: str, items: list[int]) -> str:
        """``extract[0..199]`` for a gapless run of numbers, else ``extract ×30``; ``part_0..199`` without brackets."""
        found = [_NUMBERED.match(self._names[item]) for item in items]
        numbers = [int(match[1]) for match in found if match and len(match[1]) < 10]
        if len(numbers) == len(items) and numbers == list(range(numbers[0], numbers[0] + len(items))):
            run = f"{numbers[0]}{self._dots}{numbers[-1]}"
            return f"{name}[{run}]" if self._names[items[0]].endswith("]") else f"{name}{run}"
        return f"{name} {self._times}{len(items)}"


class _LevelsBuilder(_Builder):
    """Rows by level: units, families, and groups with their items inside."""

    def _walk(self) -> None:
        plan, depths = self._plan, self._plan.depths
        rows: dict[tuple[int, str], list[int]] = {}
        groups: dict[int, int] = {}
        for number in range(len(plan)):
            group = self._group_of(number)
            if group != TOP:
                groups[group] = min(groups.get(group, depths[number]), depths[number])
            else:
                rows.setdefault((depths[number], self._family(number)), []).append(number)
        entries = [(level, units[0], units) for (level, _), units in rows.items()]
        entries += [(level, self._held[group][0], [~group]) for group, level in groups.items()]
        entries.sort(key=lambda entry: entry[:2])
        for _, _, entities in entries:
            if entities[0] < 0:
                self._add_group(~entities[0])
            elif len(entities) > 1:
                self._add_family(entities, -1, 0, False, False, -1)
            else:
                self._add_unit(entities[0], -1, 0, -1)

    def _opened(self) -> frozenset[int]:
        """Groups that are small enough for a grid from the start."""
        nodes = zip(self._bundles, self._bundle_nodes, strict=True)
        return frozenset(
            node
            for at, (bundle, node) in enumerate(nodes)
            if bundle.kind is Kind.GROUP and sum(other.around == at for other in self._bundles) <= SMALL_GRID
        )

    def _group_of(self, number: int) -> int:
        """The group whose row shows the unit, or TOP."""
        scopes, found = self._structure.scopes, TOP
        at = self._structure.scope_of[number]
        while at != TOP:
            if scopes[at].kind is Kind.GROUP:
                found = at
            at = scopes[at].around
        return found

    def _add_group(self, group: int) -> None:
        node, inside = len(self._nodes), len(self._bundles)
        self._add_bundle(self._scope(group, -1), -1, 0, False, False)
        items: dict[int, list[int]] = {}
        for number in self._held[group]:
            item = self._item_of(number)
            items.setdefault(~number if item == TOP else item, []).append(number)
        for item, units in items.items():
            if item < 0:
                self._add_unit(units[0], node, 1, inside)
                continue
            at, around = len(self._nodes), len(self._bundles)
            self._add_bundle(self._scope(item, inside), node, 1, False, True)
            for number in units:
                self._add_unit(number, at, 2, around)

    def _item_of(self, number: int) -> int:
        """The item that is a row of its own, with all of its units, or TOP."""
        at = self._structure.scope_of[number]
        while at != TOP and self._structure.scopes[at].kind is not Kind.ITEM:
            at = self._structure.scopes[at].around
        return at

    def _add_unit(self, number: int, parent: int, depth: int, around: int) -> None:
        self._node_of[number], self._bundle_of[number] = len(self._nodes), around
        self._nodes.append((number, -1, parent, depth, False, around >= 0))


def _together(siblings: list[int], families: Sequence[str | int]) -> list[_Entity]:
    """Siblings of one family one after another, as one where there are enough of them."""
    by_family: dict[str | int, list[int]] = {}
    for entity, family in zip(siblings, families, strict=True):
        by_family.setdefault(family, []).append(entity)
    entities: list[_Entity] = []
    for group in by_family.values():
        entities += [group] if len(group) >= FOLD_FROM else group
    return entities


def _ends(parents: Sequence[int], members: Sequence[bool]) -> tuple[list[int], list[int]]:
    """By node: the node behind what is inside, and the node behind the subtree."""
    count = len(parents)
    inner_ends, ends = list(range(1, count + 1)), list(range(1, count + 1))
    for node in range(count - 1, -1, -1):
        parent = parents[node]
        if parent < 0:
            continue
        end = ends[node]
        if end > ends[parent]:
            ends[parent] = end
        if members[node] and end > inner_ends[parent]:
            inner_ends[parent] = end
    return inner_ends, ends
