"""Whatever is written in a workflow file, loading it gives a definition or says what is wrong."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow
from qtui.loaders.load import load_definition

BASE = """
version = 1
[workflow]
name = "n"
workers = 3
grace = "5s"
mode = "thread"
cpus = 4
memory_limit = "2G"
max_failures = { count = 3, same = true }
env_file = [".env"]
on_hangup = "cancel"
[params]
day = { default = "1", pattern = '\\d' }
rows = 3
hosts = ["a"]
[pools]
gpu = 2
disk = { slots = 1, max_failures = 2 }
[tags.t]
max_failures = 3
[notify]
run = ["tell"]
on = ["end"]
[env]
A = "${{ params.day }}"
[defaults]
timeout = "10m"
shell = "sh -e"
[units.a]
run = ["x ${{ params.rows }}", '''y
z''']
retries = { max = 2, delay = "1s", on = ["timeout", 3] }
[units.b]
needs = ["a", "c*"]
call = "json:dumps"
args = { obj = { x = [1, 2] } }
fallback = false
tags = ["t"]
[units.c]
matrix = { x = [1, 2], y = ["p"], exclude = [{ x = 1 }], include = [{ x = 3, y = "q" }] }
argv = ["echo", "${{ matrix.x }}"]
env = { B = "${{ env.A }}" }
priority = 4
kind = "io"
pools = ["gpu"]
mutex = "disk"
resources = { cpus = 1, memory = "1M" }
outputs = ["out/${{ matrix.x }}-${{ matrix.y }}"]
cache = { inputs = ["in"], ttl = "1d" }
[units.d]
needs = ["*"]
when = "always"
if = "params.rows > 2 and not units.a.cached or env.A in ['1', '2']"
confirm = "Go?"
progress = '(?P<done>\\d+)'
success_exit_codes = [0, 3]
run = "true"
stall = "1m"
"""
PIECES = st.sampled_from(
    [
        *("", "[", "]", "{", "}", '"', "'", "=", ".", ",", "\n", "#", "${{", "}}", "*", "units", "params."),
        *("nan", "-1", "1", "a", "true", "9" * 20, "1979-05-27", "1e400", "[units.e]\n", "x = 1\n"),
        *("\0", "\x1b", "\\u0000", "\\u001b", "é"),
    ]
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(BASE)), st.integers(0, 12), PIECES | st.text(max_size=3)), min_size=1, max_size=4
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(EDITS)
def test_a_mutated_file_is_loaded_or_refused_with_places(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    text = BASE
    for at, removed, added in edits:
        text = text[:at] + added + text[at + removed :]
    (tmp_path / "flow.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        definition = load_definition("flow.toml")
    except InvalidWorkflow as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert "\x1b" not in problem.message
            assert "\n" not in problem.message
    else:
        assert isinstance(definition, WorkflowDefinition)


def test_the_file_that_is_mutated_is_fine(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(BASE)
    assert len(load_definition("flow.toml").units) == 5
