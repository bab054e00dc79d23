"""What a lazy image is made of: nodes that give any region of themselves, from an opened source or from other nodes.

A node is an array-like with a shape and a type. ``read`` makes one region and no more; ``[...]`` takes any key of
numpy and gives an array of its own, which is what dask holds (:mod:`bigimg.lazy.dask_edge`). A node can be pickled when
its sources can, and is never changed, so a copy of it is itself.
"""

from __future__ import annotations

import abc
import hashlib
import math
import pickle
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from bigimg.geometry.region import shape_of
from bigimg.lazy.keys import resolve
from bigimg.lazy.values import Value
from bigimg.types import Array, DType, Region, Shape


class Node(abc.ABC):
    """Lazy pixels: ``shape``, ``dtype``, and what reading them costs."""

    shape: Shape
    dtype: DType
    called: str = "bigimg"
    """What the name of a dask array of it begins with."""
    sources: tuple[Node, ...] = ()
    """What it is made of; empty for a leaf."""
    own_values: tuple[Value, ...] = ()
    """What all of its regions need."""
    order: tuple[int, ...] = ()
    """Axes from slowest to fastest, where a source is read in one order alone; empty where any order will do."""

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    @abc.abstractmethod
    def chunks(self) -> Shape:
        """What is decoded or made at once."""

    @property
    @abc.abstractmethod
    def read_bytes(self) -> int:
        """Memory one call uses beside its result."""

    @property
    def fixed_bytes(self) -> int:
        """Memory that is held as long as this is open."""
        return sum(node.own_bytes for node in self.below())

    @property
    def own_bytes(self) -> int:
        """Of that what it holds itself."""
        return 0

    @property
    @abc.abstractmethod
    def token(self) -> str:
        """The same text for the same pixels, where that is known."""

    @abc.abstractmethod
    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, which may be a view that is not to be written to."""

    def look(self) -> None:
        """Find out whether a source below has an order, which of pixels that dask computes only reading them tells."""
        for source in self.sources:
            source.look()

    def below(self) -> Iterator[Node]:
        """Yield this node and all that it is made of, each once."""
        waiting: list[Node] = [self]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                waiting += node.sources

    def leaves(self) -> list[Node]:
        """Return what it is made of in the end, each once."""
        return [node for node in self.below() if not node.sources]

    def files(self) -> list[str]:
        """Return the names of the files and stores that its opened leaves read."""
        return [str(leaf.reader.source) for leaf in self.leaves() if hasattr(leaf, "reader")]

    @property
    def in_order(self) -> bool:
        """Whether a source below is read in one order alone, as far as that is known."""
        return any(node.order for node in self.below())

    @property
    def values(self) -> list[Value]:
        """What all regions of it, or of what it is made of, need; each once."""
        found = {value.token: value for node in self.below() for value in node.own_values}
        return list(found.values())

    def __getitem__(self, key: Any) -> Array:
        """Return what ``key`` selects as an array that nobody else has: integers, slices, new axes, and lists."""
        region, index = resolve(key, self.shape)
        if not math.prod(shape_of(region)):
            return np.empty(shape_of(region), self.dtype)[index]
        found = self.read(region)[index]
        # A copy lies in C order, which interleaved colour does not: numpy sums it several times as fast.
        return found if isinstance(found, np.ndarray) and found.base is None else np.array(found, order="C")

    def __dask_tokenize__(self) -> str:
        """Return what dask knows it by."""
        return self.token

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


def token_of(*parts: Any) -> str:
    """Return one short text for some values that can be pickled."""
    return hashlib.sha256(pickle.dumps(parts)).hexdigest()[:32]


class Reads:
    """What was read of opened sources while something was computed."""

    def __init__(self) -> None:
        self.pixels: dict[int, int] = {}
        """How many of each leaf, by its identity."""
        self.leaves: dict[int, Node] = {}

    def add(self, leaf: Node, region: Region) -> None:
        """Take notice of a read."""
        self.leaves[id(leaf)] = leaf
        self.pixels[id(leaf)] = self.pixels.get(id(leaf), 0) + math.prod(shape_of(region))


reads: ContextVar[Reads | None] = ContextVar("reads", default=None)
"""Who wants to know what is read in this thread."""
