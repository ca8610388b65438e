"""What every screen of qtui has in common: the terminal's own colours, ASCII where that is all there is, and errors
that reach whoever asked for the screen."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import App, ReturnType, ScreenStackError
from textual.color import Color
from textual.css.query import NoMatches
from textual.dom import NoScreen
from textual.filter import LineFilter, Monochrome, NoColor
from textual.geometry import Size
from textual.message_pump import MessagePump
from textual.timer import Timer, TimerCallback
from textual.widgets import Input

from qtui.tui.charset import ascii_only
from qtui.tui.driver import TerminalDriver
from qtui.tui.format import ASCII, UNICODE
from qtui.tui.guard import guarded
from qtui.tui.pager import Pager
from qtui.tui.roles import AUTO
from qtui.tui.theme import MONO, Theme, theme_for

MEASURE_SECONDS: Final = 1.0
"""How often the terminal is asked for its size, besides when it tells of a new one. That costs a microsecond."""

CATCH_UP_SECONDS: Final = 5.0
"""How long a key waits at most for what was typed before it."""

_GONE: Final = (NoMatches, NoScreen, ScreenStackError)
"""What whoever still has a key to act on meets on a screen that is being taken down."""


class AsciiOnly(LineFilter):
    """Puts ``?`` in place of what an ASCII terminal cannot show: names and output may hold anything."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Textual's hook: one line; every cell stays where it is."""
        return [segment if segment.text.isascii() else self._replaced(segment) for segment in segments]

    def _replaced(self, segment: Segment) -> Segment:
        text = "".join(char if char.isascii() else "?" * cell_len(char) for char in segment.text)
        return Segment(text, segment.style)


class Punctual(MessagePump):
    """Has timers that always go off.

    Textual gives up a timer that is due before it begins to wait, as happens when units keep the interpreter busy. The
    one that collects resizes is due after 8 ms: with it the size of the terminal would be lost.
    """

    def set_timer(
        self,
        delay: float,
        callback: TimerCallback | None = None,
        *,
        name: str | None = None,
        pause: bool = False,
    ) -> Timer:
        """Call a function after a delay, however late."""
        timer = super().set_timer(delay, callback, name=name, pause=pause)
        timer._skip = False  # before it has begun to run: that takes a turn of the loop
        return timer


class Drawn(Punctual, App[ReturnType], inherit_bindings=False):
    """An application that fills the terminal.

    `ascii` draws with ASCII only; `color` True or False overrides NO_COLOR, which decides if it is None. `theme` is the
    name of a theme, which counts unless there are no colours. `lend` is told who has the terminal meanwhile, see Pager.
    """

    CSS_PATH = "dashboard.tcss"
    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    ALLOW_SELECT = False
    TICK_SECONDS: ClassVar[float] = 1.0
    """How often somebody looks whether this screen still does what it has to."""

    def __init__(
        self,
        *,
        ascii: bool = False,  # noqa: A002
        color: bool | None = None,
        theme: str = AUTO,
        lend: Callable[[int], None] | None = None,
    ) -> None:
        self.set_reactive(App.theme, "ansi-dark")  # from the start, so that nothing is made for another one
        super().__init__(driver_class=TerminalDriver, ansi_color=True)
        # nothing here has tooltips or toasts, and each screen would begin with widgets for them
        self._disable_tooltips = self._disable_notifications = True
        self._glyphs = ASCII if ascii else UNICODE
        self._color = color
        if color is not None:
            self.no_color = not color
        self._outside = sys.stdout, sys.stderr
        self.palette: Theme = MONO if self.no_color else theme_for(theme, os.environ)
        self.pager = Pager(lend)
        self.failure: Exception | None = None
        self._guard: asyncio.Task[None] | None = None
        self._given_up = ""
        self._is_alone = False

    def refresh_css(self, animate: bool = True) -> None:
        """Textual's hook for another theme of its own. There never is one; at the start it would read the stylesheet a
        second time, which takes a tenth of the time to the first frame."""

    def on_ready(self) -> None:
        """Textual's hook, when all is there: most of that stays, the plan and its layout among it, so the collector of
        garbage need not look at it again. A full pass over 20,000 units took 100 ms, in which every thread waits."""
        if self._is_alone:
            gc.freeze()

    def on_mount(self) -> None:
        """Undo what Textual does to standard output and error: it drops what is printed, but prints of units are
        for their logs. When it ends, Textual gives back the streams it found, which are these."""
        sys.stdout, sys.stderr = self._outside
        if not self.is_headless:
            # Textual's handlers would stop the process; no "ignore" either, which programs of units would inherit
            for number in (signal.SIGTSTP, signal.SIGCONT):
                signal.signal(number, lambda *_: None)
        self.set_interval(MEASURE_SECONDS, self.measure)
        if (task := asyncio.current_task()) is not None:
            self._guard = asyncio.create_task(
                guarded(
                    task,
                    is_leaving=lambda: self._leaving,
                    ping=self.call_later,
                    give_up=self._give_up,
                    tick=self.TICK_SECONDS,
                )
            )

    @property
    def _leaving(self) -> bool:
        """Whether the screen is to go: the person has left it, or it broke."""
        return self._exit or self.failure is not None

    def _give_up(self, waits: str) -> None:
        """The screen will be ended: it was left and has not gone, or it takes no keys any more."""
        if not self._leaving:
            self.failure = RuntimeError(f"the screen took no keys any more; it waited here:\n{waits}")
        elif not self._given_up:
            self._given_up = waits

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken yet what was drawn before: what is drawn now would be old when it is seen.

        Textual writes on a thread, and lets up to 30 writes queue for it.
        """
        writer = getattr(self._driver, "_writer_thread", None)
        return writer is not None and not writer._queue.empty()

    def measure(self) -> None:
        """Take the size that the terminal has, if the screen has another.

        The terminal tells of each change, but only once, by a signal. A handler of it that is interrupted by the next
        signal would tell the older size last.
        """
        driver: Any = self._driver
        if driver is None or getattr(driver, "_in_band_window_resize", False):
            return  # terminals that tell their size among the keys tell it in order, and may know better than the pty
        if self._leaving or not self.screen_stack:
            return  # a tick may come behind the last screen
        size = Size(*driver._get_terminal_size())
        if size != self.screen.outer_size:
            self.post_message(events.Resize(size, size))

    def _check_resize(self) -> None:
        """Textual's hook, when the size has settled: draw everything, also if it is what it was before. A terminal that
        was smaller in between has forgotten what stood outside, and Textual draws only what is new to it."""
        settled = self._resize_event
        super()._check_resize()
        if settled is not None and self._resize_event is None and settled.size == self.screen.outer_size:
            self.screen.refresh()

    async def on_event(self, event: events.Event) -> None:
        """Textual's hook, before anything is done with an event."""
        if isinstance(event, events.Key) and event.key == "ctrl+j":
            # typed before the terminal was ours: it made a line feed of the carriage return
            event, typed = events.Key("enter", "\r"), event.time
            event.time = typed
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        if self.focused is None and not self.screen.is_modal:  # typed before the screen was there
            await _caught_up(self.screen)
        line = self._line
        if not await self._carried_out(event):
            await super().on_event(event)
        if line is not None:
            await _caught_up(line)

    @property
    def _line(self) -> MessagePump | None:
        """What is typed into now, if keys that come behind the one that closes it are for what is there then."""
        if self.screen.is_modal:  # all of them are a `Dialog`, which draws with what is here
            return (self.focused or self.screen) if getattr(self.screen, "typed_ahead", False) else None
        return self.focused if isinstance(self.focused, Input) else None

    async def _carried_out(self, event: events.Key) -> bool:
        """Do what a key is bound to in the turn in which it comes, unless a box or a line to type into has it.

        Textual hands each key to the widget with the focus, and does what it is bound to when it has come back through
        all that is around that. Whatever is typed behind a key that opens a line would be there before the line.
        """
        if self.screen.is_modal or isinstance(self.focused, Input):
            return False
        self.heard()
        if self.focused is None:
            return False  # nothing on so small a screen can have it
        self.app_focus = True
        if not await self._check_bindings(event.key, priority=True):
            await self._check_bindings(event.key)
        return True

    def heard(self) -> None:
        """A key has come, of which nothing has been done yet."""

    def paint(self, theme: Theme) -> None:
        """Draw everything in this theme from now on."""
        self.palette = theme
        for screen in self.screen_stack:
            for widget in screen.walk_children():
                widget.refresh()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's hook: what is done to every line; `color` and the theme decide on colours."""
        filters = [each for each in super().get_line_filters() if not isinstance(each, Monochrome | NoColor)]
        if self.no_color or self.palette is MONO:  # borders and the output of units have some of their own
            filters.append(NoColor())
        if not self._glyphs.unicode:
            filters.append(AsciiOnly())
        return filters

    def _handle_exception(self, error: Exception) -> None:
        """Textual's hook for what nobody caught: keep it for `draw` instead of printing it."""
        if self._exit and isinstance(error, _GONE):
            return
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()

    def panic(self, *renderables: Any) -> None:
        """Textual's hook for errors of its input thread: told as a broken screen, like those of widgets."""
        self.failure = self.failure or RuntimeError("the terminal sent something that cannot be read")
        super().panic(*renderables)
        self._exit_renderables.clear()

    def to_terminal(self, sequence: str) -> None:
        """Write a sequence that draws nothing to the terminal, between two pieces of what is drawn."""
        if self._driver is not None:
            self._driver.write(sequence)

    def draw(self) -> ReturnType | None:
        """Fill the terminal until the person leaves; call it on the main thread.

        Raises whatever broke the screen, with the terminal restored.
        """
        self._is_alone = True
        result = self.run()
        if self._given_up:
            if self._driver is not None:
                self._driver.close()  # writes what the terminal has still to be told
            sys.stderr.write(f"qtui: the screen did not go by itself, please report it:\n{self._given_up}\n")
        if self.failure is not None:
            raise self.failure
        return result


async def _caught_up(pump: MessagePump) -> None:
    """Wait until `pump` is there and has handled all that it was sent; what is about to go may never get that far."""
    done = asyncio.Event()
    if pump.call_later(done.set):
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await done.wait()


def needs_ascii(asked: bool) -> bool:
    """Whether to draw with ASCII only: because it was asked for, or as the terminal shows no more."""
    return asked or ascii_only(sys.__stderr__)
