"""The process that stays in front of the shell while a screen is drawn.

It is forked off before threads and heavy imports, so that the child, which has engine and screen, can leave the
terminal's session while the shell gets its prompt back, and so that somebody is left to give the terminal back when the
child is killed. The two talk in lines of JSON over a pair of sockets.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CAUGHT: Final = (*_ENDING, signal.SIGQUIT, signal.SIGCHLD)

# what the child or its pager has switched on, with what would end a sequence or a frame that it did not finish
_RESTORING: Final = (
    b"\x18\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    b"\x1b[<u\x1b[0m\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[?1l\x1b>"
)

_LOCAL: Final = 3
"""The place of the local modes among those that `tcgetattr` returns."""

_front: Front | None = None


def front() -> Front | None:
    """The process in front of this one, or None where no screen is drawn."""
    return _front


def stand_by() -> None:
    """Fork; returns in the child only. Call it before there are threads.

    The parent ends with the child's exit code (128 + n if signal n killed it), or when the child lets go of it.
    """
    global _front
    _wait_for_foreground()
    try:
        modes = termios.tcgetattr(0)
    except termios.error:
        return
    ours, theirs = socket.socketpair()
    # one that comes now waits until there is somebody to take it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    child = os.fork()
    if child:
        theirs.close()
        Shepherd(child, ours, modes).watch()
    ours.close()
    _front = Front(theirs, modes)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def restore_screen(descriptor: int) -> None:
    """Switch off what the screen has switched on. Never waits for a terminal that does not take it."""
    with suppress(OSError):
        again = os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            os.write(again, _RESTORING)
        finally:
            os.close(again)


def restore_alone(descriptor: int, modes: list[Any]) -> None:
    """Give the terminal back in place of the shepherd, which was killed: what the screen has switched on is switched
    off, and its modes are what they were, unless a shell has set its own meanwhile."""
    # who is not in the foreground any more is stopped for it, or kept from it, unless it blocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    restore_screen(descriptor)
    with suppress(termios.error):
        # no shell that edits lines switches off ctrl+c, too
        if not termios.tcgetattr(descriptor)[_LOCAL] & (termios.ECHO | termios.ICANON | termios.ISIG):
            termios.tcflush(descriptor, termios.TCIFLUSH)
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_foreground() -> None:
    """Stop where the program was started in the background, until it is brought forward, as editors do."""
    with suppress(OSError):
        while os.tcgetpgrp(0) != os.getpgrp():
            if not _stopped(signal.SIGTTOU):
                return


def _stopped(number: int) -> bool:
    """Stop this process as the terminal would, and say after its return whether it was stopped.

    It is not where no shell could bring it back.
    """
    continued: list[int] = []
    before = signal.signal(signal.SIGCONT, lambda number, _: continued.append(number))
    os.kill(os.getpid(), number)
    signal.signal(signal.SIGCONT, before)
    return bool(continued)


class Shepherd:
    """The parent: passes signals on, stops for ctrl+z, gives the terminal back."""

    def __init__(self, child: int, link: socket.socket, modes: list[Any]) -> None:
        self._child, self._link, self._modes = child, link, modes
        self._signals: list[int] = []
        self._early: list[int] = []
        self._received = b""
        self._run = ""
        self._lent = 0
        self._linked, self._listening, self._drawn = True, False, False

    def watch(self) -> NoReturn:
        """Wait for what comes, until the child ends or lets go."""
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        self._link.setblocking(False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        for number in _CAUGHT:
            signal.signal(number, lambda number, _: self._signals.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        while True:
            awaited = [woken, self._link.fileno()] if self._linked else [woken]
            ready, _, _ = select.select(awaited, [], [])
            if woken in ready:
                os.read(woken, 4096)
            self._receive()
            while self._signals:
                self._pass_on(self._signals.pop(0))

    def _reap(self) -> None:
        """End as the child has, if it has ended."""
        child, status = os.waitpid(self._child, os.WNOHANG)
        if child == 0:
            return
        self._receive()
        self._restore()
        if not os.WIFSIGNALED(status):
            os._exit(os.waitstatus_to_exitcode(status))
        number = os.WTERMSIG(status)
        again = f"; what had ended is kept: qtui resume {self._run}" if self._run else ""
        _say(f"qtui: killed by {_name(number)}{again}")
        os._exit(128 + number)

    def _receive(self) -> None:
        try:
            data = self._link.recv(1 << 16)
        except OSError:  # there is nothing, or nobody
            return
        self._linked = bool(data)  # without: the child is about to end, and a signal will tell its end
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._told(*json.loads(line))

    def _told(self, word: str, *values: Any) -> None:
        match word:
            case "run":
                (self._run,) = values
                self._listening = True
                for number in self._early:
                    self._tell("signal", number)
            case "drawn":
                (self._drawn,) = values
            case "lent":
                (self._lent,) = values
            case "dropped":
                self._restore()
            case "stop":
                self._stop()
            case "let go":
                text, code = values
                self._restore()
                _say(text)
                os._exit(code)

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGQUIT:
            os.kill(self._child, number)
        elif self._listening:
            self._tell("signal", number)
        elif number == signal.SIGINT:  # of which the terminal has told the child, too, unless it was sent to this alone
            self._early.append(number)
        else:
            os.kill(self._child, number)

    def _stop(self) -> None:
        """Stop, as ctrl+z asks for, until this is in the foreground again or a signal comes; the child works on."""
        while not self._signals and _stopped(signal.SIGTSTP) and not self._in_front():
            pass
        if self._in_front():
            self._tell("continued")

    def _in_front(self) -> bool:
        try:
            return os.tcgetpgrp(0) == os.getpgrp()
        except OSError:
            return False

    def _restore(self) -> None:
        """Give the terminal back if the child has left it as it used it."""
        if not self._drawn:
            return
        self._drawn = False
        self._take_back()
        restore_screen(0)
        if self._in_front():  # who sets modes from the background is stopped
            with suppress(termios.error):
                termios.tcflush(0, termios.TCIFLUSH)
                termios.tcsetattr(0, termios.TCSANOW, self._modes)

    def _take_back(self) -> None:
        """End who was lent the terminal, if anybody was: the shell is about to have it."""
        if not self._lent:
            return
        with suppress(OSError):
            os.killpg(self._lent, signal.SIGKILL)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
        with suppress(OSError):
            if os.tcgetpgrp(0) == self._lent:
                os.tcsetpgrp(0, os.getpgrp())
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _tell(self, *words: Any) -> None:
        with suppress(OSError):
            self._link.sendall(json.dumps(words).encode() + b"\n")


class Front:
    """The shepherd as the child sees it. Any thread may call these; where the shepherd has gone they do nothing.

    `modes` are those that the terminal had before anything was drawn on it.
    """

    def __init__(self, link: socket.socket, modes: list[Any]) -> None:
        self._link, self.modes = link, modes
        self._lock = threading.Lock()
        self._let_go = False

    def serve(
        self, run: str, *, signaled: Callable[[int], None], continued: Callable[[], None], gone: Callable[[], None]
    ) -> None:
        """From now on call `signaled` for signals that the shepherd got, `continued` when it was brought forward again,
        and `gone` if it has ended without having been let go; all on a thread of their own."""
        listener = threading.Thread(
            target=self._listen, args=(signaled, continued, gone), name="qtui-shepherd", daemon=True
        )
        listener.start()
        self._tell("run", run)

    @contextmanager
    def watched(self, gone: Callable[[], None]) -> Iterator[None]:
        """While this holds, before anything is served, call `gone` on a thread of its own if the shepherd has ended."""
        over = threading.Event()

        def watch() -> None:
            ended = select.poll()
            ended.register(self._link, 0)  # for its end alone: what it says is for others
            ended.poll()
            if not over.is_set():
                gone()

        threading.Thread(target=watch, name="qtui-watch", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def drawn(self, drawn: bool) -> None:
        """The screen has been put on the terminal, or the terminal been given back."""
        self._tell("drawn", drawn)

    def dropped(self) -> None:
        """The terminal was left as it was; it is for the shepherd to give it back."""
        self._tell("dropped")

    def lent(self, group: int) -> None:
        """This group of processes is in front of the terminal for a while; 0 when it is not any more."""
        self._tell("lent", group)

    def stop(self) -> None:
        """Ask the shepherd to stop: the shell takes over until it brings it forward again."""
        self._tell("stop")

    def let_go(self, text: str, code: int) -> None:
        """Leave the session of the terminal; the shepherd says `text` and ends with exit code `code`."""
        self._let_go = True
        with suppress(OSError):
            os.setsid()
        self._tell("let go", text, code)

    def _tell(self, *words: Any) -> None:
        with self._lock, suppress(OSError):
            self._link.sendall(json.dumps(words).encode() + b"\n")

    def _listen(self, signaled: Callable[[int], None], continued: Callable[[], None], gone: Callable[[], None]) -> None:
        with suppress(OSError), self._link.makefile("rb") as lines:
            for line in lines:
                word, *values = json.loads(line)
                if word == "signal":
                    signaled(*values)
                else:
                    continued()
        if not self._let_go:
            gone()


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # the terminal may be gone
        print(text, file=sys.stderr, flush=True)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
