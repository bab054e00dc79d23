"""What a store is written into: objects by their keys, each whole or absent."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bigimg.types import Array


class Sink(Protocol):
    """An object that is written from front to end."""

    length: int
    """Bytes appended so far."""

    def room(self, size: int) -> Array:
        """Return the next ``size`` bytes to be filled, uint8; :meth:`fill` says how many were."""

    def fill(self, size: int) -> None:
        """Count the first ``size`` bytes of the last :meth:`room` as appended."""

    def append(self, data: bytes) -> None:
        """Append ``data``, however long."""


class Target(Protocol):
    """Objects of a store or an array, to be written by many processes at once."""

    def sink(self, key: str, most: int, room: int) -> AbstractContextManager[Sink]:
        """Give an object to be filled, which is there, whole, if the block ends well, and not there otherwise.

        The same object may be put twice, with the same bytes.

        Parameters
        ----------
        key : str
        most : int
            About the largest length that it can have, in bytes.
        room : int
            The largest size that :meth:`Sink.room` is called with.
        """
