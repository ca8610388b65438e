"""Reports as pure text: what CI servers, wikis and scripts read of a run, hostile units included."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest
from told import Told, command

from qtui.cli.junit import junit
from qtui.cli.markdown import markdown, plain
from qtui.cli.rundata import run_data
from qtui.core.model import RunState, UnitState
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


def test_markdown_has_the_end_the_failures_and_all_units(told: Told) -> None:
    lines = markdown("r1", told.view, 200.0, lambda unit: [f"last words of {unit.id}"]).splitlines()

    assert lines[0] == "# flow: failed"
    assert "- Exit code: 1" in lines
    assert "### lax (allowed to fail)" in lines
    assert "last words of bad" in lines
    assert "| bad | failed | 1 | 2.00s | exit 3 |" in lines
    assert sum(line.startswith("| ") for line in lines) == 7


def test_output_cannot_end_the_block_of_markdown_it_stands_in() -> None:
    run = Told(command("bad")).fails("bad").over(RunState.FAILED, 1)
    lines = markdown("r1", run.view, 200.0, lambda unit: ["`````", "# no heading"]).splitlines()

    begin, end = lines.index("``````text"), lines.index("``````")
    assert begin < lines.index("# no heading") < end


def test_names_are_no_markup_in_markdown() -> None:
    assert plain("a|b*c_[x](http://y) <b> @me \x1b[31mred\n# h") == (r"a\|b\*c\_\[x\]\(http\://y\) \<b\> \@me red \# h")
