"""Words, signs and causes; headers at every width; which panes are shown."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from scenes import diamond, nightly, unit
from scripted import ScriptedSession

from qtui.core.model import Argv, CachePolicy, ExecutionMode, Outcome, RetryPolicy, UnitError, UnitState
from qtui.core.options import Brake, RunOptions
from qtui.core.state import RunView
from qtui.core.stimuli import (
    CacheChecked,
    CancelRequested,
    CancelRunRequested,
    InterruptRequested,
    LateReturned,
    PauseRequested,
    ReleaseRequested,
    RetryRequested,
)
from qtui.tui.actions import USUAL
from qtui.tui.bridge import Bridge
from qtui.tui.details import after_output, before_output
from qtui.tui.format import (
    ASCII,
    SIGNS,
    UNICODE,
    Look,
    cause_of,
    clock,
    look_of,
    run_word,
    short_clock,
    size_of,
)
from qtui.tui.laying import lay_out
from qtui.tui.panes import Arrangement, Pane, arrangement_for, panes_shown
from qtui.tui.rows import bundle_look
from qtui.tui.widgets.header import counts_line, look_counts, progress_line
from qtui.tui.widgets.lines import Line
from qtui.tui.widgets.status import in_a_line, situation


def seen(session: ScriptedSession, name: str) -> tuple[Look, str]:
    found = session.view().unit(session.number(name))
    waits_for = Bridge(session, lay_out(session.plan)).waits_for(found.number, session.now())
    return look_of(found, waits_for), cause_of(found, session.now(), waits_for)


def written(line: Line) -> str:
    return "".join(span.text for span in line)


def test_every_look_has_one_cell_in_both_sets_and_no_two_share_it() -> None:
    for glyphs in (UNICODE, ASCII):
        signs = [glyphs.sign(look) for look in Look]
        assert all(cell_len(sign) == 1 for sign in signs)
        assert len(set(signs)) == len(signs)
    assert all(sign.ascii.isascii() for sign in SIGNS.values())


def test_bad_news_is_in_capitals() -> None:
    assert {look for look in Look if look.value.isupper()} == {Look.FAIL, Look.TIME, Look.CANC}


def test_a_waiting_unit_says_how_many_needs_are_met() -> None:
    session = diamond()
    session.completes("fetch", "clean")
    assert seen(session, "train") == (Look.WAIT, "has 1/2 needs")


def test_a_ready_unit_is_queued_while_all_workers_are_busy() -> None:
    session = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=1))
    assert seen(session, "b") == (Look.QUEUE, "1 of 1 workers busy")


def test_what_a_budget_holds_up_is_counted_as_its_row_says_although_workers_are_free() -> None:
    session = ScriptedSession([unit(f"heavy[{n}]", cpus=2) for n in range(5)], RunOptions(workers=8, cpus=4))
    assert seen(session, "heavy[4]") == (Look.QUEUE, "held by heavy[0], heavy[1] (cpus: wants 2, 0 of 4 free)")
    counts = look_counts(session.view())
    assert (counts[Look.RUN], counts[Look.QUEUE], counts[Look.READY]) == (2, 3, 0)


def test_a_ready_unit_is_queued_while_the_run_is_paused() -> None:
    session = diamond()
    session.post(PauseRequested())
    session.completes("fetch")
    assert seen(session, "clean") == (Look.QUEUE, "paused")


def test_a_ready_unit_that_its_lane_cannot_take_says_who_is_in_it() -> None:
    units = [unit("a", mode=ExecutionMode.SEQUENTIAL), unit("b", mode=ExecutionMode.SEQUENTIAL)]
    session = ScriptedSession(units, RunOptions(workers=4))
    assert seen(session, "b") == (Look.QUEUE, "held by a (lane sequential 1/1)")


def test_a_ready_unit_that_a_pool_holds_up_says_who_holds_it() -> None:
    units = [unit(f"embed[{n}]", pools={"gpu": 1}) for n in range(6)]
    session = ScriptedSession(units, RunOptions(workers=9, pools={"gpu": 5}))
    assert seen(session, "embed[5]") == (
        Look.QUEUE,
        "held by embed[0], embed[1], embed[2] and 2 more (pool gpu 5/5)",
    )


def test_budgets_say_what_is_wanted_and_what_is_free() -> None:
    units = [unit("a", cpus=3, memory=300 << 20), unit("b", cpus=2), unit("c", memory=200 << 20)]
    session = ScriptedSession(units, RunOptions(workers=9, cpus=4, memory=400 << 20))
    assert seen(session, "b")[1] == "held by a (cpus: wants 2, 1 of 4 free)"
    assert seen(session, "c")[1] == "held by a (memory: wants 200M, 100M of 400M free)"


def test_an_item_of_a_group_is_named_as_the_holder_of_what_it_holds() -> None:
    units = [unit(f"trim[{n}]", family="trim", group="sample", item=f"[{n}]") for n in range(2)]
    session = ScriptedSession(units, RunOptions(pools={"disk": 1}, group_pools={"sample": {"disk": 1}}))
    assert seen(session, "trim[1]")[1] == "held by sample[0] (pool disk 1/1)"


def test_a_unit_that_asks_shows_its_question() -> None:
    session = ScriptedSession([unit("publish", confirm="Publish 2026-11-21?")])
    assert seen(session, "publish") == (Look.ASK, "Publish 2026-11-21?")
    assert situation(session.view())[0] == "1 unit asks you; a answers"
    session.post(PauseRequested())
    assert situation(session.view())[0] == "paused, p goes on; 1 unit asks you, a answers"
    assert situation(session.view(), steerable=False)[0] == "paused; 1 unit asks for an answer"
    assert in_a_line(session.view(), UNICODE, keymap=USUAL)[0] == "0/1 PAUSED, p goes on"
    assert in_a_line(session.view(), UNICODE)[0] == "0/1 PAUSED"
    assert look_counts(session.view())[Look.ASK] == 1


def test_a_unit_that_a_brake_holds_says_so() -> None:
    units = [unit("a", tags=frozenset({"net"})), unit("b", tags=frozenset({"net"}))]
    session = ScriptedSession(units, RunOptions(workers=1, brakes={"tag:net": Brake(count=1)}))
    session.fails("a")
    assert seen(session, "b") == (Look.QUEUE, "held: tag net: 1 failure in a row")
    assert situation(session.view())[0] == "starts are held: tag net: 1 failure in a row; a lets go"


def test_a_brake_of_the_whole_run_is_told_in_the_header_and_all_that_is_ready_is_queued() -> None:
    units = [unit(name) for name in ("a", "b", "c")]
    session = ScriptedSession(units, RunOptions(workers=1, brakes={"": Brake(count=1)}))
    session.fails("a")
    assert run_word(session.view())[0] == "HELD"
    assert look_counts(session.view())[Look.QUEUE] == 2
    session.post(ReleaseRequested(("",)))
    assert run_word(session.view())[0] == "RUNNING"


def test_a_failed_command_says_what_it_printed_last() -> None:
    session = ScriptedSession([unit("a", allow_failure=True)])
    session.fails("a", UnitError("exit", "exit 28", exit_code=28, last_line="disk quota \x1b[1mexceeded"))
    assert seen(session, "a") == (Look.ALLOWED, "exit 28 allowed: disk quota exceeded")


def test_an_earlier_result_says_why_it_could_be_used() -> None:
    session = ScriptedSession([unit("a", cache=CachePolicy()), unit("b", cache=CachePolicy())])
    assert seen(session, "a") == (Look.QUEUE, "looking for an earlier result")
    session.post(CacheChecked(0, 1, True, "same inputs as on 2026-11-20"))
    session.post(CacheChecked(1, 1, False, "input a.csv changed"))
    assert seen(session, "a") == (Look.HIT, "same inputs as on 2026-11-20")
    assert seen(session, "b")[0] is Look.RUN


def test_an_allowed_failure_wears_a_badge_and_is_no_bad_end() -> None:
    session = ScriptedSession([unit("lint", allow_failure=True), unit("build", "lint")])
    session.fails("lint")
    assert seen(session, "lint")[1].endswith("allowed")
    session.completes("build")
    assert situation(session.view(), allowed=1)[0] == "finished, 1 failed and allowed; q quits"


def test_a_running_unit_says_how_far_it_is_and_which_try_it_is() -> None:
    session = ScriptedSession([unit("a", retry=RetryPolicy(max=2))])
    session.progresses("a", 30, 120)
    assert seen(session, "a") == (Look.RUN, "25%"), "a first try needs no number"
    session.fails("a")
    session.after(60)
    session.progresses("a", 60, 120)
    assert seen(session, "a") == (Look.RUN, "50% 2/3")


def test_a_folded_row_is_never_better_than_its_worst_end() -> None:
    view = mixed()
    ends = Counter({UnitState.COMPLETED: 17, UnitState.CANCELED: 7, UnitState.SKIPPED: 2})
    assert bundle_look(ends, view) is Look.CANC
    assert bundle_look(ends + Counter({UnitState.TIMEOUT: 1}), view) is Look.TIME
    assert bundle_look(ends + Counter({UnitState.TIMEOUT: 1, UnitState.FAILED: 1}), view) is Look.FAIL
    assert bundle_look(Counter({UnitState.COMPLETED: 17, UnitState.SKIPPED: 2}), view) is Look.OK


def test_a_retrying_unit_counts_down() -> None:
    session = ScriptedSession([unit("a", retry=RetryPolicy(max=2, delay=8))])
    session.fails("a")
    session.after(3)
    assert seen(session, "a") == (Look.RETRY, "try 2/3 in 5s")


def test_a_failed_command_names_its_exit_code() -> None:
    session = ScriptedSession([unit("a", action=Argv(("false",)))])
    session.fails("a", exit_code=3)
    assert seen(session, "a") == (Look.FAIL, "exit 3")


def test_a_skipped_unit_names_what_failed() -> None:
    session = diamond()
    session.completes("fetch")
    session.fails("clean")
    assert seen(session, "report") == (Look.SKIP, "because clean")


def test_a_canceled_unit_names_who_canceled_it() -> None:
    session = diamond()
    session.post(CancelRequested((session.number("train"),)))
    assert seen(session, "train") == (Look.CANC, "by you")


def test_a_thread_that_is_asked_to_stop_says_that_it_cannot_be_stopped() -> None:
    session = diamond()
    session.post(CancelRequested((session.number("fetch"),)))
    session.after(3)
    assert seen(session, "fetch") == (Look.STOP, "for 3s (a thread cannot be stopped, waiting)")


def test_a_unit_that_ran_out_of_time_says_after_how_long() -> None:
    session = ScriptedSession([unit("a", timeout=2, grace=1, action=Argv(("sleep", "9")))])
    session.after(2)
    assert seen(session, "a") == (Look.STOP, "for 0s: timed out after 2 s")
    session.after(1)
    assert seen(session, "a") == (Look.STOP, "killing for 0s: timed out after 2 s")
    session.stops("a")
    assert seen(session, "a") == (Look.TIME, "after 2 s")


def test_a_fallback_does_not_look_like_plain_success() -> None:
    session = nightly()
    look, cause = seen(session, "fetch.meta")
    assert look is Look.OK
    assert cause.startswith("fallback")


def test_an_abandoned_attempt_is_told() -> None:
    session = diamond()
    session.post(CancelRequested((session.number("fetch"),)))
    session.returns("fetch", Outcome(canceled=True, abandoned=True))
    assert seen(session, "fetch")[1] == "by you abandoned"


def abandons(session: ScriptedSession, name: str) -> None:
    """A unit is canceled, and its thread cannot be stopped."""
    session.post(CancelRequested((session.number(name),)))
    session.returns(name, Outcome(canceled=True, abandoned=True))


def told(session: ScriptedSession, name: str) -> list[str]:
    """What the details say of a unit below its output."""
    number, now = session.number(name), session.now()
    waits_for = Bridge(session, lay_out(session.plan)).waits_for(number, now)
    return [line.text for line in after_output(session.view().unit(number), now, waits_for)]


def test_the_details_tell_how_long_an_abandoned_attempt_goes_on() -> None:
    session = diamond()
    abandons(session, "fetch")
    session.after(41)
    assert told(session, "fetch")[-1] == "the attempt could not be stopped and is still running, for 0:41 now"
    session.post(LateReturned(session.number("fetch"), 1))
    assert told(session, "fetch")[-1] == "the attempt could not be stopped and ended by itself later"


def test_the_status_line_counts_the_abandoned_attempts_that_go_on() -> None:
    session = ScriptedSession([unit("a"), unit("b")])
    abandons(session, "a")
    assert situation(session.view())[0] == "1 abandoned, still running: could not be stopped"
    session.completes("b")
    assert situation(session.view())[0] == "canceled; 1 abandoned, still running; q quits"
    session.post(LateReturned(session.number("a"), 1))
    assert situation(session.view())[0] == "canceled; q quits"


def test_a_unit_that_waits_for_its_own_abandoned_attempt_says_so() -> None:
    session = ScriptedSession([unit("a"), unit("b")])
    abandons(session, "a")
    session.post(RetryRequested((session.number("a"),)))
    words = "waits for attempt 1, which could not be stopped"
    assert seen(session, "a") == (Look.WAIT, words)
    again = session.view().unit(session.number("a"))
    assert [line.text for line in before_output(again, session.now(), UNICODE, words)] == [words]
    assert told(session, "a") == [words]
    session.post(LateReturned(session.number("a"), 1))
    assert seen(session, "a") == (Look.RUN, "")


def test_a_stalled_run_says_what_stalls_it() -> None:
    session = ScriptedSession([unit("a"), unit("b")], RunOptions(workers=1, max_abandoned=0))
    abandons(session, "a")
    assert seen(session, "b") == (Look.QUEUE, "1 of 1 workers busy, 1 by abandoned attempts")
    assert situation(session.view())[0].startswith("stalled by 1 abandoned")
    session.post(LateReturned(session.number("a"), 1))
    assert seen(session, "b") == (Look.RUN, "")


def test_a_run_that_timed_out_says_so_while_it_stops_and_when_it_has() -> None:
    session = ScriptedSession([unit("a")], RunOptions(timeout=60))
    session.after(60)
    assert run_word(session.view())[0] == "STOPPING"
    session.stops("a")
    assert run_word(session.view())[0] == "FAILED"
    assert situation(session.view())[0].startswith("the run timed out after 60 s")


def test_a_run_that_cannot_go_on_says_why_when_it_has_ended() -> None:
    session = ScriptedSession([unit("a")])
    session.post(InterruptRequested(0, "the connection to the cluster was lost"))
    session.stops("a")
    assert situation(session.view())[0].startswith("interrupted: the connection to the cluster was lost")


def test_hostile_errors_are_safe_in_a_row() -> None:
    session = diamond()
    session.fails("fetch", UnitError("ValueError", "\x1b]0;owned\x07bad\nrow"))
    assert seen(session, "fetch")[1] == "ValueError: bad row"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (62.9, "1:02"), (3599, "59:59"), (3600, "1h00m"), (90000, "1d01h")]
)
def test_short_times_take_at_most_five_cells(seconds: float, shown: str) -> None:
    assert short_clock(seconds) == shown


def test_the_run_time_has_hours() -> None:
    assert clock(3 * 3600 + 62) == "3:01:02"


@given(st.floats(0, 1e15))
def test_sizes_take_at_most_five_cells(count: float) -> None:
    assert len(size_of(count)) <= 5


def run_words(*changes: object) -> str:
    session = diamond()
    for change in changes:
        session.post(change)  # type: ignore[arg-type]
    return run_word(session.view())[0]


def test_the_state_of_the_run_is_one_word() -> None:
    assert run_words() == "RUNNING"
    assert run_words(PauseRequested()) == "PAUSED"
    assert run_words(CancelRunRequested("drain")) == "DRAINING"
    assert run_words(CancelRunRequested("stop")) == "STOPPING"


def mixed() -> RunView:
    return nightly().view()


@given(st.integers(20, 220), st.booleans())
def test_the_progress_line_fits_and_always_tells_state_and_counts(width: int, least: bool) -> None:
    title = "a-workflow-with-a-long-name.toml"
    line = written(progress_line(mixed(), 1_700_000_200.0, title, width, UNICODE, least=least))
    if width >= 40:
        assert cell_len(line) == width
        assert "RUNNING" in line
        assert "12/23" in line
        assert ("at least 0:" in line) is least


@given(st.integers(30, 220))
def test_counts_are_never_cut(width: int) -> None:
    counts = look_counts(mixed())
    line = written(counts_line(counts, 1, width, UNICODE))
    assert cell_len(line) <= width
    for look, count in counts.items():
        if count:
            assert f"{UNICODE.sign(look)}{count}" in line or f"{look.value} {count}" in line


def test_zero_counts_go_before_words_do() -> None:
    counts = look_counts(mixed())
    assert "retry 0" in written(counts_line(counts, 0, 200, UNICODE))
    narrow = written(counts_line(counts, 0, 80, UNICODE))
    assert "retry" not in narrow
    assert "FAIL 1" in narrow
    assert "FAIL" not in written(counts_line(counts, 0, 40, UNICODE))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((40, 10), Arrangement.MICRO),
        ((80, 24), Arrangement.SMALL),
        ((80, 50), Arrangement.STACK),
        ((200, 20), Arrangement.SIDE),
        ((100, 30), Arrangement.GRID),
        ((200, 60), Arrangement.LARGE),
        ((30, 4), Arrangement.LINE),
    ],
)
def test_the_arrangement_follows_width_and_height(size: tuple[int, int], expected: Arrangement) -> None:
    assert arrangement_for(*size) is expected


@given(st.integers(20, 300), st.integers(5, 100), st.sampled_from(Pane), st.booleans())
def test_the_focused_pane_can_be_reached_at_every_size_but_a_line(
    width: int, height: int, pane: Pane, zoomed: bool
) -> None:
    lower = pane if pane is not Pane.UNITS else Pane.LOG
    shown = panes_shown(arrangement_for(width, height), lower=lower, lowest=lower, focused=pane, zoomed=zoomed)
    assert pane in shown
