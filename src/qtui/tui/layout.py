"""The nodes of a view of a plan: every unit once, under one parent chosen once. Pure; see `laying` for how it is made.

A *node* is a unit or a *bundle*: a family (six or more siblings that are items of one unit, or that a unit has added
and numbered), an item of a group, a group, or an included workflow. What a bundle holds stands *inside*, right under
it; what depends on it stands *below*, after that, so that folding a bundle moves nothing else. Nodes are numbered in
the order of the screen, so rows are an ascending list of node numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from qtui.core.model import QuantumUnit, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.tui.scopes import Kind
from qtui.tui.text import clean

FINISHED: Final = frozenset({UnitState.COMPLETED, UnitState.SKIPPED})
"""The states of units that need nobody's eyes any more."""

Key = int | tuple[str, str, int]
"""What a node is the same by when the plan has grown: the unit, or the kind and name of a bundle."""


class Bundle(NamedTuple):
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

    def rows(
        self,
        *,
        unfolded: Collection[int],
        closed: Collection[int],
        exposed: Collection[int],
        without: Collection[int] = (),
    ) -> list[int]:
        """The nodes on show, in order: bundles fold unless in `unfolded`, but for what they hold that is `exposed`;
        nothing is shown below the nodes in `closed`, and neither the nodes in `without` nor what is inside of them and
        below. All of them are node numbers."""
        rows: list[int] = []
        shown = sorted(exposed)

        def walk(node: int, end: int) -> None:
            while node < end:
                if node in without:
                    node = self.ends[node]
                    continue
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

    def matching(
        self, found: Collection[int], *, unfolded: Collection[int] = (), exposed: Collection[int] = ()
    ) -> tuple[list[int], set[int]]:
        """The rows for units that were found: their nodes and those above them; and the former. O(nodes).

        A family, item or group all of whose units were found stands for them unless it is `unfolded`, but for the nodes
        in `exposed`. Both are node numbers.
        """
        inside = [0] * len(self.bundles)
        found = [unit for unit in found if unit < len(self.node_of)]
        for unit in found:
            around = self.bundle_of[unit]
            while around >= 0:
                inside[around] += 1
                around = self.bundles[around].around
        hits: set[int] = set()
        standing: set[int] = set()
        for count, bundle, node in zip(inside, self.bundles, self.bundle_nodes, strict=True):
            if count < len(bundle.units) or bundle.kind is Kind.WORKFLOW or node in unfolded:
                continue
            # what is around comes first among the bundles
            for_it = bundle.around >= 0 and self.bundle_nodes[bundle.around] in standing
            if not for_it or node in exposed:
                hits.add(node)
            standing.add(node)
        for unit in found:
            node, around = self.node_of[unit], self.bundle_of[unit]
            if around < 0 or self.bundle_nodes[around] not in standing or node in exposed:
                hits.add(node)
        shown = set(hits)
        for node in hits:
            above = self.parents[node]
            while above >= 0 and above not in shown:
                shown.add(above)
                above = self.parents[above]
        return sorted(shown), hits

    def finished(self, states: Sequence[UnitState]) -> set[int]:
        """The nodes in which, and below which, all has ended well or was skipped. O(nodes)."""
        going = [False] * len(self.units)
        for node in range(len(self.units) - 1, -1, -1):
            unit, parent = self.units[node], self.parents[node]
            if (going[node] or (unit >= 0 and states[unit] not in FINISHED)) and parent >= 0:
                going[parent] = True
            if unit >= 0 and states[unit] not in FINISHED:
                going[node] = True
        return {node for node, goes_on in enumerate(going) if not goes_on}


def family_name(unit: QuantumUnit) -> str:
    """What the items of one unit have in common: ``embed`` of ``embed[shard=3]``; of others the id."""
    if unit.family:
        return unit.family
    if not unit.id.endswith("]"):
        return unit.id
    return unit.id.partition("[")[0] or unit.id


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


def add_names(names: list[str], plan: ExecutionPlan) -> None:
    """Append the names, fit for the screen, of the units by which `plan` has grown."""
    names += [clean(unit.id) or "?" for unit in plan.table[len(names) :]]
