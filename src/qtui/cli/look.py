"""How a dashboard is drawn: what the command line and the settings say of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from qtui.cli.options import wants_color
from qtui.tui.ending import OnFinish
from qtui.tui.roles import AUTO

if TYPE_CHECKING:
    from qtui.tui.actions import Keymap


class Look(NamedTuple):
    """How the dashboard is drawn, its keys, and whether it leaves by itself when the run has ended."""

    ascii: bool = False
    color: bool = True
    theme: str = AUTO
    on_finish: OnFinish = OnFinish.STAY
    keymap: Keymap = {}  # noqa: RUF012  - never written to


def look_of(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Look:
    """What the options of a command ask for. Raises UsageError for keys that cannot be."""
    keymap: Keymap = {}
    if options.settings.keys:
        from qtui.cli.keymap import keymap_of  # only who has chosen keys pays for what knows them

        keymap = keymap_of(options.settings)
    return Look(
        ascii=options.ascii,
        color=wants_color(options.color, environ, is_terminal=True),
        theme=options.theme,
        on_finish=OnFinish(getattr(options, "on_finish", OnFinish.STAY)),
        keymap=keymap,
    )
