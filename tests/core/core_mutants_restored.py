"""Schedulers that restore one thing wrong, so that they decide otherwise than the one they replace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core_mutants import mutants

from qtui.core.limits import capacities
from qtui.core.machine import HANDLER_TIMER
from qtui.core.scheduler import Scheduler


class RestoresNoTimers(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._timers = []
        return scheduler


class RestoresNoHeldUnits(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._active = 0
        return scheduler


class RestoresOtherSlots(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._free_slots = []
        return scheduler


class RestoresNoReasons(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._reason = ["cancel" if reason else "" for reason in scheduler._reason]
        return scheduler


class RestoresNoLimits(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._ready._free = capacities(scheduler._options)
        return scheduler


class RestoresAFreshBudget(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._base = list(scheduler._attempt)
        return scheduler


class RestoresNoLosses(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._losses = {}
        return scheduler


class RestoresNoPause(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._paused = False
        return scheduler


class RestoresNothingLeftBehind(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._left_behind = {}
        return scheduler


class RestoresTheFirstTarget(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._targets.together = scheduler._targets.first
        return scheduler


class RestoresNoWait(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        options, view = args
        return super().restore(options, replace(view, waited=0.0, waiting_since=None))


class RestoresNoQuestions(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        for number in scheduler._asked:
            scheduler._enqueue(number)
        scheduler._asked = set()
        return scheduler


class RestoresNoQuestionsToTheCache(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        for number in scheduler._checking:
            scheduler._enqueue(number)
        scheduler._checking = set()
        return scheduler


class RestoresNoItems(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        options, view = args
        return super().restore(options, replace(view, open_items=frozenset()))


class RestoresNoBrakes(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        options, view = args
        return super().restore(options, replace(view, brakes={}))


class RestoresOpenGates(Scheduler):
    def _restore_gates(self) -> None:
        pass


class RestoresNobodyWhoTries(Scheduler):
    def _restore_gates(self) -> None:
        super()._restore_gates()
        self._ready._passes = dict.fromkeys(self._ready._passes, 1)


class RestoresNobodyUndecided(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._undecided = set()
        return scheduler


class RestoresNoFlags(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._fell_back, scheduler._cached = set(), set()
        return scheduler


class RestoresNoCauses(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._because = [-1] * len(scheduler._because)
        return scheduler


class RestoresNoTimeForHandlers(Scheduler):
    @classmethod
    def restore(cls, *args: Any) -> Scheduler:
        scheduler = super().restore(*args)
        scheduler._plain_ended_at = 0.0
        scheduler._drop_timers(HANDLER_TIMER)
        return scheduler


class RestoresNoPeaks(Scheduler):
    @classmethod
    def restore(cls, options: Any, view: Any) -> Scheduler:
        return super().restore(options, replace(view, peaks={}))


class RestoresNoTargetsOfLanes(Scheduler):
    @classmethod
    def restore(cls, options: Any, view: Any) -> Scheduler:
        return super().restore(options, replace(view, lane_workers={}, governed=None))


RESTORING_WRONG = mutants(__name__)
