"""What `qtui` alone offers: the workflows of a directory, and runs with what can be done with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qtui.cli.picker import offer, run_entry, workflows_in
from qtui.listing import KnownRun
from qtui.store.history import RunSummary
from qtui.store.rundir import here
from qtui.tui.picking import ATTACH, REPLAY, RESUME, RUN, Choice

NOW = 1_700_000_000.0
UNITS = '[units.a]\nrun = "true"\n'


def known(run: str, state: str = "completed", *, ended: float | None = NOW - 120, **keys: object) -> KnownRun:
    summary = RunSummary(
        run=run, name="nightly", source=str(keys.pop("source", "")), directory="", began=NOW - 300, ended=ended,
        state=state, counts={"completed": 4} if ended else {},
    )  # fmt: skip
    return KnownRun(summary, **keys)  # type: ignore[arg-type]


def names(directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in workflows_in(directory)]


def test_workflows_are_known_by_their_names_or_by_their_units(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    for name in ("qtui.toml", "workflow.toml", "etl.qtui.toml", "any.toml", "workflows/nightly.toml"):
        (tmp_path / name).write_text(UNITS)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "units"\n')
    for name in ("workflow.py", "etl.qtui.py", "other.py"):
        (tmp_path / name).write_text('from qtui import Workflow\nworkflow = Workflow("etl")\n')
    (tmp_path / "test_it.py").write_text('from qtui import Workflow\ndef test():\n    workflow = Workflow("x")\n')
    (tmp_path / "none.qtui.py").write_text("print('no workflow')\n")
    (tmp_path / "workflows/groups.toml").write_text('[groups.g]\nmatrix = { id = ["a"] }\n')
    (tmp_path / "workflows/settings.toml").write_text('[tool]\nx = "[units.a]"\n')
    (tmp_path / "workflows/binary.toml").write_bytes(b"\xff\x00\xfe")
    (tmp_path / "workflows/directory.toml").mkdir()
    assert names(tmp_path) == [
        "qtui.toml", "workflow.toml", "etl.qtui.toml", "any.toml", "workflows/groups.toml", "workflows/nightly.toml",
        "workflow.py", "etl.qtui.py", "other.py",
    ]  # fmt: skip


def test_pipes_broken_links_and_what_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    os.mkfifo(tmp_path / "workflows/pipe.toml")
    os.mkfifo(tmp_path / "qtui.toml")
    (tmp_path / "workflows/link.toml").symlink_to("nowhere")
    assert names(tmp_path) == []
    assert names(tmp_path / "not-there") == []


@pytest.mark.parametrize(
    ("run", "action", "state", "other"),
    [
        (known("r1"), REPLAY, "OK", None),
        (known("r1", "failed"), REPLAY, "FAILED", Choice(RESUME, "r1")),
        (known("r1", "canceled"), REPLAY, "CANCELED", Choice(RESUME, "r1")),
        (known("r1", "interrupted"), RESUME, "INTERRUPTED", None),
        (known("r1", "running", ended=None, holder=here()), ATTACH, "RUNNING", None),
        (known("r1", "running", ended=None), RESUME, "LOST", None),
        (known("r1", "running", ended=None, fault="no database"), "doctor", "UNREADABLE", None),
    ],
)
def test_each_run_has_the_action_that_fits(run: KnownRun, action: str, state: str, other: Choice | None) -> None:
    entry = run_entry(run, NOW)
    assert (entry.choice, entry.state, entry.other) == (Choice(action, "r1"), state, other)


def test_a_workflow_tells_of_its_last_run(tmp_path: Path) -> None:
    path = tmp_path / "qtui.toml"
    path.write_text(UNITS)
    runs = [known("new", "failed", source=path), known("old", source=path), known("other", source="/elsewhere.toml")]
    found = offer(tmp_path, runs, NOW)
    assert [(entry.choice, entry.about) for entry in found.workflows] == [
        (Choice(RUN, "qtui.toml"), "last run FAILED, 2 min ago")
    ]
    assert [entry.choice.target for entry in found.runs] == ["new", "old", "other"]
    assert found.runs[1].about.split() == ["2", "min", "ago", "old", "4", "completed"]


def test_a_workflow_that_runs_tells_since_when(tmp_path: Path) -> None:
    path = tmp_path / "qtui.toml"
    path.write_text(UNITS)
    (entry,) = offer(tmp_path, [known("new", "running", ended=None, source=path, holder=here())], NOW).workflows
    assert entry.about == "last run RUNNING, began 5 min ago"


def here_and(directory: Path, *runs: KnownRun) -> tuple[str, list[Choice | None]]:
    """What is selected first, and which run each workflow of the directory leads to before another is begun."""
    found = offer(directory, runs, NOW)
    return found.first, [entry.live for entry in found.workflows]


def test_a_run_that_goes_on_is_selected_first_then_one_that_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "qtui.toml"
    path.write_text(UNITS)
    live = known("live", "running", ended=None, source=path, holder=here())
    elsewhere = known("elsewhere", "running", ended=None, source="/elsewhere.toml", holder=here())
    lost = known("lost", "running", ended=None, source=path)
    over = known("over", source=path)
    attach = Choice(ATTACH, "live")
    assert here_and(tmp_path, elsewhere, over, live, lost) == ("live", [attach])  # also if a later one has ended
    assert here_and(tmp_path, lost, over, elsewhere) == ("elsewhere", [None])
    assert here_and(tmp_path, lost, over) == ("lost", [None])
    assert here_and(tmp_path, over, lost) == ("", [None])  # it was begun anew
    assert here_and(tmp_path, known("far", "running", ended=None, source="/elsewhere.toml")) == ("", [None])


def test_runs_are_told_apart_in_columns_by_the_ends_of_their_names() -> None:
    ended = run_entry(known("20260101-120000-0f13f2f4"), NOW).about
    begun = run_entry(known("20260101-110000-d0f36b9c", "running", ended=None, holder=here()), NOW).about
    assert ended.index("0f13f2f4") == begun.index("d0f36b9c")


def test_a_name_that_looks_like_an_option_is_none(tmp_path: Path) -> None:
    (tmp_path / "-n.qtui.toml").write_text(UNITS)
    (entry,) = offer(tmp_path, [], NOW).workflows
    assert entry.choice == Choice(RUN, "./-n.qtui.toml")
