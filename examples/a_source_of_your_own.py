"""A source that bigimg does not know, made readable: a class with two facts and one function.

    uv run python examples/a_source_of_your_own.py

Here the pixels come from a formula, so there is no file at all; yours may come from a camera, a database or a
format of your own. What a reader must do is written in `bigimg/reader.py`; `check_reader` proves that it does.
"""

import tempfile
from pathlib import Path

import numpy as np

import bigimg
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.testing import check_reader
from bigimg.types import Array, Region


class Rings:
    """Rings that grow finer outwards: whoever makes a pyramid of them without averaging sees false rings."""

    def __init__(self, height: int, width: int) -> None:
        axes = (Axis("y", height, 0.5, "micrometer"), Axis("x", width, 0.5, "micrometer"))
        # What the image is, known without making a pixel. The chunk is what comes most cheaply at once.
        self.spec = ImageSpec(axes, np.dtype(np.uint8), chunks=(256, 256))
        # How pixels can be had: any region, in any order, needing 16 bytes a pixel of a chunk on the way.
        self.access = Access("random", "made by a formula", read_bytes=16 * 256 * 256)
        self.source = "rings"

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``; called from several threads at once."""
        y, x = (np.arange(s.start, s.stop, dtype=np.float32) for s in region)
        out = np.empty((len(y), len(x)), np.uint8)
        for start in range(0, len(y), 16):  # a few rows at a time, so that the memory stays what we said
            rows = y[start : start + 16, None]
            out[start : start + 16] = 127.5 + 127 * np.cos((rows**2 + x[None] ** 2) / 8000)
        return out

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Check the reader, then convert what it reads."""
    check_reader(lambda: Rings(300, 411))  # regions, threads, pickling: an AssertionError says what is wrong
    print("the reader keeps the contract")

    target = Path(tempfile.mkdtemp(prefix="bigimg-")) / "rings.ome.zarr"
    bigimg.convert(Rings(6000, 8000), target, memory="1GB")
    print(bigimg.info(target))


if __name__ == "__main__":
    main()
