"""How many examples a property is tried on: enough for each `make test`, and all of them in `make soak`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SOAK = bool(os.environ.get("QTUI_SOAK"))


def examples(usual: int, *, soak: int) -> settings:
    """Settings for a property whose examples are whole runs, which may take their time."""
    return settings(max_examples=soak if SOAK else usual, deadline=None, suppress_health_check=list(HealthCheck))
