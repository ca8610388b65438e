"""How often things are painted, and how much of a row."""

from __future__ import annotations

from qtui.tui.beat import Beat
from qtui.tui.roles import Role
from qtui.tui.rows import Row, cells_until_same
from qtui.tui.text import Span


def row(sign: str, name: str, cause: str) -> Row:
    return Row((Span(sign, Role.TEXT),), (Span(name, Role.TEXT), Span(cause, Role.MUTED)))


def test_a_change_after_a_pause_is_painted_at_once_and_the_next_ones_later() -> None:
    beat = Beat(seconds=3600)
    assert beat.due(changed=True)
    assert not beat.due(changed=True)
    assert not beat.due(changed=False)
    assert beat.due(changed=False, at_once=True), "another state of the run does not wait"


def test_a_change_that_had_to_wait_is_not_forgotten() -> None:
    beat = Beat(seconds=0.02)
    beat.due(changed=True)
    assert not beat.due(changed=True)
    while not beat.due(changed=False):
        pass
    assert not beat.due(changed=False)


def test_what_is_asked_to_hurry_is_painted_in_the_next_frame() -> None:
    beat = Beat(seconds=3600)
    beat.due(changed=True)
    beat.hurry()
    assert beat.due(changed=False)


def test_of_a_row_only_what_changed_and_what_stands_before_it_is_painted() -> None:
    before = row("▸", "名前", "  60%")
    assert cells_until_same(before, row("✓", "名前", "  60%"), 20) == 1
    assert cells_until_same(before, row("▸", "名称", "  60%"), 20) == 5
    assert cells_until_same(before, row("▸", "名前", "  61%"), 20) == 10
    assert cells_until_same(before, row("▸", "名", "  60%"), 20) == 20, "everything moved"
    assert cells_until_same(before, before, 20) == 0
