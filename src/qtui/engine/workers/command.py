"""The command lane: shell texts and programs under keepers, one at a time in each."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from typing import Any

from qtui.core.model import Argv, ExecutionMode, Outcome, QuantumUnit, Shell, UnitError
from qtui.engine.joboutput import ERROR_TAIL
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.exchange import BadResult, CommandFiles, NeedsFiles
from qtui.engine.workers.slots import SlotLane, Unstartable, describe_exit, keeper_lost

STDOUT_KEPT = 64 * 1024
"""How many of the last bytes of a command's standard output become part of its result."""

LAST_LINE_KEPT = 300
"""How many characters of the last line that a failed command printed become part of its error."""

_PROGRESS = "::progress "
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")


class CommandLane(SlotLane):
    """Each command leads a process group; signals reach every descendant, and its end is that of the last one."""

    def __init__(self, idle_seconds: float | None = None, idle_files: int | None = None) -> None:
        super().__init__(ExecutionMode.COMMAND, idle_seconds)
        self._idle: list[_Slot] = []
        self._idle_files = idle_files
        self.cwd = os.getcwd()  # noqa: PTH109

    def open(self, host: Host) -> None:
        """Start the lane's thread."""
        self.needs = NeedsFiles(host, self._idle_files)
        super().open(host)

    def begin(self, attempt: Attempt) -> None:
        """Give the unit's first command to a slot."""
        slot = self._idle.pop() if self._idle else _Slot(self)
        attempt.kept = slot
        try:
            slot.take(attempt)
        except Exception:
            self.let_go(slot.keeper)
            raise

    def interrupt(self, attempt: Attempt) -> None:
        """Send the unit's stop signal."""
        attempt.kept.keeper.signal(getattr(signal, f"SIG{attempt.unit.stop_signal}"))

    def kill(self, attempt: Attempt) -> None:
        """Kill until nothing is left."""
        attempt.kept.keeper.kill()

    def release(self) -> None:
        """Let idle keepers go."""
        while self._idle:
            self.let_go(self._idle.pop().keeper)

    def drop(self, slot: _Slot) -> None:
        """An idle slot's keeper is gone."""
        if slot in self._idle:
            self._idle.remove(slot)
        self.let_go(slot.keeper)

    def done(self, slot: _Slot, attempt: Attempt, outcome: Outcome, value: Any, *, reusable: bool) -> None:
        """The attempt is over, and its slot free."""
        if reusable and not self.closing:
            self._idle.append(slot)
        else:
            self.let_go(slot.keeper)
        self.finished(attempt, outcome, value)


class _Slot:
    """A keeper and the attempt whose commands it runs, one after another up to the first that fails."""

    def __init__(self, lane: CommandLane) -> None:
        self._lane = lane
        self.keeper = lane.host.keeper()
        lane.watch(self.keeper, self._on_report)
        self._attempt: Attempt | None = None

    def take(self, attempt: Attempt) -> None:
        """Begin the attempt."""
        host = self._lane.host
        self._files, self._lines = _prepare(host, self._lane.needs, attempt)
        self._attempt, attempt.keeper = attempt, self.keeper
        self._began = time.monotonic()
        self._number = 0
        self._tail = b""
        self._cpu, self._peak = 0.0, 0
        self._context = host.open_context(attempt)
        self._variables = {**host.variables_of(attempt.start.unit), **self._files.variables}
        self._run_next()

    def _run_next(self) -> None:
        assert self._attempt is not None
        unit, writer = self._attempt.unit, self._context.log_writer
        grace = unit.grace if unit.grace is not None else self._lane.host.options.grace
        self.keeper.run(
            self._lines[self._number],
            self._variables,
            unit.cwd or self._lane.cwd,
            log=writer.path,
            limit=unit.log_max,
            pty=unit.pty,
            keep=unit.leftovers == "keep",
            grace=grace,
            tail=STDOUT_KEPT,
        )

    def _on_report(self) -> None:
        try:
            reports = self.keeper.receive()
        except EOFError:
            self._on_loss()
            return
        for report in reports:
            if self._attempt is not None:
                self._take_report(self._attempt, report)

    def _take_report(self, attempt: Attempt, report: tuple[Any, ...]) -> None:
        match report:
            case ("began", pid) if self._number == 0:
                self._lane.host.began(attempt.start, pid)
            case ("failed", number, name):
                error = self._not_started(number, name)
                self._context.log(f"qtui: {error.message}")
                self._end(error)
            case ("log", number):
                self._lane.host.warn(attempt.start.unit, f"some of its output is lost: {os.strerror(number)}")
            case ("ended", code, leftovers, cpu, peak, _dropped, tail, kept, error_tail):
                self._cpu, self._peak = self._cpu + cpu, max(self._peak, peak << 10)
                self._tail = (self._tail + tail)[-STDOUT_KEPT:]
                last = (last_line(error_tail) or last_line(tail)) if code else ""
                self._on_command_end(attempt, code, leftovers, last, kept=kept)

    def _on_command_end(self, attempt: Attempt, code: int, leftovers: int, last: str, *, kept: bool) -> None:
        if leftovers and not attempt.interrupted:
            which = f"{leftovers} background process{'es' if leftovers > 1 else ''}"
            hint = 'leftovers = "keep" lets them be'
            self._lane.host.warn(attempt.start.unit, f"left {which} behind, ended now ({hint})")
        if attempt.interrupted:
            self._end(None, kept=kept)
        elif code not in attempt.unit.success_exit_codes:
            which = f" in command {self._number + 1} of {len(self._lines)}" if len(self._lines) > 1 else ""
            text = describe_exit(code, by_shell=isinstance(attempt.unit.action, Shell))
            self._end(UnitError("exit", text + which, exit_code=code, last_line=last), kept=kept)
        elif self._number + 1 == len(self._lines):
            self._end(None, code, kept=kept)
        else:
            self._number += 1
            if kept:  # the keeper has gone with what its unit keeps: the next command gets a new one
                self._renew(attempt)
            self._run_next()

    def _renew(self, attempt: Attempt) -> None:
        self._lane.let_go(self.keeper)
        self.keeper = attempt.keeper = self._lane.host.keeper()
        self._lane.watch(self.keeper, self._on_report)

    def _end(self, error: UnitError | None, code: int = 0, *, kept: bool = False) -> None:
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        self._context.log_writer.close()
        canceled = attempt.interrupted
        seconds = time.monotonic() - self._began
        value = None
        if error is None and not canceled:
            try:
                value = self._files.result({"exit_code": code, "stdout": self._tail.decode("utf-8", "replace")})
            except BadResult as bad:
                error = UnitError("BadResult", str(bad))
        self._files.close(used=kept)
        outcome = Outcome(error, canceled, False, seconds, self._context.metrics, self._peak, self._cpu)
        self._lane.done(self, attempt, outcome, value, reusable=not kept)

    def _on_loss(self) -> None:
        attempt = self._attempt
        if attempt is None:
            self._lane.drop(self)
        else:
            self._end(keeper_lost(attempt.unit.id, self._lane.host.run, self._lane.host.record), kept=True)

    def _not_started(self, number: int, name: str) -> UnitError:
        """127 and 126 are what shells answer for a program that is not there or cannot be run."""
        assert self._attempt is not None
        code = 127 if number == errno.ENOENT else 126
        cwd = self._attempt.unit.cwd
        where = f"in {cwd}: " if cwd and name == cwd else ""
        argv = self._lines[self._number]
        return UnitError("exit", f"cannot start {argv[0]}: {where}{os.strerror(number)}", exit_code=code)


def last_line(output: bytes) -> str:
    """The last line of an output that is not empty, its first `LAST_LINE_KEPT` characters; empty if there is none.

    Without colours and without what carriage returns have overwritten: as it stands on a terminal. Lines that tell of
    progress do not count: they say nothing of a failure.
    """
    text = _ESCAPES.sub("", output[-ERROR_TAIL:].decode("utf-8", "replace"))
    lines = [line.rstrip("\r").rpartition("\r")[2].strip() for line in text.split("\n")]
    return next((line[:LAST_LINE_KEPT] for line in reversed(lines) if line and not line.startswith(_PROGRESS)), "")


def _prepare(host: Host, needs: NeedsFiles, attempt: Attempt) -> tuple[CommandFiles, list[tuple[str, ...]]]:
    """The attempt's files, and what is to be started, one after another. Raises Unstartable."""
    files: CommandFiles | None = None
    try:
        files = CommandFiles(host, needs, attempt)
        return files, command_lines(attempt.unit, files)
    except OSError as error:
        if files is not None:
            files.close()
        message = f"cannot write the files that it is given: {error.strerror or error}"
        raise Unstartable(UnitError("OSError", message)) from error


def command_lines(unit: QuantumUnit, files: CommandFiles) -> list[tuple[str, ...]]:
    """What is to be started. Raises OSError if a script cannot be written."""
    match unit.action:
        case Shell(texts, shell) if any("{}" in word for word in shell):
            paths = [files.script(text) for text in texts]
            return [tuple(word.replace("{}", path) for word in shell) for path in paths]
        case Shell(texts, shell):
            return [(*shell, "-c", text) for text in texts]
        case Argv(argv):
            return [argv]
        case action:
            raise TypeError(f"{unit.id}: the command lane cannot run {action!r}")
