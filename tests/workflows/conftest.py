"""Workflow files import the modules next to them, as qtui makes possible by putting their directory on the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflows"))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "engine"))  # the cluster of its tests
