"""Mutants of the example files: each is a valid plan, or is refused with messages; nothing else ever happens.

QTUI_SOAK=1 tries 60,000 instead of 1,000. Mutants that once did something else stay in SEEDS.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from random import Random

import pytest

from qtui.core.errors import EXIT_USAGE, InvalidWorkflow
from qtui.core.plan import ExecutionPlan
from qtui.loaders.load import load_definition

MUTANTS = 60_000 if os.environ.get("QTUI_SOAK") else 1_000
EXAMPLES = Path(__file__).parents[2] / "workflows"
FILES = sorted(EXAMPLES.rglob("*.toml"))

SEEDS = {
    "a pattern with an override of direction": (
        '[params.day]\ntype = "str"\ndefault = "1"\npattern = "a\u202eb"\n[units.a]\nrun = "true"\n'
    ),
    "arrays nested too deeply": "x = " + "[" * 5000 + "]" * 5000,
    "tables nested too deeply": "x = " + "{a=" * 5000 + "1" + "}" * 5000,
    "headers nested too deeply": "[" + ".".join("a" * 3000) + "]\nx = 1",
    "a number of 5,000 digits": "[workflow]\ntimeout = " + "9" * 5000,
    "a hexadecimal number beyond all": "[workflow]\ntimeout = 0x" + "f" * 5000,
    "not a number": "[workflow]\ntimeout = nan\n[units.a]\nrun = 'true'",
    "infinite": "[workflow]\ngrace = inf\n[units.a]\nrun = 'true'",
    "negative": "[workflow]\ntimeout = -1\n[units.a]\nrun = 'true'",
    "a boolean for a number": "[workflow]\nworkers = true\n[units.a]\nrun = 'true'",
    "a float beyond all": "[workflow]\ntimeout = 1e400\n[units.a]\nrun = 'true'",
    "an impossible date": "[params]\nday = 2026-02-31",
    "a broken regular expression": "[params]\nday = { default = '1', pattern = '(' }\n[units.a]\nrun = 'true'",
    "a lone surrogate": '[units.a]\nrun = "\\ud800"',
    "an override of the direction of text": "[units.\"a\u202eb\"]\nrun = 'true'",
    "an empty file": "",
    "only a byte order mark": "\ufeff",
    "a NUL": "[units.a]\nrun = 'true'\0",
}
WORDS = [
    *("nan", "inf", "-1", "0", "true", "1e400", "9" * 30, "'x'", '""', "[]", "{}", "[[]]", "1979-05-27", "'''", '"""'),
    *("[units.a]", "[units]", "[[units]]", "[groups.g]", "[params]", "needs = ['*']", "run = 'true'", "matrix = {}"),
    *(
        "${{",
        "}}",
        "${{ params.x }}",
        "${{ matrix.x }}",
        "*",
        "[x=1]",
        "\u202e",
        "\x00",
        "\x1b[2J",
        "\\u0000",
        "é",
        "\r",
    ),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all that the examples need beside their own file."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_TOKEN", "sesame-street")
    for name, module in list(sys.modules.items()):  # other tests import the modules of the examples where they lie
        if str(getattr(module, "__file__", None)).startswith(str(EXAMPLES)):
            monkeypatch.delitem(sys.modules, name)
    return tmp_path / "examples"


def mutate(text: str, others: list[str], rng: Random) -> str:
    """One to four small changes: of characters, words, numbers and lines."""
    for _ in range(rng.randint(1, 4)):
        lines = text.split("\n")
        at, line = rng.randrange(len(text) + 1), rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                text = text[:at] + text[at + rng.randint(1, 12) :]
            case 1:
                text = text[:at] + rng.choice(WORDS) + text[at:]
            case 2:
                text = "\n".join([*lines[:line], *lines[line + 1 :]])
            case 3:
                text = "\n".join([*lines[:line], rng.choice(lines), *lines[line:]])
            case 4:
                text = "\n".join([*lines[:line], rng.choice(rng.choice(others).split("\n")), *lines[line:]])
            case 5:
                numbers = list(re.finditer(r"\d+", text))
                if numbers:
                    found = rng.choice(numbers)
                    text = text[: found.start()] + rng.choice(WORDS[:8]) + text[found.end() :]
            case 6:
                words = list(re.finditer(r"[A-Za-z_]{2,}", text))
                if words:
                    one, two = rng.choice(words), rng.choice(words)
                    text = text[: one.start()] + two[0] + text[one.end() :]
            case _:
                text = text[:at] + rng.choice("[]{}\"'=.,#\n") + text[at + rng.randrange(2) :]
    return text


def params_of(path: Path) -> dict[str, str]:
    """What must be given to an example."""
    return {"day": "2026-05-01"} if path.name.endswith("nightly.toml") else {}


def check(path: Path) -> None:
    """Load the file: a plan or messages."""
    try:
        definition = load_definition(str(path), params_of(path))
        ExecutionPlan.build(definition.units, default_mode=definition.options.mode)
    except InvalidWorkflow as error:
        assert error.exit_code == EXIT_USAGE
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert str(problem).isprintable(), repr(str(problem))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutant_that_is_remembered_is_refused_with_a_message(here: Path, seed: str) -> None:
    path = here / "seed.toml"
    path.write_bytes(SEEDS[seed].encode("utf-8", "surrogatepass"))
    check(path)
    with pytest.raises(InvalidWorkflow):
        load_definition(str(path))


@pytest.mark.parametrize("part", range(8))
def test_a_mutant_of_an_example_is_a_plan_or_is_refused_with_messages(here: Path, part: int) -> None:
    texts = [(path.relative_to(EXAMPLES), path.read_text()) for path in FILES]
    for seed in range(part, MUTANTS, 8):
        rng = Random(seed)
        name, text = rng.choice(texts)
        mutant = mutate(text, [other for _, other in texts], rng)
        path = here / name.with_name(f"mutant-{name.name}")
        path.write_bytes(mutant.encode("utf-8", "surrogatepass"))
        try:
            check(path)
        except BaseException as error:
            raise AssertionError(f"mutant {seed} of {name}: {error!r}\n{mutant}") from error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_examples_themselves_are_plans(here: Path, path: Path) -> None:
    load_definition(str(here / path.relative_to(EXAMPLES)), params_of(path))
