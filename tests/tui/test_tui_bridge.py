"""What the bridge counts by following events equals what is counted anew, and what log lines are found."""

from __future__ import annotations

from collections import Counter

from scenes import CALL, diamond, fan_out, nightly, unit
from scripted import ScriptedSession

from qtui.core.model import UnitState
from qtui.core.stimuli import CancelRequested
from qtui.tui.bridge import Bridge
from qtui.tui.laying import lay_out
from qtui.tui.loglines import LINE_BYTES, PIECE, LogLines
from qtui.tui.tally import TROUBLED
from qtui.tui.text import parse_line


def bridged(session: ScriptedSession) -> Bridge:
    return Bridge(session, lay_out(session.plan))


def assert_consistent(session: ScriptedSession, bridge: Bridge) -> None:
    view = session.view()
    layout = lay_out(session.plan)
    for bundle, counts in zip(layout.bundles, bridge.tree.counts, strict=True):
        assert +counts == Counter(view.states[unit] for unit in bundle.units)
    members = {unit for bundle in layout.bundles for unit in bundle.units}
    assert bridge.tree.exposed == {member for member in members if view.states[member] in TROUBLED}
    assert len(bridge.holding) == view.active


def test_counts_follow_a_run_step_by_step() -> None:
    session = fan_out(12)
    bridge = bridged(session)
    assert_consistent(session, bridge)
    for step in (
        lambda: session.completes("list_files"),
        lambda: session.fails("extract[0]"),
        lambda: session.completes("extract[1]", "extract[2]"),
        lambda: session.post(CancelRequested((session.number("extract[3]"),))),
        lambda: session.stops("extract[3]"),
        lambda: session.after(8),
    ):
        step()
        bridge.advance()
        assert_consistent(session, bridge)


def test_steps_of_many_units_in_one_frame_count_as_one_by_one() -> None:
    session = fan_out(12)
    bridge = bridged(session)
    session.completes("list_files", "extract[1]", "extract[2]")
    session.fails("extract[0]")
    session.post(CancelRequested((session.number("extract[3]"),)))
    bridge.advance()
    assert_consistent(session, bridge)
    late = bridged(session)
    for index in ("holding", "failed", "fallbacks", "cached", "allowed", "asking"):
        assert getattr(bridge, index) == getattr(late, index), index
    assert bridge.failed | bridge.holding


def test_a_bridge_that_comes_late_knows_the_same() -> None:
    session = nightly()
    bridge = bridged(session)
    assert_consistent(session, bridge)
    assert [session.plan.table[number].id for number in bridge.fallbacks] == ["fetch.meta"]


def test_a_change_names_the_units_and_whether_rows_come_or_go() -> None:
    session = fan_out(12)
    bridge = bridged(session)
    bridge.advance()
    session.completes("list_files")
    change = bridge.advance()
    assert session.number("list_files") in change.units
    assert not change.exposure
    session.fails("extract[0]")
    assert bridge.advance().exposure
    assert not bridge.advance().events


def logged(text: str | bytes) -> LogLines:
    session = ScriptedSession([unit("a", action=CALL)])
    session.prints("a", text)
    lines = LogLines(session, 0, 1)
    while lines.advance():
        pass
    return lines


def shown(lines: LogLines) -> list[str]:
    return [lines.text(line) for line in range(len(lines))]


def test_lines_are_found_as_they_come() -> None:
    session = ScriptedSession([unit("a")])
    lines = LogLines(session, 0, 1)
    assert not lines.advance()
    assert len(lines) == 0
    session.prints("a", "one\ntw")
    assert lines.advance()
    assert shown(lines) == ["one", "tw"]
    session.prints("a", "o\nthree\n")
    lines.advance()
    assert shown(lines) == ["one", "two", "three"]


def test_empty_lines_count() -> None:
    assert shown(logged("\n\na\n")) == ["", "", "a"]


def test_lines_across_pieces_are_whole() -> None:
    text = "x" * (PIECE - 3) + "\nabcdef\n"
    lines = logged(text)
    assert len(lines) == 2
    assert lines.text(1) == "abcdef"


def test_of_a_long_line_only_the_beginning_is_read() -> None:
    assert len(logged("y" * 100_000 + "\nz\n").text(0)) == LINE_BYTES


def test_of_a_progress_bar_however_long_the_last_part_is_read() -> None:
    (line,) = shown(logged("".join(f"{percent}%\r" for percent in range(10_000)) + "done\n"))
    assert "".join(span.text for span in parse_line(line)) == "done"


def test_bytes_that_are_no_text_do_not_break_the_log() -> None:
    assert shown(logged(b"\xff\xfe\x9b31m ok\n")) == ["\ufffd\ufffd\ufffd31m ok"]


def test_states_of_members_in_trouble_are_those_people_must_see() -> None:
    assert {UnitState.FAILED, UnitState.TIMEOUT, UnitState.RETRYING, UnitState.CANCELING} == TROUBLED
    assert diamond().view().active == 1
