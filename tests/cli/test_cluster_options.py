"""``--executor``, ``--address`` and ``--insecure``: where a run has its units run."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.cli.options import parse
from qtui.cli.resume import elsewhere

Write = Callable[..., Path]
Qtui = Callable[..., subprocess.CompletedProcess[str]]

FAR = "tcp://192.0.2.1:8786"  # an address for documentation: nobody is there
FLOW = "[units.a]\ncall = 'steps:note'\n[units.b]\ncall = 'steps:note'\nmode = 'thread'"
STEPS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

def north(): return ThreadPoolExecutor(1, "north")
def south(): return ThreadPoolExecutor(1, "south")

def note(context):
    with open("ran", "a") as file:
        print(context.unit.id, threading.current_thread().name.split("_")[0], file=file)
    if context.unit.id == "a" and not Path("mended").exists():
        raise OSError("not yet")
"""


def ran(path: Path) -> list[str]:
    """Who ran in which executor, in order; threads of qtui's own have other names."""
    lines = path.with_name("ran").read_text().splitlines()
    return [line for line in lines if line.endswith(("north", "south"))]


def test_an_executor_is_for_units_without_a_mode_and_a_resume_uses_the_same_or_another(
    workflow: Write, called: Qtui
) -> None:
    path = workflow(FLOW, steps=STEPS)

    assert called("run", path, "--executor", "steps:north", "--ui", "plain").returncode == 1
    assert called("resume", "--ui", "plain").returncode == 1
    assert called("resume", "--executor", "steps:south", "--ui", "plain").returncode == 1
    path.with_name("mended").touch()
    assert called("resume", "--ui", "plain").returncode == 0

    assert ran(path) == ["a north", "a north", "a south", "a north"]


@pytest.mark.parametrize("flags", [[], ["--detach"], ["--ui", "json"]])
def test_a_cluster_on_another_machine_is_refused_before_there_is_a_run(
    workflow: Write, called: Qtui, state_home: Path, flags: list[str]
) -> None:
    done = called("run", workflow(FLOW, steps=STEPS), "--executor", "dask", "--address", FAR, *flags)

    assert done.returncode == 2
    assert f"{FAR} is another machine, and the connection is not encrypted" in done.stderr
    assert not list(state_home.glob("qtui/runs/*"))


def test_a_plan_and_a_check_tell_where_units_would_run(workflow: Write, called: Qtui) -> None:
    path = workflow(FLOW, steps=STEPS)

    planned = called("plan", path, "--executor", "dask", "--address", FAR)
    data = json.loads(called("plan", path, "--executor", "dask", "--json").stdout)
    checked = called("check", path, "--executor", "steps:north")

    assert f"custom units: dask at {FAR}\n" in planned.stdout
    assert "expected: unknown" in planned.stdout
    assert (data["executor"], data["address"]) == ("dask", None)
    assert {unit["id"]: unit["mode"] for unit in data["units"]} == {"a": "custom", "b": "thread"}
    assert checked.stdout.endswith("; custom units: steps:north\n")
    assert "custom units: dask, on this machine\n" in called("plan", path, "--executor", "dask").stdout
    assert "custom" not in called("plan", path).stdout + called("check", path).stdout


def test_a_plan_says_which_size_of_the_cluster_it_goes_by(workflow: Write, called: Qtui) -> None:
    units = "".join(f"[units.u{n}]\ncall = 'steps:note'\nestimate = '1s'\n" for n in range(9))
    path = workflow(f"[workflow]\ncpus = 2\n{units}", steps=STEPS)

    here = called("plan", path, "--executor", "dask").stdout
    far = called("plan", path, "--executor", "dask", "--address", FAR).stdout

    assert "9 units would run, 2 at a time\n" in here
    assert "expected: 5.00s" in here
    assert "assumed: a cluster of 2 threads on this machine\n" in here
    assert "units at a time on the cluster, whose size only a run is told\n" in far


def test_a_package_that_cannot_be_imported_is_told_and_there_is_no_run(
    workflow: Write, qtui: Qtui, state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "distributed"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('it is for another Python')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))

    done = qtui("run", workflow(FLOW, steps=STEPS), "--executor", "dask")

    assert done.returncode == 2
    assert "the executor dask cannot be used, its package does not load: ImportError: it is for an" in done.stderr
    assert not list(state_home.glob("qtui/runs/*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--executor", "dsak"], '--executor: there is no executor "dsak": there are dask (did you mean "dask"?)'),
        (["--executor", "steps:east"], '--executor: steps has no "east"'),
        (["--address", FAR], "--address is about a cluster, and there is none (add --executor dask)"),
        (["--insecure"], "--insecure is about a cluster, and there is none (add --executor dask)"),
        (["--executor", "dask", "--address", "head"], '"head" is not an address such as tls://10.0.0.5:8786'),
        (["--executor", ""], '"" is neither a name such as dask nor module:function'),
    ],
)
@pytest.mark.parametrize("file", ["flow.toml", "flow.py"])
def test_flags_that_make_no_sense_are_told(
    workflow: Write, called: Qtui, file: str, flags: list[str], message: str
) -> None:
    workflow(FLOW, steps=STEPS)
    workflow("import qtui, steps\nw = qtui.Workflow('w')\nw.add_unit(steps.note)", "flow.py")

    done = called("check", file, *flags)

    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("begun", "resumed", "expected"),
    [
        ("--executor dask --address tcp://a:1 --insecure", "", ("dask", "tcp://a:1", True)),
        ("--executor dask --address tcp://a:1 --insecure", "--address tcp://b:1", ("dask", "tcp://b:1", False)),
        ("--executor dask --address tcp://a:1", "--address tcp://b:1 --insecure", ("dask", "tcp://b:1", True)),
        ("--executor dask --address tcp://a:1 --insecure", "--executor dask", ("dask", None, False)),
        ("--executor dask --address tcp://a:1", "--insecure", ("dask", "tcp://a:1", True)),
        ("--address tcp://a:1", "--executor p:f", ("p:f", None, False)),
        ("", "--executor dask --address tcp://b:1", ("dask", "tcp://b:1", False)),
    ],
)
def test_what_was_said_of_one_cluster_is_not_meant_for_another(
    begun: str, resumed: str, expected: tuple[str | None, str | None, bool]
) -> None:
    given: argparse.Namespace = parse(["run", "flow.toml", *begun.split()])

    elsewhere(given, parse(["resume", *resumed.split()]))

    assert (given.executor, given.address, given.insecure) == expected
