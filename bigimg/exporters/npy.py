"""numpy's own files: a header of numpy's and plain pixels; they keep neither names nor geometry."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from numpy.lib import format as npy

from bigimg.exporters.layout import Asked, Layout, refuse_options
from bigimg.geometry.chunks import is_color
from bigimg.geometry.spec import ImageSpec


def lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how a ``.npy`` file holds the image: in the order t c z y x, the colours of a picture last.

    Raises
    ------
    UsageError
        An option means nothing here.
    """
    refuse_options(asked, "numpy arrays")
    spec = levels[0]
    order = spec.dims
    if is_color(spec):
        order = (*(name for name in order if name != "c"), "c")
    shape = tuple(spec.shape[spec.axis(name)] for name in order)
    dtype = spec.dtype.newbyteorder("<")
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    lost = "a .npy file keeps pixels alone: neither the names of the axes nor their spacing"
    return Layout(order, dtype, head.getvalue(), notes=(lost,))
