"""Statistics that a store keeps of its pixels. No pixel is read, and xarray is not imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from bigimg.geometry.spec import ImageSpec, Scaling
from bigimg.lazy.leaves import real_dtype, scaled
from bigimg.lazy.node_of_array import opened_pixels
from bigimg.omezarr.manifest import StoredStatistics
from bigimg.omezarr.open import Store, StoreReader
from bigimg.opening.coordinates import channels_of
from bigimg.opening.levels import is_tree, levels_of_tree
from bigimg.opening.open import Source, open_source
from bigimg.pyramid.partial import merge_floats, merge_integers
from bigimg.pyramid.summary import Summary, rescaled, stored_partial, summarize
from bigimg.types import Array, DType, Opening


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Statistics that a store keeps of an image."""

    store: Store
    spec: ImageSpec
    statistics: StoredStatistics
    scaling: Scaling | None
    """From stored values to real ones; None if stored values are wanted."""

    @property
    def names(self) -> list[str]:
        """Names of the channels; empty without channels."""
        return [channel.name for channel in self.store.channels]

    @property
    def has_c(self) -> bool:
        """Whether there is an axis of channels."""
        return "c" in self.spec.dims

    @property
    def dtype(self) -> DType:
        """Type of the wanted values."""
        return self.spec.dtype if self.scaling is None else real_dtype(self.spec)

    @property
    def counts(self) -> Array | None:
        """How often each of :attr:`values` occurs, (c, value); None for types without a histogram."""
        found = self.statistics.histogram
        return None if found is None else np.asarray(found).astype(np.int64)

    @property
    def values(self) -> Array:
        """The values that are counted; with a negative slope they fall."""
        assert self.statistics.histogram is not None
        number = np.dtype(np.uint8) if self.spec.dtype.kind == "b" else self.spec.dtype
        found: Array = (self.statistics.first + np.arange(self.statistics.histogram.shape[1])).astype(number)
        return found if self.scaling is None else scaled(found, self.scaling, real_dtype(self.spec))

    def summaries(self, *, together: bool = False) -> list[Summary]:
        """Return the statistics of each channel, or of all of them ``together``."""
        parts = [stored_partial(channel) for channel in self.statistics.statistics["channels"]]
        floats = any(of_floats for _, of_floats in parts)
        rows, saturated = [part for part, _ in parts], self._saturated()
        if together and len(rows) > 1:
            rows = [merge_floats(rows) if floats else merge_integers(rows)]
            saturated = [None if None in saturated else sum(n for n in saturated if n is not None)]
        return [
            rescaled(summarize(part, floats=floats, saturated=n), self.scaling)
            for part, n in zip(rows, saturated, strict=True)
        ]

    def _saturated(self) -> list[int | None]:
        """Return how many values of each channel are the largest of an integer type; None if that is not known."""
        channels, dtype = self.statistics.statistics["channels"], self.spec.dtype
        if dtype.kind not in "iu":
            return [None] * len(channels)
        top = int(np.iinfo(dtype).max)
        if self.statistics.histogram is not None:
            return [int(row[-1]) for row in np.asarray(self.statistics.histogram)]
        return [None if channel["max"] == top else 0 for channel in channels]


def kept_statistics(source: Source, **opening: Unpack[Opening]) -> Known | None:
    """Return the statistics that a store keeps of ``source``; None if there are none.

    A DataArray has them if it is all of level 0 as it was opened.
    """
    if isinstance(source, str | os.PathLike | Store):
        reader = open_source(source, **opening)
        scaling = reader.spec.scaling
    elif isinstance(source, StoreReader):
        reader, scaling = source, source.spec.scaling
    else:
        if is_tree(source):
            source = levels_of_tree(source).base
        if not hasattr(source, "coords") or (pixels := opened_pixels(source)) is None:
            return None
        reader, scaling = pixels.reader, pixels.scaling
        if [channel.name for channel in channels_of(source)] != [
            channel.name for channel in reader.spec.channels
        ]:
            return None  # the channels have other names by now, and the store would answer with its own
    if not isinstance(reader, StoreReader) or reader.level != 0:
        return None
    found = reader.store.statistics()
    return None if found is None else Known(reader.store, reader.spec, found, scaling)
