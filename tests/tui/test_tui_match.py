"""The words by which people mean units."""

from __future__ import annotations

import pytest
from scenes import nightly, unit
from scripted import ScriptedSession

from qtui.core.model import QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.state import RunView
from qtui.tui.match import FINER_WORDS, STATE_WORDS, BadFilter, find_units, follows_states, select


def found(view: RunView, words: str) -> list[str]:
    return [view.plan.table[number].id for number in find_units(view, words)]


def selected(view: RunView, words: str) -> set[str]:
    return {view.plan.table[number].id for number in select(view, words.split())}


def sheet() -> RunView:
    def step(name: str, item: str, *tags: str) -> QuantumUnit:
        return unit(f"{name}[id={item}]", family=name, group="sample", item=f"[id={item}]", tags=frozenset(tags))

    units = [step(name, item) for name in ("trim", "Align") for item in ("a", "b")]
    return ScriptedSession([*units, unit("publish", tags=frozenset({"slow", "net"}))], RunOptions(workers=1)).view()


NIGHTLY = nightly().view()


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("ALIGN", ["Align[id=a]", "Align[id=b]"]),
        ("sample[id=a", ["trim[id=a]", "Align[id=a]"]),
        ("sample !align", ["trim[id=a]", "trim[id=b]"]),
        ("*[id=b]", ["trim[id=b]", "Align[id=b]"]),
        ("rim*", []),
        ("tag:NET", ["publish"]),
        ("tag:s*", ["publish"]),
        ("!tag:slow !b]", ["trim[id=a]", "Align[id=a]"]),
        ("state:run", ["trim[id=a]"]),
        ("nothing", []),
    ],
)
def test_all_words_of_a_filter_must_hold(words: str, ids: list[str]) -> None:
    assert found(sheet(), words) == ids


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("state:failed", ["grid[lr=1.0]", "grid[lr=0.01]"]),
        ("state:FAIL", ["grid[lr=1.0]", "grid[lr=0.01]"]),
        ("state:time", ["grid[lr=0.01]"]),
        ("state:failed !state:timeout", ["grid[lr=1.0]"]),
        ("state:skip", ["report.grid", "publish"]),
        ("state:retry", []),
        ("state:wa", ["merge"]),
    ],
)
def test_states_are_known_by_the_words_on_the_screen_and_others(words: str, ids: list[str]) -> None:
    assert found(NIGHTLY, words) == ids


def test_every_unit_has_one_of_the_states_and_no_word_fails() -> None:
    whole = {number for word in STATE_WORDS for number in find_units(NIGHTLY, f"state:{word}")}
    assert whole == set(range(len(NIGHTLY.plan)))
    for word in FINER_WORDS:
        assert set(find_units(NIGHTLY, f"state:{word}")) <= whole


def test_without_words_all_units_are_found() -> None:
    assert found(sheet(), " ") == [known.id for known in sheet().plan.table]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("state:bogus", "state:bogus is no state; there are wait queue run ok failed"),
        ("state:r", "state:r is no state; there are"),
        ("state:", "state: is no state; there are"),
        ("tag:", "tag: needs the name of a tag"),
        ("trim !", "! says nothing: !WORD is for what must not hold"),
        ("state:\x1b[2Jx", "state:x is no state"),
    ],
)
def test_words_that_mean_nothing_say_so(words: str, complaint: str) -> None:
    with pytest.raises(BadFilter) as bad:
        find_units(sheet(), words)
    assert str(bad.value).startswith(complaint)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("publish trim[id=a]", {"publish", "trim[id=a]"}),
        ("trim", {"trim[id=a]", "trim[id=b]"}),
        ("sample", {"trim[id=a]", "trim[id=b]", "Align[id=a]", "Align[id=b]"}),
        ("sample[id=b]", {"trim[id=b]", "Align[id=b]"}),
        ("al*", {"Align[id=a]", "Align[id=b]"}),
        ("running", {"trim[id=a]"}),
        ("failed", set()),
        ("tag:net state:run", {"publish", "trim[id=a]"}),
        ("", set()),
    ],
)
def test_each_word_of_a_command_adds_units(words: str, ids: set[str]) -> None:
    assert selected(sheet(), words) == ids


def test_a_word_that_names_no_unit_is_refused_with_a_guess() -> None:
    with pytest.raises(BadFilter, match=r"there is no unit publsh; did you mean publish\?"):
        select(sheet(), ["publsh"])
    with pytest.raises(BadFilter, match=r"there is no unit zzz$"):
        select(sheet(), ["zzz"])


def test_only_filters_by_state_find_others_as_the_run_goes_on() -> None:
    assert [follows_states(words) for words in ("state:run", "a !STATE:run", "a tag:b", "estate:x")] == [
        True,
        True,
        False,
        False,
    ]
