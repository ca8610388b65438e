"""What a keeper does with the output of what it has started: from pipes or a terminal to the log, secrets masked."""

from __future__ import annotations

import os
import time

from qtui.engine.caplog import CappedLog
from qtui.engine.logpage import LogPage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qtui.core.masking import Masker

DRAIN_SECONDS = 1.0
"""How long the rest of the output is read at most: something that lives on may write faster than it is read."""

QUIET_SECONDS = 0.05
"""What is held back is looked at again when nothing more has come for so long."""

ERROR_TAIL = 4096
"""How many of the last bytes of standard error are kept: enough for its last line."""

_CHUNK = 64 * 1024


class JobOutput:
    """Reads the output of a job and writes it to a log.

    `target` is the log and how many bytes of it are kept; for a process worker the `page` names it. `masks` reach
    neither the log nor the tails. `report` is told when the log cannot be written.
    """

    def __init__(
        self,
        report: Callable[..., None],
        target: tuple[str, int],
        page: LogPage | None,
        tail: int,
        masks: tuple[bytes, ...],
    ) -> None:
        self._report, self._target, self._page, self._masks = report, target, page, masks
        self._maskers: dict[int, Masker] = {}
        self._log: CappedLog | None = None
        self._log_path = ""
        self._log_told = False
        self._tail_size = tail
        self._terminal: int | None = None
        self._look_at: float | None = None
        self.fds: dict[int, bool] = {}
        """The reading ends of its output, and whether they belong to the standard output."""
        self.tail = b""
        """The last bytes of its standard output."""
        self.error_tail = b""
        """The last bytes of its standard error."""

    def open(self, *, pty: bool) -> tuple[list[int], list[tuple[object, ...]]]:
        """Make pipes or a terminal: the descriptors to be closed when it was started, and actions for posix_spawn."""
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        if pty:
            master, slave, name = _open_terminal()
            self._add(master, standard=True)
            # held until the end: the terminal hangs up on its session when its last slave is closed, which a command
            # that sends its output elsewhere does at once
            self._terminal = slave
            return [], [null, (os.POSIX_SPAWN_OPEN, 1, name, os.O_RDWR, 0), (os.POSIX_SPAWN_DUP2, 1, 2)]
        out, out_writer = os.pipe()
        self._add(out, standard=True)
        if self._page is not None:  # a worker prints both to one pipe, so that it can tell when that is empty
            return [out_writer], [null, *((os.POSIX_SPAWN_DUP2, out_writer, fd) for fd in (1, 2))]
        err, err_writer = os.pipe()
        self._add(err, standard=False)
        return [out_writer, err_writer], [
            null,
            (os.POSIX_SPAWN_DUP2, out_writer, 1),
            (os.POSIX_SPAWN_DUP2, err_writer, 2),
        ]

    def _add(self, fd: int, *, standard: bool) -> None:
        self.fds[fd] = standard
        if self._masks:
            from qtui.core.masking import Masker

            self._maskers[fd] = Masker(self._masks)

    # -- reading -----------------------------------------------------------------------------------------

    def read(self, fd: int) -> bool:
        """Take a piece of output; False at its end."""
        page = self._page
        if page is None:
            return self._take(fd)
        page.busy = True  # before the pipe can look empty: a worker that sees it empty looks here next
        try:
            return self._take(fd)
        finally:
            page.busy = self._look_at is not None

    def _take(self, fd: int) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except OSError:  # EIO is how a pseudo-terminal says that its other side is closed
            return False
        if not data:
            return False
        if self._page is not None:
            target = self._page.target()
            if target != self._target:
                self._let_out(last=True)  # of the unit before
                self._target = target
        if self._masks:
            data = self._maskers[fd].feed(data)
            self._look_again()
        self._put(fd, data)
        return True

    def _put(self, fd: int, data: bytes) -> None:
        path, limit = self._target
        if path and data:  # between two units of a worker there is no log
            self._write(path, limit, data)
        if not self._tail_size:
            return
        if self.fds[fd]:
            self.tail = (self.tail + data)[-self._tail_size :]
        else:
            self.error_tail = (self.error_tail + data)[-ERROR_TAIL:]

    def _write(self, path: str, limit: int, data: bytes) -> None:
        try:
            if path != self._log_path:
                self._close_log()
                self._log, self._log_path, self._log_told = CappedLog(path, limit), path, False
            if self._log is not None:
                self._log.write(data)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        """Report a log that cannot be written, once."""
        if not self._log_told:
            self._log_told = True
            self._report("log", error.errno or 0)

    # -- what is held back -------------------------------------------------------------------------------

    def patience(self) -> float | None:
        """Milliseconds until what is held back is to be looked at."""
        return None if self._look_at is None else max(1.0, (self._look_at - time.monotonic()) * 1000)

    def advance(self) -> None:
        """Let out what may be let out, if nothing more has come for a while."""
        page = self._page
        if self._look_at is None or time.monotonic() < self._look_at:
            return
        if page is None:
            self._let_out(last=False)
            self._look_at = None  # what is still held back stays until there is more, or the end
        else:
            self._let_out(last=page.last or page.target() != self._target)
            self._look_again()  # until the unit has ended: only the page tells
            page.busy = self._look_at is not None

    def _look_again(self) -> None:
        holding = any(masker.holding for masker in self._maskers.values())
        self._look_at = time.monotonic() + QUIET_SECONDS if holding else None

    def _let_out(self, *, last: bool) -> None:
        for fd, masker in self._maskers.items():
            self._put(fd, masker.feed(b"", last=True) if last else masker.show())

    # -- the end -----------------------------------------------------------------------------------------

    def close_one(self, fd: int) -> None:
        """This output has ended."""
        masker = self._maskers.pop(fd, None)
        if masker is not None:
            self._put(fd, masker.feed(b"", last=True))
        del self.fds[fd]
        os.close(fd)

    def drain(self) -> None:
        """Take what is left in the pipes, without waiting for whoever may hold them open."""
        for fd in self.fds:
            os.set_blocking(fd, False)
            until = time.monotonic() + DRAIN_SECONDS
            while time.monotonic() < until and self.read(fd):
                pass

    def close(self) -> int:
        """Close everything; returns how many bytes of output the log has not."""
        for fd in list(self.fds):
            self.close_one(fd)
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        return self._close_log()

    def _close_log(self) -> int:
        log, self._log = self._log, None
        if log is None:
            return 0
        try:
            log.close()
        except OSError as error:
            self._tell(error)
        return log.dropped


def _open_terminal() -> tuple[int, int, str]:
    """A pseudo-terminal of 24 lines by 120 columns that passes output on as it is."""
    import fcntl
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x18\x00\x78\x00\x00\x00\x00\x00")
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST  # line ends stay as the program wrote them
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave, os.ttyname(slave)
