"""The Textual application: one screen on one session, and how it is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.screen import Screen

from qtui.core.model import RunState
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRunRequested
from qtui.tui.actions import Keymap, Where, bindings
from qtui.tui.drawn import Drawn, needs_ascii
from qtui.tui.ending import Countdown, OnFinish, is_heard, leaves_after
from qtui.tui.player import Player
from qtui.tui.roles import AUTO
from qtui.tui.screens.dialog import Dialog
from qtui.tui.screens.main import MainScreen
from qtui.tui.theme import THEMES

if TYPE_CHECKING:
    from qtui.tui.forecaster import Past
    from qtui.tui.steering import Detach, Do, Note

AGAIN_SECONDS: Final = 3.0
"""A second ctrl+c within this time cancels the run."""

_STAYING: Final = (
    events.Key,
    events.Paste,
    events.MouseDown,
    events.MouseScrollDown,
    events.MouseScrollUp,
    events.MouseScrollLeft,
    events.MouseScrollRight,
)
"""What tells that a person is there."""
_STIRRING: Final = (*_STAYING, events.Resize, events.AppFocus, events.MouseUp, events.MouseMove)
"""What frames are drawn for."""

_NOT_DETACHABLE: Final = "this run cannot go on without its screen"


class Left(StrEnum):
    """How a screen was left."""

    FINISHED = "finished"
    CANCELED = "canceled"
    RUNNING = "left-running"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """How a screen was left, and the exit code of the run; None if the run goes on."""

    how: Left
    exit_code: int | None


class Dashboard(Drawn[Leaving], inherit_bindings=False):
    """A screen on `session`, which it reads and posts requests to, and neither starts nor closes.

    `player` is what moves through the time of a replay. `keymap` has the keys that a person has chosen. `ascii` draws
    with ASCII only; `color` True or False overrides NO_COLOR, which decides if it is None. `theme` is the name of one.
    `on_finish` says whether the screen leaves by itself when the run has ended, and `rings` whether the bell is wanted
    then. `stop` has the shell take the terminal until `come_back` is called; without it, ctrl+z does nothing.
    `detachable` says that the run can go on without this screen. `modes` are those that the terminal is to have again.
    `lend` is told who is in front of the terminal while a pager is. `ask_past` tells what units of the session took in
    earlier runs, on a thread of the screen's; without it there are no forecasts.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.APP)

    def __init__(
        self,
        session: RunSession,
        title: str,
        *,
        player: Player | None = None,
        ask_past: Callable[[RunSession], Past] | None = None,
        keymap: Keymap | None = None,
        ascii: bool = False,  # noqa: A002
        color: bool | None = None,
        theme: str = AUTO,
        on_finish: OnFinish = OnFinish.STAY,
        rings: Callable[[RunView], bool] = lambda view: False,  # noqa: ARG005
        stop: Callable[[], None] | None = None,
        detachable: bool = False,
        modes: list[Any] | None = None,
        lend: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(ascii=ascii, color=color, theme=theme, lend=lend)
        self.title = title
        self._session = session
        self._player = player
        self._asks_past = ask_past
        self._stop, self._detachable, self._modes_before = stop, detachable, modes
        self._chosen = dict(keymap or {})
        self.set_keymap(self._chosen)
        self._on_finish, self._rings = on_finish, rings
        self._countdown: Countdown | None = None
        self._stays = session.kind != "live" and session.view().state.ended
        self._leave_when_finished = False
        self._interrupted_at: float | None = None
        self._hung_up = False
        self._told = ""
        self._back = threading.Event()
        self._back.set()

    def on_mount(self) -> None:
        """The driver found the modes of the sketch; the shell, which may take over at any time, wants its own."""
        driver: Any = self._driver
        if self._modes_before is not None and hasattr(driver, "attrs_before"):
            driver.attrs_before = self._modes_before

    def get_default_screen(self) -> Screen[None]:
        """Textual's hook: the first screen."""
        return MainScreen(
            self._session,
            self.title,
            self._glyphs,
            keymap=self._chosen,
            player=self._player,
            ask_past=self._asks_past,
            on_finished=self._on_run_finished,
            on_frame=self._on_frame,
        )

    @property
    def _main(self) -> MainScreen | None:
        """The first screen, once it is there."""
        stack = self.screen_stack
        return stack[0] if stack and isinstance(stack[0], MainScreen) else None

    def heard(self) -> None:
        """What was said is read."""
        if (main := self._main) is not None:
            main.heard()

    # -- looks -------------------------------------------------------------------------------------------

    def action_theme(self) -> None:
        """The next theme."""
        names = list(THEMES)
        self.action_use_theme(names[(names.index(self.palette.name) + 1) % len(names)])

    def action_use_theme(self, name: str) -> None:
        """Draw in another theme, and say so."""
        if self.no_color:
            self.tell("colours are off (NO_COLOR, or --color never)")
        else:
            self.paint(THEMES[name])
            self.tell(f"theme: {name}")

    # -- leaving -----------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave if the run has finished or goes on elsewhere; ask what becomes of it if not."""
        view = self._session.view()
        if view.state.ended or self._session.kind != "live":
            self._leave()
        else:
            from qtui.tui.screens.question import Question
            from qtui.tui.steering import Detach, Option, leave

            ask = leave(view)
            if self._detachable:
                detach = Option("D", "let it go on without a screen", Detach())
                ask = ask._replace(options=(detach, *ask.options))
            foresee = main.foresee if (main := self._main) is not None else None
            self.push_screen(Question(ask, self._glyphs, self._session.view, foresee), self._answered)

    def action_detach(self) -> None:
        """Leave and let the run go on; `qtui attach` shows it again. A screen on a run elsewhere just leaves."""
        if self._session.view().state.ended or self._session.kind != "live":
            self._leave()
        elif self._detachable:
            self.exit(Leaving(how=Left.DETACHED, exit_code=None))
        elif isinstance(self.screen, MainScreen):
            self.screen.note(_NOT_DETACHABLE)

    def action_interrupt(self) -> None:
        """Ctrl+C: the same question; again within 3 s: cancel the run; from then on: kill."""
        now = time.monotonic()
        if self._session.view().state.ended or self._session.kind != "live":
            self._leave()
        elif self._interrupted_at is not None and (
            self._leave_when_finished or now - self._interrupted_at <= AGAIN_SECONDS
        ):
            from qtui.tui.steering import Do

            if isinstance(self.screen, Dialog):
                self.screen.close()
            self._answered(Do(CancelRunRequested("stop"), leave=True))
        else:
            self._interrupted_at = now
            if isinstance(self.screen, Dialog):
                self.screen.close()
            self.action_leave()

    def _answered(self, chosen: Do | Detach | Note | None) -> None:
        from qtui.tui.steering import Detach, Note

        if isinstance(chosen, Detach):
            self.action_detach()
        elif isinstance(chosen, Note):
            self.tell(chosen.text)
        elif chosen is not None:
            self._leave_when_finished = chosen.leave
            self._session.request(chosen.request)

    def action_suspend_process(self) -> None:
        """Ctrl+Z: have the shell take the terminal, and wait; the engine, which lives in this process, goes on.

        The whole screen waits here, for nothing may be drawn meanwhile.
        """
        driver = self._driver
        if self._stop is None or driver is None or not driver.can_suspend:
            return
        self._back.clear()
        driver.suspend_application_mode()
        self._stop()
        self._back.wait()
        driver.resume_application_mode()
        self.refresh(layout=True)

    @property
    def suspended(self) -> bool:
        """True while the shell has the terminal."""
        return not self._back.is_set()

    def come_back(self) -> None:
        """The terminal is there for the screen again. Any thread may call this and the next three."""
        self._back.set()

    def leave_when_ended(self) -> None:
        """Leave as soon as the run has finished, or at once if it has."""
        self._leave_when_finished = True
        self.pager.end()

    def hang_up(self) -> None:
        """Leave at once, whatever the run does."""
        self._hung_up = True
        self._back.set()
        self.pager.end()

    def tell(self, text: str) -> None:
        """Say something for a few seconds."""
        self._told = text

    async def on_event(self, event: events.Event) -> None:
        """Textual's hook, before anything is done with an event: whoever does something stays."""
        if isinstance(event, _STAYING):
            if self._countdown is not None:
                self._stays = True
            self._count_down(None)
        if isinstance(event, _STIRRING) and (main := self._main) is not None:
            main.stir()
        await super().on_event(event)

    def _count_down(self, countdown: Countdown | None) -> None:
        """Begin to count down, or stop it with None."""
        self._countdown = countdown
        words = countdown.words(self._session.view(), time.monotonic()) if countdown is not None else ""
        if (main := self._main) is not None and main.farewell != words:
            main.farewell, main.stale = words, True

    def _on_frame(self) -> None:
        if self._told and isinstance(self.screen, MainScreen):
            self.screen.note(self._told)
            self._told = ""
        ended = self._session.view().state.ended
        if self._countdown is not None:
            self._count_down(self._countdown if ended else None)
        over = self._countdown is not None and self._countdown.over(time.monotonic())
        # a signal may come when the run has long finished, and then nobody may be there to press a key
        if self._hung_up or over or (self._leave_when_finished and ended):
            self._leave()

    def _on_run_finished(self) -> None:
        if isinstance(self.screen, Dialog) and self.screen.moot_when_ended:
            self.screen.dismiss(None)
        view = self._session.view()
        if self._rings(view) and is_heard(view, focused=self.app_focus):
            self.bell()
        seconds = leaves_after(self._on_finish, view, self._session.kind)
        if seconds == 0.0 and not self._stays:
            self._leave()
        elif seconds is not None and not self._stays and isinstance(self.screen, MainScreen):
            self._count_down(Countdown(time.monotonic(), seconds))

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
    leaving = app.draw()
    return leaving if leaving is not None else Leaving(how=Left.RUNNING, exit_code=None)


def make_dashboard(
    session: RunSession,
    *,
    title: str,
    player: Player | None = None,
    ask_past: Callable[[RunSession], Past] | None = None,
    keymap: Keymap | None = None,
    ascii: bool = False,  # noqa: A002
    color: bool | None = None,
    theme: str = AUTO,
    on_finish: OnFinish = OnFinish.STAY,
    rings: Callable[[RunView], bool] = lambda view: False,  # noqa: ARG005
    stop: Callable[[], None] | None = None,
    detachable: bool = False,
    modes: list[Any] | None = None,
    lend: Callable[[int], None] | None = None,
) -> Dashboard:
    """A dashboard fit for the terminal: ASCII is also chosen for terminals that show no more."""
    return Dashboard(
        session,
        title,
        player=player,
        ask_past=ask_past,
        keymap=keymap,
        ascii=needs_ascii(ascii),
        color=color,
        theme=theme,
        on_finish=on_finish,
        rings=rings,
        stop=stop,
        detachable=detachable,
        modes=modes,
        lend=lend,
    )
