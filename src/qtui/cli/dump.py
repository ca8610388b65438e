"""What every thread and the run are doing, written to a file when somebody asks with QUIT."""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from qtui.core.model import UnitState
from qtui.core.session import RunSession

DUMP: Final = "quit.txt"
"""The file's name in the run's directory."""

_LIVELY: Final = frozenset({UnitState.RUNNING, UnitState.CANCELING})


@contextmanager
def dumped_on_quit(session: RunSession, directory: Path | None, say: Callable[[str], None]) -> Iterator[None]:
    """While this holds, QUIT does not end the process: it writes the stacks of all threads and the state of the run to
    a file in `directory`, and `say` is told where. Enter it on the main thread.

    The stacks are written also when a thread does not let go of the interpreter; that is why the file is open already.
    """
    path = directory / DUMP if directory is not None else None
    try:
        file = open(path, "a", opener=_open) if path is not None else None  # noqa: SIM115
    except OSError:
        file = None
    if file is None or path is None:
        yield
        return
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    thread = threading.Thread(target=_answer, args=(asked, session, file, path, say), name="qtui-dump", daemon=True)
    thread.start()
    before = signal.signal(signal.SIGQUIT, lambda *_: asked.put(True))
    faulthandler.register(signal.SIGQUIT, file, all_threads=True, chain=True)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGQUIT)
        signal.signal(signal.SIGQUIT, before)
        asked.put(False)
        thread.join()
        with suppress(OSError):
            file.close()
            if path.stat().st_size == 0:
                path.unlink()


def _open(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)


def _answer(
    asked: queue.SimpleQueue[bool], session: RunSession, file: IO[str], path: Path, say: Callable[[str], None]
) -> None:
    while asked.get():
        try:
            file.write(_described(session))
            file.flush()
        except OSError as error:
            say(f"{path} cannot be written: {error.strerror}")
        else:
            say(f"threads and state are in {path}")


def _described(session: RunSession) -> str:
    """What the stacks do not tell: the names of threads, and how the run stands. ASCII, for it holds names of units."""
    view = session.view()
    threads = [f"  0x{thread.ident or 0:016x} {thread.name}" for thread in threading.enumerate()]
    counts = ", ".join(f"{count} {state}" for state in UnitState if (count := view.counts[state]))
    lively = [
        f"  {unit.id!a} {unit.state}, attempt {unit.attempt}, pid {unit.pid or '-'}, "
        f"{session.now() - (unit.started_at or session.now()):.1f} s"
        for unit in view.units
        if unit.state in _LIVELY
    ]
    lines = [
        f"run {session.run} at {time.strftime('%Y-%m-%d %H:%M:%S')}: {view.state} ({counts})",
        *lively,
        f"process {os.getpid()}, threads:",
        *threads,
        "",
    ]
    return "\n".join(lines) + "\n"
