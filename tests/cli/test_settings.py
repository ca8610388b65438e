"""What is set for good: the file, the environment, their order, and what is said of faults."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.cli.keymap import keymap_of
from qtui.cli.main import main
from qtui.cli.options import parse, settable
from qtui.cli.settings import SETTABLE, Settings, config_file, read_settings
from qtui.core.errors import UsageError

Given = Callable[..., Settings]


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """What the settings are with this file and these variables."""

    def read(file: str | None = None, **variables: str) -> Settings:
        environ = {"XDG_CONFIG_HOME": str(tmp_path), **variables}
        if file is not None:
            config_file(environ).parent.mkdir(exist_ok=True)
            config_file(environ).write_text(file)
        return read_settings(environ, settable)

    return read


def told(settings: Settings, tmp_path: Path) -> list[str]:
    return [str(problem).removeprefix(f"{tmp_path}/qtui/") for problem in settings.problems]


def test_a_flag_goes_over_a_variable_and_a_variable_over_the_file(given: Given) -> None:
    settings = given('workers = 2\ntheme = "light"\ntimeout = "5m"\nascii = true', QTUI_WORKERS="3", QTUI_THEME="cvd")

    options = parse(["flow.toml", "-j", "4"], settings)

    assert not settings.problems
    assert (options.workers, options.theme, options.timeout, options.ascii) == (4, "cvd", 300.0, True)


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("quiet = true", "-v", {"quiet": False, "verbose": True}),
        ("verbose = true", "-q", {"quiet": True, "verbose": False}),
        ("min_workers = 4\nmax_workers = 8", "-j 2", {"workers": 2, "min_workers": None, "max_workers": None}),
        ("min_workers = 4", "-j auto", {"workers": "auto", "min_workers": 4}),
        ("workers = 2", "--min-workers 4", {"workers": None, "min_workers": 4}),
        ("workers = 2", "", {"workers": 2}),
        ('ui = "tui"', "--detach", {"ui": "auto"}),
        ('ui = "tui"', "-n", {"ui": "auto"}),
        ('ui = "json"', "--detach", {"ui": "json"}),
        ('ui = "tui"', "", {"ui": "tui"}),
    ],
)
def test_what_is_set_gives_way_to_a_flag_that_it_contradicts(given: Given, file: str, line: str, expected) -> None:
    options = vars(parse(["flow.toml", *line.split()], given(file)))

    assert {name: options[name] for name in expected} == expected


def test_nothing_is_set_without_file_and_variables(given: Given) -> None:
    assert parse(["flow.toml"], given(QTUI_WORKERS="")) == parse(["flow.toml"], given())


def test_every_setting_is_a_flag_of_run_and_can_be_set_by_a_variable(given: Given) -> None:
    assert set(settable()) == set(SETTABLE)
    words = {"timeout": "9s", "workers": "2", "min_workers": "1", "max_workers": "3", "prefix": "none"}
    for name, flag in settable().items():
        text = words.get(name) or (next(iter(flag.choices)) if flag.choices else "1")
        assert given(**{f"QTUI_{name.upper()}": text}).values.keys() == {name}


def test_switches_are_told_by_words(given: Given) -> None:
    values = given(QTUI_ASCII="no", QTUI_VERBOSE="1", QTUI_KEEP_GOING="true").values

    assert values == {"ascii": False, "verbose": True, "keep_going": True}


def test_every_fault_is_told_with_its_line(given: Given, tmp_path: Path) -> None:
    settings = given(
        'worker = 3\ncolor = "sometimes"\nascii = 1\nverbose = "yes"\nworkers = true\nkeys = 3\n', QTUI_TIMEOUT="soon"
    )

    assert told(settings, tmp_path) == [
        'config.toml:1: there is no setting "worker" (did you mean "workers"?)',
        'config.toml:2: color: "sometimes" is none of auto, always, never',
        "config.toml:3: ascii: is either true or false",
        "config.toml:4: verbose: is either true or false",
        'config.toml:5: workers: is written as behind its flag: "N"',
        "config.toml:6: [keys] is a table of actions and keys",
        'QTUI_TIMEOUT: "soon" is not a time such as 90s, 5m or 1h30m',
    ]
    with pytest.raises(UsageError, match=r"config\.toml:1: (.|\n)*config\.toml:6: (.|\n)*QTUI_TIMEOUT"):
        settings.check()


def test_numbers_of_workers_that_contradict_each_other_are_told_with_their_line(given: Given, tmp_path: Path) -> None:
    both = given('theme = "dark"\nmin_workers = 5\nmax_workers = 2\n')
    assert told(both, tmp_path) == ["config.toml:2: min_workers: 5 is more than max_workers = 2"]
    assert told(given("max_workers = 2\n", QTUI_WORKERS="4"), tmp_path) == [
        "QTUI_WORKERS: 4 is more than max_workers = 2"
    ]
    assert not given('workers = "auto"\nmin_workers = 5\n').problems


@pytest.mark.parametrize("file", ["workers = ", "\x00", "workers = 1\nworkers = 2"])
def test_what_is_no_toml_is_told_with_its_place(given: Given, tmp_path: Path, file: str) -> None:
    (problem,) = told(given(file), tmp_path)

    assert "config.toml:" in problem and "not correct TOML" in problem


def test_a_variable_that_is_nearly_one_is_worth_a_word(given: Given) -> None:
    doubts = given(QTUI_WORKER="3", QTUI_THEMES="x").doubts

    assert [str(doubt) for doubt in doubts] == [
        'QTUI_WORKER: this variable sets nothing (did you mean "QTUI_WORKERS"?)',
        'QTUI_THEMES: this variable sets nothing (did you mean "QTUI_THEME"?)',
    ]


def test_variables_of_units_and_of_others_are_nobody_s_business(given: Given) -> None:
    settings = given(QTUI_RESULT="/x", QTUI_PARAM_WORKER="3", QTUI_NEEDS="/y", QTUI_STATE="ok", QTUI_SOAK="1")

    assert not settings.doubts and not settings.problems


def test_faults_of_settings_and_keys_are_told_together(given: Given) -> None:
    settings = given('theme = "lihgt"\n[keys]\nunit.rerty = "f5"\n')

    with pytest.raises(UsageError) as caught:
        keymap_of(settings)

    first, second = str(caught.value).splitlines()
    assert "config.toml:1: theme" in first
    assert "config.toml:3: keys.unit.rerty" in second


@pytest.mark.parametrize("file", ["a = " + "[" * 5000, f"[{'.'.join('a' * 3000)}]", 'state_dir = "\\u0000"'])
def test_what_nobody_would_write_is_a_fault_like_others(given: Given, file: str) -> None:
    assert len(given(file).problems) == 1


def test_many_levels_of_keys_name_one_action(given: Given) -> None:
    settings = given(f"[keys.{'.'.join('a' * 300)}]\nb = 1\n")

    with pytest.raises(UsageError, match="there is no such action"):
        keymap_of(settings)


def test_a_file_that_is_a_pipe_is_not_waited_for(given: Given, tmp_path: Path) -> None:
    (tmp_path / "qtui").mkdir()
    os.mkfifo(tmp_path / "qtui" / "config.toml")

    assert told(given(), tmp_path) == ["config.toml: is not a regular file"]


def test_a_link_that_leads_nowhere_is_told(given: Given, tmp_path: Path) -> None:
    (tmp_path / "qtui").mkdir()
    (tmp_path / "qtui" / "config.toml").symlink_to(tmp_path / "gone")

    assert told(given(), tmp_path) == ["config.toml: cannot be read: No such file or directory"]


def test_a_directory_that_nobody_can_look_into_is_told(given: Given, tmp_path: Path) -> None:
    (tmp_path / "qtui").symlink_to("qtui")

    assert told(given(), tmp_path) == ["config.toml: cannot be read: Too many levels of symbolic links"]


def test_keys_may_be_named_with_and_without_quotes(given: Given) -> None:
    settings = given('[keys]\nunit.retry = "f5"\n"unit.cancel" = ["ctrl+k", "?"]\n"app.help" = "f1"\nrun.cancel = []\n')

    assert keymap_of(settings) == {
        "unit.retry": "f5",
        "unit.cancel": "ctrl+k,question_mark",
        "app.help": "f1",
        "run.cancel": "none",
    }


def test_faults_of_keys_are_told_with_their_lines(given: Given) -> None:
    settings = given('[keys]\nunit.rerty = "f5"\nunit.cancel = "r"\n')

    with pytest.raises(UsageError) as caught:
        keymap_of(settings)
    first, second = str(caught.value).splitlines()
    assert first.endswith('config.toml:2: keys.unit.rerty: there is no such action (did you mean "unit.retry"?)')
    assert 'config.toml:3: keys.unit.cancel: "r" is also the key of unit.retry' in second


@pytest.mark.parametrize("file", ["nonsense = 1", 'nonsense = 1\n[keys]\nunit.retry = "x"'])
def test_a_faulty_file_stops_a_run_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    configure(tmp_path, file)
    monkeypatch.chdir(tmp_path)
    Path("flow.toml").write_text('[units.a]\nrun = "touch ran"\n')

    assert main(["run", "flow.toml", "--ui", "plain"]) == 2
    assert "config.toml:" in capsys.readouterr().err and not Path("ran").exists()
    assert main(["check", "flow.toml"]) == 0


def test_faulty_keys_stop_only_what_draws_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path, '[keys]\nunit.retry = "x"')
    monkeypatch.chdir(tmp_path)
    Path("flow.toml").write_text('[units.a]\nrun = "touch ran"\n')

    assert main(["run", "flow.toml", "--ui", "plain"]) == 0 and Path("ran").exists()
    assert "unit.cancel (cancel" in (told := capfd.readouterr().err)
    assert "this is ignored where no screen is drawn" in told


def configure(tmp_path: Path, file: str) -> None:
    config = tmp_path / "config" / "qtui" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(file)


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/qtui/config.toml"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/qtui/config.toml"),
        ({"HOME": "/h"}, "/h/.config/qtui/config.toml"),
    ],
)
def test_the_file_is_where_xdg_says(environ: dict[str, str], path: str) -> None:
    assert str(config_file(environ)) == path
