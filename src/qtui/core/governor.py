"""How many units of each lane run at a time: a pure policy over looks at the machine."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from qtui.core.climb import Climb
from qtui.core.load import LaneLoad, Load, Wish
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions

LEAST_ENDS: Final = 4
MOST_ENDS: Final = 100
PRECISION: Final = 0.1
"""How much a number of workers gets done is known when each has ended a unit and the mean duration is known so well:
that takes more ends the more durations differ."""

TRUSTED_PER_CORE: Final = 4
"""Up to so many workers a core nobody asks for proof that more get more done, while there is CPU to spare."""

PARKED: Final = 0.75
"""The part of the running units that goes on starting others when memory is short; less if it is very short."""

_UNBOUNDED: Final = 1 << 20
_PATIENCE: Final = 5  # looks, to begin with
_SMOOTHING: Final = 0.3
_IDLE: Final = 0.05  # of a core
_COMPUTES: Final = 0.5  # of a core that a unit uses if it has one to itself
_FULL: Final = 0.75  # of its workers that a lane of short units uses on the average
_SPARE_CPU: Final = 0.8  # of the cores in use; above that nobody tries more workers without proof
_DISKS_BUSY: Final = 0.5
_ROUNDS: Final = 3
_WORSE: Final = 0.75
_DRIFT: Final = 0.7  # of what it was: the units are others now
_BUSY_OTHERS: Final = 0.25  # of the cores
_STALLS: Final = 0.2
_SWAPPED_OUT: Final = 1 << 20
_RECOVERED: Final = 0.9  # of the target
_CALM_SECONDS: Final = 5.0
_MOST_CALM_SECONDS: Final = 320.0
_FORGIVEN_SECONDS: Final = 300.0


class Change(NamedTuple):
    """A new target of a lane and why."""

    target: int
    why: str


class Governor:
    """Finds the useful number of workers for each lane, within the options' bounds, and says why.

    Lanes whose units compute get the cores that other people leave; lanes whose units wait get more workers as long as
    those get more done. Lanes for whose workers nothing waits are left alone. When memory is short (more in use than
    `memory_target`, tasks that wait for it, swapping), workers are taken away at once, and given back with patience.
    """

    def __init__(self, options: RunOptions) -> None:
        self._least, self._most = options.min_workers, max(options.min_workers, options.max_workers)
        self._memory = _Memory(options.memory_target)
        self._lanes: dict[ExecutionMode, _Lane] = {}
        self._at: float | None = None
        self._others: float | None = None

    def decide(self, load: Load, now: float) -> list[Wish]:
        """What should change after this look, at `now` in seconds. Call it about once a second."""
        seconds = now - self._at if self._at is not None else 0.0
        self._at, self._others = now, _smooth(self._others, load.others)
        self._lanes = {mode: self._lanes.get(mode) or _Lane() for mode in sorted(load.lanes)}
        for mode, lane in self._lanes.items():
            lane.look(load.lanes[mode], seconds)
        short = self._memory.look(load, now)
        targets = {mode: load.lanes[mode].target for mode in self._lanes}
        wishes = []
        for mode, lane in self._lanes.items():
            rest = sum(targets.values()) - targets[mode]
            least = max(1, self._least - rest)
            most = max(least, self._most - rest)
            if short is not None:
                change = lane.park(load.lanes[mode], short)
            else:
                most = min(most, targets[mode] + self._memory.room(load, now))
                change = lane.decide(load, load.lanes[mode], self._cores_for(mode, load), least, max(least, most))
            target = max(least, min(change.target, most)) if change is not None else targets[mode]
            if change is not None and target != targets[mode]:
                wishes.append(Wish(mode, target, f"{targets[mode]} → {target}: {change.why}"))
                targets[mode] = target
                lane.expect(target)
        return wishes

    def _cores_for(self, mode: ExecutionMode, load: Load) -> float:
        """The cores that a lane may fill: those that other people leave, shared by the lanes that compute."""
        room = max(min(1.0, load.cores), load.cores - (self._others or 0.0))
        if not self._lanes[mode].computes:
            return room
        sharing = sum(lane.computes and lane.cpu > _IDLE for lane in self._lanes.values())
        used = sum(lane.cpu for other, lane in self._lanes.items() if other is not mode)
        return max(room / max(sharing, 1), room - used)


class _Lane:
    """What is known of one lane."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self._expected = 0
        self._looks = 0  # with the present target
        self._using: float | None = None
        self._wanting: float | None = None
        self._full = False
        self._busy = 0.0
        self._idle = 0  # looks in a row at which workers were left over
        self._proven = 0
        self._ceiling = _UNBOUNDED
        self._ceiling_looks, self._patience = 0, _PATIENCE
        self._climb = Climb()
        self._drifts = 0
        self._ended, self._seconds, self._squares, self._settled = 0, 0.0, 0.0, False
        self._all_ended, self._all_seconds = 0, 0.0  # with the present target

    @property
    def share(self) -> float:
        """The part of a core that a unit would use if it never waited for one."""
        using, wanting = self._using or 0.0, self._wanting or 0.0
        return wanting if wanting >= 1.0 else using / (using + 1.0 - wanting)

    @property
    def computes(self) -> bool:
        """Whether its units compute rather than wait."""
        return self.share >= _COMPUTES

    def expect(self, target: int) -> None:
        """The next look will show this target."""
        self._expected, self._looks = target, 0
        self._all_ended, self._all_seconds = 0, 0.0
        self._restart()

    def look(self, lane: LaneLoad, seconds: float) -> None:
        """Take in what the lane has done in so many seconds."""
        if lane.target != self._expected:
            self._forget()  # somebody else has changed it
            self._ceiling = _UNBOUNDED
            self.expect(lane.target)
        self._looks += 1
        self._ceiling_looks -= 1
        self._all_ended += lane.ended
        self._all_seconds += seconds
        # long units end seldom and short ones are seldom seen running, so both are looked at
        self._busy = _smooth(self._busy or None, lane.seconds / seconds if seconds else 0.0)
        at_once = max(lane.running, min(self._busy, lane.target))
        if at_once >= 0.5:
            self._using = _smooth(self._using, lane.cpu / at_once)
            self._wanting = max(self._using, _smooth(self._wanting, max(lane.runnable, lane.cpu) / at_once))
        self.cpu = _smooth(self.cpu, lane.cpu)
        used = lane.running >= lane.target or self._busy >= _FULL * lane.target
        self._full = lane.waiting > 0 and used
        self._idle = 0 if self._full or not lane.waiting else self._idle + 1
        if not self._full or lane.running > lane.target:
            self._restart()
        elif not self._settled:
            # what ends first had begun before the target changed
            self._ended += lane.ended
            if self._ended >= lane.target:
                self._restart()
                self._settled = True
        else:
            self._ended += lane.ended
            self._seconds += lane.seconds
            self._squares += lane.squares

    def park(self, lane: LaneLoad, short: _Short) -> Change | None:
        """Memory is short: let fewer units run than do, unless some are to end anyway before others start."""
        self._forget()
        running = min(lane.running, lane.target)
        target = min(lane.target, int(running * short.keep))
        return Change(target, short.why) if lane.running <= lane.target else None

    def decide(self, load: Load, lane: LaneLoad, cores: float, least: int, most: int) -> Change | None:
        """What should change; only `most` is certain to be heeded by the caller."""
        if not lane.waiting:
            return None
        useful = cores / self.share * (1.25 - 0.25 * self.share) if self.share > 0.001 else math.inf
        slack = 1.0 if self.computes else 0.25 * useful
        if self._ceiling_looks <= 0 and useful > 1.5 * self._ceiling and self._ceiling < _UNBOUNDED:
            self._ceiling = _UNBOUNDED
            self._forget()
        if self._looks > 2 and lane.target > useful + slack:
            return self._shrink(load, lane.target, max(1, round(useful)))
        if self._looks < 2:
            return None
        if self.computes:
            if self._full and lane.target < useful - max(0.75, 0.1 * useful):
                return Change(min(int(useful), 2 * lane.target, most), _units_wait(load))
            return None
        if useful < 2 * lane.target:
            least = max(least, self._climb.best)  # where it is cores that are short, fewer workers are not as fast
        return self._climb_on(load, lane, least, max(lane.target, min(most, _whole(useful), self._ceiling - 1)))

    def _shrink(self, load: Load, target: int, useful: int) -> Change:
        others = load.others >= _BUSY_OTHERS * load.cores
        if others or self.computes:
            self._forget()
        if others:
            return Change(useful, f"others use {load.others:.1f} of {load.cores:.3g} cores")
        self._refuse(target)
        return Change(useful, f"units compute, cpu {_percent(load.cpu)} of {load.cores:.3g} cores")

    def _refuse(self, workers: int) -> None:
        """Do not have so many for a while, which is twice as long as the time before."""
        if self._ceiling == _UNBOUNDED:
            self._patience *= 2
        self._ceiling, self._ceiling_looks = workers, self._patience

    def _climb_on(self, load: Load, lane: LaneLoad, least: int, most: int) -> Change | None:
        """Look for the number of workers that gets most done."""
        target, climb = lane.target, self._climb
        if self._settled and self._ended >= max(target, self._ends_needed()):
            self._measure(target, target * self._ended / max(self._seconds, 1e-9))
        elif self._is_worse(target):
            climb.measured[target] = self._all_ended / self._all_seconds
        elif self._idle >= 3 and target > climb.best > 0:
            goal = max(climb.best, math.ceil(self._busy))
            self._refuse(goal + 1)
            return Change(goal, "more are not used") if goal < target else None
        elif self._may_trust(load, target):
            return Change(min(math.ceil(1.5 * target), self._trusted(load), most), _units_wait(load))
        else:
            return None
        goal = min(max(least, climb.next(least, most)), most)
        if goal == target:
            return None
        return Change(goal, self._why(load, target, goal))

    def _measure(self, workers: int, throughput: float) -> None:
        known = self._climb.measured.get(workers)
        if known is None:
            self._climb.measured[workers] = throughput
            self._restart(settled=True)
        elif known and self._ended >= 4 * max(workers, self._ends_needed()):
            # one more look at what is settled, only to see whether the units are still of the same kind
            same = _DRIFT <= throughput / known <= 1 / _DRIFT
            self._drifts = 0 if same else self._drifts + 1
            self._restart(settled=True)
            if self._drifts == 2:
                self._forget()
                self._climb.measured[workers] = throughput

    def _is_worse(self, target: int) -> bool:
        """Whether so little has ended with so many workers, in a time that was enough for some rounds with the best
        number, that nobody has to know it precisely."""
        best = self._climb.best
        rounds = self._climb.measured.get(best, 0.0) * self._all_seconds
        return target > best > 0 and rounds >= _ROUNDS * best and self._all_ended < _WORSE * rounds

    def _ends_needed(self) -> float:
        """The ends after which the mean duration is known to `PRECISION`, by what has ended so far."""
        if self._ended < LEAST_ENDS or not self._seconds:
            return LEAST_ENDS
        variation = max(0.0, self._ended * self._squares / self._seconds**2 - 1.0)
        return min(max(LEAST_ENDS, variation / PRECISION**2), MOST_ENDS)

    def _may_trust(self, load: Load, target: int) -> bool:
        """Whether more workers may be tried before it is known how much these get done."""
        waits = load.cpu < _SPARE_CPU and load.io_stalls < _DISKS_BUSY
        return self._full and waits and target < self._trusted(load) and not self._climb.has_above(target)

    def _trusted(self, load: Load) -> int:
        return max(TRUSTED_PER_CORE * math.ceil(load.cores), self._proven)

    def _why(self, load: Load, target: int, goal: int) -> str:
        measured, best = self._climb.measured, self._climb.best
        if goal not in measured and goal > target:
            # what keeps the cores busy then are others, or other lanes
            busy = load.cpu >= _SPARE_CPU and not self.computes
            mostly = f"units mostly wait ({_percent(self.share)} of a core each), cpu {_percent(load.cpu)} by all"
            return mostly if busy else _units_wait(load)
        if goal not in measured and goal < best:
            return "more are no faster, fewer may be as fast"
        return f"{_rate(measured[target])} units/s, with {best} {_rate(measured[best])}"

    def _forget(self) -> None:
        """What was measured does not hold any more, but for the best number, which is good enough to go back to."""
        self._proven = self._climb.best or self._proven
        self._climb = Climb()
        self._drifts = 0

    def _restart(self, *, settled: bool = False) -> None:
        self._ended, self._seconds, self._squares, self._settled = 0, 0.0, 0.0, settled


class _Short(NamedTuple):
    """Memory is short; only the part `keep` of the workers is to go on."""

    keep: float
    why: str


class _Memory:
    """Whether memory is short, and how many more workers fit into it."""

    def __init__(self, target: int | None) -> None:
        self._target = target
        self._short = False
        self._calm_at = -math.inf
        self._patience = _CALM_SECONDS
        self._last = -math.inf

    def look(self, load: Load, now: float) -> _Short | None:
        """What is wrong, if anything is."""
        short = self._shortage(load)
        if short is not None:
            if not self._short:
                again = now - self._last < _FORGIVEN_SECONDS
                self._patience = min(2 * self._patience, _MOST_CALM_SECONDS) if again else _CALM_SECONDS
            self._short, self._last = True, now
        elif self._short and self._is_well(load):
            self._short, self._calm_at = False, now + self._patience
        return short

    def room(self, load: Load, now: float) -> int:
        """How many workers more fit, if each needs what those that run now need on the average."""
        if self._short or now < self._calm_at:
            return 0
        running = sum(lane.running for lane in load.lanes.values())
        if self._target is None or not running or not load.our_memory:
            return _UNBOUNDED
        left = _RECOVERED * self._target - load.memory_used
        return max(0, int(left * running / load.our_memory))

    def _shortage(self, load: Load) -> _Short | None:
        over = load.memory_used / self._target if self._target else 0.0
        if over > 1.0 and self._target:
            keep = min(PARKED, max(0.0, 1.0 - 2.5 * (over - 1.0)))
            total = load.memory_total or self._target
            return _Short(keep, f"memory {_percent(load.memory_used / total)} above {_percent(self._target / total)}")
        if load.memory_stalls > _STALLS:
            return _Short(PARKED, f"units wait for memory {_percent(load.memory_stalls)} of the time")
        if load.swapped_out > _SWAPPED_OUT:
            return _Short(PARKED, f"{load.swapped_out / 1e6:.0f} MB/s are swapped out")
        return None

    def _is_well(self, load: Load) -> bool:
        roomy = self._target is None or load.memory_used <= _RECOVERED * self._target
        return roomy and load.memory_stalls < _STALLS / 4


def _smooth(before: float | None, now: float) -> float:
    return now if before is None else before + _SMOOTHING * (now - before)


def _whole(useful: float) -> int:
    return math.ceil(min(useful, _UNBOUNDED))


def _units_wait(load: Load) -> str:
    return f"units wait, cpu {_percent(load.cpu)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _rate(throughput: float) -> str:
    return f"{throughput:,.0f}" if throughput >= 100 else f"{throughput:.2g}"
