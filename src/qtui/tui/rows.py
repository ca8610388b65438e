"""One row of the tree as styled text: a gutter of what changes often, then guides, name, cause and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.model import FAILURES, UnitState
from qtui.core.state import RunView, UnitView
from qtui.tui.bridge import Bridge
from qtui.tui.format import COUNT_ORDER, NONE_ALLOWED, SIGNS, Glyphs, Look, cause_of, look_of_state, short_clock
from qtui.tui.layout import Bundle, family_name, further_needs
from qtui.tui.outlook import PATH_MARK
from qtui.tui.roles import Role, loud
from qtui.tui.scopes import Kind
from qtui.tui.tally import Tally
from qtui.tui.text import PLAIN, Span, clean, cut_end, cut_middle, pad

WORD_FROM: Final = 60
"""The width of the terminal, in cells, from which states are also written as words."""
MAX_DEPTH: Final = 12
"""Levels of indentation drawn; a deeper row says how deep it is instead."""
MAX_SIGNS: Final = 12
"""Units of an item that its row shows with a sign for each; of more it shows counts."""
MARK: Final = "*"
PART_MARK: Final = "'"
"""In front of a row whose units are marked, all or some of them."""
_MIN_NAME: Final = 12
_MIN_CAUSE: Final = 16
"""Cells that a badge or bad news get of a name that is too long for both."""
_LEAST_CAUSE: Final = 8
"""Less of a reason tells nothing."""
_SOON: Final = 13
"""Cells of the column on the right edge, for ``~1h20m left`` and a gap."""
_SOON_FROM: Final = 36
"""Cells behind the lines of the tree from which that column is kept free, however long name and reason are."""
_WELL: Final = frozenset({Look.OK, Look.HIT})
_MARKED: Final = Span(PATH_MARK, Role.WARNING)


class Row(NamedTuple):
    """The two parts of a painted row: what changes often stands on the left, as a repaint begins there."""

    gutter: tuple[Span, ...]
    body: tuple[Span, ...]


def cells_until_same(before: Row, after: Row, width: int) -> int:
    """How many of `width` cells, from the left on, hold all in which the two rows differ."""
    old, new = (*before.gutter, *before.body), (*after.gutter, *after.body)
    total = sum(cell_len(span.text) for span in new)
    if total != sum(cell_len(span.text) for span in old):
        return width
    for was, now in zip(reversed(old), reversed(new), strict=False):
        if was != now:
            break
        total -= cell_len(now.text)
    return min(total, width)


class Content(NamedTuple):
    """What a row tells behind its lines: `badges` are counts and marks, which go before what is left of the name and
    before the `reason`; `unit` is that whose name it is, or -1; `soon` is what is expected of it."""

    name: Span
    badges: list[Span]
    reason: Span
    unit: int = -1
    soon: str = ""


class Drawing(NamedTuple):
    """How a row is to be drawn: at what time, in how many cells, and what is done to it.

    `words` says that states are written out, `marked` how many of its units are marked, `filtered` that only some rows
    are on show, `closed` that what is below it is folded away, `unfolded` that what is inside of it is not.
    """

    now: float
    width: int
    words: bool
    selected: bool = False
    marked: int = 0
    filtered: bool = False
    closed: bool = False
    unfolded: bool = False

    @property
    def room(self) -> int:
        """The cells behind the gutter."""
        return self.width - gutter_width(self.words)


def gutter_width(words: bool) -> int:
    """Cells taken by cursor, mark, sign, word and clock."""
    return 16 if words else 10


class RowPainter:
    """Makes rows from a bridge's view; keeps what can never change."""

    def __init__(self, tally: Tally, bridge: Bridge, glyphs: Glyphs) -> None:
        layout = tally.layout
        self._tally = tally
        self._layout = layout
        self._bridge = bridge
        self._glyphs = glyphs
        self._guides = cache(self._make_guides)
        self._further = cache(lambda node: further_needs(layout, node, times=glyphs.times))
        self._path: Sequence[int] = ()
        self._ends: dict[int, int] = {}

    def row(self, node: int, drawing: Drawing) -> Row:
        """The row of `node`."""
        bundle = self._layout.bundle(node)
        if bundle is not None:
            return self._bundle_row(node, bundle, drawing)
        gutter, told = self._unit_parts(self._layout.units[node], drawing)
        return Row(gutter, self._body(node, [], told, drawing))

    def flat_row(self, unit: int, value: str, drawing: Drawing) -> Row:
        """The row of a unit in a list, with a `value` before its name."""
        gutter, told = self._unit_parts(unit, drawing)
        return Row(gutter, self._fitted([Span(value, Role.MUTED)], told, "", drawing.room))

    def _unit_parts(self, number: int, drawing: Drawing) -> tuple[tuple[Span, ...], Content]:
        """The gutter, and what is told of a unit, with the mark of the critical path."""
        unit = self._bridge.view.unit(number)
        waits_for, look = self._bridge.waits_for(number, drawing.now), self._bridge.look_of(number)
        elapsed = unit.elapsed(drawing.now)
        gutter = self._gutter(look, "" if elapsed is None else short_clock(elapsed), 1, drawing)
        style = SIGNS[look].role if look in (Look.RUN, Look.FAIL, Look.TIME) else Role.TEXT
        if look in (Look.SKIP, Look.WAIT):
            style = Role.MUTED
        view, outlook = self._bridge.view, self._bridge.outlook
        cause = Span(cause_of(unit, drawing.now, waits_for), _cause_role(look, silent=number in view.silent))
        if number not in view.silent and (unforeseen := outlook.unforeseen(number, view)):
            cause = cause._replace(text=f"{cause.text} {unforeseen}".strip())
        marks = [_MARKED] if outlook.is_on_path(number, view) else []
        soon = outlook.soon(number, view, drawing.now)
        return gutter, Content(Span(self._layout.names[number], style), marks, cause, number, soon)

    def _bundle_row(self, node: int, bundle: Bundle, drawing: Drawing) -> Row:
        counts, gutter = self._counts(node), self._bundle_gutter(node, bundle, drawing)
        if bundle.kind is Kind.ITEM and len(bundle.units) <= MAX_SIGNS:
            signs, cause = self._signs(bundle, drawing.now)
            told = Content(self._item_name(bundle, counts), self._marks_of(node), cause)
            return Row(gutter, self._body(node, signs, told, drawing))
        badges = [*self._marks_of(node), *self._badges(node, drawing)]
        told = Content(Span(bundle.label, Role.TITLE), badges, Span("", PLAIN))
        return Row(gutter, self._body(node, [], told, drawing))

    def _marks_of(self, node: int) -> list[Span]:
        """The mark of the critical path, if the end waits for anything inside of a bundle."""
        last = self._path_ends().get(self._layout.bundle_at[node])
        return [_MARKED] if last is not None and not self._bridge.view.states[last].ended else []

    def _path_ends(self) -> Mapping[int, int]:
        """By bundle, the last unit inside of it that the end waits for. Made once for each forecast."""
        path = self._bridge.outlook.critical
        if path is not self._path:
            self._path, self._ends = path, {}
            bundle_of, bundles = self._layout.bundle_of, self._layout.bundles
            for number in reversed(path):
                at = bundle_of[number] if number < len(bundle_of) else -1
                while at >= 0 and at not in self._ends:
                    self._ends[at] = number
                    at = bundles[at].around
        return self._ends

    def _counts(self, node: int) -> Mapping[UnitState, int]:
        return self._tally.counts[self._layout.bundle_at[node]]

    def _allowed(self, bundle: Bundle, counts: Mapping[UnitState, int]) -> Mapping[UnitState, int]:
        """By state, how many units of a bundle have failed as they may. O(units of the bundle) where there are any."""
        view, allowed = self._bridge.view, self._bridge.allowed
        if not allowed or not any(counts.get(state) for state in FAILURES):
            return NONE_ALLOWED
        return Counter(view.states[number] for number in allowed.intersection(bundle.units))

    def _bundle_gutter(self, node: int, bundle: Bundle, drawing: Drawing) -> tuple[Span, ...]:
        counts = self._counts(node)
        done = sum(count for state, count in counts.items() if state.ended)
        look = bundle_look(counts, self._bridge.view, self._allowed(bundle, counts))
        # 100 % beside a failure would look like a success
        share = f"{100 * done // len(bundle.units)}%" if done < len(bundle.units) or look in _WELL else ""
        return self._gutter(look, share, len(bundle.units), drawing)

    def _item_name(self, bundle: Bundle, counts: Mapping[UnitState, int]) -> Span:
        look = bundle_look(counts, self._bridge.view, self._allowed(bundle, counts))
        return Span(bundle.label, Role.MUTED if look in (Look.SKIP, Look.WAIT) else Role.TEXT)

    def _badges(self, node: int, drawing: Drawing) -> list[Span]:
        """The counts of a bundle, and what of it is in trouble or marked without being on show."""
        at = self._layout.bundle_at[node]
        counts, bundle = self._tally.counts[at], self._layout.bundles[at]
        looks = bundle_looks(counts, self._bridge.view, self._allowed(bundle, counts))
        badges = [Span(f"{count}{self._glyphs.sign(look)}", SIGNS[look].role) for look, count in looks]
        if silent := sum(self._is_inside(number, at) for number in self._bridge.view.silent):
            badges.append(Span(f"{silent} silent", Role.WARNING))
        if drawing.marked and drawing.marked < len(self._layout.bundles[at].units):
            badges.append(Span(f"{drawing.marked}{MARK}", Role.KEY))
        if not drawing.unfolded and (hidden := self._tally.hidden(at)):
            badges.append(Span(f"(+{hidden} more)", Role.ACCENT))
        return badges

    def _is_inside(self, number: int, bundle: int) -> bool:
        """Whether a unit belongs to a bundle, or to one inside of it."""
        bundle_of, bundles = self._layout.bundle_of, self._layout.bundles
        at = bundle_of[number] if number < len(bundle_of) else -1
        while at >= 0 and at != bundle:
            at = bundles[at].around
        return at == bundle

    def _signs(self, bundle: Bundle, now: float) -> tuple[list[Span], Span]:
        """A sign for each unit of an item, and what there is to say about the one that matters most."""
        looks = [self._bridge.look_of(number) for number in bundle.units]
        signs = [Span(self._glyphs.sign(look), SIGNS[look].role) for look in looks]
        return [*signs, Span(" ", PLAIN)], self._item_cause(bundle, looks, now)

    def _item_cause(self, bundle: Bundle, looks: list[Look], now: float) -> Span:
        """What there is to say about the unit of an item that matters most; `looks` are those of its units."""
        look = most_urgent(looks)
        if look not in _URGENCY:
            return Span("", PLAIN)
        alike = [number for number, each in zip(bundle.units, looks, strict=True) if each is look]
        silent = self._bridge.view.silent
        unit = self._bridge.view.unit(next((number for number in alike if number in silent), alike[0]))
        cause = cause_of(unit, now, self._bridge.waits_for(unit.number, now))
        step = "" if look in (Look.CANC, Look.SKIP) else step_name(unit)  # that is about the rest of the item, too
        return Span(f"{step} {cause}".strip(), _cause_role(look, silent=unit.number in silent))

    def _gutter(self, look: Look, clock: str, units: int, drawing: Drawing) -> tuple[Span, ...]:
        glyphs, role = self._glyphs, SIGNS[look].role
        cursor = glyphs.cursor if drawing.selected else " "
        mark = " " if not drawing.marked else MARK if drawing.marked == units else PART_MARK
        # what is blank has no style: it would take more bytes than the blanks
        lead = Span(f"{cursor}{mark}", Role.KEY if drawing.selected or drawing.marked else PLAIN)
        spans = [lead, Span(glyphs.sign(look), role), Span(" ", PLAIN)]
        if drawing.words:
            spans += [Span(look.value, loud(role)), Span(" " * (6 - len(look.value)), PLAIN)]
        spans.append(Span(f"{clock:>5} ", Role.MUTED if clock else PLAIN))
        return tuple(spans)

    def _body(self, node: int, signs: list[Span], told: Content, drawing: Drawing) -> tuple[Span, ...]:
        if drawing.closed:
            told = told._replace(badges=[Span(self._folded(node), Role.ACCENT), *told.badges])
        return self._fitted(self._lead(node, signs, drawing), told, self._note(node), drawing.room)

    def _note(self, node: int) -> str:
        """What the row needs besides what it stands below."""
        further = self._further(node)
        return f"{self._glyphs.up} also {further}" if further else ""

    def _lead(self, node: int, signs: list[Span], drawing: Drawing) -> list[Span]:  # noqa: ARG002
        """What stands before the name: here the lines of the tree."""
        return [Span(self._guides(node), Role.MUTED), *signs]

    def _fitted(self, lead: list[Span], told: Content, note: str, room: int) -> tuple[Span, ...]:
        """`lead` and as much of the rest as fits in `room` cells. Badges go first, then the name, then the reason,
        which the tab that tells why has in full. Bad news has some room still: for that a name is cut, but not what
        tells it apart from its family. What is soon stands in a column on the right edge."""
        ellipsis = self._glyphs.ellipsis
        room = max(0, room - sum(cell_len(span.text) for span in lead))
        column = max(_SOON, cell_len(told.soon) + 2) if told.soon else 0
        kept = column if room >= _SOON_FROM else 0
        text = self._name_within(told, room - kept, whole=len(lead) > 1)
        spans, left, gap = [*lead, Span(text, told.name.style)], room - kept - cell_len(text), "  "
        for part in (*told.badges, told.reason):
            most = left - len(gap)
            if not part.text or most < (min(_LEAST_CAUSE, cell_len(part.text)) if part is told.reason else 2):
                continue
            shown = cut_end(part.text, most, ellipsis)
            spans += [Span(gap, PLAIN), Span(shown, part.style)]
            left, gap = most - cell_len(shown), " "
        if note and left > 8:
            note = cut_end(f"  {note}", left, ellipsis)
            spans.append(Span(note, Role.MUTED))
            left -= cell_len(note)
        if told.soon and left + kept >= column:
            left += kept - cell_len(told.soon)
            return (*spans, Span(" " * left, PLAIN), Span(told.soon, Role.MUTED))
        return (*spans, Span(" " * max(0, left), PLAIN))

    def _name_within(self, told: Content, room: int, *, whole: bool) -> str:
        """As much of the name as leaves room for the rest; all of it where the row wants it `whole`."""
        name, ellipsis = told.name.text, self._glyphs.ellipsis
        reason = cell_len(told.reason.text)
        is_bad = told.reason.style not in (Role.ACCENT, Role.MUTED)
        others = [cell_len(badge.text) for badge in told.badges]
        others += [reason] if reason and (is_bad or reason <= _LEAST_CAUSE) else []
        wanted = sum(min(cells, _MIN_CAUSE) + 1 for cells in others) + bool(others)
        if cell_len(name) <= room - wanted:
            return name
        if told.unit < 0:
            # beside its signs an item's cause is no news
            least = cell_len(name) if whole else _MIN_NAME
            return cut_middle(name, max(min(least, room), room - wanted), ellipsis)
        short = self._bridge.short
        least = max(_MIN_NAME, short.least(told.unit, ellipsis))
        return short.within(told.unit, max(min(least, room), room - wanted), ellipsis)

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


_URGENCY: Final = (Look.FAIL, Look.TIME, Look.RETRY, Look.STOP, Look.ASK, Look.RUN, Look.QUEUE, Look.ALLOWED,
                   Look.CANC, Look.SKIP)  # fmt: skip


def most_urgent(looks: Iterable[Look]) -> Look:
    """The look that stands for several units: the one that needs eyes most, else the first."""
    return min(looks, key=lambda look: _URGENCY.index(look) if look in _URGENCY else len(_URGENCY))


def step_name(unit: UnitView) -> str:
    """What a unit is called inside of its item: ``trim`` of ``docs.trim[id=s1]``."""
    prefix = f"{unit.unit.workflow}." if unit.unit.workflow else ""
    return clean(family_name(unit.unit).removeprefix(prefix))


def bundle_looks(
    counts: Mapping[UnitState, int], view: RunView, allowed: Mapping[UnitState, int] = NONE_ALLOWED
) -> list[tuple[Look, int]]:
    """The looks of a bundle's units with their counts, without zeros, in the order of the screen; `allowed` of them
    have failed as they may."""
    found: dict[Look, int] = {}
    for state, count in counts.items():
        if count > allowed.get(state, 0):
            look = look_of_state(state, view)
            found[look] = found.get(look, 0) + count - allowed.get(state, 0)
    if allowed:
        found[Look.ALLOWED] = sum(allowed.values())
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


def bundle_look(
    counts: Mapping[UnitState, int], view: RunView, allowed: Mapping[UnitState, int] = NONE_ALLOWED
) -> Look:
    """One look for a whole bundle: what goes on in it, else the worst that happened, else what most of it is; `allowed`
    of its units have failed as they may.

    Units that were skipped may well be all right, so they count only where they are most.
    """
    for state, look in _BUNDLE_LOOKS:
        if counts.get(state, 0) > allowed.get(state, 0):
            return look_of_state(state, view) if look is Look.QUEUE else look
    if counts.get(UnitState.PENDING):
        return Look.WAIT
    if allowed:
        return Look.ALLOWED
    return look_of_state(max(counts, key=lambda state: counts[state]), view)


def _cause_role(look: Look, *, silent: bool) -> Role:
    """Bad news is coloured, the rest stays in the background."""
    if silent:
        return Role.WARNING
    if look in (Look.FAIL, Look.TIME, Look.RETRY, Look.STOP, Look.CANC, Look.ASK):
        return SIGNS[look].role
    return Role.ACCENT if look is Look.QUEUE else Role.MUTED
