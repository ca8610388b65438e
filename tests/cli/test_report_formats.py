"""Reports as pure text: what CI servers, wikis and scripts read of a run, hostile units included."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from told import Told, command

from qtui.attached import AttachedSession
from qtui.cli.junit import junit
from qtui.cli.markdown import markdown, plain
from qtui.cli.rundata import cut_starts, run_data
from qtui.core.events import ConfirmRequested, JournalChanged, UnitReady, UnitReset, UnitSubmitted
from qtui.core.model import ExecutionMode, RunState, UnitError, UnitState
from qtui.core.regress import Missed, Regressions
from qtui.core.settling import CUT as BY_SIGNAL
from qtui.core.state import UnitView

HOSTILE = "a\x1b]52;c;eA==\x07\u202eb\x00\ufffe<b>&\"'|`]]>"


def silent(unit: UnitView) -> Sequence[str]:
    return ()


@pytest.fixture
def told() -> Told:
    run = Told(
        command("good"),
        command("bad"),
        command("lax", allow_failure=True),
        command("slow"),
        command("after", "bad"),
        command("dropped"),
    )
    run.starts("good").ends("good").fails("bad", traceback="line 1\nline 2").fails("lax", 4)
    run.starts("slow").ends("slow", UnitState.TIMEOUT, cause="timed out after 2 s")
    run.ends("after", UnitState.SKIPPED, cause="bad failed").ends(
        "dropped", UnitState.CANCELED, cause="canceled by you"
    )
    return run.over(RunState.FAILED, 1)


def suite_of(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    return suite


def test_junit_has_a_case_for_each_unit_and_counts_them(told: Told) -> None:
    suite = suite_of(junit("r1", told.view, 200.0, silent))

    verdicts = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert verdicts == {
        "good": [],
        "bad": ["failure"],
        "lax": ["skipped"],
        "slow": ["failure"],
        "after": ["skipped"],
        "dropped": ["error"],
    }
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "2",
        "errors": "1",
        "skipped": "2",
    }


def test_junit_keeps_to_the_names_and_the_order_of_the_schema(told: Told) -> None:
    suite = suite_of(junit("r1", told.view, 200.0, silent))

    assert set(suite.keys()) == {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}
    assert [child.tag for child in suite] == ["properties"] + ["testcase"] * 6
    for case in suite.iter("testcase"):
        assert set(case.keys()) == {"name", "classname", "time"}
        assert all(set(child.keys()) <= {"message", "type"} for child in case)
    assert suite.get("timestamp") == "1970-01-01T00:01:40"
    assert suite.get("time") == "10.000"


ATTRIBUTES = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"time", "skipped", "timestamp"}),
    "properties": (set(), set()),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name"}, {"time", "classname"}),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "skipped": (set(), {"type", "message"}),
}
"""Of each element, the attributes that Jenkins' schema requires, and of those that it allows the ones we use."""

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped"},
}


def follow_the_schema(element: ET.Element) -> None:
    """Fail for what is not as the schema of Jenkins and Surefire has it."""
    required, allowed = ATTRIBUTES[element.tag]
    assert required <= set(element.keys()) <= required | allowed, element.tag
    assert {child.tag for child in element} <= CHILDREN.get(element.tag, set()), element.tag
    if element.tag not in ("failure", "error"):
        assert not (element.text or "").strip(), f"{element.tag} has text"
    if (seconds := element.get("time")) is not None:
        assert re.fullmatch(r"[0-9]+\.[0-9]{3}", seconds)
    if element.tag == "testsuite":
        cases = list(element.iter("testcase"))
        kinds = {"tests": len(cases)} | {
            kind: sum(case.find(tag) is not None for case in cases)
            for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
        }
        assert {kind: int(element.get(kind, "")) for kind in kinds} == kinds
        assert next(child.tag for child in element) == "properties"
    if element.tag == "testcase":
        assert len(element) <= 1, "a case that is both skipped and failed counts twice"
    for child in element:
        follow_the_schema(child)


@pytest.mark.parametrize("lost", [False, True])
def test_junit_is_what_the_schema_of_ci_servers_allows(told: Told, lost: bool) -> None:
    hostile = Told(command(HOSTILE), command("cut"), name=HOSTILE).fails(HOSTILE, traceback=HOSTILE).starts("cut")
    for run in (told, hostile):
        follow_the_schema(ET.fromstring(junit("r1", run.view, 200.0, lambda unit: [HOSTILE], lost=lost)))


def test_a_failure_has_its_cause_the_last_lines_and_the_traceback(told: Told) -> None:
    suite = suite_of(junit("r1", told.view, 200.0, lambda unit: ["printed by", unit.id]))

    failure = suite.find("testcase[@name='bad']/failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("failed: exit 3", "exit")
    assert failure.text == "printed by\nbad\nline 1\nline 2"
    timeout = suite.find("testcase[@name='slow']/failure")
    assert timeout is not None
    assert timeout.get("message") == "timeout: timed out after 2 s"


def test_hostile_text_is_still_xml_and_steers_nothing() -> None:
    run = Told(command(HOSTILE), name=HOSTILE).fails(HOSTILE, traceback=HOSTILE).over(RunState.FAILED, 1)
    text = junit("r1", run.view, 200.0, lambda unit: ["]]><fake/>", "\ufffe"])

    suite = suite_of(text)
    assert "\x1b" not in text and "\u202e" not in text and "\x00" not in text
    assert suite.find(".//fake") is None
    case = suite.find("testcase")
    assert case is not None
    assert case.get("name") == "ab\ufffd<b>&\"'|`]]>"


def test_what_ran_when_the_process_was_lost_is_an_error_and_what_had_not_begun_is_skipped() -> None:
    run = Told(command("cut"), command("never", "cut")).starts("cut")
    suite = suite_of(junit("r1", run.view, 9e9, silent, lost=True))

    assert [child.tag for child in suite.iter() if child.tag in ("error", "skipped")] == ["error", "skipped"]
    assert suite.get("time") == "1.000"  # up to the last that is known, not until now
    took = suite.find("properties/property[@name='took']")
    assert took is not None and took.get("value") == "at least 1.00s"


def test_the_time_of_what_ran_when_the_process_was_lost_is_said_to_be_the_least() -> None:
    run = Told(command("a"), command("b")).starts("a", at=101.0).starts("b", at=123.5)
    suite = suite_of(junit("r1", run.view, 9e9, silent, lost=True))

    assert [case.get("time") for case in suite.iter("testcase")] == ["22.500", "0.000"]
    assert [error.get("message") for error in suite.iter("error")] == [
        "interrupted: ran when its process was lost, for at least 22.5s",
        "interrupted: ran when its process was lost",
    ]
    assert markdown("r1", run.view, 9e9, silent, lost=True).splitlines()[-2:] == [
        "| a | interrupted | 1 | at least 22.5s | ran when its process was lost |",
        "| b | interrupted | 1 |  | ran when its process was lost |",
    ]


def test_what_a_signal_has_cut_is_interrupted_with_its_time_in_every_report(tmp_path: Path) -> None:
    run = Told(command("a"), command("b", "a")).starts("a", at=101.0)
    run.add(UnitReset(0, 2, BY_SIGNAL, 123.0)).over(RunState.INTERRUPTED, 143)
    with closing(AttachedSession(run.recorded(tmp_path), read_only=True)) as session:
        starts = cut_starts(session, session.view())

    data = run_data("r1", run.view, 200.0, starts=starts)
    assert data["counts"] == {"pending": 1, "interrupted": 1}
    assert [(unit["state"], unit["started"], unit["duration"]) for unit in data["units"]] == [
        ("interrupted", 101.0, 22.0),
        ("pending", None, None),
    ]
    case, waits = suite_of(junit("r1", run.view, 200.0, silent, starts=starts)).iter("testcase")
    assert (case.get("time"), [child.tag for child in case]) == ("22.000", ["error"])
    assert case[0].get("message") == "interrupted: cut by a signal"
    assert [child.tag for child in waits] == ["skipped"]
    rows = markdown("r1", run.view, 200.0, silent, starts=starts).splitlines()
    assert "| a | interrupted | 1 | 22.0s | cut by a signal |" in rows


def test_the_time_of_an_attempt_before_the_one_that_was_cut_is_not_taken_for_its_time(tmp_path: Path) -> None:
    run = Told(command("a")).fails("a")
    run.add(UnitReset(0, 2, "retried by you", 104.0), UnitSubmitted(0, 2, ExecutionMode.COMMAND, 1, 105.0))
    run.add(UnitReset(0, 3, BY_SIGNAL, 106.0)).over(RunState.INTERRUPTED, 143)
    with closing(AttachedSession(run.recorded(tmp_path), read_only=True)) as session:
        assert cut_starts(session, session.view()) == {}


def test_json_data_tells_states_counts_and_causes(told: Told) -> None:
    data = run_data("r1", told.view, 200.0)

    assert (data["run"], data["state"], data["exit_code"]) == ("r1", "failed", 1)
    assert data["counts"] == {"completed": 1, "failed": 2, "timeout": 1, "skipped": 1, "canceled": 1}
    bad = next(unit for unit in data["units"] if unit["id"] == "bad")
    assert (bad["state"], bad["attempt"], bad["duration"]) == ("failed", 1, 2.0)
    assert bad["error"] == {"type": "exit", "message": "exit 3", "exit_code": 3}
    assert [unit["id"] for unit in data["units"] if unit["allowed"]] == ["lax"]


def test_a_lost_run_is_not_said_to_be_running() -> None:
    run = Told(command("cut"), command("never", "cut")).starts("cut")

    assert run_data("r1", run.view, 200.0)["state"] == "running"
    lost = run_data("r1", run.view, 200.0, lost=True)
    assert (lost["state"], lost["counts"]) == ("lost", {"pending": 1, "interrupted": 1})
    assert [unit["state"] for unit in lost["units"]] == ["interrupted", "pending"]
    assert lost["lost"] == {"message": "the process that ran it is gone", "command": "qtui resume r1"}
    assert run_data("r1", run.view, 200.0)["lost"] is None
    assert "- Took: at least 1.00s" in markdown("r1", run.view, 9e9, silent, lost=True).splitlines()


def test_a_unit_that_asks_says_what_and_how_to_answer() -> None:
    run = Told(command("it's"), command("b"))
    run.add(UnitReady(0, 101.0), ConfirmRequested(0, "Sure?", 101.0), JournalChanged("the disk is full", 102.0))
    data = run_data("r1", run.view, 200.0)

    assert (data["asking"], data["unsaved"]) == (1, "the disk is full")
    asks, silent_one = (unit["asks"] for unit in data["units"])
    assert silent_one is None
    assert asks["question"] == "Sure?"
    assert shlex.split(asks["command"]) == ["qtui", "approve", "r1", "it's"]
    assert [unit["asks"] for unit in run_data("r1", run.view, 200.0, lost=True)["units"]] == [None, None]


def test_markdown_has_the_end_the_failures_and_all_units(told: Told) -> None:
    lines = markdown("r1", told.view, 200.0, lambda unit: [f"last words of {unit.id}"]).splitlines()

    assert lines[0] == "# flow: failed"
    assert "- Exit code: 1" in lines
    assert "### lax (allowed to fail)" in lines
    assert "last words of bad" in lines
    assert "| bad | failed | 1 | 2.00s | exit 3 |" in lines
    assert sum(line.startswith("| ") for line in lines) == 7


def test_what_is_worse_than_before_has_a_section_of_its_own_if_there_is_any(told: Told) -> None:
    worse = Regressions(missed=(Missed(("a*", "b"), "output <x> is missing"),))
    lines = markdown("r1", told.view, 200.0, silent, worse=worse).splitlines()

    place = lines.index("## Worse than before")
    assert lines[place + 2] == r"- cache missed, though no input changed\: a\*, b\: output \<x\> is missing"
    assert lines[place + 3 : place + 5] == ["", "## Units"]
    assert "## Worse than before" not in markdown("r1", told.view, 200.0, silent)


def test_output_cannot_end_the_block_of_markdown_it_stands_in() -> None:
    run = Told(command("bad")).fails("bad").over(RunState.FAILED, 1)
    lines = markdown("r1", run.view, 200.0, lambda unit: ["`````", "# no heading"]).splitlines()

    begin, end = lines.index("``````text"), lines.index("``````")
    assert begin < lines.index("# no heading") < end


@pytest.mark.parametrize(
    "name",
    ["a|b", "| - |", "`x`", "``", "[x](javascript:1)", "![i](http://h/i.png)", "<img src=x>", "www.h.org", "x\\", "*"],
)
def test_a_row_of_the_table_stays_one_whatever_a_unit_is_called(name: str) -> None:
    error = UnitError("exit", f"{name}\n| forged | completed |", "", 1)
    run = Told(command(name)).starts(name).ends(name, UnitState.FAILED, error=error).over(RunState.FAILED, 1)
    text = markdown("r1", run.view, 200.0, silent)

    (row,) = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Unit")]
    cells = re.split(r"(?<!\\)(?:\\\\)*\|", row)
    assert len(cells) == 7, "five cells, and nothing beside them"
    bare = re.sub(r"\\[^\w\s]", "", row.replace("|", ""))
    assert not re.search(r"[`<>\[\]*]|http:|www\.", bare), "nothing is left that is markup"


def test_names_are_no_markup_in_markdown() -> None:
    assert plain("a|b*c_[x](http://y) <b> @me \x1b[31mred\n# h") == (r"a\|b\*c\_\[x\]\(http\://y\) \<b\> \@me red \# h")
