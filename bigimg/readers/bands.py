"""A source that yields its pixels in one order, as a dask array whose blocks are read in that order.

dask starts blocks in whatever order suits its graph; measured with 2026.8, a mean over 26 bands asked for
band 15, 14, ... 0, 23, ... which would inflate a ``.nii.gz`` 26 times. So each block is made to wait for the
one before it. Only blocks that are asked for stand in that row: the layer forms it anew when dask culls the
graph, and a plane near the end does not drag all before it into arrays.

The pixels are a layer below, of one key. Were the row at the bottom itself, dask would make one layer of it and
another one at the bottom (``fuse_roots``), and that drags.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from bigimg.geometry.region import grid, piece
from bigimg.readers.lazy import explicit
from bigimg.types import Array, Shape


def ordered_array(pixels: Any, band: Shape, axes: Sequence[int], *, name: str, meta: Array) -> Any:
    """Return a dask array over ``pixels`` with blocks of shape ``band``, each read after those before it.

    Parameters
    ----------
    pixels : array-like
        Gives any region when sliced; best one after another.
    band : tuple of int
        As :func:`~bigimg.readers.lazy.band_shape` makes it: slabs in the order of the source.
    axes : sequence of int
        From slowest to fastest, as the source yields them.
    """
    source = f"{name}-pixels"
    layers = {
        name: OrderedLayer.of(name, source, grid(pixels.shape, band), axes),
        source: {source: Bands(pixels, band)},
    }
    graph = HighLevelGraph(layers, {name: {source}, source: set()})
    return dask.array.Array(graph, name, explicit(band, pixels.shape), meta=meta)


@dataclass(frozen=True, eq=False)
class Bands:
    """Pixels, cut into bands of shape ``step``."""

    pixels: Any
    step: Shape


def _band(bands: Bands, index: list[int], before: Array | None) -> Array:
    """Return the pixels of a band; ``before`` only makes dask read that one first."""
    band: Array = bands.pixels[piece(tuple(index), bands.step, bands.pixels.shape)]
    return band


class OrderedLayer(MaterializedLayer):  # type: ignore[misc]  # dask has no types
    """The blocks of an ordered source, as tasks that form one row."""

    def __init__(self, source: str, keys: Iterable[Any], rank: Mapping[Any, int], **annotations: Any) -> None:
        super().__init__(_row(source, keys), **annotations)
        self.source = source
        """The key of :class:`Bands`."""
        self.rank = rank

    @classmethod
    def of(cls, name: str, source: str, counts: Shape, axes: Sequence[int]) -> OrderedLayer:
        """Return the layer of all bands, in the order of ``axes`` from slowest to fastest."""
        indices = itertools.product(*(range(count) for count in counts))
        inorder = sorted(indices, key=lambda index: [index[axis] for axis in axes])
        keys = [(name, *index) for index in inorder]
        return cls(source, keys, {key: number for number, key in enumerate(keys)})

    def cull(self, keys: set[Any], all_hlg_keys: Collection[Any]) -> tuple[OrderedLayer, dict[Any, set[Any]]]:
        """Return the layer of ``keys`` alone, in a row, and what each waits for."""
        kept = sorted(self.mapping.keys() & keys, key=self.rank.__getitem__)
        row = OrderedLayer(self.source, kept, self.rank, annotations=self.annotations)
        waits = {
            key: {self.source, *(() if task[3] is None else (task[3],))} for key, task in row.mapping.items()
        }
        return row, waits


def _row(source: str, keys: Iterable[Any]) -> dict[Any, tuple[Any, ...]]:
    """Return one task a key, each with the one before as an argument that it waits for."""
    row: dict[Any, tuple[Any, ...]] = {}
    before = None
    for key in keys:
        row[key] = (_band, source, list(key[1:]), before)
        before = key
    return row
