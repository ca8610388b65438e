"""Makes the pictures in this directory from real runs of ``workflows/corpus.toml``: ``make screenshots``.

The dashboard is driven headless at each size, over a real engine, and drawn at a moment chosen by the run's state.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qtui.core.model import UnitState
from qtui.core.state import RunView
from qtui.services import open_services
from qtui.tui.app import Dashboard
from qtui.workflow import Overrides

HERE = Path(__file__).resolve().parent
WORKFLOW = HERE.parent / "workflows" / "corpus.toml"
PATIENCE = 60.0


def completed(count: int) -> Callable[[RunView], bool]:
    """The moment at which so many units have completed."""
    return lambda view: view.counts[UnitState.COMPLETED] >= count


async def picture(name: str, size: tuple[int, int], moment: Callable[[RunView], bool], *keys: str) -> None:
    """Run the workflow on a screen of `size` and draw it at `moment`, after pressing `keys`."""
    # units in threads may still write while the directory is being removed
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        open_services(Path(scratch, "state")) as services,
    ):
        definition = services.manager.load(str(WORKFLOW), {"out": str(Path(scratch, "out"))}, Overrides(workers=4))
        session = services.manager.start(definition)
        app = Dashboard(session, definition.name)
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
    await picture("small", (80, 24), completed(20), "j", "j", "j", "l", "j", "j")
    await picture("medium", (120, 40), completed(22), "j", "j", "j", "l", "j", "j")
    await picture("large", (200, 60), completed(24), "j", "j", "j", "l", "j", "j")


if __name__ == "__main__":
    asyncio.run(main())
