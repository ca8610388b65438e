"""For coroutine units: processes that end when the coroutine is cancelled.

asyncio's own subprocesses go on when the task that waits for them is cancelled. These are ended first, with everything
in their process group, and the kernel ends the group when qtui itself is killed. Only a child that leaves the group
(setsid) can get away, where the command lane has keepers.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from qtui.engine.context import current_context
from qtui.engine.lifeline import arm, lifeline_pipe
from qtui.engine.packing import dumps, note_module

__all__ = ["CommandFailed", "Completed", "program", "shell", "to_process"]

P = ParamSpec("P")
R = TypeVar("R")

OUTPUT_KEPT = 1 << 20
"""How many of the last bytes of standard output and standard error are returned, each."""

_CHUNK = 1 << 16
_SOURCES = str(Path(__file__).resolve().parents[1])
_CALL = """import sys, pickle
sys.path[:] = pickle.load(sys.stdin.buffer)
function, arguments, keywords = pickle.load(sys.stdin.buffer)
out, sys.stdout = sys.stdout.buffer, sys.stderr
from qtui.engine.packing import dumps
out.write(dumps(function(*arguments, **keywords)))
out.flush()
"""


class Completed(NamedTuple):
    """What a process left: its exit code and the last megabyte of each of its outputs."""

    returncode: int
    stdout: bytes
    stderr: bytes


class CommandFailed(subprocess.CalledProcessError):
    """A process ended with another exit code than 0; its outputs are in `stdout` and `stderr`."""

    def __str__(self) -> str:
        said = self.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"{super().__str__()} {said}".rstrip()


async def shell(
    text: str,
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    grace: float = 5.0,
) -> Completed:
    """Run shell text; see `program`."""
    return await program("sh", "-c", text, cwd=cwd, env=env, check=check, grace=grace)


async def program(
    *argv: str,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    grace: float = 5.0,
) -> Completed:
    """Run a program, whose output also goes to the unit's log as it comes.

    `env` goes over the unit's environment. When the coroutine is cancelled, the program's process group gets TERM,
    and KILL after `grace` seconds; the cancellation goes on when the program has ended. Raises CommandFailed if it
    ends with another exit code than 0, unless `check` is False, and OSError if it cannot be started.
    """
    completed = await _run(argv, None, cwd, env, grace, logged=(True, True))
    if check and completed.returncode:
        raise CommandFailed(completed.returncode, list(argv), completed.stdout, completed.stderr)
    return completed


async def to_process(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a new Python process, and return its value.

    Function, arguments and value travel by pickling. What the function prints goes to the unit's log. When the
    coroutine is cancelled, the process is killed. Raises CommandFailed, with the traceback in `stderr`, if the
    function raises or the process dies.
    """
    note_module(getattr(function, "__module__", None) or "__main__")
    given = pickle.dumps([_SOURCES, *sys.path]) + dumps((function, args, kwargs))
    argv = (sys.executable, "-c", _CALL)
    completed = await _run(argv, given, None, None, 0.0, logged=(False, True))
    if completed.returncode:
        raise CommandFailed(completed.returncode, getattr(function, "__qualname__", "function"), b"", completed.stderr)
    value: R = pickle.loads(completed.stdout)
    return value


async def _run(
    argv: tuple[str, ...],
    given: bytes | None,
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    grace: float,
    *,
    logged: tuple[bool, bool],
) -> Completed:
    context = current_context.get()
    environment = {**(os.environ if context is None else context.environment), **(env or {})}
    lifeline, ours = lifeline_pipe()
    try:
        process, canceled = await _started(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            pass_fds=(lifeline,),
        )
        arm(lifeline, process.pid)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(lifeline)
    assert process.stdout is not None and process.stderr is not None
    out_limit = OUTPUT_KEPT if logged[0] else sys.maxsize
    readers = [
        asyncio.ensure_future(_read(process.stdout, out_limit, logged=logged[0])),
        asyncio.ensure_future(_read(process.stderr, OUTPUT_KEPT, logged=logged[1])),
    ]
    try:
        if canceled:
            raise asyncio.CancelledError
        if process.stdin is not None and given is not None:
            with suppress(ConnectionError):  # it has ended already, which its exit code tells
                process.stdin.write(given)
                await process.stdin.drain()
                process.stdin.close()
        stdout, stderr = await asyncio.gather(*readers)
        return Completed(await process.wait(), stdout, stderr)
    finally:
        await _end(process, grace)
        os.close(ours)
        for reader in readers:
            reader.cancel()


async def _started(*argv: str, **options: Any) -> tuple[asyncio.subprocess.Process, bool]:
    """The process, once it has been started, and whether we were cancelled meanwhile.

    asyncio would kill the process then, but not what that has started by now.
    """
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*argv, **options))
    canceled = False
    while True:
        try:
            return await asyncio.shield(starting), canceled
        except asyncio.CancelledError:
            if starting.cancelled():
                raise
            canceled = True


async def _read(stream: asyncio.StreamReader, limit: int, *, logged: bool) -> bytes:
    context = current_context.get()
    kept = bytearray()
    while data := await stream.read(_CHUNK):
        if logged and context is not None:
            context.log_writer.write(data)
        kept += data
        if len(kept) > 2 * limit:
            del kept[:-limit]
    return bytes(kept[-limit:])


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    """End the process and what is left of its group, also when we are cancelled once more meanwhile."""
    if process.returncode is None and grace:
        _signal(process, signal.SIGTERM)
        with suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(process.wait(), grace)
    _signal(process, signal.SIGKILL)
    while process.returncode is None:
        with suppress(asyncio.CancelledError):
            await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
