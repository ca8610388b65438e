"""Workflow files without a fault, and what becomes of each key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow
from qtui.core.model import Argv, Call, ExecutionMode, Fallback, RetryPolicy, Shell, Source
from qtui.loaders.load import Overrides, load_definition
from qtui.workflow import default_workers

Load = Callable[..., WorkflowDefinition]

FULL = """
version = 1

[workflow]
name = "nightly"
description = "Refresh for ${{ params.day }}"
mode = "thread"
strategy = "priority"
workers = 3
max_workers = 5
keep_going = false
grace = "2s"
max_async = 7

[params]
day = { type = "str", default = "2024-05-01", pattern = '\\d{4}-\\d\\d-\\d\\d', help = "The day" }

[env]
DAY = "${{ params.day }}"
LEVEL = "1"

[defaults]
timeout = "10m"
shell = "bash -euo pipefail"
env = { LEVEL = "2" }

[units.fetch]
description = "Get it"
run = ["mkdir -p data", "curl example.org/${{ params.day }} > data/raw"]
kind = "io"
retries = { max = 4, delay = "2s", backoff = 3, max_delay = "1m", jitter = true, on = ["timeout", 6, "OSError"] }
timeout = 90
grace = 0
tags = ["net", "first"]
priority = 10
env = { LEVEL = "3", WHERE = "${{ env.DAY }}/${{ env.LEVEL }}" }
cwd = "work/../data"

[units.merge]
argv = ["python", "merge.py"]
needs = ["fetch"]
fallback = { top = [] }
mode = "sequential"
retries = 2

[units.done]
needs = ["*"]
"""


def test_every_key_lands_where_it_belongs(load: Load, tmp_path: Path) -> None:
    definition = load(FULL)
    options = definition.options
    assert (definition.name, definition.description) == ("nightly", "Refresh for 2024-05-01")
    assert definition.params == {"day": "2024-05-01"}
    assert definition.directory == str(tmp_path)
    assert definition.source == str(tmp_path / "flow.toml")
    assert (options.workers, options.max_workers, options.max_async) == (3, 5, 7)
    assert options.mode is ExecutionMode.THREAD
    assert (options.keep_going, options.grace) == (False, 2.0)

    fetch, merge, done = definition.units
    assert fetch.action == Shell(
        ("mkdir -p data", "curl example.org/2024-05-01 > data/raw"), ("bash", "-euo", "pipefail")
    )
    assert fetch.retry == RetryPolicy(
        max=4, delay=2.0, backoff=3.0, max_delay=60.0, jitter=True, on=("timeout", 6, "OSError")
    )
    assert (fetch.timeout, fetch.grace, fetch.priority, fetch.kind) == (90.0, 0.0, 10, "io")
    assert fetch.tags == {"net", "first"}
    assert fetch.description == "Get it"
    assert fetch.cwd == str(tmp_path / "data")
    assert fetch.source == Source(file="flow.toml", line=27)

    assert merge.action == Argv(("python", "merge.py"))
    assert merge.dependencies == ("fetch",)
    assert merge.fallback == Fallback({"top": []})
    assert merge.mode is ExecutionMode.SEQUENTIAL
    assert merge.retry == RetryPolicy(max=2)
    assert merge.timeout == 600.0
    assert merge.cwd == str(tmp_path)

    assert done.action is None
    assert done.dependencies == ("*",)


STOPPING = """
[workflow]
timeout = "2h"
nice = 5
mode = "process"

[defaults]
stop_signal = "SIGHUP"
leftovers = "keep"
pty = true
log = { max = "1M" }

[units.own]
run = "true"
stop_signal = "int"
leftovers = "kill"
pty = false
log = { max = 65536 }

[units.given]
argv = ["true"]

[units.function]
call = "json:dumps"
args = { obj = 1 }
log = { max = "64K" }

[units.milestone]
"""


def test_how_a_unit_stops_and_how_much_it_may_say_lands_where_it_belongs(load: Load) -> None:
    definition = load(STOPPING)
    assert (definition.options.timeout, definition.options.nice) == (7200.0, 5)
    assert definition.options.mode is ExecutionMode.PROCESS
    own, given, function, _ = definition.units
    assert (own.stop_signal, own.leftovers, own.pty, own.log_max) == ("INT", "kill", False, 64 << 10)
    assert (given.stop_signal, given.leftovers, given.pty, given.log_max) == ("HUP", "keep", True, 1 << 20)
    assert function.log_max == 64 << 10


def test_what_is_not_said_is_the_models_default(load: Load) -> None:
    definition = load('[units.a]\nrun = "true"')
    (unit,) = definition.units
    assert (unit.stop_signal, unit.leftovers, unit.pty, unit.log_max) == ("TERM", "kill", False, 64 << 20)
    assert (definition.options.timeout, definition.options.nice) == (None, 0)


def test_the_closest_environment_wins_and_sees_the_ones_around_it(load: Load) -> None:
    fetch, merge, _ = load(FULL).units
    assert fetch.env == {"DAY": "2024-05-01", "LEVEL": "3", "WHERE": "2024-05-01/2"}
    assert merge.env == {"DAY": "2024-05-01", "LEVEL": "2"}


def test_the_name_is_the_files_by_default(load: Load) -> None:
    assert load("[units.a]", "weekly.toml").name == "weekly"


def test_plain_sh_is_the_shell_by_default(load: Load) -> None:
    assert load('[units.a]\nrun = "true"').units[0].action == Shell(("true",), ("sh",))


def test_a_shell_in_the_defaults_is_for_commands_only(load: Load) -> None:
    units = load('[defaults]\nshell = "bash -e"\n[units.a]\nargv = ["true"]\n[units.b]').units
    assert [unit.action for unit in units] == [Argv(("true",)), None]


def test_auto_workers_stay_below_the_bound(load: Load) -> None:
    assert load('[workflow]\nworkers = "auto"\n[units.a]').options.workers == default_workers()
    assert load("[workflow]\nmax_workers = 1\n[units.a]").options.workers == default_workers(1) == 1


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text("[workflow]\nworkers = 2\nmax_workers = 4\n[units.a]")
    options = load_definition("flow.toml", {}, Overrides(workers=9, keep_going=False)).options
    assert (options.workers, options.max_workers, options.keep_going) == (9, 9, False)
    assert load_definition("flow.toml", {}, Overrides()).options.workers == 2


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_bytes(b"\xef\xbb\xbf[units.a]\r\n\r\n[units.b]\r\nneeds = ['a']\r\n")
    assert [unit.source.line for unit in load_definition("flow.toml").units if unit.source] == [1, 3]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("floww.toml", 'floww.toml: there is no such file (did you mean "flow.toml"?)'),
        ("flow", 'flow: there is no such file (did you mean "flow.toml"?)'),
        ("nothing/like/it", "nothing/like/it: there is no such file"),
        (".", ".: is a directory"),
        ("flow.yaml", 'flow.yaml: is neither a .toml nor a .py file (did you mean "flow.toml"?)'),
        ("", '"": there is no such file'),
        ("a\0b", "a\\x00b: there is no such file"),
        ("no.py:name", "no.py: there is no such file"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_named_with_a_way_out(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "flow.toml").write_text("[units.a]")
    (tmp_path / "flow.yaml").write_text("")
    with pytest.raises(InvalidWorkflow) as raised:
        load_definition(target)
    assert str(raised.value).startswith(message)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "flow.toml")
    os.mkfifo(tmp_path / "flow.py")
    for target in ("flow.toml", "flow.py", "flow.py:name"):
        with pytest.raises(InvalidWorkflow, match="is a named pipe, not a regular file"):
            load_definition(target)


def test_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    with pytest.raises(InvalidWorkflow, match="is a device, not a regular file"):
        load_definition("endless.toml")


def test_a_link_that_leads_nowhere_names_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").symlink_to("moved/away.toml")
    (tmp_path / "round.toml").symlink_to("round.toml")
    for target, to in (("flow.toml", "moved/away.toml"), ("round.toml", "round.toml")):
        with pytest.raises(InvalidWorkflow) as raised:
            load_definition(target)
        assert f'{target}: is a symbolic link to "{to}", which leads to no file' in str(raised.value)


def test_a_link_to_a_workflow_is_as_good_as_the_workflow(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("[units.a]")
    (tmp_path / "flow.toml").symlink_to("real.toml")
    assert load_definition("flow.toml").units[0].id == "a"


# -- calls -----------------------------------------------------------------------------------------------

STEPS = """
from collections import namedtuple
import sys
print("hello from the import")
sys.modules[__name__].__dict__.setdefault("imports", []).append(1)

def clean(context, rows, strict=False):
    return rows

def plain(rows=3):
    return rows

class Tools:
    @staticmethod
    def polish():
        return 1

number = 3
"""


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def test_a_call_is_imported_from_beside_the_file(load: Load, steps: Path) -> None:
    first, second, third = load(
        """
        [units.a]
        call = "steps:clean"
        args = { rows = 3 }
        [units.b]
        call = "steps:plain"
        [units.c]
        call = "steps:Tools.polish"
        """
    ).units
    assert isinstance(first.action, Call) and first.action.wants_context and first.args == {"rows": 3}
    assert isinstance(second.action, Call) and not second.action.wants_context
    assert isinstance(third.action, Call) and third.action.function() == 1
    assert str(first.action) == "steps:clean"


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (
            'call = "stepps:clean"',
            "units.a.call: there is no module stepps in . or on Python's path (did you mean \"st",
        ),
        ('call = "steps:claen"', 'units.a.call: steps has no "claen" (did you mean "clean"?)'),
        ('call = "steps:number"', "units.a.call: steps:number is not a function but a value of type int"),
        ('call = "steps:clean"', "units.a.call: steps:clean cannot be called like this: missing a required argument"),
        (
            'call = "steps:plain"\nargs = { row = 1 }',
            "units.a.args: steps:plain cannot be called like this: got an unexpected keyword argument 'row'",
        ),
        ('call = "steps.clean"', 'units.a.call: "steps.clean" does not name a function (write "module:function")'),
        ('call = "steps:${{ params.no }}"', "units.a.call: params.no is not known"),
    ],
)
def test_a_call_that_cannot_work_is_told_before_the_run(
    problems: Callable[..., tuple[object, ...]], steps: Path, unit: str, message: str
) -> None:
    (problem,) = problems(f"[units.a]\n{unit}")
    assert message in str(problem)
    assert str(problem).startswith("flow.toml:")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nimport nonesuch_package", "at bad.py:2: ModuleNotFoundError: No module named 'nonesuch_package'"),
        ("def f():\n    1 / 0\n\nf()", "at bad.py:2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", "at bad.py:2: it calls sys.exit(3)"),
        ("def f(:\n    pass", "at bad.py:1: SyntaxError: "),
        ("def f():\n    f()\nf()", "at bad.py:2: RecursionError: "),
        ("raise BaseException('odd')", "at bad.py:1: BaseException: odd"),
        (
            "class Odd(Exception):\n    def __str__(self): raise self\nraise Odd",
            "at bad.py:3: Odd: (its message cannot",
        ),
        ("import json\njson.loads('{')", "at bad.py:2: JSONDecodeError: "),
    ],
)
def test_what_an_import_raises_is_told_with_the_users_line(
    problems: Callable[..., tuple[object, ...]], tmp_path: Path, code: str, message: str
) -> None:
    (tmp_path / "bad.py").write_text(code)
    (problem,) = problems('[units.a]\ncall = "bad:run"')
    assert str(problem).startswith(f"flow.toml:2: units.a.call: importing bad failed {message}")
    assert "\n" not in str(problem)


def test_a_module_that_another_one_hides_is_told(problems: Callable[..., tuple[object, ...]], tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def run(): pass")
    (problem,) = problems('[units.a]\ncall = "json:dumps"')
    assert "json is not json.py: " in str(problem)
    assert "(rename the file)" in str(problem)


def test_a_module_is_imported_once_for_all_its_calls(
    load: Load, steps: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load("".join(f'[units.u{n}]\ncall = "steps:plain"\n' for n in range(3)))
    assert capfd.readouterr().out.count("hello from the import") == 1
