"""Shows a run on the dashboard, and keeps everything else off the terminal meanwhile."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from qtui.cli import shepherd
from qtui.cli.answers import answering
from qtui.cli.bell import rings
from qtui.cli.detach import DETACHED_LOG
from qtui.cli.dump import dumped_on_quit
from qtui.cli.earlier import AskPast, seconds_of
from qtui.cli.hangup import Outside
from qtui.cli.linger import lingering
from qtui.cli.look import Look
from qtui.cli.sketch import Sketch
from qtui.cli.standard import keyboard
from qtui.cli.summary import summary
from qtui.core.definition import Notify
from qtui.core.errors import QtuiError
from qtui.core.session import RunSession
from qtui.core.stimuli import InterruptRequested
from qtui.tui.app import Dashboard, Leaving, Left, make_dashboard, run_dashboard
from qtui.tui.ending import OnFinish
from qtui.tui.player import Player
from qtui.tui.text import clean_lines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DEAF_SECONDS: Final = 1.0
"""How long TERM is not heeded after the terminal of a stopped screen has vanished: bash, which ends with its terminal,
sends it to what it takes for stopped, right after HUP."""


def show(
    begin: Callable[[], RunSession],
    *,
    title: str,
    look: Look,
    sketch: Sketch,
    bell: Notify | None = None,
    on_hangup: str = "continue",
    runs: Path | None = None,
    player: Player | None = None,
    ask_past: AskPast | None = None,
) -> RunSession:
    """Draw the session that `begin` makes, until the person leaves or the terminal goes.

    Returns when a live run has ended, with or without a screen; leaving any other session leaves it alone. `sketch`
    stands on the terminal, and `look` says how it is drawn on and when the screen leaves by itself; `bell` is when the
    bell rings. `runs` holds the directories of runs, and `player` moves through a replay. `on_hangup` says what a live
    run does when the terminal goes: ``continue`` or ``cancel``. `ask_past` tells what units took in earlier runs.
    """
    with ExitStack() as hearing, ExitStack() as terminal:
        stray = terminal.enter_context(_shown_in_the_end())
        terminal.callback(sketch.undo)
        held = terminal.enter_context(cleared_terminal(stray))
        outside = Outside()
        hearing.enter_context(outside.heard())
        gc.freeze()  # what has been imported stays for good
        gc.enable()
        session = begin()
        directory = runs / session.run if runs is not None else None
        front = shepherd.front()
        app = make_dashboard(
            session,
            title=title,
            player=player,
            ask_past=ask_past and (lambda session: seconds_of(ask_past(session))),
            keymap=look.keymap,
            ascii=look.ascii,
            color=look.color,
            theme=look.theme,
            on_finish=look.on_finish if player is None else OnFinish.STAY,
            rings=partial(rings, bell),
            modes=sketch.modes,
            stop=front.stop if front is not None else None,
            lend=front.lent if front is not None else None,
            detachable=front is not None and session.kind == "live",
        )
        sketch.taken()
        _Showing(session, app, held, outside, on_hangup, directory, ask_past).follow(terminal)
    return session


class _Showing:
    """A screen on a session, and what ends it: the person, the run, signals, a terminal that vanishes."""

    def __init__(
        self,
        session: RunSession,
        app: Dashboard,
        held: HeldTerminal,
        outside: Outside,
        on_hangup: str,
        directory: Path | None,
        ask_past: AskPast | None,
    ) -> None:
        self._session, self._app, self._held, self._outside = session, app, held, outside
        self._on_hangup, self._directory, self._ask_past = on_hangup, directory, ask_past
        self._front = shepherd.front()
        self._live = session.kind == "live"
        self._deaf_until = 0.0
        held.lost = outside.gone

    def follow(self, terminal: ExitStack) -> None:
        """Draw, give the terminal back by closing `terminal`, and wait for the end of a live run."""
        self._outside.tell(self._interrupt, self._hang_up)
        with dumped_on_quit(self._session, self._directory, self._app.tell):
            if self._front is not None:
                self._front.serve(
                    self._session.run,
                    signaled=self._outside.passed_on,
                    continued=self._app.come_back,
                    gone=partial(self._abandoned, self._front),
                )
                self._front.drawn(True)
            leaving, story = draw(self._app)
            if self._front is not None and not self._held.dropped:
                self._front.drawn(False)
                if leaving is not None and leaving.how is Left.DETACHED:
                    self._detach(self._front)
            terminal.close()
            if story is not None:
                print("\n".join(["qtui: the screen broke, please report it:", *clean_lines(story)]), file=sys.stderr)
            if self._live:
                finish(self._session, self._ask_past, alone=self._held.dropped)
            elif story is not None:
                raise QtuiError("the run was only looked at: nothing of it is lost")

    def _interrupt(self, number: int) -> None:
        if number == signal.SIGTERM and time.monotonic() < self._deaf_until:
            return
        if self._live:
            self._session.request(InterruptRequested(number))
        if self._app.suspended:  # the shell has the terminal, and may keep it
            self._held.drop(self._log())
            self._app.hang_up()
        elif self._live:
            self._app.leave_when_ended()
        else:
            self._app.hang_up()

    def _abandoned(self, front: shepherd.Front) -> None:
        """The process in front of this one was killed: nobody else gives the terminal back."""
        if not self._app.suspended:
            self._held.restore(front.modes)
        self._outside.gone()

    def _hang_up(self) -> None:
        if self._app.suspended:
            self._deaf_until = time.monotonic() + DEAF_SECONDS
        self._held.drop(self._log())
        self._app.hang_up()
        run = self._session.run
        goes_on = self._live and self._session.view().finished is None
        if goes_on and self._on_hangup == "cancel":
            self._session.request(InterruptRequested(signal.SIGHUP))
        if self._front is None:
            return
        self._front.dropped()
        if goes_on and self._on_hangup != "cancel":
            text = f"qtui: the run goes on without a screen; qtui attach {run} shows it"
            self._front.let_go(text, 128 + signal.SIGHUP)

    def _detach(self, front: shepherd.Front) -> None:
        warning = lingering()
        self._held.drop(self._log())
        text = f"qtui: the run goes on; qtui attach {self._session.run} shows it"
        front.let_go(f"{text}\nqtui: {warning}" if warning else text, 0)

    def _log(self) -> str:
        return str(self._directory / DETACHED_LOG) if self._directory is not None else os.devnull


def draw(app: Dashboard) -> tuple[Leaving | None, str | None]:
    """Draw the dashboard until it is left, and say how. A screen that breaks does not end the run: then there is its
    story instead."""
    try:
        return run_dashboard(app), None
    except Exception:  # noqa: BLE001  - whatever broke the screen, the run is worth more
        return None, traceback.format_exc()


def finish(session: RunSession, ask_past: AskPast | None, *, alone: bool = False) -> None:
    """Once the terminal is free again: wait for the end of the run, print the summary.

    `ask_past` tells what its units took in earlier runs; `alone` says that nobody is at the terminal any more.
    """
    if session.view().finished is None and not alone:
        print("qtui: the run goes on without a screen; ctrl+c stops it", file=sys.stderr)
    with answering(session):
        while session.wait(timeout=0.5) is None:
            pass  # a timeout, so that signal handlers get their turn on every platform
    session.close()
    with suppress(OSError):  # the terminal may be gone
        print("\n".join(summary(session, ask_past)), flush=True)


class HeldTerminal:
    """The descriptors that lead to the terminal while the dashboard has it. Any thread may call these."""

    def __init__(self, drawn: _Drawn, kept: Mapping[int, int]) -> None:
        self._drawn, self._kept = drawn, kept
        self._lock = threading.Lock()
        self._given_back = False
        self.dropped = False

    @property
    def lost(self) -> Callable[[], None]:
        """Called when the terminal takes nothing any more."""
        return self._drawn.lost

    @lost.setter
    def lost(self, lost: Callable[[], None]) -> None:
        self._drawn.lost = lost

    def restore(self, modes: list[Any]) -> None:
        """Put the terminal, whose modes were these, back to what it was."""
        with self._lock:
            if not self.dropped and not self._given_back:
                shepherd.restore_alone(self._drawn.fileno(), modes)

    def drop(self, log: str) -> None:
        """Let go of the terminal, also of one that was given back: nothing is drawn on it or read from it any more, and
        what this program writes from now on goes to the file `log`."""
        with self._lock:
            if self.dropped:
                return
            self.dropped = True
            null = os.open(os.devnull, os.O_RDWR)
            try:
                rest = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            except OSError:  # the run is worth more than what would stand there
                rest = os.dup(null)
            os.dup2(null, keys := keyboard(), inheritable=os.get_inheritable(keys))
            if self._given_back:
                os.dup2(rest, 1)
                os.dup2(rest, 2)
            else:
                os.dup2(null, self._drawn.fileno(), inheritable=False)
                for descriptor in self._kept.values():
                    os.dup2(rest, descriptor, inheritable=False)
            os.close(null)
            os.close(rest)

    def give_back(self) -> None:
        """Standard output and error are what they were before."""
        with self._lock:
            self._given_back = True
            for descriptor, original in self._kept.items():
                os.dup2(original, descriptor)
                os.close(original)


@contextmanager
def cleared_terminal(stray: IO[bytes]) -> Iterator[HeldTerminal]:
    """While this holds, the terminal belongs to the dashboard alone, and what others write to it goes to the file
    `stray`. Enter it before the run begins."""
    with _quiet_descriptors(stray) as held:
        yield held


@contextmanager
def _shown_in_the_end() -> Iterator[IO[bytes]]:
    """A file for what is written past the screen. What it holds is shown at the end; enter this before whatever puts
    another screen on the terminal, or it is lost with that."""
    with tempfile.TemporaryFile() as stray:
        try:
            yield stray
        finally:
            stray.seek(0)
            if text := stray.read(1 << 16):
                sys.stderr.write(_printable(text))


@contextmanager
def _quiet_descriptors(stray: IO[bytes]) -> Iterator[HeldTerminal]:
    """While the screen is up, what C code and child processes of Python units write to descriptors 1 and 2 goes to
    a file instead of across the screen. Textual draws on a copy of standard error, and measures it."""
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    standard = sys.__stdout__, sys.__stderr__
    raw = _Drawn(os.dup(2), "wb")
    drawn = io.TextIOWrapper(io.BufferedWriter(raw), encoding=_encoding(), errors="replace")
    with drawn:
        for descriptor in kept:
            os.dup2(stray.fileno(), descriptor)
        sys.__stdout__ = sys.__stderr__ = drawn  # type: ignore[misc]
        held = HeldTerminal(raw, kept)
        try:
            yield held
        finally:
            sys.__stdout__, sys.__stderr__ = standard  # type: ignore[misc]
            held.give_back()


class _Drawn(io.FileIO):
    """The terminal as it is drawn on. Where it has vanished it says so, and takes what is written for nothing: the
    thread that draws would end otherwise, and whoever waits for it hang."""

    lost: Callable[[], None] = staticmethod(lambda: None)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write to the terminal."""
        try:
            return super().write(data)
        except OSError:
            self.lost()
            return memoryview(data).nbytes


def _encoding() -> str:
    """What the terminal is written in; decides whether more than ASCII is drawn."""
    return getattr(sys.__stderr__, "encoding", None) or "ascii"


def _printable(data: bytes) -> str:
    return "\n".join(["qtui: written past the screen:", *clean_lines(data.decode("utf-8", "replace"))]) + "\n"
