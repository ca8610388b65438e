"""A run goes on in the process that began it, and in which something of it may be left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qtui import Workflow, WorkflowManager
from qtui.core.errors import UsageError
from qtui.core.events import Event, UnitAbandoned
from qtui.core.model import UnitState
from qtui.core.resuming import Resumption
from qtui.engine.bus import EventBus
from qtui.live import LiveSession

CAP = 30.0


class Here:
    """A program that begins runs and resumes them."""

    def __init__(self, state: Path) -> None:
        self.manager = WorkflowManager(bus=EventBus(), state_dir=state)

    def start(self, workflow: Workflow) -> LiveSession:
        return self.manager.start(workflow.definition())

    def run(self, workflow: Workflow) -> str:
        return self.end(self.start(workflow))

    def resume(self, workflow: Workflow, **wishes: Any) -> LiveSession:
        return self.manager.resume(None, workflow.definition(), **wishes).begin()

    def told(self, workflow: Workflow) -> dict[str, str]:
        prepared = self.manager.resume(None, workflow.definition())
        prepared.abandon()
        how: Resumption = prepared.resumption
        return {how.view.plan.table[number].id: why for number, why in how.reasons.items()}

    def end(self, session: LiveSession) -> str:
        end = session.wait(CAP)
        session.close()
        assert end is not None, "it never ended"
        return str(end.state)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path / "state")
    yield here
    here.manager.close()


def nothing() -> None:
    """Stands for work."""


def noted(file: str, value: object) -> None:
    with Path(file).open("a") as notes:
        print(repr(value), file=notes)


# -- what units had added ------------------------------------------------------------------------------------


def test_what_adds_units_and_was_away_runs_again_and_hands_on_the_new_values(here: Here, tmp_path: Path) -> None:
    value, seen = str(tmp_path / "value"), str(tmp_path / "seen")
    Path(value).write_text("old")

    def root(context: Any) -> int:
        context.add_unit(lambda: Path(value).read_text() or None, name="u")
        context.add_unit(lambda context: noted(seen, context["u"]), dependencies=["u"], name="reads")
        return 1

    whole, without = Workflow("grows"), Workflow("grows")
    for workflow in (whole, without):
        workflow.unit(name="other")(nothing)
    whole.unit(name="root")(root)
    assert here.run(whole) == "completed"
    assert here.end(here.resume(without)) == "completed"
    Path(value).write_text("")

    assert here.told(whole)["root"] == "was out of the workflow for a while, and what it had added is gone"
    session = here.resume(whole)
    assert session.wait(CAP) is not None
    view = session.view()
    unit = view.unit(view.plan.numbers["u"])

    assert Path(seen).read_text().split() == ["'old'", "None"]
    assert unit.attempt == 2
    assert session.result("u") is None
    session.close()
    later = here.resume(whole, units=["other"])
    assert later.wait(CAP) is not None
    assert later.result("u") is None, "nor is the old value in the record"


# -- what still runs -------------------------------------------------------------------------------------------


def test_a_unit_waits_for_its_own_attempt_that_could_not_be_stopped(here: Here) -> None:
    begun, release = threading.Semaphore(0), threading.Event()
    together, most = 0, list[int]()

    def stubborn() -> None:
        nonlocal together
        together += 1
        most.append(together)
        begun.release()
        release.wait(CAP)
        together -= 1

    workflow = Workflow("stubborn")
    workflow.unit(name="stubborn", mode="thread")(stubborn)
    workflow.unit(name="after", mode="thread")(nothing)
    session = here.start(workflow)
    assert begun.acquire(timeout=CAP)
    session.close()

    session = here.resume(workflow)
    feed, events = session.feed(), list[Event]()
    while not any(isinstance(event, UnitAbandoned) for event in events):
        news = feed.take(CAP)
        assert news, "nobody knows that it goes on"
        events += [record.event for record in news]
    assert session.view().unit(session.plan.numbers["stubborn"]).state is UnitState.PENDING
    release.set()

    assert here.end(session) == "completed"
    assert most == [1, 1], "never two at a time"


# -- prepared resumes ------------------------------------------------------------------------------------------


def failing() -> None:
    raise ValueError("always")


def test_what_was_abandoned_cannot_be_begun_and_keeps_the_run_from_nobody(here: Here) -> None:
    workflow = Workflow("fails")
    workflow.unit(name="failing")(failing)
    assert here.run(workflow) == "failed"
    prepared = here.manager.resume(None, workflow.definition())
    prepared.abandon()

    with pytest.raises(UsageError, match="begun or abandoned already"):
        prepared.begin()
    prepared.abandon()

    assert here.end(here.resume(workflow)) == "failed"


def test_what_was_begun_is_neither_begun_again_nor_abandoned(here: Here) -> None:
    workflow = Workflow("fails")
    workflow.unit(name="failing")(failing)
    here.run(workflow)
    prepared = here.manager.resume(None, workflow.definition())
    session = prepared.begin()

    prepared.abandon()
    with pytest.raises(UsageError, match="begun or abandoned already"):
        prepared.begin()

    assert here.end(session) == "failed"
