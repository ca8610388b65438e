"""What the library says to those who give it what it cannot use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qtui import EventBus, InvalidWorkflow, QuantumPartitioner, QuantumUnit, WorkflowFailed

# -- metadata ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"resource_type": "gpu"}, r"resource_type: expected one of cpu, io, async, not 'gpu'"),
        ({"resource_type": ["cpu"]}, r"resource_type: expected one of cpu, io, async, not \['cpu'\]"),
        ({"cacheable": "no"}, "cacheable: expected True or False, not 'no'"),
        ({"cacheable": True, "cache_keys": "day"}, "cache_keys: expected a list of names, not 'day'"),
        ({"cacheable": True, "cache_keys": [1]}, r"cache_keys: expected a list of names, not \[1\]"),
    ],
)
def test_metadata_that_means_nothing_is_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=rf"test_library_words\.py:\d+: units\.a\.metadata\.{message}"):
        QuantumPartitioner().add_unit(lambda: 1, name="a", metadata=metadata)
    with pytest.raises(InvalidWorkflow, match=rf"units\.b\.metadata\.{message}"):
        QuantumPartitioner().add_unit(QuantumUnit(id="b", metadata=metadata))


def test_other_entries_of_metadata_are_the_users_own() -> None:
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="a", metadata={"provider": "x", "cacheable": False, "cache_keys": ("day",)})
    assert partitioner.execute() == {"a": 1}
