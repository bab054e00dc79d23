"""A reader of ``.npy`` files, plain or compressed: numpy reads the header; C or Fortran order numbers follow it.

The format names no axes, so they are guessed as for an array in memory; ``spec.notes`` says how.
"""

from __future__ import annotations

import io
from dataclasses import replace
from tokenize import TokenError

from numpy.lib import format as npy

from bigimg.errors import InputError, UsageError, reading
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.readers.arrays.array import colors, guess_dims, guessed
from bigimg.readers.asked_axes import renamed
from bigimg.readers.complex_values import is_complex, real_of
from bigimg.readers.raw.compressed import open_pixels, read_bytes
from bigimg.readers.raw.plain import RawReader, Stored, natural_chunks
from bigimg.readers.raw.scaled import PART_BYTES, PartPixels
from bigimg.types import DType, Shape

MOST_HEADER = 1 << 16
"""Bytes of a header at most; numpy refuses those of more than 10,000."""


def open_npy(source: str, *, axes: str | None = None) -> RawReader:
    """Return a reader of the numpy array at ``source``.

    Parameters
    ----------
    source : str
    axes : str, optional
        The name of each axis of the array; guessed from its shape by default.

    Raises
    ------
    InputError
        The header makes no sense, the values are objects or records, or the file is too short.
    """
    shape, fortran, dtype, offset = _header(source)
    try:
        dims = guess_dims(shape) if axes is None else renamed(axes, [None] * len(shape), shape, source)
        named = tuple(Axis(name, shape[dims.index(name)]) for name in ORDER if name in dims)
    except UsageError as error:
        raise InputError(f"{source}: is no image: {error}") from None
    file_dims = tuple(reversed(dims)) if fortran else dims
    chunks, notes = natural_chunks(named, file_dims), (() if axes else (guessed(dims, shape),))
    stored = Stored(file_dims, tuple(reversed(shape)) if fortran else shape, dtype)
    pixels, access = open_pixels(source, offset, stored)
    order = "Fortran" if fortran else "C"
    access = replace(access, why=f"{access.why.partition(',')[0]}, {order} order")
    if is_complex(dtype):
        dtype = real_of(dtype)
        pixels, access = PartPixels(pixels, dtype), replace(access, read_bytes=access.read_bytes + PART_BYTES)
    spec = ImageSpec(named, dtype, chunks, channels=colors(dims, shape), notes=notes)
    return RawReader(spec, access, source, pixels, file_dims)


def _header(path: str) -> tuple[Shape, bool, DType, int]:
    """Return shape, whether in Fortran order, dtype, and the byte of the first value."""
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    read[3, 0] = npy.read_array_header_2_0  # it differs only in field names, and records are refused
    # A header is Python, and numpy evaluates it.
    errors = (ValueError, TypeError, SyntaxError, TokenError, RecursionError)
    with reading(path, errors, "save the array again"):
        file = io.BytesIO(read_bytes(path, MOST_HEADER, what="cannot be unpacked"))
        version = npy.read_magic(file)
        if version not in read:
            raise ValueError(f"npy version {version} is not 1 to 3")
        shape, fortran, dtype = read[version](file)
        offset = file.tell()
    if not is_complex(dtype) and (dtype.kind not in "buif" or dtype.itemsize > 8):
        raise InputError(
            f"{path}: holds {dtype}, which is not pixels; save booleans, integers, floats or complex"
        )
    return shape, fortran, dtype, offset
