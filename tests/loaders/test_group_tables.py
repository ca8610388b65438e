"""Groups, and matrices from files and params, in a workflow file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import Shell
from qtui.core.options import Brake
from qtui.core.plan import ExecutionPlan
from qtui.definition.matrix import Matrix
from qtui.definition.values import Rejected
from qtui.workflow import Workflow

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]

CHAIN = """
[groups.sample]
matrix = { file = "samples.tsv" }
[units.fetch]
run = "true"
[units.trim]
group = "sample"
needs = ["fetch"]
run = "trim ${{ matrix.reads }} > ${{ matrix.id }}.fq"
[units.align]
group = "sample"
needs = ["trim"]
run = "align ${{ matrix.id }}.fq"
[units.report]
needs = ["align"]
"""


@pytest.fixture
def samples(in_directory: Path) -> Path:
    file = in_directory / "samples.tsv"
    file.write_text("id\treads\ns1\ta.fq\ns2\tb c.fq\ns3\t\n")
    return file


def ids(definition: WorkflowDefinition) -> list[str]:
    return [unit.id for unit in definition.units]


# -- units of groups -------------------------------------------------------------------------------------


def test_the_units_of_a_group_are_made_once_per_item(load: Load, samples: Path) -> None:
    definition = load(CHAIN)
    trims = [f"trim[id=s{number}]" for number in (1, 2, 3)]
    aligns = [f"align[id=s{number}]" for number in (1, 2, 3)]
    assert ids(definition) == ["fetch", *trims, *aligns, "report"]
    second = definition.units[2]
    assert (second.family, second.group, second.item) == ("trim", "sample", "[id=s2]")
    assert second.matrix == {"id": "s2", "reads": "b c.fq"}
    assert second.action == Shell(("trim b c.fq > s2.fq",))
    assert second.dependencies == ("fetch",)


def test_needs_inside_are_item_by_item_and_from_outside_all_of_them(load: Load, samples: Path) -> None:
    plan = ExecutionPlan.build(load(CHAIN).units)
    assert plan.dependencies["trim[id=s1]"] == {"fetch"}
    assert plan.dependencies["align[id=s2]"] == {"trim[id=s2]"}
    assert plan.dependencies["report"] == {f"align[id=s{number}]" for number in (1, 2, 3)}


def test_a_unit_of_a_group_may_have_a_matrix_of_its_own(load: Load) -> None:
    definition = load(
        """
        [groups.g]
        matrix = { id = ["a", "b"], n = [1] }
        [units.cut]
        group = "g"
        matrix = { lane = [1, 2] }
        run = "cut ${{ matrix.id }} ${{ matrix.n }} ${{ matrix.lane }}"
        [units.join]
        group = "g"
        needs = ["cut"]
        """
    )
    cut = definition.units[1]
    assert ids(definition)[:4] == [f"cut[id={id_},n=1,lane={lane}]" for id_ in "ab" for lane in (1, 2)]
    assert (cut.item, cut.matrix, cut.action) == ("[id=a,n=1]", {"id": "a", "n": 1, "lane": 2}, Shell(("cut a 1 2",)))
    plan = ExecutionPlan.build(definition.units)
    assert plan.dependencies["join[id=b,n=1]"] == {"cut[id=b,n=1,lane=1]", "cut[id=b,n=1,lane=2]"}


def test_pools_and_brakes_of_groups_land_in_the_options(load: Load) -> None:
    options = load(
        """
        [pools]
        rolling = 2
        gpu = 4
        [groups.g]
        matrix = { id = [1] }
        pools = ["rolling"]
        max_failures = { count = 20, same = true }
        [groups.h]
        matrix = { id = [1] }
        pools = { gpu = 3 }
        [groups.plain]
        matrix = { id = [1] }
        [units.a]
        group = "g"
        [units.b]
        group = "h"
        [units.c]
        group = "plain"
        """
    ).options
    assert options.group_pools == {"g": {"rolling": 1}, "h": {"gpu": 3}}
    assert options.brakes == {"group:g": Brake(count=20, same=True)}


def test_groups_of_an_included_file_have_its_prefix(load: Load, in_directory: Path) -> None:
    (in_directory / "sub").mkdir()
    (in_directory / "sub" / "s.csv").write_text("id\na\nb\n")
    (in_directory / "sub" / "inner.toml").write_text(
        '[pools]\nr = 1\n[groups.g]\nmatrix = { file = "s.csv" }\npools = ["r"]\nmax_failures = 3\n'
        '[units.x]\ngroup = "g"\n[units.y]\ngroup = "g"\nneeds = ["x"]\n'
    )
    definition = load('[workflow]\ninclude = { in = "sub/inner.toml" }\n[units.z]\nneeds = ["in.y"]')
    assert ids(definition) == ["z", "in.x[id=a]", "in.x[id=b]", "in.y[id=a]", "in.y[id=b]"]
    assert definition.units[1].group == "in.g"
    assert definition.options.group_pools == {"in.g": {"r": 1}}
    assert definition.options.brakes == {"group:in.g": Brake(count=3)}
    assert ExecutionPlan.build(definition.units).dependencies["in.y[id=b]"] == {"in.x[id=b]"}


def test_a_large_group_loads(load: Load, in_directory: Path) -> None:
    rows = "".join(f"s{number}\tr{number}.fq\n" for number in range(500))
    (in_directory / "samples.tsv").write_text(f"id\treads\n{rows}")
    definition = load(f'{CHAIN}\n[units.a]\ngroup = "sample"\nneeds = ["align"]\n[units.b]\ngroup = "sample"')
    assert len(definition.units) == 2002
    assert ExecutionPlan.build(definition.units).dependencies["a[id=s499]"] == {"align[id=s499]"}


# -- where items come from -------------------------------------------------------------------------------


def test_a_unit_alone_may_be_repeated_for_the_rows_of_a_file(load: Load, samples: Path) -> None:
    text = """
        [units.ping]
        matrix = { file = "samples.tsv", exclude = [{ reads = "" }], include = [{ id = "s9", reads = "z\u00a0y" }] }
        run = "ping ${{ matrix.reads }}"
        """
    definition = load(text)
    assert ids(definition) == ["ping[id=s1]", "ping[id=s2]", "ping[id=s9]"]
    assert definition.units[2].matrix == {"id": "s9", "reads": "z\u00a0y"}
    assert {unit.group for unit in definition.units} == {""}


def test_values_of_a_file_are_found_whatever_their_type(load: Load, in_directory: Path) -> None:
    (in_directory / "s.csv").write_text("n,x\n1,a\n2,b\n")
    assert ids(load('[units.u]\nmatrix = { file = "s.csv", exclude = [{ n = 1 }] }')) == ["u[n=2]"]


@pytest.mark.parametrize("hosts", ["params.hosts", "${{ params.hosts }}"])
def test_a_list_may_come_from_a_param(load: Load, hosts: str) -> None:
    text = (
        f'[params]\nhosts = ["a"]\n[groups.g]\nmatrix = {{ host = "{hosts}" }}\n[units.u]\ngroup = "g"\n'
        f'[units.v]\nmatrix = {{ host = "{hosts}", n = [1] }}'
    )
    assert ids(load(text, hosts="x,y")) == ["u[host=x]", "u[host=y]", "v[host=x,n=1]", "v[host=y,n=1]"]


def test_a_param_may_name_the_file(load: Load, samples: Path) -> None:
    text = '[params]\nsheet = "none.tsv"\n[units.u]\nmatrix = { file = "${{ params.sheet }}" }'
    assert len(load(text, sheet="samples.tsv").units) == 3


def test_a_list_may_be_called_file(load: Load) -> None:
    text = '[params]\nmore = ["c"]\n[units.u]\nmatrix = { file = ["a", "b"] }\n'
    text += '[units.v]\nmatrix = { file = "params.more" }'
    assert ids(load(text)) == ["u[file=a]", "u[file=b]", "v[file=c]"]


def test_defaults_may_have_a_matrix_from_a_param(load: Load) -> None:
    text = '[params]\nhosts = ["a", "b"]\n[defaults]\nmatrix = { host = "params.hosts" }\n[units.u]'
    assert ids(load(text)) == ["u[host=a]", "u[host=b]"]


# -- faults ----------------------------------------------------------------------------------------------

IN_G = "\n[units.u]\ngroup = 'g'"
FAULTS = [
    (
        "[groups.gg]\nmatrix = { id = [1] }\n[units.u]\ngroup = 'g'\n[units.v]\ngroup = 'gg'",
        '4:10: units.u.group: there is no group "g" (did you mean "gg"?)',
    ),
    ("[units.u]\ngroup = 'x'", '2:10: units.u.group: there is no group "x" (declare it: [groups.x])'),
    ("[params]\np = 'g'\n[units.u]\ngroup = ['${{ params.p }}']", "4: units.u.group: expected a string, not a list"),
    ("[params]\np = 'g'\n[units.u]\ngroup = { x = '${{ params.p }}' }", "4: units.u.group: expected a string, not a"),
    (
        "[params]\np = 'g'\n[units.u]\ngroup = '${{ params.p }}'",
        "4:10: units.u.group: a group is named as it is (write its name, without ${{ }})",
    ),
    (
        "[units.u]\ngroup = 'x'\nretries = { mx = '${{ matrix.a }}' }",
        '2:10: units.u.group: there is no group "x" (declare it: [groups.x])',
    ),
    ("[units.u]\ngroup = 1", "2: units.u.group: expected a string, not the number 1"),
    ("[defaults]\ngroup = 'g'\n[units.u]", "2: defaults.group: unknown key"),
    (
        "[groups.g]\nmatrix = { id = [1] }\n[units.u]",
        '1: groups.g: no unit is in this group (give its units the key group = "g")',
    ),
    (f"[groups.g]{IN_G}", "1: groups.g: matrix is missing"),
    (f"[groups]\ng = 1{IN_G}", "2: groups.g: expected a table, not the number 1"),
    ("groups = 1\n[units.u]", "1: groups: expected a table"),
    (
        f"[groups.g]\nmatrix = {{ id = [1] }}\nneeds = []{IN_G}",
        "3: groups.g.needs: unknown key",
    ),
    (f"[groups.g]\nmatrix = {{ id = [] }}{IN_G}", "2: groups.g.matrix.id: is empty, so there would be no unit"),
    (f"[groups.g]\nmatrix = {{ id = [1, 1] }}{IN_G}", "2: groups.g.matrix: makes [id=1] twice"),
    ("[groups.'a b']\nmatrix = { id = [1] }\n[units.u]\ngroup = 'a b'", '1: groups.a b: "a b" cannot be the name of a'),
    (
        f"[groups.g]\nmatrix = {{ id = [1] }}\nmax_failures = 0{IN_G}",
        "3: groups.g.max_failures: expected a whole number from 1",
    ),
    (
        f"[groups.g]\nmatrix = {{ id = [1] }}\npools = ['r']{IN_G}",
        '3:11: groups.g.pools: there is no pool "r" (declare it in [pools]: r = 1)',
    ),
    (
        f"[pools]\nr = 1\n[groups.g]\nmatrix = {{ id = [1] }}\npools = {{ r = 2 }}{IN_G}",
        '5:11: groups.g.pools: asks for 2 slots of "r", which has 1',
    ),
    (
        f"[pools]\nr = 4\n[groups.g]\nmatrix = {{ id = [1] }}\npools = ['r']{IN_G}\npools = {{ r = 2 }}",
        '8:11: units.u.pools: asks for 2 slots of "r", but an item of its group holds 1',
    ),
    (
        f"[groups.g]\nmatrix = {{ id = [1] }}{IN_G}\nmatrix = {{ id = [2] }}",
        '5: units.u.matrix: "id" is also in the matrix of the group g (rename one of them)',
    ),
    (
        "[units.u]\nmatrix = { h = 'params.hots' }\n[params]\nhosts = ['a']",
        "2:17: units.u.matrix.h: params.hots is",
    ),
    (
        "[units.u]\nmatrix = { h = 'params.host' }\n[params]\nhost = 'a'",
        '2: units.u.matrix.h: expected a list of values, not the string "a"',
    ),
    (
        f"[groups.g]\nmatrix = {{ file = 'sample.tsv' }}{IN_G}",
        '2:20: groups.g.matrix.file: there is no file "sample.tsv" (did you mean "samples.tsv"?)',
    ),
    (
        "[units.u]\nmatrix = { file = 'samples.tsv', lane = [1] }",
        "2: units.u.matrix.lane: a file and lists exclude each other",
    ),
    (
        "[units.u]\nmatrix = { file = 'samples.tsv', exclude = [{ read = 1 }] }",
        '2: units.u.matrix.exclude[0].read: is not a column of this matrix (did you mean "reads"?)',
    ),
    (
        "[units.u]\nmatrix = { file = 'samples.tsv', include = [{ id = 's4' }] }",
        "2: units.u.matrix.include[0]: reads is missing",
    ),
    (
        "[units.u]\nmatrix = { file = 'samples.tsv', include = [{ id = 's1', reads = 'x' }] }",
        "2: units.u.matrix: makes [id=s1] twice",
    ),
    (
        "[units.u]\nmatrix = { file = 'samples.tsv', exclude = [{ id = 's1' }, { id = 's2' }, { id = 's3' }] }",
        "2: units.u.matrix: leaves no unit to run",
    ),
    (
        "[defaults]\nmatrix = { file = 'none.tsv' }\n[units.u]\n[units.v]",
        "2:20: defaults.matrix.file: there is no file",
    ),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_a_fault_is_told_with_its_place(problems: Problems, samples: Path, text: str, message: str) -> None:
    (problem,) = problems(text)
    assert str(problem).removeprefix("flow.toml:").startswith(message)


def test_faults_in_a_file_are_told_once_for_all_that_use_it(problems: Problems, in_directory: Path) -> None:
    (in_directory / "s.csv").write_text("id,x\na,1\nb\n")
    text = '[groups.g]\nmatrix = { file = "s.csv" }\n[units.u]\ngroup = "g"\n[units.v]\nmatrix = { file = "s.csv" }'
    assert [str(problem) for problem in problems(text)] == ["s.csv:3: has 1 cell, but there are 2 columns"]


def test_units_that_need_a_broken_group_are_not_told(problems: Problems) -> None:
    text = '[groups.g]\nmatrix = { id = [] }\n[units.u]\ngroup = "g"\ntimeout = -1\n[units.v]\nneeds = ["u"]'
    assert [problem.key for problem in problems(text)] == ["groups.g.matrix.id", "units.u.timeout"]


def test_units_are_counted_before_they_are_made(problems: Problems) -> None:
    lists = ", ".join(str(number) for number in range(400))
    text = (
        f"[groups.g]\nmatrix = {{ id = [{lists}] }}\n[units.a]\ngroup = 'g'\nmatrix = {{ n = [{lists}] }}\nrun = ''\n"
        f"[units.b]\ngroup = 'g'"
    )
    (problem,) = problems(text)
    assert str(problem).startswith("flow.toml:3: units.a: with this unit there are more than the 100,000 units")


def test_a_matrix_in_python_may_be_the_rows_of_a_file(samples: Path) -> None:
    workflow = Workflow("flow")
    workflow.command("a", run="true", matrix={"file": str(samples)})
    rows = samples.read_text().splitlines()[1:]
    assert [unit.id for unit in workflow.definition().units] == [f"a[id={row.split()[0]}]" for row in rows]


def test_a_matrix_that_is_not_read_yet_is_checked_as_far_as_that_goes() -> None:
    assert Matrix.parse({"host": "params.hosts"}).count == 0
    assert Matrix.parse({"file": "s.tsv", "include": [{"id": "a"}]}).count == 1
    with pytest.raises(Rejected, match="expected a table such as"):
        Matrix.parse({"file": "s.tsv", "exclude": [1]})
    with pytest.raises(Rejected, match="is empty"):
        Matrix.parse({"file": ""})


HELD = """
[pools]
disk = 2
[groups.g]
matrix = { id = [1, 2, 3] }
pools = ["disk"]
[units.first]
group = "g"
run = "true"
[units.last]
group = "g"
needs = ["first", "outside"]
run = "true"
"""


@pytest.mark.parametrize(
    ("outside", "message"),
    [
        (
            '[units.outside]\npools = ["disk"]\nrun = "true"',
            "last[id=1] waits for outside while its item holds disk, and outside wants disk too",
        ),
        (
            '[units.outside]\nneeds = ["first"]\nrun = "true"',
            "last[id=2] waits for first[id=1] while its item holds disk, and the item of first[id=1] wants disk too",
        ),
    ],
)
def test_items_that_would_wait_for_ever_for_what_they_hold_are_refused(
    problems: Problems, outside: str, message: str
) -> None:
    found = problems(HELD + outside)
    assert [problem.message for problem in found] == [message]
    assert found[0].key == "units.last.needs"


@pytest.mark.parametrize(
    "outside",
    [
        '[units.outside]\nrun = "true"',
        '[units.outside]\npools = ["disk"]\nrun = "true"\n[defaults]\nneeds = []',
    ],
)
def test_items_may_wait_for_what_is_over_before_they_begin(load: Load, outside: str) -> None:
    held = HELD.replace("[units.first]\n", '[units.first]\nneeds = ["outside"]\n')
    assert load(held + outside)


def test_groups_in_python_are_those_of_the_file(samples: Path) -> None:
    workflow = Workflow(
        "flow",
        pools={"disk": 2},
        groups={"sample": {"matrix": {"file": str(samples)}, "pools": ["disk"], "max_failures": 3}},
    )
    workflow.command("trim", run="trim ${{ matrix.reads }}", group="sample")
    workflow.command("align", run="align", dependencies=["trim"], group="sample")

    definition = workflow.definition()

    plan = ExecutionPlan.build(definition.units)
    first = plan.table[0].item
    assert plan.dependencies[f"align{first}"] == {f"trim{first}"}
    assert definition.options.group_pools == {"sample": {"disk": 1}}
    assert definition.options.brakes == {"group:sample": Brake(count=3)}


def test_a_group_that_python_does_not_declare_is_told() -> None:
    workflow = Workflow("flow")
    workflow.command("trim", run="true", group="sample")
    with pytest.raises(InvalidWorkflow, match="there is no group"):
        workflow.definition()
