"""`qtui run` with units in an executor that the workflow names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]
Qtui = Callable[..., subprocess.CompletedProcess[str]]

POOLS = """
import atexit, multiprocessing, os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


class Threads(ThreadPoolExecutor):
    def shutdown(self, wait=True, *, cancel_futures=False):
        super().shutdown(wait, cancel_futures=cancel_futures)
        open("shut-down", "w").close()


def threads():
    return Threads(2)


def processes():
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


def none():
    raise OSError("no cluster today")


def where(context):
    print("printed by", context.unit.id)
    return os.getpid()


def compare(context):
    print("together" if context["first"] == context["second"] == os.getpid() else "apart")
"""

FLOW = """
[workflow]
executor = "{executor}"

[units.first]
call = "pools:where"
mode = "custom"

[units.second]
call = "pools:where"
mode = "thread"

[units.compare]
needs = ["first", "second"]
call = "pools:compare"
mode = "thread"
"""


@pytest.mark.parametrize(("executor", "where"), [("pools:threads", "together"), ("pools:processes", "apart")])
def test_units_run_in_the_executor_that_a_function_beside_the_file_makes(
    workflow: Write, qtui: Qtui, executor: str, where: str
) -> None:
    path = workflow(FLOW.format(executor=executor), pools=POOLS)

    done = qtui("run", path, "--ui", "plain", "--verbose")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "printed by first" in done.stdout
    assert where in done.stdout
    assert path.with_name("shut-down").exists() == (executor == "pools:threads")


def test_the_whole_workflow_may_run_there(workflow: Write, qtui: Qtui) -> None:
    flow = FLOW.format(executor="pools:threads").replace('mode = "thread"', "")
    path = workflow(flow.replace("[workflow]", '[workflow]\nmode = "custom"'), pools=POOLS)

    done = qtui("run", path, "--ui", "json")

    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    started = next(event for event in events if event["event"] == "run_started")
    assert {unit["mode"] for unit in started["units"]} == {"custom"}


def test_an_executor_that_cannot_be_made_fails_its_units_and_says_why(workflow: Write, qtui: Qtui) -> None:
    path = workflow(FLOW.format(executor="pools:none"), pools=POOLS)

    done = qtui("run", path, "--ui", "plain")

    assert done.returncode == 1
    assert "OSError: the executor cannot be made: no cluster today" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.fixture
def registered(tmp_path: Path) -> dict[str, str]:
    """The environment in which a package has registered two executors."""
    package = tmp_path / "site" / "cluster-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: cluster\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[qtui.executors]\ncluster = pools:threads\nbroken = nothere:make\n")
    return {"PYTHONPATH": os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])}


def test_a_package_may_register_an_executor_under_a_name(
    workflow: Write, qtui: Qtui, registered: dict[str, str]
) -> None:
    path = workflow(FLOW.format(executor="cluster"), pools=POOLS)

    done = qtui("run", path, "--ui", "plain", "--verbose", **registered)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "together" in done.stdout


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ("clutser", 'there is no executor "clutser": there are broken, cluster, dask (did you mean "cluster"?)'),
        ("kubernetes", 'there is no executor "kubernetes": there are broken, cluster, dask (write "module:factory"'),
        ("broken", "loading the executor broken failed"),
        ("pools:thread", 'pools has no "thread" (did you mean "threads"?)'),
        ("nothere:make", "there is no module nothere"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_an_executor_that_is_not_to_be_found_is_an_error_of_the_file(
    workflow: Write, qtui: Qtui, registered: dict[str, str], command: str, executor: str, message: str
) -> None:
    path = workflow(FLOW.format(executor=executor), pools=POOLS)

    done = qtui(command, path, **registered)

    assert done.returncode == 2
    assert "flow.toml:3: workflow.executor: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workflow_made_in_python_names_its_executor_too(workflow: Write, qtui: Qtui) -> None:
    text = "import qtui, pools\nw = qtui.Workflow('w', mode='custom', executor='{}')\nw.add_unit(pools.where)\n"
    good = workflow(text.format("pools:threads"), "good.py", pools=POOLS)
    bad = workflow(text.format("pools:thread"), "bad.py")

    ran, refused = qtui("run", good, "--ui", "plain", "--verbose"), qtui("check", bad)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "printed by where" in ran.stdout
    assert refused.returncode == 2
    assert 'bad.py: workflow.executor: pools has no "thread"' in refused.stderr
