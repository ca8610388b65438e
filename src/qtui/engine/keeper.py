"""The keeper: a small process that starts one thing after another for a worker slot, and leaves nothing of it behind.

It is a child subreaper (prctl(2)): whatever its commands leave behind becomes its child, also after setsid and double
forks, so `wait4` saying ECHILD means that no descendant is left, at no cost. It owns the pipes of what it starts and
writes the log (qtui.engine.joboutput). When qtui goes away, however that happens, the keeper kills everything below it
and ends.

Keepers are forked by a warden (qtui.engine.warden); each order costs no interpreter start.

Orders from qtui:
  ("mask", [bytes, ...])  replace these in all output
  ("run", ...)            start something; `Job.__init__` tells the fields
  ("signal", number)      send a signal to every descendant; from now on the end of the main process is not all
  ("kill",)               kill every descendant, again and again until none is left
  ("finish", seconds)     TERM to every descendant now, KILL after so many seconds
Reports to qtui:
  ("hello", pid)          this keeper's own pid, once
  ("began", pid)          it runs
  ("failed", errno, text) it could not be started
  ("log", errno)          output is lost, as its log cannot be written; told once
  ("ended", code, leftovers, seconds of CPU, peak memory in kB, dropped bytes, tail of standard output, kept,
   tail of standard error)
                          nothing of it is left, unless `kept`; then the keeper ends, too
"""

from __future__ import annotations

import os
import select
import time

from qtui.engine.caplog import write_all
from qtui.engine.joboutput import JobOutput
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
        self._masks: tuple[bytes, ...] = ()
        self._held, self._held_until = b"", 0.0

    def serve(self) -> None:
        """Work until the channel closes or qtui has ended."""
        self._report("hello", os.getpid())
        while True:
            job = self._job
            for fd, _ in self._poll.poll(self._patience()):
                if job is not None and fd in job.output.fds:
                    if not job.output.read(fd):
                        self._poll.unregister(fd)
                        job.output.close_one(fd)
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
                case ("mask", masks):
                    self._masks = tuple(masks)
                case ("run", *fields):
                    self._run(Job(self._report, self._base, self._given, self._masks, *fields))
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
        for fd in job.output.fds:
            self._poll.register(fd, POLL_IN)
        self._held = frame(("began", job.pid))
        self._held_until = time.monotonic() + BEGAN_SECONDS

    def _advance(self, job: Job) -> None:
        if not job.advance():
            return
        for fd in job.output.fds:
            self._poll.unregister(fd)
        job.output.drain()
        self._job = None
        self._report("ended", *job.close(), job.output.tail, job.kept, job.output.error_tail)
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

    `env` goes over the environment that the keeper has. Output goes to `log`, of which `limit` bytes are kept, with
    `masks` replaced.
    `pty` gives it a terminal. `keep` lets what it leaves behind live; else that has `grace` seconds (1 at most) to end
    when told to. If there is a `tail`, so many of the last bytes of its standard output are reported, and a few of its
    standard error.

    A process worker (`worker`) inherits all descriptors that its slot was given, their numbers added to `argv`, and
    behind them the reading end of a pipe that closes when the keeper dies; the first of them is the page (LogPage)
    that names the log.
    """

    def __init__(
        self,
        report: Callable[..., None],
        base: dict[str, str],
        given: list[int],
        masks: tuple[bytes, ...],
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
        self._argv, self._env, self._cwd, self._pty = argv, {**base, **env}, cwd, pty
        self._inherited = given if worker else []
        self.output = JobOutput(report, (log, limit), LogPage(given[0]) if worker else None, tail, masks)
        self._keep, self._grace = keep, min(grace, LEFTOVER_SECONDS)
        self.pid = 0
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
        writers, actions = self.output.open(pty=self._pty)
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

    def close(self) -> tuple[int, int, float, int, int]:
        """Close the output: its code, leftovers, CPU seconds, peak kB and dropped bytes."""
        dropped = self.output.close()
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
        patience = None if due is None else max(5.0, (due - time.monotonic()) * 1000)
        held = self.output.patience()
        return patience if held is None else min(held, patience or held)

    def advance(self) -> bool:
        """Reap what has ended and do what is due; True when nothing is left."""
        self.output.advance()
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
                cpu, peak = self._usage
                self._usage = (cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss))
                if pid == self.pid:
                    self._code = os.waitstatus_to_exitcode(status)
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
