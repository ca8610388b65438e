"""The program: ``qtui``, and ``python -m qtui``."""

from __future__ import annotations

import signal
from typing import NoReturn


def entry() -> NoReturn:
    """Run qtui and end the process. Ctrl+c ends it without a traceback also while it is still importing itself."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where the shell has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from qtui.cli.main import entry as begin

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    begin()


if __name__ == "__main__":
    entry()
