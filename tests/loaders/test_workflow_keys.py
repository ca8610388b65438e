"""The keys of [workflow], and the tables for pools, tags, secrets and notifications."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import Notify, WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.options import Brake
from qtui.core.plan import ExecutionPlan
from qtui.definition import machine
from qtui.definition.options import build_options
from qtui.definition.params import ParamSpec
from qtui.definition.values import Rejected
from qtui.definition.workflow_keys import Percent
from qtui.loaders.load import load_definition

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("[workflow]\ncpus = 32", "cpus", 32.0),
        ("", "cpus", machine.cores()),
        ("[workflow]\nmemory_limit = '2G'", "memory", 2 << 30),
        ("", "memory", None),
        ("[workflow]\nhandler_timeout = '1m'", "handler_timeout", 60.0),
        ("", "handler_timeout", 300.0),
        ("[workflow]\nmax_failures = 10", "brakes", {"": Brake(count=10)}),
        (
            "[workflow]\nmax_failures = { count = 3, same = true, probe = '1m' }",
            "brakes",
            {"": Brake(count=3, same=True, probe=60.0)},
        ),
        ("[workflow]\nmax_failures = { count = 3, then = 'stop' }", "brakes", {"": Brake(count=3, then="stop")}),
        ("[pools]\ngpu = 2\ndisk = { slots = 3 }", "pools", {"gpu": 2, "disk": 3}),
        ("[pools]\ngpu = { slots = 2, max_failures = 4 }", "brakes", {"pool:gpu": Brake(count=4)}),
        ("[tags.net]\nmax_failures = { count = 5 }", "brakes", {"tag:net": Brake(count=5)}),
        ("[params]\nn = 3\n[pools]\ngpu = '${{ params.n }}'", "pools", {"gpu": 3}),
    ],
)
def test_a_setting_lands_in_the_options(load: Load, text: str, field: str, value: object) -> None:
    assert getattr(load(f"{text}\n[units.a]\ntags = ['net']").options, field) == value


def test_a_mutex_is_a_pool_of_one(load: Load) -> None:
    options = load("[pools]\ngpu = 2\n[units.a]\nmutex = ['gpu', 'site']\n[units.b]\nmutex = 'site'").options
    assert options.pools == {"gpu": 2, "mutex gpu": 1, "mutex site": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[workflow]\nmin_workers = 0", "2: workflow.min_workers: expected a whole number from 1 to 1024"),
        ("[workflow]\nmin_workers = 9\nmax_workers = 4", "2: workflow.min_workers: 9 is more than max_workers = 4"),
        ("[workflow]\nmin_workers = 9\nworkers = 4", "3: workflow.workers: 4 workers are less than min_workers = 9"),
        ("[workflow]\ncpus = 0", "2: workflow.cpus: expected a number from 0.01"),
        ("[workflow]\nmemory_limit = '0%'", "2: workflow.memory_limit: expected a part of the memory from"),
        ("[workflow]\nmemory_limit = '101%'", "2: workflow.memory_limit: expected a part of the memory from"),
        ("[workflow]\nmemory_limit = 0", "2: workflow.memory_limit: must be more than 0"),
        ("[workflow]\nmemory_limit = 'all'", "2: workflow.memory_limit: expected a size"),
        ("[workflow]\nmax_failures = 0", "2: workflow.max_failures: expected a whole number from 1"),
        ("[workflow]\nmax_failures = true", "2: workflow.max_failures: expected a whole number or a table"),
        ("[workflow]\nmax_failures = { same = true }", "2: workflow.max_failures: count is missing"),
        ("[workflow]\nmax_failures = { counts = 3 }", "2: workflow.max_failures.counts: unknown key (did you mean"),
        (
            "[workflow]\nmax_failures = { count = 1, then = 'stop', probe = 3 }",
            '2: workflow.max_failures.probe: then = "stop" lets nothing try again',
        ),
        ("[workflow]\nhandler_timeout = -1", "2: workflow.handler_timeout: a duration cannot be negative"),
        ("[workflow]\non_hangup = 'stop'", '2: workflow.on_hangup: "stop" is not one of continue, cancel'),
        ("[workflow]\nconcurrency = 3", "2: workflow.concurrency: expected one of allow, refuse, queue"),
        ("[workflow]\ndurability = 'most'", '2: workflow.durability: "most" is not one of normal, full'),
        ("[workflow]\npersist_max = 'x'", "2: workflow.persist_max: expected a size"),
        ("[workflow]\nmode = 'custom'", '2: workflow.mode: mode = "custom" needs an executor'),
        ("[workflow]\nexecutor = 'x'", '2: workflow.executor: only mode = "custom" has an executor'),
        ("[workflow]\nenv_file = 3", "2: workflow.env_file: expected a list of paths"),
        ("[pools]\ngpu = 0", "2: pools.gpu: expected a whole number from 1"),
        ("[pools]\ngpu = { slot = 1 }", '2: pools.gpu.slot: unknown key (did you mean "slots"?)'),
        ("[pools]\ngpu = {}", "2: pools.gpu: slots is missing"),
        ("[pools]\ngpu = 'two'", "2: pools.gpu: expected a whole number or a table"),
        ("pools = ['gpu']", "1: pools: expected a table: [pools], not a list"),
        ("[tags.x]", "1: tags.x: max_failures is missing"),
        ("[tags.nett]\nmax_failures = 1", '1: tags.nett: no unit has this tag (did you mean "net"?)'),
        ("[tags.net]\nretries = 1", "2: tags.net.retries: unknown key"),
        ("[secrets]", "1: secrets: names is missing"),
        ("[secrets]\nnames = 'A'", "2: secrets.names: expected a list of names"),
        ("[secrets]\nnames = ['A=']", '2: secrets.names[0]: "A=" is not a name for an environment variable'),
        ("[secrets]\nnames = ['NOT_SET_AT_ALL']", '2:11: secrets.names[0]: the variable "NOT_SET_AT_ALL" is not set'),
        ("[secrets]\nnames = ['SHORT']", '2:11: secrets.names[0]: the value of "SHORT" has less than 4 characters'),
        ("[notify]\nbel = 'never'", '2: notify.bel: unknown key (did you mean "bell"?)'),
        ("[notify]\nbell = true", "2: notify.bell: expected one of never, failure, always"),
        ("[notify]\nrun = []", "2: notify.run: names no program"),
        ("[notify]\non = ['fail']", '2: notify.on[0]: "fail" is not one of failure, end'),
        ("[notify]\nafter = 'x'", "2: notify.after: expected a duration"),
    ],
)
def test_an_unfit_setting_is_told_with_its_place(
    problems: Problems, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("SHORT", "abc")
    (problem,) = problems(f"{text}\n[units.a]\ntags = ['net']")
    assert str(problem).removeprefix("flow.toml:").startswith(message)
    assert "abc" not in str(problem)


def test_how_a_run_is_kept_and_what_it_does_without_a_terminal_is_part_of_its_definition(load: Load) -> None:
    definition = load(
        """
        [workflow]
        on_hangup = "cancel"
        concurrency = "refuse"
        durability = "full"
        persist_max = "1M"
        [units.a]
        """
    )

    assert (definition.on_hangup, definition.concurrency) == ("cancel", "refuse")
    assert (definition.durability, definition.persist_max) == ("full", 1 << 20)
    assert definition.advice == ()
    silent = load("[units.a]")
    assert (silent.on_hangup, silent.concurrency) == ("continue", "allow")
    assert (silent.durability, silent.persist_max) == ("normal", 256 << 20)


def test_the_executor_is_imported_from_beside_the_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "pools.py").write_text("def threads(): raise AssertionError('it is made when a unit needs it')")
    text = "[workflow]\nexecutor = 'pools:threads'\n{}\n[units.a]\ncall = 'pools:threads'\n{}"

    for definition in (load(text.format("mode = 'custom'", "")), load(text.format("", "mode = 'custom'"))):
        assert definition.options.executor == "pools:threads"
        assert ExecutionPlan.build(definition.units, default_mode=definition.options.mode).lanes == ("custom",)
        assert definition.advice == ()


@pytest.mark.parametrize(
    ("workflow", "unit", "message"),
    [
        ("", "mode = 'custom'", '3: units.a.mode: mode = "custom" needs an executor (add executor = '),
        ("executor = 'x'", "", '2: workflow.executor: only mode = "custom" has an executor'),
        ("executor = 'x'", "mode = 'custom'", '2: workflow.executor: there is no executor "x": there are dask ('),
        ("executor = 'dsak'", "mode = 'custom'", '2: workflow.executor: there is no executor "dsak": there are dask'),
        ("address = 'tcp://a:1'", "", "2: workflow.address: is that of a cluster, and there is none (add executor ="),
        ("executor = 'x:y:z'", "mode = 'custom'", '2: workflow.executor: "x:y:z" does not name a function'),
        ("executor = 'nothere:y'", "mode = 'custom'", "2: workflow.executor: there is no module nothere in"),
        ("executor = 'pools:thread'", "mode = 'custom'", '2: workflow.executor: pools has no "thread" (did you mean'),
        ("executor = 'pools:SIZE'", "mode = 'custom'", "2: workflow.executor: pools:SIZE is not a function but"),
    ],
)
def test_an_executor_that_is_not_to_be_found_is_told_with_its_place(
    problems: Problems, tmp_path: Path, workflow: str, unit: str, message: str
) -> None:
    (tmp_path / "pools.py").write_text("SIZE = 3\ndef threads(): pass")
    (problem,) = problems(f"[workflow]\n{workflow}\n[units.a]\n{unit}" if workflow else f"\n[units.a]\n{unit}")
    assert str(problem).removeprefix("flow.toml:").startswith(message)


def test_auto_begins_with_the_least_workers_allowed(load: Load) -> None:
    assert load("[workflow]\nmin_workers = 1000\n[units.a]").options.workers == 1000


# -- the machine -----------------------------------------------------------------------------------------


def test_a_percentage_is_of_the_memory_there_is() -> None:
    assert build_options({"memory_limit": Percent(75)}, None, memory=lambda: 1000).memory == 750
    with pytest.raises(Rejected, match="cannot tell how much memory"):
        build_options({"memory_limit": Percent(75)}, None, memory=lambda: None)


def test_this_machine_has_cores_and_memory() -> None:
    assert machine.cores() > 0
    memory = machine.memory()
    assert memory is None or memory > 1 << 20


def test_limits_of_a_control_group_and_of_those_around_it_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "self").write_text("1:name=x:/y\n0::/outer/inner\n")
    (inner / "cpu.max").write_text("max 100000\n")
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "outer" / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "outer" / "memory.max").write_text("2097152\n")
    (tmp_path / "meminfo").write_text("MemTotal:        4096 kB\nMemFree: 1 kB\n")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "self")
    assert machine.cores() == 0.5
    assert machine.memory() == 2097152
    (tmp_path / "outer" / "memory.max").unlink()
    assert machine.memory() == 4096 * 1024
    (tmp_path / "meminfo").unlink()
    assert machine.memory() is None


# -- secrets and notifications ---------------------------------------------------------------------------


def test_secrets_are_the_names_of_variables_that_are_set(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTSIDE", "s3cret")
    (tmp_path / ".env").write_text("INSIDE=s3cret\n")
    text = "[workflow]\nenv_file = '.env'\n[secrets]\nnames = ['OUTSIDE', 'INSIDE', 'OUTSIDE']\n[units.a]"
    assert load(text).secrets == ("OUTSIDE", "INSIDE")


@pytest.mark.parametrize(
    ("text", "notify"),
    [
        ("", None),
        ("[notify]", Notify()),
        ("[notify]\nbell = 'failure'\nafter = '30s'", Notify(bell="failure", after=30.0)),
        ("[notify]\nrun = './tell.sh --loud'", Notify(run=("sh", "-c", "./tell.sh --loud"))),
        ("[notify]\nrun = ['./tell.sh', 'a b']", Notify(run=("./tell.sh", "a b"))),
        ("[notify]\non = ['end', 'stall']", Notify(on=frozenset({"end", "stall"}))),
        ("[params]\nto = 'me'\n[notify]\nrun = 'tell ${{ params.to }}'", Notify(run=("sh", "-c", "tell me"))),
    ],
)
def test_notifications(load: Load, text: str, notify: Notify | None) -> None:
    assert load(f"{text}\n[units.a]").notify == notify


# -- names that deceive ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "sign"),
    [
        ("[units.a]\n[units.b]\nenv = { 'A\u202eB' = '1' }", "flow.toml:3:11", "U+202E"),
        ("[units.a]\n[params]\n'x\u2066' = 1", "flow.toml:3:3", "U+2066"),
        ("[units.a]\n[pools]\n'g\u200f' = 1", "flow.toml:3:3", "U+200F"),
        ('[units.a]\n[pools]\n"g\\u200e" = 1', "flow.toml:3", "U+200E"),
        ("[units.'a\u2069']", "flow.toml:1:10", "U+2069"),
        ('[units.a]\nargs = [{ "\\u001b[31m" = 1 }]', "flow.toml:2", "U+001B"),
    ],
)
def test_a_key_with_a_sign_that_cannot_be_seen_is_refused(problems: Problems, text: str, where: str, sign: str) -> None:
    (problem,) = problems(text)
    assert problem.where == where
    assert problem.message.endswith(f"has a sign that cannot be seen: {sign}")
    assert str(problem).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "[workflow]\nname = 'a\u202eb'\n[units.a]",
        "[units.a]\ntags = ['a\u202eb']",
        "[units.a]\nmutex = 'a\u202eb'",
        "[units.a]\nmatrix = { x = ['a\u202eb'] }",
        "[units.a]\nconfirm = 'a\u202eb'",
    ],
)
def test_a_name_with_a_sign_that_cannot_be_seen_is_refused(problems: Problems, text: str) -> None:
    (problem,) = problems(text)
    assert str(problem).isprintable()
    assert "\\u202e" in problem.message


# -- asking for params -----------------------------------------------------------------------------------

ASKING = "[params]\nday = { type = 'str', required = true }\nrows = { type = 'int' }\nx = 1\n[units.a]"


def test_params_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(ASKING)
    asked: list[ParamSpec] = []

    def ask(spec: ParamSpec) -> str:
        asked.append(spec)
        return "7"

    assert load_definition("flow.toml", {"day": "monday"}, ask=ask).params == {"day": "monday", "rows": 7, "x": 1}
    assert [spec.name for spec in asked] == ["rows"]


def test_an_unfit_answer_is_told_like_an_unfit_value(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(ASKING)
    with pytest.raises(InvalidWorkflow, match=r"flow\.toml:3: params\.rows: expected a whole number"):
        load_definition("flow.toml", {"day": "x"}, ask=lambda spec: "many")


def test_nobody_is_asked_for_the_params_of_a_faulty_file(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text("vesion = 1\n" + ASKING)
    with pytest.raises(InvalidWorkflow):
        load_definition("flow.toml", ask=lambda spec: pytest.fail("asked"))


def test_params_of_python_workflows_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(
        "from qtui import Workflow\nw = Workflow('w', params={'day': str})\nw.command('a', run='x')\n"
        "def build_workflow(params):\n    return w\n"
    )
    for target in ("flow.py", "flow.py:w", "flow.py:build_workflow"):
        assert load_definition(target, ask=lambda spec: spec.name).params == {"day": "day"}
