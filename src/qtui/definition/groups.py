"""Groups: units that are repeated together for each of some items; and what a single unit is repeated for."""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from qtui.core.errors import InvalidWorkflow, did_you_mean
from qtui.core.model import EMPTY
from qtui.core.options import Brake
from qtui.definition.drafts import Draft, Surroundings
from qtui.definition.expressions import fill, has_expression
from qtui.definition.keys import Key, Templates, read_table
from qtui.definition.limits import over_limits
from qtui.definition.matrix import Item, Matrix, column_fault
from qtui.definition.report import Locate, Report
from qtui.definition.values import Fault, Path, Rejected, expected, quoted
from qtui.definition.workflow_keys import GROUP_KEYS

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The items by label, the slots that each holds from its first start to its last end, and the brake on all."""

    name: str
    items: Mapping[str, Item]
    names: tuple[str, ...]
    pools: Mapping[str, int] = field(default_factory=dict)
    brake: Brake | None = None

    def over(self, pools: Mapping[str, int]) -> Iterator[Fault]:
        """A fault for each pool of which a unit wants more than its item holds; the unit gets no slots beside those."""
        for name, count in pools.items():
            held = self.pools.get(name, count)
            if count > held:
                message = f"asks for {count} slots of {quoted(name)}, but an item of its group holds {held}"
                yield Fault(message, f"give [groups.{self.name}] {count} slots of it", ("pools",), name)


Groups = Mapping[str, Group | None]
"""The groups by name; None stands for one whose faults are reported."""


class Place(NamedTuple):
    """What tells one of the units that a draft stands for from the others: all values, and the item of the group."""

    label: str
    values: Item
    item: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a draft is made once for each of: the items of its group, times those of its own matrix."""

    group: Group | None = None
    matrix: Matrix | None = None

    @property
    def count(self) -> int:
        """How many units that makes before some are taken out."""
        items = len(self.group.items) if self.group is not None else 1
        return items * self.matrix.count if self.matrix is not None else items

    def places(self) -> Iterator[Place]:
        """The units in order, those of an item of the group side by side; raises `Rejected` if they cannot be told."""
        own: Mapping[str, Item] = {"": EMPTY}
        if self.matrix is not None:
            own = {self.matrix.label(item): item for item in self.matrix.expand()}
        if self.group is None:
            yield from (Place(label, values) for label, values in own.items())
            return
        both = [name for name in (self.matrix.names if self.matrix is not None else ()) if name in self.group.names]
        if both:
            message = f"{quoted(both[0])} is also in the matrix of the group {self.group.name}"
            raise Rejected(Fault(message, "rename one of them"))
        for name in self.matrix.names if self.matrix is not None else ():
            if (fault := column_fault(name, self.group.names)) is not None:
                raise Rejected(fault.under(name))
        for item, values in self.group.items.items():
            for label, more in own.items():
                yield Place(f"{item[:-1]},{label[1:]}" if label else item, {**values, **more}, item)


def resolve_matrix(given: Any, around: Surroundings, locate: Locate, path: Path, report: Report) -> Matrix | None:
    """The matrix that is written at `path`; None if it has faults, which are reported."""
    scope = {"params": around.params, "env": ChainMap(dict(around.env), os.environ)}
    try:
        return Matrix.resolve(given, scope, around.rows)
    except Rejected as rejected:
        report.add(locate, path, *rejected.faults)
    except InvalidWorkflow as error:  # faults in a file of rows have places of their own
        report.extend(error.problems)
    return None


def read_groups(
    tables: Mapping[str, Any], drafts: Iterable[Draft], around: Surroundings, locate: Locate, report: Report
) -> Groups:
    """The groups in the tables of ``[groups]``; faults are reported, and so is a group that none of `drafts` is in."""
    groups = {name: _read_group(name, given, around, locate, report) for name, given in tables.items()}
    named = [name for draft in drafts if isinstance(name := draft.keys.get("group"), str)]
    for name in groups:
        if name not in named:
            hint = did_you_mean(name, [other for other in named if other not in groups])
            fault = Fault("no unit is in this group", hint or f'give its units the key group = "{name}"')
            report.add(locate, ("groups", name), fault)
    return groups


def group_of(draft: Draft, groups: Groups) -> Group | None:
    """The group that a draft is in, if any; raises `Rejected`, without a fault if that is told elsewhere."""
    name = draft.keys.get("group")
    if name is None:
        return None
    if not isinstance(name, str):
        raise Rejected
    if has_expression(name):
        raise Rejected(Fault("a group is named as it is", "write its name, without ${{ }}", (), name))
    if name not in groups:
        declared = f"groups={{{quoted(name)}: {{...}}}}" if draft.in_python else f"[groups.{name}]"
        hint = did_you_mean(name, groups) or f"declare it: {declared}"
        raise Rejected(Fault(f"there is no group {quoted(name)}", hint, (), name))
    group = groups[name]
    if group is None:
        raise Rejected
    return group


def _read_group(name: str, given: Any, around: Surroundings, locate: Locate, report: Report) -> Group | None:
    path = ("groups", name)
    faults: list[Fault] = []
    if not _NAME.fullmatch(name):
        faults.append(Fault(f"{quoted(name)} cannot be the name of a group", "use letters, digits, _ and -"))
    if not isinstance(given, Mapping):
        report.add(locate, path, *faults, *expected("a table", given).faults)
        return None

    def filled(key: Key, value: Any) -> Any:
        return fill(value, {"params": around.params, "env": os.environ}, keep_type=key.templates is Templates.VALUE)

    parsed, own_faults = read_table({key: value for key, value in given.items() if key != "matrix"}, GROUP_KEYS, filled)
    faults += own_faults
    if "matrix" not in given:
        faults.append(Fault("matrix is missing", 'write matrix = { sample = ["a", "b"] } or { file = "samples.tsv" }'))
    faults += over_limits(parsed, around)
    report.add(locate, path, *faults)
    if "matrix" not in given:
        return None
    matrix = resolve_matrix(given["matrix"], around, locate, (*path, "matrix"), report)
    if matrix is None:
        return None
    try:
        items = {matrix.label(item): item for item in matrix.expand()}
    except Rejected as rejected:
        report.add(locate, (*path, "matrix"), *rejected.faults)
        return None
    return Group(name=name, items=items, names=matrix.names, **parsed)
