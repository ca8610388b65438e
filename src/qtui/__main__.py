"""``python -m qtui`` is the same as ``qtui``."""

from __future__ import annotations

from qtui.cli.main import entry

if __name__ == "__main__":
    entry()
