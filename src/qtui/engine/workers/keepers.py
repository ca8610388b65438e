"""Wardens and keepers as lanes see them; what those processes do is told in qtui.engine.warden and .keeper."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtui.engine.wire import FrameReader, frame

_CHUNK = 1 << 16  # asking for a megabyte costs 20 us more a call: that much memory is made each time

_SOURCES = str(Path(__file__).resolve().parents[3])
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from qtui.engine.warden import main; main(sys.argv[2:])"


class Keepers:
    """Makes keepers, through one warden process that starts with the first. Safe to use from several threads."""

    def __init__(
        self, environment: Mapping[str, str], niceness: int = 0, discard: str = "", masks: Sequence[bytes] = ()
    ) -> None:
        self._environment, self._niceness, self._discard = environment, niceness, discard
        self._masks = masks
        self._lock = threading.Lock()
        self._warden: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._closed = False

    def keeper(self, given: Sequence[int] = ()) -> Keeper:
        """A new keeper; what it starts may inherit the descriptors `given`. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                self._send([theirs.fileno(), *given])
            except OSError:
                ours.close()
                raise
            assert self._warden is not None
            return Keeper(ours, self._warden.pid, self._masks)

    def close(self, timeout: float) -> bool:
        """Let the warden end, and wait until it and every keeper are gone, for up to `timeout` seconds."""
        with self._lock:
            self._closed = True
            if self._warden is None or self._channel is None:
                return True
            self._channel.close()
            for seconds in (1.0, timeout):
                try:
                    self._warden.wait(seconds)
                except subprocess.TimeoutExpired:
                    _wake(self._warden.pid)
                else:
                    return True
            return False

    def _send(self, fds: list[int]) -> None:
        if self._closed:
            raise OSError("the run is over")
        if self._channel is not None:
            try:
                socket.send_fds(self._channel, [b"+"], fds)
            except ConnectionError:  # somebody killed the warden; its keepers go on without it
                self._channel.close()
                assert self._warden is not None
                self._warden.wait()
            else:
                return
        self._start()
        assert self._channel is not None
        socket.send_fds(self._channel, [b"+"], fds)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        numbers = [theirs.fileno(), os.getpid(), self._niceness]
        try:
            with theirs:
                self._warden = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _BOOT, _SOURCES, *map(str, numbers), self._discard],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=self._environment,
                    start_new_session=True,  # ctrl+c in the terminal is for qtui alone
                )
        except OSError:
            ours.close()
            raise
        self._channel = ours


class Keeper:
    """One keeper process, at the other end of `channel`. Made by `Keepers.keeper`."""

    def __init__(self, channel: socket.socket, warden: int, masks: Sequence[bytes] = ()) -> None:
        self.channel = channel
        self._frames = FrameReader()
        self._warden, self._pid = warden, 0
        if masks:
            self._order("mask", list(masks))  # not as arguments, which everybody can see

    @property
    def pid(self) -> int:
        """Its process, once it has told; else 0."""
        return self._pid

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        *,
        log: str = "",
        limit: int = 0,
        worker: bool = False,
        pty: bool = False,
        keep: bool = False,
        grace: float = 0.0,
        tail: int = 0,
    ) -> None:
        """Have it start something; the fields are those of qtui.engine.keeper.Job."""
        self._order("run", list(argv), dict(env), cwd, log, limit, worker, pty, keep, float(grace), tail)

    def signal(self, number: int) -> None:
        """Pass a signal on to everything below it."""
        self._order("signal", int(number))

    def kill(self) -> None:
        """Kill everything below it until nothing is left."""
        self._order("kill")

    def finish(self, seconds: float) -> None:
        """TERM to everything below it, KILL in `seconds` to what is left."""
        self._order("finish", float(seconds))

    def receive(self) -> list[tuple[Any, ...]]:
        """The reports that have come. Raises EOFError if the keeper is gone."""
        try:
            data = self.channel.recv(_CHUNK)
        except OSError:  # also when it was let go a moment ago
            data = b""
        if not data:
            raise EOFError
        reports = self._frames.feed(data)
        if reports and reports[0][0] == "hello":
            self._pid = reports.pop(0)[1]
        return reports

    def wake(self) -> None:
        """Let it go on, if a unit has stopped it (SIGSTOP); or the warden, from which nothing has come of it yet."""
        _wake(self._pid or self._warden)

    def close(self) -> None:
        """Let go of it: it kills what it has, and ends."""
        self.channel.close()

    def _order(self, *order: object) -> None:
        # a keeper always reads, so this waits for microseconds; one that is gone is noticed by `receive`
        with contextlib.suppress(OSError):
            self.channel.sendall(frame(order))


def _wake(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
