"""The Textual application: one screen on one session, and how it is left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor
from textual.screen import Screen

from qtui.core.model import RunState
from qtui.core.session import RunSession
from qtui.core.stimuli import CancelRunRequested
from qtui.tui import steering
from qtui.tui.format import ASCII, UNICODE, prefers_ascii
from qtui.tui.screens.main import MainScreen
from qtui.tui.screens.question import Question
from qtui.tui.steering import Do

AGAIN_SECONDS: Final = 3.0
"""A second ctrl+c within this time cancels the run."""


class Left(StrEnum):
    """How a screen was left."""

    FINISHED = "finished"
    CANCELED = "canceled"
    RUNNING = "left-running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """How a screen was left, and the exit code of the run; None if the run goes on."""

    how: Left
    exit_code: int | None


class AsciiOnly(LineFilter):
    """Puts ``?`` in place of what an ASCII terminal cannot show: names and output may hold anything."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Textual's hook: one line; every cell stays where it is."""
        return [segment if segment.text.isascii() else self._replaced(segment) for segment in segments]

    def _replaced(self, segment: Segment) -> Segment:
        text = "".join(char if char.isascii() else "?" * cell_len(char) for char in segment.text)
        return Segment(text, segment.style)


class Dashboard(App[Leaving], inherit_bindings=False):
    """A screen on `session`, which it reads and posts requests to, and neither starts nor closes.

    `ascii` draws with ASCII only; `color` True or False overrides NO_COLOR, which decides if it is None.
    """

    CSS_PATH = "dashboard.tcss"
    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "interrupt", show=False, priority=True)]

    def __init__(self, session: RunSession, title: str, *, ascii: bool = False, color: bool | None = None) -> None:  # noqa: A002
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.title = title
        self._session = session
        self._glyphs = ASCII if ascii else UNICODE
        self._color = color
        if color is not None:
            self.no_color = not color
        self._outside = sys.stdout, sys.stderr
        self._leave_when_finished = False
        self._interrupted_at: float | None = None
        self.failure: Exception | None = None

    def get_default_screen(self) -> Screen[None]:
        """Textual's hook: the first screen."""
        return MainScreen(
            self._session,
            self.title,
            self._glyphs,
            on_finished=self._on_run_finished,
            on_frame=self._on_frame,
        )

    def on_mount(self) -> None:
        """Undo what Textual does to standard output and error: it drops what is printed, but prints of units are
        for their logs. When it ends, Textual gives back the streams it found, which are these."""
        sys.stdout, sys.stderr = self._outside

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's hook: what is done to every line; `color` decides on colours."""
        filters = [each for each in super().get_line_filters() if not isinstance(each, Monochrome | NoColor)]
        if self.no_color:
            filters.append(NoColor())
        if not self._glyphs.unicode:
            filters.append(AsciiOnly())
        return filters

    def action_suspend_process(self) -> None:
        """Ctrl+Z must not stop the process: the engine lives in it."""

    def _handle_exception(self, error: Exception) -> None:
        """Textual's hook for what nobody caught: keep it for `run_dashboard` instead of printing it."""
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()

    def panic(self, *renderables: Any) -> None:
        """Textual's hook for errors of its input thread: told as a broken screen, like those of widgets."""
        self.failure = self.failure or RuntimeError("the terminal sent something that cannot be read")
        super().panic(*renderables)
        self._exit_renderables.clear()

    # -- leaving -----------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave if the run has finished; ask what becomes of it if not."""
        view = self._session.view()
        if view.state.ended:
            self._leave()
        else:
            self.push_screen(Question(steering.leave(view), self._glyphs), self._answered)

    def action_interrupt(self) -> None:
        """Ctrl+C: the same question; again within 3 s: cancel the run; from then on: kill."""
        now = time.monotonic()
        if self._session.view().state.ended:
            self._leave()
        elif self._interrupted_at is not None and (
            self._leave_when_finished or now - self._interrupted_at <= AGAIN_SECONDS
        ):
            if isinstance(self.screen, Question):
                self.screen.dismiss(None)
            self._answered(Do(CancelRunRequested("stop"), leave=True))
        else:
            self._interrupted_at = now
            if isinstance(self.screen, Question):
                self.screen.dismiss(None)
            self.action_leave()

    def _answered(self, chosen: Do | None) -> None:
        if chosen is not None:
            self._leave_when_finished = chosen.leave
            self._session.request(chosen.request)

    def hang_up(self) -> None:
        """Leave as soon as the run has finished, or at once if it has; may be called by a signal handler."""
        self._leave_when_finished = True

    def _on_frame(self) -> None:
        # a signal may come when the run has long finished, and then nobody may be there to press a key
        if self._leave_when_finished and self._session.view().state.ended:
            self._leave()

    def _on_run_finished(self) -> None:
        if isinstance(self.screen, Question) and self.screen.moot_when_ended:
            self.screen.dismiss(None)
        # an interrupted run was ended by a signal to the whole program: nobody may be there to press a key
        if self._session.view().state is RunState.INTERRUPTED:
            self._leave()

    def _leave(self) -> None:
        view = self._session.view()
        if view.finished is None:
            self.exit(Leaving(how=Left.RUNNING, exit_code=None))
        else:
            canceled = view.state in (RunState.CANCELED, RunState.INTERRUPTED)
            how = Left.CANCELED if canceled else Left.FINISHED
            self.exit(Leaving(how=how, exit_code=view.finished.exit_code))


def run_dashboard(app: Dashboard) -> Leaving:
    """Show `app` on the terminal until the person leaves; call it on the main thread.

    Raises whatever broke the screen, with the terminal restored; the run goes on in any case, unless the person
    canceled it.
    """
    leaving = app.run()
    if app.failure is not None:
        raise app.failure
    return leaving if leaving is not None else Leaving(how=Left.RUNNING, exit_code=None)


def make_dashboard(session: RunSession, *, title: str, ascii: bool = False) -> Dashboard:  # noqa: A002
    """A dashboard fit for the terminal: ASCII is also chosen for terminals that show no more."""
    encoding = getattr(sys.__stderr__, "encoding", None)
    return Dashboard(session, title, ascii=ascii or prefers_ascii(os.environ, encoding))
