"""Values of units that are not on this machine."""

from __future__ import annotations

from qtui.engine.packing import Packed


class Elsewhere:
    """A value that stays where it was made until somebody wants it here.

    `size` is in bytes, and `place` says where it is, in words that follow "it is".
    """

    def __init__(self, size: int, place: str) -> None:
        self.size, self.place = size, place

    def fetch(self) -> Packed:
        """The value, brought here at the first call. Blocks; any thread may call it but that of the lane it is from.

        Raises BrokenResult if it is not there any more.
        """
        raise NotImplementedError
