"""An operation: which region of a source a region of the result is made of, and how it is made."""

from __future__ import annotations

from typing import Protocol

from bigimg.types import Array, DType, Region, Shape


class Operation(Protocol):
    """From regions of a result to those of its source, and from these pixels to those; can be pickled."""

    @property
    def shape(self) -> Shape:
        """Of the result."""

    @property
    def dtype(self) -> DType:
        """Of the result."""

    @property
    def extra_bytes(self) -> int:
        """Bytes a value of the source that making a region takes at most, beside source and result."""

    def source(self, region: Region) -> Region:
        """Return the region that ``region`` of the result is made of."""

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return ``region`` of the result from ``block``, the pixels of ``source``; ``block`` may be a view."""
