"""The styles of roles. Only the terminal's own sixteen colours are used, so that its palette decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.style import Style

from qtui.tui.roles import AUTO, Role


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
LIGHT: Final = Theme(
    "light",
    {
        # on white, green, yellow and cyan are unreadable in most palettes, and bright colours are pale
        Role.TEXT: Style(),
        Role.MUTED: Style(dim=True),
        Role.ACCENT: Style(color="blue"),
        Role.PRIMARY: Style(color="blue", bold=True),
        Role.SUCCESS: Style(),
        Role.CACHED: Style(color="blue", dim=True),
        Role.WARNING: Style(color="magenta"),
        Role.STOPPING: Style(color="magenta"),
        Role.ERROR: Style(color="red", bold=True),
        Role.TIMEOUT: Style(color="red"),
        Role.SECONDARY: Style(color="magenta"),
        Role.TITLE: Style(bold=True),
        Role.KEY: Style(color="blue", bold=True),
        Role.LOUD_STOPPING: Style(color="magenta", reverse=True),
        Role.LOUD_ERROR: Style(color="red", bold=True, reverse=True),
        Role.LOUD_TIMEOUT: Style(color="red", reverse=True),
    },
    # palettes for white backgrounds may have any white and black: text on the selection is the terminal's own
    selected=Style(bold=True, reverse=True, dim=False),
    selected_blurred=Style(color="default", bgcolor="white", dim=False, reverse=False),
)
CVD: Final = Theme(
    "cvd",
    {
        # blue and yellow are told apart with every common colour vision; no meaning hangs on red or green. To be read
        # on white as on black, text has bright blue or no colour, and yellow is what black text stands on
        Role.TEXT: Style(),
        Role.MUTED: Style(dim=True),
        Role.ACCENT: Style(color="bright_blue"),
        Role.PRIMARY: Style(bold=True),
        Role.SUCCESS: Style(color="bright_blue"),
        Role.CACHED: Style(color="bright_blue", italic=True),
        Role.WARNING: Style(underline=True),
        Role.STOPPING: Style(underline=True),
        Role.ERROR: Style(bold=True, underline=True),
        Role.TIMEOUT: Style(bold=True, italic=True),
        Role.SECONDARY: Style(italic=True),
        Role.TITLE: Style(bold=True),
        Role.KEY: Style(color="bright_blue", bold=True),
        Role.LOUD_STOPPING: Style(color="black", bgcolor="yellow", underline=True),
        Role.LOUD_ERROR: Style(color="black", bgcolor="yellow", bold=True),
        Role.LOUD_TIMEOUT: Style(color="black", bgcolor="yellow", italic=True),
    },
    selected=Style(bold=True, reverse=True, dim=False),
    selected_blurred=Style(underline=True, bold=True, dim=False),
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
THEMES: Final[Mapping[str, Theme]] = {theme.name: theme for theme in (DARK, LIGHT, CVD, MONO)}


def theme_for(name: str, environ: Mapping[str, str]) -> Theme:
    """The theme of that name; ``auto`` is light where the terminal says that its background is, else dark."""
    if name != AUTO:
        return THEMES[name]
    # rxvt, Konsole and others tell their colours so: those of text and background, by number
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in ("7", "15") else DARK
