"""A reader of FreeSurfer volumes, MGH and MGZ: nibabel reads the header; pixels are big-endian, plain or compressed.

The repetition time stands *behind* the pixels. For a compressed series the whole stream is decompressed once (gzip:
1 GB/s) to get it, because a series needs its time step. A single volume needs none and is not decompressed.
"""

from __future__ import annotations

import math

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader, data_type_codes, header_dtype

from bigimg.errors import InputError
from bigimg.readers.raw.compressed import open_pixels, packing_of, read_bytes
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Volume, in_space, volumes

LAYOUT = {"version", "dims", "type"}
"""Header fields that describe the file and not the image."""


def open_mgh(source: str) -> RawReader:
    """Return a reader of the FreeSurfer volume at ``source``.

    Parameters
    ----------
    source : str
        ``.mgh`` or ``.mgz``; also as ``.mgh.gz``, ``.mgh.bz2``, ``.mgh.zst``.

    Raises
    ------
    InputError
        The header makes no sense, or the file is too short.
    """
    head = read_bytes(source, header_dtype.itemsize)
    if len(head) < header_dtype.itemsize:
        raise InputError(f"{source}: ends at byte {len(head)} of a header of {DATA_OFFSET}; it is truncated")
    fields = np.frombuffer(head, header_dtype)[0]
    if int(fields["version"]) != 1 or int(fields["type"]) not in data_type_codes.code:
        what = f"has version {fields['version']}, type {fields['type']}"
        known = "only version 1 with types 0, 1, 3, 4 and 10 is known"
        raise InputError(f"{source}: {what}; {known}; save it again with mri_convert")
    dtype = np.dtype(data_type_codes.numpy_dtype[int(fields["type"])])
    stored = volumes(source, fields["dims"], dtype)
    pixels, access = open_pixels(source, DATA_OFFSET, stored)
    notes: list[str] = []
    if not fields["goodRASFlag"]:
        notes.append("the header has no position (goodRASFlag is 0); FreeSurfer's coronal default is assumed")
    end, behind = DATA_OFFSET + math.prod(stored.shape) * dtype.itemsize, b""
    skipped = "t" not in stored.dims and packing_of(source) is not None  # it would need a whole pass
    if not skipped:
        behind = read_bytes(source, 20, end, what=f"cannot be read to the end of its pixels, byte {end}")
    header = MGHHeader(head + behind, check=False)
    with np.errstate(all="ignore"):  # headers may hold random bytes
        affine = header.get_affine()
    known = header_dtype.names if skipped else header.template_dtype.names
    volume = Volume(
        stored=stored, affine=affine, body=bool(fields["goodRASFlag"]),
        steps=in_space(header["delta"]) | {"t": (float(header["tr"]), "millisecond")},
        fields={name: header[name] for name in known if name not in LAYOUT}, family="mgh",
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes)
