"""How the terminal is read: Textual's driver, but nobody else on that terminal can hold it up."""

from __future__ import annotations

from typing import Final

from textual.drivers.linux_driver import LinuxDriver

READER_SECONDS: Final = 1.0
"""How long the thread that reads keys gets to end; it looks ten times a second whether it has to."""


class TerminalDriver(LinuxDriver):
    """Leaves the terminal, or lends it, without waiting for a key.

    Textual reads when the terminal says that there is something. If another program has taken that meanwhile, the
    reader stands until the next key comes, and so would the thread that draws, which waits for it. VMIN 0, with which
    no read stands, is no way out: a shell that gets the terminal so, as this process was killed, takes it for its end.
    """

    def disable_input(self) -> None:
        """Textual's hook: read no more. A reader that stands is left behind."""
        reader = self._key_thread
        if reader is not None and not self.exit_event.is_set():
            self.exit_event.set()
            reader.join(READER_SECONDS)
            self.exit_event.clear()
            if reader.is_alive():
                self._key_thread = None
        super().disable_input()
