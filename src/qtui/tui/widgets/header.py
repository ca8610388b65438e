"""The header: what runs, how far it is, and the units by state; two lines at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.cells import cell_len

from qtui.core.model import UnitState
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.bars import bar_of
from qtui.tui.beat import Beat
from qtui.tui.bridge import Bridge
from qtui.tui.format import COUNT_ORDER, NONE_ALLOWED, SIGNS, Glyphs, Look, clock, look_of_state, run_word
from qtui.tui.outlook import eta_texts
from qtui.tui.roles import Role, loud
from qtui.tui.text import PLAIN, Span, clean, cut_middle
from qtui.tui.widgets.lines import Line, Lines

_WORD: Final = 8  # the bar begins at the same place for RUNNING, PAUSED, STOPPING
_LEAST_BAR: Final = 10
_LEAST_NAME: Final = 16
_SHORT_ETA: Final = 5
"""Cells of an end that is told beside no more than a few of the name."""


class Header(Lines):
    """Shows the run as a whole."""

    def __init__(self, session: RunSession, title: str, bridge: Bridge, glyphs: Glyphs) -> None:
        super().__init__(id="header")
        self._session = session
        self._title = clean(title)
        self._bridge = bridge
        self._glyphs = glyphs
        self._kind: str = "" if session.kind == "live" else session.kind
        self._drawn_at: float | None = None
        self._state: object = None
        self._beat = Beat()
        self._eta_cells = 0  # that the end has had so far, so that nothing moves when it gets shorter

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._eta_cells = 0
        if self._drawn_at is not None:
            self._draw(self._drawn_at)

    def update_run(self, now: float, *, changed: bool) -> None:
        """Show the state of the run at `now`; call it in every frame, with whether anything has changed.

        Counts that change all the time are painted twice a second, another state and another second at once.
        """
        before, self._state = self._state, (int(now), run_word(self._bridge.view), self._session.lost)
        if self._beat.due(changed=changed, at_once=before != self._state):
            self._draw(now)

    def _draw(self, now: float) -> None:
        width, self._drawn_at = self.size.width, now
        if width:
            view = self._bridge.view
            cached = len(self._bridge.cached)
            allowed = Counter(view.states[number] for number in self._bridge.allowed)
            counts = look_counts(view, cached=cached, allowed=allowed)
            lost, kind = self._session.lost, self._kind_word()
            # nobody knows how long a lost run went on after its last event
            at, state = (view.updated_at, ("LOST", Role.WARNING)) if lost else (now, run_word(view))
            eta = self._eta(now, width)
            self.show(
                [
                    progress_line(
                        view,
                        at,
                        self._title,
                        width,
                        self._glyphs,
                        cached=cached,
                        allowed=len(self._bridge.allowed),
                        kind=kind,
                        state=state,
                        least=lost,
                        eta=eta,
                    ),
                    counts_line(
                        counts,
                        len(self._bridge.fallbacks),
                        width,
                        self._glyphs,
                        stale=len(view.stale),
                        aside=len(self._bridge.aside),
                    ),
                ]
            )

    def _eta(self, now: float, width: int) -> str:
        """When the run ends, in the words that there is room for, and in as many cells as before if not more."""
        view, outlook = self._bridge.view, self._bridge.outlook
        texts = () if self._session.lost else eta_texts(outlook.told, outlook.unknown, view, now)
        taken = _WORD + cell_len(_done(view, now)) + 4
        text = eta_that_fits(texts, width - taken)
        if not texts:
            self._eta_cells = 0
        self._eta_cells = max(self._eta_cells, cell_len(text))
        return text.ljust(self._eta_cells)

    def _kind_word(self) -> str:
        """How one looks at the run, if it is not in this process."""
        session = self._session
        if session.kind == "attached":
            word = "read-only" if session.read_only else "attached"
            # nothing can be asked of a run that nobody runs, whether or not somebody wanted only to read
            if not (session.lost or session.view().state.ended):
                self._kind = word
        return self._kind


def look_counts(view: RunView, *, cached: int = 0, allowed: Mapping[UnitState, int] = NONE_ALLOWED) -> dict[Look, int]:
    """How many units there are of each look; `cached` of them have used an earlier result, and `allowed` ones, by
    state, have failed as they may."""
    counts = dict.fromkeys(COUNT_ORDER, 0)
    for state, count in view.counts.items():
        counts[look_of_state(state, view)] += count
    ready = Look.QUEUE if counts[Look.QUEUE] else Look.READY
    counts[ready] -= view.asked
    counts[Look.ASK] += view.asked
    counts[Look.OK] -= cached
    counts[Look.HIT] += cached
    for state, count in allowed.items():
        counts[look_of_state(state, view)] -= count
        counts[Look.ALLOWED] += count
    return counts


def progress_line(
    view: RunView,
    now: float,
    title: str,
    width: int,
    glyphs: Glyphs,
    *,
    cached: int = 0,
    allowed: int = 0,
    kind: str = "",
    state: tuple[str, Role] | None = None,
    least: bool = False,
    eta: str = "",
) -> Line:
    """Name, state of the run, bar, ended units of all, elapsed time, and when it ends (see `eta_that_fits`).

    `kind` says how one looks at the run; `state` is told instead of what the view says. With `least` the time is the
    least that it can have been.
    """
    word, role = state or run_word(view)
    tail = _done(view, now, least=least) + (f" {eta} " if eta else "")
    filled = max(len(word), _WORD)
    room = width - filled - cell_len(tail) - 4
    kind = f"{kind}  " if kind and room >= _LEAST_BAR + _LEAST_NAME + len(kind) + 2 else ""
    room -= len(kind)
    # where there is no room for both, the name tells more than a bar that the numbers beside it repeat
    most = max(_LEAST_NAME, room // 3) if room >= _LEAST_NAME + _LEAST_BAR else room
    name = cut_middle(title, max(0, min(room, most)), glyphs.ellipsis)
    bar = max(0, room - cell_len(name))
    spans = [Span(f" {name}  ", Role.TITLE), Span(kind, Role.MUTED)]
    spans += [Span(word, loud(role)), Span(" " * (filled - len(word) + 1), PLAIN)]
    spans += progress_bar(view, bar, glyphs, cached=cached, allowed=allowed) if bar >= 5 else [Span(" " * bar, PLAIN)]
    return (*spans, Span(tail, Role.TEXT))


def _done(view: RunView, now: float, *, least: bool = False) -> str:
    """The numbers at the end of the first line."""
    return f" {view.ended}/{len(view.plan)}  {'at least ' if least else ''}{clock(view.elapsed(now))} "


def eta_that_fits(texts: Sequence[str], room: int) -> str:
    """The longest of `texts` beside which the name and the bar have enough of `room` cells; in the end the shortest
    alone, if a few are left for the name."""
    for text in texts:
        least = _LEAST_NAME + _LEAST_BAR if len(text) > _SHORT_ETA else _SHORT_ETA
        if cell_len(text) + 2 + least <= room:
            return text
    return ""


def progress_bar(view: RunView, width: int, glyphs: Glyphs, *, cached: int = 0, allowed: int = 0) -> list[Span]:
    """One cell per share of the units; parts differ by texture, and none that is not empty vanishes."""
    return bar_of(view.counts, len(view.plan), width, glyphs, cached=cached, allowed=allowed)


_ALWAYS = (Look.OK, Look.RUN, Look.QUEUE, Look.WAIT, Look.FAIL)
_WORDS: Final = {Look.ALLOWED: "allowed"}
"""What is told of a look where no name stands beside it that says more."""
_MERGED: Final = {
    Look.HIT: Look.OK,
    Look.STOP: Look.RUN,
    Look.READY: Look.WAIT,
    Look.QUEUE: Look.WAIT,
    Look.RETRY: Look.WAIT,
    Look.ASK: Look.WAIT,
    Look.TIME: Look.FAIL,
    Look.CANC: Look.SKIP,
    Look.ALLOWED: Look.SKIP,
}
"""What counts together where there is no room for more: by what has to happen still."""


def counts_line(
    counts: dict[Look, int], fallbacks: int, width: int, glyphs: Glyphs, *, stale: int = 0, aside: int = 0
) -> Line:
    """The units by look, and what to know besides: how many have used their `fallbacks`, are `stale`, or were set
    `aside` by a person.

    Counts are never cut: zeros go first, then gaps, then words; at last alike ones are added up.
    """
    merged = dict(counts)
    for look in (Look.HIT, Look.ASK, Look.ALLOWED):
        if not merged[look]:
            merged.pop(look)
    if not merged[Look.READY]:
        merged.pop(Look.READY)
    elif not merged[Look.QUEUE]:
        merged.pop(Look.QUEUE)
    nonzero = {look: count for look, count in merged.items() if count}
    usual = {look: count for look, count in merged.items() if count or look in _ALWAYS}
    fewest: dict[Look, int] = {}
    for look, count in nonzero.items():
        kept = _MERGED.get(look, look)
        fewest[kept] = fewest.get(kept, 0) + count
    for chosen, words, gap in (
        (merged, True, "   "),
        (usual, True, "   "),
        (usual, True, "  "),
        (nonzero, True, " "),
        (nonzero, False, " "),
        (fewest, False, " "),
    ):
        spans: list[Span] = []
        for look, count in chosen.items():
            word = f" {_WORDS.get(look, look.value)} " if words else ""
            sign = Span(f"{glyphs.sign(look)}{word}{count}", (SIGNS[look].role if count else Role.MUTED))
            spans += [Span(gap if spans else " ", PLAIN), sign]
        for count, what in (
            (fallbacks, " fallback" if len(gap) > 1 else "fb"),
            (stale, " stale" if len(gap) > 1 else "st"),
            (aside, " set aside" if words else " aside"),
        ):
            if count:
                spans += [Span(gap, PLAIN), Span(f"{count}{what}", Role.WARNING)]
        if sum(cell_len(span.text) for span in spans) <= width:
            break
    return tuple(spans)
