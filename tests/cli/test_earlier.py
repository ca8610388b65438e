"""What earlier runs took is known to all who look at a run, and lines of text tell what is left."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from qtui.attached import AttachedSession
from qtui.cli import plain
from qtui.cli.earlier import past_in, seconds_of
from qtui.core.session import RunSession
from qtui.manager import LiveSession
from qtui.replayed import ReplaySession
from qtui.services import open_services
from qtui.store.rundir import find_run

GENEROUS = 30.0
FLOW = """
[units.step]
run = "sleep 1.2"
"""


@contextmanager
def running(state: Path, path: Path) -> Iterator[LiveSession]:
    with open_services(state) as services:
        session = services.manager.start(services.manager.load(str(path)))
        yield session
        assert session.wait(GENEROUS) is not None
        session.close()


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A workflow that has run once; its state is beside it."""
    path = tmp_path / "flow.toml"
    path.write_text(FLOW)
    with running(tmp_path / "state", path):
        pass
    return path


def follow(state: Path, path: Path, out: io.StringIO) -> None:
    with running(state, path) as session:
        writer = threading.Thread(target=plain.PlainLines(session, out, ask_past=past_in(state)).follow)
        writer.start()
    writer.join(GENEROUS)


def seconds(state: Path, session: RunSession) -> list[float]:
    (known,) = seconds_of(past_in(state)(session)).values()
    return list(known)


def test_a_live_an_attached_and_a_replayed_session_know_the_same(flow: Path) -> None:
    state = flow.parent / "state"
    with running(state, flow) as live:
        known = seconds(state, live)
        assert len(known) == 1
        assert known[0] >= 1.2
        with closing(AttachedSession(find_run(state, live.run))) as attached:
            assert seconds(state, attached) == known
    with closing(ReplaySession(find_run(state, live.run))) as replayed:
        assert len(seconds(state, replayed)) == 2


def test_a_line_in_between_tells_how_long_it_will_take(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "HEARTBEAT", 0.05)
    out, state = io.StringIO(), flow.parent / "state"
    follow(state, flow, out)
    assert "; about 1s left (" in out.getvalue()


def test_the_first_run_has_nothing_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "HEARTBEAT", 0.05)
    path, out = tmp_path / "flow.toml", io.StringIO()
    path.write_text(FLOW)
    follow(tmp_path / "state", path, out)
    assert "still running: step" in out.getvalue()
    assert "left" not in out.getvalue()
