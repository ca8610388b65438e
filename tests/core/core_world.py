"""A random world around the scheduler: workflows, what their units come to, people who interfere, and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from core_checker import Checker
from core_driver import COMMAND, COROUTINE, SUCCESS, WORK
from core_resting import Violation, require

from qtui.core.condition import Condition
from qtui.core.machine import QUEUEING_LANES
from qtui.core.model import (
    LOST_LOOP,
    LOST_NEED,
    LOST_WORKER,
    CachePolicy,
    ExecutionMode,
    Fallback,
    Outcome,
    QuantumUnit,
    RetryPolicy,
    RunState,
    UnitError,
    UnitState,
    When,
)
from qtui.core.options import Brake, RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CancelRequested,
    CancelRunRequested,
    Decision,
    EditRequested,
    GovernorRequested,
    InterruptRequested,
    LaneWorkersRequested,
    LateReturned,
    PauseRequested,
    ProgressReported,
    RedefineRequested,
    ReleaseRequested,
    ResultLost,
    RetryRequested,
    RunRequested,
    SetAsideRequested,
    SilenceReported,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    UnpauseRequested,
    WakeAt,
    WarningRaised,
    WorkersRequested,
)

LANES = ("thread", "thread", "command", "command", "async", "sequential", "milestone")
GOVERNED_LANES = (ExecutionMode.THREAD, ExecutionMode.COMMAND, ExecutionMode.PROCESS)
PEAKS = (0, 0, 60 << 20, 90 << 20, 130 << 20, 300 << 20)
ADDED = ("n0", "n1", "n2", "n3", "n4", "n5")
MOST_UNITS, ADDING = 16, (5, 5, 2)
FREE_STEPS, LAST_STEPS, WISHES = 60, 400, 6

LOST = Outcome(error=UnitError("lost", "the worker died"))
ABANDONED = Outcome(error=UnitError("timeout", "left behind"), abandoned=True)
EXIT_3 = Outcome(error=UnitError("exit", "exit code 3", exit_code=3))
ERROR = Outcome(error=UnitError("ValueError", "wrong", bases=("Exception",)), seconds=0.5)
STOPPED = Outcome(canceled=True)
LOOP_LOST = Outcome(error=UnitError(LOST_LOOP, "another unit blocked its loop"))
LEFT_LOOP = LOOP_LOST._replace(abandoned=True)
WORKER_LOST = Outcome(error=UnitError(LOST_WORKER, "its worker was lost"))
NEED_LOST = Outcome(error=UnitError(LOST_NEED, "what it needs was lost"))
LOSSES = (LOST, LOOP_LOST, LEFT_LOOP, WORKER_LOST, WORKER_LOST, NEED_LOST)
OUTCOMES = (*(SUCCESS,) * 5, ERROR, ERROR, EXIT_3, ABANDONED, STOPPED, *LOSSES)

SCOPES = ("", "", "tag:t", "group:g", "pool:b", "pool:rolling")


def random_unit(rng: Random, name: str, needs: tuple[str, ...]) -> QuantumUnit:
    lane = rng.choice(LANES)
    actions = {"milestone": None, "command": COMMAND, "async": COROUTINE}
    retry = RetryPolicy(max=rng.choice((0, 0, 1, 2)), delay=rng.choice((0.0, 1.0)), on=rng.choice(((), (), (3,))))
    return QuantumUnit(
        id=name,
        dependencies=needs,
        action=actions.get(lane, WORK),
        mode=ExecutionMode.SEQUENTIAL if lane == "sequential" else ExecutionMode.AUTO,
        retry=retry,
        timeout=rng.choice((None, None, 2.0)),
        grace=rng.choice((None, 0.0)),
        priority=rng.choice((0, 0, 1)),
        fallback=rng.choice((None, None, Fallback(0))),
        allow_failure=rng.randrange(5) == 0,
        when=rng.choice(WHENS) if needs else "success",
        condition=random_condition(rng, needs) if rng.randrange(4) == 0 else None,
        tags=frozenset("t") if rng.randrange(2) else frozenset(),
        pools=rng.choice(({}, {}, {"a": 1}, {"b": 1}, {"b": 2}, {"a": 1, "b": 1})),
        cpus=rng.choice((0.0, 0.0, 0.5, 1.0, 1.5)),
        memory=rng.choice((0, 0, 0, 2, 3)),
        cache=CachePolicy() if rng.randrange(5) == 0 else None,
        confirm="Really?" if rng.randrange(6) == 0 else "",
        batch=rng.choice((None, None, None, 2, 3, "auto")),
        estimate=rng.choice((None, None, 0.3, 1.0, 7.0)),
        idempotent=rng.randrange(6) > 0,
    )


def redefined(rng: Random, old: QuantumUnit) -> QuantumUnit:
    """Another definition for a unit, which leaves the graph as it is but for one time in eight."""
    new = random_unit(rng, old.id, tuple(need for need in old.dependencies if need != "*"))
    new = replace(new, dependencies=old.dependencies, pools=rng.choice((old.pools, new.pools)))
    new = replace(new, family=old.family, group=old.group, item=old.item)
    match rng.randrange(8):
        case 0:
            return replace(new, dependencies=old.dependencies[1:], condition=None)
        case 1:
            return new  # which may be a handler, or none
    return replace(new, when=old.when)


WHENS: tuple[When, ...] = ("success", "success", "success", "failure", "always")


def random_condition(rng: Random, needs: Sequence[str]) -> Condition:
    if not needs:
        return Condition.parse("params.full", {"params": {"full": rng.randrange(2) == 0}})
    asked = ("state == 'completed'", "state in ['failed', 'canceled', 'mixed']")
    fact = rng.choice((*asked, "fallback", "fallback", "cached"))
    return Condition.parse(f"{rng.choice(('', 'not '))}units.{rng.choice(needs)}.{fact}", {})


def random_plan(rng: Random, options: RunOptions) -> ExecutionPlan:
    """Up to seven steps, each needing some of the ones drawn before it; declared in any order.

    Sometimes up to three of the steps are of a group with two items.
    """
    names = [f"u{number}" for number in range(rng.randint(2, 7))]
    grouped = set(rng.sample(names, min(len(names), rng.randint(2, 3)))) if rng.randrange(3) == 0 else set()
    density = rng.choice((0, 1, 2, 2))
    steps: list[QuantumUnit] = []
    joins: set[str] = set()  # units outside of the group that wait for all its items
    for number, name in enumerate(names):
        needs = tuple(other for other in names[:number] if rng.randrange(5) < density)
        if name in grouped:
            # an item that holds something must not wait for items that wait for what it holds
            needs = tuple(other for other in needs if other not in joins or not options.group_pools)
        elif not joins.isdisjoint(needs) or not grouped.isdisjoint(needs):
            joins.add(name)
        steps.append(random_unit(rng, name, needs))
    if names[-1] not in grouped and rng.randrange(4) == 0:
        for place in range(-rng.choice((1, 1, 2)), 0):
            if names[place] not in grouped:
                star = replace(steps[place], dependencies=("*",), condition=None)
                steps[place] = replace(star, when=rng.choice(("success", "failure", "always")))
    above = above_any(steps, grouped)
    units: list[QuantumUnit] = []
    for unit in steps:
        if unit.id in grouped:
            pools = rng.choice((unit.pools, {**unit.pools, "inner": 1}))
            item = replace(unit, family=unit.id, group="g", pools=pools)
            units += [replace(item, id=f"{unit.id}[{label}]", item=f"[{label}]") for label in "xy"]
        elif unit.id not in above and rng.randrange(4) == 0:
            # what an item waits for must not wait for what the item holds
            units.append(replace(unit, pools={**unit.pools, "rolling": 1}))
        else:
            units.append(unit)
    rng.shuffle(units)
    return ExecutionPlan.build(units, default_mode=options.mode)


def above_any(steps: Sequence[QuantumUnit], names: set[str]) -> set[str]:
    """These steps and all that they need, directly or not."""
    found = set(names)
    for unit in reversed(steps):
        if unit.id in found:
            found |= set(unit.dependencies)
    return found


def random_options(rng: Random) -> RunOptions:
    return RunOptions(
        workers=rng.randint(1, 3),
        max_workers=rng.choice((3, 6)),
        adaptive=rng.randrange(6) == 0,
        min_workers=rng.choice((1, 1, 2)),
        max_async=rng.randint(1, 2),
        keep_going=rng.randrange(4) > 0,
        grace=1.0,
        timeout=rng.choice((None, None, None, 6.0)),
        max_abandoned=rng.choice((None, 0, 0, 1)),
        pools={"a": 1, "b": 2, "rolling": rng.randint(1, 2), "inner": 1},
        group_pools=rng.choice(({}, {"g": {"rolling": 1}}, {"g": {"rolling": 1, "inner": 1}})),
        cpus=rng.choice((None, 1.5, 2.0)),
        memory=rng.choice((None, 4)),
        memory_target=rng.choice((None, 200 << 20)),
        brakes={rng.choice(SCOPES): random_brake(rng) for _ in range(rng.choice((0, 1, 1, 2)))},
        handler_timeout=rng.choice((0.0, 2.0, 60.0)),
        approved=rng.choice(((), ("u1*",))),
        mode=ExecutionMode.SEQUENTIAL if rng.randrange(8) == 0 else ExecutionMode.AUTO,
    )


def random_brake(rng: Random) -> Brake:
    return Brake(
        count=rng.choice((1, 1, 2)),
        same=rng.randrange(2) == 0,
        then=rng.choice(("pause", "pause", "stop")),
        probe=rng.choice((None, 1.0, 1.0)),
    )


class World:
    """Plays one run to its end. `rng` draws everything, so a world is as repeatable as its generator.

    With `twins`, a scheduler restored from the view answers every stimulus too, and is made anew now and then.
    """

    def __init__(self, rng: Random, kind: type[Scheduler] = Scheduler, *, twins: bool = False) -> None:
        self._rng, self._kind, self._twins = rng, kind, twins
        self._options = random_options(rng)
        self._plan = random_plan(rng, self._options)
        self._scheduler = kind(self._plan, self._options)
        self._twin: Scheduler | None = None
        self._checker = Checker(self._plan, self._options)
        self._past: list[StartUnit] = []
        self._now = 100.0
        self._adding = rng.choice(ADDING)
        self._wishes = WISHES if self._adding > min(ADDING) else 3 * WISHES
        self.story: list[str] = []

    @property
    def view(self) -> RunView:
        return self._checker.view

    def play(self) -> None:
        """Raises Violation, with the story so far, when an invariant breaks."""
        try:
            self._play()
        except Exception as error:
            units = "\n".join(map(str, self.view.plan.table))
            told = "\n".join(self.story)
            raise Violation(f"{error!r}\n{self._options}\n{units}\n{told}") from error

    def _play(self) -> None:
        if self._rng.randrange(10) == 0:
            self._post(self._wish())
        self._post(RunRequested("world"))
        for _ in range(FREE_STEPS):
            self._now += self._rng.choice((0.0, 0.0, 0.5, 1.0))
            stimulus = self._any_stimulus()
            if stimulus is None:
                break
            self._post(stimulus)
        self._post(UnpauseRequested())
        for _ in range(LAST_STEPS):
            stimulus = self._quiet_stimulus()
            if stimulus is None:
                break
            self._post(stimulus)
        require(self.view.state.ended, f"the run does not come to an end: {self.view.state}")

    def _post(self, stimulus: Stimulus) -> None:
        if self._twins and self._rng.randrange(3) == 0:
            self._twin = self._kind.restore(self._options, self.view)
        held = self._checker.held
        if isinstance(stimulus, UnitReturned) and stimulus.unit in held:
            self._past.append(held[stimulus.unit])
        decision = self._scheduler.handle(stimulus, self._now)
        self.story.append(f"{self._now:g} {stimulus} -> {decision.events} {decision.effects}")
        self._checker.see(stimulus, self._now, decision, self._scheduler)
        if self._twin is not None:
            twin = self._twin.handle(stimulus, self._now)
            require(_deeds(twin) == _deeds(decision), f"the restored scheduler decides {twin}")

    # -- what comes next ---------------------------------------------------------------------------------

    def _any_stimulus(self) -> Stimulus | None:
        held = list(self._checker.held.values())
        unbegun = [start for start in held if self.view.unit(start.unit).submitted]
        kinds = ["return"] * 5 * bool(held) + ["begin"] * 3 * bool(unbegun)
        kinds += ["late"] * bool(self.view.left_behind) + ["cache"] * 2 * bool(self._checker.checks)
        kinds += ["answer"] * bool(self._checker.asked())
        kinds += ["timer"] * 2 * (self._checker.wake is not None) + ["wish"] * 2 * (self._wishes > 0)
        if not kinds:
            return None
        if self.view.state.ended and self._rng.randrange(4) == 0:
            return None
        match self._rng.choice([*kinds, "odd"]):
            case "return":
                return self._return(self._rng.choice(held))
            case "begin":
                start = self._rng.choice(unbegun)
                return UnitBegan(start.unit, start.attempt, 7)
            case "timer":
                return self._timer()
            case "late":
                return self._late()
            case "cache":
                return self._cache()
            case "answer":
                return ApproveRequested((self._rng.choice(sorted(self._checker.asked())),))
            case "wish":
                self._wishes -= 1
                return self._wish()
            case _:
                return self._odd()

    def _quiet_stimulus(self) -> Stimulus | None:
        """The lanes and the clock go on, people have left."""
        if self.view.state is not RunState.RUNNING:
            return None
        held = list(self._checker.held.values())
        if held:
            return self._return(self._rng.choice(held))
        if self.view.left_behind:
            return self._late()
        kinds: list[Stimulus] = [ApproveRequested((number,)) for number in sorted(self._checker.asked())]
        if any(brake.state in ("held", "probing") for brake in self.view.brakes.values()):
            kinds.append(ReleaseRequested())
        if self._checker.checks:
            return self._cache()
        if self._checker.wake is not None and (not kinds or self._rng.randrange(2)):
            return self._timer()
        return self._rng.choice(kinds) if kinds else None

    def _cache(self) -> CacheChecked:
        """An answer, however late, to one of the questions to the cache."""
        check = self._checker.checks.pop(self._rng.randrange(len(self._checker.checks)))
        hit = self._rng.randrange(3) == 0
        unchanged = not hit and check.unit % 2 == 0
        return CacheChecked(check.unit, check.generation, hit, "same as before" if hit else "changed", unchanged)

    def _late(self) -> LateReturned:
        return LateReturned(*self._rng.choice(list(self.view.left_behind)))

    def _return(self, start: StartUnit) -> UnitReturned:
        stopping = self.view.states[start.unit] is UnitState.CANCELING
        outcomes = (STOPPED, STOPPED, SUCCESS, ABANDONED, ERROR) if stopping else OUTCOMES
        outcome = self._rng.choice(outcomes)
        if outcome is SUCCESS:
            outcome = outcome._replace(seconds=self._rng.choice((0.0, 0.01, 0.02, 1.0)))
        if self._options.memory or self._options.memory_target:
            outcome = outcome._replace(peak_memory=self._rng.choice(PEAKS))
        if (
            outcome.error is None
            and not outcome.canceled
            and len(self.view.plan) < MOST_UNITS
            and self._rng.randrange(2 if start.unit in self.view.plan.added else self._adding) == 0
        ):
            outcome = outcome._replace(added=self._additions(start.unit))
        return UnitReturned(start.unit, start.attempt, outcome)

    def _additions(self, adder: int) -> tuple[QuantumUnit, ...]:
        """Some units, most of them sound: others may have their names, need what is not there, or need each other."""
        plan = self.view.plan
        taken = plan.numbers.keys() - {plan.table[number].id for number in plan.added.get(adder, ())}
        free = [name for name in ADDED if name not in taken or self._rng.randrange(12) == 0]
        names = self._rng.sample(free, min(len(free), self._rng.randint(0, 3)))
        needed = [*(name for name in plan.numbers if "[" not in name), *plan.families, *names]
        units = []
        for name in names:
            needs = tuple(self._rng.sample(needed, self._rng.choice((0, 0, 1, 2))))
            unit = random_unit(self._rng, name, tuple(need for need in needs if need != name))
            units.append(replace(unit, pools={}) if self._rng.randrange(4) else unit)
        if names and self._rng.randrange(12) == 0:
            units.append(replace(units[0], dependencies=self._rng.choice((("nobody",), ("*",), (units[0].id,)))))
        return tuple(units)

    def _timer(self) -> TimerFired:
        self._now = max(self._now, self._checker.wake or 0.0)
        return TimerFired()

    def _odd(self) -> Stimulus:
        """News that come too late, too early, or concern nobody."""
        number = self._rng.randrange(len(self.view.plan))
        attempt = self.view.attempts[number]
        kinds: list[Stimulus] = [
            WarningRaised("strange", number),
            ProgressReported(number, attempt, 1.0, 2.0),
            ProgressReported(number, attempt - 1, 1.0, 2.0),
            SilenceReported(number, attempt, self._now),
            SilenceReported(number, attempt, None),
            SilenceReported(number, attempt - 1, self._now),
            ResultLost(number, "its worker was lost"),
            LateReturned(number, attempt),
            CacheChecked(number, self.view.generations[number] - 1, True, "stale"),
            UnitBegan(number, attempt if self.view.plan.lanes[number] in QUEUEING_LANES else attempt - 1),
            *(UnitReturned(past.unit, past.attempt, SUCCESS) for past in self._past[-3:]),
        ]
        return self._rng.choice(kinds)

    def _wish(self) -> Stimulus:
        some = tuple(sorted({self._rng.randrange(len(self.view.plan)) for _ in range(self._rng.randint(1, 2))}))
        added = self.view.plan.added
        if added and self._rng.randrange(3) == 0:
            above = [adder for adder in added if not added.keys().isdisjoint(added[adder])]
            adder = self._rng.choice(sorted(above or added))
            return RetryRequested((adder,), self._rng.choice(("unit", "unit", "dependents")))
        if self.view.state.ended and self._rng.randrange(2) == 0:
            return RetryRequested(some) if self._rng.randrange(3) else self._redefinition(some)
        if self._rng.randrange(5) == 0:
            interrupt = self._rng.choice((InterruptRequested(15), InterruptRequested(0, "cut off")))
            return self._rng.choice((CancelRunRequested("drain"), CancelRunRequested("stop"), interrupt))
        if self._options.adaptive and self._rng.randrange(2) == 0:
            wish = LaneWorkersRequested(
                self._rng.choice(GOVERNED_LANES), self._rng.randint(0, 4), "the governor's wish"
            )
            return self._rng.choice((wish, GovernorRequested(self._rng.randrange(2) > 0)))
        if self._rng.randrange(8) == 0:
            return self._redefinition(some)
        if self._rng.randrange(8) == 0:
            return self._edit(some)
        kinds: tuple[Stimulus, ...] = (
            CancelRequested(some),
            CancelRequested(some),
            RetryRequested(some),
            RetryRequested(some),
            RetryRequested(some, "dependents"),
            PauseRequested(),
            UnpauseRequested(),
            ApproveRequested(some),
            ReleaseRequested(tuple(self.view.brakes)[:1]),
            WorkersRequested(self._rng.randint(0, 4)),
        )
        return self._rng.choice(kinds)

    def _edit(self, some: tuple[int, ...]) -> Stimulus:
        """Somebody changes a few units, or has the run do without them."""
        rng = self._rng
        if rng.randrange(2):
            return SetAsideRequested(some, "skip" if rng.randrange(3) == 0 else "done")
        return EditRequested(
            some,
            command=rng.choice(("", "", "make")),
            timeout=rng.choice((-1.0, 0.0, 3.0)),
            memory=rng.choice((-1, -1, 0, 2, 9)),
            cpus=rng.choice((-1.0, -1.0, 0.5, 9.0)),
            priority=rng.choice((0, 1, -1)),
        )

    def _redefinition(self, some: tuple[int, ...]) -> RedefineRequested:
        """Some units are run again as something else, and what is below them too, if it runs again."""
        plan = self.view.plan
        numbers = dict.fromkeys((*some, *(below for number in some for below in plan.below(number))))
        units = tuple(redefined(self._rng, plan.table[number]) for number in numbers if self._rng.randrange(4))
        scope = self._rng.choice(("unit", "dependents"))
        return RedefineRequested(units, RetryRequested(some, "unit" if scope == "unit" else "dependents"))


def _deeds(decision: Decision) -> tuple[object, object]:
    """A decision but for its timers: a restored scheduler sets its own."""
    return decision.events, [effect for effect in decision.effects if not isinstance(effect, WakeAt)]
