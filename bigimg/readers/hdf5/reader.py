"""The reader of an image in an HDF5 file, and what its attributes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bigimg.geometry.holes import hole_value
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.complex_values import is_complex
from bigimg.readers.hdf5.filters import NAMES
from bigimg.readers.hdf5.inside import HDF5_BYTES, find_inside
from bigimg.readers.hdf5.pixels import Hdf5Pixels
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.plain import ChosenReader, Pixels
from bigimg.readers.raw.scaled import PART_BYTES, PartPixels

LONGEST_TEXT = 4096
"""Characters of an attribute that are kept."""


def hdf5_reader(
    source: str, spec: ImageSpec, pixels: Hdf5Pixels, dims: tuple[str, ...], *, allow_partial: bool
) -> ChosenReader:
    """Return the reader of ``pixels``, whose axes are ``dims``.

    Raises
    ------
    InputError
        Chunks were never written, and ``allow_partial`` is not given.
    """
    spec = checked_written(
        spec, pixels.written(), dims, source=source, allow_partial=allow_partial, steps=pixels.steps
    )
    layout = pixels.layout
    packing = " ".join(NAMES[number] for number, _ in layout.filters) or "not packed"
    how = "in one piece" if layout.chunks is None else f"in chunks of {' x '.join(map(str, layout.chunks))}"
    why = f"HDF5 {how}, {packing}, {pixels.dtype.newbyteorder('=')}"
    part, found = 0, pixels
    hole = hole_value(spec.dtype, spec.padding)
    pixels.hole = complex(hole, hole) if is_complex(pixels.dtype) else hole
    if is_complex(pixels.dtype):
        found, part = PartPixels(pixels, spec.dtype), PART_BYTES  # type: ignore[assignment]
    access = Access("random", why, dims, HDF5_BYTES + pixels.table_bytes, pixels.read_bytes + part)
    readable: Pixels = found
    first = next(name for name in pixels.names.flat if name is not None)
    return ChosenReader(spec, access, source, readable, dims, identity=str(first))


def attributes(source: str, file: Any, name: str) -> Mapping[str, Any]:
    """Return the attributes of a group or dataset of an open file; none where there is no such one."""
    found = find_inside(source, file, name)
    return {} if found is None else found.attrs


def text_of(attributes: Mapping[str, Any], name: str) -> str:
    """Return an attribute as text, also an array of letters, as Imaris writes; empty where there is none."""
    value = attributes.get(name)
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        value = b"".join(value.reshape(-1)[:LONGEST_TEXT].tolist())
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return "" if value is None else str(value).strip().strip("\0")[:LONGEST_TEXT]
