"""The reference in docs/ has the rows of the key tables, word for word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from qtui.definition.keys import Key
from qtui.definition.params import PARAM_KEYS
from qtui.definition.unit_keys import UNIT_KEYS
from qtui.definition.unit_tables import CACHE_KEYS, RESOURCE_KEYS, RETRY_KEYS
from qtui.definition.workflow_keys import (
    BRAKE_KEYS,
    GROUP_KEYS,
    NOTIFY_KEYS,
    POOL_KEYS,
    SECRETS_KEYS,
    SECTIONS,
    TAG_KEYS,
    WORKFLOW_KEYS,
)
from qtui.loaders.load import load_definition

REFERENCE = (Path(__file__).parents[2] / "docs" / "workflow-format.md").read_text()
TABLES = [
    WORKFLOW_KEYS,
    BRAKE_KEYS,
    UNIT_KEYS,
    RETRY_KEYS,
    RESOURCE_KEYS,
    CACHE_KEYS,
    GROUP_KEYS,
    PARAM_KEYS,
    POOL_KEYS,
    TAG_KEYS,
    SECRETS_KEYS,
    NOTIFY_KEYS,
]


def table(keys: Mapping[str, Key]) -> str:
    """A key table as Markdown; copy it from this test's failure when a row has changed."""
    rows = [f"| `{key.name}` | {key.accepts} | {key.help} |" for key in keys.values()]
    return "\n".join(["| key | accepts | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize("keys", TABLES)
def test_every_key_is_documented_as_the_loader_has_it(keys: Mapping[str, Key]) -> None:
    assert table(keys) in REFERENCE


def test_the_top_level_is_documented() -> None:
    for name, section in SECTIONS.items():
        assert f"| `{name}` | {section.help} |" in REFERENCE


def test_the_example_loads(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", REFERENCE, re.DOTALL)
    assert example is not None
    (tmp_path / "nightly.toml").write_text(example[1])
    (tmp_path / "steps.py").write_text("def clean(context, rows): pass")
    definition = load_definition("nightly.toml", {"day": "2024-05-01"})
    assert len(definition.units) == 7
