"""The two lines at the bottom: what is worth a sentence now, and the keys."""

from __future__ import annotations

from rich.cells import cell_len

from qtui.core.model import RunState, UnitState
from qtui.core.state import RunView
from qtui.tui.format import Glyphs, Role
from qtui.tui.keys import key_line
from qtui.tui.steering import held_brakes
from qtui.tui.text import PLAIN, Span, clean, cut_end
from qtui.tui.theme import DARK, QUIET
from qtui.tui.widgets.lines import Lines


class StatusLine(Lines):
    """One sentence on the left; on the right whatever has no pane on the screen."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id="status")
        self._glyphs = glyphs

    def say(self, text: str, role: Role, right: str = "") -> None:
        """Show these instead of the former."""
        width = self.size.width
        right = f" {right} " if right and cell_len(right) + 20 < width else ""
        left = cut_end(f" {clean(text)}", width - cell_len(right), self._glyphs.ellipsis)
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        self.show([(Span(left, QUIET[role]), Span(gap, PLAIN), Span(right, DARK[Role.MUTED]))])


class KeyLine(Lines):
    """The most needed keys, as many as fit."""

    def __init__(self) -> None:
        super().__init__(id="keys")

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.show([key_line(self.size.width)])


def situation(view: RunView, *, allowed: int = 0) -> tuple[str, Role]:
    """What is worth saying about the run when nothing else is, and its role; `allowed` failures are no bad news."""
    failed = view.counts[UnitState.FAILED] + view.counts[UnitState.TIMEOUT] - allowed
    if view.state.ended:
        text, role = _end(view, failed, allowed)
        left = f"; {view.abandoned} abandoned, still running" if view.abandoned else ""
        return f"{text}{left}; q leaves", role
    if view.stopping is not None:
        left = f"{view.active} still running"
        if view.stopping.how == "drain":
            return f"draining, {left}; X s stops now", Role.WARNING
        return f"stopping, {left}; X s kills", Role.WARNING
    if view.asked:
        who = f"{view.asked} units ask" if view.asked > 1 else "1 unit asks"
        return f"{who} for your yes; a answers", Role.WARNING
    if view.paused:
        return "paused: nothing new starts; p goes on", Role.WARNING
    if held := held_brakes(view):
        return f"starts are held: {'; '.join(held)}; a lets go", Role.WARNING
    if view.stalled:
        return f"stalled by {view.abandoned} abandoned units that cannot be stopped; X ends the run", Role.WARNING
    if view.abandoned:
        return f"{view.abandoned} abandoned, still running: could not be stopped", Role.WARNING
    if failed:
        return f"{failed} failed: f next, r again, R all", Role.ERROR
    return "", Role.MUTED


def _end(view: RunView, failed: int, allowed: int) -> tuple[str, Role]:
    match view.state:
        case RunState.FAILED:
            keys = f"{failed} failed: f next, r again, R all" if failed else "R runs again what was canceled"
            return f"{view.timed_out}; {keys}" if view.timed_out else keys, Role.ERROR
        case RunState.CANCELED:
            return "canceled", Role.SECONDARY
        case RunState.INTERRUPTED:
            return "interrupted", Role.SECONDARY
        case _:
            return f"finished, {allowed} failed and allowed" if allowed else "finished", Role.SUCCESS
