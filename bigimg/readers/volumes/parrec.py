"""A reader of Philips PAR/REC: nibabel reads the PAR; slices of the REC are read wherever they lie.

A REC holds little-endian slices in the order of the lines of the PAR. They are sorted by slice and volume as nibabel
sorts them. Values are those that the console shows (``dv``): if all slices share one slope, it is the scaling of the
image, otherwise the reader gives real values.
"""

from __future__ import annotations

import math
import os

import numpy as np
from nibabel.parrec import PARRECError, PARRECHeader
from nibabel.spatialimages import HeaderDataError

from bigimg.readers.raw.frames import FrameStart, open_frames
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Volume, in_space, reading_header, sibling, volumes
from bigimg.types import Array


def open_parrec(source: str) -> RawReader:
    """Return a reader of the Philips PAR/REC at ``source``.

    Parameters
    ----------
    source : str
        Either file of the pair.

    Raises
    ------
    InputNotFoundError
        The other file of the pair is not there.
    InputError
        The header makes no sense, slices or volumes are missing, or the REC is too short.
    """
    stem, suffix = os.path.splitext(source)
    par = sibling(source, stem, (".PAR",), "its header") if suffix.lower() == ".rec" else source
    header, affine, notes = _header(source, par)
    rec = source if par != source else sibling(source, stem, (".REC",), "its pixels")
    stored = volumes(par, header.get_data_shape(), np.dtype(header.get_data_dtype()))
    slice_bytes = math.prod(stored.shape[-2:]) * stored.dtype.itemsize
    starts = [FrameStart(rec, int(number) * slice_bytes) for number in header.get_sorted_slice_indices()]
    pixels, access = open_frames(starts, stored, "uncompressed slices")
    zooms = header.get_zooms()
    steps = in_space(zooms)
    if len(zooms) > 3 and header.general_info["dyn_scan"]:  # or they are echoes, or diffusion directions
        steps["t"] = (float(zooms[3]), "second")
    slopes, intercepts = (factors.T for factors in header.get_data_scaling())  # t, z, 1, 1
    volume = Volume(
        stored=stored, affine=affine, steps=steps, slopes=slopes, intercepts=intercepts,
        fields=header.general_info, family="parrec",
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes, (par,))


def _header(source: str, path: str) -> tuple[PARRECHeader, Array, list[str]]:
    """Return the header in ``path``, the affine, and the warnings of nibabel."""
    notes: list[str] = []
    errors, remedy = (PARRECError, HeaderDataError), "export the scan again"
    with reading_header(source, path, errors, remedy, notes), open(path, encoding="latin-1") as file:
        header = PARRECHeader.from_fileobj(file)
        affine = header.get_affine()
        header.get_data_scaling()
    return header, affine, notes
