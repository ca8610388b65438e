"""The reference in docs/ has the rows of the key tables, word for word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from qtui.definition.keys import RETRY_KEYS, UNIT_KEYS, WORKFLOW_KEYS, Key
from qtui.definition.params import PARAM_KEYS
from qtui.loaders.load import load_definition
from qtui.loaders.toml import TABLES

REFERENCE = (Path(__file__).parents[2] / "docs" / "workflow-file.md").read_text()


def table(keys: Mapping[str, Key]) -> str:
    """A key table as Markdown; copy it from this test's failure when a row has changed."""
    rows = [f"| `{key.name}` | {key.accepts} | {key.help} |" for key in keys.values()]
    return "\n".join(["| key | accepts | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize("keys", [WORKFLOW_KEYS, UNIT_KEYS, RETRY_KEYS, PARAM_KEYS])
def test_every_key_is_documented_as_the_loader_has_it(keys: Mapping[str, Key]) -> None:
    assert table(keys) in REFERENCE


def test_the_top_level_is_documented() -> None:
    for name, meaning in TABLES.items():
        assert f"| `{name}` | {meaning} |" in REFERENCE


def test_the_example_loads(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", REFERENCE, re.DOTALL)
    assert example is not None
    (tmp_path / "nightly.toml").write_text(example[1])
    (tmp_path / "steps.py").write_text("def clean(context, rows): pass")
    definition = load_definition("nightly.toml", {"day": "2024-05-01"})
    assert len(definition.units) == 7
