"""Workflow files with faults: each is told with its line, its key path, and where possible a way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import CircularDependencyError, InvalidWorkflow, Problem
from qtui.definition.values import TOO_LARGE
from qtui.loaders.load import load_definition

Problems = Callable[..., tuple[Problem, ...]]

FAULTS = [
    # unknown keys and the words of other tools
    ("[units.a]\ntimout = 1", '2: units.a.timout: unknown key (did you mean "timeout"?)'),
    (
        "[defaults]\nretries = { max = '${{ matrix.n }}', dely = 1 }\n[units.a]\nretries = 1",
        '2: defaults.retries.dely: unknown key (did you mean "delay"?)',
    ),
    (
        "[defaults]\nretries = { max = '${{ env.NO_NUMBER }}', dely = 1 }\n[units.a]\nretries = 1",
        '2: defaults.retries.dely: unknown key (did you mean "delay"?)',
    ),
    ("[units.a]\n[units.b]\ndepends_on = ['a']", '3: units.b.depends_on: unknown key (did you mean "needs"?)'),
    ("[units.a]\ncommand = 'x'", '2: units.a.command: unknown key (did you mean "run"?)'),
    ("[units.a]\ndir = 'x'", '2: units.a.dir: unknown key (did you mean "cwd"?)'),
    ("[units.a]\n[tasks.b]", '2: tasks: unknown key (did you mean "units"?)'),
    ("name = 'x'\n[units.a]", "1: name: unknown key (it belongs in [workflow])"),
    ("[units.a]\n[fetch]\nrun = 'x'", "2: fetch: unknown key (did you mean [units.fetch]?)"),
    ("[workflow]\nworker = 3\n[units.a]", '2: workflow.worker: unknown key (did you mean "workers"?)'),
    ("[defaults]\ntimeot = 3\n[units.a]", '2: defaults.timeot: unknown key (did you mean "timeout"?)'),
    (
        "[params]\np = 1\n[defaults]\ntimeot = '${{ params.p }}'\n[units.a]",
        '4: defaults.timeot: unknown key (did you mean "timeout"?)',
    ),
    ("[defaults]\nrun = 'x'\n[units.a]", "2: defaults.run: cannot be a default (write it in [units.NAME])"),
    ("[units.a]\nretries = { max = 1, delays = 3 }", '2: units.a.retries.delays: unknown key (did you mean "delay"?)'),
    ("[units.a.retries]\nmax = 1\ndelays = 3", '3: units.a.retries.delays: unknown key (did you mean "delay"?)'),
    # keys of commands
    (
        "[units.a]\ncall = 'json:loads'\nargs = { s = '1' }\npty = true",
        "4: units.a.pty: only commands have it, not a call",
    ),
    ("[units.a]\nleftovers = 'keep'", "2: units.a.leftovers: only commands have it, not a milestone"),
    (
        "[units.a]\nrun = 'x'\nstop_signal = 'STOP'",
        '3: units.a.stop_signal: "STOP" is not one of TERM, INT, HUP, QUIT, ',
    ),
    ("[units.a]\nrun = 'x'\nstop_signal = 2", "3: units.a.stop_signal: expected one of TERM, INT, HUP"),
    ("[units.a]\nrun = 'x'\nleftovers = 'keap'", '3: units.a.leftovers: "keap" is not one of kill, keep (did you mean'),
    ("[units.a]\nrun = 'x'\npty = 1", "3: units.a.pty: expected true or false, not the number 1"),
    ("[units.a]\nlog = '64M'", "2: units.a.log: expected a table"),
    ("[units.a]\nlog = {}", "2: units.a.log: max is missing"),
    (
        "[units.a]\nlog = { max = '1K' }",
        "2: units.a.log.max: is less than 64K, which would cut off the message of an er",
    ),
    ("[units.a]\nlog = { max = -1 }", "2: units.a.log.max: a size cannot be negative"),
    ("[units.a]\nlog = { mx = 3 }", '2: units.a.log.mx: unknown key (did you mean "max"?)'),
    ("[workflow]\nnice = 20\n[units.a]", "2: workflow.nice: expected a whole number from 0 to 19, not the number 20"),
    ("[workflow]\ntimeout = 0\n[units.a]", "2: workflow.timeout: must be longer than 0"),
    # values of the wrong kind
    ("version = 2\n[units.a]", "1: version: expected 1, the version known here, not the number 2"),
    ("version = true\n[units.a]", "1: version: expected 1"),
    ("units = 3", "1: units: expected a table: [units], not the number 3"),
    ("[units]\na = 'x'", '2: units.a: expected a table, not the string "x" (write a table [units.a]'),
    ("[units.a]\nneeds = 'b'", '2: units.a.needs: expected a list of names, not the string "b" (write ["b"])'),
    ("[units.a]\nneeds = ['a', 3]", "2: units.a.needs[1]: expected a string, not the number 3"),
    ("[units.a]\nrun = ''", "2: units.a.run: is empty"),
    ("[units.a]\nrun = []", "2: units.a.run: is empty"),
    ("[units.a]\nrun = ['x', '']", "2: units.a.run[1]: is empty"),
    ('[units.a]\nrun = "a\\u0000b"', "2: units.a.run: contains a NUL character"),
    ("[units.a]\nargv = []", "2: units.a.argv: names no program"),
    ("[units.a]\nargv = ['x', 1]", "2: units.a.argv[1]: expected a string, not the number 1"),
    ("[units.a]\ntimeout = true", '2: units.a.timeout: expected a duration such as "90s", or a number of seconds, not'),
    ("[units.a]\ntimeout = nan", "2: units.a.timeout: expected a finite number of seconds, not the number nan"),
    ("[units.a]\ntimeout = inf", "2: units.a.timeout: expected a finite number of seconds, not the number inf"),
    ("[units.a]\ntimeout = -1", "2: units.a.timeout: a duration cannot be negative"),
    ("[units.a]\ntimeout = 0", "2: units.a.timeout: must be longer than 0"),
    ("[units.a]\ntimeout = '90'", '2: units.a.timeout: expected a duration such as "90s", "1h30m" or "500ms", not th'),
    ("[units.a]\nretries = true", "2: units.a.retries: expected a whole number or a table such as { max = 3 }, not a"),
    ("[units.a]\nretries = -1", "2: units.a.retries: expected a whole number from 0 to 1000000, not the number -1"),
    ("[units.a]\nretries = { delay = 3 }", "2: units.a.retries: max is missing"),
    ("[units.a]\nretries = { max = 1, on = [0] }", "2: units.a.retries.on[0]: exit code 0 is a success"),
    ("[units.a]\nretries = { max = 1, backoff = nan }", "2: units.a.retries.backoff: expected a number from 1 to 1000"),
    ("[units.a]\npriority = 1.5", "2: units.a.priority: expected a whole number, not the number 1.5"),
    ("[units.a]\nkind = 'gpu'", '2: units.a.kind: "gpu" is not one of cpu, io'),
    (
        "[units.a]\nmode = 'theads'",
        '2: units.a.mode: "theads" is not one of auto, sequential, thread, process, async, custom (did',
    ),
    ("[units.a]\nenv = { A = 4 }", '2: units.a.env.A: expected a string, not the number 4 (write "4")'),
    ("[units.a.env]\nB = '1'\nA = 4", '3: units.a.env.A: expected a string, not the number 4 (write "4")'),
    ('[env]\n"A=B" = "1"\n[units.a]', "2: env.A=B: is not a name for an environment variable"),
    ("[defaults]\nenv = { A = 4 }\n[units.a]", "2: defaults.env.A: expected a string"),
    ('[units.a]\nrun = "x"\nshell = "bash \'"', '3: units.a.shell: "bash \'" cannot be split into words'),
    ('[units.a]\ntags = ["a\\u001bb"]', '2: units.a.tags[0]: "a\\x1bb" has characters that cannot be shown'),
    ("[workflow]\nworkers = 0\n[units.a]", "2: workflow.workers: expected a whole number from 1 to 1024, not the numb"),
    ("[workflow]\nworkers = 5\nmax_workers = 4\n[units.a]", "2: workflow.workers: 5 workers are more than max_workers"),
    ("[workflow]\nkeep_going = 1\n[units.a]", "2: workflow.keep_going: expected true or false, not the number 1"),
    ("[workflow]\nstrategy = 'fast'\n[units.a]", '2: workflow.strategy: "fast" is not one of priority, resource_bal'),
    # names and combinations
    ('[units."a b"]', '1: units.a b: "a b" cannot be the name of a unit (use letters'),
    ("[units.'a[0]']", '1: units.a[0]: "a[0]" cannot be the name of a unit'),
    ("[units.-a]", '1: units.-a: "-a" cannot be the name of a unit'),
    ("[units.a]\nrun = 'x'\nargv = ['y']", "3: units.a.argv: run and argv exclude each other"),
    ("[units.a]\nargs = { x = 1 }", "2: units.a.args: only a call takes args"),
    ("[units.a]\nargv = ['x']\nshell = 'sh'", "3: units.a.shell: only run uses a shell"),
    # the matrix
    ("[units.a]\nmatrix = { x = [] }", "2: units.a.matrix.x: is empty, so there would be no unit"),
    ("[units.a]\nmatrix = {}", "2: units.a.matrix: has no list to take values from"),
    ("[units.a]\nmatrix = [1]", "2: units.a.matrix: expected a table of lists, not a list"),
    ("[units.a]\nmatrix = { x = [[1]] }", "2: units.a.matrix.x[0]: expected a string, number or boolean, not a list"),
    ('[units.a]\nmatrix = { x = ["a\\nb"] }', '2: units.a.matrix.x[0]: "a\\nb" cannot be part of a unit\'s name'),
    ("[units.a]\nmatrix = { x = [1, 1] }", "2: units.a.matrix: makes [x=1] twice"),
    ("[units.a]\nmatrix = { x = [1], exclude = [{ x = 1 }] }", "2: units.a.matrix: leaves no unit to run"),
    ("[units.a]\nmatrix = { xs = [1], exclude = [{ x = 1 }] }", "2: units.a.matrix.exclude[0].x: is not a list of thi"),
    ("[units.a]\nmatrix = { x = [1], y = [1], include = [{ x = 1 }] }", "2: units.a.matrix.include[0]: y is missing"),
    # expressions
    ("[units.a]\nrun = 'echo ${{ matrix.x }}'", "2:13: units.a.run: matrix.x is not known (there is no matrix here)"),
    (
        "[params]\nday = 'x'\n[units.a]\nrun = '''\necho a\necho ${{ params.dya }}'''",
        '6:6: units.a.run: params.dya is not known (did you mean "day"?)',
    ),
    ("[units.a]\nrun = ['x', 'y ${{ nope.x }}']", '2:16: units.a.run[1]: there is no "nope" to take "x" from'),
    ("[units.a]\nrun = '${{ 1 + 1 }}'", '2:8: units.a.run: "${{ 1 + 1 }}" is not an expression (write params.NAME'),
    ("[units.a]\nrun = 'x ${{ params.x'", "2:10: units.a.run: ${{ is never closed (close it with }})"),
    ("[units.a]\nenv = { X = '${{ env.NO_SUCH_ONE }}' }", "2:14: units.a.env.X: env.NO_SUCH_ONE is not known"),
    (
        "[units.a]\ncall = 'json:loads'\nargs = { s = ['${{ params.x }}'] }",
        "3:16: units.a.args.s[0]: params.x is not k",
    ),
    ("[defaults]\ncwd = '${{ params.x }}'\n[units.a]", "2:8: defaults.cwd: params.x is not known"),
    # params
    (
        "[params]\nx = { default = 1, type = 'str' }\n[units.a]",
        "2: params.x.default: expected a string, not the number",
    ),
    ("[params]\nx = { type = 'text' }\n[units.a]", '2: params.x.type: "text" is not one of str, int, float, bool, l'),
    ("[params]\nx = { defualt = 1 }\n[units.a]", '2: params.x.defualt: unknown key (did you mean "default"?)'),
    ("[params]\nx = { type = 'str' }\n[units.a]", "2: params.x: a value is required (give one with -p x=VALUE)"),
    ("[params]\nx = { required = false }\n[units.a]", "2: params.x.required: a param that is not required needs a d"),
    ("[params]\nx = { required = true, default = 1 }\n[units.a]", "2: params.x.required: a required param has no def"),
    ("[params]\nx = { pattern = '(', default = 'a' }\n[units.a]", "2: params.x.pattern: is not a regular expression"),
    (
        "[params]\nx = { pattern = 'b+', default = 'a' }\n[units.a]",
        '2: params.x.default: "a" does not match the pattern',
    ),
    (
        "[params]\nx = { choices = ['small'], default = 'smal' }\n[units.a]",
        '2: params.x.default: "smal" is not one of s',
    ),
    ("[params]\nx = nan\n[units.a]", "2: params.x.default: expected a finite number, not the number nan"),
    ("[params]\nx = 2024-01-01\n[units.a]", "2: params.x: expected a string, number, boolean or list, not a date"),
    ("[params]\nx-y = 1\n[units.a]", "2: params.x-y: is not a name for a param"),
    ("[params]\nparams = 1\n[units.a]", '2: params.params: a param cannot be called "params"'),
    ("[params]\nb = 1\n[units.b]\n[units.a]\nneeds = ['b']", '4: units.a: needs "b", which is also the name of a p'),
    # the graph
    ("[workflow]", " there is no unit to run (add a [units.NAME] table)"),
    ("", " there is no unit to run (add a [units.NAME] table)"),
    ("[units.fetch]\n[units.b]\nneeds = ['fecth']", '2: units.b: needs "fecth", which is not a unit (did you mean "fe'),
    (
        "[units.a]\nneeds = ['b']\n[units.b]\nneeds = ['a']",
        "1: units.a: these units need each other: a needs b needs a",
    ),
    ("[units.a]\nmatrix = { x = [1, 2] }\nneeds = ['b']", '1: units.a: needs "b", which is not a unit'),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_a_fault_is_told_with_its_place(problems: Problems, text: str, message: str) -> None:
    (problem,) = problems(text)
    assert str(problem).removeprefix("flow.toml:").startswith(message)
    assert "\n" not in str(problem)


MALFORMED = [
    ("[units.a\n", "flow.toml:1:9: not correct TOML: "),
    ("a = 1\na = 2\n", "flow.toml:2:6: not correct TOML: Cannot overwrite a value"),
    ("[units.a]\n[units.a]\n", "flow.toml:2:9: not correct TOML: Cannot declare ('units', 'a') twice"),
    ("a = [1,\n2", "flow.toml:2:2: not correct TOML: Unclosed array"),
    ("a = " + "[" * 5000, "flow.toml: tables or arrays are nested too deeply"),
    ("[units.a]\nfallback = " + "9" * 5000, f"flow.toml:2:12: the number {TOO_LARGE}"),
    (
        f"# {'9' * 5000}\n[units.a]\nrun = '{'9' * 5000}'\npriority = {'9_9' * 5000}",
        f"flow.toml:4:12: the number {TOO_LARGE}",
    ),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED)
def test_text_that_is_no_toml_is_one_line_with_a_place(problems: Problems, text: str, message: str) -> None:
    (problem,) = problems(text)
    assert str(problem).startswith(message.rsplit(":", 1)[0] if message.endswith(": ") else message)
    assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[units.a]\nmatrix = { a = [0x%s] }" % ("f" * 5000), "flow.toml:2: units.a.matrix.a[0]: "),
        ("[units.a]\nrun = 'echo ${{ params.n }}'\n[params]\nn = 0x%s" % ("f" * 5000), "flow.toml:4: params.n: "),
        ("[units.a]\nfallback = 9223372036854775808", "flow.toml:2: units.a.fallback: "),
        ("[units.a]\nfallback = -9223372036854775809", "flow.toml:2: units.a.fallback: "),
    ],
)
def test_whole_numbers_have_64_bits(problems: Problems, text: str, message: str) -> None:
    assert [str(problem) for problem in problems(text)] == [message + TOO_LARGE]


def test_the_largest_whole_numbers_are_taken(load: Callable[..., WorkflowDefinition]) -> None:
    text = "[units.a]\nmatrix = { x = [9223372036854775807, -9223372036854775808, 0x7fffffffffffffff_0] }"
    with pytest.raises(InvalidWorkflow):
        load(text)
    text = text.replace(", 0x7fffffffffffffff_0", "")
    assert [unit.matrix["x"] for unit in load(text).units] == [2**63 - 1, -(2**63)]


def test_bytes_that_are_no_text_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_bytes(b"[units.a]\nrun = '\xff'\n")
    with pytest.raises(InvalidWorkflow, match=r"flow\.toml:2:8: the byte 0xff is not UTF-8 text"):
        load_definition("flow.toml")


def test_tables_nested_deeper_than_python_can_go_are_told(problems: Problems) -> None:
    (problem,) = problems("[units.a.args" + ".x" * 3000 + "]\n")
    assert "nested too deeply" in str(problem)


def test_all_faults_of_a_file_are_told_at_once(problems: Problems) -> None:
    found = problems(
        """
        vesion = 1
        [workflow]
        workers = "many"
        [params]
        day = { type = "str", required = true }
        [units.a]
        timeout = -1
        tag = ["x"]
        run = "echo ${{ params.day }} ${{ params.other }}"
        [units.b]
        needs = ["a", "c"]
        retries = { max = -1, on = [true] }
        """
    )
    assert [(problem.where, problem.key) for problem in found] == [
        ("flow.toml:2", "vesion"),
        ("flow.toml:4", "workflow.workers"),
        ("flow.toml:6", "params.day"),
        ("flow.toml:8", "units.a.timeout"),
        ("flow.toml:9", "units.a.tag"),
        ("flow.toml:10:39", "units.a.run"),
        ("flow.toml:11", "units.b"),
        ("flow.toml:13", "units.b.retries.max"),
        ("flow.toml:13", "units.b.retries.on[0]"),
    ]


@pytest.mark.parametrize("fault", ["matrix = { a = 3 }", "group = 'gone'", "pty = true", "timeout = 'x'", "args = 1"])
def test_a_function_that_is_not_there_is_told_whatever_else_is_wrong(problems: Problems, fault: str) -> None:
    found = problems(f"[units.a]\ncall = 'no_such_steps:work'\n{fault}")
    assert found[0].where == "flow.toml:2"
    assert found[0].message == "there is no module no_such_steps in . or on Python's path"
    assert len(found) == 2


def test_a_fault_that_all_items_of_a_matrix_have_is_told_once(problems: Problems) -> None:
    found = problems("[units.a]\nmatrix = { x = [1, 2, 3] }\ntimeout = '${{ matrix.x }}'\nneeds = ['gone']\nrun = ''")
    assert [problem.key for problem in found] == ["units.a", "units.a.run"]


def test_a_fault_of_the_defaults_is_told_once_and_even_if_every_unit_overrides_it(problems: Problems) -> None:
    (problem,) = problems("[defaults]\ntimeout = -1\n[units.a]\ntimeout = 1\n[units.b]\ntimeout = 1")
    assert (problem.where, problem.key) == ("flow.toml:2", "defaults.timeout")
    (problem,) = problems("[defaults]\ntimeout = '${{ params.none }}'\n[units.a]\ntimeout = 1\n[units.b]")
    assert (problem.where, problem.key) == ("flow.toml:2:12", "defaults.timeout")
    (problem,) = problems("[defaults]\ntimeout = -1\n[units.a]\n[units.b]")
    assert (problem.where, problem.key) == ("flow.toml:2", "defaults.timeout")


def test_a_cycle_alone_keeps_its_path(load: Callable[..., WorkflowDefinition]) -> None:
    with pytest.raises(CircularDependencyError) as raised:
        load("[units.a]\nneeds = ['b']\n[units.b]\nneeds = ['a']")
    assert raised.value.path == ("a", "b", "a")


def test_a_broken_matrix_does_not_make_needs_look_unknown(problems: Problems) -> None:
    (problem,) = problems("[units.a]\nmatrix = { x = 3 }\n[units.b]\nneeds = ['a[x=3]']")
    assert problem.key == "units.a.matrix.x"


def test_a_broken_matrix_does_not_hide_the_other_faults_of_its_unit(problems: Problems) -> None:
    found = problems("[units.a]\nmatrix = { x = 3 }\nrun = '${{ matrix.x }}'\ntimeout = -1\ntag = 1")
    assert [problem.key for problem in found] == ["units.a.matrix.x", "units.a.timeout", "units.a.tag"]


def test_a_matrix_too_large_to_expand_is_refused(problems: Problems) -> None:
    axes = ", ".join(f"x{n} = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for n in range(20))
    (problem,) = problems(f"[units.a]\nmatrix = {{ {axes} }}")
    assert problem.message == "makes more than 100000 units"
