"""A run in virtual time: it decides as the run itself does, from wherever that stands."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from math import inf
from random import Random

import pytest
from core_driver import WORK, Run, milestone, plan_of, unit
from core_examples import examples
from core_world import random_options, random_plan
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.brakes import HELD
from qtui.core.events import BrakeChanged, ConfirmRequested, Event, UnitFinished, UnitStarted, UnitSubmitted
from qtui.core.folding import fold
from qtui.core.model import CachePolicy, ExecutionMode, Outcome, RetryPolicy, UnitError
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.simulation import Simulated, Simulation
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CheckCache,
    Decision,
    PauseRequested,
    ReleaseRequested,
    RunRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    WakeAt,
)

BEGAN = 1_000.0
Returns = dict[tuple[int, int], tuple[float, Outcome]]


class Recorded:
    """A run whose lanes do as `rng` says: what they answered, and what was decided, in order.

    People answer at once, as in a simulation.
    """

    def __init__(self, rng: Random, plan: ExecutionPlan, options: RunOptions) -> None:
        self.plan, self.options, self._rng = plan, options, rng
        self.hits = {number for number in range(len(plan)) if rng.randrange(3) == 0}
        self.returns: Returns = {}
        self.events: list[Event] = []
        self._scheduler = Scheduler(plan, options)
        self._news: list[tuple[float, int, Stimulus]] = []
        self._wake: float | None = None
        self._count = 0
        self._post(RunRequested(), BEGAN)
        now = BEGAN
        while self._news or self._wake is not None:
            if self._wake is not None and not (self._news and self._news[0][0] < self._wake):
                now, self._wake = max(now, self._wake), None
                self._post(TimerFired(), now)
            else:
                now, _, stimulus = heappop(self._news)
                self._post(stimulus, now)

    def _post(self, stimulus: Stimulus, now: float) -> None:
        decision: Decision = self._scheduler.handle(stimulus, now)
        self.events += decision.events
        answers: list[Stimulus] = []
        for event in decision.events:
            if isinstance(event, ConfirmRequested):
                answers.append(ApproveRequested((event.unit,)))
            elif isinstance(event, BrakeChanged) and event.state == HELD:
                answers.append(ReleaseRequested())
        for effect in decision.effects:
            match effect:
                case StartUnit(number, attempt):
                    after = self._rng.uniform(0.1, 4.0)
                    outcome = self._rng.choice(OUTCOMES)._replace(seconds=after)
                    self.returns[number, attempt] = after, outcome
                    self._tell(UnitReturned(number, attempt, outcome), now + after)
                    answers.append(UnitBegan(number, attempt))
                case WakeAt(at):
                    self._wake = at
                case CheckCache(number, generation, forced):
                    hit = number in self.hits and not forced
                    answers.append(CacheChecked(number, generation, hit, ""))
                case _:
                    pass
        for answer in answers:
            self._post(answer, now)

    def _tell(self, stimulus: Stimulus, at: float) -> None:
        self._count += 1
        heappush(self._news, (at, self._count, stimulus))

    def starts(self, since: float = 0.0) -> list[int]:
        """The units handed to lanes, in order, once for each attempt."""
        seen: dict[tuple[int, int], None] = {}
        before: set[tuple[int, int]] = set()
        for event in self.events:
            if isinstance(event, UnitSubmitted | UnitStarted):
                (before.add if event.at <= since else seen.setdefault)((event.unit, event.attempt))  # type: ignore[operator]
        return [number for number, attempt in seen if (number, attempt) not in before]

    def ends(self) -> dict[int, float]:
        """When each unit ended."""
        return {event.unit: event.at for event in self.events if isinstance(event, UnitFinished)}


OUTCOMES = (
    Outcome(),
    Outcome(),
    Outcome(),
    Outcome(error=UnitError("ValueError", "went wrong")),
    Outcome(error=UnitError("exit", "exit code 3", exit_code=3)),
)


def recorded(seed: int) -> Recorded:
    rng = Random(seed)
    options = random_options(rng)
    return Recorded(rng, random_plan(rng, options), options)


@given(seed=st.integers(0, 1 << 32))
@examples(150, soak=3000)
def test_told_what_came_back_it_starts_the_same_units_in_the_same_order_as_the_run(
    seed: int,
) -> None:
    run = recorded(seed)
    simulation = Simulation(RunView.initial(run.plan), run.options, BEGAN, run.hits)
    simulated = simulation.run([0.0] * len(run.plan), returns=run.returns)
    assert list(simulated.order) == run.starts()
    ends = {number: at + BEGAN for number, at in enumerate(simulated.ends) if at != inf}
    assert ends == pytest.approx(run.ends())


@given(seed=st.integers(0, 1 << 32), share=st.floats(0, 1))
@examples(150, soak=3000)
def test_from_the_middle_of_a_run_it_goes_on_as_the_run_did(seed: int, share: float) -> None:
    run = recorded(seed)
    moments = sorted({event.at for event in run.events})
    now = moments[int(share * (len(moments) - 1))]
    view = fold(RunView.initial(run.plan), [event for event in run.events if event.at <= now])
    if view.state.ended:
        return
    simulated = Simulation(view, run.options, now, run.hits).run([0.0] * len(run.plan), returns=run.returns)
    assert list(simulated.order) == run.starts(since=now)
    assert {n: at + now for n, at in enumerate(simulated.ends) if at != inf} == pytest.approx(run.ends())


def test_what_is_decided_has_all_of_its_fields() -> None:
    for event in (event for seed in range(20) for event in recorded(seed).events):
        assert type(event)(*event) == event
        assert len(event) == len(event._fields)


def test_the_more_units_a_run_has_the_more_pauses_there_are_until_it_is_taken_up() -> None:
    small, large = (Run(*[unit(f"u{n}") for n in range(size)]) for size in (10, 5_000))
    pauses = [sum(1 for _ in Scheduler.restoring(run.options, run.view)) for run in (small, large)]
    assert pauses[1] >= pauses[0] + 2


def simulated(*units: object, now: float = 0.0, seconds: Mapping[str, float] = {}, **options: object) -> Simulated:
    plan = plan_of(*units)  # type: ignore[arg-type]
    taken = [seconds.get(each.id, 0.0 if each.action is None else 1.0) for each in plan.table]
    return Simulation(RunView.initial(plan), RunOptions(**options), now).run(taken)  # type: ignore[arg-type]


def test_a_run_ends_when_its_last_unit_does() -> None:
    chain = simulated(unit("a"), unit("b", "a"), milestone("m", "b"), seconds={"a": 2.0, "b": 3.0})
    assert (chain.seconds, chain.last, chain.unfinished) == (5.0, 2, 0)
    assert list(chain.starts) == [0.0, 2.0, inf]
    assert list(chain.ends) == [2.0, 5.0, 5.0]


def test_what_let_a_unit_start_is_the_end_it_waited_for() -> None:
    run = simulated(unit("a"), unit("b"), unit("c", "b"), workers=1, seconds={"a": 1.0, "b": 2.0})
    assert list(run.triggers) == [1, -1, 0]  # b has more below it and goes first, then a, then c


def test_a_unit_that_takes_longer_than_its_timeout_is_tried_again_and_fails() -> None:
    run = simulated(unit("a", timeout=2.0, retry=RetryPolicy(max=1, delay=1.0)), seconds={"a": 9.0})
    assert run.seconds == 5.0
    assert list(run.order) == [0, 0]


@given(seed=st.integers(0, 1 << 32))
@examples(40, soak=1000)
def test_late_are_those_that_would_complete_if_there_were_no_timeouts(seed: int) -> None:
    rng, n = Random(seed), 12
    seconds = [rng.uniform(1.0, 9.0) for _ in range(n)]
    limits = [*(rng.choice((None, None, rng.uniform(2.0, 9.0))) for _ in range(n - 1)), None]
    retry = RetryPolicy(max=rng.randrange(2), delay=1.0)

    def run(*, timed: bool) -> Simulated:
        plan = plan_of(
            *(
                unit(
                    f"u{number}",
                    *({f"u{(number * seed + 7) % number}"} if number % 3 else ()),
                    timeout=limits[number] if timed else None,
                    retry=retry,
                    allow_failure=number % 5 == 0,
                    when="failure" if number == n - 1 else "success",
                )
                for number in range(n)
            )
        )
        options = RunOptions(workers=3, keep_going=seed % 4 > 0, timeout=18.0 if timed and seed % 2 else None)
        return Simulation(RunView.initial(plan), options, 0.0).run(seconds)

    free, cut = run(timed=False), run(timed=True)
    assert not free.late
    assert cut.late == cut.otherwise.keys() - free.otherwise.keys()
    assert cut.timed_out <= bool(cut.late)


def test_units_that_share_a_worker_take_as_long_together_as_one_after_another() -> None:
    units = [unit(f"u{n}", mode=ExecutionMode.PROCESS, batch=2) for n in range(4)]
    run = simulated(*units, workers=1)
    assert (run.seconds, list(run.starts), list(run.ends)) == (4.0, [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert simulated(*units, workers=2).seconds == 2.0


@pytest.mark.parametrize("timeout", [3.0, 1.5])
def test_in_a_batch_the_timeout_of_a_unit_counts_from_its_own_begin(timeout: float) -> None:
    units = [unit(f"u{n}", mode=ExecutionMode.PROCESS, batch=6, timeout=timeout) for n in range(6)]
    run = simulated(*units, workers=1, seconds={f"u{n}": 2.0 for n in range(6)})
    assert (run.seconds, len(run.late)) == ((12.0, 0) if timeout == 3.0 else (9.0, 6))


def test_a_batch_that_was_handed_over_takes_as_long_as_before() -> None:
    units = [unit(f"u{n}", mode=ExecutionMode.PROCESS, batch=6) for n in range(6)]
    run = Run(*units, workers=1)
    assert Simulation(run.view, run.options, 0.0).run([4.0] * 6).seconds == 24.0
    run.begins("u0")
    run.now = 4.0
    run.succeed("u0")
    run.begins("u1")
    left = Simulation(run.view, run.options, 5.0).run([4.0] * 6)
    assert (left.seconds, list(left.starts)[1:]) == (19.0, [-1.0, 3.0, 7.0, 11.0, 15.0])


def test_what_leaves_a_queue_before_its_turn_never_begins() -> None:
    units = [unit(f"u{n}", mode=ExecutionMode.PROCESS, batch=3) for n in range(3)]
    run = simulated(*units, workers=1, timeout=1.5)
    assert (list(run.starts), list(run.ends)) == ([0.0, 1.0, inf], [1.0, 1.5, 1.5])


def test_units_take_so_many_along_as_their_seconds_let_them() -> None:
    units = [unit(f"u[{n}]", mode=ExecutionMode.PROCESS, batch="auto", family="u") for n in range(8)]
    assert simulated(*units, workers=4).seconds == 2.0


def test_the_timeout_of_what_waits_in_a_lane_counts_from_its_begin() -> None:
    run = Run(unit("a", mode=ExecutionMode.PROCESS, timeout=10.0))
    later = Simulation(run.view, run.options, 30.0)
    assert later.run([8.0]).seconds == 8.0
    assert later.run([12.0]).late == {0}


def test_people_answer_at_once() -> None:
    run = Run(unit("a", confirm="Really?"), unit("b"), unit("c", "b"), workers=2)
    run.send(PauseRequested())
    simulation = Simulation(run.view, run.options, 10.0)
    assert simulation.assumed == ["1 question answered with yes", "the pause ended"]
    assert simulation.run([4.0, 3.0, 2.0]).unfinished == 0


def test_a_unit_that_runs_is_done_when_its_time_is_over_and_at_once_if_that_has_passed() -> None:
    run = Run(unit("a"), unit("b"), workers=2)
    assert list(Simulation(run.view, run.options, 3.0).run([10.0, 1.0]).ends) == [7.0, 0.0]


def test_units_that_wait_for_what_never_comes_do_not_end() -> None:
    run = Run(unit("a"), unit("b"), workers=1, max_abandoned=0)
    run.cancel("a")
    run.wait(99)
    run.returns("a", Outcome(abandoned=True))
    assert run.view.stalled
    left = Simulation(run.view, run.options, run.now).run([1.0, 1.0])
    assert (left.unfinished, left.seconds) == (1, 0.0)


def test_more_workers_from_now_on() -> None:
    run = Run(*[unit(f"u{n}") for n in range(6)], workers=1)
    simulation = Simulation(run.view, run.options, 0.0)
    assert [simulation.run([1.0] * 6, workers=workers).seconds for workers in (1, 2, 6)] == [6.0, 3.0, 1.0]


def test_a_unit_with_an_earlier_result_takes_no_time() -> None:
    plan = plan_of(unit("a", cache=CachePolicy()), unit("b", "a", action=WORK))
    view, options = RunView.initial(plan), RunOptions()
    assert Simulation(view, options, 0.0, hits={0}).run([5.0, 1.0]).seconds == 1.0
    assert Simulation(view, options, 0.0).run([5.0, 1.0]).seconds == 6.0


def test_nothing_is_kept_of_one_way_through_for_the_next() -> None:
    run = Run(*[unit(f"u{n}", pools={"p": 1}) for n in range(6)], workers=2, pools={"p": 1})
    simulation = Simulation(run.view, run.options, 0.0)
    assert simulation.run([1.0] * 6) == simulation.run([1.0] * 6)
