"""A reader of Philips PAR/REC: nibabel's reading of the PAR, slices of the REC wherever they lie.

A REC holds little-endian slices in the order of the lines of the PAR, sorted here by slice and volume as nibabel
does. Values are those on the console (``dv``): one slope for all is the scaling, one a slice gives real values.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from bigimg.reader import Access
from bigimg.readers.failures import reading
from bigimg.readers.raw.frames import Place, frames
from bigimg.readers.raw.plain import READ_BYTES, RawReader
from bigimg.readers.volumes.headers import Step, Volume, checked_shape, heard, only_image, sibling
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
    par = source
    if suffix.lower() == ".rec":
        par = sibling(source, stem, (".PAR",), "its header")
    header, affine, notes = _header(source, par)
    rec = source if par != source else sibling(source, stem, (".REC",), "its pixels")
    shape = tuple(reversed(checked_shape(par, header.get_data_shape())))
    dims = ("t", "z", "y", "x")[-len(shape) :]
    dtype = np.dtype(header.get_data_dtype())
    step = int(shape[-1]) * int(shape[-2]) * dtype.itemsize
    places = [Place(rec, int(number) * step) for number in header.get_sorted_slice_indices()]
    pixels = frames(places, outer=shape[:-2], inner=shape[-2:], dtype=dtype)
    access = Access("random", f"uncompressed slices, {dtype.newbyteorder('=')}", dims, read_bytes=READ_BYTES)
    slopes, intercepts = (factors.T for factors in header.get_data_scaling())  # t, z, 1, 1
    found = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=affine, steps=_steps(header), slopes=slopes, intercepts=intercepts,
        fields=header.general_info, personal=PERSONAL,
    )  # fmt: skip
    return found.reader(source, pixels, access, notes)


def _header(source: str, path: str) -> tuple[PARRECHeader, Array, list[str]]:
    """Return the header in ``path``, the affine, and what nibabel warns of."""
    from nibabel.parrec import PARRECError, PARRECHeader
    from nibabel.spatialimages import HeaderDataError

    notes: list[str] = []
    who = path if path == source else f"{source}: its {os.path.basename(path)}"
    nonsense = (
        PARRECError, HeaderDataError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    )  # fmt: skip
    with (
        reading(who, nonsense, "export the scan again"),
        open(path, encoding="latin-1") as file,
        heard(notes),
    ):
        header = PARRECHeader.from_fileobj(file)
        affine = header.get_affine()
        header.get_data_scaling()
    return header, affine, notes


def _steps(header: PARRECHeader) -> dict[str, Step]:
    """Return spacing and unit; volumes are a time apart in dynamic scans alone, not those of echoes or diffusion."""
    zooms = [float(zoom) for zoom in header.get_zooms()]
    steps: dict[str, Step] = {name: (zoom, "millimeter") for name, zoom in zip("xyz", zooms, strict=False)}
    if len(zooms) > 3 and header.general_info["dyn_scan"]:
        steps["t"] = (zooms[3], "second")
    return steps
