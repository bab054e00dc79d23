"""A reader of ``.npy`` files: numpy reads the header; the pixels are C or Fortran order numbers after it.

The format names no axes, so they are guessed as for an array in memory; ``spec.notes`` says how.
"""

from __future__ import annotations

from dataclasses import replace
from tokenize import TokenError

from numpy.lib import format as npy

from bigimg.errors import InputError, UsageError, reading
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.arrays.array import colors, guess_dims, guessed
from bigimg.readers.complex_values import is_complex, real_of
from bigimg.readers.raw.plain import READ_BYTES, Pixels, RawFile, RawReader, is_wide, natural_chunks
from bigimg.readers.raw.scaled import PART_BYTES, PartPixels
from bigimg.types import DType, Shape


def open_npy(source: str) -> RawReader:
    """Return a reader of the numpy array at ``source``.

    Parameters
    ----------
    source : str

    Raises
    ------
    InputError
        The header makes no sense, the values are objects or records, or the file is too short.
    """
    shape, fortran, dtype, offset = _header(source)
    try:
        dims = guess_dims(shape)
        axes = tuple(Axis(name, shape[dims.index(name)]) for name in ORDER if name in dims)
    except UsageError as error:
        raise InputError(f"{source}: is no image: {error}") from None
    file_dims = tuple(reversed(dims)) if fortran else dims
    chunks, notes = natural_chunks(axes, file_dims), (guessed(dims, shape),)
    pixels: Pixels = RawFile(
        source, offset=offset, shape=tuple(reversed(shape)) if fortran else shape, dtype=dtype
    )
    order = "Fortran" if fortran else "C"
    wide = is_wide(file_dims, axes[-1].size * dtype.itemsize)
    access = Access("random", f"uncompressed, {order} order", file_dims, read_bytes=READ_BYTES, wide=wide)
    if is_complex(dtype):
        dtype = real_of(dtype)
        pixels, access = PartPixels(pixels, dtype), replace(access, read_bytes=READ_BYTES + PART_BYTES)
    spec = ImageSpec(axes, dtype, chunks, channels=colors(dims, shape), notes=notes)
    return RawReader(spec, access, source, pixels, file_dims)


def _header(path: str) -> tuple[Shape, bool, DType, int]:
    """Return shape, whether in Fortran order, dtype, and the byte of the first value."""
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    read[3, 0] = npy.read_array_header_2_0  # it differs only in field names, and records are refused
    # A header is Python, and numpy evaluates it.
    errors = (ValueError, TypeError, SyntaxError, TokenError, RecursionError)
    with reading(path, errors, "save the array again"), open(path, "rb") as file:
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
