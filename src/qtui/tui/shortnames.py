"""Names of units where there is little room: what a family shares is cut first, what tells its units apart last. Pure.

What a family shares is found once for each layout, and not before one of its names is too long for its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.plan import ExecutionPlan
from qtui.tui.layout import family_name
from qtui.tui.text import begin_of_all, cut_end, cut_middle

_KEY: Final = re.compile(r"(,[^,=\]]*=)")
_FAMILY: Final = re.compile(r"[^\[]*\[")
_WORD: Final = re.compile(r"[\w.+-]*$")
"""What is not cut in two: a word, a number, a date."""


class _Column(NamedTuple):
    """What all texts of a column share: so many characters at the begin and at the end, or all."""

    before: int
    behind: int
    same: bool


class _Family(NamedTuple):
    """Whether the names are split at their keys (``,shard=``), and what the pieces have in common."""

    split: bool
    columns: tuple[_Column, ...]

    def parts(self, name: str) -> Parts:
        """What `name` shares with the others, and what is its own."""
        head = ""
        pairs: list[tuple[str, str]] = []
        for at, piece in enumerate(_KEY.split(name) if self.split else [name]):
            column = self.columns[at // 2]
            if at % 2 or column.same:
                before, own, behind = piece, "", ""
            else:
                end = len(piece) - column.behind
                before, own, behind = piece[: column.before], piece[column.before : end], piece[end:]
            if pairs:
                pairs[-1] = pairs[-1][0], pairs[-1][1] + before
            else:
                head += before
            pairs += [(own, behind)] if not at % 2 and not column.same else []
        return Parts(head, tuple(pairs))


class Parts(NamedTuple):
    """A name: its `head`, which it shares with the family, then pairs of what is its own and what is shared again."""

    head: str
    pairs: tuple[tuple[str, str], ...]

    def within(self, width: int, ellipsis: str) -> str:
        """The name in at most `width` cells: ``import[table=users,shard=1]``, ``import[…users,shard=1]``,
        ``imp…users…1]``, ``users…1``."""
        family = _FAMILY.match(self.head)
        whole = "".join(own + shared for own, shared in self.pairs)
        tight = "".join(own + (shared if cell_len(shared) <= 1 else ellipsis) for own, shared in self.pairs)
        for rest, least in ((whole, family.end() if family else 0), (tight, 0)):
            room = width - cell_len(rest)
            if room >= min(least + 1, len(self.head)):
                return (cut_end(self.head, room, ellipsis) if room != 1 else self.head and ellipsis) + rest
        owns = [own for own, _ in self.pairs]
        while cell_len(ellipsis.join(owns)) > width and (most := max(map(cell_len, owns))) > 1:
            at = next(at for at, own in enumerate(owns) if cell_len(own) == most)
            owns[at] = cut_middle(self.pairs[at][0], most - 1, ellipsis)
        return cut_end(ellipsis.join(owns).replace(2 * ellipsis, ellipsis), width, ellipsis)

    def least(self, ellipsis: str) -> int:
        """The cells in which all that is its own has room, as ``…users…1]``."""
        tight = sum(cell_len(own) + min(cell_len(shared), 1) for own, shared in self.pairs)
        return tight + (cell_len(ellipsis) if self.head else 0)


class ShortNames:
    """The names of the units of a plan, which `names` has by unit, in as many cells as there are."""

    def __init__(self, plan: ExecutionPlan, names: Sequence[str]) -> None:
        self._plan, self._names = plan, names
        self._known: dict[str, _Family | None] = {}

    def within(self, unit: int, width: int, ellipsis: str) -> str:
        """The name of `unit` in at most `width` cells; of one that has no family, or is newer than the layout, the
        middle is cut."""
        name = self._names[unit]
        if cell_len(name) <= width:
            return name
        parts = self._parts(unit)
        return parts.within(width, ellipsis) if parts is not None else cut_middle(name, width, ellipsis)

    def least(self, unit: int, ellipsis: str) -> int:
        """The cells without which the name of `unit` could be that of another of its family; 0 if it has none."""
        parts = self._parts(unit)
        return parts.least(ellipsis) if parts is not None else 0

    def _parts(self, unit: int) -> Parts | None:
        if unit >= len(self._plan) or not self._names[unit].endswith("]"):
            return None
        name = family_name(self._plan.table[unit])
        if name not in self._known:
            self._known[name] = _family([self._names[each] for each in self._members.get(name, ())])
        family = self._known[name]
        return family.parts(self._names[unit]) if family is not None else None

    @cached_property
    def _members(self) -> dict[str, list[int]]:
        """The units that are items, by family. O(units)."""
        found: dict[str, list[int]] = {}
        for number, unit in enumerate(self._plan.table):
            if unit.id.endswith("]"):
                found.setdefault(family_name(unit), []).append(number)
        return found


def _family(names: Sequence[str]) -> _Family | None:
    """What these names share; None if there is nothing to tell apart."""
    if len(set(names)) < 2:
        return None
    rows = [_KEY.split(name) for name in names]
    split = len({tuple(row[1::2]) for row in rows}) == 1
    columns = zip(*(row[::2] for row in rows), strict=True) if split else [names]
    return _Family(split, tuple(map(_column, columns)))


def _column(texts: Sequence[str]) -> _Column:
    if len(set(texts)) == 1:
        return _Column(0, 0, same=True)
    before = len(_WORD.sub("", begin_of_all(texts)))
    ends = begin_of_all([text[before:][::-1] for text in texts])
    return _Column(before, len(_WORD.sub("", ends)), same=False)
