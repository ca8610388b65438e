"""The events pane: what happened, problems only, and the way from an event to its unit."""

from __future__ import annotations

from scenes import fan_out, nightly, unit
from scripted import ScriptedSession
from stage import staged

from qtui.core.events import (
    BrakeChanged,
    Event,
    JournalChanged,
    RunPaused,
    UnitCanceling,
    UnitFinished,
    UnitRetrying,
    UnitsAdded,
    UnitStarted,
    UnitSubmitted,
    Warned,
)
from qtui.core.model import ExecutionMode, RetryPolicy, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.tui.eventlist import MOST_A_SECOND, MOST_EVENTS, EventList, Others
from qtui.tui.eventnames import EventNames
from qtui.tui.format import UNICODE, Look
from qtui.tui.happenings import event_line, is_problem, others_line
from qtui.tui.widgets.events import EventsPane

ERROR = UnitError("ValueError", "bad row 17")


def test_a_problem_is_what_somebody_may_want_to_do_something_about() -> None:
    failed = UnitFinished(0, 1, 1, UnitState.FAILED, 1.0, error=ERROR)
    problems = [
        failed,
        failed._replace(state=UnitState.COMPLETED, fallback=True),
        UnitRetrying(0, 1, 8.0, ERROR, 1.0),
        Warned(-1, "the disk is full", 1.0),
        JournalChanged("no space left", 1.0),
        BrakeChanged("", "held", 3, "", "", 1.0),
    ]
    fine = [
        failed._replace(state=UnitState.COMPLETED, error=None),
        failed._replace(state=UnitState.SKIPPED, error=None),
        JournalChanged("", 1.0),
        BrakeChanged("", "open", 1, "", "", 1.0),
        RunPaused(1.0, "paused by you"),
    ]
    assert [event for event in problems + fine if is_problem(event)] == problems  # type: ignore[operator]


def test_events_after_a_growth_are_about_the_new_units() -> None:
    names = EventNames(ExecutionPlan.build([unit("plan"), unit("end", "plan")]))
    names.id_of(UnitsAdded(0, (unit("new\x1b[31m"), unit("end")), 1.0))
    assert names.id_of(UnitStarted(2, 1, ExecutionMode.THREAD, 1, 0, 2.0)) == "new\x1b[31m"
    assert names.id_of(UnitStarted(7, 1, ExecutionMode.THREAD, 1, 0, 2.0)) == ""


def ended(number: int, at: float, state: UnitState = UnitState.COMPLETED) -> UnitFinished:
    error = ERROR if state is UnitState.FAILED else None
    return UnitFinished(number, 1, 1, state, at, error=error)


def listed(*happened: Event, units: int = 100) -> list[str]:
    events = EventList(ExecutionPlan.build([unit(f"u{number}") for number in range(units)]))
    events.add(happened)
    return [f"{line.unit} {line.look} {line.count}" if isinstance(line, Others) else line.unit for line in events.all]


def test_a_flood_of_ends_takes_a_line_that_counts_and_names_the_last() -> None:
    few = [f"u{number}" for number in range(MOST_A_SECOND)]
    assert listed(*(ended(number, 5.0) for number in range(100))) == [*few, f"u99 ok {100 - MOST_A_SECOND}"]


def test_ends_that_can_be_read_are_told_one_by_one() -> None:
    assert listed(*(ended(number, number / 8) for number in range(50))) == [f"u{number}" for number in range(50)]


def test_a_problem_in_a_flood_has_its_own_line_and_is_not_counted() -> None:
    records = [ended(number, 5.0, UnitState.FAILED if number == 60 else UnitState.COMPLETED) for number in range(100)]
    assert listed(*records)[MOST_A_SECOND:] == ["u59 ok 50", "u60", "u99 ok 39"]


def test_what_looks_different_is_counted_apart() -> None:
    states = (UnitState.COMPLETED, UnitState.SKIPPED)
    records = [ended(number, 5.0, states[number % 2]) for number in range(100)]
    assert listed(*records)[MOST_A_SECOND:] == ["u98 ok 45", "u99 skip 45"]


def test_a_unit_that_had_not_begun_is_taken_back_and_one_that_had_is_asked_to_stop() -> None:
    handed = [UnitSubmitted(number, 1, ExecutionMode.CUSTOM, 1 + number, 1.0) for number in range(2)]
    began = UnitStarted(0, 1, ExecutionMode.CUSTOM, 1, 7, 2.0, "node-0")
    stops = [UnitCanceling(number, 1, "interrupt", "the cluster is gone", False, 3.0) for number in range(2)]
    again = UnitSubmitted(0, 2, ExecutionMode.CUSTOM, 1, 4.0)
    events = EventList(ExecutionPlan.build([unit("runs"), unit("waits")]))
    events.add([*handed, began])
    events.add([*stops, again, stops[0]._replace(attempt=2, at=5.0)])

    lines = [event_line(line.event, line.unit, UNICODE, begun=line.begun) for line in events.all]
    assert ["".join(span.text for span in spans)[9:] for spans in lines] == [
        "⊗ runs  asked to stop: the cluster is gone",
        "⊗ waits  taken back before it has begun: the cluster is gone",
        "⊗ runs  taken back before it has begun: the cluster is gone",
    ]


def test_a_line_that_counts_tells_so_in_few_words() -> None:
    spans = others_line(Look.OK, 1204, 0.0, "u7", UNICODE)
    assert "".join(span.text for span in spans)[8:] == " ✓ 1,204 others  ok, last u7"


async def test_enter_on_an_event_goes_to_its_unit_and_problems_alone_can_be_shown() -> None:
    async with staged(nightly(), (120, 40)) as stage:
        await stage.press("4")
        await stage.shows("›22:15:12 ◷ grid[lr=0.01]")
        await stage.press("enter")
        await stage.shows("› ◷ TIME   1:08    └─ grid[lr=0.01]")
        await stage.press("k", "k", "k", "enter")
        await stage.shows("there is nothing to open on this line")
        await stage.press("exclamation_mark")
        await stage.shows("Events  problems only", "✗ grid[lr=1.0]  failed")
        assert "✓ embed[shard=0]  ok" not in stage.text()
        await stage.press("exclamation_mark")
        await stage.shows("✓ embed[shard=0]  ok")


async def test_who_is_at_an_event_stays_there_whatever_the_size_of_the_terminal() -> None:
    session = fan_out(12, workers=1)
    session.completes("list_files", *(f"extract[{n}]" for n in range(12)))
    async with staged(session, (120, 40)) as stage:
        pane = stage.main.query_one(EventsPane)
        await stage.until(lambda: pane.count > 10, "the events")
        await stage.press("4", *"kkkkk")
        at = pane.at
        for size in ((160, 50), (80, 24), (300, 100), (100, 30), (200, 60)):
            await stage.pilot.resize_terminal(*size)
            await stage.until(lambda size=size: len(stage.lines()) == size[1], "the new size")
            top = int(pane.scroll_offset.y)
            assert pane.at == at
            assert top <= at < top + pane.size.height


async def test_who_reads_earlier_events_keeps_the_place_while_new_ones_push_old_ones_out() -> None:
    session = ScriptedSession([unit("load", retry=RetryPolicy(max=10_000, delay=0))], RunOptions())
    for count in range(MOST_EVENTS + 5):
        session.warns(f"warning number {count};")
    async with staged(session, (120, 40)) as stage:
        await stage.press("4")
        await stage.shows(f"warning number {MOST_EVENTS + 4};")
        await stage.press("pageup", "pageup", "pageup", "pageup")
        pane = stage.main.query_one(EventsPane)
        here = pane.row(pane.at).spans[-1].text
        for count in range(50):
            session.warns(f"later {count}")
        await stage.until(lambda: pane.row(pane.count - 1).spans[-1].text == "later 49", "the new events")
        await stage.until(lambda: pane.row(pane.at).spans[-1].text == here, "the same place")
        await stage.press("G")
        await stage.shows("later 49")
