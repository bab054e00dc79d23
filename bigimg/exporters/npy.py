"""Export to numpy's ``.npy``: a header by numpy and uncompressed pixels, without names and geometry."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from numpy.lib import format as npy

from bigimg.exporters.layout import Layout, channels_last
from bigimg.geometry.chunks import is_color
from bigimg.geometry.spec import ImageSpec


def lay_out(levels: Sequence[ImageSpec], target: Path) -> Layout:
    """Return how a ``.npy`` file holds the image: in the order t c z y x, or with ``c`` last for colours."""
    spec = levels[0]
    order = channels_last(spec) if is_color(spec) else spec.dims
    shape = tuple(spec.sizes[name] for name in order)
    dtype = spec.dtype.newbyteorder("<")
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    lost = "a .npy file keeps only pixels: neither the names of the axes nor their spacing"
    return Layout(order, dtype, head.getvalue(), notes=(lost,))
