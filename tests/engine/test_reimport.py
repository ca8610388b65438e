"""Modules that are imported again beside those that code still runs with."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from qtui.engine import packing
from qtui.engine.codefiles import outdated
from qtui.engine.reimport import Reimport

FILES = {
    "rx_steps.py": "import rx_helping\nimport rx_alone\ndef work():\n    return rx_helping.ANSWER\n",
    "rx_helping.py": "ANSWER = 'old'\nclass Thing:\n    pass\n",
    "rx_alone.py": "ANSWER = 'alone'\n",
}


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(packing, "_replaced", frozenset())
    yield __import__("rx_steps")
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_what_imports_a_changed_module_is_outdated_with_it_and_nothing_else(steps) -> None:
    changed = {"rx_helping.py": 0.0}

    found = outdated([steps.work], lambda file: changed.get(Path(file).name, float("inf")))

    assert found.keys() == {"rx_helping", "rx_steps"}
    assert outdated([steps.work], lambda _: float("inf")) == {}


def test_old_modules_stay_in_their_place_until_the_new_ones_are_installed(steps, tmp_path: Path) -> None:
    (tmp_path / "rx_helping.py").write_text("ANSWER = 'brand new'\nclass Thing:\n    pass\n")
    again = Reimport(["rx_helping", "rx_steps"])

    with again.importing():
        new = __import__("rx_steps")

    assert (new.work(), steps.work()) == ("brand new", "old")
    assert new.rx_alone is steps.rx_alone
    assert sys.modules["rx_steps"] is steps
    again.install()
    assert sys.modules["rx_steps"] is new


def test_modules_stay_as_they_were_if_the_new_ones_cannot_be_imported(steps, tmp_path: Path) -> None:
    (tmp_path / "rx_helping.py").write_text("ANSWER = (\n")

    with pytest.raises(SyntaxError), Reimport(["rx_helping", "rx_steps"]).importing():
        __import__("rx_steps")

    assert sys.modules["rx_steps"] is steps
    assert sys.modules["rx_helping"] is steps.rx_helping


def test_what_belongs_to_an_old_module_is_sent_by_its_name(steps) -> None:
    thing = steps.rx_helping.Thing()
    again = Reimport(["rx_helping"])
    with again.importing():
        new = __import__("rx_helping")
    again.install()

    data = packing.dumps([thing, steps.rx_helping.Thing])

    loaded, kind = pickle.loads(data)
    assert type(loaded) is kind is new.Thing
