"""The code of a call: its own module and those beside it that it imports, from run to run and within one."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qtui.engine import codefiles
from qtui.engine.codefiles import CodeChanged, code_of

FILES = {
    "steps.py": "import json, helper\ndef run(context):\n from bundle_of_steps.deep import own\n return helper.h()\n",
    "helper.py": "from far import away\ndef h(): return away()\n",
    "far.py": "import steps\ndef away(): return 1\n",
    "bundle_of_steps/__init__.py": "",
    "bundle_of_steps/deep.py": "from . import beside\nfrom .inner.lowest import one\ndef own(): return beside.x\n",
    "bundle_of_steps/beside.py": "x = 1\n",
    "bundle_of_steps/inner/__init__.py": "",
    "bundle_of_steps/inner/lowest.py": "from ..beside import x as one\n",
    "unused.py": "x = 1\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with modules, first on the path; they are forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget(tmp_path)


def forget(place: Path) -> None:
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(place)):
            del sys.modules[name]
    importlib.invalidate_caches()


def steps_of(place: Path) -> Callable[..., object]:
    """The function as a new process would import it."""
    forget(place)
    return importlib.import_module("steps").run


def test_the_code_is_the_files_that_it_imports_from_its_own_place(place: Path) -> None:
    found = code_of(steps_of(place))
    assert found.keys() == FILES.keys() - {"unused.py"}


@pytest.mark.parametrize("file", sorted(FILES.keys() - {"unused.py"}))
def test_a_file_that_was_edited_before_it_was_imported_is_other_code(place: Path, file: str) -> None:
    before = code_of(steps_of(place))
    (place / file).write_text(f"{FILES[file]}y = 2\n")
    after = code_of(steps_of(place))
    assert {name for name in before if before[name] != after[name]} == {file}


def test_comments_and_layout_do_not_count(place: Path) -> None:
    before = code_of(steps_of(place))
    (place / "helper.py").write_text("# what follows helps\n\n" + FILES["helper.py"].replace("return", " return "))
    assert code_of(steps_of(place)) == before


@pytest.mark.parametrize("file", ["steps.py", "helper.py", "far.py"])
def test_a_file_that_was_edited_after_its_import_does_not_speak_for_the_code_that_runs(place: Path, file: str) -> None:
    run = steps_of(place)
    code_of(run)
    (place / file).write_text(f"{FILES[file]}y = 2\n")
    with pytest.raises(CodeChanged, match=f"{file} has changed since it was imported"):
        code_of(run)
    (place / file).write_text(FILES[file])
    assert code_of(run), "as it was imported"


def test_a_file_that_is_half_written_counts_by_its_bytes(place: Path) -> None:
    run = steps_of(place)
    (place / "bundle_of_steps" / "deep.py").write_text("def own(:\n")
    first = code_of(run)["bundle_of_steps/deep.py"]
    (place / "bundle_of_steps" / "deep.py").write_text("def own(::\n")
    assert code_of(run)["bundle_of_steps/deep.py"] != first


def test_what_is_installed_or_comes_from_no_file_has_no_code_files(place: Path) -> None:
    assert code_of(json.loads) == {}
    assert code_of(pytest.fixture) == {}
    namespace: dict[str, Callable[..., object]] = {"__name__": "typed"}
    exec("def f(): pass", namespace)
    assert code_of(namespace["f"]) == {}
    assert code_of(len) == {}


def test_a_file_is_read_once_while_it_is_not_touched(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = steps_of(place)
    before = code_of(run)
    monkeypatch.setattr(codefiles, "_parsed", None)
    assert code_of(run) == before
    (place / "bundle_of_steps" / "beside.py").write_text("x = 2\n")
    with pytest.raises(TypeError):
        code_of(run)


WORKFLOW = """
[units.made]
call = "steps:run"
cache = true
[units.made-in-process]
call = "steps:run"
mode = "process"
cache = true
"""


def test_a_run_after_an_edit_of_a_module_misses_and_says_which(place: Path) -> None:
    (place / "flow.toml").write_text(WORKFLOW)

    def run() -> dict[str, str]:
        command = [sys.executable, "-m", "qtui", "run", "flow.toml", "--ui", "json", "--state-dir", "state"]
        done = subprocess.run(command, cwd=place, capture_output=True, check=True, timeout=120)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return {event["unit"]: event["reason"] for event in events if event["event"] == "cache_missed"}

    units = ("made", "made-in-process")
    assert run() == dict.fromkeys(units, "never completed before")
    assert run() == {}
    (place / "far.py").write_text("def away(): return 2\n")
    assert run() == dict.fromkeys(units, "the code of far.py changed")
    (place / "unused.py").write_text("x = 2\n")
    assert run() == {}
