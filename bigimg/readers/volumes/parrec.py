"""A reader of Philips PAR/REC: nibabel reads the PAR; slices of the REC are read wherever they lie.

A REC holds little-endian slices in any order. Each line of the PAR says which slice lies where, and of which kind,
dynamic, echo and direction it is. Volumes are sorted by these as nibabel's ``strict_sort`` sorts them; its default
takes the n-th line of each slice for volume n, which mixes volumes when the lines have another order. Values are those
that the console shows (``dv``): if all slices share one slope, it is the scaling of the image, otherwise the reader
gives real values.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from nibabel.parrec import PARRECError, PARRECHeader, parse_PAR_header
from nibabel.spatialimages import HeaderDataError

from bigimg.readers.raw.frames import FrameStart, open_frames
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Volume, in_space, reading_header, sibling, volumes
from bigimg.types import Array

INDEX = "index in REC file"
TIES = (INDEX, "trigger_time", "dyn_scan_begin_time", "echo_time", "diffusion_b_factor", "scanning sequence")
"""Fields that tell volumes apart where those of ``strict_sort`` are equal, the weakest first."""
DYNAMIC = "dynamic scan number"
PERSONAL = "patient_name|exam_.*|protocol_name"
"""Fields that may tell who was imaged, and when."""


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
    rec = source if par != source else sibling(source, stem, (".REC",), "its pixels")
    header, affine, notes = _header(source, par, rec)
    stored = volumes(par, header.get_data_shape(), np.dtype(header.get_data_dtype()))
    slice_bytes = math.prod(stored.shape[-2:]) * stored.dtype.itemsize
    places = header.image_defs[INDEX][header.get_sorted_slice_indices()]
    starts = [FrameStart(rec, int(place) * slice_bytes) for place in places]
    pixels, access = open_frames(starts, stored, "uncompressed slices")
    zooms = header.get_zooms()
    steps = in_space(zooms)
    labels = header.get_volume_labels()
    if len(zooms) > 3 and header.general_info["dyn_scan"] and not set(labels) - {DYNAMIC}:
        steps["t"] = (float(zooms[3]), "second")
    elif len(zooms) > 3 and labels:  # the slowest first, as in strict_sort
        notes.append(f"the volumes along t differ in {', '.join(labels)}; meta has these for each volume")
    slopes, intercepts = (factors.T for factors in header.get_data_scaling())  # t, z, 1, 1
    volume = Volume(
        stored=stored, affine=affine, steps=steps, slopes=slopes, intercepts=intercepts,
        fields={**header.general_info, **_of_volumes(header, labels)}, personal=PERSONAL,
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes, (par,))


def _header(source: str, path: str, rec: str) -> tuple[PARRECHeader, Array, list[str]]:
    """Return the header in ``path``, the affine, and the warnings of nibabel."""
    notes: list[str] = []
    errors, remedy = (PARRECError, HeaderDataError), "export the scan again"
    with reading_header(source, path, errors, remedy, notes), open(path, encoding="latin-1") as file:
        info, defs = parse_PAR_header(file)
        _check_places(defs, os.path.getsize(rec), notes)
        header = PARRECHeader(info, _in_order(defs), strict_sort=True)
        affine = header.get_affine()
        header.get_data_scaling()
    return header, affine, notes


def _in_order(defs: Array) -> Array:
    """Return the lines sorted by :data:`TIES`, so that their order in the PAR has no effect."""
    known = defs.dtype.names or ()
    return defs[np.lexsort([defs[name] for name in TIES if name in known])]


def _check_places(defs: Array, rec_bytes: int, notes: list[str]) -> None:
    """Number the slices by their lines if the PAR does not give each a place of its own within the REC."""
    places, bits = defs[INDEX], defs["image pixel size"]
    slice_bytes = int(np.prod(defs["recon resolution"][0])) * int(bits[0]) // 8
    if (
        len(set(places.tolist())) < len(places)
        or min(places) < 0
        or (max(places) + 1) * slice_bytes > rec_bytes
    ):
        notes.append(f"{INDEX!r} of the PAR does not fit the REC; slices are taken in the order of the lines")
        defs[INDEX] = np.arange(len(places))


def _of_volumes(header: PARRECHeader, labels: Mapping[str, Array]) -> dict[str, Any]:
    """Return what differs between volumes, in the order of ``t``: their labels, b-values and directions."""
    found = dict(labels)
    bvals, bvecs = header.get_bvals_bvecs()
    return found | {n: v for n, v in (("b_values", bvals), ("b_vectors", bvecs)) if v is not None}
