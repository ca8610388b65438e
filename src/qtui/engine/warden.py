"""The warden: a small process without threads that forks a keeper for each worker slot of qtui.

Forking costs a millisecond and a megabyte where starting an interpreter costs fifteen and four; and it is safe here,
where it is not from qtui with its threads. The warden is a child subreaper, too: what a keeper that was killed leaves
behind becomes its child, and is killed.

It runs as ``python -I -S`` with its channel's descriptor, the pid of qtui, a niceness and a directory to remove when
all is over (or an empty text). Each message on the channel brings descriptors: a keeper's own channel, and those that
the keeper's units may inherit.
"""

from __future__ import annotations

import os
import select
import sys
import time

from qtui.engine.keeper import IGNORED, KEPT, POLL_IN, Keeper, become_subreaper, descendants, wake_on_children

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:
    # what these modules are made of, without their enums: those take as long as all other imports here
    import _signal as signal
    import _socket as socket

_MOST_FDS = 8
_WAKE_MILLISECONDS = 300
_RIGHTS_SPACE = socket.CMSG_SPACE(4 * _MOST_FDS)


class Warden:
    """Forks keepers until its channel closes or the process `qtui` has ended; ends when the last of them has."""

    def __init__(self, channel: int, qtui: int, discard: str) -> None:
        self._channel = socket.socket(fileno=channel)
        self._pid, self._discard = qtui, discard
        self._qtui = os.pidfd_open(qtui)
        self._wake = wake_on_children()
        self._keepers: set[int] = set()
        self._kept: set[int] = set()

    def serve(self) -> None:
        """Work until there is nothing left to do."""
        poll = select.poll()
        channel = self._channel.fileno()
        for fd in (channel, self._qtui, self._wake):
            poll.register(fd, POLL_IN)
        wanted, orphaned = True, False
        while wanted or self._keepers:
            ready = poll.poll(None if wanted else _WAKE_MILLISECONDS)
            if not ready:
                self._wake_keepers()
            for fd, _ in ready:
                if fd == self._wake:
                    os.read(self._wake, 4096)
                    self._reap()
                elif fd == self._qtui or not self._fork_keeper():
                    poll.unregister(fd)
                    wanted = False
                    orphaned = orphaned or fd == self._qtui
        if orphaned and self._discard:
            _remove_tree(self._discard)

    def _fork_keeper(self) -> bool:
        data, ancillary, _, _ = self._channel.recvmsg(1, _RIGHTS_SPACE, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        fds = [number for _, _, rights in ancillary for number in memoryview(rights).cast("i")]
        pid = os.fork()
        if pid == 0:
            self._become_keeper(fds)
        self._keepers.add(pid)
        for fd in fds:
            os.close(fd)
        return True

    def _become_keeper(self, fds: list[int]) -> None:
        try:
            self._channel.close()
            os.close(self._qtui)
            os.setsid()
            become_subreaper(b"qtui-keeper")
            Keeper(fds[0], self._pid, fds[1:]).serve()
        except ProcessLookupError:
            pass  # qtui has just ended
        except BaseException as error:  # noqa: BLE001  - never fall back into the warden's own loop
            os.write(2, f"qtui: a keeper failed: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(1)

    def _wake_keepers(self) -> None:
        """It is over, and some are still there: a unit may have stopped them (SIGSTOP)."""
        for pid in self._keepers:
            os.kill(pid, signal.SIGCONT)

    def _reap(self) -> None:
        killed = False
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._kept.discard(pid)
                if pid in self._keepers:
                    self._keepers.remove(pid)
                    if os.waitstatus_to_exitcode(status) == KEPT:
                        self._kept |= self._strangers()
                    else:
                        killed = True
        except ChildProcessError:
            return
        while killed and (orphans := self._strangers()):
            for pid in orphans:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except OSError:
                    time.sleep(0.01)

    def _strangers(self) -> set[int]:
        """Living children that are neither keepers nor kept: their own keeper has gone."""
        return descendants(direct=True) - self._keepers - self._kept


def _remove_tree(path: str) -> None:
    for root, _, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(os.path.join(root, name))  # noqa: PTH108, PTH118
        os.rmdir(root)  # noqa: PTH106


def main(arguments: list[str]) -> None:
    """``warden CHANNEL PID NICENESS DISCARD``."""
    channel, qtui, niceness = (int(argument) for argument in arguments[:3])
    os.set_inheritable(channel, False)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    become_subreaper(b"qtui-warden")
    if niceness:
        os.nice(niceness)
    try:
        warden = Warden(channel, qtui, arguments[3])
    except ProcessLookupError:  # qtui ended before it could be watched
        sys.exit(1)
    if os.getppid() != qtui:
        sys.exit(1)
    warden.serve()
