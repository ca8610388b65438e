"""The header: what runs, how far it is, and the units by state; two lines at most."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len

from qtui.core.model import UnitState
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.bridge import Bridge
from qtui.tui.format import COUNT_ORDER, SIGNS, Glyphs, Look, clock, look_of_state, run_word
from qtui.tui.roles import Role, loud
from qtui.tui.text import PLAIN, Span, clean, cut_middle
from qtui.tui.widgets.lines import Line, Lines

_WORD: Final = 8  # the bar begins at the same place for RUNNING, PAUSED, STOPPING
_LEAST_BAR: Final = 10


class Header(Lines):
    """Shows the run as a whole."""

    def __init__(self, session: RunSession, title: str, bridge: Bridge, glyphs: Glyphs) -> None:
        super().__init__(id="header")
        self._session = session
        self._title = clean(title)
        self._bridge = bridge
        self._glyphs = glyphs
        self._kind: str = "" if session.kind == "live" else session.kind

    def update_run(self, now: float) -> None:
        """Show the state of the run at `now`."""
        width = self.size.width
        if width:
            view = self._bridge.view
            cached = len(self._bridge.cached)
            counts = look_counts(view, cached=cached)
            lost, kind = self._session.lost, self._kind_word()
            # nobody knows how long a lost run went on after its last event
            at, state = (view.updated_at, ("LOST", Role.WARNING)) if lost else (now, run_word(view))
            self.show(
                [
                    progress_line(
                        view, at, self._title, width, self._glyphs, cached=cached, kind=kind, state=state, least=lost
                    ),
                    counts_line(counts, len(self._bridge.fallbacks), width, self._glyphs, stale=len(view.stale)),
                ]
            )

    def _kind_word(self) -> str:
        """How one looks at the run, if it is not in this process."""
        session = self._session
        if session.kind == "attached":
            word = "read-only" if session.read_only else "attached"
            # nothing can be asked of a run that nobody runs, whether or not somebody wanted only to read
            if not (session.lost or session.view().state.ended):
                self._kind = word
        return self._kind


def look_counts(view: RunView, *, cached: int = 0) -> dict[Look, int]:
    """How many units there are of each look."""
    counts = dict.fromkeys(COUNT_ORDER, 0)
    for state, count in view.counts.items():
        counts[look_of_state(state, view)] += count
    ready = Look.QUEUE if counts[Look.QUEUE] else Look.READY
    counts[ready] -= view.asked
    counts[Look.ASK] += view.asked
    counts[Look.OK] -= cached
    counts[Look.HIT] += cached
    return counts


def progress_line(
    view: RunView,
    now: float,
    title: str,
    width: int,
    glyphs: Glyphs,
    *,
    cached: int = 0,
    kind: str = "",
    state: tuple[str, Role] | None = None,
    least: bool = False,
) -> Line:
    """Name, state of the run, bar, ended units of all, elapsed time.

    `kind` says how one looks at the run; `state` is told instead of what the view says. With `least` the time is the
    least that it can have been.
    """
    word, role = state or run_word(view)
    tail = f" {view.ended}/{len(view.plan)}  {'at least ' if least else ''}{clock(view.elapsed(now))} "
    filled = max(len(word), _WORD)
    room = width - filled - cell_len(tail) - 4
    kind = f"{kind}  " if kind and room >= _LEAST_BAR + 16 + len(kind) + 2 else ""
    room -= len(kind)
    name = cut_middle(title, max(0, min(room - _LEAST_BAR, max(16, room // 3))), glyphs.ellipsis)
    bar = max(0, room - cell_len(name))
    spans = [Span(f" {name}  ", Role.TITLE), Span(kind, Role.MUTED)]
    spans += [Span(word, loud(role)), Span(" " * (filled - len(word) + 1), PLAIN)]
    spans += progress_bar(view, bar, glyphs, cached=cached) if bar >= 5 else [Span(" " * bar, PLAIN)]
    return (*spans, Span(tail, Role.TEXT))


def progress_bar(view: RunView, width: int, glyphs: Glyphs, *, cached: int = 0) -> list[Span]:
    """One cell per share of the units; parts differ by texture, and none that is not empty vanishes."""
    counts, total = view.counts, max(1, len(view.plan))
    running = counts[UnitState.RUNNING] + counts[UnitState.CANCELING]
    parts = [
        (glyphs.full, counts[UnitState.COMPLETED] - cached, Role.SUCCESS),
        (glyphs.cached, cached, Role.CACHED),
        (glyphs.failed, counts[UnitState.FAILED] + counts[UnitState.TIMEOUT], Role.ERROR),
        (glyphs.left_out, counts[UnitState.SKIPPED] + counts[UnitState.CANCELED], Role.MUTED),
        (glyphs.running, running, Role.PRIMARY),
    ]
    cells = [max(1, count * width // total) if count else 0 for _, count, _ in parts]
    if sum(count for _, count, _ in parts) == total and cells:
        cells[cells.index(max(cells))] += width - sum(cells)
    while sum(cells) > width:
        cells[cells.index(max(cells))] -= 1
    spans = [Span(glyph * n, role) for (glyph, _, role), n in zip(parts, cells, strict=True) if n]
    return [*spans, Span(glyphs.empty * (width - sum(cells)), Role.MUTED)]


_ALWAYS = (Look.OK, Look.RUN, Look.QUEUE, Look.WAIT, Look.FAIL)


def counts_line(counts: dict[Look, int], fallbacks: int, width: int, glyphs: Glyphs, *, stale: int = 0) -> Line:
    """The units by look, and what to know besides. Counts are never cut: zeros go first, then words, then gaps."""
    merged = dict(counts)
    if not merged[Look.HIT]:
        merged.pop(Look.HIT)
    if not merged[Look.ASK]:
        merged.pop(Look.ASK)
    if not merged[Look.READY]:
        merged.pop(Look.READY)
    elif not merged[Look.QUEUE]:
        merged.pop(Look.QUEUE)
    nonzero = {look: count for look, count in merged.items() if count}
    usual = {look: count for look, count in merged.items() if count or look in _ALWAYS}
    for chosen, words, gap in (
        (merged, True, "   "),
        (usual, True, "   "),
        (usual, True, "  "),
        (nonzero, True, " "),
        (nonzero, False, " "),
    ):
        spans: list[Span] = []
        for look, count in chosen.items():
            word = f" {look.value} " if words else ""
            sign = Span(f"{glyphs.sign(look)}{word}{count}", (SIGNS[look].role if count else Role.MUTED))
            spans += [Span(gap if spans else " ", PLAIN), sign]
        for count, long, short in ((fallbacks, "fallback", "fb"), (stale, "stale", "st")):
            if count:
                text = f"{count} {long}" if len(gap) > 1 else f"{count}{short}"
                spans += [Span(gap, PLAIN), Span(text, Role.WARNING)]
        if sum(cell_len(span.text) for span in spans) <= width:
            break
    return tuple(spans)
