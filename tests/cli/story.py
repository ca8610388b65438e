"""A run as plain output follows it: what was told and what units printed, one after the other."""

from __future__ import annotations

from io import StringIO
from typing import Any

from told import Told

from qtui.cli.manner import Manner
from qtui.cli.plain import PlainLines
from qtui.core.events import Event, UnitRetrying
from qtui.core.model import QuantumUnit, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.session import LogChunk, Record
from qtui.core.state import RunView

Printed = tuple[tuple[int, int], bytes]


class Script(Told):
    """What happens, step by step."""

    def __init__(self, *units: QuantumUnit, name: str = "flow") -> None:
        self.steps: list[tuple[float, Event | None, Printed | None]] = []
        super().__init__(*units, name=name)

    def add(self, *events: Event) -> Script:
        super().add(*events)
        self.steps += [(event.at, event, None) for event in events]
        return self

    def prints(self, unit: str, text: str | bytes, at: float = 102.0) -> Script:
        """The latest attempt of a unit does."""
        number = self.view.plan.numbers[unit]
        data = text.encode() if isinstance(text, str) else text
        self.steps.append((at, None, ((number, self.view.attempts[number]), data)))
        return self

    def fails_now(self, unit: str, at: float = 109.0, words: str = "", **keys: Any) -> Script:
        """The attempt of a unit that goes on does, with exit code 3."""
        error = UnitError("exit", "exit 3", exit_code=3, last_line=words, **keys)
        return self.ends(unit, UnitState.FAILED, at, error=error)

    def tries_again(self, unit: str, at: float = 103.0) -> Script:
        number = self.view.plan.numbers[unit]
        error = UnitError("exit", "exit 3", exit_code=3)
        return self.add(UnitRetrying(number, self.view.attempts[number], 2.0, error, at))


class Story:
    """A session on such a run, whose feed tells a step at a time; it has ended, if the script says so."""

    run, kind, read_only, lost, trouble = "20260102-030405-abcd", "live", True, False, ""
    options = RunOptions()

    def __init__(self, script: Script) -> None:
        self._view, self.plan, self.opening = script.view, script.plan, RunView.initial(script.plan)
        self._steps = list(script.steps)
        self._now = 0.0
        self.logs: dict[tuple[int, int], bytes] = {}
        self.reads = 0
        self.unread = ""  # why no log can be read

    def in_lines(self, **manner: object) -> str:
        """All of it as plain output."""
        out = StringIO()
        PlainLines(self, out, Manner(**manner)).follow()
        return out.getvalue()

    def to_its_end(self) -> Story:
        while not self.closed:
            self.take()
        self.reads = 0
        return self

    def view(self) -> RunView:
        return self._view

    def now(self) -> float:
        return self._now

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        self.reads += 1
        if self.unread:
            return LogChunk(b"", 0, 0, self.unread)
        data = self.logs.get((unit, attempt), b"")
        start = max(0, len(data) + offset) if offset < 0 else offset
        piece = data[start : start + limit]
        return LogChunk(piece, len(data), start + len(piece))

    def log_path(self, unit: int, attempt: int) -> str | None:
        return f"/logs/{unit}.{attempt}.log" if (unit, attempt) in self.logs else None

    # -- its feed ------------------------------------------------------------------------------------------

    def feed(self) -> Story:
        return self

    @property
    def closed(self) -> bool:
        return not self._steps

    def take(self, timeout: float | None = None) -> list[Record]:
        self._now, event, printed = self._steps.pop(0)
        if printed is not None:
            of, data = printed
            self.logs[of] = self.logs.get(of, b"") + data
        return [Record(1, event)] if event is not None else []
