"""An end at which not all is done, or that waits for a person, is told as that wherever the end is told."""

from __future__ import annotations

import re
from dataclasses import replace

from scenes import unit
from scripted import ScriptedSession

from qtui.core.gains import gains
from qtui.core.model import QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.stimuli import EditRequested, PauseRequested, RetryRequested
from qtui.tui.forecaster import Told, told_at_once
from qtui.tui.foresight import Foresight
from qtui.tui.outlook import Outlook, eta_texts, left_words
from qtui.tui.timeline import title


def run_of(*units: QuantumUnit, **options: object) -> ScriptedSession:
    return ScriptedSession(units, RunOptions(**options))  # type: ignore[arg-type]


def told_of(session: ScriptedSession) -> Told:
    told = told_at_once(session, {})
    assert told is not None
    worth = gains(session.view(), session.options, told.forecast)
    return replace(told, gains=tuple(gain for gain in worth if gain is not None))


def status_line(session: ScriptedSession, room: int) -> str:
    outlook = Outlook()
    outlook.told = told_of(session)
    return outlook.why_so_long(session.view(), session.now(), room)


def eta(session: ScriptedSession) -> list[str]:
    """The words for the end, without the time of day."""
    texts = eta_texts(told_of(session), 0, session.view(), session.now())
    return [" ".join(word for word in text.split() if ":" not in word) for text in texts]


def too_long() -> ScriptedSession:
    """Six units of ten seconds for one worker, in a run of 25 seconds."""
    return run_of(*(unit(f"u{n}", estimate=10.0) for n in range(6)), workers=1, timeout=25.0)


def test_a_run_that_its_timeout_stops_says_so_and_what_would_help() -> None:
    session = too_long()
    assert eta(session) == ["timeout (~24s), 4 incomplete", "timeout (~24s)", "timeout ~24s", "timeout ~24s"]
    assert left_words(told_of(session), session.view(), session.now()) == (
        "its timeout stops it, ends in about 24s; 4 of 6 units will not complete in time"
    )
    whole = "stops at its timeout: 4 of 6 units will not complete in time; +2 workers: all would complete"
    assert status_line(session, 120) == whole
    assert status_line(session, 80) == whole.partition(";")[0]
    assert title("5", told_of(session), session.now(), 120).endswith("+2 workers: all would complete")


def test_units_that_their_own_timeouts_stop_are_counted_with_those_that_need_them() -> None:
    session = run_of(unit("a", estimate=60.0, timeout=30.0), unit("b", "a"), unit("c", estimate=40.0), workers=2)
    assert eta(session)[0] == "eta (40s), 2 incomplete"
    assert left_words(told_of(session), session.view(), session.now()) == (
        "about 40s left; 2 of 3 units will not complete in time"
    )
    assert status_line(session, 120) == "2 of 3 units will not complete in time"


def test_a_question_that_is_still_to_come_is_a_condition_beside_what_has_to_be_done_now() -> None:
    session = run_of(unit("a", estimate=60.0), unit("b", "a", estimate=60.0, confirm="Really?"))
    assert eta(session)[0] == "eta (~2m) if answered at once"
    told = told_of(session)
    early, late = (told.left(session.now() + seconds)[1] for seconds in (0, 30))
    assert late == early - 30, "until the question comes nobody keeps the run"
    session.post(PauseRequested())
    assert eta(session)[0] == "eta (~2m) if resumed now and answered at once"
    session.completes("a")
    assert eta(session)[0] == "eta (~1m) if resumed and answered now"


def test_an_answer_that_leaves_others_no_time_says_so() -> None:
    session = too_long()
    session.after(10)
    session.completes("u0")
    foresight = Foresight(session, [RetryRequested((session.number("u0"),))], dict)
    foresight._run()
    (texts,) = foresight.texts
    assert texts is not None
    assert texts[0].startswith("1 will not complete in time, runs u0")


def never_run() -> ScriptedSession:
    """Of `drop` nothing is known: it is taken for as long as `load`, which is longer than it may take."""
    return run_of(unit("load", estimate=20.0), unit("drop", timeout=3.0), unit("report", "drop", estimate=1.0))


def test_of_what_has_never_run_it_is_not_told_as_a_fact_that_its_time_runs_out() -> None:
    session = never_run()
    told = told_of(session)
    assert re.fullmatch(r"2 of 3 units may not complete in time( \(in \d of 10 cases\))?", status_line(session, 120))
    assert left_words(told, session.view(), session.now()).endswith(status_line(session, 120))
    assert ", 2 perhaps incomplete" in eta(session)[0]
    for name in ("drop", "report"):
        assert told.out_of_time(session.number(name)).startswith("may not complete in time")


def test_an_answer_that_is_guessed_to_leave_no_time_says_may() -> None:
    session = run_of(unit("load", estimate=20.0), unit("drop", "load"))
    edit = EditRequested((session.number("drop"),), timeout=3.0)
    foresight = Foresight(session, [edit], dict)
    foresight._run()
    assert foresight.texts[0] == ("1 may not complete in time",)
