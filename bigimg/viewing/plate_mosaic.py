"""A plate as one large image with levels: a field of each well at its place, opened when it is first looked at.

The wells lie in a grid of equal steps. A step is a whole number of pixels of every level, so that a well is at the same
place in all of them. Levels that the fields lack are made of their smallest ones, until the whole plate is a picture.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bigimg.errors import BigimgError, InputError
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.plate_tree import fields_of
from bigimg.omezarr.store import Store, StoreReader
from bigimg.omezarr.tree import join
from bigimg.opening.plates import Plate
from bigimg.pyramid.kernels import downsample
from bigimg.reader import Access
from bigimg.types import Array, Method, Region, Shape

SIDE = 2048
"""The longest side of the smallest level, in pixels, if a well keeps ``LEAST`` of them."""
LEAST = 16
"""Pixels of a well in the smallest level, along its shorter side."""
GAP = 0.03
"""Pixels between two wells, as a share of the side of a well."""
MOST_OPEN = 1536
"""Wells of which the metadata are kept: a whole plate."""


class Fields:
    """The first field of each well, by row and column."""

    def __init__(self, plate: Plate) -> None:
        self.plate = plate
        self.wells = {(well.row, well.column): well.path for well in plate.meta.wells}
        self.opened: OrderedDict[str, Store] = OrderedDict()
        self._lock = threading.Lock()
        if not self.wells:
            raise InputError(f"{plate.source}: the plate lists no well; nothing to show")
        self.model = self.store(next(iter(self.wells.values())))

    def store(self, well: str) -> Store:
        """Return the opened field of a well.

        Raises
        ------
        InputError, IntegrityError
            It is gone, or damaged.
        """
        with self._lock:
            if well in self.opened:
                self.opened.move_to_end(well)
                return self.opened[well]
        found = self.plate.alone(join(well, fields_of(self.plate.tree, well)[0].path))
        with self._lock:
            self.opened[well] = found
            while len(self.opened) > MOST_OPEN:
                self.opened.popitem(last=False)
        return found

    def some(self, most: int = 12) -> list[Store]:
        """Return a few fields that can be opened, evenly spread over the plate."""
        wells, found = list(self.wells.values()), []
        for i in range(min(most, len(wells))):
            try:
                found.append(self.store(wells[i * len(wells) // min(most, len(wells))]))
            except BigimgError:  # it is told when it is looked at
                continue
        return found


@dataclass(frozen=True, slots=True)
class Scale:
    """How large one level of the mosaic is."""

    level: int
    """That of the fields."""
    times: int
    """Pixels of it along y and x that become one."""
    step: tuple[int, int]
    """Pixels from one well to the next, along y and x."""


class MosaicReader:
    """One level of a plate as a source of pixels (:class:`bigimg.reader.Reader`); 0 where there is no well."""

    def __init__(self, fields: Fields, scale: Scale) -> None:
        self.fields, self.scale = fields, scale
        self.source = fields.plate.source
        self.field = StoreReader(fields.model, scale.level).spec
        self.spec = _mosaic(fields, self.field, scale)

    @property
    def access(self) -> Access:
        """Any region; the unit is a chunk of a field."""
        return StoreReader(self.fields.model, self.scale.level).access

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        found = np.zeros([each.stop - each.start for each in region], self.spec.dtype)
        rows, columns = (
            range(part.start // step, -(-part.stop // step))
            for part, step in zip(region[-2:], self.scale.step, strict=True)
        )
        for at in itertools.product(rows, columns):
            if (well := self.fields.wells.get(at)) is not None:
                self._add(well, at, region, found)
        return found

    def _add(self, well: str, at: tuple[int, int], region: Region, out: Array) -> None:
        """Copy the part of a well that lies in ``region`` of the mosaic to its place in ``out``."""
        store = self.fields.store(well)
        level = min(self.scale.level, len(store.levels) - 1)
        reader = StoreReader(store, level)
        spec, times = reader.spec, self.scale.times
        if (spec.dims, spec.dtype, spec.sizes.get("c")) != (
            self.field.dims, self.field.dtype, self.field.sizes.get("c"),
        ) or len(store.levels) <= self.scale.level:  # fmt: skip
            raise InputError(
                f"{self.source}: well {well} has other axes, channels, levels or another type than the first well; "
                f"open it by series='{well}/0'"
            )
        taken, placed = list[slice](), list[slice]()
        for i, part in enumerate(region):
            first, size, n = 0, spec.shape[i], 1
            if i >= len(region) - 2:
                k = i - len(region) + 2
                first, n = at[k] * self.scale.step[k], times
                size = min(-(-size // n), self.scale.step[k])
            low, high = max(part.start, first), min(part.stop, first + size)
            if low >= high:
                return
            taken.append(slice((low - first) * n, min((high - first) * n, spec.shape[i])))
            placed.append(slice(low - part.start, high - part.start))
        pixels = reader.read(tuple(taken))
        if times > 1:
            window = (1,) * (pixels.ndim - 2) + (times, times)
            method: Method = "mean" if spec.kind == "image" else "nearest"
            pixels = downsample(pixels, window, method, padding=spec.padding)
        out[tuple(placed)] = pixels

    def close(self) -> None:
        """Do nothing: a viewer still shows the pixels, and other levels use the same fields."""


def _mosaic(fields: Fields, field: ImageSpec, scale: Scale) -> ImageSpec:
    """Return the description of a level of the plate by that of its first field."""
    meta = fields.plate.meta
    counts = (len(meta.rows), len(meta.columns))
    axes = list(field.axes)
    for i, count, step in zip((-2, -1), counts, scale.step, strict=True):
        axes[i] = replace(axes[i], size=count * step, spacing=axes[i].spacing * scale.times, origin=0.0)
    chunks: Shape = (*field.chunks[:-2], *scale.step)
    return replace(field, axes=tuple(axes), chunks=chunks, world=None, missing=())


def plate_levels(plate: Plate) -> tuple[Fields, list[MosaicReader]]:
    """Return the first fields of the wells of ``plate``, and the levels of the image that they make.

    One well is opened, and no pixel is read.

    Raises
    ------
    InputError, IntegrityError
        The first well cannot be opened.
    """
    fields = Fields(plate)
    return fields, [MosaicReader(fields, scale) for scale in _scales(fields)]


def _scales(fields: Fields) -> Iterator[Scale]:
    meta = fields.plate.meta
    shapes = [level.shape[-2:] for level in fields.model.levels]
    height, width = shapes[0]
    factors = [1]  # of one level after the other; up to the first whose y and x have different ones
    for shape in shapes[1:]:
        factor = round(max(height, width) / max(shape))
        whole = all(m in (n // factor, -(-n // factor)) for n, m in zip(shapes[0], shape, strict=True))
        if not whole or factor % factors[-1] or factor == factors[-1]:
            break
        factors.append(factor)
    last, times = factors[-1], [1] * len(factors)
    longest = max(len(meta.rows) * height, len(meta.columns) * width)
    while longest / (last * times[-1]) > SIDE and min(height, width) / (last * times[-1]) >= 2 * LEAST:
        times.append(2 * times[-1])
    coarsest = last * times[-1]
    steps = [-(-int(side * (1 + GAP) + 1) // coarsest) * coarsest for side in (height, width)]
    for i, n in enumerate(times):
        level = min(i, len(factors) - 1)
        factor = factors[level] * n
        yield Scale(level, n, (steps[0] // factor, steps[1] // factor))
