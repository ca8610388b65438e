"""The styles of roles. Only the terminal's own sixteen colours are used, so that its palette decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.style import Style

from qtui.tui.format import Role

DARK: Final[Mapping[Role, Style]] = {
    Role.TEXT: Style(),
    # dim rather than bright black, which some palettes make as dark as the background
    Role.MUTED: Style(dim=True),
    Role.ACCENT: Style(color="cyan"),
    Role.PRIMARY: Style(color="bright_blue", bold=True),
    Role.SUCCESS: Style(color="green"),
    Role.CACHED: Style(color="cyan", dim=True),
    Role.WARNING: Style(color="yellow"),
    Role.STOPPING: Style(color="yellow", reverse=True),
    Role.ERROR: Style(color="bright_red", bold=True, reverse=True),
    Role.TIMEOUT: Style(color="bright_magenta", reverse=True),
    Role.SECONDARY: Style(color="magenta"),
    Role.TITLE: Style(bold=True),
    Role.KEY: Style(color="cyan", bold=True),
}

QUIET: Final[Mapping[Role, Style]] = {
    **DARK,
    Role.STOPPING: Style(color="yellow"),
    Role.ERROR: Style(color="bright_red"),
    Role.TIMEOUT: Style(color="bright_magenta"),
}
"""For words beside a sign, where reverse colours would shout: causes, counts, events, glyphs."""

SELECTED: Final = Style(color="bright_white", bgcolor="blue", bold=True, dim=False, reverse=False)
SELECTED_BLURRED: Final = Style(color="bright_white", bgcolor="bright_black", dim=False, reverse=False)
SELECTED_PLAIN: Final = Style(reverse=True, bold=True, dim=False)
SELECTED_BLURRED_PLAIN: Final = Style(underline=True, dim=False)


def selected(*, focused: bool, colour: bool) -> Style:
    """The style of the selected row."""
    if colour:
        return SELECTED if focused else SELECTED_BLURRED
    return SELECTED_PLAIN if focused else SELECTED_BLURRED_PLAIN
