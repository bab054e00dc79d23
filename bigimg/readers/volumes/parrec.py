"""A reader of Philips PAR/REC: nibabel reads the PAR; slices of the REC are read wherever they lie.

A REC holds little-endian slices in the order of the lines of the PAR. They are sorted by slice and volume as nibabel
sorts them. Values are those that the console shows (``dv``): if all slices share one slope, it is the scaling of the
image, otherwise the reader gives real values.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from bigimg.readers.failures import only_image
from bigimg.readers.raw.frames import FrameStart, open_frames
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Step, Volume, checked_shape, reading_header, sibling
from bigimg.types import Array

if TYPE_CHECKING:
    from nibabel.parrec import PARRECHeader

PERSONAL = "patient_name|exam_.*|protocol_name"
"""Fields that may tell who was imaged, and when."""


def open_parrec(path: str | os.PathLike[str], *, series: int | None = None) -> RawReader:
    """Return a reader of the Philips PAR/REC at ``path``.

    Parameters
    ----------
    path : str or path-like
        Either file of the pair.
    series : int, optional
        Only 0: volumes are the axis ``t``.

    Raises
    ------
    InputNotFoundError
        The other file of the pair is not there.
    InputError
        The header makes no sense, slices or volumes are missing, or the REC is too short.
    """
    source = os.fspath(path)
    only_image(source, series)
    stem, suffix = os.path.splitext(source)
    par = sibling(source, stem, (".PAR",), "its header") if suffix.lower() == ".rec" else source
    header, affine, notes = _header(source, par)
    rec = source if par != source else sibling(source, stem, (".REC",), "its pixels")
    shape = tuple(reversed(checked_shape(par, header.get_data_shape())))
    dims = ("t", "z", "y", "x")[-len(shape) :]
    dtype = np.dtype(header.get_data_dtype())
    slice_bytes = int(shape[-1]) * int(shape[-2]) * dtype.itemsize
    starts = [FrameStart(rec, int(number) * slice_bytes) for number in header.get_sorted_slice_indices()]
    pixels, access = open_frames(starts, dims, shape, dtype, "uncompressed slices")
    slopes, intercepts = (factors.T for factors in header.get_data_scaling())  # t, z, 1, 1
    volume = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=affine, steps=_steps(header), slopes=slopes, intercepts=intercepts,
        fields=header.general_info, personal=PERSONAL,
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes, (par,))


def _header(source: str, path: str) -> tuple[PARRECHeader, Array, list[str]]:
    """Return the header in ``path``, the affine, and the warnings of nibabel."""
    from nibabel.parrec import PARRECError, PARRECHeader
    from nibabel.spatialimages import HeaderDataError

    notes: list[str] = []
    who = path if path == source else f"{source}: its {os.path.basename(path)}"
    errors = (PARRECError, HeaderDataError)
    with (
        reading_header(who, errors, "export the scan again", notes),
        open(path, encoding="latin-1") as file,
    ):
        header = PARRECHeader.from_fileobj(file)
        affine = header.get_affine()
        header.get_data_scaling()
    return header, affine, notes


def _steps(header: PARRECHeader) -> dict[str, Step]:
    """Return spacing and unit of each axis; volumes have a time step in dynamic scans only.

    Volumes of other scans are echoes or diffusion directions.
    """
    zooms = [float(zoom) for zoom in header.get_zooms()]
    steps: dict[str, Step] = {name: (zoom, "millimeter") for name, zoom in zip("xyz", zooms, strict=False)}
    if len(zooms) > 3 and header.general_info["dyn_scan"]:
        steps["t"] = (zooms[3], "second")
    return steps
