"""Runs on record are made as in the tests of sessions."""

from __future__ import annotations

import sys
from pathlib import Path

for beside in ("core", "sessions"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / beside))
