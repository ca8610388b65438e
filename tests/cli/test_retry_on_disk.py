"""Running units again with what is on the disk: new definitions, as it was, and modules that have changed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from terminal import Terminal
from test_terminal import is_in_state, wait_state

from qtui.core.events import Event, UnitFinished, UnitRedefined, UnitReset
from qtui.core.model import Shell
from qtui.store.journal import JournalReader

FAILING = """
[workflow]
name = "mended"
[units.broken]
run = "echo first try; exit 3"
[units.after]
needs = ["broken"]
run = "echo after, as it was"
"""

QUESTION = "On the disk now"


def events_of(state_home: Path) -> list[Event]:
    (directory,) = (state_home / "qtui" / "runs").iterdir()
    reader = JournalReader(directory / "journal.db")
    try:
        return reader.after(0)
    finally:
        reader.close()


def failed(terminal: Callable[..., Terminal], path: Path, name: str = "broken", **keys: int) -> Terminal:
    """A screen with the run of a workflow of which this unit, the first one, has failed: so it is selected."""
    screen = terminal(path, columns=120, rows=40, **keys)
    wait_state(screen, name, "FAIL")
    return screen


def test_a_changed_file_is_shown_and_its_new_definition_runs(terminal, workflow, state_home) -> None:
    path = workflow(FAILING)
    screen = failed(terminal, path)
    path.write_text(FAILING.replace("echo first try; exit 3", "echo mended").replace("as it was", "as it is now"))
    screen.press("r")
    screen.wait_for(QUESTION)
    screen.wait_for("does: echo first try; exit 3 -> echo mended")
    screen.press("e")
    wait_state(screen, "broken", "ok")
    wait_state(screen, "after", "ok")
    screen.press("q")
    assert screen.exit_code() == 0
    said = events_of(state_home)
    used = {event.definition.id: event.definition for event in said if isinstance(event, UnitRedefined)}
    assert used.keys() == {"broken", "after"}, "what had to wait for it takes its new definition, too"
    assert used["broken"].action == Shell(("echo mended",))
    causes = [event.cause for event in said if isinstance(event, UnitReset)]
    assert causes[1:] == ["broken runs again"]
    assert re.fullmatch(r"retried with what is on the disk by \S+@\S+ \(pts/\d+\)", causes[0])


def test_a_unit_can_run_again_as_it_was(terminal, workflow, state_home) -> None:
    path = workflow(FAILING)
    screen = failed(terminal, path)
    path.write_text(FAILING.replace("exit 3", "echo mended"))
    screen.press("r")
    screen.wait_for(QUESTION)
    screen.press("o")
    screen.wait_for("retried as it was by you")
    screen.wait_for(
        lambda _: sum(isinstance(each, UnitFinished) for each in events_of(state_home)) == 4, "two more ends"
    )
    assert not any(isinstance(event, UnitRedefined) for event in events_of(state_home))
    screen.press("q")
    assert screen.exit_code() == 1


def test_what_was_edited_on_the_screen_is_offered_first_and_a_file_that_has_changed_is_none_of_that(
    terminal, workflow, state_home
) -> None:
    path = workflow(FAILING)
    screen = failed(terminal, path)
    screen.press(":", "set timeout 77 broken\r")
    screen.wait_for("apply")
    screen.press("y")
    screen.wait_for(lambda _: sum(isinstance(each, UnitFinished) for each in events_of(state_home)) == 4, "two more")
    wait_state(screen, "broken", "FAIL")
    screen.press("r")
    shown = screen.wait_for("with the edit made in this run")
    assert shown.index("o  with the edit made in this run") < shown.index("e  as in the file now, drops that edit")
    screen.press("e")
    screen.wait_for(lambda _: sum(isinstance(each, UnitFinished) for each in events_of(state_home)) == 6, "two more")
    wait_state(screen, "broken", "FAIL")
    path.write_text(FAILING.replace("exit 3", "true"))
    screen.press("r")
    screen.wait_for("its edited definition")


def test_a_file_that_is_as_it_was_is_not_asked_about(terminal, workflow) -> None:
    path = workflow(FAILING.replace("exit 3", "test -e flag"))
    screen = failed(terminal, path)
    path.write_text(f"# only this line is new\n{path.read_text()}")
    (path.parent / "flag").touch()
    screen.press("r")
    wait_state(screen, "broken", "ok")
    assert QUESTION not in screen.text()


def test_a_file_that_cannot_be_loaded_any_more_is_told_and_nothing_runs(terminal, workflow, state_home) -> None:
    path = workflow(FAILING)
    screen = failed(terminal, path)
    path.write_text(FAILING.replace("run =", "runs =", 1))
    screen.press("r")
    screen.wait_for("What is on the disk cannot be run:")
    screen.wait_for(lambda shown: 'did you mean "run"' in re.sub(r"[\s\u2502]+", " ", shown))
    shown = screen.text()
    assert "edited definition" not in shown and "as it was" in shown
    screen.press("n")
    assert is_in_state("broken", "FAIL")(screen.text())
    assert not any(isinstance(event, UnitReset) for event in events_of(state_home))


def test_what_would_change_the_graph_is_left_to_a_resume(terminal, workflow, state_home) -> None:
    path = workflow(FAILING)
    screen = failed(terminal, path)
    path.write_text(FAILING.replace("[units.broken]", '[units.new]\nrun = "true"\n[units.broken]\nneeds = ["new"]'))
    screen.press("r")
    screen.wait_for(QUESTION)
    screen.press("e")
    screen.wait_for("not run again: what it needs")
    assert not any(isinstance(event, UnitReset) for event in events_of(state_home))


def test_all_that_failed_runs_again_with_what_is_on_the_disk(terminal, workflow) -> None:
    other = '[units.other]\nrun = "exit 4"\n'
    path = workflow(FAILING + other)
    screen = failed(terminal, path)
    wait_state(screen, "other", "FAIL")
    path.write_text(FAILING.replace("exit 3", "true") + other)
    screen.press("R")
    screen.wait_for("On the disk now for 1 of 2:")
    screen.press("e")
    wait_state(screen, "broken", "ok")
    wait_state(screen, "after", "ok")
    wait_state(screen, "other", "FAIL")


CALLING = """
[units.broken]
call = "steps:work"
mode = "{mode}"
"""
RAISING = "def helped():\n    raise ValueError('not yet')\n"
STEPS = "def work():\n    import helping\n    print(helping.helped())\n"


def test_workers_that_have_imported_other_code_are_replaced(terminal, workflow) -> None:
    path = workflow(CALLING.format(mode="process"), steps=STEPS, helping=RAISING)
    screen = failed(terminal, path)
    (path.parent / "helping.py").write_text("def helped():\n    return 'helped at last'\n")
    screen.press("r")
    wait_state(screen, "broken", "ok")
    screen.wait_for("helped at last")


HELPED = "def helped():\n    return 'helped at last'\n"


def test_a_unit_of_a_thread_runs_the_code_that_is_on_the_disk(terminal, workflow) -> None:
    path = workflow(CALLING.format(mode="thread"), steps=STEPS, helping=RAISING)
    screen = failed(terminal, path)
    (path.parent / "helping.py").write_text(HELPED)
    screen.press("r")
    screen.wait_for("code: helping.py has changed")
    screen.press("e")
    wait_state(screen, "broken", "ok")
    screen.wait_for("helped at last")


def test_a_coroutine_runs_the_code_that_is_on_the_disk(terminal, workflow) -> None:
    path = workflow(CALLING.format(mode="async"), steps="async def work():\n    raise ValueError('not yet')\n")
    screen = failed(terminal, path)
    (path.parent / "steps.py").write_text("async def work():\n    print('awaited at last')\n")
    screen.press("r")
    screen.wait_for("does: the code of steps:work")
    screen.press("e")
    wait_state(screen, "broken", "ok")
    screen.wait_for("awaited at last")


MADE = """
import helping
from qtui import Workflow
workflow = Workflow("made")
@workflow.unit(mode="thread")
def broken():
    print(helping.helped())
@workflow.unit(mode="process", dependencies=["broken"])
def after(context):
    print(helping.helped(), "also elsewhere")
"""


def test_a_workflow_in_python_runs_what_its_helpers_are_on_the_disk(terminal, workflow) -> None:
    path = workflow("", helping=RAISING)
    made = path.with_name("made.py")
    made.write_text(MADE)
    screen = failed(terminal, made)
    (path.parent / "helping.py").write_text(HELPED)
    screen.press("r")
    screen.wait_for("code: helping.py has changed")
    screen.press("e")
    wait_state(screen, "broken", "ok")
    wait_state(screen, "after", "ok")
    screen.press("G")
    screen.wait_for("helped at last also elsewhere")


def test_a_unit_of_a_thread_can_run_again_as_it_was_and_says_so(terminal, workflow) -> None:
    path = workflow(CALLING.format(mode="thread"), steps=STEPS, helping=RAISING)
    screen = failed(terminal, path)
    (path.parent / "helping.py").write_text(HELPED)
    screen.press("r")
    screen.wait_for(QUESTION)
    screen.press("o")
    screen.wait_for("runs old code: helping.py")
    wait_state(screen, "broken", "FAIL")


def test_code_that_cannot_take_the_arguments_any_more_is_refused(terminal, workflow, state_home) -> None:
    path = workflow(CALLING.format(mode="thread"), steps=STEPS, helping=RAISING)
    screen = failed(terminal, path)
    (path.parent / "steps.py").write_text(STEPS.replace("work()", "work(context, wanted)"))
    screen.press("r")
    screen.wait_for("What is on the disk cannot be run:")
    screen.wait_for("wanted")
    assert "edited definition" not in screen.text()
    screen.press("n")
    assert not any(isinstance(event, UnitReset) for event in events_of(state_home))


WAITING = (
    FAILING
    + """
[units.waiting]
run = "while ! test -e release; do sleep 0.05; done"
"""
)


def test_who_looks_on_from_elsewhere_has_the_same_choice(terminal, workflow, state_home, tmp_path: Path) -> None:
    path = workflow(WAITING)
    runner = terminal(path, columns=120, rows=40)
    wait_state(runner, "broken", "FAIL")
    (tmp_path / "elsewhere").mkdir()
    attach = f"cd elsewhere; exec {sys.executable} -m qtui attach"
    other = terminal(program=("sh", "-c", attach), columns=120, rows=40)
    wait_state(other, "broken", "FAIL")
    path.write_text(WAITING.replace("exit 3", "echo mended"))
    other.press("r")
    other.wait_for(QUESTION)
    other.wait_for("does: echo first try; exit 3 -> echo first try; echo mended")
    other.press("e")
    wait_state(other, "broken", "ok")
    wait_state(runner, "after", "ok")
    (redefined,) = (event for event in events_of(state_home) if isinstance(event, UnitRedefined))
    assert redefined.cause.startswith("retried with what is on the disk by ")
    assert not redefined.cause.endswith(" by you")
    (path.parent / "release").touch()
    wait_state(other, "waiting", "ok")


def test_who_looks_on_sees_what_makes_a_file_unusable(terminal, workflow, state_home) -> None:
    path = workflow(WAITING)
    runner = terminal(path, columns=120, rows=40)
    wait_state(runner, "broken", "FAIL")
    other = terminal("attach", columns=120, rows=40)
    wait_state(other, "broken", "FAIL")
    path.write_text(WAITING.replace("run =", "runs =", 1))

    other.press("r")

    shown = other.wait_for("What is on the disk cannot be run:")
    assert "edited definition" not in shown and "as it was" in shown
    other.press("n")
    path.write_text(f"# only this line is new\n{WAITING}")
    other.press("r")
    other.wait_for(lambda _: any(isinstance(each, UnitReset) for each in events_of(state_home)), "it runs again")
    assert QUESTION not in other.text()


def test_a_name_that_a_run_was_begun_with_and_is_gone_is_told_with_what_helps(terminal, workflow) -> None:
    path = workflow(FAILING)
    screen = terminal("run", path, "broken", columns=120, rows=40)
    wait_state(screen, "broken", "FAIL")
    path.write_text(FAILING.replace("broken", "mended"))
    screen.press("r")
    screen.wait_for("the run was begun with broken, which")
    screen.wait_for("or begin a new run")
    screen.press("n")
    screen.press("q")
    assert screen.exit_code() == 1
