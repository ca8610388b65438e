"""What keys ask of the run."""

from __future__ import annotations

from typing import Final

from qtui.tui import steering
from qtui.tui.screens.base import RunScreen
from qtui.tui.screens.question import Question
from qtui.tui.steering import Answer, Ask, Detach, Do, Note
from qtui.tui.text import clean

_REFUSED: Final = "this screen only reads: attach without --read-only to steer the run"
_REPLAYED: Final = "this is a replay: nothing can be asked of the run"
_ENDED: Final = "the run has ended here: qtui resume {run}"


class Steered(RunScreen):
    """The keys that ask something of the run."""

    def carry_out(self, answer: Answer) -> None:
        """Do what a key asked for, after a question if there is one."""
        match answer:
            case _ if self.session.lost and self.player is None:
                self.note(self.session.trouble)
            case _ if self.session.read_only:
                self.note(self._refusal())
            case Note(text):
                self.note(text)
            case Do(request):
                self.session.request(request)
            case Ask():
                self.app.push_screen(Question(answer, self.glyphs, self.session.view), self._answered)

    def _refusal(self) -> str:
        """Why nothing can be asked of the run."""
        if self.player is not None:
            return _REPLAYED
        return _ENDED.format(run=self.session.run) if self.session.view().state.ended else _REFUSED

    def _answered(self, chosen: Do | Detach | Note | None) -> None:
        if isinstance(chosen, Do):
            self.session.request(chosen.request)
        elif isinstance(chosen, Note):
            self.note(chosen.text)

    def action_retry(self) -> None:
        """Run the selected unit or bundle again."""
        tree, view = self.tree_pane, self.session.view()
        if tree.unit is not None:
            self.carry_out(steering.retry_unit(view, tree.unit, self._edited))
        else:
            self.carry_out(steering.retry_units(view, tree.units, tree.label, self._edited))

    def _edited(self, number: int) -> str:
        return "" if self.session.read_only else self.session.edited(number)

    def action_retry_all(self) -> None:
        """Run all that ended badly again."""
        view = self.session.view()
        self.carry_out(steering.retry_units(view, range(len(view.plan)), clean(self.run_title), self._edited))

    def action_cancel(self) -> None:
        """Stop the selected unit or bundle."""
        tree, view = self.tree_pane, self.session.view()
        if tree.unit is not None:
            self.carry_out(steering.cancel_unit(view, tree.unit))
        else:
            self.carry_out(steering.cancel_units(view, tree.units, tree.label))

    def action_cancel_run(self) -> None:
        """End the run."""
        self.carry_out(steering.cancel_run(self.session.view()))

    def action_pause(self) -> None:
        """Pause or go on."""
        self.carry_out(steering.pause(self.session.view()))

    def action_answer(self) -> None:
        """Answer what waits for a person."""
        self.carry_out(steering.answer(self.session.view(), self.tree_pane.unit))

    def action_workers(self, step: int) -> None:
        """More or fewer workers."""
        self.carry_out(steering.more_workers(self.session.view(), step))

    def action_adapt_workers(self) -> None:
        """Let the number of workers follow the machine."""
        self.carry_out(steering.adapt_workers(self.session.view()))
