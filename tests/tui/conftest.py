"""Runs on record are made as in the tests of sessions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.pop("TMUX", None)  # or what tests copy would go to the tmux around them

for beside in ("core", "sessions"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / beside))
