"""Images of any size that are made while they are read, and that count what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bigimg.geometry.axes import Axis
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.reader import Access
from bigimg.types import Array, Region, Shape


class Virtual:
    """A reader whose pixels follow from their place; ``log`` holds each region read."""

    source = "virtual"

    def __init__(
        self, shape: Shape, dtype: Any, dims: str, chunks: Shape, make: Callable[[Region], Array] | None = None,
        order: str = "", **spec: Any,
    ) -> None:  # fmt: skip
        axes = tuple(Axis(name, size) for name, size in zip(dims, shape, strict=True))
        channels = RGB if "c" in dims and shape[dims.index("c")] == 3 else ()
        self.spec = ImageSpec(axes, np.dtype(dtype), chunks, channels=channels, **spec)
        self.access = Access("sequential" if order else "random", "virtual", tuple(order))
        self.make = make
        self.log: list[Region] = []

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``: ``make`` of it, else rows that count up."""
        self.log.append(region)
        if self.make is not None:
            return np.ascontiguousarray(self.make(region), dtype=self.spec.dtype)
        row = np.arange(region[-1].start, region[-1].stop)
        values = row % 251 if self.spec.dtype.kind != "b" else row % 2
        return np.broadcast_to(values.astype(self.spec.dtype), shape_of(region)).copy()

    def close(self) -> None:
        """Nothing is open."""

    def chunks_read(self) -> set[Shape]:
        """Return the positions of all chunks of which a pixel was read."""
        found: set[Shape] = set()
        for region in self.log:
            ranges = [
                range(s.start // n, -(-s.stop // n)) for s, n in zip(region, self.spec.chunks, strict=True)
            ]
            found |= {
                tuple(i) for i in np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(ranges))
            }
        return {tuple(map(int, i)) for i in found}
