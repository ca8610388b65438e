"""Why a unit waits: all that is in its way, and nothing else.

QTUI_SOAK=1 asks for every unit after every step of 2,000 worlds, instead of now and then in 100.
"""

from __future__ import annotations

from random import Random

from core_driver import COROUTINE, SUCCESS, Run, unit
from core_examples import SOAK, examples
from core_removals import DECIDED, STARTED, WAITS, after
from core_resting import require
from core_world import ABANDONED, LOOP_LOST, STOPPED, World
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.events import JournalChanged, RunPaused
from qtui.core.folding import fold
from qtui.core.model import CachePolicy, ExecutionMode, RetryPolicy, UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import (
    CacheChecked,
    CancelRequested,
    InterruptRequested,
    JournalReported,
    PauseRequested,
    RetryRequested,
    RunRequested,
    Stimulus,
)
from qtui.core.why import WAITING, Reasons

chance = st.randoms(use_true_random=False, note_method_calls=False)
SELDOM = 1 if SOAK else 12


class AskingWorld(World):
    """A world in which somebody asks why, again and again; sometimes while the disk is full."""

    reasons: Reasons | None = None

    def _post(self, stimulus: Stimulus) -> None:
        super()._post(stimulus)
        if self._rng.randrange(SELDOM) == 0:
            self.ask()

    def ask(self) -> None:
        options, view = self._options, self.view
        if self._rng.randrange(8) == 0:
            view = fold(
                view, [self._rng.choice((JournalChanged("no room", self._now), RunPaused(self._now, "by you")))]
            )
        if self.reasons is None:
            self.reasons = Reasons(view.plan, options)
        self.reasons.update(view)
        for number, state in enumerate(view.states):
            causes = list(self.reasons.causes(number))
            if state not in WAITING:
                require(not causes, f"{number} is {state}, but {causes}")
                continue
            require(bool(causes), f"nothing is in the way of {number}, which is {state}")
            became = after(options, view, number, causes, self._now)
            require(became in (STARTED, DECIDED), f"{number} ({state}) {became}, although nothing of {causes} is left")
            for kept in causes if became is STARTED or state is UnitState.READY else ():
                others = [cause for cause in causes if cause is not kept]
                became = after(options, view, number, others, self._now, kept)
                require(became is WAITS, f"{number} ({state}) {became}, although {kept} of {causes} is left")


@examples(100, soak=2_000)
@given(chance)
def test_what_is_told_is_in_the_way_and_nothing_else_is(rng: Random) -> None:
    AskingWorld(rng).play()


# -- what is told --------------------------------------------------------------------------------------------


def told(run: Run, name: str, view: RunView | None = None, *, lost: bool = False) -> list[str]:
    """All that is in the way of a unit, in words."""
    view = view or run.view
    reasons = Reasons(view.plan, run.options)
    reasons.update(view, lost=lost)
    return reasons.all_words(view.plan.numbers[name], run.now)


def test_what_a_need_holds_is_not_in_the_way_as_it_gives_that_back() -> None:
    run = Run(unit("a", pools={"mutex one": 1}), unit("b", "a", pools={"mutex one": 1}), unit("c"), workers=2)

    assert told(run, "b") == ["needs a"]


def test_what_is_held_above_its_needs_is_not_in_the_way_however_far_above() -> None:
    chain = [unit("clean", pools={"gpu": 1}), unit("train", "clean"), unit("merge", "train"), unit("last", "merge")]
    wide = unit("wide", "merge", pools={"gpu": 2})
    run = Run(*chain, wide, unit("other", pools={"gpu": 1}), workers=2, pools={"gpu": 2})

    assert told(run, "last") == ["needs merge"]
    assert told(run, "wide") == ["needs merge", "held by other (pool gpu 2/2)"]


def test_a_unit_that_waits_for_needs_says_what_else_would_keep_it() -> None:
    units = [unit("a"), unit("b"), unit("other", pools={"gpu": 1}), unit("last", "a", "b", "c", pools={"gpu": 1})]
    run = Run(*units, unit("c"), workers=8, pools={"gpu": 1})
    run.succeed("a")
    run.send(PauseRequested())

    assert told(run, "last") == ["has 1/3 needs", "paused", "held by other (pool gpu 1/1)"]


def test_what_will_be_asked_comes_last() -> None:
    run = Run(unit("a"), unit("b", "a", cache=CachePolicy(), confirm="Publish?"))
    assert told(run, "b") == ["needs a", "then looks for an earlier result", "then asks: Publish?"]

    run.succeed("a")
    assert told(run, "b") == ["looking for an earlier result", "then asks: Publish?"]

    run.send(CacheChecked(run.number("b"), 1, hit=False, reason="changed"))
    assert told(run, "b") == ["Publish?"]


def test_better_ranked_units_go_first_where_there_is_too_little_for_all() -> None:
    run = Run(unit("a"), unit("b", priority=1), unit("c"), workers=1)
    assert told(run, "c") == ["1 of 1 workers busy", "a goes first"]

    run.send(PauseRequested())
    run.succeed("b")
    assert told(run, "a") == ["paused"]
    assert told(run, "c") == ["paused", "a goes first"]


def test_what_is_left_of_a_limit_is_kept_for_one_that_wants_more() -> None:
    units = [unit(name, pools={"gpu": count}) for name, count in (("a", 1), ("b", 2), ("c", 1))]
    run = Run(*units, workers=8, pools={"gpu": 2})

    assert told(run, "b") == ["held by a (pool gpu 1/2)"]
    assert told(run, "c") == ["pool gpu kept for b, which wants more"]


def test_a_start_that_leaves_too_little_for_one_that_has_to_wait_anyway_comes_first() -> None:
    large, middle = (
        unit("large", "go", priority=2, cpus=1.0, pools={"one": 1}),
        unit("middle", "go", priority=1, cpus=1),
    )
    units = [unit("go"), unit("holder", pools={"one": 1}), large, middle, unit("small", "go", cpus=0.5)]
    run = Run(*units, workers=8, cpus=1.5, pools={"one": 1})
    run.send(PauseRequested())
    run.succeed("go")

    assert told(run, "middle") == ["paused"]
    assert told(run, "small") == ["paused", "middle goes first"], "else cores would be kept for the large one"


def test_a_handler_says_whose_end_may_still_be_a_failure() -> None:
    run = Run(unit("bad"), unit("slow"), unit("between", "bad", "slow"), unit("help", "between", when="failure"))
    run.send(CancelRequested((run.number("bad"),)))
    run.returns("bad", STOPPED)

    assert told(run, "help") == ["waits to know whether slow fails"]


def test_what_a_unit_has_added_is_held_back_while_that_runs_again() -> None:
    run = Run(unit("split"), unit("other", "split", priority=1), workers=1)
    for adder, added in (("split", unit("inner", priority=2)), ("inner", unit("leaf"))):
        run.returns(adder, SUCCESS._replace(added=(added,)))
        run.plan = run.view.plan
    run.retry("split")

    assert told(run, "leaf")[0] == "added by split, which runs again"


def test_what_a_need_is_held_back_for_is_told_of_the_need() -> None:
    run = Run(unit("split"), workers=1)
    for adder, added in (("split", unit("inner")), ("inner", unit("leaf"))):
        run.returns(adder, SUCCESS._replace(added=(added,)))
        run.plan = run.view.plan
    run.succeed("leaf")
    run.retry("split", scope="dependents")

    assert told(run, "inner") == ["needs split"]
    assert told(run, "leaf") == ["needs inner"]


def test_an_attempt_that_goes_on_is_in_the_way_and_the_worker_it_keeps_is_not() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=0)), workers=1, max_abandoned=0)
    run.returns("a", ABANDONED)
    run.send(RetryRequested((0,)))

    assert told(run, "a") == ["waits for attempt 1, which could not be stopped"]


def test_a_unit_that_was_handed_over_with_its_batch_waits_for_that() -> None:
    process = ExecutionMode.PROCESS
    run = Run(unit("alone", mode=process), *(unit(f"u{n}", mode=process, batch=4) for n in range(4)), workers=2)

    assert told(run, "alone") == ["starting"]
    assert told(run, "u3") == ["queued in a batch"]


def test_an_innocent_unit_that_is_tried_again_looks_for_no_earlier_result() -> None:
    units = unit("a", action=COROUTINE, mode=ExecutionMode.ASYNC, cache=CachePolicy()), unit("b", priority=1)
    run = Run(*units, workers=2)
    run.send(CacheChecked(0, 1, hit=False, reason="changed"))
    run.send(PauseRequested())
    run.returns("a", LOOP_LOST)
    run.wait(0.0)

    assert told(run, "a") == ["paused"]


def test_a_run_that_does_not_go_on_is_in_the_way_of_all() -> None:
    run = Run(unit("a"), unit("b"), workers=1, begin=False)
    assert told(run, "a") == ["the run has not begun"]

    run.send(RunRequested())
    assert told(run, "b", lost=True) == ["nobody runs the run", "1 of 1 workers busy"]

    run.send(JournalReported("no room"))
    run.send(InterruptRequested())
    assert told(run, "b") == ["the run is ending: interrupted", "the record cannot be written: no room",
                              "1 of 1 workers busy"]  # fmt: skip


def test_a_unit_that_runs_or_has_ended_waits_for_nothing() -> None:
    run = Run(unit("a"), unit("b"))
    run.succeed("a")

    assert told(run, "a") == told(run, "b") == []
