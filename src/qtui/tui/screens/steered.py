"""What keys ask of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qtui.tui.screens.foreseeing import Foreseeing
from qtui.tui.text import clean

if TYPE_CHECKING:
    from qtui.tui.steering import Answer, Detach, Do, Note

_REFUSED: Final = "this screen only reads: attach without --read-only to steer the run"
_REPLAYED: Final = "this is a replay: nothing can be asked of the run"
_ENDED: Final = "the run has ended here: qtui resume {run}"


class Steered(Foreseeing):
    """The keys that ask something of the run. They go to the marked units, or else to the selected row."""

    def carry_out(self, answer: Answer) -> None:
        """Do what was asked for, after a question if there is one; where nothing can be asked, say why."""
        from qtui.tui.screens.question import Question
        from qtui.tui.steering import Ask, Do, Note

        if refusal := self.refusal:
            answer = Note(refusal)
        match answer:
            case Note(text):
                self.note(text)
            case Do():
                self._request(answer)
            case Ask():
                self.app.push_screen(Question(answer, self.glyphs, self.session.view, self.foresee), self._answered)

    @property
    def refusal(self) -> str:
        """Why nothing can be asked of the run; empty if it can."""
        if self.player is not None:
            return _REPLAYED
        if self.session.lost:
            return self.session.trouble
        if not self.session.read_only:
            return ""
        return _ENDED.format(run=self.session.run) if self.session.view().state.ended else _REFUSED

    def _request(self, do: Do) -> None:
        self.session.request(do.request)
        units = getattr(do.request, "units", ())
        self.tree_pane.keep_found(units)
        if units and set(units) <= set(self.tree_pane.units):
            self.tree_pane.chosen = True
        self.tree_pane.clear_marks()
        if do.said:
            self.note(do.said)

    def _answered(self, chosen: Do | Detach | Note | None) -> None:
        from qtui.tui.steering import Do, Note

        if isinstance(chosen, Do):
            self._request(chosen)
        elif isinstance(chosen, Note):
            self.note(chosen.text)

    def edited_on_disk(self, number: int) -> str:
        """How a unit differs on the disk; empty where nothing can be asked of the run."""
        return "" if self.session.read_only else self.session.edited(number)

    def action_retry(self) -> None:
        """Run the units again."""
        from qtui.tui import retrying

        tree, view = self.tree_pane, self.session.view()
        chosen = bool(tree.marks)
        edited, keymap = self.edited_on_disk, self.keymap
        self.carry_out(retrying.retry(view, tree.targets, tree.targets_label, edited, chosen=chosen, keymap=keymap))

    def action_retry_all(self) -> None:
        """Run all that ended badly again, or the marked units."""
        from qtui.tui import retrying

        if self.tree_pane.marks:
            self.action_retry()
            return
        view = self.session.view()
        self.carry_out(retrying.retry_units(view, range(len(view.plan)), clean(self.run_title), self.edited_on_disk))

    def action_cancel(self) -> None:
        """Stop the units."""
        from qtui.tui import steering

        tree = self.tree_pane
        self.carry_out(steering.cancel(self.session.view(), tree.targets, tree.targets_label, self.keymap))

    def action_set_aside(self) -> None:
        """Do without the units."""
        from qtui.tui import steering

        tree = self.tree_pane
        self.carry_out(steering.set_aside(self.session.view(), tree.targets, tree.targets_label, keymap=self.keymap))

    def action_prioritize(self, step: int) -> None:
        """Let the units start earlier or later."""
        from qtui.tui import steering

        tree = self.tree_pane
        self.carry_out(steering.prioritize(self.session.view(), tree.targets, tree.targets_label, step))

    def action_cancel_run(self) -> None:
        """End the run."""
        from qtui.tui import steering

        self.carry_out(steering.cancel_run(self.session.view()))

    def action_pause(self) -> None:
        """Pause or go on."""
        from qtui.tui import steering

        self.carry_out(steering.pause(self.session.view()))

    def action_answer(self) -> None:
        """Answer what waits for a person."""
        from qtui.tui import steering

        self.carry_out(steering.answer(self.session.view(), self.tree_pane.unit))

    def action_workers(self, step: int) -> None:
        """More or fewer workers."""
        from qtui.tui import steering

        self.carry_out(steering.more_workers(self.session.view(), step, self.keymap, cluster=self.bridge.clustered))

    def action_adapt_workers(self) -> None:
        """Let the number of workers follow the machine."""
        from qtui.tui import steering

        self.carry_out(steering.adapt_workers(self.session.view(), self.keymap, cluster=self.bridge.clustered))
