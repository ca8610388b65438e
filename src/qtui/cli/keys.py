"""``qtui keys``: the keys of the dashboard, their actions' ids, and the name of any key that a terminal sends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator

from qtui.cli.keymap import keymap_of
from qtui.cli.options import wants_color
from qtui.cli.settings import config_file
from qtui.cli.telling import tell
from qtui.core.errors import EXIT_OK, UsageError
from qtui.tui.actions import ACTIONS, Keymap, Where, keys_of
from qtui.tui.charset import ascii_only
from qtui.tui.keys import shown, text_of

_PLACES = {
    Where.TREE: "in the units",
    Where.LOG: "in the log",
    Where.LINES: "in other panes",
    Where.REPLAY: "in a replay",
}


def keys(options: argparse.Namespace) -> int:
    """Print the table, or with ``--press`` what is pressed."""
    try:
        keymap = keymap_of(options.settings)
    except UsageError as error:
        for line in (*str(error).splitlines(), "these are the usual keys"):
            tell(line)
        keymap = {}
    if options.press:
        return _press(keymap)
    name = str if ascii_only(sys.stdout) else shown
    bold = sys.stdout.isatty() and wants_color(getattr(options, "color", "auto"), os.environ, is_terminal=True)
    for line in table(keymap, name):
        print(f"\x1b[1m{line}\x1b[0m" if bold and not line.startswith(" ") else line)
    print(f'\nOther keys: [keys] "unit.retry" = ["r", "f5"] in {config_file(os.environ)}; "none" for no key')
    print("`qtui keys --press` tells the names of keys as they are pressed")
    return EXIT_OK


def table(keymap: Keymap, name: Callable[[str], str] = shown) -> Iterator[str]:
    """A line for each action below the headings of their groups; ``*`` marks keys that were chosen. `name` writes the
    name of a key."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    group = ""
    for action in ACTIONS:
        group = action.group or _PLACES.get(action.where, group).capitalize()
        mark = "*" if action.id in keymap else " "
        keys = " ".join(map(name, keys_of(action, keymap))) or "none"
        rows.setdefault(group, []).append((f"{mark} {keys}", action.id, text_of(action, keymap)))
    wide = max(len(keys) for each in rows.values() for keys, _, _ in each)
    long = max(len(action.id) for action in ACTIONS)
    for heading, each in rows.items():
        yield heading
        for keys, action_id, text in each:
            yield f"  {keys:<{wide}}  {action_id:<{long}}  {text}"


def _press(keymap: Keymap) -> int:
    """Tell the name of each key until ``q`` or esc is pressed twice."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("--press needs a terminal whose keys it can tell")
    from qtui.tui.presskeys import tell_keys

    tell_keys(keymap)
    return EXIT_OK
