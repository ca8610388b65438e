"""Random runs with units that add units, that are cut and resumed in every way: nothing runs unannounced or unasked.

Each world has a workflow with handlers, groups, conditions, units that need everything and units that must not run
twice. Some units add others, some of those add more, and some do not always add the same. A run of it is cut at random
moments, and goes on with names, with failed ones alone, with changed or lost results, or without a part of the
workflow for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from core_driver import SUCCESS, Run, unit
from core_examples import examples
from core_resumed import Resumed
from hypothesis import given
from test_ends_model import WRONG, chance, random_graph

from qtui.core.model import QuantumUnit, RetryPolicy, UnitState
from qtui.core.resuming import Former
from qtui.core.state import RunView
from qtui.core.stimuli import ApproveRequested

in_many_worlds = examples(60, soak=2_000)

MOST = 2000
"""So many steps lead any of these runs to its end."""


class World:
    """A workflow, what its units add and which of them fail, and all that has happened in the processes of its run.

    In a `fickle` world units do not always add all that they can.
    """

    def __init__(self, rng: Random, *, fickle: bool) -> None:
        self.rng, self.fickle = rng, fickle
        base, needs = random_graph(rng)
        self.units = [self._unique(each) for each in base]
        if rng.randrange(2):
            self.units.append(self._unique(unit("all", "*", when=rng.choice(("success", "success", "always")))))
        self.adds: dict[str, list[QuantumUnit]] = {}
        for each in base:
            if rng.randrange(3) == 0:
                of_needs = [added.id for need in needs[each.id] for added in self.adds.get(need, ())]
                self._let_add(each.id, [*needs[each.id], *of_needs])
        names = [each.id for each in (*self.units, *(added for many in self.adds.values() for added in many))]
        self.bad = {name for name in names if rng.randrange(5) == 0}
        self.views: list[RunView] = []  # one of each process that has gone
        self.begun: dict[str, set[int]] = {}  # the attempts of each unit
        self.allowed: dict[str, int] = {}  # the attempts a unit had when a person said yes to one more

    def _unique(self, each: QuantumUnit) -> QuantumUnit:
        if self.rng.randrange(3):
            return each
        return replace(each, idempotent=False, retry=RetryPolicy())

    def _let_add(self, adder: str, needs: Sequence[str], depth: int = 0) -> None:
        added: list[QuantumUnit] = []
        for number in range(self.rng.randint(1, 3)):
            above = [name for name in (*needs, *(other.id for other in added)) if self.rng.randrange(3) == 0]
            when = self.rng.choice(("success", "success", "success", "always"))
            added.append(self._unique(unit(f"{adder}.{number}", *above, when=when)))
        self.adds[adder] = added
        for each in added:
            if depth < 2 and self.rng.randrange(4) == 0:
                self._let_add(each.id, needs, depth + 1)

    # -- one process -----------------------------------------------------------------------------------

    def go(self, run: Run, most: int = MOST, *, cancels: bool = False) -> None:
        """Let the run go on for so many steps at most, or to its end."""
        run.plan = run.scheduler.plan
        self._note_starts(run)
        for _ in range(most):
            if run.view.finished is not None:
                return
            if cancels and self.rng.randrange(12) == 0:
                run.cancel(self.rng.choice([each.id for each in run.plan.table]))
            elif run.view.asked and (not run.running or self.rng.randrange(3) == 0):
                self._approve(run)
            elif run.running:
                self._end_one(run)
            else:
                run.wait(1)
            self._note_starts(run)
        assert most < MOST, f"it never ends: {run.states()}"

    def _end_one(self, run: Run) -> None:
        name = self.rng.choice(sorted(run.running))
        if run.state(name) == "canceling":
            run.stopped(name)
        elif name in self.bad:
            run.returns(name, WRONG)
        else:
            added = self.adds.get(name, [])
            if self.fickle:
                added = [each for each in added if self.rng.randrange(4)]
                there = {each.id for each in added}
                own = {each.id for each in self.adds.get(name, [])} - there
                added = [each for each in added if own.isdisjoint(each.dependencies)]
            run.returns(name, SUCCESS._replace(added=tuple(added)))

    def _approve(self, run: Run) -> None:
        for number in range(len(run.plan)):
            self.allowed[run.plan.table[number].id] = run.view.attempts[number]
        run.send(ApproveRequested(tuple(range(len(run.plan)))))

    def _note_starts(self, run: Run) -> None:
        for number, start in run.held.items():
            each = run.plan.table[number]
            before = self.begun.setdefault(each.id, set())
            if start.attempt in before and self.current.get(each.id) == start.attempt:
                continue
            assert start.attempt not in before, f"{each.id} has attempt {start.attempt} twice"
            asked = self.allowed.get(each.id, 0) >= len(before)
            assert each.idempotent or not before or asked, f"{each.id} runs again, and nobody was asked"
            before.add(start.attempt)
            self.current[each.id] = start.attempt

    # -- from one process to the next --------------------------------------------------------------------

    def begin(self) -> Run:
        self.current: dict[str, int] = {}
        return Run(*self.rng.sample(self.units, len(self.units)), workers=self.rng.randint(1, 4))

    def resume(self, run: Run, units: Sequence[QuantumUnit] = (), **wishes: Any) -> Resumed:
        self.views.append(run.view)
        self.current = {}
        former = dict(self._former(run, units))
        plan = run.view.plan
        stale = {plan.table[number].id: why for number, why in run.view.stale.items()}
        wishes["changed"] = {**stale, **wishes.get("changed", {})}
        answered = [plan.numbers[name] for name in wishes.get("again", ())]
        for number in answered:  # grows while it is read
            self.allowed[plan.table[number].id] = run.view.attempts[number]
            answered += plan.added.get(number, ())
        resumed = Resumed(run, *units, former=former, **wishes)
        self._check(run.view, resumed, wishes)
        return resumed

    def _former(self, run: Run, units: Sequence[QuantumUnit]) -> Any:
        for name in {each.id for each in units} - run.view.plan.numbers.keys():
            was = next((view for view in reversed(self.views) if name in view.plan.numbers), None)
            if was is not None:
                one = was.unit(was.plan.numbers[name])
                kept = one.finished is not None and one.finished.state == "completed" and not one.finished.fallback
                added = any(number not in was.plan.dropped for number in was.plan.added.get(one.number, ()))
                yield name, Former(one.attempt, one.generation, one.finished if kept and not added else None)

    def without_some(self) -> list[QuantumUnit]:
        """The workflow without a unit, and without those that need it."""
        gone = {self.rng.choice(self.units).name}
        for each in self.units:
            if not gone.isdisjoint(each.dependencies):
                gone.add(each.name)
        return [each for each in self.units if each.name not in gone]

    def wishes(self, run: Run) -> dict[str, Any]:
        """What a person might want of a resume."""
        rng, view = self.rng, run.view
        completed = [one.id for one in view.units if one.state == "completed"]
        names = [one.id for one in view.units if one.number not in view.plan.dropped]

        def some(ids: Sequence[str], one_of: int) -> list[str]:
            return [name for name in ids if rng.randrange(one_of) == 0]

        found: dict[str, Any] = {"only_failed": rng.randrange(3) == 0, "redo_stale": rng.randrange(3) == 0}
        found["missing"] = dict.fromkeys(some(completed, 6), "which was not kept")
        found["changed"] = dict.fromkeys(some(completed, 6), "its code changed")
        found["again"] = some(names, 6)
        if rng.randrange(2) and names:
            found["named"] = rng.sample(names, min(len(names), rng.randint(1, 2)))
        return found

    # -- what must be true of each resume ------------------------------------------------------------------

    def _check(self, before: RunView, run: Resumed, wishes: dict[str, Any]) -> None:
        view, reasons = run.how.view, run.how.reasons
        plan = view.plan
        adders = {added: by for by, many in plan.added.items() for added in many}
        for number in reasons:
            anew = number not in adders or adders[number] in reasons
            one = run.unit(plan.table[number].id)
            assert anew or one.state == "skipped" or one.unit.is_handler, "what was added runs only by being added anew"
        for number, last in enumerate(before.last):
            name = before.plan.table[number].id
            if name not in plan.numbers or number in before.plan.dropped:
                continue
            now = plan.numbers[name]
            if wishes.get("only_failed") and before.states[number] is UnitState.CANCELED and now not in adders:
                left_out = "left out" in last.cause
                handler = plan.table[now].is_handler
                assert left_out or last.because >= 0 or handler or now not in reasons, f"{name} was canceled, and runs"
            elif wishes.get("only_failed") and now in reasons and name not in wishes.get("missing", ()):
                lost = before.states[number] in (UnitState.COMPLETED, UnitState.FAILED) and run.state(name) == "skipped"
                by = run.unit(name).cause.removeprefix("because ")
                assert not lost or run.states().get(by) != "canceled", f"{name} has lost its end for {by}"
        if wishes.get("named") is not None:
            named = {plan.numbers[name] for name in wishes["named"]}
            for number in reasons:
                near = (*plan.needs[number], *plan.feeds[number])
                alone = not any(other in reasons for other in near)
                added = any(other in named for other in plan.added.get(number, ()))
                assert not alone or number in named or added, f"{plan.table[number].id} runs for nobody"
        for one in view.units:
            assert one.number not in reasons or not one.state.ended or one.number in adders
            assert one.number in reasons or one.state.ended, f"{one.id} neither runs nor has an end"

    def check_told(self, run: Resumed, opening: RunView) -> None:
        """All that ran was told of, but for what was not there before."""
        plan = opening.plan
        new = {name for name in run.plan.numbers if name not in plan.numbers or plan.numbers[name] in plan.dropped}
        unannounced = set(run.started) - run.why.keys() - new
        assert not unannounced, f"nobody was told that these run: {unannounced}"


def ends(run: Run) -> dict[str, tuple[str, bool]]:
    """How the units ended that are still there, and whether by their fallback."""
    found = {}
    for one in run.view.units:
        if one.number not in run.view.plan.dropped:
            found[one.id] = (str(one.state), one.finished is not None and one.finished.fallback)
    return found


def cut_and_resumed(world: World, rounds: int) -> Run:
    """A run that goes on some times, and not always to its end."""
    rng = world.rng
    run: Run = world.begin()
    world.go(run, rng.randint(0, 25), cancels=rng.randrange(2) == 0)
    for _ in range(rounds):
        units = rng.choice(([], world.units, world.without_some())) or ()
        wishes = world.wishes(run)
        if units:
            there = {each.id for each in units}
            wishes["named"] = [name for name in wishes.get("named", ()) if name in there] or None
        run = resumed = world.resume(run, units, **wishes)
        opening = resumed.how.view
        world.go(run, rng.choice((rng.randint(0, 25), MOST)), cancels=rng.randrange(3) == 0)
        world.check_told(resumed, opening)
    return run


@in_many_worlds
@given(chance)
def test_whatever_was_cut_and_resumed_ends_as_a_run_without_that(rng: Random) -> None:
    world = World(rng, fickle=False)
    whole = world.begin()
    world.go(whole)
    world.begun.clear()

    run = cut_and_resumed(world, rng.randint(1, 4))
    last = world.resume(run, world.units, redo_stale=True)
    opening = last.how.view
    world.go(last)

    world.check_told(last, opening)
    assert ends(last) == ends(whole)


@in_many_worlds
@given(chance)
def test_units_that_add_now_this_and_now_that_run_nothing_twice_unasked(rng: Random) -> None:
    cut_and_resumed(World(rng, fickle=True), rng.randint(2, 5))
