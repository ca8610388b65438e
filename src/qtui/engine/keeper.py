"""The keeper: a small process that starts one thing after another for a worker slot, and leaves nothing of it behind.

It is a child subreaper (prctl(2)): whatever its commands leave behind becomes its child, also after setsid and double
forks, so `wait4` saying ECHILD means that no descendant is left, at no cost. It owns the pipes of what it starts and
writes the log. When qtui goes away, however that happens, the keeper kills everything below it and ends.

Keepers are forked by a warden (qtui.engine.warden); each order costs no interpreter start.

Orders from qtui:
  ("run", ...)            start something; `Job.__init__` tells the fields
  ("signal", number)      send a signal to every descendant; from now on the end of the main process is not all
  ("kill",)               kill every descendant, again and again until none is left
  ("finish", seconds)     TERM to every descendant now, KILL after so many seconds
Reports to qtui:
  ("hello", pid)          this keeper's own pid, once
  ("began", pid)          it runs
  ("failed", errno, text) it could not be started
  ("log", errno)          the log cannot be written; output is dropped from here on
  ("ended", code, leftovers, seconds of CPU, peak memory in kB, dropped bytes, tail of standard output, kept)
                          nothing of it is left, unless `kept`; then the keeper ends, too
"""

from __future__ import annotations

import os
import select
import time

from qtui.engine.caplog import CappedLog, write_all
from qtui.engine.logpage import LogPage
from qtui.engine.wire import FrameReader, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
else:
    import _signal as signal  # what signal is made of, without its enums: they take as long as all imports here

PATIENCE_SECONDS = 0.2
"""How long children get to end by themselves when their command has ended: the tee of ``cmd > >(tee log)`` is one."""

LEFTOVER_SECONDS = 1.0
"""The longest that background children get between TERM and KILL when their command has ended by itself."""

BEGAN_SECONDS = 0.002
"""How long the report of a beginning waits for company: short commands then wake qtui once, not twice."""

KEPT = 3
"""The exit code of a keeper whose unit leaves something that is to live."""

_CHUNK = 64 * 1024
_OOM_MORE = 300
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)
"""What wardens and keepers ignore: only qtui, or its end, ends them."""

_RESET = (*IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)
"""What is started gets its defaults back for these; Python ignores the last two."""

POLL_IN = select.POLLIN | select.POLLHUP | select.POLLERR


class Keeper:
    """Carries out the orders that come through `channel` until that closes or the process `qtui` has ended.

    `given` are descriptors that what it starts may inherit.
    """

    def __init__(self, channel: int, qtui: int, given: list[int]) -> None:
        self._channel, self._given = channel, given
        self._orders = FrameReader()
        self._qtui = os.pidfd_open(qtui)
        self._wake = wake_on_children()
        self._poll = select.poll()
        for fd in (channel, self._qtui, self._wake):
            self._poll.register(fd, POLL_IN)
        self._oom = _OomScore()
        self._base = dict(os.environ)
        self._job: Job | None = None
        self._held, self._held_until = b"", 0.0

    def serve(self) -> None:
        """Work until the channel closes or qtui has ended."""
        self._report("hello", os.getpid())
        while True:
            job = self._job
            for fd, _ in self._poll.poll(self._patience()):
                if job is not None and fd in job.outputs:
                    if not job.read(fd):
                        self._poll.unregister(fd)
                        job.close_output(fd)
                elif fd == self._wake:
                    os.read(self._wake, 4096)
                elif fd == self._qtui or not self._take_orders():
                    self._leave()
            if self._job is not None:
                self._advance(self._job)
            if self._held and time.monotonic() > self._held_until:
                self._report()

    def _patience(self) -> float | None:
        """Milliseconds until something is due, if anything is."""
        job = self._job
        if job is None:
            return None
        return BEGAN_SECONDS * 1000 + 1 if self._held else job.patience()

    def _take_orders(self) -> bool:
        try:
            data = os.read(self._channel, _CHUNK)
        except ConnectionError:
            data = b""
        for order in self._orders.feed(data):
            match order:
                case ("run", *fields):
                    self._run(Job(self._report, self._base, self._given, *fields))
                case ("signal", number) if self._job is not None:
                    self._job.ask(number)
                case ("kill",) if self._job is not None:
                    self._job.kill_at = 0.0
                case ("finish", seconds) if self._job is not None:
                    self._job.finish(seconds)
        return bool(data)

    def _run(self, job: Job) -> None:
        try:
            with self._oom:
                job.start()
        except OSError as error:
            job.close()
            self._report("failed", error.errno or 0, str(error.filename or ""))
            return
        self._job = job
        for fd in job.outputs:
            self._poll.register(fd, POLL_IN)
        self._held = frame(("began", job.pid))
        self._held_until = time.monotonic() + BEGAN_SECONDS

    def _advance(self, job: Job) -> None:
        if not job.advance():
            return
        for fd in job.outputs:
            self._poll.unregister(fd)
        job.drain()
        self._job = None
        self._report("ended", *job.close(), job.tail, job.kept)
        if job.kept:
            os._exit(KEPT)

    def _report(self, *message: object) -> None:
        """Send what was held back, and `message` if there is one."""
        data, self._held = self._held + (frame(message) if message else b""), b""
        try:
            write_all(self._channel, data)
        except OSError:
            return  # qtui is gone; the next poll says so

    def _leave(self) -> None:
        if self._job is not None:
            self._job.kill_at = 0.0
            while not self._job.advance():
                time.sleep(0.01)
        os._exit(0)


class Job:
    """What runs below the keeper now: its main process, its output, and how far its end is.

    `env` goes over the environment that the keeper has. Output goes to `log`, of which `limit` bytes are kept.
    `pty` gives it a terminal. `keep` lets what it leaves behind live; else that has `grace` seconds (1 at most) to end
    when told to. The last `tail` bytes of its standard output are reported.

    A process worker (`worker`) inherits all descriptors that its slot was given, their numbers added to `argv`, and
    behind them the reading end of a pipe that closes when the keeper dies; the first of them is the page (LogPage)
    that names the log.
    """

    def __init__(
        self,
        report: Callable[..., None],
        base: dict[str, str],
        given: list[int],
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        log: str,
        limit: int,
        worker: bool,
        pty: bool,
        keep: bool,
        grace: float,
        tail: int,
    ) -> None:
        self._report = report
        self._argv, self._env, self._cwd, self._pty = argv, {**base, **env}, cwd, pty
        self._target = log, limit
        self._terminal: int | None = None
        self._inherited = given if worker else []
        self._page = LogPage(given[0]) if worker else None
        self._keep, self._grace = keep, min(grace, LEFTOVER_SECONDS)
        self._log: CappedLog | None = None
        self._log_path = ""
        self._log_broken = False
        self.pid = 0
        self.outputs: dict[int, bool] = {}
        """The reading ends of its output, and whether they belong to the standard output."""
        self.tail = b""
        self._tail_size = tail
        self._asked = False
        self._code: int | None = None
        self._usage = (0.0, 0)
        self._look_at: float | None = None
        self._leftovers = 0
        self.kept = False
        self.kill_at: float | None = None
        """When what is left is killed (monotonic seconds), if that is settled."""

    # -- begin -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the main process as the leader of a process group of its own. Raises OSError."""
        os.chdir(self._cwd)
        writers, actions = self._open_outputs()
        if self._inherited:
            lifeline, self._lifeline = os.pipe()  # its writing end is only here, so it closes when the keeper dies
            self._inherited = [*self._inherited, lifeline]
        try:
            for fd in self._inherited:
                os.set_inheritable(fd, True)
            group = {"setsid": True} if self._pty else {"setpgroup": 0}
            options = {"file_actions": actions, "setsigmask": (), "setsigdef": _RESET, **group}
            self.pid = _spawn([*self._argv, *map(str, self._inherited)], self._env, options)
        finally:
            for fd in (*writers, *self._inherited):
                os.close(fd)

    def _open_outputs(self) -> tuple[list[int], list[tuple[object, ...]]]:
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        if self._pty:
            master, slave, name = _open_terminal()
            self.outputs[master] = True
            # held until the end: the terminal hangs up on its session when its last slave is closed, which a command
            # that sends its output elsewhere does at once
            self._terminal = slave
            return [], [null, (os.POSIX_SPAWN_OPEN, 1, name, os.O_RDWR, 0), (os.POSIX_SPAWN_DUP2, 1, 2)]
        out, out_writer = os.pipe()
        self.outputs[out] = True
        if self._page is not None:  # a worker prints both to one pipe, so that it can tell when that is empty
            return [out_writer], [null, *((os.POSIX_SPAWN_DUP2, out_writer, fd) for fd in (1, 2))]
        err, err_writer = os.pipe()
        self.outputs[err] = False
        return [out_writer, err_writer], [
            null,
            (os.POSIX_SPAWN_DUP2, out_writer, 1),
            (os.POSIX_SPAWN_DUP2, err_writer, 2),
        ]

    # -- output ------------------------------------------------------------------------------------------

    def read(self, fd: int) -> bool:
        """Take a piece of output; False at its end."""
        page = self._page
        if page is None:
            return self._take(fd)
        page.busy = True  # before the pipe can look empty: a worker that sees it empty looks here next
        try:
            return self._take(fd)
        finally:
            page.busy = False

    def _take(self, fd: int) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except OSError:  # EIO is how a pseudo-terminal says that its other side is closed
            return False
        if not data:
            return False
        path, limit = self._page.target() if self._page is not None else self._target
        if path:  # between two units of a worker there is none
            self._write(path, limit, data)
        if self._tail_size and self.outputs[fd]:
            self.tail = (self.tail + data)[-self._tail_size :]
        return True

    def _write(self, path: str, limit: int, data: bytes) -> None:
        try:
            if path != self._log_path:
                self._close_log()
                self._log, self._log_path, self._log_broken = CappedLog(path, limit), path, False
            if not self._log_broken and self._log is not None:
                self._log.write(data)
        except OSError as error:
            self._log_broken = True
            self._report("log", error.errno or 0)

    def close_output(self, fd: int) -> None:
        """This output has ended."""
        del self.outputs[fd]
        os.close(fd)

    def drain(self) -> None:
        """Take what is left in the pipes, without waiting for whoever may hold them open."""
        for fd in self.outputs:
            os.set_blocking(fd, False)
            until = time.monotonic() + LEFTOVER_SECONDS  # something that lives on may write faster than we read
            while time.monotonic() < until and self.read(fd):
                pass

    def _close_log(self) -> int:
        log, self._log = self._log, None
        if log is None:
            return 0
        try:
            log.close()
        except OSError as error:
            self._report("log", error.errno or 0)
        return log.dropped

    def close(self) -> tuple[int, int, float, int, int]:
        """Close the output: its code, leftovers, CPU seconds, peak kB and dropped bytes."""
        for fd in self.outputs:
            os.close(fd)
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        self.outputs = {}
        dropped = self._close_log()
        return self._code or 0, self._leftovers, *self._usage, dropped

    # -- end ---------------------------------------------------------------------------------------------

    def ask(self, number: int) -> None:
        """Pass a signal on to every descendant."""
        self._asked = True
        for pid in descendants():
            _send(pid, number)
            _send(pid, signal.SIGCONT)  # a stopped process would not notice

    def finish(self, seconds: float) -> None:
        """TERM to all now, KILL in `seconds`."""
        self.ask(signal.SIGTERM)
        self.kill_at = time.monotonic() + seconds

    def patience(self) -> float | None:
        """Milliseconds until something is due, if anything is."""
        due = self.kill_at if self.kill_at is not None else self._look_at
        return None if due is None else max(5.0, (due - time.monotonic()) * 1000)

    def advance(self) -> bool:
        """Reap what has ended and do what is due; True when nothing is left."""
        if not self._reap():
            return True
        now = time.monotonic()
        if self.kill_at is not None:
            if now < self.kill_at:
                return False
            for pid in descendants():
                _send(pid, signal.SIGKILL)
            return not self._reap()
        if self._code is not None and not self._asked:
            if self._look_at is None:
                self._look_at = now + PATIENCE_SECONDS
            elif now >= self._look_at:
                return self._clear_leftovers(now)
        return False

    def _clear_leftovers(self, now: float) -> bool:
        """Something has outlived its command: let it be, if that is wanted, or end it."""
        if self._keep:
            self.kept = True
            return True
        left = descendants()
        self._leftovers = len(left)
        for pid in left:
            _send(pid, signal.SIGTERM)
            _send(pid, signal.SIGCONT)
        self.kill_at = now + self._grace
        return False

    def _reap(self) -> bool:
        """Collect what has ended; False when no descendant is left."""
        try:
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.pid:
                    self._code = os.waitstatus_to_exitcode(status)
                    self._usage = (usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
        except ChildProcessError:
            return False


def _spawn(argv: list[str], env: dict[str, str], options: dict[str, object]) -> int:
    """Start a program, looked for on the PATH it will have itself. Raises OSError with the name it looked for."""
    name = argv[0]
    if "/" in name:
        return os.posix_spawn(name, argv, env, **options)  # type: ignore[arg-type]
    denied = None
    for directory in env.get("PATH", os.defpath).split(":"):
        path = f"{directory or '.'}/{name}"
        if not os.access(path, os.X_OK):
            continue
        try:
            return os.posix_spawn(path, argv, env, **options)  # type: ignore[arg-type]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:  # a directory, say: there may be a program further on
            denied = error
    raise denied or FileNotFoundError(2, os.strerror(2), name)


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


def descendants(*, direct: bool = False) -> set[int]:
    """The pids of every living process below this one, or of its direct children."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                    state, above = file.read().rpartition(b") ")[2].split(None, 2)[:2]
            except (OSError, ValueError):
                continue  # it has just ended
            if state != b"Z":
                parents[int(entry)] = int(above)
    children: dict[int, set[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, set()).add(pid)
    found = set(children.get(os.getpid(), ()))
    waiting = [] if direct else list(found)
    while waiting:
        below = children.get(waiting.pop(), set()) - found
        found |= below
        waiting += below
    return found


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return  # it ended, or runs as somebody else (sudo): then there is nothing we may do


class _OomScore:
    """While this holds, what is started is more likely to be killed than qtui when memory runs out (proc(5))."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            self._own = int(os.read(self._fd, 16))
        except (OSError, ValueError):
            self._fd = -1

    def __enter__(self) -> None:
        if self._fd >= 0:
            self._set(min(1000, self._own + _OOM_MORE))

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            self._set(self._own)

    def _set(self, value: int) -> None:
        try:
            os.pwrite(self._fd, b"%d" % value, 0)
        except OSError:  # not allowed here (a container may forbid it); it is no more than a wish
            os.close(self._fd)
            self._fd = -1


def become_subreaper(name: bytes) -> None:
    """Adopt orphaned descendants from now on, and show `name` in top. Not inherited by what is started."""
    import ctypes  # there is no other way to prctl(2)

    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    libc.prctl(15, name, 0, 0, 0)  # PR_SET_NAME


def wake_on_children() -> int:
    """A descriptor that becomes readable when a child ends."""
    wake, wakeup = os.pipe()
    for fd in (wake, wakeup):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake
