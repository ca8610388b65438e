"""The tree of a plan: every unit once, under one parent chosen once. Pure, and laid out only when the plan changes.

A *node* is a unit or a *bundle*: a family (six or more siblings that are items of one unit, or that a unit has added
and numbered), an item of a group, a group, or an included workflow. What a bundle holds stands *inside*, right under
it; what depends on it stands *below*, after that, so that folding a bundle moves nothing else. Nodes are numbered in
the order of the screen, so rows are an ascending list of node numbers.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qtui.core.model import QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.tui.scopes import TOP, Kind, Structure, structure_of
from qtui.tui.text import clean

FOLD_FROM: Final = 6
_STEM: Final = re.compile(r"(.*?\D)\d+", re.DOTALL)
_NUMBERED: Final = re.compile(r"(?:.*\D)?(\d+)\D?$", re.DOTALL)

Key = int | tuple[str, str, int]
"""What a node is the same by when the plan has grown: the unit, or the kind and name of a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Units with a row of their own; `label` is what that is called (``extract[0..199]``), `units` are all that are
    inside, and `around` is the bundle that it is inside of, or -1."""

    kind: Kind
    name: str
    label: str
    units: tuple[int, ...]
    around: int

    @property
    def key(self) -> Key:
        """The same for the same bundle of a later layout; families of one name differ by their first unit."""
        return (self.kind, self.name, self.units[0] if self.kind is Kind.FAMILY else -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLayout:
    """The nodes of a tree. By node: `units`, the unit or -1; `bundle_at`, the bundle or -1; `parents`, the node above
    or -1; `depths`; `inner_ends`, the node behind what is inside; `ends`, the node behind the subtree; `lasts`, whether
    it is the last of its siblings; `members`, whether it stands right inside of the bundle above.
    By unit: `node_of`, and `bundle_of`, the innermost bundle that holds it or -1. By bundle: `bundle_nodes`. `opened`
    are the bundles so small that they need not be folded. `adders` has the unit that added another. `names`, by unit,
    is one list for all layouts of a plan that grows: see `add_names`."""

    plan: ExecutionPlan
    names: list[str]
    bundles: tuple[Bundle, ...]
    units: Sequence[int]
    bundle_at: Sequence[int]
    parents: Sequence[int]
    depths: Sequence[int]
    inner_ends: Sequence[int]
    ends: Sequence[int]
    lasts: Sequence[bool]
    members: Sequence[bool]
    node_of: Sequence[int]
    bundle_of: Sequence[int]
    bundle_nodes: Sequence[int]
    opened: frozenset[int]
    places: Mapping[Key, int]
    adders: Mapping[int, int]

    def __len__(self) -> int:
        return len(self.units)

    def bundle(self, node: int) -> Bundle | None:
        """The bundle whose row this is, or None for a unit."""
        at = self.bundle_at[node]
        return self.bundles[at] if at >= 0 else None

    def label(self, node: int) -> str:
        """What the row is called."""
        bundle = self.bundle(node)
        return bundle.label if bundle is not None else self.names[self.units[node]]

    def children(self, node: int) -> bool:
        """True if anything stands below the node, not counting what is inside of it."""
        return self.ends[node] > self.inner_ends[node]

    def units_under(self, node: int) -> Sequence[int]:
        """The units of a row: the unit, or all that the bundle holds."""
        bundle = self.bundle(node)
        return bundle.units if bundle is not None else (self.units[node],)

    def ancestors(self, node: int) -> list[int]:
        """The nodes above, nearest first."""
        above = []
        while (node := self.parents[node]) >= 0:
            above.append(node)
        return above

    def holders(self, node: int) -> list[int]:
        """The nodes of the bundles that the node is inside of, innermost first."""
        at = self.bundle_at[node]
        at = self.bundles[at].around if at >= 0 else self.bundle_of[self.units[node]]
        found = []
        while at >= 0:
            found.append(self.bundle_nodes[at])
            at = self.bundles[at].around
        return found

    def exposing(self, unit: int) -> int:
        """The node that shows a unit in trouble where its bundles are folded: its item's row tells enough."""
        at = self.bundle_of[unit]
        while at >= 0:
            if self.bundles[at].kind is Kind.ITEM:
                return self.bundle_nodes[at]
            at = self.bundles[at].around
        return self.node_of[unit]

    def key(self, node: int) -> Key:
        """What finds the node again in a later layout."""
        bundle = self.bundle(node)
        return bundle.key if bundle is not None else self.units[node]

    def node(self, key: Key) -> int | None:
        """The node with this key, or None."""
        return self.node_of[key] if isinstance(key, int) else self.places.get(key)

    def node_like(self, node: int, before: TreeLayout) -> int:
        """The node for what was at `node` of a layout of another plan, by the ids of units; of what is no more, the
        node for what it stood below, and the first node where nothing of that is left."""
        for old in (node, *before.ancestors(node)):
            units = before.units_under(old)
            found = (self.plan.numbers.get(before.plan.table[unit].id, -1) for unit in units)
            numbers = [number for number in found if number >= 0]
            if not numbers:
                continue
            bundle = before.bundle(old)
            if bundle is not None:
                first = min(numbers) if bundle.kind is Kind.FAMILY else -1
                place = self.places.get((bundle.kind, bundle.name, first))
                if place is not None:
                    return place
            return self.node_of[numbers[0]]
        return 0

    def rows(self, *, unfolded: Collection[int], closed: Collection[int], exposed: Collection[int]) -> list[int]:
        """The nodes on show, in order: bundles fold unless in `unfolded`, but for what they hold that is `exposed`;
        nothing is shown below the nodes in `closed`. All of them are node numbers."""
        rows: list[int] = []
        shown = sorted(exposed)

        def walk(node: int, end: int) -> None:
            while node < end:
                rows.append(node)
                if self.bundle_at[node] >= 0:
                    inside(node)
                node = self.ends[node] if node in closed else self.inner_ends[node]

        def inside(node: int) -> None:
            end = self.inner_ends[node]
            if node in unfolded:
                walk(node + 1, end)
                return
            at = bisect_left(shown, node + 1)
            while at < len(shown) and shown[at] < end:
                outermost = shown[at]
                for holder in self.holders(outermost):
                    if holder <= node:
                        break
                    outermost = holder
                rows.append(outermost)
                if self.bundle_at[outermost] >= 0:
                    inside(outermost)
                at = bisect_left(shown, self.inner_ends[outermost])

        walk(0, len(self.units))
        return rows

    def matching(self, text: str, *, exposed: Collection[int] = ()) -> tuple[list[int], set[int]]:
        """The rows for a filter: nodes whose name holds `text` (any case) and those above them; and the former.

        A family, item or group that matches by name stands for what it holds, but for the nodes in `exposed`.
        """
        wanted = text.lower()
        hits: set[int] = set()
        standing: set[int] = set()
        for bundle, node in zip(self.bundles, self.bundle_nodes, strict=True):
            # what is around comes first among the bundles
            for_it = bundle.around >= 0 and self.bundle_nodes[bundle.around] in standing
            if wanted in bundle.label.lower() and (not for_it or node in exposed):
                hits.add(node)
            if for_it or (wanted in bundle.label.lower() and bundle.kind is not Kind.WORKFLOW):
                standing.add(node)
        for unit, node in enumerate(self.node_of):
            around = self.bundle_of[unit]
            for_it = around >= 0 and self.bundle_nodes[around] in standing
            if wanted in self.names[unit].lower() and (not for_it or node in exposed):
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
    own = set(units)
    by = {layout.adders[unit] for unit in units if unit in layout.adders}  # they stand below that
    needed = dict.fromkeys(need for unit in units for need in plan.needs[unit] if need not in own and need not in by)
    top = node
    while layout.members[top]:
        top = layout.parents[top]
    above = layout.parents[top]
    told = set(layout.units_under(above)) if above >= 0 else set()
    told_of = Counter(family_name(plan.table[unit]) for unit in told)
    by_family: dict[str, list[int]] = {}
    for need in needed:
        by_family.setdefault(family_name(plan.table[need]), []).append(need)
    names = []
    for family, group in by_family.items():
        inside = sum(need in told for need in group)
        if inside and (layout.bundle_at[node] >= 0 or inside == told_of[family]):
            group = [need for need in group if need not in told]  # all that there is of it above
        if group:
            names.append(layout.names[group[0]] if len(group) == 1 else f"{clean(family)} {times}{len(group)}")
    return ", ".join(names[:most]) + (f", +{len(names) - most}" if len(names) > most else "")


def row_of(rows: Sequence[int], node: int) -> int | None:
    """Where `node` is among `rows`, or None."""
    at = bisect_left(rows, node)
    return at if at < len(rows) and rows[at] == node else None


def add_names(names: list[str], plan: ExecutionPlan) -> None:
    """Append the names, fit for the screen, of the units by which `plan` has grown."""
    names += [clean(unit.id) or "?" for unit in plan.table[len(names) :]]


def lay_out(plan: ExecutionPlan, *, names: list[str] | None = None, times: str = "×", dots: str = "..") -> TreeLayout:
    """The tree of `plan`; `names` are those of an earlier layout of it. O(units + needs).

    A unit's parent is its deepest need, the first declared of several; see `structure_of`.
    """
    names = [] if names is None else names
    add_names(names, plan)
    return _Builder(plan, names, times, dots).build()


# What is to become the next node and what is inside of it: one entity, or the units of a family; then parent, depth,
# last, member, and the bundle around. Plain tuples, as are nodes (unit, bundle, parent, depth, last, member): there are
# ten thousands of them.
_Entry = tuple[list[int], int, int, bool, bool, int]
_Node = tuple[int, int, int, int, bool, bool]


class _Builder:
    """One pass over the structure, without recursion: chains may be longer than Python's stack."""

    def __init__(self, plan: ExecutionPlan, names: list[str], times: str, dots: str) -> None:
        self._plan = plan
        self._names = names
        self._times, self._dots = times, dots
        self._structure: Structure = structure_of(plan)
        self._held: list[list[int]] = [[] for _ in self._structure.scopes]
        for number, scope in enumerate(self._structure.scope_of):
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
        stack: list[_Entry] = []
        self._push(stack, roots[TOP], -1, 0, False, -1)
        while stack:
            entities, parent, depth, last, member, around = stack.pop()
            first, node = entities[0], len(nodes)
            below = children.get(first)
            if len(entities) > 1:
                self._add_family(entities, parent, depth, last, member, around)
                below = [child for unit in entities for child in children.get(unit, ())]
            elif first >= 0:
                self._node_of[first], self._bundle_of[first] = node, around
                nodes.append((first, -1, parent, depth, last, member))
            else:
                self._add_bundle(self._scope(~first, around), parent, depth, last, member)
            if below:
                self._push(stack, below, node, depth + 1, False, around)
            if first < 0:
                self._push(stack, roots[~first], node, depth + 1, True, len(self._bundles) - 1)

    def _push(
        self, stack: list[_Entry], siblings: list[int], parent: int, depth: int, member: bool, around: int
    ) -> None:
        """Have the siblings laid out next, families together."""
        if len(siblings) < FOLD_FROM:
            entries = [[entity] for entity in siblings]
        else:
            by_family: dict[str | int, list[int]] = {}
            for entity in siblings:
                by_family.setdefault(self._family(entity) if entity >= 0 else entity, []).append(entity)
            entries = []
            for group in by_family.values():
                entries += [group] if len(group) >= FOLD_FROM else [[entity] for entity in group]
        last = not member
        for entities in reversed(entries):
            stack.append((entities, parent, depth, last, member, around))
            last = False

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
        if name == definition.id and unit in self._structure.adders and (stem := _STEM.fullmatch(name)):
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


def _ends(parents: Sequence[int], members: Sequence[bool]) -> tuple[list[int], list[int]]:
    """By node: the node behind what is inside, and the node behind the subtree."""
    count = len(parents)
    inner_ends, ends = list(range(1, count + 1)), list(range(1, count + 1))
    for node in range(count - 1, -1, -1):
        parent, end = parents[node], ends[node]
        if parent >= 0 and end > ends[parent]:
            ends[parent] = end
        if members[node] and end > inner_ends[parent]:
            inner_ends[parent] = end
    return inner_ends, ends
