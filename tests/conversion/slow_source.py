"""Sources for tests of clusters. They are sent to workers by value, since these cannot import tests."""

from __future__ import annotations

import sys
import time
from multiprocessing import parent_process

import cloudpickle
import numpy as np

from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.types import Array, Region

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Slow:
    """A reader of a ``.npy`` file that takes its time for each region."""

    access = Access("random", "a file of numpy")

    def __init__(self, source: str, seconds: float) -> None:
        self.source, self.seconds = source, seconds
        pixels = np.load(source, mmap_mode="r")
        axes = tuple(Axis(name, size) for name, size in zip("yx", pixels.shape, strict=True))
        self.spec = ImageSpec(axes, pixels.dtype, (1, 1))

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        time.sleep(self.seconds)
        return np.load(self.source, mmap_mode="r")[region].copy()

    def close(self) -> None:
        """Do nothing."""


class Unread(Slow):
    """One whose library only the client has."""

    def __init__(self, source: str) -> None:
        super().__init__(source, 0)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        if parent_process() is not None:
            raise ModuleNotFoundError("no module named x")
        return super().read(region)
