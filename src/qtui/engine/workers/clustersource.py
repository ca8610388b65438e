"""A cluster, as it is named before anything is connected: no module of Dask is imported here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from qtui.core.errors import UsageError
from qtui.core.options import CLUSTERS


class ClusterSource(NamedTuple):
    """Where the units of mode ``custom`` run, and commands with them: in a cluster of the kind `name`.

    It is the one whose scheduler is at `address`, or without an address one that is made on this machine for the run.
    `insecure` allows connections to other machines that are not encrypted.
    """

    name: str = "dask"
    address: str = ""
    insecure: bool = False

    def check(self) -> None:
        """Raise UsageError if the run could never use it: its package is not installed, or the address is refused."""
        from qtui.engine.remote.security import refusal  # most runs have no cluster, and it imports modules of its own

        package = CLUSTERS[self.name]
        if find_spec(package) is None:
            raise UsageError(f'the executor {self.name} needs the package {package}: pip install "qtui[{self.name}]"')
        if why := refusal(self.address, self.insecure):
            raise UsageError(why)
