"""The styles of roles. Only the terminal's own sixteen colours are used, so that its palette decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.style import Style

from qtui.tui.roles import Role


@dataclass(frozen=True, slots=True)
class Theme:
    """How each role looks, and the row that is selected: with the focus, and without."""

    name: str
    styles: Mapping[Role, Style]
    selected: Style
    selected_blurred: Style

    def style(self, of: Style | Role) -> Style:
        """The style of a role; a style is what it is."""
        return self.styles[of] if isinstance(of, Role) else of

    def row(self, *, focused: bool) -> Style:
        """The style of the selected row."""
        return self.selected if focused else self.selected_blurred


DARK: Final = Theme(
    "dark",
    {
        Role.TEXT: Style(),
        # dim rather than bright black, which some palettes make as dark as the background
        Role.MUTED: Style(dim=True),
        Role.ACCENT: Style(color="cyan"),
        Role.PRIMARY: Style(color="bright_blue", bold=True),
        Role.SUCCESS: Style(color="green"),
        Role.CACHED: Style(color="cyan", dim=True),
        Role.WARNING: Style(color="yellow"),
        Role.STOPPING: Style(color="yellow"),
        Role.ERROR: Style(color="bright_red"),
        Role.TIMEOUT: Style(color="bright_magenta"),
        Role.SECONDARY: Style(color="magenta"),
        Role.TITLE: Style(bold=True),
        Role.KEY: Style(color="cyan", bold=True),
        Role.LOUD_STOPPING: Style(color="yellow", reverse=True),
        Role.LOUD_ERROR: Style(color="bright_red", bold=True, reverse=True),
        Role.LOUD_TIMEOUT: Style(color="bright_magenta", reverse=True),
    },
    selected=Style(color="bright_white", bgcolor="blue", bold=True, dim=False, reverse=False),
    selected_blurred=Style(color="bright_white", bgcolor="bright_black", dim=False, reverse=False),
)
MONO: Final = Theme(
    "mono",
    {
        Role.TEXT: Style(),
        Role.MUTED: Style(dim=True),
        Role.ACCENT: Style(),
        Role.PRIMARY: Style(bold=True),
        Role.SUCCESS: Style(),
        Role.CACHED: Style(dim=True),
        Role.WARNING: Style(underline=True),
        Role.STOPPING: Style(underline=True),
        Role.ERROR: Style(bold=True),
        Role.TIMEOUT: Style(bold=True),
        Role.SECONDARY: Style(),
        Role.TITLE: Style(bold=True),
        Role.KEY: Style(bold=True),
        Role.LOUD_STOPPING: Style(reverse=True),
        Role.LOUD_ERROR: Style(bold=True, reverse=True),
        Role.LOUD_TIMEOUT: Style(reverse=True),
    },
    selected=Style(reverse=True, bold=True, dim=False),
    selected_blurred=Style(underline=True, dim=False),
)
THEMES: Final[Mapping[str, Theme]] = {theme.name: theme for theme in (DARK, MONO)}
