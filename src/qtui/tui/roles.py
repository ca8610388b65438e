"""What pieces of text mean; a theme gives each of these its style."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a piece of text means. The loud ones are for the few words that must be seen first."""

    TEXT = "text"
    MUTED = "muted"
    ACCENT = "accent"
    PRIMARY = "primary"
    SUCCESS = "success"
    CACHED = "cached"
    WARNING = "warning"
    STOPPING = "stopping"
    ERROR = "error"
    TIMEOUT = "timeout"
    SECONDARY = "secondary"
    TITLE = "title"
    KEY = "key"
    LOUD_STOPPING = "loud-stopping"
    LOUD_ERROR = "loud-error"
    LOUD_TIMEOUT = "loud-timeout"


THEME_NAMES: Final = ("dark", "light", "cvd", "mono")
"""What gives roles their styles, by name."""

AUTO: Final = "auto"
"""The theme that the terminal seems to ask for."""

_LOUD: Final[Mapping[Role, Role]] = {
    Role.STOPPING: Role.LOUD_STOPPING,
    Role.ERROR: Role.LOUD_ERROR,
    Role.TIMEOUT: Role.LOUD_TIMEOUT,
}


def loud(role: Role) -> Role:
    """The role of the word that says a state itself; beside it (causes, counts, events, glyphs) it would shout."""
    return _LOUD.get(role, role)
