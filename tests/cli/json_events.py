"""Reading what ``--ui json`` wrote."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def events_of(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The events that ``--ui json`` wrote."""
    return [json.loads(line) for line in result.stdout.splitlines()]
