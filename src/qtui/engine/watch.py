"""Watches what running units print: how far they say they are, and whether they have fallen silent."""

from __future__ import annotations

import math
import re
import threading
import traceback
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from qtui.core.model import Argv, ExecutionMode, QuantumUnit, Shell, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.stimuli import ProgressReported, SilenceReported, Stimulus
from qtui.engine.context import MOST_TEXT
from qtui.engine.logs import LogStore
from qtui.engine.notify import STALLED
from qtui.engine.processes import ProcessReader

SECONDS: Final = 1.0
"""How often units are looked at."""

MOST_BYTES: Final = 64 * 1024
"""How much of what a unit has printed since the last look is searched, at its end."""

IDLE_SHARE: Final = 0.01
IDLE_CPU: Final = 0.05
"""Up to this share of a core, and so many CPU seconds, a unit is idle: an interpreter that waits uses a little, too."""

_ANNOUNCED: Final = re.compile(
    r"::progress\s+(?P<done>\d+(?:\.\d+)?)\s*/\s*(?P<total>\d+(?:\.\d+)?)(?:\s+(?P<message>.*))?"
)
_LINE_END: Final = re.compile(r"[\r\n]+")
_BY_PROCESS: Final = (ExecutionMode.COMMAND, ExecutionMode.PROCESS)


class Watched(Protocol):
    """What a watcher needs of its run; the engine is one."""

    plan: ExecutionPlan
    logs: LogStore

    def view(self) -> RunView:
        """What is known now."""

    def now(self) -> float:
        """The run's clock."""

    def top_of(self, number: int) -> int:
        """The process below which all are that a unit has started; 0 if there is none."""

    def post(self, stimulus: Stimulus) -> None:
        """Bring news."""

    def warn(self, unit: int, message: str) -> None:
        """Record a warning about a unit."""


class _Life(NamedTuple):
    """The last sign of life of an attempt: how much it had printed and computed by then, and when that was."""

    attempt: int
    size: int
    cpu: float
    at: float
    warned: bool = False


class Watcher:
    """A thread that looks at running units once a second, as long as there are any that can be watched."""

    def __init__(self, run: Watched) -> None:
        self._run = run
        self._lives: dict[int, _Life] = {}
        self._read: dict[tuple[int, int], tuple[int, int]] = {}  # how far each log was searched, and its size then
        self._processes = ProcessReader()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="qtui-watch", daemon=True)

    @staticmethod
    def wanted(units: Iterable[QuantumUnit], mode: ExecutionMode) -> bool:
        """Whether there is anything to watch: a command may always announce its progress."""
        return any(
            _is_command(unit) or ((unit.stall or unit.progress) and unit.lane(mode) in _BY_PROCESS) for unit in units
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _follow(self) -> None:
        while not self._over.wait(SECONDS):
            try:
                self.look(self._run.view(), self._run.now())
            except Exception:  # noqa: BLE001  - the run does not need it
                self._run.warn(-1, f"internal error, please report it: {traceback.format_exc().rstrip()}")
                return

    def look(self, view: RunView, now: float) -> None:
        """Look at every running unit once."""
        running = {number for number, state in enumerate(view.states) if state is UnitState.RUNNING}
        for number in self._lives.keys() - running:
            del self._lives[number]
        self._read = {key: seen for key, seen in self._read.items() if key[0] in running}
        by_process = [number for number in running if view.plan.lanes[number] in _BY_PROCESS]
        elsewhere = [number for number in running if view.plan.lanes[number] is ExecutionMode.CUSTOM]
        for number in (*by_process, *elsewhere):
            self._look_for_progress(number, view.attempts[number])
        tops = {number: self._run.top_of(number) for number in by_process if view.plan.table[number].stall is not None}
        if tops:
            processes = self._processes.read(set(tops.values()) - {0})
            for number, pid in tops.items():
                cpu = processes.cpu_seconds(pid)
                self._look_for_life(view.plan.table[number], number, view.attempts[number], now, cpu)

    def _look_for_progress(self, number: int, attempt: int) -> None:
        written = self._run.plan.table[number].progress
        pattern = re.compile(written) if written else None  # `re` keeps what it has compiled
        if pattern is None and not _is_command(self._run.plan.table[number]):
            return
        searched, before = self._read.get((number, attempt), (0, 0))
        size = self._run.logs.read(number, attempt, 0, 0).size
        if size == searched:
            return
        start = max(searched, size - MOST_BYTES)
        data = self._run.logs.read(number, attempt, start, size - start).data
        if size != before:  # the last line may go on: "61/1" of "61/100"
            data = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]
        self._read[number, attempt] = start + len(data), size
        for done, total, message in progress_in(data.decode("utf-8", "replace"), pattern):
            self._run.post(ProgressReported(number, attempt, done, total, message))
            return

    def _look_for_life(self, unit: QuantumUnit, number: int, attempt: int, now: float, cpu: float) -> None:
        assert unit.stall is not None
        size = self._run.logs.read(number, attempt, 0, 0).size
        last = self._lives.get(number)
        if last is None or last.attempt != attempt or size != last.size or _busy(cpu - last.cpu, now - last.at):
            self._lives[number] = _Life(attempt, size, cpu, now)
            if last is not None and last.warned and last.attempt == attempt:
                self._run.post(SilenceReported(number, attempt, None))
        elif not last.warned and now - last.at >= unit.stall:
            self._lives[number] = last._replace(warned=True)
            self._run.post(SilenceReported(number, attempt, last.at))
            self._run.warn(number, f"{STALLED} for {now - last.at:.0f} s (stall = {unit.stall:g} s)")


def _is_command(unit: QuantumUnit) -> bool:
    return isinstance(unit.action, Shell | Argv)


def _busy(cpu: float, seconds: float) -> bool:
    # less than before: a process below has ended and was not waited for, which is a sign of life
    return not 0.0 <= cpu <= IDLE_CPU + IDLE_SHARE * seconds


def progress_in(text: str, pattern: re.Pattern[str] | None) -> Iterator[tuple[float, float, str]]:
    """What the lines of `text` say of progress, last line first: done, total (0 if unknown) and a message."""
    for line in reversed(_LINE_END.split(text)):
        found = _ANNOUNCED.match(line) or (pattern.search(line) if pattern is not None else None)
        if found is None:
            continue
        groups = found.groupdict()
        try:
            done, total = float(groups["done"]), float(groups.get("total") or 0)
        except (ValueError, TypeError):
            continue  # what the pattern found is no number
        if math.isfinite(done) and math.isfinite(total):
            yield done, total, (groups.get("message") or "").strip()[:MOST_TEXT]
