"""What qtui itself says to the person at the terminal, beside what a command prints."""

from __future__ import annotations

import sys

from qtui.tui.text import clean


def tell(text: str) -> None:
    """Say a line on standard error, in the name of qtui; nothing in it can steer the terminal."""
    print(clean(f"qtui: {text}"), file=sys.stderr, flush=True)
