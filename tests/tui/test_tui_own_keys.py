"""A person may have chosen other keys: whatever the dashboard says then, it names those."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from scenes import failed, nightly, unit
from scripted import ScriptedSession
from stage import staged

import qtui.tui
from qtui.core.options import RunOptions
from qtui.core.stimuli import WorkersRequested
from qtui.tui.actions import ACTIONS, keys_of
from qtui.tui.commands import Complaint, Scene, parse
from qtui.tui.keys import key_for, shown, text_of
from qtui.tui.steering import Note
from qtui.tui.widgets.filter import FilterInput

LARGE = (200, 60)
OTHER = {action.id: f"f{at}" for at, action in enumerate(ACTIONS, 20)}
"""Another key for each action, and none of them another one's usual key."""

USUAL = {shown(key) for action in ACTIONS for key in keys_of(action, {})} - set("012345")
SIGN, WORD = ("|".join(re.escape(key) for key in USUAL if (len(key) == 1) is one) for one in (True, False))
BEFORE, DOES = r"(?<![^\s(│])(?<!\d )", "[a-z]+s"
NAMES_ONE = re.compile(
    rf"{BEFORE}(?:({SIGN})(?: (?:{SIGN}))? ({DOES}|next|again|all)|({WORD}) ({DOES}))\b|\(({SIGN}|{WORD})\)"
)
"""``r runs it again``, ``n N next``, ``(L)``."""
NO_KEYS = {"a is", "a was", "a has", "end is", "s stops", "s kills"}
"""The last two are answers to a question, which nobody can choose."""
LEAVING = {"app.leave", "app.detach", "app.interrupt"}
OF_BOXES = frozenset({"esc", "enter", "tab"})
"""What boxes over the screen are answered with, whatever keys the actions have."""

TUI = Path(qtui.tui.__file__).parent
BOXES = {"commands", "edit", "found", "help", "palette", "picker", "presskeys", "question", "actions"}


def named(text: str, fixed: Collection[str] = ()) -> list[str]:
    """What in a text names a usual key that is not `fixed`."""
    found = [(each[0].strip(), each[1] or each[3] or each[5]) for each in NAMES_ONE.finditer(text)]
    return [words for words, key in found if words not in NO_KEYS and key not in fixed]


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that are not about it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    done = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            done.update(map(id, node.values))
            parts = (each.value if isinstance(each, ast.Constant) else "VALUE" for each in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in done:
            yield node.lineno, node.value


def asking() -> ScriptedSession:
    """Something of everything, and one worker."""
    session = nightly()
    session.post(WorkersRequested(1))
    return session


def test_it_is_seen_when_a_text_names_a_usual_key() -> None:
    for text in ("x has ended; r runs it again", "end resumes", "1 failed: f next, R all", "try 2 (L)", "a answers"):
        assert named(text), text
    assert not named("a has ended in 3 s and that is the end")


def test_no_text_of_the_dashboard_has_a_key_in_it() -> None:
    found = [
        (path.name, line, each)
        for path in TUI.rglob("*.py")
        for line, text in literals(path)
        for each in named(text, OF_BOXES if path.stem in BOXES else ())
    ]
    assert found == []


def test_what_actions_do_is_told_with_the_chosen_keys() -> None:
    for action in ACTIONS:
        assert key_for(action.id, OTHER) == OTHER[action.id]
        assert not named(text_of(action, OTHER), {"tab"}), "tab completes in the command line, which is a box"


@pytest.mark.parametrize("scene", [asking, failed], ids=["running", "failed"])
async def test_nothing_on_the_screen_names_a_key_that_was_given_away(
    scene: Callable[[], ScriptedSession], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the log is saved
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with staged(scene(), LARGE, keymap=OTHER) as stage:
        ended = stage.session.view().state.ended
        for action in ACTIONS:
            if ended and action.id in LEAVING:
                continue
            await stage.press(OTHER[action.id])
            boxed = len(stage.app.screen_stack) > 1
            told = f"{stage.main.noted}\n{stage.text()}"
            assert not named(told, OF_BOXES if boxed else ()), f"{action.id}\n{told}"
            while len(stage.app.screen_stack) > 1 or isinstance(stage.app.focused, FilterInput):
                await stage.press("escape")


def test_no_answer_to_a_command_names_a_key_that_was_given_away() -> None:
    lines = ("retry fetch", "skip fetch", "set timeout 5m fetch", "workers -1", "cancel marked")
    running = [parse(line, here(ScriptedSession([unit("fetch")], RunOptions(workers=1)))) for line in lines]
    over = [parse("cancel fetch", here(failed()))]

    told = [answer.text for answer in (*running, *over) if isinstance(answer, Note | Complaint)]

    assert len(told) == len(lines) + 1
    assert all(re.search(r"\bf\d+ ", text) and not named(text) for text in told), told


def here(session: ScriptedSession) -> Scene:
    view = session.view()
    return Scene(view, session.options, (0,), "fetch", actions=ACTIONS, keymap=OTHER)
