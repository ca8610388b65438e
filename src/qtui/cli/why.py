"""Why units are as they are, in lines of text: the list that the screen shows for ``w``."""

from __future__ import annotations

from collections.abc import Iterator

from qtui.core.masking import TextMasker
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.bridge import Bridge
from qtui.tui.forecaster import Told
from qtui.tui.format import Glyphs
from qtui.tui.laying import lay_out
from qtui.tui.roles import Role
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.tabs.entry import BLANK, rows_of
from qtui.tui.tabs.scene import Scene
from qtui.tui.tabs.why import why_unit

_INDENT = "  "


def scene_of(session: RunSession, view: RunView, told: Told | None, now: float, glyphs: Glyphs) -> Scene:
    """A view of the session as the screen would show it, with what is expected of it."""
    bridge, attempts = Bridge(session, lay_out(view.plan), view=view), Attempts(session.plan)
    bridge.outlook.told = told
    attempts.take(event for _, event in session.feed().take(0))
    texts = TextMasker(session.facts.masks)
    return Scene(session=session, bridge=bridge, attempts=attempts, texts=texts, glyphs=glyphs, now=now)


def why_lines(scene: Scene, number: int, width: int) -> Iterator[str]:
    """Why this unit is as it is, in lines of at most `width` cells; what belongs to a heading stands below it, further
    in."""
    below = ""
    for entry in why_unit(scene, number):
        if entry is BLANK:
            continue
        heads = entry.role is Role.TITLE
        indent = _INDENT if heads else _INDENT + below
        below = _INDENT if heads else below
        for row in rows_of([entry], width - len(indent), scene.glyphs, scene.texts):
            yield f"{indent}{''.join(span.text for span in row.spans)}".rstrip()
