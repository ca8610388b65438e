"""The Workflow builder."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qtui.core.definition import Notify
from qtui.core.errors import CircularDependencyError, InvalidWorkflow
from qtui.core.model import (
    Argv,
    CachePolicy,
    Call,
    ExecutionMode,
    Fallback,
    FromUnit,
    QuantumUnit,
    RetryPolicy,
    Shell,
    Source,
)
from qtui.core.options import Brake
from qtui.core.plan import ExecutionPlan
from qtui.workflow import Overrides, Workflow, default_workers


def _units(workflow: Workflow, **params: Any) -> dict[str, QuantumUnit]:
    return {unit.id: unit for unit in workflow.definition(params).units}


def _message(work: Callable[[], object]) -> str:
    with pytest.raises(InvalidWorkflow) as raised:
        work()
    return str(raised.value)


def _here() -> Source:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return Source(file=__file__, line=frame.f_back.f_lineno)


def load(context: Any) -> int:
    return 1


def score(item: int) -> int:
    return item


def test_a_decorated_function_stays_a_plain_function() -> None:
    workflow = Workflow("w")

    @workflow.unit
    def one() -> int:
        return 1

    @workflow.unit(name="zwei", dependencies=["one"], timeout="1m", retries=3, tags={"a"}, kind="io", fallback=None)
    def two(context: Any) -> int:
        return 2

    assert (one(), two(None)) == (1, 2)
    units = _units(workflow)
    assert units["one"].action == Call(one, "", wants_context=False)
    zwei = units["zwei"]
    assert zwei.dependencies == ("one",)
    assert (zwei.timeout, zwei.retry, zwei.kind) == (60.0, RetryPolicy(max=3), "io")
    assert zwei.tags == {"a"}
    assert zwei.fallback == Fallback(None)


def test_a_unit_is_returned_as_far_as_it_is_known() -> None:
    workflow = Workflow("w", params={"limit": 5})
    unit = workflow.add_unit(load, (), "first", priority=3, timeout="${{ params.limit }}", retries=None)
    assert (unit.id, unit.priority, unit.timeout) == ("first", 3, None)
    assert unit.source is not None and unit.source.file == __file__
    assert _units(workflow, limit=9)["first"].timeout == 9.0


def test_commands_are_shell_texts_or_programs() -> None:
    workflow = Workflow("w", params={"day": "monday"}, env={"DAY": "${{ params.day }}"})
    workflow.command("a", run="echo ${{ env.DAY }}", shell="bash -e")
    workflow.command("b", argv=["echo", "${{ matrix.n }}"], dependencies=["a"], matrix={"n": [1, 2]})
    units = _units(workflow)
    assert units["a"].action == Shell(("echo monday",), ("bash", "-e"))
    assert units["a"].cwd == str(Path(__file__).parent)
    assert units["b[n=2]"].action == Argv(("echo", "2"))
    assert "either run or argv" in _message(lambda: workflow.command("c"))
    assert "either run or argv" in _message(lambda: workflow.command("c", run="x", argv=["x"]))


def test_the_settings_are_those_of_the_file() -> None:
    workflow = Workflow("w", mode="sequential", workers=2, keep_going=False, grace="1s", max_async=3, description="d")
    workflow.add_unit(load)
    definition = workflow.definition()
    options = definition.options
    assert (options.mode, options.workers, options.keep_going) == (ExecutionMode.SEQUENTIAL, 2, False)
    assert (options.grace, options.max_async, definition.description) == (1.0, 3, "d")
    assert workflow.definition(overrides=Overrides(workers=5, keep_going=True)).options.workers == 5
    automatic = Workflow("w")
    automatic.add_unit(load)
    assert automatic.definition().options.workers == default_workers()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: w.add_unit(load, timout=3), 'units.load.timout: unknown key (did you mean "timeout"?)'),
        (lambda w: w.add_unit(load, needs=["x"]), 'units.load.needs: unknown key (did you mean "dependencies"?)'),
        (lambda w: w.add_unit(load, "first"), "units.load.dependencies: expected a list of names, not the string"),
        (lambda w: w.add_unit(load, timeout=-1), "units.load.timeout: a duration cannot be negative"),
        (lambda w: w.add_unit(load, run="x"), "units.load.run: unknown key"),
        (lambda w: w.add_unit(lambda: 1), 'units.<lambda>: "<lambda>" cannot be the name of a unit'),
        (lambda w: w.add_unit(functools.partial(load)), 'units.: "" cannot be the name of a unit'),
        (lambda w: w.add_unit(3), "a unit needs a function, not a value of type int"),
        (lambda w: w.add_unit(load, args={"rows": 1}), "load cannot be called like this: got an unexpected keyword"),
        (lambda w: w.add_unit(load, matrix={"x": []}), "units.load.matrix.x: is empty"),
        (lambda w: w.command("a", run="x", args={}), "units.a.args: unknown key"),
        (lambda w: w.map(score, [], "s"), "units.s: there is no item to map over"),
        (lambda w: w.map(load, [1], "s"), "units.s: the function has no parameter that could take an item"),
        (lambda w: w.map(lambda item, context: 0, [1], "s"), "units.s: the context is passed first, before the item"),
        (lambda w: w.map(score, [1], "s", matrix={"x": [1]}), "units.s.matrix: items and a matrix exclude each other"),
        (lambda w: w.include(w, "x"), "include.x: a workflow cannot include itself"),
        (lambda w: w.include(Workflow("v"), "a b"), 'include.a b: "a b" cannot be the name of a unit'),
        (lambda w: w.include(Workflow("v", params={"day": 3}), "v"), 'both workflows declare the param "day"'),
        (lambda w: Workflow("v", workers=True, mode="fast"), "workflow.mode: "),
        (lambda w: Workflow("v", params={"a-b": 1}), "params.a-b: is not a name for a param"),
        (
            lambda w: Workflow("v", env={"A": 1}),  # type: ignore[dict-item]
            "env.A: expected a string",
        ),
    ],
)
def test_a_mistake_is_told_with_the_callers_line(make: Callable[[Workflow], Any], message: str) -> None:
    workflow = Workflow("w", params={"day": str})
    text = _message(lambda: make(workflow))
    assert text.startswith(f"{__file__}:{make.__code__.co_firstlineno}: ")
    assert message in text


def test_a_faulty_unit_is_not_added() -> None:
    workflow = Workflow("w")
    _message(lambda: workflow.add_unit(load, timeout=-1))
    workflow.add_unit(load)
    assert list(_units(workflow)) == ["load"]


def test_params_are_checked_when_the_workflow_is_defined() -> None:
    workflow = Workflow("w", params={"day": str, "rows": {"type": int, "default": 3}})
    workflow.command("a", run="echo ${{ params.day }} ${{ params.dya }}")
    text = _message(lambda: workflow.definition({"rows": "x", "other": "1"}))
    assert [line.split(": ", 1)[1] for line in text.splitlines()] == [
        "params.other: there is no such param (this workflow has day, rows)",
        "params.day: a value is required (give one with -p day=VALUE)",
        'params.rows: expected a whole number, not the string "x"',
        'units.a.run: params.dya is not known (did you mean "day"?)',
    ]


def test_the_same_name_twice_and_cycles_are_told() -> None:
    workflow = Workflow("w")
    workflow.add_unit(load)
    workflow.add_unit(load)
    assert "units.load: this name is already taken (first used at " in _message(workflow.definition)
    loop = Workflow("w")
    loop.command("a", run="x", dependencies=["b"])
    loop.command("b", run="x", dependencies=["a"])
    with pytest.raises(CircularDependencyError):
        loop.definition()


# -- map -------------------------------------------------------------------------------------------------


def with_context(context: Any, item: int) -> tuple[Any, int]:
    return context, item


def with_arguments(item: int, *, factor: int, offset: int = 0) -> int:
    return item * factor + offset


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (score, None, 20),
        (with_context, None, ("context", 20)),
        (with_arguments, {"factor": 3}, 60),
        (lambda *items: items, None, (20,)),
        (str, None, "20"),
        (abs, None, 20),
        (functools.partial(with_arguments, factor=2), None, 40),
    ],
)
def test_a_mapped_function_gets_its_item(function: Any, args: Any, result: Any) -> None:
    workflow = Workflow("w")
    workflow.map(function, iter([10, 20]), "s", args=args)
    units = _units(workflow)
    assert list(units) == ["s[0]", "s[1]"]
    unit = units["s[1]"]
    assert (unit.family, unit.matrix) == ("s", {"item": 20})
    assert isinstance(unit.action, Call)
    given = ["context"] if unit.action.wants_context else []
    assert unit.action.function(*given, **unit.args) == result


def test_dependents_name_the_family() -> None:
    workflow = Workflow("w")
    workflow.map(score, range(3), "s")
    workflow.add_unit(load, ["s"])
    assert ExecutionPlan.build(workflow.definition().units).dependencies["load"] == {"s[0]", "s[1]", "s[2]"}


# -- include ---------------------------------------------------------------------------------------------


def test_included_units_keep_their_needs_params_and_environment() -> None:
    docs = Workflow("docs", params={"lang": "en"}, env={"WHO": "docs"})
    docs.command("build", run="x ${{ params.lang }}", matrix={"n": [1, 2]})
    docs.command("check", run="x", dependencies=["build[n=1]"])
    docs.command("end", run="x", dependencies=["*"])
    docs.command("after", run="x", dependencies=["end"])
    site = Workflow("site", params={"lang": "en", "x": 1}, env={"WHO": "site", "WHERE": "here"})
    site.command("first", run="x")
    site.include(docs, "docs")
    site.command("last", run="x", dependencies=["docs.build", "docs.check"])

    definition = site.definition({"lang": "de"})
    units = {unit.id: unit for unit in definition.units}
    plan = ExecutionPlan.build(definition.units)
    assert units["docs.build[n=1]"].action == Shell(("x de",))
    assert units["docs.build[n=1]"].family == "docs.build"
    assert units["docs.check"].env == {"WHO": "docs", "WHERE": "here"}
    assert plan.dependencies["docs.check"] == {"docs.build[n=1]"}
    assert plan.dependencies["docs.end"] == {"docs.build[n=1]", "docs.build[n=2]", "docs.check"}
    assert plan.dependencies["docs.after"] == {"docs.end"}
    assert plan.dependencies["last"] == {"docs.build[n=1]", "docs.build[n=2]", "docs.check"}


def test_workflows_nest_but_not_in_circles() -> None:
    inner, middle, outer = Workflow("i"), Workflow("m"), Workflow("o")
    inner.add_unit(load)
    middle.include(inner, "i")
    outer.include(middle, "m")
    assert list(_units(outer)) == ["m.i.load"]
    assert "cannot include itself" in _message(lambda: inner.include(outer, "o"))
    assert "already taken" in _message(lambda: outer.include(inner, "m"))


def test_commands_say_how_they_stop_and_functions_cannot() -> None:
    workflow = Workflow("w", timeout="2h", nice=5)
    workflow.command("a", run="true", stop_signal="SIGINT", leftovers="keep", pty=True, log={"max": "1M"})
    definition = workflow.definition()
    (unit,) = definition.units
    assert (unit.stop_signal, unit.leftovers, unit.pty, unit.log_max) == ("INT", "keep", True, 1 << 20)
    assert (definition.options.timeout, definition.options.nice) == (7200.0, 5)

    assert "units.b.stop_signal: unknown key" in _message(lambda: workflow.unit(load, name="b", stop_signal="INT"))


# -- the keys of files, as arguments ---------------------------------------------------------------------


def _needs(context: Any, raw: Any = None) -> None: ...


def test_the_keys_of_a_unit_are_keyword_arguments() -> None:
    workflow = Workflow("w", params={"full": True}, pools={"gpu": 2, "disk": {"slots": 1}}, cpus=8)
    workflow.add_unit(load)
    workflow.add_unit(
        _needs,
        ["load"],
        name="n",
        args={"raw": FromUnit("load")},
        condition="params.full and units.load.state == 'completed'",
        when="always",
        allow_failure=True,
        pools=["disk"],
        mutex="gpu",
        resources={"cpus": 2, "memory": "1G"},
        outputs=["out"],
        cache={"inputs": ["in"], "ttl": 60},
        cache_keys=["load"],
        confirm="On?",
        progress=r"(?P<done>\d+)",
        stall=5,
        estimate="1m",
        idempotent=False,
    )
    definition = workflow.definition()
    unit = definition.units[1]
    assert unit.args == {"raw": FromUnit("load")}
    assert unit.condition is not None and unit.condition.units == ("load",)
    assert (unit.when, unit.allow_failure, unit.idempotent) == ("always", True, False)
    assert unit.pools == {"disk": 1, "mutex gpu": 1}
    assert (unit.cpus, unit.memory, unit.outputs) == (2.0, 1 << 30, ("out",))
    assert unit.cache == CachePolicy(inputs=("in",), ttl=60.0, keys=("load",))
    assert (unit.confirm, unit.progress, unit.stall, unit.estimate) == ("On?", r"(?P<done>\d+)", 5.0, 60.0)
    assert definition.options.pools == {"gpu": 2, "disk": 1, "mutex gpu": 1}


def test_the_keys_of_the_workflow_are_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    (tmp_path / "a.env").write_text("A=file\nB=file")
    workflow = Workflow(
        "w",
        min_workers=1,
        cpus=3,
        memory_limit="2G",
        max_failures=Brake(count=4),
        handler_timeout="1m",
        env={"A": "own"},
        env_file=str(tmp_path / "a.env"),
        pools={"gpu": {"slots": 2, "max_failures": 3}},
        tags={"net": {"max_failures": {"count": 2, "then": "stop"}}},
        secrets=["TOKEN"],
        notify={"bell": "always"},
        durability="full",
    )
    workflow.command("a", run="x", tags=["net"])
    definition = workflow.definition()
    options = definition.options
    assert (options.cpus, options.memory, options.handler_timeout, options.pools) == (3.0, 2 << 30, 60.0, {"gpu": 2})
    assert options.brakes == {
        "": Brake(count=4),
        "pool:gpu": Brake(count=3),
        "tag:net": Brake(count=2, then="stop"),
    }
    assert definition.units[0].env == {"A": "own", "B": "file"}
    assert (definition.secrets, definition.notify) == (("TOKEN",), Notify(bell="always"))
    assert (definition.durability, definition.advice) == ("full", ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pools": {"gpu": 0}}, "pools.gpu: expected a whole number from 1"),
        ({"tags": {"net": 3}}, "tags.net: expected a table"),
        ({"secrets": ["A="]}, 'secrets.names[0]: "A=" is not a name for an environment variable'),
        ({"secrets": "TOKEN"}, "secrets.names: expected a list of names"),
        ({"notify": {"bell": 3}}, "notify.bell: expected one of"),
        ({"max_failures": {}}, "workflow.max_failures: count is missing"),
        ({"executor": "x"}, 'workflow.executor: only mode = "custom" has an executor'),
        ({"secrets": ["NOT_SET"]}, 'secrets.names[0]: the variable "NOT_SET" is not set'),
        ({"tags": {"net": {"max_failures": 1}}}, "tags.net: no unit has this tag"),
    ],
)
def test_unfit_arguments_of_the_workflow_are_told(arguments: dict[str, Any], message: str) -> None:
    def make() -> None:
        workflow = Workflow("w", **arguments)
        workflow.add_unit(load)
        workflow.definition()

    assert message in _message(make)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"if": "true"}, 'units.load.if: unknown key (did you mean "condition"?)'),
        ({"pools": ["gup"]}, 'units.load.pools: there is no pool "gup" (did you mean "gpu"?)'),
        ({"condition": "params.x"}, "units.load.condition: params.x is not known"),
        ({"resources": {"cpus": 99_999}}, "units.load.resources.cpus: asks for 99999 cpus of "),
        ({"args": {"raw": FromUnit("gone")}}, 'units.load.args.raw: takes the result of "gone", which is not a need'),
    ],
)
def test_unfit_keys_of_a_unit_are_told(keys: dict[str, Any], message: str) -> None:
    def make() -> None:
        workflow = Workflow("w", pools={"gpu": 1})
        workflow.add_unit(_needs, name="load", **keys)
        workflow.definition()

    assert message in _message(make)


def test_a_table_with_from_is_plain_data_in_python() -> None:
    workflow = Workflow("w")
    workflow.add_unit(_needs, args={"raw": {"from": "me"}})
    assert workflow.definition().units[0].args == {"raw": {"from": "me"}}


def test_included_workflows_share_pools_and_keep_their_conditions() -> None:
    docs = Workflow("docs", pools={"gpu": 2})
    docs.command("build", run="x", pools=["gpu"])
    docs.add_unit(_needs, ["build"], name="n", args={"raw": FromUnit("build")}, condition="units.build.cached")
    site = Workflow("site", pools={"disk": 1})
    site.include(docs, "docs")
    definition = site.definition()
    unit = definition.units[1]
    assert unit.args == {"raw": FromUnit("docs.build")}
    assert unit.condition is not None and unit.condition.units == ("docs.build",)
    assert definition.options.pools == {"disk": 1, "gpu": 2}
    other = Workflow("other", pools={"gpu": 1})
    assert 'both workflows declare the pool "gpu", and differently' in _message(lambda: other.include(docs, "d"))
