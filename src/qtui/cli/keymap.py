"""The keys that a person has chosen, checked."""

from __future__ import annotations

from dataclasses import replace

from qtui.cli.settings import KEYS, Settings
from qtui.core.errors import Problem
from qtui.tui.actions import Keymap
from qtui.tui.keycheck import check_keys


def keymap_of(settings: Settings) -> Keymap:
    """The keymap of the settings. Raises UsageError that tells every fault of the settings, with its line."""
    keymap, faults = check_keys({action: chosen.value for action, chosen in settings.keys.items()})
    told = [
        Problem(
            message=fault.message,
            where=settings.keys[fault.action].where,
            key=f"{KEYS}.{fault.action}",
            hint=fault.hint or None,
        )
        for fault in faults
    ]
    replace(settings, problems=(*settings.problems, *told)).check()
    return keymap
