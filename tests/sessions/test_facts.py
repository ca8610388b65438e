"""What a session tells of a run besides its units: params, what hides its secrets, and results in words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from recorded_run import RecordedRun

from qtui import Workflow, WorkflowManager
from qtui.attached import AttachedSession
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import QuantumUnit
from qtui.core.portable import plain_value
from qtui.engine.bus import EventBus
from qtui.store.rundir import RunDirectory


def tell() -> dict[str, object]:
    return {"token": "hush-hush", "rows": list(range(3))}


def compute() -> list[str]:
    return ["from a process", "hush-hush"]


class Strange:
    def __repr__(self) -> str:
        raise AssertionError("nobody may ask")


def test_a_live_run_tells_results_without_its_secrets_and_without_running_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "hush-hush")
    workflow = Workflow("facts", params={"day": "monday"}, secrets=["API_TOKEN"])
    workflow.unit(name="tell")(tell)
    workflow.unit(name="compute", mode="process")(compute)
    workflow.unit(name="strange")(Strange)
    workflow.command("fails", run="exit 3")
    with closing(WorkflowManager(bus=EventBus(), state_dir=tmp_path)) as manager:
        session = manager.start(workflow.definition())
        assert session.wait(60) is not None
        told = {unit.id: session.result_text(number) for number, unit in enumerate(session.plan.table)}
        assert told["tell"] == '{"token": "***", "rows": [0, 1, 2]}'
        assert told["compute"] == '["from a process", "***"]'
        assert told["strange"].endswith("Strange>")
        assert told["fails"] == ""
        assert session.facts.params["day"] == "monday"
        assert TextMasker(session.facts.masks).text("Bearer hush-hush") == "Bearer ***"
        session.close()


def test_a_live_run_knows_its_workflows_file_also_once_it_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "flow.toml"
    file.write_text('[units.a]\nrun = "true"\n')
    with closing(WorkflowManager(bus=EventBus(), state_dir=tmp_path / "state")) as manager:
        session = manager.start(manager.load(str(file)))
        assert session.wait(60) is not None
        assert session.facts.source == str(file)
        session.close()
        assert session.facts.source == str(file), "the summary at the end is about earlier runs, too"


def test_who_looks_on_knows_the_params_but_no_results_as_secrets_are_not_known_there(
    start: Callable[..., RecordedRun], directory: RunDirectory
) -> None:
    start(QuantumUnit(id="a"))
    session = AttachedSession(directory)
    try:
        assert session.facts.masks == ()
        assert session.result_text(0) == ""
    finally:
        session.close()


class Told:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Told({self.text})"


def test_what_the_record_keeps_of_strange_values_is_not_cut_inside_of_a_secret() -> None:
    mask = TextMasker(masks_of(["hush-hush"])).text
    for before in range(60, 220):
        for value in (Told("x" * before + "hush-hush" + "y" * 300), {("x" * before + "hush-hush",)}):
            assert "hus" not in plain_value(value, mask)["repr"]
