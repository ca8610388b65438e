"""The keys that take something out of the screen: to the clipboard, to a file, into the pager."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final

from textual.app import SuspendNotSupported

from qtui.core.failures import causes_of
from qtui.core.model import FAILURES
from qtui.tui.clipboard import (
    MOST_BYTES,
    clipboard_sequence,
    give_to_tmux,
    keep_copy,
    last_part,
    new_file,
    short_path,
)
from qtui.tui.drawn import Drawn
from qtui.tui.format import counted
from qtui.tui.loglines import PIECE
from qtui.tui.pager import WHOLE_SCREEN, pager_command
from qtui.tui.screens.logged import NO_LOG, Logged
from qtui.tui.text import clean, plain_lines

_ERROR_LINES: Final = 10
_READ: Final = (4, 16, 64)
"""How many times what a clipboard takes is read of a log: colours go, and of a progress bar all but its last state. The
most, 5 MB, takes 0.2 s."""
_ERROR_BYTES: Final = 4096
"""How much of the end of an error is copied with it: what fits into a message to somebody."""


class Copying(Logged):
    """The keys that copy, save and open elsewhere."""

    # -- the clipboard -----------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """Copy what one would want to paste somewhere: in the log the line that was found; else the unit's name with
        what it has died of; else in the log its last line, elsewhere its name."""
        text, what = self._worth_copying()
        if text:
            first, *more = text.splitlines()
            lines = f" ({counted(len(more) + 1, 'line')})" if more else ""
            self._copy(text.encode("utf-8", "replace"), f'{what}{lines} "{clean(first)}"')
        else:
            self.note("there is nothing to copy here")

    def _worth_copying(self) -> tuple[str, str]:
        log, tree, view = self.log_pane, self.tree_pane, self.bridge.view
        in_log = self.focused is log
        if in_log and log.found_text:
            return log.found_text, "the line"
        if tree.unit is None:
            return clean(tree.targets_label), "the name"
        latest = not in_log or log.shown == (tree.unit, view.attempts[tree.unit])
        if latest and view.states[tree.unit] in FAILURES:
            for cause in causes_of(view, [tree.unit]):
                name = clean(view.plan.table[tree.unit].id)
                return "\n".join([f"{name}: {clean(cause.words)}", *self._error_lines(tree.unit)]), "the error"
        if in_log and (last := log.last_text):
            return last, "the last line"
        return clean(view.plan.table[tree.unit].id), "the name"

    def _error_lines(self, unit: int) -> list[str]:
        """The last lines of a traceback, or of what the unit has printed."""
        view = self.bridge.view
        error = view.unit(unit).error
        text = error.traceback.rstrip().removesuffix(str(error)) if error is not None else ""  # it ends with the error
        if not text:
            data = self.session.read_log(unit, view.attempts[unit], -_ERROR_BYTES, _ERROR_BYTES).data
            text = data.decode("utf-8", "replace")
        lines = plain_lines(text).splitlines()
        return [line.rstrip() for line in lines if line.strip()][-_ERROR_LINES:]

    def action_copy_log(self) -> None:
        """Copy the log, or as much of its end as a clipboard takes."""
        shown = self.log_pane.shown
        if shown is None:
            self.note(NO_LOG)
            return
        for times in _READ:
            chunk = self.session.read_log(*shown, -times * MOST_BYTES, times * MOST_BYTES)
            text = plain_lines(chunk.data.decode("utf-8", "replace")).encode("utf-8")
            if len(text) > MOST_BYTES or chunk.size <= len(chunk.data):
                break
        if not chunk.data:
            self.note(chunk.trouble or "this log is empty")
            return
        part = last_part(text)
        whole = part == text and chunk.size <= len(chunk.data)
        lines = part.count(b"\n") + (not part.endswith(b"\n"))
        size = counted(len(part), "byte")
        if whole:
            self._copy(part, f"{counted(lines, 'line')} of the log, {size}")
        else:
            saves = f"{self.key('log.save')} saves all"
            more = "a clipboard takes no more" if part != text else "what is before is mostly redrawn lines"
            self._copy(part, f"the last {counted(lines, 'line')} ({saves}), {size}; {more}")

    def _copy(self, data: bytes, what: str) -> None:
        """The file is told first: its path is the way out where the clipboard cannot be reached."""
        try:
            kept = f"copied to {short_path(keep_copy(data, os.environ))}"
            told = f"{kept} and the clipboard: {what}"
        except OSError as error:
            kept = f"no file could be written: {error.strerror}"
            told = f"copied to the clipboard, but {kept}: {what}"
        self.note(told)
        if os.environ.get("TMUX"):
            threading.Thread(target=self._give_to_tmux, args=(data, kept), name="qtui-tmux", daemon=True).start()
        else:
            self._give_to_terminal(data)

    def _give_to_terminal(self, data: bytes) -> None:
        if isinstance(self.app, Drawn):
            self.app.to_terminal(clipboard_sequence(data, os.environ))

    def _give_to_tmux(self, data: bytes, kept: str) -> None:
        """On a thread: tmux may be slow, or hang. Where its command fails, as before 3.2, what is written may work."""
        trouble = give_to_tmux(data, os.environ)
        if trouble and self.is_running:
            self.app.call_later(self._give_to_terminal, data)
            self.app.call_later(self.note, f"{kept}; tmux may not have it: {clean(trouble)}")

    # -- a file ------------------------------------------------------------------------------------------

    def action_save_log(self) -> None:
        """Save the log, as it was written, to a new file in the directory where qtui was started."""
        shown = self.log_pane.shown
        if shown is None:
            self.note(NO_LOG)
            return
        name = self.bridge.view.plan.table[shown[0]].id
        threading.Thread(target=self._save, args=(*shown, name), name="qtui-save", daemon=True).start()

    def _save(self, unit: int, attempt: int, name: str) -> None:
        """On a thread: a log may be long, and the disk slow."""
        told = self._saved(unit, attempt, name)
        if self.is_running:
            self.app.call_later(self.note, told)

    def _saved(self, unit: int, attempt: int, name: str) -> str:
        chunk = self.session.read_log(unit, attempt, 0, PIECE)
        if not chunk.data:
            return chunk.trouble or "this log is empty: nothing was saved"
        try:
            made, path = new_file(Path.cwd(), name, attempt)
            with os.fdopen(made, "wb") as file:
                while chunk.data or chunk.next < chunk.size:
                    file.write(chunk.data)
                    offset = chunk.next
                    chunk = self.session.read_log(unit, attempt, offset, PIECE)
                    if chunk.next <= offset:
                        break
                size = file.tell()
        except OSError as error:
            return f"the log cannot be saved: {error.strerror}: {short_path(Path(error.filename or '.'))}"
        return f"saved {counted(size, 'byte')}: {short_path(path)}"

    # -- the pager ---------------------------------------------------------------------------------------

    def action_open_log(self) -> None:
        """Have the pager show the log, in the place of the screen."""
        shown = self.log_pane.shown
        path = self.session.log_path(*shown) if shown is not None else None
        if path is None:
            self.note(NO_LOG if shown is None else "it has printed nothing")
            return
        command = pager_command(os.environ, path)
        if isinstance(command, str):
            self.note(command)
        elif isinstance(app := self.app, Drawn) and (trouble := _paged(app, command)):
            self.note(trouble)


def _paged(app: Drawn[Any], command: list[str]) -> str:
    """Have a pager in the place of the screen; what went wrong, if anything."""
    try:
        with app.suspend():
            trouble = app.pager.show(command)
        app.to_terminal(WHOLE_SCREEN)
        return trouble
    except SuspendNotSupported:
        return "the screen cannot be left for a while here"
