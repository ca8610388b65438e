"""``qtui run --detach``: the same program started anew in a session of its own, and the word that it has begun."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TextIO

from qtui.cli.linger import lingering
from qtui.cli.telling import tell
from qtui.core.errors import EXIT_OK, UsageError
from qtui.definition.params import Ask, ParamSpec
from qtui.tui.text import clean_lines

DETACHED_LOG: Final = "detached.log"
"""Where, in the run's directory, a run without a terminal writes."""

_VARIABLE: Final = "QTUI_DETACHED"
_MOST_SHOWN: Final = 1 << 20


def start_detached(answers: Mapping[str, str], out: TextIO, directory: str) -> int:
    """Start this program again, with the same arguments, and return when its run has begun; prints its id to `out`.

    `directory` is where this program was started, and `answers` are the values of params that a person has been asked
    for. While the run waits for its turn, this says for whom; the end of this program, however it comes, ends the
    waiting. If the new program ends without a run, its output is shown, and its exit code returned.
    """
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as output:
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "qtui", *sys.argv[1:]],
                cwd=directory,
                env={**os.environ, _VARIABLE: str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            run = _run_of(ours, answers)
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise
        if not run:
            code = child.wait()
            output.seek(0)
            print("\n".join(clean_lines(output.read(_MOST_SHOWN).decode("utf-8", "replace"))), file=sys.stderr)
            return 128 - code if code < 0 else code
    try:
        print(run, file=out, flush=True)
    finally:
        tell(f"the run goes on in the background; qtui attach {run} shows it")
    if warning := lingering(child.pid):
        tell(warning)
    return EXIT_OK


def _run_of(link: socket.socket, answers: Mapping[str, str]) -> str:
    """The id of the run that the other program has begun; empty if it has ended instead. Says what it waits for."""
    with suppress(OSError), link.makefile("rw", encoding="utf-8") as lines:
        print(json.dumps(answers), file=lines, flush=True)
        for line in lines:
            word, text = json.loads(line)
            if word == "run":
                return str(text)
            tell(text)
    return ""


def recorded(ask: Ask | None, answers: dict[str, str]) -> Ask | None:
    """`ask`, which also notes down in `answers` what it was told."""
    if ask is None:
        return None

    def asked(spec: ParamSpec) -> str:
        answers[spec.name] = answer = ask(spec)
        return answer

    return asked


def answered(known: Mapping[str, str], ask: Ask | None) -> Ask | None:
    """`ask`, but for what is known already."""
    if not known:
        return ask

    def asked(spec: ParamSpec) -> str:
        if spec.name in known:
            return known[spec.name]
        if ask is None:
            raise UsageError(f"-p {spec.name}=VALUE must be given")
        return ask(spec)

    return asked


class Starter:
    """The program that has started this one with ``--detach``, and waits for its run to begin."""

    def __init__(self, descriptor: int) -> None:
        self._link = socket.socket(fileno=descriptor)
        os.set_inheritable(descriptor, False)
        with self._link.makefile("r", encoding="utf-8") as words:
            self._answers: Mapping[str, str] = json.loads(words.readline())

    def ask(self, spec: ParamSpec) -> str:
        """What the person has answered to the other program."""
        try:
            return self._answers[spec.name]
        except KeyError:  # the workflow was changed a moment ago
            raise UsageError(f"-p {spec.name}=VALUE must be given") from None

    @contextmanager
    def queueing(self) -> Iterator[Callable[[str], None]]:
        """While this holds the run waits for its turn: what it waits for is to be told with what this yields, and a
        KeyboardInterrupt is raised when the other program has ended, or TERM comes. Enter it once, on the main thread.
        """
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,), name="qtui-starter", daemon=True)
        before = signal.signal(signal.SIGTERM, _give_up)
        thread.start()
        try:
            yield lambda text: self._tell("waits", text)
        finally:
            over.set()
            with suppress(OSError):
                self._link.shutdown(socket.SHUT_RD)
            thread.join()
            signal.signal(signal.SIGTERM, before)

    def _watch(self, over: threading.Event) -> None:
        with suppress(OSError):
            self._link.recv(1)  # nothing comes any more, until the other end is closed
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def begun(self, run: str, directory: Path, out: TextIO) -> None:
        """The run has begun: what `out`, standard output and standard error get from now on goes to a file in its
        `directory`."""
        log = os.open(directory / DETACHED_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        for stream in (out, sys.stderr):
            stream.flush()
        for descriptor in {1, 2, out.fileno()}:
            os.dup2(log, descriptor, inheritable=descriptor in (1, 2))
        os.close(log)
        self._tell("run", run)
        self._link.close()

    def _tell(self, *words: str) -> None:
        with suppress(OSError):  # nobody may wait any more: the run is worth more
            self._link.sendall(json.dumps(words).encode() + b"\n")


def _give_up(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def starter() -> Starter | None:
    """Who waits for a run of this program to begin, if ``--detach`` has started it. To be asked once."""
    descriptor = os.environ.pop(_VARIABLE, "")  # no unit is to inherit it
    try:
        return Starter(int(descriptor)) if descriptor else None
    except (OSError, ValueError):
        raise UsageError(f"{_VARIABLE} is for qtui's own use") from None
