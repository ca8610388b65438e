"""The tabs of a unit besides its log: what it is, why it is so, what it needs, and its attempts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import BindingType
from textual.message import Message

from qtui.core.masking import TextMasker
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.actions import USUAL, Keymap, Where, bindings
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.layout import Bundle
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.tabs.entry import Entry, Row, Tab, rows_of, shown, tab_bar
from qtui.tui.text import cut_middle
from qtui.tui.widgets.cursor import CursorLines
from qtui.tui.widgets.lines import set_title

if TYPE_CHECKING:
    from qtui.tui.tabs.scene import Reach, Scene

PAINT_SECONDS: Final = 0.5
"""The least time between two paintings of the same."""
_TITLE_GAPS: Final = 8
"""Cells of a title between its parts, and beside them."""
MOST_SHARE: Final = 20
"""The time between two paintings is so many times as long as one takes: a unit may need ten thousand others."""


class DetailView(CursorLines):
    """One tab of what is selected. `attempts` are those that somebody keeps; `texts` hides what is secret.

    One of `alone` stands beside the others: its title is its own.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.DETAILS)

    class Stepped(Message):
        """Another tab is wanted: the next one, or the one before."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(
        self,
        session: RunSession,
        bridge: Bridge,
        attempts: Attempts,
        glyphs: Glyphs,
        *,
        tab: Tab,
        alone: bool = False,
        keymap: Keymap = USUAL,
        id: str | None = None,  # noqa: A002  - Textual's name
    ) -> None:
        super().__init__(glyphs, keymap=keymap, id=id)
        self._session, self._bridge, self._attempts = session, bridge, attempts
        self._texts = TextMasker(session.facts.masks)
        self._reach: Reach | None = None
        self._result: tuple[object, str] = (None, "")
        self._rows: list[Row] = []
        self._unit: int | None = None
        self._bundle: Bundle | None = None
        self._paint_after = 0.0
        self._stale = True
        self.alone = alone
        self.tab = tab

    # -- what is shown -------------------------------------------------------------------------------------

    def choose(self, tab: Tab) -> None:
        """Show another tab, from its beginning."""
        if tab is not self.tab:
            self.tab = tab
            self._begin_anew()

    def watch_unit(self, unit: int) -> None:
        """Tell of this unit from now on."""
        if self._unit != unit:
            self._unit, self._bundle = unit, None
            self._begin_anew()

    def watch_bundle(self, bundle: Bundle) -> None:
        """Tell of this bundle from now on."""
        if self._bundle is None or self._bundle.key != bundle.key:
            self._begin_anew()
        self._unit, self._bundle, self._stale = None, bundle, True

    def forget(self) -> None:
        """Numbers of units mean something else from now on."""
        self._unit = self._bundle = None
        self._rows = []

    def _begin_anew(self) -> None:
        self.at = 0
        self._paint_after, self._stale = 0.0, True
        self.scroll_to(y=0, animate=False, force=True)

    def on_resize(self) -> None:
        """Paint for the new size in the next frame."""
        self._paint_after, self._stale = 0.0, True

    def update_details(self, now: float, *, changed: bool) -> None:
        """Bring the rows up to date; call it in every frame, with whether anything has changed since the last one."""
        self._stale |= changed
        if not self._stale or not self.display or not self.size.width or time.monotonic() < self._paint_after:
            return
        if self._unit is None and self._bundle is None:
            return
        began = time.monotonic()
        self._stale = False
        width = self.size.width - 1
        self._rows = rows_of(self._entries(now), width, self._glyphs, self._texts)
        self.at = min(self.at, max(0, len(self._rows) - 1))
        self.show([row.spans for row in self._rows])
        self._write_title()
        took = time.monotonic() - began
        self._paint_after = began + max(PAINT_SECONDS, MOST_SHARE * took)

    def _entries(self, now: float) -> Sequence[Entry]:
        from qtui.tui.tabs.scene import Reach, Scene

        self._reach = self._reach or Reach()
        scene = Scene(
            session=self._session,
            bridge=self._bridge,
            attempts=self._attempts,
            texts=self._texts,
            glyphs=self._glyphs,
            now=now,
            reach=self._reach,
            keymap=self._keymap,
        )
        if self._bundle is not None:
            return self._of_bundle(scene, self._bundle)
        assert self._unit is not None
        return self._of_unit(scene, self._unit)

    def _of_unit(self, scene: Scene, unit: int) -> Sequence[Entry]:
        from qtui.tui.tabs.info import info_unit
        from qtui.tui.tabs.telling import OF_UNIT

        if self.tab is not Tab.INFO:
            return OF_UNIT[self.tab](scene, unit)
        log = self._session.log_path(unit, scene.view.attempts[unit]) if scene.view.attempts[unit] else None
        return info_unit(scene, unit, self._result_of(scene.view, unit), log or "")

    def _of_bundle(self, scene: Scene, bundle: Bundle) -> Sequence[Entry]:
        from qtui.tui.tabs.info import info_bundle
        from qtui.tui.tabs.telling import OF_UNITS

        if self.tab is Tab.INFO:
            return info_bundle(scene, bundle)
        return OF_UNITS[self.tab](scene, bundle.units)

    def _result_of(self, view: RunView, unit: int) -> str:
        """The value of a unit, asked for once: a unit that runs again has another end."""
        end = view.unit(unit).finished
        if end is None:
            return ""
        if self._result[0] is not end:
            self._result = end, self._session.result_text(unit)
        return self._result[1]

    def _write_title(self) -> None:
        bar = self.tab.value.title() if self.alone else tab_bar(self.tab, self.size.width)
        if self._bundle is not None:
            name, word = self._bundle.label, ""
        else:
            assert self._unit is not None
            name, word = self._bridge.view.unit(self._unit).id, self._bridge.look_of(self._unit).value
        room = max(8, self.size.width - len(bar) - len(word) - _TITLE_GAPS)
        name = cut_middle(shown(name, self._texts), room, self._glyphs.ellipsis)
        set_title(self, "  ".join(filter(None, (bar, name, word))))

    # -- rows ----------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @property
    def leads(self) -> bool:
        """Whether any row leads anywhere."""
        return any(row.goal is not None for row in self._rows)

    def row(self, at: int) -> Row:
        """A row."""
        return self._rows[at]

    def action_step_tab(self, step: int) -> None:
        """Another tab."""
        self.post_message(self.Stepped(step))
