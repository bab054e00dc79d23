"""A format of your own, made readable: a class with two facts and one function, and one line that announces it.

    uv run python examples/own_reader.py

The format here is a number of rings as text: the pixels come from a formula; yours come from bytes. In a package,
`[project.entry-points."bigimg.readers"]` with `rings = "own_reader:FORMAT"` is all that bigimg needs to find it.
"""

import tempfile
from pathlib import Path

import numpy as np

import bigimg
from bigimg.errors import InputError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.registry import Format
from bigimg.testing import check_reader
from bigimg.types import Array, Region


class Rings:
    """Rings that grow finer outwards: whoever makes a pyramid of them without averaging sees false rings."""

    def __init__(self, path: str, *, series: int | None = None) -> None:
        head, *sizes = Path(path).read_text(encoding="ascii").split()
        if head != "RINGS" or len(sizes) != 2:
            raise InputError(f"{path}: is not 'RINGS height width'; write it again")
        axes = [Axis(name, int(size), 0.5, "micrometer") for name, size in zip("yx", sizes, strict=True)]
        self.spec = ImageSpec(tuple(axes), np.dtype(np.uint8), chunks=(256, 256))  # known without a pixel
        # How pixels can be had: any region, in any order, with so many bytes on the way (a few rows of floats).
        self.access = Access("random", "made by a formula", read_bytes=1 << 20)
        self.source = path

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``; called from several threads at once."""
        y, x = (np.arange(s.start, s.stop, dtype=np.float32) for s in region)
        out = np.empty((len(y), len(x)), np.uint8)
        for i, row in enumerate(y):  # one by one, so that the memory stays what we said
            out[i] = 127.5 + 127 * np.cos((row**2 + x**2) / 8000)
        return out

    def close(self) -> None:
        """Nothing is open."""


FORMAT = Format(
    "rings", "Rings", "own_reader:Rings", (".rings",), lambda head, _: head[:5] == b"RINGS", "numpy"
)

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="bigimg-"))
    (folder / "a.rings").write_text("RINGS 600 800")
    check_reader(lambda: Rings(str(folder / "a.rings")))  # regions, threads, pickling: it says what is wrong
    print("the reader keeps the contract")
    bigimg.convert(Rings(str(folder / "a.rings")), folder / "rings.ome.zarr", chunks=256)
    print(bigimg.info(folder / "rings.ome.zarr"))
