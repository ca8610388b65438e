"""The tab that tells why a unit waits: what is in its way, who holds that and for how long, and when it will start."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from scenes import unit
from scripted import ScriptedSession

from qtui.core.forecast import forecast
from qtui.core.masking import TextMasker
from qtui.core.model import EMPTY, CachePolicy, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.stimuli import PauseRequested, RetryRequested
from qtui.tui.bridge import Bridge
from qtui.tui.forecaster import Told
from qtui.tui.format import UNICODE
from qtui.tui.laying import lay_out
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.tabs.entry import rows_of
from qtui.tui.tabs.scene import Scene
from qtui.tui.tabs.why import why_unit

NOTHING_HIDDEN = TextMasker(())


def why(session: ScriptedSession, name: str, past: Mapping[str, Sequence[float]] | None = None) -> list[str]:
    """The lines of the tab; with what is known of earlier runs there is a forecast."""
    bridge = Bridge(session, lay_out(session.view().plan))
    if past is not None:
        made = forecast(session.view(), session.options, past, now=session.now())
        bridge.outlook.told = Told(made, session.view())
    scene = Scene(
        session=session,
        bridge=bridge,
        attempts=Attempts(session.plan),
        texts=NOTHING_HIDDEN,
        glyphs=UNICODE,
        now=session.now(),
    )
    rows = rows_of(why_unit(scene, session.number(name)), 100, UNICODE, NOTHING_HIDDEN)
    return ["".join(span.text for span in row.spans).rstrip() for row in rows]


def test_all_that_is_in_the_way_is_told_and_what_comes_later_last() -> None:
    last = unit("last", "a", pools={"gpu": 1}, cache=CachePolicy(), confirm="Publish?")
    session = ScriptedSession([unit("a"), unit("other", pools={"gpu": 1}), last], RunOptions(pools={"gpu": 1}))
    session.post(PauseRequested())

    assert why(session, "last") == [
        "waits for 1 of 1 need",
        "▸ run   a  0:00",
        "",
        "and for",
        "paused",
        "pool gpu    1 of 1 in use",
        "  held by   ▸ run   other  0:00",
        "",
        "and then",
        "looks for an earlier result",
        "asks: Publish?",
    ]


def test_who_goes_first_is_named_and_leads_there() -> None:
    session = ScriptedSession([unit("a"), unit("b", priority=1), unit("c")], RunOptions(workers=1))

    assert why(session, "c")[:5] == [
        "waits for",
        "1 of 1 workers busy",
        "▸ run   b  0:00",
        "1 unit that goes first",
        "⋮ queue a  1 of 1 workers busy",
    ]


def test_each_of_a_family_that_goes_first_is_named() -> None:
    family = [unit(f"train[{n}]", priority=1) for n in range(12)]
    session = ScriptedSession([*family, unit("last")], RunOptions(workers=1))

    told = why(session, "last")
    assert told[3] == "11 units that go first"
    assert [line.split()[2] for line in told[4:12]] == [f"train[{n}]" for n in range(1, 9)]
    assert told[12] == "and 3 more"


def test_a_forecast_tells_when_it_starts_and_how_much_longer_holders_take() -> None:
    gpu = {"pools": {"gpu": 1}, "estimate": 240}
    units = [unit("a", estimate=600), unit("b", estimate=300), unit("c", "a", "b", estimate=1)]
    session = ScriptedSession([*units, unit("d", **gpu), unit("e", **gpu)], RunOptions(workers=8, pools={"gpu": 1}))
    session.after(60)
    told = why(session, "c", EMPTY)
    assert told[0] == "starts      in about 9m"
    assert "a is expected to be the last, in about 9m" in told
    assert "▸ run   a  1:00, ~9m left" in told

    past = {"a": [500, 700, 600], "b": [300, 200, 250], "d": [240.0, 200.0, 280.0], "e": [30.0] * 3}
    told = why(session, "e", past)
    assert re.fullmatch(r"starts      in about [234]m \(.*m\)", told[0])
    assert re.fullmatch(r"  held by   ▸ run   d  1:00, ~[234]m left", told[4])


def test_a_unit_that_runs_is_told_when_it_is_expected_to_end() -> None:
    session = ScriptedSession([unit("a", estimate=600), unit("b")])
    session.after(60)
    assert why(session, "a", EMPTY)[1] == "ends        in about 9m"
    assert not any(line.startswith("ends") for line in why(session, "a"))

    told = why(session, "a", {"a": [500, 700, 600], "b": [90.0]})
    assert re.fullmatch(r"ends        in about [789]m \(.*m\)", told[1])


def test_a_unit_that_failed_names_those_that_failed_alike() -> None:
    session = ScriptedSession([unit(name) for name in ("a", "b", "c", "d", "e")], RunOptions(workers=8))
    session.fails("b", UnitError("ValueError", "bad row 7"))
    session.fails("d", UnitError("OSError", "no room"))
    session.after(2)
    session.fails("a", UnitError("ValueError", "bad row 12"))
    session.fails("e", UnitError("ValueError", "bad row 3"))

    assert why(session, "a") == [
        "failed      ValueError: bad row 12",
        "",
        "2 other units failed alike: ValueError: bad row #",
        "✗ FAIL  b  0:00 ValueError: bad row 7",
        "✗ FAIL  e  0:02 ValueError: bad row 3",
    ]
    assert why(session, "d") == ["failed      OSError: no room"]


def test_what_a_forecast_takes_for_done_is_said() -> None:
    session = ScriptedSession([unit("a", estimate=60), unit("b", "a", estimate=60)])
    session.post(PauseRequested())

    assert why(session, "b", EMPTY)[0] == "starts      in about 1m, with the pause ended"
    assert not why(session, "b")[0].startswith("starts")


def out_of_time() -> ScriptedSession:
    """Three units of ten seconds for one slot, in a run of 16, and one that may take 3 of its 9 seconds."""
    units = [unit(f"train[{n}]", estimate=10.0, pools={"gpu": 1}) for n in range(3)]
    merge, cook = unit("merge", *(each.id for each in units), estimate=1.0), unit("cook", estimate=9.0, timeout=3.0)
    return ScriptedSession([*units, merge, cook], RunOptions(workers=4, timeout=16.0, pools={"gpu": 1}))


def test_of_a_unit_for_which_time_runs_out_it_says_so_and_why() -> None:
    session = out_of_time()
    session.after(1)
    assert why(session, "cook", EMPTY)[1:3] == [
        "times out   in about 2s",
        "expected    will not complete in time: timed out after 3 s",
    ]
    told = why(session, "train[2]", EMPTY)
    assert told[0] == "expected    will not complete in time: the run timed out after 16 s"
    assert not any(line.startswith("starts") for line in told)
    assert why(session, "train[0]", EMPTY)[1] == "ends        in about 9s"


def test_of_needs_for_which_time_runs_out_none_is_told_to_be_the_last() -> None:
    session = out_of_time()
    session.after(1)
    told = why(session, "merge", EMPTY)
    assert told[0] == "expected    will not complete in time: the run timed out after 16 s"
    assert re.search(r"time runs out for train\[[12]\], in about 15s", "\n".join(told))
    assert "is expected to be the last" not in "\n".join(told)


def two_failures_in_the_way() -> ScriptedSession:
    """convert needs prices and rates, publish needs convert; both needs have failed, prices first."""
    units = [unit("prices"), unit("rates"), unit("convert", "prices", "rates"), unit("publish", "convert")]
    session = ScriptedSession(units, RunOptions(workers=2))
    session.fails("prices", UnitError("RuntimeError", "column missing"))
    session.fails("rates", UnitError("OSError", "no route"))
    return session


def test_a_skipped_unit_names_what_is_still_in_its_way_when_the_first_failure_was_repaired() -> None:
    session = two_failures_in_the_way()
    assert session.view().unit(session.number("publish")).cause == "because prices"
    session.post(RetryRequested((session.number("prices"),)))
    for _ in range(2):  # while prices runs again, and when it has completed
        for name in ("convert", "publish"):
            lens = session.view().unit(session.number(name))
            assert (lens.cause, lens.because) == ("because rates", session.number("rates"))
            lines = why(session, name)
            assert "because rates" in lines[0]
            assert any("OSError: no route" in line for line in lines)
            assert not any("prices" in line for line in lines)
        if session.view().states[session.number("prices")] is UnitState.RUNNING:
            session.completes("prices")
    assert any("2 units did not run because of it" in line for line in why(session, "rates"))


def test_a_skipped_unit_names_the_first_failure_again_when_that_has_failed_again() -> None:
    session = two_failures_in_the_way()
    session.post(RetryRequested((session.number("prices"),)))
    session.fails("prices")
    assert session.view().unit(session.number("publish")).cause == "because prices"


def test_what_a_chain_of_skipped_units_was_skipped_for_is_looked_for_once() -> None:
    count = 3_000
    chain = [unit("step0", "a", "b"), *(unit(f"step{at}", f"step{at - 1}") for at in range(1, count))]
    session = ScriptedSession([unit("a"), unit("b"), *chain], RunOptions(workers=2))
    session.fails("a")
    session.fails("b")
    session.post(RetryRequested((session.number("a"),)))
    view = session.view()
    last = view.unit(session.number(f"step{count - 1}"))
    assert last.cause == "because b"
    assert len(view._blamed) == count
