"""A reader of FreeSurfer volumes, MGH and MGZ: nibabel reads the header; pixels are big-endian, plain or in gzip.

The repetition time stands *behind* the pixels. For a series in gzip the whole stream is decompressed once (1 GB/s) to
get it, because a series needs its time step. A single volume needs none and is not decompressed.
"""

from __future__ import annotations

import math

import numpy as np

from bigimg.errors import InputError
from bigimg.readers.raw.compressed import is_gzip, open_pixels, read_bytes
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Volume, checked_shape, in_space

LAYOUT = {"version", "dims", "type"}
"""Header fields that describe the file and not the image."""


def open_mgh(source: str) -> RawReader:
    """Return a reader of the FreeSurfer volume at ``source``.

    Parameters
    ----------
    source : str
        ``.mgh`` or ``.mgz``.

    Raises
    ------
    InputError
        The header makes no sense, or the file is too short.
    """
    from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader, data_type_codes, header_dtype

    head = read_bytes(source, header_dtype.itemsize)
    if len(head) < header_dtype.itemsize:
        raise InputError(f"{source}: ends at byte {len(head)} of a header of {DATA_OFFSET}; it is truncated")
    fields = np.frombuffer(head, header_dtype)[0]
    if int(fields["version"]) != 1 or int(fields["type"]) not in data_type_codes.code:
        raise InputError(
            f"{source}: has version {fields['version']}, type {fields['type']}; only version 1 with types 0, 1, 3, 4 "
            "and 10 is known; save it again with mri_convert"
        )
    sizes = checked_shape(source, fields["dims"])
    shape = tuple(reversed(sizes if sizes[3] > 1 else sizes[:3]))
    dims = ("t", "z", "y", "x")[-len(shape) :]
    dtype = np.dtype(data_type_codes.numpy_dtype[int(fields["type"])])
    pixels, access = open_pixels(source, offset=DATA_OFFSET, shape=shape, dtype=dtype, dims=dims)
    notes: list[str] = []
    if not fields["goodRASFlag"]:
        notes.append("the header has no position (goodRASFlag is 0); FreeSurfer's coronal default is assumed")
    behind = _behind(source, DATA_OFFSET + math.prod(shape) * dtype.itemsize, frames=sizes[3])
    header = MGHHeader(head + (behind or b""), check=False)
    with np.errstate(all="ignore"):  # headers may hold random bytes
        affine = header.get_affine()
    known = header_dtype.names if behind is None else header.template_dtype.names
    volume = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=affine,
        steps=in_space(header["delta"]) | {"t": (float(header["tr"]), "millisecond")},
        fields={name: header[name] for name in known if name not in LAYOUT},
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes)


def _behind(path: str, offset: int, *, frames: int) -> bytes | None:
    """Return up to 20 bytes behind the pixels; None for a single volume in gzip, where they need a whole pass."""
    if frames == 1 and is_gzip(path):
        return None
    return read_bytes(path, 20, offset, what=f"cannot be read to the end of its pixels, byte {offset}")
