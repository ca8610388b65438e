"""The keys that take something out of the screen: to the clipboard, to a file, into the pager."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from textual.app import SuspendNotSupported

from qtui.core.failures import causes_of
from qtui.core.model import FAILURES
from qtui.tui import pager
from qtui.tui.clipboard import MOST_BYTES, clipboard_sequence, keep_copy, last_part, new_file, short_path
from qtui.tui.drawn import Drawn
from qtui.tui.format import counted
from qtui.tui.loglines import PIECE
from qtui.tui.screens.logged import NO_LOG, Logged
from qtui.tui.text import clean, plain_lines


class Copying(Logged):
    """The keys that copy, save and open elsewhere."""

    # -- the clipboard -----------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """Copy what one would want to paste somewhere: in the log the line one is at; elsewhere what the selected unit
        has died of, or its name."""
        text, what = self._worth_copying()
        if text:
            self._copy(text.encode("utf-8", "replace"), what)
        else:
            self.note("there is nothing to copy here")

    def _worth_copying(self) -> tuple[str, str]:
        log, tree = self.log_pane, self.tree_pane
        if self.focused is log:
            return log.current_text, "1 line"
        if tree.unit is None:
            return clean(tree.targets_label), "the name"
        view = self.bridge.view
        if view.states[tree.unit] in FAILURES:
            for cause in causes_of(view, [tree.unit]):
                return clean(cause.words), "its error"
        return clean(view.plan.table[tree.unit].id), "the unit's name"

    def action_copy_log(self) -> None:
        """Copy the log, or as much of its end as a clipboard takes."""
        shown = self.log_pane.shown
        if shown is None:
            self.note(NO_LOG)
            return
        # colours go, and of a progress bar all but its last state: a few times what fits is enough
        chunk = self.session.read_log(*shown, -4 * MOST_BYTES, 4 * MOST_BYTES)
        if not chunk.data:
            self.note(chunk.trouble or "this log is empty")
            return
        text = plain_lines(chunk.data.decode("utf-8", "replace")).encode("utf-8")
        part = last_part(text)
        whole = part == text and chunk.size <= len(chunk.data)
        lines = part.count(b"\n") + (not part.endswith(b"\n"))
        saves = f"{self.key('log.save')} saves all of it"
        left_out = "" if whole else f" (only its end: a clipboard takes no more; {saves})"
        self._copy(part, f"{'' if whole else 'the last '}{counted(lines, 'line')} of the log{left_out}")

    def _copy(self, data: bytes, what: str) -> None:
        if isinstance(self.app, Drawn):
            self.app.to_terminal(clipboard_sequence(data, os.environ))
        try:
            kept = f"; also in {short_path(keep_copy(data, os.environ))}"
        except OSError as error:
            kept = f"; no file could be written: {error.strerror}"
        self.note(f"copied {what}, {counted(len(data), 'byte')}{kept}")

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
        command = pager.pager_command(os.environ, path)
        if isinstance(command, str):
            self.note(command)
            return
        try:
            with self.app.suspend():
                trouble = pager.show(command)
        except SuspendNotSupported:
            trouble = "the screen cannot be left for a while here"
        if trouble:
            self.note(trouble)
