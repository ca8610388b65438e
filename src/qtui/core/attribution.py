"""What a time is made of, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qtui.core.forecast import Part

_MOST: Final = 4
"""Where there is little room, no more parts than these are named."""


def attribution(parts: Sequence[Part], *, finest: float = 0.01, whole: str = "", room: int | None = None) -> str:
    """``7m02s = 5m10s critical path + 1m12s pool gpu + 40s workers``, of parts that are sorted, longest first.

    The figures add up: all are rounded to the same place, to no less than `finest` seconds, and what that leaves over
    is moved on to the next. `whole` stands behind the sum. In `room` characters those are named that there is room for.
    """
    seconds = sum(part.seconds for part in parts)
    natural = 60.0 if seconds >= 3600 else 1.0 if seconds >= 59.95 else 0.1 if seconds >= 9.995 else 0.01
    step = max(finest, natural)
    told, before, until = list[tuple[int, str]](), 0, 0.0
    for part in parts:
        until += part.seconds
        if (steps := round(until / step)) > before:
            told.append((steps - before, part.what))
            before = steps
    total = f"{_time(before, step)} {whole}".rstrip()
    if len(told) == 1:
        return f"{total}, all {told[0][1]}"
    texts = [f"{_time(steps, step)} {what}" for steps, what in told]
    for most in range(len(texts) if room is None else min(len(texts), _MOST), 0, -1):
        rest = sum(steps for steps, _ in told[most:])
        text = f"{total} = {' + '.join([*texts[:most], *([f'{_time(rest, step)} others'] if rest else [])])}"
        if room is None or len(text) <= room:
            return text
    return total


def _time(steps: int, step: float) -> str:
    if step < 1:
        return f"{steps * step:.{1 if step == 0.1 else 2}f}s"
    whole = round(steps * step)
    if whole < 60:
        return f"{whole}s"
    if step == 1:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole // 60 % 60:02}m" if whole >= 3600 else f"{whole // 60}m"
