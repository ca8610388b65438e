"""A run as JUnit XML, as CI servers read it: one suite, each unit a test case."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from qtui.cli.rundata import (
    NO_STARTS,
    Starts,
    is_allowed,
    moment_of,
    run_state,
    seconds_of,
    told_cause,
    took,
    unit_state,
)
from qtui.cli.words import duration
from qtui.core.cutting import INTERRUPTED
from qtui.core.model import FAILURES, UnitState
from qtui.core.state import RunView, UnitView
from qtui.tui.text import clean, clean_lines

Tail = Callable[[UnitView], Sequence[str]]
"""The last lines that a unit has written, fit for a terminal."""

# what XML 1.0 has no way to write; `clean` has taken the controls out
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def junit(run: str, view: RunView, now: float, tail: Tail, *, lost: bool = False, starts: Starts = NO_STARTS) -> str:
    """The report. Units that failed are failures, units that were canceled or cut errors; those that were skipped, have
    not run, or may fail are skipped, with the reason. The time of a unit that ran when its run was lost is the least
    that it can have been, and its message says so."""
    at, name = moment_of(view, now, lost), _text(view.name or run)
    cases = [_case(unit, name, at, lost, starts, tail) for unit in view.units]
    found = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    counts = {"tests": str(len(cases)), "failures": str(found["failure"]), "errors": str(found["error"])}
    seconds = _seconds(view.elapsed(at))
    suites = ET.Element("testsuites", {"name": name, **counts, "time": seconds})
    suite = ET.SubElement(
        suites, "testsuite", {"name": name, **counts, "skipped": str(found["skipped"]), "time": seconds}
    )
    if view.started_at is not None:
        # the schema knows no time zone: UTC, as its own documentation says
        suite.set("timestamp", datetime.fromtimestamp(view.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    properties = ET.SubElement(suite, "properties")
    for key, value in (("run", run), ("state", run_state(view, lost)), ("took", took(view, at, lost, duration))):
        ET.SubElement(properties, "property", {"name": key, "value": _text(value)})
    suite.extend(cases)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _case(unit: UnitView, suite: str, at: float, lost: bool, starts: Starts, tail: Tail) -> ET.Element:
    seconds = _seconds(seconds_of(unit, at, starts) or 0.0)
    case = ET.Element("testcase", {"name": _text(unit.id), "classname": suite, "time": seconds})
    state = unit_state(unit, lost)
    why = told_cause(unit, at, lost, duration)
    cause = f"{state}: {why}" if why else state
    if is_allowed(unit):
        _add(case, "skipped", f"{cause} (allowed to fail)")
    elif unit.state in FAILURES:
        _add(case, "failure", cause, unit.error.type if unit.error is not None else state, _story(unit, tail))
    elif unit.state is UnitState.CANCELED or state == INTERRUPTED:
        _add(case, "error", cause, state, "")
    elif unit.state is not UnitState.COMPLETED:
        _add(case, "skipped", cause)
    return case


def _add(case: ET.Element, kind: str, message: str, of_type: str = "", text: str = "") -> None:
    element = ET.SubElement(case, kind, {"message": _text(message)})
    if of_type:
        element.set("type", _text(of_type))
    element.text = text or None


def _story(unit: UnitView, tail: Tail) -> str:
    traceback = clean_lines(unit.error.traceback) if unit.error is not None and unit.error.traceback else []
    return _UNWRITABLE.sub("\ufffd", "\n".join([*tail(unit), *traceback]))


def _text(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", clean(text))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
