"""What travels to another machine for an attempt, and values that stay on such machines."""

from __future__ import annotations

import os
import pickle
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from qtui.core.model import Call, QuantumUnit
from qtui.engine import variables
from qtui.engine.packing import INLINE_BYTES, Packed, pack_pieces, pieces_of
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.sending import Sender


class Parcel(NamedTuple):
    """One attempt, as plain data that is pickled with nothing but qtui.

    `token` names it everywhere, `run` and `record` are those of a Host. `grace` is in seconds, `nice` added to the
    niceness of what it starts. Modules are looked for in `path` first; `cwd` is the directory in which relative ones
    are meant. `unit` has what a lane needs of the definition, with `stand_in` for a function; `function`, `params` and
    `head` are fields of a Packed. `head`, `wants_context` and `declared` are as in `Sender.job`, and so are `needs`
    and `added`: (number, id, state, cause, place), where the place is the fields of a Packed, None for no value, or an
    index into the values that are handed over with the parcel. All Packed are without a file. `variables` go over the
    environment there. What has imported code for an earlier `edition` is not used for this one.
    """

    token: str
    run: str
    record: str
    grace: float
    nice: int
    path: list[str]
    cwd: str
    params: tuple[Any, ...] | None
    number: int
    attempt: int
    unit: QuantumUnit
    function: tuple[Any, ...] | None
    head: tuple[Any, ...] | None
    wants_context: bool
    declared: list[tuple[Any, ...]]
    needs: list[tuple[Any, ...]]
    added: list[tuple[Any, ...]]
    variables: dict[str, str]
    edition: int = 0


def stand_in() -> None:
    """Stands for a function that travels beside the definition of its unit."""


def parcel_of(
    host: Host,
    sender: Sender,
    attempt: Attempt,
    place_of: Callable[[int], int | None],
    token: str,
    edition: int = 0,
) -> Parcel:
    """The parcel of an attempt. `place_of` gives the index of a need's value among those that are handed over with it,
    or None for one that is to travel inside. Raises Unstartable for what cannot be pickled."""
    unit = attempt.unit
    key, function = sender.function(unit) if isinstance(unit.action, Call) else (0, None)
    job = sender.job(attempt, key, function, place_of=place_of)
    number, tried, _, packed, wants_context, head, declared, needs, added, own, *_ = job
    of_run = variables.of_run({}, host.run, host.params, host.record)
    del of_run["QTUI_PYTHON"]  # the other machine has its own
    return Parcel(
        token=token,
        run=host.run,
        record=host.record,
        grace=unit.grace if unit.grace is not None else host.options.grace,
        nice=host.options.nice,
        path=own_places(sender.path()),
        cwd=os.getcwd(),  # noqa: PTH109
        params=_inside(tuple(sender.params())),
        number=number,
        attempt=tried,
        unit=_for_lanes(unit),
        function=_inside(packed),
        head=_inside(head),
        wants_context=wants_context,
        declared=list(declared),
        needs=[_inside_need(need) for need in needs],
        added=[_inside_need(need) for need in added],
        variables={**of_run, **own},
        edition=edition,
    )


def _for_lanes(unit: QuantumUnit) -> QuantumUnit:
    action = unit.action
    return QuantumUnit(
        id=unit.id,
        action=Call(stand_in, action.reference, action.wants_context) if isinstance(action, Call) else action,
        timeout=unit.timeout,
        idempotent=unit.idempotent,
        cwd=unit.cwd,
        stop_signal=unit.stop_signal,
        leftovers=unit.leftovers,
        log_max=unit.log_max,
        pty=unit.pty,
        success_exit_codes=unit.success_exit_codes,
    )


def own_places(path: Sequence[str]) -> list[str]:
    """Of the places where modules are looked for those that do not belong to this Python: the other machine has its
    own packages, at other places, and those of another Python would hide them."""
    absolute = [os.path.abspath(place) for place in path]  # noqa: PTH100  - "" is the working directory
    return [place for place in absolute if not _of_python(place)]


@cache
def _of_python(place: str) -> bool:
    standard = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    inside = place.startswith(tuple(f"{directory}/" for directory in standard))
    zipped = place.endswith(".zip") and place.startswith((sys.prefix, sys.base_prefix))
    return place in standard or inside or zipped or Path(place).name in ("site-packages", "dist-packages")


# -- values ------------------------------------------------------------------------------------------------


class RemoteValue:
    """A value that lies on a machine of a cluster, not loaded: `pieces` and `kind` are those of a Packed.

    It is pickled out of band, so without a copy. It is in memory or, once somebody uses it there, in a file of its own,
    which is gone with it; a mapping of that would hold a descriptor for each value.
    """

    def __init__(self, pieces: Sequence[Any], kind: str = "pickle") -> None:
        self._held: tuple[Any, ...] = tuple(pieces)
        self.kind = kind
        self.nbytes = sum(memoryview(piece).nbytes for piece in pieces)
        """Its size."""
        self._packed: Packed | None = None
        self._packing = threading.Lock()

    @classmethod
    def of(cls, packed: Packed) -> RemoteValue:
        """The value of a Packed, whose file belongs to it from now on."""
        value = cls((packed.data,) if not packed.path else (), packed.kind)
        value._keep(packed)
        return value

    @property
    def pieces(self) -> Sequence[Any]:
        """The pieces, those of a file mapped. Raises OSError."""
        held, packed = self._held, self._packed  # in this order: what is not held any more is packed
        return held or pieces_of(packed or Packed(b""))

    def packed(self, new_file: Callable[[], str]) -> Packed:
        """It as it is handed on on this machine, made once: a large one has a file, at the path that `new_file` gives,
        for as long as this value is there. Raises OSError."""
        with self._packing:
            return self._packed or self._keep(self.copied(new_file))

    def copied(self, new_file: Callable[[], str]) -> Packed:
        """A copy, whose file, if it is large, belongs to the caller. Raises OSError."""
        pieces = self.pieces
        if self.kind == "pickle" and len(pieces) == 1 and self.nbytes <= INLINE_BYTES:
            return Packed(bytes(pieces[0]))
        return pack_pieces(pieces, self.kind, new_file())

    def _keep(self, packed: Packed) -> Packed:
        self._packed = packed
        if packed.path:
            self._held, self.nbytes = (), sum(packed.sizes)
            weakref.finalize(self, _unlink, packed.path)
        return packed

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol >= 5:
            return RemoteValue, ([pickle.PickleBuffer(piece) for piece in self.pieces], self.kind)
        return RemoteValue, ([bytes(piece) for piece in self.pieces], self.kind)


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108


# -- values inside of messages -----------------------------------------------------------------------------


class _Joined:
    """Pickled, it is the value that these pieces are."""

    def __init__(self, pieces: Sequence[Any]) -> None:
        self._pieces = pieces

    def __reduce__(self) -> tuple[Any, ...]:
        data, *buffers = self._pieces
        return _load_joined, (bytes(data), *map(bytearray, buffers))


def _load_joined(data: bytes, *buffers: bytearray) -> Any:
    return pickle.loads(data, buffers=buffers)


def inlined(packed: Packed) -> Packed:
    """The same value without a file. Raises OSError."""
    if not packed.path:
        return packed
    pieces = pieces_of(packed)
    if packed.kind != "pickle":
        maker: Final = bytes if packed.kind == "bytes" else bytearray
        return Packed(pickle.dumps(maker(pieces[0]), protocol=5))
    return Packed(bytes(pieces[0]) if len(pieces) == 1 else pickle.dumps(_Joined(pieces), protocol=5))


def _inside(fields: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return None if fields is None else tuple(inlined(Packed(*fields)))


def _inside_need(need: tuple[Any, ...]) -> tuple[Any, ...]:
    *known, place = need
    return (*known, _inside(place) if isinstance(place, tuple) else place)
