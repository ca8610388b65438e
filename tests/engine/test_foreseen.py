"""What is foreseen of the cache, beside what the run that follows then finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from cache_runs import CACHE, CachedRuns, call, lines, shell

from qtui.core.model import CachePolicy, Fallback, QuantumUnit, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.engine.cache import NO_CACHE
from qtui.engine.foreseen import Foreseen, foresee

Look = Callable[..., dict[str, Foreseen]]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CachedRuns]:
    """Runs in the test's directory, with a cache in `state` of it."""
    monkeypatch.chdir(tmp_path)
    runs = CachedRuns(tmp_path / "state")
    yield runs
    runs.close()


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """What is foreseen of the units of a run, by id."""

    def look(*units: QuantumUnit, params=None, skipped=None) -> dict[str, Foreseen]:
        plan = ExecutionPlan.build(units)
        found = foresee(tmp_path / "state", "test", plan, params or {}, skipped or {})
        return {plan.table[number].id: each for number, each in found.items()}

    return look


def test_before_the_first_run_everything_misses_and_no_file_is_made(look: Look, tmp_path: Path) -> None:
    assert look(shell("true")) == {"unit": Foreseen(False, "never completed before")}
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    assert look(shell("true")) == {"unit": Foreseen(False, "never completed before")}
    assert not list((tmp_path / "state").iterdir())


def test_what_is_foreseen_is_what_the_run_says(
    runs: CachedRuns, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "a.csv"
    policy = CachePolicy(inputs=("a.csv",), env=("DAY",))

    def compare(text: str = "echo ran >> ran", expected: str = "", policy=policy, **keys) -> None:
        unit = shell(text, cache=policy, **keys)
        ran, (foreseen,) = lines(tmp_path / "ran"), look(unit, params={"day": 1}).values()
        assert lines(tmp_path / "ran") == ran, "nothing is run"
        told = runs.run(unit, params={"day": 1})
        assert foreseen == (Foreseen(True, told.hits["unit"]) if told.hits else Foreseen(False, told.missed["unit"]))
        assert foreseen.reason.startswith(expected)

    compare(expected="input a.csv is missing")
    given.write_text("1")
    compare(expected="never completed before")
    compare(expected="same inputs as on 20")
    given.write_text("2")
    compare(expected="input a.csv changed")
    compare("true", expected="the command changed")
    monkeypatch.setenv("DAY", "tue")
    compare("true", expected="env DAY changed")
    compare("true", "forced", policy=CachePolicy(inputs=("a.csv",), force=True))
    compare("echo > out", outputs=("out",), expected="the command changed")
    (tmp_path / "out").unlink()
    compare("echo > out", outputs=("out",), expected="output out is missing")
    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        database.execute("UPDATE results SET made = made - 100")
    database.close()
    compare(
        "echo > out",
        "older than its ttl of 1m",
        outputs=("out",),
        policy=CachePolicy(inputs=("a.csv",), env=("DAY",), ttl=60),
    )


def test_results_of_units_with_a_hit_are_known_and_those_of_others_are_not(runs: CachedRuns, look: Look) -> None:
    def total(context):
        return context["source"]

    def units(text: str, **keys) -> list[QuantumUnit]:
        return [
            shell(f"echo {text}", "source", **keys),
            shell("true", "middle", dependencies=("source",)),
            QuantumUnit(id="gate", dependencies=("middle",)),
            call(total, "total", dependencies=("source", "gate")),
        ]

    runs.run(*units("1"))

    assert {each.hit for each in look(*units("1")).values()} == {True}
    changed = look(*units("2"))
    assert changed["source"] == Foreseen(False, "the command changed")
    assert changed["middle"] == Foreseen(None, "nothing else has changed, and source runs first")
    assert changed["total"] == Foreseen(None, "nothing else has changed, and source runs first")
    uncached = look(*units("1", cache=None))
    assert uncached["middle"] == Foreseen(None, "nothing else has changed, and source runs first")


def test_what_has_changed_beside_an_unknown_result_is_told(runs: CachedRuns, look: Look) -> None:
    """That it misses is likely, but not sure: earlier results than the newest are kept, too."""

    def units(text: str) -> list[QuantumUnit]:
        return [shell("echo 1", "source", cache=None), shell(text, "after", dependencies=("source",))]

    runs.run(*units("true"))

    assert look(*units("exit 0"))["after"] == Foreseen(None, "the command changed, and source runs first")


def test_files_that_a_unit_may_write_which_runs_first_are_not_known(
    runs: CachedRuns, look: Look, tmp_path: Path
) -> None:
    def total():
        return 1

    def units(text: str) -> list[QuantumUnit]:
        policy = CachePolicy(inputs=("made",))
        return [shell(text, "maker"), call(total, "total", policy, dependencies=("maker",))]

    assert look(*units("echo 1 > made"))["total"] == Foreseen(None, "input made is missing, and maker runs first")
    runs.run(*units("echo 1 > made"))
    assert look(*units("echo 1 > made"))["total"].hit
    assert look(*units("echo 2 > made"))["total"] == Foreseen(None, "nothing else has changed, and maker runs first")
    (tmp_path / "made").write_text("3")
    assert look(*units("echo 1 > made"))["total"] == Foreseen(False, "input made changed"), "nobody runs first"
    assert look(*units("echo 2 > made"))["total"] == Foreseen(None, "input made changed, and maker runs first")


def test_what_is_skipped_neither_asks_nor_runs(runs: CachedRuns, look: Look, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("1")
    units = [
        shell("true", "never", when="failure"),
        shell("true", "after", CachePolicy(inputs=("in",)), dependencies=("never",), when="always"),
    ]
    assert runs.run(*units).states["never"] is UnitState.SKIPPED

    found = look(*units, skipped={0: "skipped"})
    assert {name: each.hit for name, each in found.items()} == {"after": True}
    assert look(*units)["after"].hit is None


def test_a_cache_that_cannot_be_read_is_told(look: Look, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cache.db").write_text("no database, but a text that is long enough to be taken for one" * 20)

    assert look(shell("true")) == {"unit": Foreseen(False, "the cache cannot be used: file is not a database")}
    assert foresee(None, "test", ExecutionPlan.build([shell("true")]), {}, {}) == {0: Foreseen(False, NO_CACHE)}


def test_a_value_that_cannot_be_loaded_any_more_is_no_hit(runs: CachedRuns, look: Look, tmp_path: Path) -> None:
    runs.run(shell("true"))
    with sqlite3.connect(tmp_path / "state" / "cache.db") as database:
        database.execute("UPDATE results SET data = x'00'")
    database.close()

    assert look(shell("true")) == {"unit": Foreseen(False, "the earlier result is damaged")}


def test_no_run_contradicts_what_was_foreseen(runs: CachedRuns, look: Look, tmp_path: Path) -> None:
    verdicts = {each for seed in range(3) for each in verdicts_beside_runs(Random(seed), runs, look, tmp_path)}

    assert verdicts == {True, False, None}


def verdicts_beside_runs(rng: Random, runs: CachedRuns, look: Look, directory: Path) -> Iterator[bool | None]:
    """What was foreseen of units that read each other's results and files, while commands and files change."""
    texts = dict.fromkeys(range(6), "echo")
    needs = {number: sorted({rng.randrange(number) for _ in range(rng.randint(0, 2)) if number}) for number in texts}
    policies = {
        number: rng.choice((None, CACHE, CACHE, CachePolicy(inputs=("in", f"out{max(0, number - 1)}"))))
        for number in texts
    }

    def units() -> list[QuantumUnit]:
        return [
            shell(
                f"{texts[number]} {number} $QTUI_UNIT; cat in > out{number}; test {number} != 3 || exit 1",
                f"u{number}",
                policies[number],
                dependencies=[f"u{need}" for need in needs[number]],
                fallback=Fallback("instead") if number == 3 else None,
            )
            for number in texts
        ]

    for number in texts:
        (directory / f"out{number}").write_text("")
    for _ in range(6):
        if rng.random() < 0.5:
            (directory / "in").write_text(rng.choice("12"))
        if rng.random() < 0.5:
            texts[rng.randrange(6)] = rng.choice(("echo", "printf %s"))
        foreseen, told = look(*units()), runs.run(*units())
        for name, each in foreseen.items():
            yield each.hit
            if each.hit is not None:
                assert each.hit == (name in told.hits), (name, each)
                assert each.reason == (told.hits if each.hit else told.missed)[name]
