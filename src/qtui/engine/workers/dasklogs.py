"""What units on a Dask cluster print, on its way into the logs of the run."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from qtui.engine.caplog import dropped_line
from qtui.engine.remote.cluster import Cluster
from qtui.engine.remote.task import forget_logs, read_logs
from qtui.engine.workers.base import Host
from qtui.engine.workers.daskjobs import ClusterJob

LOG_SECONDS: Final = 0.5
"""How often the output of running units is fetched."""


class ClusterLogs:
    """Fetches output from the workers: asked for, not sent, so that one who prints a lot fills no scheduler."""

    def __init__(self, host: Host, cluster: Cluster, topic: str) -> None:
        self._host, self._cluster, self._topic = host, cluster, topic

    async def follow(self, jobs: Callable[[], Iterable[ClusterJob]]) -> None:
        """Bring what running `jobs` print, a while after they have printed it, until the cluster is gone."""
        asked: dict[str, asyncio.Task[None]] = {}  # each worker by itself: one that does not answer holds up no other
        try:
            while not self._cluster.lost:
                now = time.monotonic()
                old: dict[str, list[ClusterJob]] = defaultdict(list)
                for job in jobs():
                    if job.worker and not job.ending and now - job.began_at > LOG_SECONDS / 2:
                        old[job.worker].append(job)
                asked = {worker: task for worker, task in asked.items() if not task.done()}
                for worker in old.keys() - asked.keys():
                    asked[worker] = asyncio.create_task(self._bring(worker, old[worker]))
                await asyncio.sleep(LOG_SECONDS)
        finally:
            for task in asked.values():
                task.cancel()

    async def _bring(self, worker: str, jobs: list[ClusterJob]) -> None:
        with suppress(OSError):
            found = await self._read({job.token: job.read for job in jobs}, worker)
            for job in jobs:
                if job.token in found and not job.ending:
                    self.write(job, *found[job.token])

    async def read_rest(self, job: ClusterJob, size: int) -> None:
        """Bring the output of an attempt that has ended, up to `size`."""
        while job.read < size and not self._cluster.lost:
            offset, data = (await self._read({job.token: job.read}, job.worker)).get(job.token, (job.read, b""))
            if not data and offset <= job.read:
                self._host.warn(job.number, "some of its output is lost: its worker does not give it")
                return
            self.write(job, offset, data)
        await self._cluster.client.run(forget_logs, self._topic, [job.token], workers=[job.worker], on_error="ignore")

    def write(self, job: ClusterJob, offset: int, data: bytes) -> None:
        """Add what was printed from `offset` on, unless it is there already; a line stands for what was dropped."""
        context = job.attempt.context
        if context is None or offset + len(data) <= job.read:
            return
        if offset > job.read:
            context.log_writer.write(dropped_line(offset - job.read))
        context.log_writer.write(data[max(0, job.read - offset) :])
        job.read = offset + len(data)

    async def _read(self, offsets: dict[str, int], worker: str) -> dict[str, tuple[int, bytes]]:
        answers = await self._cluster.client.run(read_logs, self._topic, offsets, workers=[worker], on_error="ignore")
        return {token: part for each in answers.values() for token, part in each.items()}
