"""Both ends of a site for tests: who packs attempts as qtui does, and who hears of them as a cluster does."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from conftest import RUN
from engine_waiting import GENEROUS, until

from qtui.core.model import Argv, Call, QuantumUnit, Shell, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.stimuli import StartUnit
from qtui.engine import variables
from qtui.engine.packing import Packed, pack, unpack
from qtui.engine.remote.parcel import Parcel, RemoteValue, parcel_of
from qtui.engine.remote.site import Site
from qtui.engine.workers.base import Attempt
from qtui.engine.workers.sending import Sender

MB = 1 << 20


def call(id: str, function: Callable[..., Any], *needs: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, **keys)


def shell(id: str, text: str, *needs: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell((text,)), dependencies=needs, **keys)


def program(id: str, *argv: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Argv(argv), **keys)


class Home:
    """A run as parcels are made of it: units of which some have completed."""

    run, record = RUN, "1:2"

    def __init__(
        self,
        directory: Path,
        *units: QuantumUnit,
        results: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        grace: float = 5.0,
    ) -> None:
        self.plan = ExecutionPlan.build(units)
        self.options = RunOptions(grace=grace)
        self.params = params or {}
        self.made = {self.plan.numbers[name]: value for name, value in (results or {}).items()}
        self._directory, self._tokens = directory, count(1)
        self._sender = Sender(self, "sent")  # type: ignore[arg-type]  - it is asked for no more than there is here

    def packed_of(self, number: int) -> Packed:
        value = self.made[number]
        return value if isinstance(value, Packed) else pack(value, lambda: self.value_path(f"made-{number}"))

    def value_path(self, name: str) -> str:
        return str(self._directory / name)

    def state_of(self, number: int) -> UnitState:
        return UnitState.COMPLETED if number in self.made else UnitState.SKIPPED

    def cause_of(self, number: int) -> str:
        return "" if number in self.made else "its condition"

    def added_to(self, _number: int) -> tuple[int, ...]:
        return ()

    def variables_of(self, number: int) -> dict[str, str]:
        return variables.of_unit(self.plan.table[number])

    def parcel(self, id: str, attempt: int = 1, held: Sequence[str] = (), edition: int = 0) -> Parcel:
        """An attempt, as it arrives; the values of `held` are handed over with it, in this order."""
        number = self.plan.numbers[id]
        start = StartUnit(number, attempt, self.plan.lanes[number], 0)
        places = {self.plan.numbers[name]: index for index, name in enumerate(held)}
        token = f"{id}.{next(self._tokens)}"
        sent = parcel_of(self, self._sender, Attempt(start, self.plan.table[number]), places.get, token, edition)  # type: ignore[arg-type]
        arrived: Parcel = pickle.loads(pickle.dumps(sent))
        return arrived


class Cluster:
    """What a site tells, and the values that are kept for it."""

    def __init__(self, directory: Path) -> None:
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.kept: dict[str, RemoteValue] = {}
        self.site = Site(str(directory), self._tell, self.kept.__setitem__)
        self._threads: list[threading.Thread] = []

    def _tell(self, token: str, message: dict[str, Any]) -> None:
        self.told.setdefault(token, []).append(message)

    def begin(
        self, parcel: Parcel, values: Sequence[RemoteValue] = (), wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Run an attempt on a thread of its own, and wait until it has begun."""
        thread = threading.Thread(target=self.site.perform, args=(parcel, values, wanted))
        self._threads.append(thread)
        thread.start()
        until(lambda: parcel.token in self.told, f"{parcel.token} began")

    def end(self, parcel: Parcel) -> dict[str, Any]:
        """Wait for the end of an attempt."""
        until(lambda: self.kinds(parcel)[-1:] == ["ended"], f"{parcel.token} ended")
        return self.told[parcel.token][-1]

    def run(self, parcel: Parcel, values: Sequence[RemoteValue] = ()) -> dict[str, Any]:
        """Run an attempt to its end."""
        self.site.perform(parcel, values, lambda: True)
        return self.told[parcel.token][-1]

    def value(self, parcel: Parcel, values: Sequence[RemoteValue] = ()) -> Any:
        """What an attempt comes to that ends well."""
        end = self.run(parcel, values)
        assert end["error"] is None, end["error"]
        return None if end["value"] is None else unpack(Packed(*end["value"]))

    def kinds(self, parcel: Parcel) -> list[str]:
        return [message["kind"] for message in self.told.get(parcel.token, ())]

    def texts(self, parcel: Parcel, kind: str) -> list[str]:
        return [message["text"] for message in self.told.get(parcel.token, ()) if message["kind"] == kind]

    def close(self) -> None:
        self.site.close()
        for thread in self._threads:
            thread.join(GENEROUS)
        self.kept.clear()


def over_the_wire(value: RemoteValue) -> RemoteValue:
    """The value as another process gets it: its buffers travel beside the pickle."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    arrived: RemoteValue = pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in buffers])
    return arrived
