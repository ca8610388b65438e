"""The cluster that a workflow names, and the command line over it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from qtui.core.errors import InvalidWorkflow
from qtui.core.options import RunOptions
from qtui.core.portable import options_from_plain, plain_options
from qtui.definition.options import Overrides, build_options
from qtui.definition.values import Rejected
from qtui.loaders.load import load_definition
from qtui.workflow import Workflow

FILE: dict[str, Any] = {"executor": "dask", "address": "tcp://head:8786"}


def driven(settings: dict[str, Any], **given: Any) -> RunOptions:
    return build_options(settings, Overrides(**given))


def test_an_executor_on_the_command_line_is_for_all_units_without_a_mode_of_their_own() -> None:
    options = driven({"mode": "thread"}, executor="dask")

    assert (options.mode, options.executor, options.address, options.insecure) == ("custom", "dask", None, False)


def test_the_same_executor_has_the_address_of_the_file_and_another_one_has_not() -> None:
    assert driven(FILE, executor="dask").address == "tcp://head:8786"
    assert driven(FILE, executor="pools:make").address is None


def test_an_address_on_the_command_line_goes_over_that_of_the_file() -> None:
    assert driven(FILE, address="tls://other:1").address == "tls://other:1"
    assert driven({}, executor="dask", address="tls://other:1").address == "tls://other:1"


def test_only_the_command_line_may_be_insecure() -> None:
    assert not driven(FILE).insecure
    assert driven(FILE, insecure=True).insecure


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({}, {"address": "tcp://a:1"}, "--address is about a cluster, and there is none"),
        ({"executor": "pools:make"}, {"address": "tcp://a:1"}, "--address is about a cluster, and there is none"),
        ({}, {"insecure": True}, "--insecure is about a cluster, and there is none"),
        ({}, {"executor": "pools:make", "insecure": True}, "--insecure is about a cluster, and there is none"),
    ],
)
def test_what_is_about_a_cluster_needs_one(settings: dict[str, Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        driven(settings, **given)


@pytest.mark.parametrize(
    "address",
    ["head", "tcp://head", "head:8786/x", "tcp://a b:1", "tcp://u@head:1", "::1:8786", "TCP://a:1", "a:123456"],
)
def test_what_is_no_address_is_told(tmp_path: Path, address: str) -> None:
    (tmp_path / "flow.toml").write_text(
        f"[workflow]\nmode = 'custom'\nexecutor = 'dask'\naddress = '{address}'\n[units.a]"
    )

    with pytest.raises(InvalidWorkflow) as raised:
        load_definition("flow.toml")

    assert f'flow.toml:4: workflow.address: "{address}" is not an address (write "tls://HOST:PORT"' in str(raised.value)


def test_the_record_of_a_run_keeps_the_cluster() -> None:
    options = RunOptions(executor="dask", address="tls://head:8786", insecure=True)

    assert options_from_plain(plain_options(options)) == options


def test_a_workflow_in_python_names_a_cluster_too() -> None:
    workflow = Workflow("w", mode="custom", executor="dask", address="tls://head:8786")
    workflow.command("a", "true", resources={"dask": {"GPU": 1}})

    definition = workflow.definition()

    assert definition.options.address == "tls://head:8786"
    assert definition.units[0].cluster_resources == {"GPU": 1}


@pytest.mark.parametrize("file", ["flow.toml", "flow.py"])
def test_a_missing_package_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (tmp_path / "flow.toml").write_text("[units.a]\nrun = 'true'")
    (tmp_path / "flow.py").write_text("import qtui\nw = qtui.Workflow('w')\nw.command('a', 'true')")
    there = importlib.util.find_spec
    monkeypatch.setattr("qtui.loaders.executors.find_spec", lambda name: None if name == "distributed" else there(name))

    with pytest.raises(InvalidWorkflow) as raised:
        load_definition(file, overrides=Overrides(executor="dask"))

    assert str(raised.value) == (
        '--executor: the executor dask needs the package distributed (pip install "qtui[dask]")'
    )


def test_units_of_a_cluster_may_ask_for_more_than_this_machine_has(tmp_path: Path) -> None:
    text = "[workflow]\nexecutor = 'dask'\ncpus = 4\nmode = '{}'\n[units.a]\nresources = {{ cpus = 64 }}\n{}"

    (tmp_path / "flow.toml").write_text(text.format("custom", ""))
    assert load_definition("flow.toml").units[0].cpus == 64
    (tmp_path / "steps.py").write_text("async def wait(): pass")
    for mode, own in (
        ("custom", "mode = 'thread'"),
        ("thread", "[units.b]\nmode = 'custom'"),
        ("custom", "call = 'steps:wait'"),  # coroutines run on this machine
    ):
        (tmp_path / "flow.toml").write_text(text.format(mode, own))
        with pytest.raises(InvalidWorkflow, match="asks for 64 cpus of 4"):
            load_definition("flow.toml")
