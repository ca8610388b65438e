"""What a command line means: where the workflow is, which words are units, and what options without a value take."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from qtui.cli.adjust import overrides_of
from qtui.cli.options import _WITH_VALUE, _parser, parse
from qtui.core.errors import UsageError
from qtui.definition import machine


@pytest.mark.parametrize(
    ("line", "workflow", "units"),
    [
        ("flow.toml", "flow.toml", []),
        ("run flow.toml", "flow.toml", []),
        ("flow.toml build", "flow.toml", ["build"]),
        ("run flow.toml build test+ +lint", "flow.toml", ["build", "test+", "+lint"]),
        ("flow.toml -j 2 build --fail-fast test", "flow.toml", ["build", "test"]),
        ("-j 2 run flow.toml build", "flow.toml", ["build"]),
        ("-n flow.toml build", "flow.toml", ["build"]),
        ("-p day=1 flow.toml build", "flow.toml", ["build"]),
        ("-e A=1 --env-file x.env flow.toml", "flow.toml", []),
        ("flow.toml -- build", "flow.toml", ["build"]),
        ("flow.toml run", "flow.toml", ["run"]),
    ],
)
def test_the_first_word_is_the_workflow_and_the_others_are_units(line: str, workflow: str, units: list[str]) -> None:
    options = parse(line.split())

    assert (options.command, options.workflow, options.units) == ("run", workflow, units)


@pytest.mark.parametrize(
    ("line", "force", "units"),
    [
        ("flow.toml", [], []),
        ("flow.toml -f", ["*"], []),
        ("-f flow.toml", ["*"], []),
        ("--force flow.toml build", ["*"], ["build"]),
        ("flow.toml -f build", ["build"], []),
        ("flow.toml -f build test", ["build"], ["test"]),
        ("flow.toml -f a -f b", ["a", "b"], []),
        ("flow.toml --force=a -f -n", ["a", "*"], []),
        ("flow.toml -fa", ["a"], []),
        ("flow.toml -nf", ["*"], []),
        ("-nf flow.toml", ["*"], []),
        ("flow.toml -nkf build", ["build"], []),
    ],
)
def test_force_has_a_unit_where_that_cannot_be_the_workflow(line: str, force: list[str], units: list[str]) -> None:
    options = parse(line.split())

    assert (options.workflow, options.force, options.units) == ("flow.toml", force, units)


def test_flags_that_share_a_word_with_force_count() -> None:
    options = parse(["flow.toml", "-nkf", "build"])

    assert (options.dry_run, options.keep_going, options.force) == (True, True, ["build"])


@pytest.mark.parametrize(
    ("line", "yes", "units"),
    [
        ("flow.toml --yes", ["*"], []),
        ("--yes flow.toml", ["*"], []),
        ("flow.toml --yes build", ["*"], ["build"]),
        ("flow.toml --yes=build --yes=docs.*", ["build", "docs.*"], []),
    ],
)
def test_yes_takes_only_what_stands_behind_its_equals_sign(line: str, yes: list[str], units: list[str]) -> None:
    options = parse(line.split())

    assert (options.workflow, options.yes, options.units) == ("flow.toml", yes, units)


def test_options_that_take_a_value_are_known_in_front_of_the_workflow() -> None:
    _, commands = _parser()
    with_value = {
        name
        for command in commands.values()
        for action in command._actions
        if isinstance(action, argparse._StoreAction | argparse._AppendAction) and action.nargs != "?"
        for name in action.option_strings
    }

    # --json takes none where it may stand in front: as an option of status
    assert with_value - {"--json"} == _WITH_VALUE


@pytest.mark.parametrize("command", ["run flow.toml", "history", "replay", "attach", "logs RUN UNIT"])
def test_the_state_directory_may_be_below_home_for_every_command(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert parse([*command.split(), "--state-dir=~/runs"]).state_dir == "/home/ada/runs"
    assert parse([*command.split(), "--state-dir=~nobody-here/runs"]).state_dir == "~nobody-here/runs"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("1.5", 1.5), ("90s", 90.0), ("1h30m", 5400.0), ("250ms", 0.25)]
)
def test_the_timeout_is_a_duration(text: str, seconds: float) -> None:
    assert parse(["flow.toml", "--timeout", text]).timeout == seconds


@pytest.mark.parametrize("text", ["0", "soon", "-1", "1.2.3", "nan", "5x"])
def test_a_timeout_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        parse(["flow.toml", f"--timeout={text}"])


@pytest.mark.parametrize(
    ("text", "workers"),
    [("3", 3), ("auto", "auto"), ("50%", 3), ("100%", 6), ("33.3%", 1), ("1%", 1), ("300%", 18)],
)
def test_workers_are_a_number_a_part_of_the_cores_or_adapt(
    monkeypatch: pytest.MonkeyPatch, text: str, workers: object
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 6.0)

    assert overrides_of(parse(["flow.toml", "-j", text]), {}).workers == workers


@pytest.mark.parametrize("text", ["0", "-1", "1025", "0%", "%", "-5%", "1e3", "many", "AUTO", "999999%", "٣"])
def test_workers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--workers"):
        parse(["flow.toml", f"-j{text}"])


@pytest.mark.parametrize("text", ["0", "auto", "50%", "1025"])
@pytest.mark.parametrize("bound", ["--min-workers", "--max-workers"])
def test_a_bound_for_workers_is_a_number(bound: str, text: str) -> None:
    with pytest.raises(UsageError, match=bound):
        parse(["flow.toml", bound, text])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-j 4 --max-workers 2", "-j 4 is more than --max-workers 2"),
        ("-j 1 --min-workers 2", "-j 1 is less than --min-workers 2"),
        ("-j auto --min-workers 3 --max-workers 2", "--min-workers 3 is more than --max-workers 2"),
    ],
)
def test_bounds_that_contradict_each_other_or_the_number_are_refused(line: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        overrides_of(parse(["flow.toml", *line.split()]), {})


def test_bounds_go_over_those_of_the_workflow() -> None:
    overrides = overrides_of(parse(["--min-workers", "2", "flow.toml", "--max-workers", "3"]), {})

    assert (overrides.workers, overrides.min_workers, overrides.max_workers) == (None, 2, 3)


def test_a_directory_that_was_removed_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(UsageError, match="the current directory cannot be used: No such file or directory"):
        parse(["history"])


@pytest.mark.parametrize("line", ["run", "check", "graph", "check a.toml b.toml", "schema a.toml", "flow.toml --nope"])
def test_what_is_missing_or_too_much_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="usage:"):
        parse(line.split())
