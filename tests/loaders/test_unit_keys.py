"""The keys that say when a unit runs, what it takes, what it makes, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import Problem
from qtui.core.model import CachePolicy, FromUnit, QuantumUnit, Shell
from qtui.loaders.load import load_definition

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def unit(load: Load) -> Callable[[str], QuantumUnit]:
    """The first unit of a file; `before` are the tables around it."""

    def unit(keys: str, before: str = "[pools]\ngpu = 2\ndisk = 3\n[workflow]\ncpus = 8") -> QuantumUnit:
        return load(f"{before}\n[units.a]\n{keys}").units[0]

    return unit


ONE = Callable[..., QuantumUnit]


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ("allow_failure = true", "allow_failure", True),
        ("run = 'x'\nsuccess_exit_codes = [3, -15, 0, 3]", "success_exit_codes", (3, -15, 0)),
        ("run = 'x'\nsuccess_exit_codes = [1]", "success_exit_codes", (1,)),
        ("when = 'always'", "when", "always"),
        ("when = 'failure'", "when", "failure"),
        ("pools = ['gpu', 'disk']", "pools", {"gpu": 1, "disk": 1}),
        ("pools = { gpu = 2 }", "pools", {"gpu": 2}),
        ("mutex = 'site'", "pools", {"mutex site": 1}),
        ("mutex = ['site', 'host', 'site']", "pools", {"mutex site": 1, "mutex host": 1}),
        ("pools = ['disk']\nmutex = 'gpu'", "pools", {"disk": 1, "mutex gpu": 1}),
        ("resources = { cpus = 1.5 }", "cpus", 1.5),
        ("resources = { memory = '6G' }", "memory", 6 << 30),
        ("resources = { dask = { GPU = 1, 'tape drive' = 0.5 } }", "cluster_resources", {"GPU": 1, "tape drive": 0.5}),
        ("run = 'x'\noutputs = ['out/x', 'y']", "outputs", ("out/x", "y")),
        ("run = 'x'\ncache = true", "cache", CachePolicy()),
        ("run = 'x'\ncache = false", "cache", None),
        ("run = 'x'\ncache = {}", "cache", CachePolicy()),
        (
            "run = 'x'\ncache = { inputs = ['a/**/*.csv'], env = ['DAY'], ttl = '7d' }",
            "cache",
            CachePolicy(inputs=("a/**/*.csv",), env=("DAY",), ttl=604800.0),
        ),
        ("confirm = 'Really?'", "confirm", "Really?"),
        ("progress = '(?P<done>\\d+) rows'", "progress", r"(?P<done>\d+) rows"),
        ("progress = '(?P<done>\\d+)/(?P<total>\\d+)'", "progress", r"(?P<done>\d+)/(?P<total>\d+)"),
        ("stall = '5m'", "stall", 300.0),
        ("estimate = 20", "estimate", 20.0),
        ("idempotent = false", "idempotent", False),
        ("run = 'x'\nshell = 'bash -e {}'", "action", Shell(("x",), ("bash", "-e", "{}"))),
    ],
)
def test_a_key_lands_in_its_field(unit: ONE, keys: str, field: str, value: object) -> None:
    assert getattr(unit(keys), field) == value


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("allow_failure = 1", "2: units.a.allow_failure: expected true or false"),
        (
            "run = 'x'\nsuccess_exit_codes = []",
            "3: units.a.success_exit_codes: is empty, so nothing would be a success",
        ),
        ("run = 'x'\nsuccess_exit_codes = [256]", "3: units.a.success_exit_codes[0]: expected a whole number from -64"),
        ("run = 'x'\nsuccess_exit_codes = 3", "3: units.a.success_exit_codes: expected a list of exit codes"),
        ("run = 'x'\nsuccess_exit_codes = [true]", "3: units.a.success_exit_codes[0]: expected a whole number"),
        ("success_exit_codes = [3]", "2: units.a.success_exit_codes: only commands have it, not a milestone"),
        (
            "when = 'allways'",
            '2: units.a.when: "allways" is not one of success, failure, always (did you mean "always"',
        ),
        (
            "pools = 'gpu'",
            '2: units.a.pools: expected a list of pools or a table such as { gpu = 2 }, not the string "g',
        ),
        ("pools = ['gpu', 'gpu']", '2: units.a.pools[1]: "gpu" is named twice (write { gpu = 2 })'),
        ("pools = { gpu = 0 }", "2: units.a.pools.gpu: expected a whole number from 1"),
        ("pools = [3]", "2: units.a.pools[0]: expected a string"),
        ("mutex = ''", "2: units.a.mutex: is empty"),
        ("mutex = 3", "2: units.a.mutex: expected a name or a list of names"),
        ("resources = {}", "2: units.a.resources: is empty"),
        ("resources = 4", "2: units.a.resources: expected a table such as { cpus = 4 }"),
        ("resources = { cpu = 4 }", '2: units.a.resources.cpu: unknown key (did you mean "cpus"?)'),
        ("resources = { cpus = 0 }", "2: units.a.resources.cpus: expected a number from 0.01"),
        ("resources = { memory = 0 }", "2: units.a.resources.memory: must be more than 0"),
        ("resources = { dask = 'GPU' }", "2: units.a.resources.dask: expected a table such as { GPU = 1 }"),
        ("resources = { dask = { GPU = 0 } }", "2: units.a.resources.dask.GPU: expected a number from 0.001"),
        ("resources = { memory = '6 gigs' }", "2: units.a.resources.memory: expected a size"),
        ("outputs = 'x'", '2: units.a.outputs: expected a list of paths, not the string "x" (write ["x"])'),
        ("outputs = ['']", "2: units.a.outputs[0]: is empty"),
        ("run = 'x'\ncache = 'yes'", "3: units.a.cache: expected true, false or a table"),
        ("run = 'x'\ncache = { ttl = 0 }", "3: units.a.cache.ttl: must be longer than 0"),
        ("run = 'x'\ncache = { keys = [] }", "3: units.a.cache.keys: unknown key"),
        ("cache = true", "2: units.a.cache: a milestone has no result to use again"),
        ("confirm = true", "2: units.a.confirm: expected a string"),
        ('confirm = "a\\u001bb"', "2: units.a.confirm: "),
        ("progress = '('", "2: units.a.progress: is not a regular expression: "),
        ("progress = '\\d+'", "2: units.a.progress: has no group called done"),
        ("stall = 0", "2: units.a.stall: must be longer than 0"),
        ("estimate = 'soon'", "2: units.a.estimate: expected a duration"),
        ("idempotent = 'no'", "2: units.a.idempotent: expected true or false"),
        # words of other tools
        ("continue_on_error = true", '2: units.a.continue_on_error: unknown key (did you mean "allow_failure"?)'),
        ("cpus = 4", '2: units.a.cpus: unknown key (did you mean "resources"?)'),
        ("lock = 'x'", '2: units.a.lock: unknown key (did you mean "mutex"?)'),
        ("condition = 'x'", '2: units.a.condition: unknown key (did you mean "if"?)'),
    ],
)
def test_an_unfit_value_is_told_with_its_place(problems: Problems, keys: str, message: str) -> None:
    (problem,) = problems(f"[units.a]\n{keys}")
    assert str(problem).removeprefix("flow.toml:").startswith(message)


def test_defaults_hold_for_the_new_keys_too(load: Load) -> None:
    first, second, third = load(
        """
        [defaults]
        when = "always"
        cache = true
        allow_failure = true
        success_exit_codes = [0, 3]
        [units.a]
        run = "x"
        [units.b]
        run = "x"
        when = "success"
        cache = false
        [units.c]
        """
    ).units
    assert (first.when, first.cache, first.allow_failure, first.success_exit_codes) == (
        "always",
        CachePolicy(),
        True,
        (0, 3),
    )
    assert (second.when, second.cache) == ("success", None)
    assert third.cache is None  # a milestone


def test_expressions_may_stand_in_every_key(load: Load) -> None:
    first, second = load(
        """
        [params]
        cores = 2
        codes = [0, 4]
        where = "out"
        [pools]
        h1 = 1
        h2 = 1
        [workflow]
        cpus = 4
        [units.a]
        matrix = { host = ["h1", "h2"] }
        run = "x"
        pools = ["${{ matrix.host }}"]
        resources = { cpus = "${{ params.cores }}" }
        success_exit_codes = "${{ params.codes }}"
        outputs = ["${{ params.where }}/${{ matrix.host }}"]
        confirm = "On ${{ matrix.host }}?"
        """
    ).units
    assert (first.pools, second.pools) == ({"h1": 1}, {"h2": 1})
    assert (first.cpus, first.success_exit_codes) == (2.0, (0, 4))
    assert (first.outputs, second.confirm) == (("out/h1",), "On h2?")


# -- conditions ------------------------------------------------------------------------------------------


def test_a_condition_sees_params_matrix_environment_and_needs(load: Load) -> None:
    units = load(
        """
        [params]
        full = true
        [env]
        STAGE = "test"
        [units.a]
        [units.b]
        needs = ["a"]
        [units.c]
        needs = ["b"]
        matrix = { x = [1, 2] }
        if = "params.full and env.STAGE == 'test' and matrix.x == 1 and units.a.state == 'completed'"
        """
    ).units
    held = [unit.condition and unit.condition.holds(lambda name, fact: "completed") for unit in units]
    assert held == [None, None, True, False]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("params.ful", '4:7: units.b.if: params.ful is not known (did you mean "full"?)'),
        ("params.full or params.", "4: units.b.if: expected a name, not the end"),
        ("params.full and 3", "4:23: units.b.if: is a number, neither true nor false"),
        ("params.full == (true", '4: units.b.if: expected ")", not the end'),
        ("params.full )", '4:19: units.b.if: expected nothing more, not ")"'),
        ("", "4: units.b.if: is empty"),
        ("${{ params.full }}", "4:7: units.b.if: a condition takes values as they are (write params.NAME without"),
        ("units.gone.state == 'failed'", '4:7: units.b.if: asks about "gone", which is not a unit'),
        ("not units.a.fallback", '4:11: units.b.if: asks about "a", which it does not need (add it to needs)'),
        ("units.b.cached", '4:7: units.b.if: asks about "b", which it does not need'),
    ],
)
def test_a_condition_without_meaning_is_told_with_its_column(problems: Problems, condition: str, message: str) -> None:
    (problem,) = problems(f'[params]\nfull = true\n[units.b]\nif = "{condition}"\n[units.a]')
    assert str(problem).removeprefix("flow.toml:").startswith(message)


def test_a_condition_about_an_unfit_param_gives_no_second_message(problems: Problems) -> None:
    (problem,) = problems("[params]\nrows = { type = 'int' }\n[units.a]\nif = 'params.rows > 3'", rows="x")
    assert problem.key == "params.rows"


def test_a_condition_in_the_defaults_is_faulted_there(problems: Problems) -> None:
    (problem,) = problems("[defaults]\nif = 'params.x'\n[units.a]\n[units.b]")
    assert (problem.where, problem.key) == ("flow.toml:2:7", "defaults.if")


def test_a_condition_may_ask_about_what_is_needed_through_others(load: Load) -> None:
    chain = "[units.u0]\n" + "".join(f"[units.u{n}]\nneeds = ['u{n - 1}']\n" for n in range(1, 3000))
    units = load(chain + "if = 'units.u0.cached or units.u1500.cached'").units
    assert units[-1].condition is not None


def test_what_is_asked_about_a_family_must_be_needed_as_a_whole(problems: Problems) -> None:
    text = "[units.a]\nmatrix = { x = [1, 2] }\n[units.b]\nneeds = ['a[x=1]']\nif = 'units.a.cached'"
    (problem,) = problems(text)
    assert 'asks about "a", which it does not need' in problem.message


# -- results as arguments --------------------------------------------------------------------------------


@pytest.fixture
def steps(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def clean(rows, raw=None): pass\n")


@pytest.mark.usefixtures("steps")
def test_the_result_of_a_need_is_an_argument(load: Load) -> None:
    text = """
        [params]
        rows = 3
        [units.fetch]
        matrix = { x = [1, 2] }
        [units.clean]
        needs = ["fetch"]
        call = "steps:clean"
        args = { rows = "${{ params.rows }}", raw = { from = "%s" } }
        """
    for name in ("fetch", "fetch[x=1]"):
        assert load(text % name).units[-1].args == {"rows": 3, "raw": FromUnit(name)}


@pytest.mark.usefixtures("steps")
def test_only_a_table_with_nothing_but_from_is_a_result(load: Load) -> None:
    args = "{ rows = { from = 'a', to = 'b' }, raw = { from = 3 } }"
    (unit,) = load(f"[units.clean]\ncall = 'steps:clean'\nargs = {args}").units
    assert unit.args == {"rows": {"from": "a", "to": "b"}, "raw": {"from": 3}}


@pytest.mark.usefixtures("steps")
def test_a_result_must_be_of_a_need(problems: Problems) -> None:
    text = "[units.fetch]\n[units.clean]\ncall = 'steps:clean'\nargs = { rows = 1, raw = { from = 'fetch' } }"
    (problem,) = problems(text)
    message = 'units.clean.args.raw: takes the result of "fetch", which is not a need (add it to needs)'
    assert str(problem) == f"flow.toml:4: {message}"


# -- limits ----------------------------------------------------------------------------------------------

AROUND = "[workflow]\ncpus = 4\nmemory_limit = '2G'\n[pools]\ngpu = 2\n[units.a]\n"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("pools = ['gup']", '7:11: units.a.pools: there is no pool "gup" (did you mean "gpu"?)'),
        ("pools = { gpu = 3 }", '7:11: units.a.pools: asks for 3 slots of "gpu", which has 2'),
        ("resources = { cpus = 8 }", "7: units.a.resources.cpus: asks for 8 cpus of 4"),
        ("resources = { memory = '2.5G' }", "7: units.a.resources.memory: asks for 2.5G of the memory_limit of 2G"),
    ],
)
def test_what_can_never_start_is_an_error(problems: Problems, keys: str, message: str) -> None:
    (problem,) = problems(AROUND + keys)
    assert str(problem).removeprefix("flow.toml:").startswith(message)


def test_all_of_everything_may_be_taken(load: Load) -> None:
    load(AROUND + "pools = { gpu = 2 }\nresources = { cpus = 4, memory = '2G' }")


def test_two_units_with_one_output_are_told(problems: Problems) -> None:
    text = "[units.a]\nrun = 'x'\noutputs = ['out/x']\n[units.b]\nrun = 'x'\ncwd = 'out'\noutputs = ['../out/./x']"
    (problem,) = problems(text)
    assert str(problem) == 'flow.toml:7:13: units.b.outputs: b makes "../out/./x", and so does a'


def test_items_with_one_output_are_told_once(problems: Problems) -> None:
    (problem,) = problems("[units.a]\nmatrix = { x = [1, 2, 3] }\nrun = 'x'\noutputs = ['out']")
    assert problem.message == 'a[x=2] makes "out", and so does a[x=1]'


def test_too_many_units_are_refused_before_any_is_made(problems: Problems) -> None:
    items = ", ".join(map(str, range(400)))
    matrix = f"matrix = {{ x = [{items}], y = [{items}] }}"
    (problem,) = problems(f"[units.a]\n{matrix}")
    assert "makes more than 100000 units" in problem.message
    half = f"matrix = {{ x = [{items}], y = [{', '.join(map(str, range(150)))}] }}"
    (problem,) = problems(f"[units.a]\n{half}\n[units.b]\n{half}\n[units.c]\nneeds = ['gone']")
    assert (problem.where, problem.key) == ("flow.toml:3", "units.b")
    assert problem.message == "with this unit there are more than the 100,000 units that a workflow may have"


@pytest.mark.parametrize("form", ["chain", "fan"])
def test_ten_thousand_units_load(tmp_path: Path, form: str) -> None:
    needs = range(9_999) if form == "chain" else [0] * 9_999
    text = "[units.u0]\n" + "".join(f"[units.u{n}]\nneeds = ['u{m}']\nrun = 'x'\n" for n, m in enumerate(needs, 1))
    (tmp_path / "flow.toml").write_text(text + "[units.end]\nneeds = ['*']")
    definition = load_definition("flow.toml")
    assert len(definition.units) == 10_001
    assert str(definition.units[9_999].source) == "flow.toml:29996"


def test_the_variables_that_a_unit_sets_itself_count_for_its_cache(load: Load) -> None:
    text = """
    [env]
    DAY = "1"
    [defaults]
    env = { LEVEL = "1" }
    [units.plain]
    run = "true"
    cache = true
    [units.more]
    run = "true"
    env = { MODE = "x", LEVEL = "2" }
    cache = { env = ["DAY", "MODE"] }
    [units.never]
    run = "true"
    env = { MODE = "x" }
    cache = false
    """
    units = {unit.id: unit.cache for unit in load(text).units}
    assert units["plain"] == CachePolicy(env=("LEVEL",))
    assert units["more"] == CachePolicy(env=("DAY", "MODE", "LEVEL"))
    assert units["never"] is None
