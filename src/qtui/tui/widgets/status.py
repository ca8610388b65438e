"""The two lines at the bottom: what is worth a sentence now, and the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from qtui.core.holding import held_brakes
from qtui.core.model import RunState, UnitState
from qtui.core.state import RunView
from qtui.tui.actions import USUAL, Keymap
from qtui.tui.format import Glyphs, Look, run_word, short_clock
from qtui.tui.keys import Key, key_for
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span, clean, cut_end, cut_middle
from qtui.tui.widgets.lines import Line, Lines

HELP: Final = "help"
"""What the hint of the key says that leads to all others."""

_GAP: Final = "  "
_MOST_SILENT: Final = 24
"""Cells of the name of a unit that is silent: what is to be done has to fit beside it."""


class StatusLine(Lines):
    """One sentence on the left; on the right whatever has no pane on the screen."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id="status")
        self._glyphs = glyphs
        self._said: tuple[str, Role, str] = ("", Role.MUTED, "")

    def say(self, text: str, role: Role, right: str = "") -> None:
        """Show these instead of the former; the sentence goes first where there is no room for both."""
        self._said = text, role, right
        width = self.size.width
        right = f" {right} " if right and cell_len(right) + max(20, cell_len(clean(text)) + 3) <= width else ""
        left = cut_end(f" {clean(text)}", width - cell_len(right), self._glyphs.ellipsis)
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        self.show([(Span(left, role), Span(gap, PLAIN), Span(right, Role.MUTED))])

    def on_resize(self) -> None:
        """Draw for the new width; where the line has just come to the screen, it had none."""
        self.say(*self._said)


class KeyLine(Lines):
    """The most needed keys, as many as fit, and the one for help in every case."""

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


def key_line(width: int, hints: Sequence[Key]) -> Line:
    """As many hints as fit into `width` cells; behind them all the one that leads to the others."""
    helping = next((hint for hint in hints if hint.text == HELP), None)
    left = width - 1 - (_cells(helping) if helping else 0)
    shown = []
    for hint in hints:
        if hint is helping:
            continue
        left -= _cells(hint) + len(_GAP)
        if left < 0:
            break
        shown.append(hint)
    spans = [Span(" ", PLAIN)]
    for keys, text in [*shown, helping] if helping else shown:
        spans += [Span(keys, Role.KEY), Span(f" {text}{_GAP}", Role.MUTED)]
    return tuple(spans)


def _cells(hint: Key) -> int:
    return cell_len(hint.keys) + 1 + cell_len(hint.text)


def in_a_line(view: RunView, glyphs: Glyphs, *, allowed: int = 0, keymap: Keymap | None = None) -> tuple[str, Role]:
    """A run where there is room for no more than a line: how far it is, then bad news, which `allowed` failures are
    not, then its state; with a `keymap` which key lets it go on, if it is paused."""
    failed = view.counts[UnitState.FAILED] + view.counts[UnitState.TIMEOUT] - allowed
    word, role = run_word(view)
    if word == "PAUSED" and keymap is not None:
        word += f", {key_for('run.pause', keymap)} goes on"
    bad = f"{glyphs.sign(Look.FAIL)}{failed}" if failed else ""
    silent = f"{len(view.silent)} silent" if view.silent else ""
    role = Role.ERROR if failed else Role.WARNING if silent else role
    return " ".join(filter(None, (f"{view.ended}/{len(view.plan)}", bad, silent, word))), role


def with_silence(text: str, role: Role, view: RunView, now: float, *, brief: bool = False) -> tuple[str, Role]:
    """What is said of the run behind what it says of units that are silent for longer than they may: ``stuck silent
    1:01; 1 unit asks you; a answers``; before it if that is to be `brief`, for the end may be cut off."""
    if not view.silent or view.state.ended:
        return text, role
    (number, since), *others = view.silent.items()
    who = f"{len(view.silent)} units" if others else cut_middle(clean(view.plan.table[number].id), _MOST_SILENT, "..")
    told = f"{who} silent{'' if others else f' {short_clock(max(0.0, now - since))}'}"
    parts = filter(None, (text, told) if brief else (told, text))
    return "; ".join(parts), role if role is Role.ERROR else Role.WARNING


def situation(
    view: RunView,
    *,
    allowed: int = 0,
    steerable: bool = True,
    lost: bool = False,
    keymap: Keymap = USUAL,
    brief: bool = False,
) -> tuple[str, Role]:
    """What is worth saying about the run when nothing else is, and its role; `allowed` failures are no bad news. What
    asks is told in fewer words if that is to be `brief`.

    Keys that ask something of the run are named only if it is `steerable`, and nobody is told to wait if it is `lost`.
    """

    def key(action: str) -> str:
        return key_for(action, keymap)

    def say(text: str, keys: str) -> str:
        return f"{text}; {keys}" if steerable else text

    if lost:
        return f"this is the last on record; {key('app.leave')} quits", Role.WARNING

    failed = view.counts[UnitState.FAILED] + view.counts[UnitState.TIMEOUT] - allowed
    anew = f", {key('unit.retry')} again, {key('unit.retry_all')} all" if steerable else ""
    again = f"{failed} failed: {key('unit.next_failed')} next{anew}"
    rerun = f"{key('unit.retry_all')} runs again what was canceled" if steerable else ""
    if view.state.ended:
        text, role = _end(view, again if failed else rerun, allowed)
        left = f"; {view.abandoned} abandoned, still running" if view.abandoned else ""
        return f"{text}{left}; {key('app.leave')} quits", role
    if view.stopping is not None:
        left = f"{view.active} still running"
        if view.stopping.how == "drain":
            return say(f"draining, {left}", f"{key('run.cancel')} s stops now"), Role.WARNING
        return say(f"stopping, {left}", f"{key('run.cancel')} s kills"), Role.WARNING
    if view.asked:
        who = f"{view.asked} units ask" if view.asked > 1 else "1 unit asks"
        whom = "you" if steerable else "for an answer"
        asks = f"{view.asked} ask{'' if view.asked > 1 else 's'}" if brief else f"{who} {whom}"
        answers = f"{key('unit.answer')} answers"
        if view.paused and steerable:
            return f"paused, {key('run.pause')} goes on; {asks}, {answers}", Role.WARNING
        return say(f"paused; {asks}" if view.paused else asks, answers), Role.WARNING
    if view.paused:
        return say("paused: nothing new starts", f"{key('run.pause')} goes on"), Role.WARNING
    if held := held_brakes(view):
        return say(f"starts are held: {'; '.join(held)}", f"{key('unit.answer')} lets go"), Role.WARNING
    if view.stalled:
        stalled = f"stalled by {view.abandoned} abandoned units that cannot be stopped"
        return say(stalled, f"{key('run.cancel')} ends the run"), Role.WARNING
    if view.abandoned:
        return f"{view.abandoned} abandoned, still running: could not be stopped", Role.WARNING
    if failed:
        return again, Role.ERROR
    return "", Role.MUTED


def _end(view: RunView, bad: str, allowed: int) -> tuple[str, Role]:
    """How the run ended; `bad` is what to do about failures."""
    match view.state:
        case RunState.FAILED:
            return "; ".join(filter(None, (view.ended_by, bad))) or "failed", Role.ERROR
        case RunState.CANCELED:
            return "canceled", Role.SECONDARY
        case RunState.INTERRUPTED:
            return ": ".join(filter(None, ("interrupted", view.ended_by))), Role.SECONDARY
        case _:
            return f"finished, {allowed} failed and allowed" if allowed else "finished", Role.SUCCESS
