"""The number of workers and its bounds: what the command line says, over what the workflow says."""

from __future__ import annotations

from typing import Any

import pytest

from qtui.definition.options import Overrides, build_options, default_workers

FIXED = {"workers": 4, "min_workers": 2, "max_workers": 8}
ADAPTIVE = {"min_workers": 2, "max_workers": 8}


def driven(settings: dict[str, Any], **given: Any) -> tuple[int, bool, int, int]:
    options = build_options(settings, Overrides(**given))
    return options.workers, options.adaptive, options.min_workers, options.max_workers


def test_a_workflow_keeps_its_workers_where_nothing_is_said_over_them() -> None:
    assert driven(FIXED) == (4, False, 2, 8)


@pytest.mark.parametrize("settings", [FIXED, {"workers": 4, "strategy": "priority"}, {"strategy": "resource_balanced"}])
def test_auto_adapts_whatever_the_workflow_has_fixed(settings: dict[str, Any]) -> None:
    workers, adaptive, _, _ = driven(settings, workers="auto")

    assert adaptive
    assert workers == default_workers(settings.get("max_workers"), settings.get("min_workers"))


def test_a_number_fixes_what_would_adapt() -> None:
    assert driven(ADAPTIVE, workers=3) == (3, False, 2, 8)


@pytest.mark.parametrize(("workers", "bounds"), [(9, (2, 9)), (1, (1, 8))])
def test_the_bounds_of_a_workflow_make_room_for_a_number(workers: int, bounds: tuple[int, int]) -> None:
    assert driven(FIXED, workers=workers) == (workers, False, *bounds)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_workers": 3}, (3, False, 2, 3)),
        ({"max_workers": 1}, (1, False, 1, 1)),
        ({"min_workers": 6}, (6, False, 6, 8)),
        ({"min_workers": 9}, (9, False, 9, 9)),
        ({"min_workers": 3, "max_workers": 5}, (4, False, 3, 5)),
    ],
)
def test_bounds_move_the_number_of_a_workflow_and_its_other_bound(given: dict[str, int], expected: object) -> None:
    assert driven(FIXED, **given) == expected


def test_bounds_hold_what_adapts() -> None:
    assert driven({}, min_workers=1000) == (1000, True, 1000, 1024)
    assert driven({}, max_workers=1) == (1, True, 1, 1)
    assert driven(FIXED, workers="auto", max_workers=1) == (1, True, 1, 1)
