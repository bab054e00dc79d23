"""Readers made for tests: arrays that count what is read, and noise without end."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import numpy as np

from bigimg.geometry.axes import Axis
from bigimg.geometry.region import pieces
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.reader import Access
from bigimg.types import Array, Region, Shape


class CountingReader:
    """Reads an array and counts how often each of its chunks was met."""

    def __init__(
        self,
        array: Array,
        dims: str,
        *,
        chunks: Shape | None = None,
        access: Access | None = None,
        **spec: object,
    ) -> None:
        axes = tuple(Axis(name, n) for name, n in zip(dims, array.shape, strict=True))
        channels = RGB if "c" in dims and array.shape[dims.index("c")] == 3 else ()
        self.array = array
        made = ImageSpec(axes, array.dtype, chunks or (1,) * array.ndim, channels=channels)
        self.spec = replace(made, **spec)  # type: ignore[arg-type]
        self.access = access or Access("random", "array")
        self.source = "array"
        self.met: Counter[Shape] = Counter()
        self.regions: list[Region] = []
        self.lock = threading.Lock()

    def read(self, region: Region) -> Array:
        with self.lock:
            self.regions.append(region)
            if min(self.spec.chunks) > 1 or max(self.spec.chunks) > 8:
                self.met.update(index for index, _ in pieces(region, self.spec.chunks))
        return self.array[region]

    def close(self) -> None:
        pass

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, lock=threading.Lock())


def noise(shape: Shape, dtype: str = "u1", seed: int = 0) -> Array:
    """Return seeded noise over most of the range of ``dtype``."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    if np.dtype(dtype).kind == "b":
        return rng.random(shape) < 0.4
    high = min(int(np.iinfo(dtype).max), 2**40)
    return rng.integers(0, high, shape, dtype, endpoint=True)
