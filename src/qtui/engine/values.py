"""The values of completed units, in each of the forms in which somebody asks for them, and why others have none."""

from __future__ import annotations

import threading
from itertools import count
from typing import Any

from qtui.core.errors import BrokenResult
from qtui.core.events import UnitFinished
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.files import RunFiles
from qtui.engine.packing import Packed, load_value, pack


class Values:
    """Values of the units of `plan`, which may grow, with their large ones in `files`. Any thread may call it.

    Each is kept as it was made: by another process, it is Packed; what has stayed on another machine is Elsewhere, and
    fetched when it is wanted. Its other form is made when it is first asked
    for, and dropped with it, as a unit may run again meanwhile.
    """

    def __init__(self, plan: ExecutionPlan, files: RunFiles) -> None:
        self._plan, self._files = plan, files
        self.made: list[Any] = [None] * len(plan)
        """The values by number, each as it was made."""
        self._opened: dict[int, tuple[Packed | Elsewhere, Any]] = {}  # with the value that it is a form of
        self._packed: dict[int, tuple[Any, Packed]] = {}
        self._opening = threading.RLock()
        self._file_numbers = count(1)
        self._causes: dict[int, str] = {}

    def grow(self) -> None:
        """Make room for units that the plan has got."""
        self.made += [None] * (len(self._plan) - len(self.made))

    def put(self, number: int, value: Any) -> None:
        """A unit has a new value."""
        self._opened.pop(number, None)
        self._packed.pop(number, None)
        self.made[number] = value

    def ended(self, end: UnitFinished) -> None:
        """A unit has ended, maybe with its fallback for a value, or with none."""
        if end.state is not UnitState.COMPLETED:
            self._causes[end.unit] = end.cause or str(end.error or "").partition("\n")[0][:300]
        if end.fallback:
            fallback = self._plan.table[end.unit].fallback
            self.put(end.unit, fallback.value if fallback is not None else None)

    def remember(self, view: RunView) -> None:
        """The run goes on after `view`: learn why units that have ended before have no value."""
        for last in view.last:
            if isinstance(last, UnitFinished) and last.state is not UnitState.COMPLETED:
                self.ended(last)

    def cause_of(self, number: int) -> str:
        """Why a unit that has ended has no value."""
        return self._causes.get(number, "")

    def put_loadable(self, number: int, value: Any) -> None:
        """A unit has an earlier value. Raises BrokenResult if it cannot be loaded; then the unit has none."""
        self.put(number, value)
        try:
            self.opened(number)
        except BrokenResult:
            self.made[number] = None
            raise

    def opened(self, number: int) -> Any:
        """The value itself. Raises BrokenResult, naming the unit, if it was made elsewhere and cannot be loaded."""
        value = self.made[number]
        if not isinstance(value, Packed | Elsewhere):
            return value
        with self._opening:
            opened = self._opened.get(number)
            if opened is None or opened[0] is not value:
                packed = value if isinstance(value, Packed) else value.fetch()
                opened = self._opened[number] = (value, load_value(packed, self._plan.table[number].id))
            return opened[1]

    def packed(self, number: int) -> Packed:
        """The value as bytes for another process. Raises what pickling raises, and BrokenResult."""
        value = self.made[number]
        if isinstance(value, Packed):
            return value
        if isinstance(value, Elsewhere):
            return value.fetch()
        packed = self._packed.get(number)
        if packed is None or packed[0] is not value:
            name = f"{number}-{next(self._file_numbers)}"
            packed = self._packed[number] = (value, pack(value, lambda: self.path(name)))
        return packed[1]

    def path(self, name: str) -> str:
        """The file `name` for a value that is too large for a message."""
        return f"{self._files.folder('values')}/{name}"
