"""Makes the pictures in this directory from real runs: ``make screenshots``.

The dashboard is driven headless over a real engine, and drawn at a moment chosen by the run's state: a run at work on a
large screen, a failure that is selected, the view by levels, a timeline, a small terminal, one without colours, a run
that somebody attached to, the replay of one that has ended, and a run on a Dask cluster.

``python screenshots/make.py cluster`` makes that one alone, by its name.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, chdir, closing, contextmanager
from pathlib import Path
from typing import Any

from qtui.core.model import FAILURES, UnitState
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.services import Services, open_services
from qtui.tui.app import Dashboard
from qtui.tui.player import Player
from qtui.workflow import Overrides

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "workflows" / "corpus.toml"
FAILING = HERE / "failing.toml"
SHARDS = HERE / "shards.toml"
PATIENCE = 60.0
SMALL, MEDIUM, LARGE = (80, 24), (120, 40), (200, 60)
DOWN_TO_EXTRACT = ("j", "j", "j", "l", "j", "j")


def completed(count: int) -> Callable[[RunView], bool]:
    """The moment at which so many units have completed."""
    return lambda view: view.counts[UnitState.COMPLETED] >= count


def failed(view: RunView) -> bool:
    """The moment at which something has failed."""
    return any(view.counts[state] for state in FAILURES)


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a Dask cluster on this machine: a scheduler and two workers."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, ExitStack() as stack:

        def start(*words: str) -> None:
            command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
            process = stack.enter_context(subprocess.Popen(command, cwd=scratch, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)

        contact = Path(scratch, "scheduler.json")
        start("scheduler", "--port", "0", "--scheduler-file", str(contact))
        deadline = time.monotonic() + PATIENCE
        while not (contact.exists() and contact.read_text()):
            assert time.monotonic() < deadline, "the scheduler never listened"
            time.sleep(0.05)
        address = json.loads(contact.read_text())["address"]
        for name in ("north", "south"):
            start("worker", address, "--name", name, "--nthreads", "2", "--no-nanny", "--local-directory", scratch)
        yield address


@contextmanager
def running(workflow: Path = CORPUS, **overrides: Any) -> Iterator[tuple[Services, RunSession]]:
    """A run of a workflow that has just begun, in a place of its own."""
    # units in threads may still write while the directory is being removed
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        chdir(scratch),  # paths below it are told as from there, as to somebody who is in the workflow's directory
        open_services(Path(scratch, "state")) as services,
    ):
        params = {"out": str(Path(scratch, "out"))} if workflow is CORPUS else {}
        if workflow is FAILING:  # its path stands in the picture
            workflow = Path(shutil.copy(workflow, "readings.toml"))
        definition = services.manager.load(str(workflow), params, Overrides(workers=4, **overrides))
        yield services, services.manager.start(definition)


async def picture(
    name: str,
    size: tuple[int, int],
    session: RunSession,
    moment: Callable[[RunView], bool],
    *keys: str,
    then: Sequence[str] = (),
    title: str = "corpus",
    player: Player | None = None,
    color: bool | None = None,
    looks_ahead: bool = False,
) -> None:
    """Draw `session` on a screen of `size` at `moment`: `keys` are pressed before it has come, and `then` in it. It
    `looks_ahead` with nothing but the estimates of the workflow."""
    app = Dashboard(
        session,
        title,
        player=player,
        detachable=session.kind == "live",
        color=color,
        ask_past=(lambda _: {}) if looks_ahead else None,
    )
    async with app.run_test(size=size) as pilot:
        await pilot.press(*keys)
        deadline = time.monotonic() + PATIENCE
        while not moment(session.view()):
            assert time.monotonic() < deadline, f"{name}: the moment never came: {session.view().counts}"
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # three frames
        await pilot.press(*then)
        await asyncio.sleep(0.7)  # all is painted, also what is painted twice a second
        (HERE / f"{name}.svg").write_text(app.export_screenshot(title=f"qtui {title}"))
        app.exit()
    print(f"{name}.svg  {size[0]}x{size[1]}")


async def on_cluster() -> None:
    """Make the picture of a run on a cluster."""
    with cluster() as address, running(executor="dask", address=address) as (_, session):
        await picture("cluster", MEDIUM, session, completed(12), *DOWN_TO_EXTRACT)


async def on_this_machine() -> None:
    """Make the other pictures."""
    for name, size, count in (("small", SMALL, 20), ("medium", MEDIUM, 22), ("large", LARGE, 24)):
        with running() as (_, session):
            await picture(name, size, session, completed(count), *DOWN_TO_EXTRACT)
    with running(FAILING) as (_, session):
        await picture("failure", MEDIUM, session, failed, then=("f",), title="readings")
    with running() as (_, session):
        await picture("levels", MEDIUM, session, completed(22), "t", *"jjjj")
    with running() as (_, session):
        await picture("mono", MEDIUM, session, completed(22), *DOWN_TO_EXTRACT, color=False)
    with running(SHARDS) as (_, session):
        await picture("timeline", MEDIUM, session, completed(4), "5", "z", title="shards", looks_ahead=True)
    with running() as (services, session):
        with closing(services.manager.attach(session.run)) as attached:
            await picture("attached", MEDIUM, attached, completed(26), *DOWN_TO_EXTRACT)
        assert session.wait(PATIENCE) is not None, "the run never ended"
        with closing(services.manager.replay(session.run)) as replay:
            replay.seek(replay.begin + 0.4 * (replay.end - replay.begin))
            await picture("replay", MEDIUM, replay, completed(1), *DOWN_TO_EXTRACT, player=replay)


async def main() -> None:
    """Make every picture, or the one that is named."""
    sys.setswitchinterval(0.001)  # as the command line does while a screen is up
    if sys.argv[1:] != ["cluster"]:
        await on_this_machine()
    await on_cluster()


if __name__ == "__main__":
    asyncio.run(main())
