"""One row of the tree as styled text: a gutter of what changes often, then guides, name, cause and notes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.model import UnitState
from qtui.core.state import RunView, UnitView
from qtui.tui.bridge import Bridge
from qtui.tui.format import COUNT_ORDER, SIGNS, Glyphs, Look, cause_of, look_of_state, short_clock
from qtui.tui.layout import Bundle, TreeLayout, family_name, further_needs
from qtui.tui.roles import Role, loud
from qtui.tui.scopes import Kind
from qtui.tui.text import PLAIN, Span, clean, cut_end, cut_middle, pad

WORD_FROM: Final = 60
"""The width of the terminal, in cells, from which states are also written as words."""
MAX_DEPTH: Final = 12
"""Levels of indentation drawn; a deeper row says how deep it is instead."""
MAX_SIGNS: Final = 12
"""Units of an item that its row shows with a sign for each; of more it shows counts."""
_MIN_NAME: Final = 12


class Row(NamedTuple):
    """The two parts of a painted row; they change at different times, so they are repainted apart."""

    gutter: tuple[Span, ...]
    body: tuple[Span, ...]


def gutter_width(words: bool) -> int:
    """Cells taken by marker, sign, word and clock."""
    return 15 if words else 9


class RowPainter:
    """Makes rows from a bridge's view; keeps what can never change."""

    def __init__(self, layout: TreeLayout, bridge: Bridge, glyphs: Glyphs) -> None:
        self._layout = layout
        self._bridge = bridge
        self._glyphs = glyphs
        self._guides = cache(self._make_guides)
        self._further = cache(lambda node: further_needs(layout, node, times=glyphs.times))

    def row(self, node: int, *, now: float, width: int, words: bool, closed: bool, selected: bool) -> Row:
        """The row of `node` in `width` cells; `closed` says that what is below it is folded away."""
        room = width - gutter_width(words)
        bundle = self._layout.bundle(node)
        if bundle is not None:
            return self._bundle_row(node, bundle, now, room, words, closed, selected)
        unit = self._bridge.view.unit(self._layout.units[node])
        waits_for, look = self._bridge.waits_for(unit.number), self._bridge.look_of(unit.number)
        elapsed = unit.elapsed(now)
        gutter = self._gutter(look, "" if elapsed is None else short_clock(elapsed), words, selected)
        name = self._layout.names[unit.number]
        style = SIGNS[look].role if look in (Look.RUN, Look.FAIL, Look.TIME) else Role.TEXT
        if look in (Look.SKIP, Look.WAIT):
            style = Role.MUTED
        cause = Span(cause_of(unit, now, waits_for), _cause_role(look))
        return Row(gutter, self._body(node, [], Span(name, style), [cause], room, closed))

    def _bundle_row(
        self, node: int, bundle: Bundle, now: float, room: int, words: bool, closed: bool, selected: bool
    ) -> Row:
        counts = self._bridge.bundle_counts[self._layout.bundle_at[node]]
        view = self._bridge.view
        look = bundle_look(counts, view)
        done = sum(count for state, count in counts.items() if state.ended)
        gutter = self._gutter(look, f"{100 * done // len(bundle.units)}%", words, selected)
        if bundle.kind is Kind.ITEM and len(bundle.units) <= MAX_SIGNS:
            signs, cause = self._signs(bundle, now)
            style = Role.MUTED if look in (Look.SKIP, Look.WAIT) else Role.TEXT
            return Row(gutter, self._body(node, signs, Span(bundle.label, style), [cause], room, closed))
        badges = [
            Span(f"{count}{self._glyphs.sign(kind)}", SIGNS[kind].role) for kind, count in bundle_looks(counts, view)
        ]
        return Row(gutter, self._body(node, [], Span(bundle.label, Role.TITLE), badges, room, closed))

    def _signs(self, bundle: Bundle, now: float) -> tuple[list[Span], Span]:
        """A sign for each unit of an item, and what there is to say about the one that matters most."""
        signs: list[Span] = []
        urgent, most = None, len(_URGENCY)
        for number in bundle.units:
            unit = self._bridge.view.unit(number)
            look = self._bridge.look_of(number)
            signs.append(Span(self._glyphs.sign(look), SIGNS[look].role))
            if look in _URGENCY[:most]:
                urgent, most = unit, _URGENCY.index(look)
        signs.append(Span(" ", PLAIN))
        if urgent is None:
            return signs, Span("", PLAIN)
        cause = cause_of(urgent, now, self._bridge.waits_for(urgent.number))
        look = _URGENCY[most]
        step = "" if look in (Look.CANC, Look.SKIP) else step_name(urgent)  # that is about the rest of the item, too
        return signs, Span(f"{step} {cause}".strip(), _cause_role(look))

    def _gutter(self, look: Look, clock: str, words: bool, selected: bool) -> tuple[Span, ...]:
        glyphs, role = self._glyphs, SIGNS[look].role
        marker = glyphs.cursor if selected else " "
        spans = [Span(marker, Role.KEY), Span(glyphs.sign(look), role), Span(" ", PLAIN)]
        if words:
            spans += [Span(look.value, loud(role)), Span(" " * (6 - len(look.value)), PLAIN)]
        spans.append(Span(f"{clock:>5} ", Role.MUTED))
        return tuple(spans)

    def _body(
        self, node: int, signs: list[Span], name: Span, causes: list[Span], room: int, closed: bool
    ) -> tuple[Span, ...]:
        guides = self._guides(node)
        room = max(0, room - cell_len(guides) - len(signs))
        causes = [cause for cause in causes if cause.text]
        if closed:
            causes.append(Span(self._folded(node), Role.ACCENT))
        wanted = sum(cell_len(cause.text) + 1 for cause in causes) + bool(causes)
        least = max(_MIN_NAME, cell_len(name.text) if signs else 0)  # beside its signs an item's cause is no news
        name_room = max(min(least, room), room - wanted)
        text = cut_middle(name.text, name_room, self._glyphs.ellipsis)
        spans = [Span(guides, Role.MUTED), *signs, Span(text, name.style)]
        left, gap = room - cell_len(text), "  "
        for cause in causes:
            if left <= len(gap) + 1:
                break
            shown = cut_end(cause.text, left - len(gap), self._glyphs.ellipsis)
            spans += [Span(gap, PLAIN), Span(shown, cause.style)]
            left, gap = left - len(gap) - cell_len(shown), " "
        if (further := self._further(node)) and left > 8:
            note = cut_end(f"  {self._glyphs.up} also {further}", left, self._glyphs.ellipsis)
            spans.append(Span(note, Role.MUTED))
            left -= cell_len(note)
        return (*spans, Span(" " * max(0, left), PLAIN))

    def _folded(self, node: int) -> str:
        """What hides under a closed node: how many units, and how many of them failed."""
        states = self._bridge.view.states
        layout = self._layout
        below = [unit for unit in layout.units[layout.inner_ends[node] : layout.ends[node]] if unit >= 0]
        bad = sum(states[unit] in (UnitState.FAILED, UnitState.TIMEOUT) for unit in below)
        return f"(+{len(below)}{f', {bad} failed' if bad else ''})"

    def _make_guides(self, node: int) -> str:
        layout, glyphs = self._layout, self._glyphs
        depth = layout.depths[node]
        if not depth:
            return ""
        own = glyphs.member if layout.members[node] else (glyphs.last if layout.lasts[node] else glyphs.branch)
        parts = [own]
        for above in layout.ancestors(node)[: MAX_DEPTH - 1]:
            if layout.members[above]:
                parts.append(glyphs.member)
            elif layout.depths[above]:
                parts.append(glyphs.space if layout.lasts[above] else glyphs.through)
        if depth > MAX_DEPTH:
            parts[-1] = pad(f"{depth}{glyphs.ellipsis}", 3 if depth < 100 else len(str(depth)) + 1)
        return "".join(reversed(parts))


_URGENCY: Final = (Look.FAIL, Look.TIME, Look.RETRY, Look.STOP, Look.ASK, Look.RUN, Look.QUEUE, Look.CANC, Look.SKIP)


def step_name(unit: UnitView) -> str:
    """What a unit is called inside of its item: ``trim`` of ``docs.trim[id=s1]``."""
    prefix = f"{unit.unit.workflow}." if unit.unit.workflow else ""
    return clean(family_name(unit.unit).removeprefix(prefix))


def bundle_looks(counts: Mapping[UnitState, int], view: RunView) -> list[tuple[Look, int]]:
    """The looks of a bundle's units with their counts, without zeros, in the order of the screen."""
    found: dict[Look, int] = {}
    for state, count in counts.items():
        if count:
            look = look_of_state(state, view)
            found[look] = found.get(look, 0) + count
    return [(look, found[look]) for look in COUNT_ORDER if look in found]


_BUNDLE_LOOKS: Final = (
    (UnitState.RUNNING, Look.RUN),
    (UnitState.CANCELING, Look.STOP),
    (UnitState.RETRYING, Look.RETRY),
    (UnitState.READY, Look.QUEUE),
    (UnitState.FAILED, Look.FAIL),
    (UnitState.TIMEOUT, Look.TIME),
    (UnitState.CANCELED, Look.CANC),
)


def bundle_look(counts: Mapping[UnitState, int], view: RunView) -> Look:
    """One look for a whole bundle: what goes on in it, else the worst that happened, else what most of it is.

    Units that were skipped may well be all right, so they count only where they are most.
    """
    for state, look in _BUNDLE_LOOKS:
        if counts.get(state):
            return look_of_state(state, view) if look is Look.QUEUE else look
    if counts.get(UnitState.PENDING):
        return Look.WAIT
    return look_of_state(max(counts, key=lambda state: counts[state]), view)


def _cause_role(look: Look) -> Role:
    """Bad news is coloured, the rest stays in the background."""
    if look in (Look.FAIL, Look.TIME, Look.RETRY, Look.STOP, Look.CANC, Look.ASK):
        return SIGNS[look].role
    return Role.ACCENT if look is Look.QUEUE else Role.MUTED
