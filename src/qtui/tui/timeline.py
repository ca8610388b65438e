"""What a timeline shows: a row for each unit or folded bundle, sorted by start, as bars in time. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate, groupby
from math import ceil, inf
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from qtui.core.events import UnitFinished, UnitStarted
from qtui.core.model import FAILURES, UnitState
from qtui.core.state import RunView
from qtui.tui.format import SIGNS, Glyphs, Look, look_of
from qtui.tui.layout import Key, TreeLayout
from qtui.tui.outlook import PATH_MARK, gain_words
from qtui.tui.roles import Role
from qtui.tui.scopes import Kind
from qtui.tui.tabs.attempts import Attempt, Attempts, look_of_attempt
from qtui.tui.text import PLAIN, Span, cut_middle, pad
from qtui.tui.timeaxis import Window, span_of

if TYPE_CHECKING:
    from qtui.core.forecast import Forecast
    from qtui.tui.forecaster import Told

FOLD_FROM: Final = 100
"""Of more units than these, families and groups have one row each until they are opened."""

_AT_WORK: Final = frozenset({UnitState.RUNNING, UnitState.CANCELING})
_WAITING: Final = frozenset({UnitState.READY, UnitState.RETRYING})
_BAND: Final = (0.4, 0.9)
"""Where on the screen the row that began last stands, while the rows follow the time."""
_AFTER_SCROLL: Final = 0.6
_OPEN: Final = (Kind.WORKFLOW,)
"""The bundles that never fold: they may hold everything."""


class Texture(StrEnum):
    """What a bar is made of; the value is its word in the legend."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FORECAST = "forecast"


class _Look(NamedTuple):
    glyph: str
    ascii: str
    role: Role


_LOOKS: Final = {
    Texture.DONE: _Look("▓", "%", Role.SUCCESS),  # "=" is the sign of what was unchanged
    Texture.RUNNING: _Look("█", "#", Role.PRIMARY),
    Texture.QUEUED: _Look(".", ".", Role.ACCENT),
    Texture.FORECAST: _Look("┈", "-", Role.MUTED),
}
_NOW: Final = _Look("╎", "|", Role.ACCENT)
_BEFORE, _BEHIND = _Look("‹", "<", Role.MUTED), _Look("›", ">", Role.MUTED)
_ENDS: Final = {
    Look.FAIL: "failed",
    Look.TIME: "timeout",
    Look.SKIP: "skipped",
    Look.CANC: "canceled",
    Look.ALLOWED: "allowed",
    Look.HIT: "unchanged",
}
"""The signs of ends besides a good one, with their words in the legend."""
_GAP: Final = 3
"""Cells between names and bars; the sign of the critical path stands in the middle one."""
_LEAST_NAME, _MOST_NAME, _NAME_SHARE = 8, 24, 5


class Bar(NamedTuple):
    """From when to when (Unix seconds), and how the attempt ended, if that has a sign."""

    begin: float
    end: float
    texture: Texture
    sign: Look | None = None


def name_width(width: int) -> int:
    """The cells of the names in a timeline of `width` cells."""
    return min(max(width // _NAME_SHARE, _LEAST_NAME), _MOST_NAME)


def bars_width(width: int) -> int:
    """The cells that are left for bars."""
    return max(1, width - name_width(width) - _GAP)


# -- rows ------------------------------------------------------------------------------------------------


def starts_of(view: RunView, attempts: Attempts, forecast: Forecast | None) -> list[float]:
    """When each unit began first, or ended without having begun, or is expected to begin; infinity where nobody knows.
    O(units)."""
    starts = []
    expected = forecast.typical.starts if forecast is not None else ()
    zero = forecast.at if forecast is not None else 0.0
    for number, (begun, last, made) in enumerate(zip(view.begun, view.last, view.attempts, strict=True)):
        if made > 1 or (made and begun is None):
            known = attempts.of(view, number)
            begun = known[0].begun if known else begun
        if begun is not None:
            starts.append(begun.at)
        elif isinstance(last, UnitFinished):
            starts.append(last.at)
        else:
            starts.append(zero + expected[number] if number < len(expected) else inf)
    return starts


def rows_of(layout: TreeLayout, starts: Sequence[float], opened: Collection[Key]) -> dict[int, float]:
    """The nodes of `layout` that have a row, with their starts, in that order; as in the plan where that is the same.

    Where bundles fold each has a row, and what it holds has none, but for the bundles whose keys are `opened`.
    O(units log units).
    """
    folds = len(layout.node_of) > FOLD_FROM
    above: list[tuple[int, ...]] = []  # by bundle: the nodes of those around it that have a row, and its own
    shows: list[bool] = []  # by bundle: whether what is right inside of it has a row
    for bundle, node in zip(layout.bundles, layout.bundle_nodes, strict=True):  # what is around comes first
        around = above[bundle.around] if bundle.around >= 0 else ()
        is_seen = shows[bundle.around] if bundle.around >= 0 else True
        if folds and is_seen and bundle.kind not in _OPEN:
            above.append((*around, node))
            shows.append(bundle.key in opened)
        else:
            above.append(around)
            shows.append(is_seen)
    first: dict[int, float] = {}
    for start, node, holder in zip(starts, layout.node_of, layout.bundle_of, strict=False):
        if holder < 0:
            first[node] = start
            continue
        for each in (*above[holder], *((node,) if shows[holder] else ())):
            if start < first.setdefault(each, start):
                first[each] = start
    return dict(sorted(first.items(), key=itemgetter(1)))


def critical_nodes(view: RunView, layout: TreeLayout, forecast: Forecast | None) -> frozenset[int]:
    """The nodes of the units that the end waits for, and of the bundles that hold them."""
    critical = forecast.critical if forecast is not None else ()
    left = [layout.node_of[unit] for unit in critical if unit < len(layout.node_of) and not view.states[unit].ended]
    return frozenset(node for unit in left for node in (unit, *layout.holders(unit)))


def row_of(layout: TreeLayout, key: Key, rows: Collection[int]) -> int | None:
    """The node among `rows` that shows what has this key, or None for what has none yet."""
    node = layout.node(key) if not isinstance(key, int) or key < len(layout.node_of) else None
    if node is None or node in rows:
        return node
    inside = layout.node_of[layout.units_under(node)[0]]
    return next((each for each in (*layout.holders(node), inside) if each in rows), None)


def top_that_follows(top: int, height: int, first: int, begun: int) -> int:
    """Which row is to be the upper one of `height`, for what is at work to be in sight, with something of what was and
    of what comes: the rows from `first` up to `begun`, which is the first that has not begun; or if they are too many,
    those that began last. As before, `top`, as long as that will do."""
    least, most = (int(share * height) for share in _BAND)
    if begun - first > most:
        first = begun
    if top <= first and least <= begun - top <= most:
        return top
    return max(0, min(first, begun - int(_AFTER_SCROLL * height)))


def span_of_run(
    view: RunView, starts: Sequence[float], forecast: Forecast | None, now: float, *, idle: bool = False
) -> tuple[float, float]:
    """From when to when there is something to see. A time in which nobody ran the run is left out, unless `idle` wants
    it, where it is longer than all that was done before it: then the time begins with the run's latest beginning."""
    end = max(now, forecast.at + forecast.typical.seconds) if forecast is not None else now
    if view.finished is not None:
        end = view.finished.at
    began = view.started_at if view.started_at is not None else now
    first = min((start for start in starts if start <= now), default=began)
    gap = began - first  # `started_at` moves on by the time in which nobody ran it
    begin = first if idle or gap <= max(view.elapsed(now), 0.0) else (view.opened_at or began)
    return begin, end


# -- bars ------------------------------------------------------------------------------------------------


def bars_of(
    view: RunView, number: int, attempts: Sequence[Attempt], forecast: Forecast | None, now: float
) -> list[Bar]:
    """The bars of a unit: one for each of its attempts, for what it waits for now, and for what is expected."""
    bars = [_bar_of(view, number, attempt, now) for attempt in attempts]
    state, last = view.states[number], view.last[number]
    if isinstance(last, UnitFinished) and not (attempts and attempts[-1].number == last.attempt):
        bars.append(Bar(last.at, last.at, Texture.DONE, look_of(view.unit(number))))
    if state.ended or view.state.ended:
        return bars
    start, end = _expected(forecast, number)
    if state in _WAITING and last is not None:
        since = max(last.at, bars[-1].end) if bars else last.at
        bars.append(Bar(since, max(now, start if start < inf else now), Texture.QUEUED))
    begin = now if state in _AT_WORK else max(now, start)
    if begin < end < inf:
        bars.append(Bar(begin, end, Texture.FORECAST))
    return bars


def _bar_of(view: RunView, number: int, attempt: Attempt, now: float) -> Bar:
    look = look_of_attempt(view, number, attempt)
    began, ended = attempt.begun.at, attempt.ended
    if ended is not None:
        return Bar(began, max(began, ended.at), Texture.DONE, None if look is Look.OK else look)
    if view.attempts[number] == attempt.number and view.states[number] in _AT_WORK:
        return Bar(began, max(began, now), Texture.RUNNING, Look.STOP if look is Look.STOP else None)
    if isinstance(attempt.begun, UnitStarted):  # cut, nobody knows when
        return Bar(began, began, Texture.DONE, look)
    return Bar(began, max(began, now), Texture.QUEUED)


def _expected(forecast: Forecast | None, number: int) -> tuple[float, float]:
    """When a unit's next attempt is expected to begin, and the unit to end; infinity where it is not."""
    if forecast is None or number >= len(forecast.typical.ends):
        return inf, inf
    return forecast.at + forecast.typical.starts[number], forecast.at + forecast.typical.ends[number]


def density(spans: Iterable[tuple[float, float]], window: Window) -> list[float]:
    """How many of these are going on in each cell of the window, on the average of its time. O(spans + cells)."""
    begin, cell, width = window
    parts, steps = [0.0] * (width + 1), [0] * (width + 2)
    for began, ended in spans:
        left = min(max((began - begin) / cell, 0.0), width)
        right = min(max((ended - begin) / cell, 0.0), width)
        first, last = int(left), int(right)
        if first == last:
            parts[first] += right - left
        else:
            parts[first] += first + 1 - left
            parts[last] += right - last
            steps[first + 1] += 1
            steps[last] -= 1
    return [part + whole for part, whole in zip(parts[:width], accumulate(steps), strict=False)]


def spans_of(
    view: RunView, units: Sequence[int], forecast: Forecast | None, now: float
) -> Iterator[tuple[float, float]]:
    """From when to when the units are at work: as far as the view knows, in their latest attempt, and as expected."""
    begun_of, last_of, states = view.begun, view.last, view.states
    zero = forecast.at if forecast is not None else 0.0
    starts = forecast.typical.starts if forecast is not None else ()
    ends = forecast.typical.ends if forecast is not None else ()
    for unit in units:
        begun, last = begun_of[unit], last_of[unit]
        if begun is not None and isinstance(last, UnitFinished):
            yield begun.at, last.at
            continue
        end = zero + ends[unit] if unit < len(ends) else inf
        if begun is not None and states[unit] in _AT_WORK:
            yield begun.at, max(now, end if end < inf else now)
        elif end < inf and not states[unit].ended:
            yield max(now, zero + starts[unit]), end


# -- lines -----------------------------------------------------------------------------------------------


def line_of(
    name: str, bars: Sequence[Bar], window: Window, now: float | None, glyphs: Glyphs, *, width: int, critical: bool
) -> tuple[Span, ...]:
    """The row of a unit in `width` cells; `now` is where the line of now stands, None for a run that is over."""
    canvas = _Canvas(window, glyphs)
    for bar in sorted(bars, key=lambda bar: bar.texture is not Texture.FORECAST):
        look = _LOOKS[bar.texture]
        role = look.role if bar.sign is None else SIGNS[bar.sign].role
        canvas.fill(bar.begin, bar.end, look, Role.TEXT if critical and bar.texture is Texture.FORECAST else role)
    just_begun = [bar for bar in bars if bar.texture is Texture.RUNNING and window.at(bar.begin) == window.at(bar.end)]
    if now is not None and not just_begun:
        canvas.line(now)
    for bar in bars:
        if bar.sign is not None:
            canvas.sign(bar)
    if bars and canvas.empty:
        canvas.point(before=bars[-1].begin < window.begin)
    return (*_head(name, width, glyphs, critical=critical), *canvas.spans())


def folded_line(
    name: str,
    view: RunView,
    units: Sequence[int],
    forecast: Forecast | None,
    window: Window,
    now: float,
    glyphs: Glyphs,
    *,
    width: int,
    critical: bool,
) -> tuple[Span, ...]:
    """The row of a bundle: how many of its units are at work at a time, as a bar that is as high as that, and the signs
    of those that failed. What is expected stands behind the line of now."""
    spans = list(spans_of(view, units, forecast, now))
    counts = density(spans, window)
    most, steps = max(counts, default=0.0), len(glyphs.spark)
    canvas = _Canvas(window, glyphs)
    here = window.at(now)
    for cell, count in enumerate(counts):
        if count > 0:
            role = Role.SUCCESS if cell <= here else _LOOKS[Texture.FORECAST].role
            canvas.put(cell, glyphs.spark[max(0, min(ceil(count / most * steps), steps) - 1)], role)
    if not view.state.ended:
        canvas.line(now)
    if spans and canvas.empty:
        canvas.point(before=spans[-1][0] < window.begin)
    for unit in units:
        if view.states[unit] in FAILURES and isinstance(last := view.last[unit], UnitFinished):
            look = look_of(view.unit(unit))
            canvas.put(window.at(last.at), glyphs.sign(look), SIGNS[look].role)
    return (*_head(name, width, glyphs, critical=critical), *canvas.spans())


def bundle_name(label: str, count: int) -> str:
    """What the row of a bundle is called: ``embed[0..11] (12)``."""
    return label if label.endswith(f"{count}") else f"{label} ({count:,})"


def _head(name: str, width: int, glyphs: Glyphs, *, critical: bool) -> tuple[Span, ...]:
    cells = name_width(width)
    shown = pad(cut_middle(name, cells, glyphs.ellipsis), cells)
    return Span(shown, Role.TEXT), Span(f" {PATH_MARK if critical else ' '} ", Role.WARNING)


class _Canvas:
    """The cells of one row."""

    def __init__(self, window: Window, glyphs: Glyphs) -> None:
        self._window, self._glyphs = window, glyphs
        self._cells: list[tuple[str, Role | None]] = [(" ", None)] * window.width
        self.empty = True

    def put(self, cell: int, text: str, role: Role) -> None:
        if 0 <= cell < len(self._cells):
            self._cells[cell] = text, role
            self.empty = False

    def fill(self, begin: float, end: float, look: _Look, role: Role) -> None:
        """A bar, of one cell at least."""
        first, last = self._window.at(begin), self._window.at(end)
        if last < 0 or first >= len(self._cells):
            return
        for cell in range(max(first, 0), max(last, first + 1)):
            self.put(cell, self._glyph(look), role)

    def sign(self, bar: Bar) -> None:
        """How an attempt has ended, in the last cell of its bar."""
        assert bar.sign is not None
        cell = max(self._window.at(bar.end) - 1, self._window.at(bar.begin))
        self.put(cell, self._glyphs.sign(bar.sign), SIGNS[bar.sign].role)

    def line(self, now: float) -> None:
        """The line of now, which is no news of the row."""
        was_empty = self.empty
        self.put(self._window.at(now), self._glyph(_NOW), _NOW.role)
        self.empty = was_empty

    def point(self, *, before: bool) -> None:
        """Say that all there is to see is outside of the window, and where."""
        look = _BEFORE if before else _BEHIND
        self.put(0 if before else len(self._cells) - 1, self._glyph(look), look.role)

    def spans(self) -> Iterator[Span]:
        for role, cells in groupby(self._cells, itemgetter(1)):
            yield Span("".join(text for text, _ in cells), PLAIN if role is None else role)

    def _glyph(self, look: _Look) -> str:
        return look.glyph if self._glyphs.unicode else look.ascii


def legend(glyphs: Glyphs, width: int, *, over: bool, ahead: bool, folds: bool) -> tuple[Span, ...]:
    """What the textures mean, below the bars, as far as there is room; of a run that is `over` only the past, and of
    what is expected only where something is (`ahead`). With rows of bundles (`folds`) also what their heights mean."""
    textures = [Texture.DONE] if over else [each for each in Texture if ahead or each is not Texture.FORECAST]
    parts = [(_sign(_LOOKS[each], glyphs), _LOOKS[each].role, each.value) for each in textures]
    parts += [(PATH_MARK, Role.WARNING, "critical")] if ahead else []
    parts += [(_sign(_NOW, glyphs), _NOW.role, "now")] if not over else []
    parts += [(glyphs.sign(look), SIGNS[look].role, word) for look, word in _ENDS.items()]
    parts += [(glyphs.sign(Look.STOP), SIGNS[Look.STOP].role, "stopping")] if not over else []
    if folds:
        parts.append((f"{glyphs.spark[0]}{glyphs.spark[-1]}", Role.SUCCESS, "few, many at a time"))
    spans: list[Span] = []
    left = width
    for sign, role, word in parts:
        left -= len(sign) + len(word) + 3
        if left < 0:
            break
        spans += [Span(sign, role), Span(f" {word}  ", Role.MUTED)]
    return tuple(spans)


def _sign(look: _Look, glyphs: Glyphs) -> str:
    return look.glyph if glyphs.unicode else look.ascii


def title(
    key: str, told: Told | None, now: float, width: int, error: str = "", *, rows: str = "", shows: str = ""
) -> str:
    """``Timeline (5)  rows 1-7 of 16  critical path 5m10s of 7m02s  +2 gpu slots would save 1m40s``: as many parts as
    fit, from the left; `key` leads to the pane, `error` says why there is no forecast, and `rows` and `shows` what is
    to be seen of the rows and of the time of the run, if not all."""
    parts = [f"Timeline ({key})", *filter(None, (rows, shows))]
    if error:
        parts.append(f"no forecast: {error}")
    elif told is not None:
        from qtui.core.forecast import CRITICAL_PATH

        left = told.parts(now)
        busy = sum(part.seconds for part in left if part.what == CRITICAL_PATH)
        whole = sum(part.seconds for part in left)
        parts += [f"critical path {span_of(busy)} of {span_of(whole)}"] if round(whole) else []
        parts += [gain_words(gain) for gain in told.advice(now)]
    while len(parts) > 1 and len("  ".join(parts)) > width:
        parts.pop()
    return "  ".join(parts)
