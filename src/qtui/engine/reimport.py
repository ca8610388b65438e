"""Modules that are imported again, as new objects beside the old ones, because their files were written since.

Code that runs keeps the modules it was imported with. Nothing is reloaded in place: functions that are in the middle of
their work would find half of their module replaced.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

from qtui.engine.packing import note_replaced


class Reimport:
    """The new modules of `names`, once something has imported them."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = [name for name in names if name != "__main__"]
        self._new: dict[str, ModuleType] = {}

    @contextmanager
    def importing(self) -> Iterator[None]:
        """What is imported inside imports these modules anew. Afterwards the old ones are there again, for code of
        theirs that imports while it runs, until the new ones are `install`ed."""
        old = {name: sys.modules.pop(name) for name in self._names if name in sys.modules}
        importlib.invalidate_caches()
        try:
            yield
        finally:
            self._new = {name: sys.modules[name] for name in old if name in sys.modules}
            _put(old.items())

    def install(self) -> None:
        """From now on imports find the new modules, and what belongs to the old ones is sent by its name."""
        note_replaced(self._names)
        for name in self._names:
            if name not in self._new:
                sys.modules.pop(name, None)  # only functions import it: with their next call
        _put(self._new.items())


def _put(modules: Iterable[tuple[str, ModuleType]]) -> None:
    for name, module in modules:
        sys.modules[name] = module
        above, _, own = name.rpartition(".")
        if above in sys.modules:
            with suppress(Exception):  # anything may stand in sys.modules
                setattr(sys.modules[above], own, module)
