"""Parts of a workflow: by name, by tag, with needs or dependents, and without some units."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import UsageError
from qtui.core.plan import ExecutionPlan
from qtui.definition.selection import NothingSelected, select

Load = Callable[..., WorkflowDefinition]

FLOW = """
[units.fetch]
tags = ["net"]
[units.clean]
needs = ["fetch"]
[units.embed]
needs = ["clean"]
matrix = { n = [1, 2, 3] }
[units.merge]
needs = ["embed"]
tags = ["late"]
[units.upload]
needs = ["clean"]
tags = ["net", "late"]
[units.alarm]
needs = ["merge", "upload"]
when = "failure"
[units.tidy]
needs = ["*"]
when = "always"
"""
EMBED = ["embed[n=1]", "embed[n=2]", "embed[n=3]"]


def ids(definition: WorkflowDefinition) -> list[str]:
    return [unit.id for unit in definition.units]


def needs(definition: WorkflowDefinition, unit: str) -> set[str]:
    """What a unit needs in the graph that is left."""
    return set(ExecutionPlan.build(definition.units).dependencies[unit])


# -- by name and by tag ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["clean"], ["fetch", "clean"]),
        (["+clean"], ["fetch", "clean"]),
        (["embed"], ["fetch", "clean", *EMBED]),
        (["embed[n=2]"], ["fetch", "clean", "embed[n=2]"]),
        (["embed[n=?]"], ["fetch", "clean", *EMBED]),
        (["emb*2]"], ["fetch", "clean", "embed[n=2]"]),
        (["fetch", "upload"], ["fetch", "clean", "upload"]),
        (["merge+"], ["fetch", "clean", *EMBED, "merge", "upload", "alarm", "tidy"]),
        (["tidy"], ["tidy"]),
        (["tidy+", "fetch"], ["fetch", "tidy"]),
    ],
)
def test_units_are_chosen_by_name_with_what_they_need(load: Load, names: list[str], chosen: list[str]) -> None:
    selected = select(load(FLOW), names)
    assert ids(selected) == chosen
    assert selected.advice == ()
    ExecutionPlan.build(selected.units)


def test_dependents_bring_what_they_need_themselves(load: Load) -> None:
    text = '[units.a]\n[units.b]\n[units.c]\nneeds = ["a", "b"]\n[units.d]\nneeds = ["b"]'
    assert ids(select(load(text), ["a+"])) == ["a", "b", "c"]


def test_a_need_of_everything_means_what_is_chosen(load: Load) -> None:
    assert needs(select(load(FLOW), ["clean", "tidy"]), "tidy") == {"fetch", "clean"}


def test_tags_choose_units_with_what_they_need(load: Load) -> None:
    assert ids(select(load(FLOW), (), ["net"])) == ["fetch", "clean", "upload"]
    assert ids(select(load(FLOW), ["embed[n=1]"], ["net"])) == ["fetch", "clean", "embed[n=1]", "upload"]


def test_without_any_choice_nothing_changes(load: Load) -> None:
    definition = load(FLOW)
    assert select(definition) is definition


def test_all_else_of_a_workflow_stays(load: Load) -> None:
    definition = load(f"[workflow]\nname = 'x'\nworkers = 3\n[pools]\ngpu = 2\n{FLOW}")
    selected = select(definition, ["fetch"])
    assert (selected.name, selected.options, selected.source) == ("x", definition.options, definition.source)


def test_what_is_asked_for_by_name_comes_along(load: Load) -> None:
    text = """
        [units.a]
        call = "time:time"
        [units.b]
        [units.c]
        [units.end]
        needs = ["*"]
        when = "always"
        if = 'units.b.state == "completed"'
        call = "json:dumps"
        args = { obj = { from = "a" } }
        """
    assert ids(select(load(text), ["end"])) == ["a", "b", "end"]


def test_items_of_groups_are_chosen_with_their_own_needs(load: Load) -> None:
    text = """
        [groups.g]
        matrix = { id = ["a", "b"] }
        [units.x]
        group = "g"
        [units.y]
        group = "g"
        needs = ["x"]
        [units.end]
        needs = ["y"]
        """
    assert ids(select(load(text), ["y[id=b]"])) == ["x[id=b]", "y[id=b]"]
    assert ids(select(load(text), ["x[id=a]+"])) == ["x[id=a]", "x[id=b]", "y[id=a]", "y[id=b]", "end"]


# -- without some units ----------------------------------------------------------------------------------


def test_what_needs_an_excluded_unit_is_left_out_and_told(load: Load) -> None:
    selected = select(load(FLOW), exclude=["merge"])
    assert ids(selected) == ["fetch", "clean", *EMBED, "upload", "alarm", "tidy"]
    assert needs(selected, "alarm") == {"upload"}
    assert selected.advice == ()
    selected = select(load(FLOW), exclude=["embed[n=2]"])
    assert ids(selected) == ["fetch", "clean", "embed[n=1]", "embed[n=3]", "upload", "alarm", "tidy"]
    assert [str(problem) for problem in selected.advice] == [
        'flow.toml:9: units.merge: is left out, because it needs "embed[n=2]"'
    ]


def test_what_is_left_out_takes_more_with_it(load: Load) -> None:
    selected = select(load(FLOW), exclude=["clean"])
    assert ids(selected) == ["fetch", "tidy"]
    assert [str(problem) for problem in selected.advice] == [
        'flow.toml:6: units.embed: 3 units are left out, embed[n=1] because it needs "clean"',
        'flow.toml:9: units.merge: is left out, because it needs "embed[n=1]"',
        'flow.toml:12: units.upload: is left out, because it needs "clean"',
        "flow.toml:15: units.alarm: is left out, because it has nothing left to handle",
    ]


def test_nothing_runs_only_for_a_unit_that_is_left_out(load: Load) -> None:
    text = '[units.a]\n[units.b]\n[units.c]\nneeds = ["a", "b"]\n[units.d]'
    selected = select(load(text), ["c", "d"], exclude=["b"])
    assert ids(selected) == ["d"]
    assert [problem.key for problem in selected.advice] == ["units.c"]


def test_what_was_not_chosen_is_not_told(load: Load) -> None:
    assert select(load(FLOW), ["upload"], exclude=["embed"]).advice == ()


def test_needs_of_an_excluded_unit_do_not_come_along_with_its_handler(load: Load) -> None:
    text = '[units.a]\n[units.b]\nneeds = ["a"]\n[units.c]\n[units.h]\nneeds = ["b", "c"]\nwhen = "always"'
    selected = select(load(text), ["h"], exclude=["b"])
    assert ids(selected) == ["c", "h"]
    assert needs(selected, "h") == {"c"}


def test_a_handler_that_asks_for_an_excluded_unit_is_left_out(load: Load) -> None:
    text = """
        [units.a]
        call = "time:time"
        [units.b]
        [units.told]
        needs = ["a", "b"]
        when = "always"
        call = "json:dumps"
        args = { obj = { from = "a" } }
        [units.asked]
        needs = ["*"]
        when = "always"
        if = 'units.a.state == "failed"'
        """
    selected = select(load(text), exclude=["a"])
    assert ids(selected) == ["b"]
    assert [problem.message for problem in selected.advice] == ['is left out, because it asks for "a"'] * 2


def test_a_handler_of_an_item_does_not_turn_to_the_other_items(load: Load) -> None:
    text = """
        [groups.g]
        matrix = { id = [1, 2] }
        [units.x]
        group = "g"
        [units.y]
        group = "g"
        [units.h]
        group = "g"
        needs = ["x", "y"]
        when = "always"
        """
    selected = select(load(text), exclude=["x[id=1]"])
    assert needs(selected, "h[id=1]") == {"y[id=1]"}
    assert needs(selected, "h[id=2]") == {"x[id=2]", "y[id=2]"}


def test_families_and_globs_of_handlers_lose_members(load: Load) -> None:
    text = f'{FLOW}\n[units.h]\nneeds = ["embed", "f*", "*n=2]"]\nwhen = "always"'
    assert needs(select(load(text), exclude=["embed[n=2]"]), "h") == {"embed[n=1]", "embed[n=3]", "fetch"}
    assert needs(select(load(text), exclude=["embed"]), "h") == {"fetch"}


# -- what cannot be selected -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "tags", "exclude", "message"),
    [
        (["fech"], [], [], 'cannot select "fech": there is no such unit (did you mean "fetch"?)'),
        (["+mrge+"], [], [], 'cannot select "mrge": there is no such unit (did you mean "merge"?)'),
        (["q*"], [], [], 'cannot select "q*": there is no such unit'),
        (
            ["embed[n=[12]]"],
            [],
            [],
            'cannot select "embed[n=[12]]": there is no such unit (did you mean "embed[n=2]"?)',
        ),
        (["+"], [], [], 'cannot select "": there is no such unit'),
        (["\x1b"], [], [], 'cannot select "\\x1b": there is no such unit'),
        ([], ["nt"], [], 'no unit has the tag "nt" (did you mean "net"?)'),
        ([], [], ["mrge"], 'cannot exclude "mrge": there is no such unit (did you mean "merge"?)'),
        ([], [], ["merge+"], 'cannot exclude "merge+": there is no such unit (did you mean "merge"?)'),
    ],
)
def test_unknown_names_are_told(
    load: Load, names: list[str], tags: list[str], exclude: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        select(load(FLOW), names, tags, exclude)
    assert str(raised.value) == message


def test_a_selection_of_nothing_says_why(load: Load) -> None:
    with pytest.raises(NothingSelected) as raised:
        select(load(FLOW), ["clean"], exclude=["fetch"])
    assert raised.value.exit_code == 5
    assert str(raised.value) == (
        'no unit is left to run\nflow.toml:4: units.clean: is left out, because it needs "fetch"'
    )
    with pytest.raises(NothingSelected, match=r"^no unit is left to run$"):
        select(load(FLOW), exclude=["*"])


def test_long_chains_and_wide_fans_are_no_trouble(load: Load) -> None:
    chain = "".join(f'[units.u{number}]\nneeds = ["u{number - 1}"]\n' for number in range(1, 3000))
    definition = load(f"[units.u0]\n{chain}[units.fan]\nneeds = ['u0']\nmatrix = {{ n = [1, 2, 3] }}")
    assert len(select(definition, ["u2999"]).units) == 3000
    assert len(select(definition, ["u0+"]).units) == 3003
    assert len(select(definition, exclude=["u1"]).units) == 4
