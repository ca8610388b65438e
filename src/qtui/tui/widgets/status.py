"""The two lines at the bottom: what is worth a sentence now, and the keys."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from qtui.core.model import RunState, UnitState
from qtui.core.state import RunView
from qtui.tui.format import Glyphs
from qtui.tui.keys import Key, key_line
from qtui.tui.roles import Role
from qtui.tui.steering import held_brakes
from qtui.tui.text import PLAIN, Span, clean, cut_end
from qtui.tui.widgets.lines import Lines


class StatusLine(Lines):
    """One sentence on the left; on the right whatever has no pane on the screen."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id="status")
        self._glyphs = glyphs

    def say(self, text: str, role: Role, right: str = "") -> None:
        """Show these instead of the former; the sentence goes first where there is no room for both."""
        width = self.size.width
        right = f" {right} " if right and cell_len(right) + max(20, cell_len(clean(text)) + 3) <= width else ""
        left = cut_end(f" {clean(text)}", width - cell_len(right), self._glyphs.ellipsis)
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        self.show([(Span(left, role), Span(gap, PLAIN), Span(right, Role.MUTED))])


class KeyLine(Lines):
    """The most needed keys, as many as fit."""

    def __init__(self, hints: Sequence[Key]) -> None:
        super().__init__(id="keys")
        self._hints = hints

    def tell(self, hints: Sequence[Key]) -> None:
        """Show these keys instead of the former."""
        if hints != self._hints:
            self._hints = hints
            self.show([key_line(self.size.width, hints)])

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.show([key_line(self.size.width, self._hints)])


def situation(view: RunView, *, allowed: int = 0, steerable: bool = True, lost: bool = False) -> tuple[str, Role]:
    """What is worth saying about the run when nothing else is, and its role; `allowed` failures are no bad news.

    Keys that ask something of the run are named only if it is `steerable`, and nobody is told to wait if it is `lost`.
    """
    if lost:
        return "this is the last on record; q leaves", Role.WARNING

    def say(text: str, keys: str) -> str:
        return f"{text}; {keys}" if steerable else text

    failed = view.counts[UnitState.FAILED] + view.counts[UnitState.TIMEOUT] - allowed
    again = f"{failed} failed: f next{', r again, R all' if steerable else ''}"
    rerun = "R runs again what was canceled" if steerable else ""
    if view.state.ended:
        text, role = _end(view, again if failed else rerun, allowed)
        left = f"; {view.abandoned} abandoned, still running" if view.abandoned else ""
        return f"{text}{left}; q leaves", role
    if view.stopping is not None:
        left = f"{view.active} still running"
        if view.stopping.how == "drain":
            return say(f"draining, {left}", "X s stops now"), Role.WARNING
        return say(f"stopping, {left}", "X s kills"), Role.WARNING
    if view.asked:
        who = f"{view.asked} units ask" if view.asked > 1 else "1 unit asks"
        return say(f"{who} for {'your' if steerable else 'a'} yes", "a answers"), Role.WARNING
    if view.paused:
        return say("paused: nothing new starts", "p goes on"), Role.WARNING
    if held := held_brakes(view):
        return say(f"starts are held: {'; '.join(held)}", "a lets go"), Role.WARNING
    if view.stalled:
        stalled = f"stalled by {view.abandoned} abandoned units that cannot be stopped"
        return say(stalled, "X ends the run"), Role.WARNING
    if view.abandoned:
        return f"{view.abandoned} abandoned, still running: could not be stopped", Role.WARNING
    if failed:
        return again, Role.ERROR
    return "", Role.MUTED


def _end(view: RunView, bad: str, allowed: int) -> tuple[str, Role]:
    """How the run ended; `bad` is what to do about failures."""
    match view.state:
        case RunState.FAILED:
            return "; ".join(filter(None, (view.timed_out, bad))) or "failed", Role.ERROR
        case RunState.CANCELED:
            return "canceled", Role.SECONDARY
        case RunState.INTERRUPTED:
            return "interrupted", Role.SECONDARY
        case _:
            return f"finished, {allowed} failed and allowed" if allowed else "finished", Role.SUCCESS
