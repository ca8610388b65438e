"""Loading puts directories on the path and imports modules; every test gets both as they were."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.loaders.load import load_definition


@pytest.fixture(autouse=True)
def untouched_imports(tmp_path: Path) -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests run where their files are, so that places in messages read ``flow.toml:3``."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


Load = Callable[..., WorkflowDefinition]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a workflow from the text of its file."""

    def load(text: str, file: str = "flow.toml", target: str | None = None, **params: str) -> WorkflowDefinition:
        (tmp_path / file).write_text(text, encoding="utf-8")
        return load_definition(target or file, params)

    return load


@pytest.fixture
def problems(load: Load) -> Callable[..., tuple[Problem, ...]]:
    """The problems that loading a text finds."""

    def problems(text: str, *args: str, **params: str) -> tuple[Problem, ...]:
        with pytest.raises(InvalidWorkflow) as raised:
            load(text, *args, **params)
        return raised.value.problems

    return problems
