"""A file with every key of the format, and the schema that such files fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli

from qtui.core.definition import WorkflowDefinition
from qtui.core.model import ExecutionMode
from qtui.core.plan import ExecutionPlan
from qtui.definition.keys import Table, Templates
from qtui.definition.params import PARAM_KEYS
from qtui.definition.unit_keys import UNIT_KEYS
from qtui.definition.workflow_keys import NOTIFY_KEYS, SECTIONS, WORKFLOW_KEYS
from qtui.loaders.load import load_definition

TEXT = r"""
version = 1

[workflow]
name = "forecast"
description = "Weather for ${{ params.day }}"
mode = "auto"
executor = "dask"
address = "tls://10.0.0.5:8786"
strategy = "adaptive"
workers = "auto"
min_workers = 1
max_workers = 8
max_async = 64
cpus = 16
memory_limit = "75%"
nice = 5
keep_going = true
max_failures = { count = 10, same = true, then = "pause" }
timeout = "2h"
grace = "5s"
handler_timeout = "5m"
on_hangup = "continue"
concurrency = "allow"
durability = "normal"
persist_max = "256M"
env_file = [".env"]
include = { maps = "maps.toml" }

[params]
full = { type = "bool", default = false, help = "All stations" }
day = { type = "str", required = true, pattern = '\d{4}-\d\d-\d\d' }
stations = { type = "list", default = ["north", "south"] }
model = { choices = ["small", "large"], default = "small" }

[env]
PYTHONUNBUFFERED = "1"
DAY = "${{ params.day }}"

[secrets]
names = ["API_TOKEN"]

[pools]
gpu = 2
radar = { slots = 1, max_failures = 3 }

[tags.net]
max_failures = { count = 4, probe = "1m" }

[defaults]
timeout = "10m"
retries = 1
shell = "bash -euo pipefail"

[units.fetch]
run = "echo ${{ params.day }}"
kind = "io"
retries = { max = 4, delay = "2s", backoff = 2.0, max_delay = "1m", jitter = true, on = ["timeout", 6, "OSError"] }
timeout = "90s"
tags = ["net"]
priority = 10
estimate = "20s"
description = "Fetch the readings"

[units.tidy]
needs = ["fetch"]
call = "steps:tidy"
kind = "cpu"
mode = "process"
args = { rows = 1000, raw = { from = "fetch" } }
cache = { inputs = ["readings/**/*.json"], env = ["DAY"], ttl = "7d" }
outputs = ["tidy.csv"]

[units.train]
needs = ["tidy"]
matrix = { station = "${{ params.stations }}", seed = [0, 1], exclude = [{ seed = 1 }] }
run = ["echo ${{ matrix.station }}", "true"]
pools = ["gpu"]
resources = { cpus = 4, memory = "6M", dask = { GPU = 1 } }
progress = '(?P<done>\d+)/(?P<total>\d+) steps'
stall = "5m"
log = { max = "64M" }

[units.join]
needs = ["train", "maps.*"]
argv = ["true"]
env = { OMP_NUM_THREADS = "4" }
cwd = "work"
grace = "1m"
stop_signal = "INT"
leftovers = "keep"
pty = false
pools = { radar = 1 }

[units.scores]
needs = ["join"]
call = "steps:scores"
mode = "custom"
fallback = { top = [] }
idempotent = false
batch = "auto"

[units.report]
needs = ["scores"]
run = "true"
if = "params.full or units.scores.fallback"
success_exit_codes = [0, 3]
allow_failure = true

[units.publish]
needs = ["report"]
run = "true"
confirm = "Publish ${{ params.day }}?"
mutex = "site"

[units.cleanup]
needs = ["*"]
when = "always"
run = "true"

[notify]
bell = "failure"
after = "30s"
run = "true"
on = ["failure", "end", "confirm", "pause", "stall"]
"""


@pytest.fixture
def definition(tmp_path: Path) -> WorkflowDefinition:
    (tmp_path / "flow.toml").write_text(TEXT)
    (tmp_path / "maps.toml").write_text("[units.draw]\nrun = 'true'")
    (tmp_path / "steps.py").write_text("def tidy(rows, raw): pass\ndef scores(context): pass")
    (tmp_path / ".env").write_text("API_TOKEN=s3cret")
    return load_definition("flow.toml", {"day": "2026-05-01"})


def test_every_key_of_the_format_is_read(definition: WorkflowDefinition) -> None:
    plan = ExecutionPlan.build(definition.units)
    assert list(plan.numbers) == [
        "fetch",
        "tidy",
        "train[station=north,seed=0]",
        "train[station=south,seed=0]",
        *("join", "scores", "report", "publish", "cleanup", "maps.draw"),
    ]
    assert plan.dependencies["cleanup"] == set(plan.numbers) - {"cleanup"}


def test_a_unit_may_run_in_the_executor_of_the_workflow(definition: WorkflowDefinition) -> None:
    assert (definition.options.executor, definition.options.address) == ("dask", "tls://10.0.0.5:8786")
    assert [unit.id for unit in definition.units if unit.lane() is ExecutionMode.CUSTOM] == ["scores"]


def test_the_text_has_every_key() -> None:
    document = tomli.loads(TEXT)
    used = {key for unit in (*document["units"].values(), document["defaults"]) for key in unit}
    assert used == set(UNIT_KEYS) - {"group"}
    assert set(document["workflow"]) == set(WORKFLOW_KEYS)
    assert set(document["notify"]) == set(NOTIFY_KEYS)


def _accepts(schema: Any, value: Any) -> bool:
    return bool(pytest.importorskip("jsonschema").Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize("section", SECTIONS)
def test_it_fits_the_schema(section: str) -> None:
    document = tomli.loads(TEXT)
    if section in document:
        assert _accepts(SECTIONS[section].schema, document[section])


@pytest.mark.parametrize("keys", [UNIT_KEYS, WORKFLOW_KEYS, PARAM_KEYS, NOTIFY_KEYS])
def test_the_schema_has_expressions_where_they_are_allowed(keys: Table) -> None:
    lists_and_tables = {"argv", "tags", "env", "outputs"}  # the expressions are in their items
    for key in keys.values():
        if key.templates is not Templates.NONE and key.name not in lists_and_tables:
            assert _accepts(key.schema, "${{ params.x }}"), key.name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("priority", "3"),
        ("timeout", "90"),
        ("timeout", True),
        ("needs", "a"),
        ("retries", {"delay": 1}),
        ("when", "sometimes"),
        ("resources", {"cpu": 1}),
        ("pools", {"gpu": 0}),
        ("cache", {"input": []}),
        ("env", {"A": 1}),
        ("argv", []),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(key: str, value: Any) -> None:
    assert not _accepts(UNIT_KEYS[key].schema, value)
