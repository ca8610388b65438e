"""The benchmarks run; what they measure is for people to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_quick_run_measures_something_of_each_lane() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "start-up", "command-true"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "1.00x" in result.stdout
    assert "qtui" in result.stdout
