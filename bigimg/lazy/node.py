"""The nodes of a lazy image: each makes any region of its pixels from an opened source or from other nodes.

A node is an array-like with a shape and a type. ``read`` makes one region and no more. ``[...]`` takes any key of
numpy and returns a new array; dask uses it (:mod:`bigimg.lazy.dask_edge`). A node can be pickled when its sources can.
It never changes, so a copy of a node is the node itself.
"""

from __future__ import annotations

import abc
import hashlib
import math
import pickle
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from bigimg.geometry.region import shape_of
from bigimg.lazy.indexing import resolve
from bigimg.lazy.values import Value
from bigimg.types import Array, DType, Padding, Region, Shape


class Node(abc.ABC):
    """Lazy pixels: ``shape``, ``dtype``, and the memory that reading them takes."""

    shape: Shape
    dtype: DType
    chunks: Shape
    """Pixels that are decoded or made at once."""
    read_bytes: int
    """Memory that one call uses in addition to its result."""
    own_bytes: int = 0
    """Memory that this node holds as long as it exists, without its sources."""
    token: str
    """The same text for the same pixels, where that is known."""
    prefix: str = "bigimg"
    """The name of a dask array of this node begins with it."""
    sources: tuple[Node, ...] = ()
    """The nodes that it is made from; empty for a leaf."""
    own_values: tuple[Value, ...] = ()
    """Values that each of its regions needs."""
    own_files: tuple[str, ...] = ()
    """Absolute names of the files and stores that it reads, if it is a leaf that knows them."""
    padding: Padding | None = None
    """First and last value that is no measurement, where that is known."""
    order: tuple[int, ...] = ()
    """Axes from slowest to fastest where pixels can only be read in one order; empty where any order will do."""

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def fixed_bytes(self) -> int:
        """Memory that this node and its sources hold as long as they exist."""
        return sum(node.own_bytes for node in self.below())

    @abc.abstractmethod
    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, which may be a view that is not to be written to."""

    def find_order(self) -> None:
        """Find out whether a source has an order; for blocks that dask computes the first one must be computed."""
        for leaf in self.leaves():
            if leaf is not self:
                leaf.find_order()

    def drop(self) -> None:
        """Let go of what is kept for further regions: an operation has ended."""
        for leaf in self.leaves():
            if leaf is not self:
                leaf.drop()

    def below(self) -> Iterator[Node]:
        """Yield this node and all nodes that it is made from, each once."""
        waiting: list[Node] = [self]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                waiting += node.sources

    def leaves(self) -> list[Node]:
        """Return the nodes without sources that it is made from, each once."""
        return [node for node in self.below() if not node.sources]

    def files(self) -> list[str]:
        """Return the absolute names of the files and stores that its opened leaves read."""
        return [name for leaf in self.leaves() for name in leaf.own_files]

    @property
    def in_order(self) -> bool:
        """Whether a source can only be read in one order, as far as that is known."""
        return any(node.order for node in self.below())

    @property
    def values(self) -> list[Value]:
        """Values that each region of it or of its sources needs; each once."""
        found = {value.token: value for node in self.below() for value in node.own_values}
        return list(found.values())

    def __getitem__(self, key: Any) -> Array:
        """Return what ``key`` (integers, slices, new axes, lists) selects, as an array that shares no memory."""
        region, index = resolve(key, self.shape)
        if not math.prod(shape_of(region)):
            return np.empty(shape_of(region), self.dtype)[index]
        found = self.read(region)[index]
        # The copy is in C order, unlike interleaved colour: numpy sums it several times as fast.
        return found if isinstance(found, np.ndarray) and found.base is None else np.array(found, order="C")

    def __dask_tokenize__(self) -> str:
        """Return the token, which dask puts into names."""
        return self.token

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


def token_of(*parts: Any) -> str:
    """Return a short text that is the same for the same values; they can be pickled."""
    return hashlib.sha256(pickle.dumps(parts)).hexdigest()[:32]


reads: ContextVar[Counter[Node] | None] = ContextVar("reads", default=None)
"""While it is set, each leaf adds to it how many pixels were read of it in this thread."""

_shared: ContextVar[tuple[Set[int], dict[Any, Array]] | None] = ContextVar("shared", default=None)
"""Nodes that two others need, and the regions of them that were read for what is being made in this thread."""


@contextmanager
def reading_once(node: Node) -> Iterator[None]:
    """Read each region only once, of nodes that several nodes below ``node`` need, as an image and its own mask."""
    several: set[int] = set()
    if _shared.get() is None:
        counts = Counter(id(source) for each in node.below() for source in each.sources)
        several = {number for number, count in counts.items() if count > 1}
    if not several:
        yield
        return
    for value in node.values:
        value.get()  # it passes over the image, of which nothing is to be kept here
    mark = _shared.set((several, {}))
    try:
        yield
    finally:
        _shared.reset(mark)


@contextmanager
def reading_apart() -> Iterator[None]:
    """Keep no region for others meanwhile: what an operation reads may be many times what is made of it."""
    mark = _shared.set(None)
    try:
        yield
    finally:
        _shared.reset(mark)


def read_shared(node: Node, region: Region) -> Array:
    """Return ``region`` of ``node``, which may be a view, as :func:`reading_once` says."""
    shared = _shared.get()
    if shared is None or id(node) not in shared[0]:
        return node.read(region)
    key = id(node), *((s.start, s.stop) for s in region)
    if key not in shared[1]:
        shared[1][key] = node.read(region)
    return shared[1][key].view()
