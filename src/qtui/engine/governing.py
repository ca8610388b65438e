"""The thread that lets the governor look at the machine, and passes on what it wishes."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Mapping
from itertools import compress, repeat
from operator import is_
from typing import Final, Protocol

from qtui.core.events import ConfirmRequested, UnitSubmitted
from qtui.core.governor import Governor
from qtui.core.load import LaneLoad, Load
from qtui.core.model import ExecutionMode, RunState, UnitState
from qtui.core.options import RunOptions
from qtui.core.state import RunView
from qtui.core.stimuli import LaneWorkersRequested, Stimulus
from qtui.core.targets import GOVERNED
from qtui.engine.machine_load import MachineReader
from qtui.engine.workers.base import Attempt

SECONDS: Final = 1.0
"""How often the governor looks, unless looking is dear."""

MOST_SHARE: Final = 0.005
"""The part of a core that looking may take: it is done less often where a look takes long."""

MOST_ENDS: Final = 1 << 17
"""Of more attempts than end between two looks, the last ones are enough to know how long they take."""

_NOT_WAITING: Final = (UnitSubmitted, ConfirmRequested)


class Governable(Protocol):
    """What governing needs of its run; the engine is one."""

    @property
    def options(self) -> RunOptions:
        """How the run is driven."""

    def view(self) -> RunView:
        """What is known now."""

    def now(self) -> float:
        """The run's clock."""

    def attempts(self) -> list[Attempt]:
        """The attempts that go on right now."""

    def post(self, stimulus: Stimulus) -> None:
        """Bring news."""

    def warn(self, unit: int, message: str) -> None:
        """Record a warning."""


class Governing:
    """Governs a run while no person does."""

    def __init__(self, run: Governable, reader: MachineReader | None = None) -> None:
        self._run = run
        self._reader = reader or MachineReader()
        self._governor: Governor | None = None
        self._ended: deque[tuple[ExecutionMode, float]] = deque(maxlen=MOST_ENDS)
        self._over = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless that was done before."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="qtui-governor", daemon=True)
                self._thread.start()

    def note(self, lane: ExecutionMode, seconds: float) -> None:
        """An attempt has ended after so many seconds; may be called from any thread, and costs next to nothing."""
        if self._thread is not None:
            self._ended.append((lane, seconds))

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _follow(self) -> None:
        pause = SECONDS
        while not self._over.wait(pause):
            begun = time.thread_time()
            try:
                self.look(self._run.view(), self._run.now())
            except Exception:  # noqa: BLE001  - the run goes on with the workers that it has
                self._run.warn(-1, f"internal error, please report it: {traceback.format_exc().rstrip()}")
                break
            pause = pause_after(time.thread_time() - begun)

    def look(self, view: RunView, now: float) -> None:
        """Look once. A governor that was away knows nothing of what was before."""
        ended = self._take_ended()
        going = view.state is RunState.RUNNING and not view.paused and view.stopping is None
        targets = governed_targets(view)
        if not (view.governed and going and targets):
            self._governor = None
            return
        load = self._load(view, targets, ended)
        if load is None:
            return
        self._governor = self._governor or Governor(self._run.options)
        for wish in self._governor.decide(load, now):
            self._run.post(LaneWorkersRequested(*wish))

    def _take_ended(self) -> dict[ExecutionMode, tuple[int, float, float]]:
        """Of each lane: how many attempts have ended since the last look, their seconds, and the squares of those."""
        ended: dict[ExecutionMode, tuple[int, float, float]] = {}
        for _ in range(len(self._ended)):
            lane, seconds = self._ended.popleft()
            count, total, squares = ended.get(lane, (0, 0.0, 0.0))
            ended[lane] = count + 1, total + seconds, squares + seconds * seconds
        return ended

    def _load(
        self,
        view: RunView,
        targets: Mapping[ExecutionMode, int],
        ended: Mapping[ExecutionMode, tuple[int, float, float]],
    ) -> Load | None:
        attempts = self._run.attempts()
        keepers = {each.keeper.pid: each.start.lane for each in attempts if each.keeper is not None}
        threads = {each.thread for each in attempts if each.start.lane is ExecutionMode.THREAD and each.thread}
        machine = self._reader.look(keepers, threads)
        if machine is None:
            return None
        workers: defaultdict[ExecutionMode, float] = defaultdict(float)
        for each in attempts:
            workers[each.start.lane] += 1 / each.start.batch  # some share a worker
        waiting = waiting_units(view)
        lanes = {}
        for lane, target in targets.items():
            count, seconds, squares = ended.get(lane, (0, 0.0, 0.0))
            lanes[lane] = LaneLoad(
                target=target,
                running=math.ceil(workers[lane] - 1e-6),
                waiting=waiting.get(lane, 0),
                ended=count,
                seconds=seconds,
                squares=squares,
                cpu=machine.cpu.get(lane, 0.0),
                runnable=machine.runnable.get(lane, 0.0),
            )
        return Load(
            lanes=lanes,
            cores=machine.cores,
            ours=machine.ours,
            others=machine.others,
            memory_used=machine.memory_used,
            memory_total=machine.memory_total,
            our_memory=machine.our_memory,
            swapped_out=machine.swapped_out,
            memory_stalls=machine.memory_stalls,
            io_stalls=machine.io_stalls,
        )


def governed_targets(view: RunView) -> dict[ExecutionMode, int]:
    """How many units of each governed lane may run at a time, while that is not a person's decision."""
    lanes = ((ExecutionMode(name), target) for name, target in view.lane_workers.items())
    return {lane: target for lane, target in lanes if lane in GOVERNED}


def waiting_units(view: RunView) -> dict[ExecutionMode, int]:
    """How many units of each governed lane wait for a worker, those that wait for a pool or a brake included."""
    if not view.counts[UnitState.READY]:
        return {}
    lane, *others = map(ExecutionMode, view.lane_workers)
    if not others and view.plan.lanes.count(lane) == len(view.plan):
        return {lane: view.counts[UnitState.READY] - view.submitted - view.asked}
    # a Counter would hash each lane in Python: four times as dear, and there may be a hundred thousand units
    ready = map(is_, view.states, repeat(UnitState.READY))
    known = compress(zip(view.plan.lanes, view.last, strict=True), ready)
    lanes = [lane for lane, last in known if type(last) not in _NOT_WAITING]
    return {each: lanes.count(each) for each in (lane, *others)}


def pause_after(seconds: float) -> float:
    """How long to wait after a look that has taken so many CPU seconds."""
    return max(SECONDS, seconds / MOST_SHARE)
