"""An operation: the region of a source that a region of the result is made from, and how it is made."""

from __future__ import annotations

import abc

from bigimg.types import Array, DType, Padding, Region, Shape


class Operation(abc.ABC):
    """From regions of a result to regions of its source, and from these pixels to those; can be pickled."""

    shape: Shape
    """Of the result."""
    dtype: DType
    """Of the result."""
    extra_bytes: int = 0
    """Bytes for each value of the source that making a region takes at most, in addition to source and result."""
    padding: Padding | None = None
    """Values of the source that do not count; what is made of them alone is one of them."""
    moves: bool = False
    """Whether each value of the result is one of the source, and none is computed."""
    copies: bool = False
    """Whether the source of a region is never more than the region."""

    @abc.abstractmethod
    def source(self, region: Region) -> Region:
        """Return the region of the source from which ``region`` of the result is made."""

    @abc.abstractmethod
    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return ``region`` of the result from ``block``, the pixels of ``source``; ``block`` may be a view."""
