"""The keys of the log."""

from __future__ import annotations

from qtui.tui.screens.base import RunScreen


class Logged(RunScreen):
    """The keys that say how the log is shown."""

    def action_follow(self) -> None:
        """Let the log follow the end, or let it be."""
        log = self.log_pane
        log.follow(not log.following)
