"""Makes the pictures in this directory from real runs of ``workflows/corpus.toml``: ``make screenshots``.

The dashboard is driven headless over a real engine, and drawn at a moment chosen by the run's state: live at three
sizes, attached to a run from outside, and as a replay of the run that has ended.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qtui.core.model import UnitState
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.services import Services, open_services
from qtui.tui.app import Dashboard
from qtui.tui.player import Player
from qtui.workflow import Overrides

HERE = Path(__file__).resolve().parent
WORKFLOW = HERE.parent / "workflows" / "corpus.toml"
NAME = "corpus"
PATIENCE = 60.0
SMALL, MEDIUM, LARGE = (80, 24), (120, 40), (200, 60)
DOWN_TO_EXTRACT = ("j", "j", "j", "l", "j", "j")


def completed(count: int) -> Callable[[RunView], bool]:
    """The moment at which so many units have completed."""
    return lambda view: view.counts[UnitState.COMPLETED] >= count


@contextmanager
def running() -> Iterator[tuple[Services, RunSession]]:
    """A run of the workflow that has just begun, in a place of its own."""
    # units in threads may still write while the directory is being removed
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        open_services(Path(scratch, "state")) as services,
    ):
        definition = services.manager.load(str(WORKFLOW), {"out": str(Path(scratch, "out"))}, Overrides(workers=4))
        yield services, services.manager.start(definition)


async def picture(
    name: str,
    size: tuple[int, int],
    session: RunSession,
    moment: Callable[[RunView], bool],
    *keys: str,
    player: Player | None = None,
) -> None:
    """Draw `session` on a screen of `size` at `moment`, after pressing `keys`."""
    app = Dashboard(session, NAME, player=player, detachable=session.kind == "live")
    async with app.run_test(size=size):
        for key in keys:
            app.simulate_key(key)
        deadline = time.monotonic() + PATIENCE
        while not moment(session.view()):
            assert time.monotonic() < deadline, f"{name}: the moment never came: {session.view().counts}"
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # three frames
        (HERE / f"{name}.svg").write_text(app.export_screenshot(title=f"qtui workflows/{WORKFLOW.name}"))
        app.exit()
    print(f"{name}.svg  {size[0]}x{size[1]}")


async def main() -> None:
    """Make every picture."""
    sys.setswitchinterval(0.001)  # as the command line does while a screen is up
    for name, size, count in (("small", SMALL, 20), ("medium", MEDIUM, 22), ("large", LARGE, 24)):
        with running() as (_, session):
            await picture(name, size, session, completed(count), *DOWN_TO_EXTRACT)
    with running() as (services, session):
        with closing(services.manager.attach(session.run)) as attached:
            await picture("attached", MEDIUM, attached, completed(26), *DOWN_TO_EXTRACT)
        assert session.wait(PATIENCE) is not None, "the run never ended"
        with closing(services.manager.replay(session.run)) as replay:
            replay.seek(replay.begin + 0.4 * (replay.end - replay.begin))
            await picture("replay", MEDIUM, replay, completed(1), *DOWN_TO_EXTRACT, player=replay)


if __name__ == "__main__":
    asyncio.run(main())
