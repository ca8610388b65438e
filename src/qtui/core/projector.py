"""StateProjector: one persistent value, the functions that change it, and named views of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from pyrsistent import PMap, PVector, pmap, pset, pvector

from qtui.core.errors import did_you_mean

State = PMap[str, Any]
Updater = Callable[[State], Mapping[str, Any]]
Projection = Callable[[State], Any]

_updating: ContextVar[tuple[StateProjector, ...]] = ContextVar("_updating", default=())


class StateProjector:
    """Holds a state, a persistent map, that only pure functions change; any thread may use it.

    An updater gets the state and returns the next one, made with ``state.set(...)`` or as a new dict
    ``{**state, ...}``. Nothing that it did not replace is copied or looked at. Plain dicts, lists and sets in a dict
    that it returns are frozen; what it puts into a persistent map by that map's own methods stays as it is, unless the
    updater freezes it: ``state.set("seen", qtui.frozen([1, 2]))``.
    """

    def __init__(self, initial_state: Mapping[str, Any] | None = None) -> None:
        """Begin with a frozen copy of `initial_state`. Raises TypeError if that is no mapping."""
        if initial_state is not None and not isinstance(initial_state, Mapping):
            raise TypeError(f"the initial state is a mapping, not {type(initial_state).__name__}")
        self._initial = _as_state(initial_state or {}, through=True)
        self._newest = _Version(self._initial)
        self._projections: dict[str, Projection] = {}

    def get_state(self) -> State:
        """The state: one value that no later update changes, so that the caller may keep it.

        What was put into it as dicts, lists and sets is frozen. Other objects are there as they are, and so are the
        results of tasks that a manager puts there: whoever changes those changes what others see.
        """
        return self._latest().state

    def update_state(self, updater: Updater) -> State:
        """Let `updater` make the next state, and return that.

        No lock is held meanwhile: when another thread was quicker the updater is called again with that one's state,
        so it must do nothing but return a value. What it raises comes out here, and the state stays as it was; so it
        does when it returns no mapping, which raises TypeError. Raises RuntimeError inside an updater of the same
        projector, whose own result could never follow.
        """
        around = _updating.get()
        if any(projector is self for projector in around):
            raise RuntimeError("an updater cannot update the state that it is updating: it returns the next one")
        token = _updating.set((*around, self))
        try:
            while True:
                version = self._latest()
                state = _as_state(updater(version.state))
                if version.follow(state):
                    return state
        finally:
            _updating.reset(token)

    def reset(self) -> None:
        """Go back to the initial state; projections stay."""
        self.update_state(lambda _state: self._initial)

    def add_projection(self, name: str, projection: Projection) -> None:
        """Name a function of the state; a later one of that name takes its place."""
        self._projections[name] = projection

    def project(self, name: str) -> Any:
        """What the projection so named makes of the present state. Raises KeyError for a name that there is not."""
        try:
            projection = self._projections[name]
        except KeyError:
            hint = did_you_mean(name, self._projections)
            raise KeyError(f'there is no projection "{name}"' + (f" ({hint})" if hint else "")) from None
        return projection(self.get_state())

    def _latest(self) -> _Version:
        version = self._newest
        while (after := version.after) is not None:
            # two threads may write this in the wrong order: whoever reads it goes on from there
            self._newest = version = after
        return version


class _Version:
    """A state and what came after it. Older versions are not kept: each knows the next, none the one before."""

    __slots__ = ("_next", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self._next: dict[None, _Version] = {}

    @property
    def after(self) -> _Version | None:
        return self._next.get(None)

    def follow(self, state: State) -> bool:
        """Let `state` come next, unless another has: dict.setdefault, which is atomic, is the compare-and-set."""
        mine = _Version(state)
        return self._next.setdefault(None, mine) is mine


def _as_state(value: Any, *, through: bool = False) -> State:
    if not isinstance(value, Mapping):
        raise TypeError(f"a state is a mapping, not {type(value).__name__}: an updater returns the next state")
    return value if isinstance(value, PMap) and not through else frozen(dict(value), through)


def frozen(value: Any, through: bool = False) -> Any:
    """`value` with persistent containers for the mutable ones; persistent ones are looked into if `through`."""
    match value:
        case dict() | PMap() if through or not isinstance(value, PMap):
            return pmap({key: frozen(item, through) for key, item in value.items()})
        case list() | PVector() if through or not isinstance(value, PVector):
            return pvector([frozen(item, through) for item in value])
        case set():
            return pset(value)
        case tuple() if type(value) is tuple:  # the fields of a NamedTuple are its own affair
            return tuple(frozen(item, through) for item in value)
    return value
