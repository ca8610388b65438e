"""What can be typed: the command line, the palette, and the form in which units are edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from textual.containers import Container
from textual.dom import DOMNode
from textual.widget import Widget

from qtui.tui.actions import Action, Where
from qtui.tui.keys import actions_for
from qtui.tui.panes import Pane
from qtui.tui.screens.base import TOO_NEW
from qtui.tui.screens.finding import Finding
from qtui.tui.screens.steered import Steered
from qtui.tui.theme import THEMES
from qtui.tui.views.base import ViewKind
from qtui.tui.views.flat import SortKey
from qtui.tui.widgets.details import DetailView
from qtui.tui.widgets.events import EventsPane
from qtui.tui.widgets.lines import Lines
from qtui.tui.widgets.log import LogView
from qtui.tui.widgets.timeline import TimelinePane
from qtui.tui.widgets.tree import UnitTree

if TYPE_CHECKING:
    from qtui.tui.commands import Deed, Scene
    from qtui.tui.editing import Typing
    from qtui.tui.palette import Entry
    from qtui.tui.screens.commandline import History
    from qtui.tui.steering import Answer, Do

_CHOICES: Final = {
    "view": tuple(map(str, ViewKind)),
    "sort": tuple(map(str, SortKey)),
    "theme": tuple(THEMES),
}
_PANES: Final[Mapping[Where, type[Widget]]] = {
    Where.TREE: UnitTree,
    Where.LOG: LogView,
    Where.LINES: Lines,
    Where.DETAILS: DetailView,
    Where.EVENTS: EventsPane,
    Where.TIMELINE: TimelinePane,
    Where.REPLAY: Container,  # of all panes
}
"""What has the keys that belong to a pane."""


class Commanding(Finding, Steered):
    """The keys that open something to type into."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._history: History | None = None

    def scene(self) -> Scene:
        """What a command is about now."""
        from qtui.core.masking import TextMasker
        from qtui.tui.commands import Scene

        tree, session = self.tree_pane, self.session
        return Scene(
            view=session.view(),
            options=session.options,
            targets=tree.targets,
            label=tree.targets_label,
            marks=tree.marks,
            actions=tuple(actions_for(session)),
            choices=_CHOICES,
            edited=self.edited_on_disk,
            mask=TextMasker(session.facts.masks).text,
            keymap=self.keymap,
        )

    def _here(self) -> Scene:
        """The same without the keys of panes that do not have the focus."""
        scene = self.scene()
        actions = (each for each in scene.actions if each.where not in _PANES or self._has_focus(each.where))
        return scene._replace(actions=tuple(actions))

    def _has_focus(self, where: Where) -> bool:
        return where in (Where.TREE, Where.REPLAY) or isinstance(self.focused, _PANES[where])

    def action_command(self, text: str = "") -> None:
        """Type a command."""
        from qtui.tui.screens.commandline import CommandLine, History

        if self._history is None:
            self._history = History()
        self.app.push_screen(CommandLine(self.glyphs, self.scene, self._history, text), self._carry)

    def action_palette(self) -> None:
        """Choose from all that can be done."""
        from qtui.tui.palette import entries_for
        from qtui.tui.screens.palette import Palette

        self.app.push_screen(Palette(self.glyphs, entries_for(self._here(), self.keymap)), self._chosen)

    def action_edit(self) -> None:
        """Edit the units in a form, and run again those that have ended."""
        from qtui.tui.editing import Bad, edit, fields_of, not_editable, request_of, told
        from qtui.tui.screens.edit import Edit
        from qtui.tui.screens.question import TOO_LATE, Question
        from qtui.tui.steering import Note, as_seen, named

        scene = self.scene()
        view, units, label = scene.view, scene.targets, scene.label
        if refused := self.refusal or not_editable(view, units, label, self.keymap):
            self.note(refused)
            return
        unchanged = as_seen(view, units)

        def judge(typed: Sequence[Typing]) -> Answer:
            now = self.session.view()
            if not unchanged(now):
                return Note(TOO_LATE)
            try:
                request = request_of(now, units, typed)
                return edit(now, scene.options, request, label, partial(told, fields, typed), self.keymap)
            except Bad as bad:
                return Note(str(bad))

        fields = fields_of([view.plan.table[unit] for unit in units], scene.mask)
        form = Edit(
            self.glyphs,
            named(view, units, label),
            fields,
            judge,
            lambda ask: Question(ask, self.glyphs, self.session.view, self.foresee),
        )
        self.app.push_screen(form, self._apply)

    def _apply(self, do: Do | None) -> None:
        if do is not None:
            self.carry_out(do)

    def _chosen(self, entry: Entry | None) -> None:
        """Do what was chosen from the palette, or type the rest of it."""
        from qtui.tui.commands import Complaint, parse

        if entry is None:
            return
        deed = Complaint("") if entry.more else parse(entry.name, self.scene())
        if isinstance(deed, Complaint):
            self.action_command(f"{entry.name} ")
        else:
            self._carry(deed)

    def _carry(self, deed: Deed | None) -> None:
        """Do what a line asks for."""
        from qtui.tui.commands import Act, Choose, Find, Goto
        from qtui.tui.steering import Ask, Do, Note

        match deed:
            case Act(action):
                self.app.call_later(self._act, action)
            case Find(words):
                self.filter_units(words)
            case Goto(unit):
                self._go_to(unit)
            case Choose("view", name):
                self.show_units(ViewKind(name))
            case Choose("sort", name):
                self.sort_units(SortKey(name))
            case Choose("theme", name):
                self.app.call_later(self.app.run_action, f"app.use_theme({name!r})")
            case Note() | Do() | Ask():
                self.carry_out(deed)
            case _:
                pass

    async def _act(self, action: Action) -> None:
        place = self._place_of(action.where)
        if place is None:
            self.note(f"{action.id} is about a pane that is not on the screen")
        else:
            await self.app.run_action(action.does, default_namespace=place)

    def _place_of(self, where: Where) -> DOMNode | None:
        """The part of the screen that answers the keys of `where`: the one with the focus, if there are several; None
        if none is on the screen."""
        if where not in _PANES:
            return self.app if where is Where.APP else self
        panes = self.query(_PANES[where]).results()
        shown = sorted((pane for pane in panes if pane.display), key=lambda pane: not pane.has_focus)
        return shown[0] if shown else None

    def _go_to(self, unit: int) -> None:
        """Select a unit; one that has just been added may not be drawn yet."""
        if self.tree_pane.select_unit(unit):
            self.focus_pane(Pane.UNITS)
        else:
            self.note(TOO_NEW)
