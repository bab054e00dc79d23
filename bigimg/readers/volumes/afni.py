"""A reader of AFNI datasets: nibabel reads the HEAD; the BRIK beside it is raw or compressed.

Sub-bricks are ``t`` if the header has a time axis, and named channels if it has none (a bucket of statistics). Each may
have a factor: if all factors are equal, they are the scaling of the image, otherwise the reader gives real values.
"""

from __future__ import annotations

import io
import os

import numpy as np
from nibabel.brikhead import AFNIHeader, parse_AFNI_header
from nibabel.spatialimages import HeaderDataError, ImageDataError

from bigimg.geometry.spec import Channel
from bigimg.readers.raw.compressed import open_pixels
from bigimg.readers.raw.plain import RawReader, Stored
from bigimg.readers.raw.streams import PACKED
from bigimg.readers.volumes.headers import (
    Step,
    Volume,
    in_space,
    reading_header,
    sibling,
    unpacked_name,
    volumes,
)

TIMES = {77001: "millisecond", 77002: "second"}
"""Codes of ``TAXIS_NUMS[2]``; 77003 is hertz, which is not a time."""

MOST_HEAD = 64 << 20
"""Bytes of a HEAD that are read at most: it holds text, with a history that grows."""


def open_afni(source: str) -> RawReader:
    """Return a reader of the AFNI dataset at ``source``.

    Parameters
    ----------
    source : str
        The ``.HEAD``, or the ``.BRIK``, plain or compressed.

    Raises
    ------
    InputNotFoundError
        The other file of the pair is not there.
    InputError
        The header makes no sense, or the pixels are too few or of several types.
    """
    stem, suffix = os.path.splitext(unpacked_name(source))
    given = suffix.lower() == ".head"
    head = source if given else sibling(source, stem, (".HEAD",), "its header")
    notes: list[str] = []
    header = _header(source, head, notes)
    brik = (
        sibling(source, stem, (".BRIK", *(".BRIK" + packing for packing in PACKED)), "its pixels")
        if given
        else source
    )
    timed = "TAXIS_NUMS" in header.info
    dtype = header.get_data_dtype()
    if dtype.kind == "c":  # AFNI's has two float32, where nibabel expects two float64
        dtype = np.dtype(f"{dtype.byteorder}c8")
    stored = volumes(head, header.get_data_shape(), dtype, "t" if timed else "c")
    factors = header.get_data_scaling()
    start, time = _time(header)
    steps = in_space(header.info["DELTA"]) | time
    volume = Volume(
        stored=stored, affine=header.get_affine(), steps=steps, starts={"t": start},
        slopes=1.0 if factors is None else factors.reshape((-1,) + (1,) * (len(stored.dims) - 1)), frame="sub-brick",
        channels=() if timed else _channels(header, stored), fields=header.info, family="afni",
    )  # fmt: skip
    return volume.reader(source, *open_pixels(brik, 0, stored), notes, (head,))


def _header(source: str, path: str, notes: list[str]) -> AFNIHeader:
    """Return the header in ``path``, after a check of the attributes that bigimg and nibabel need."""
    errors = (HeaderDataError, ImageDataError)
    with reading_header(source, path, errors, "write it again with 3dcopy", notes):
        with open(path, encoding="latin-1") as file:
            text = file.read(MOST_HEAD)
        # Empty lines around the text would count as attributes.
        info = parse_AFNI_header(io.StringIO(text.strip() + "\n"))
        info.setdefault("BYTEORDER_STRING", "")  # if absent, the byte order is that of this machine
        for name in ("IJK_TO_DICOM_REAL", "DATASET_RANK", "DATASET_DIMENSIONS", "DELTA", "BRICK_TYPES"):
            if name not in info:
                raise ValueError(f"it has no {name}")
        header = AFNIHeader(info)
        header.get_affine(), header.get_data_scaling()
    return header


def _time(header: AFNIHeader) -> tuple[float, dict[str, Step]]:
    """Return the start of ``t``, and its spacing and unit if the header has them."""
    times, codes = header.info.get("TAXIS_FLOATS"), header.info.get("TAXIS_NUMS")
    if not isinstance(times, list):
        return 0.0, {}
    unit = TIMES.get(codes[2]) if isinstance(codes, list) and len(codes) > 2 else None
    start = float(times[0]) if np.isfinite(times[0]) else 0.0
    return start, {"t": (float(times[1]), unit)} if len(times) > 1 else {}


def _channels(header: AFNIHeader, stored: Stored) -> tuple[Channel, ...]:
    """Return the labels of the sub-bricks, if each has one."""
    labels = header.info.get("BRICK_LABS")
    names = labels.split("~") if isinstance(labels, str) else []
    return tuple(map(Channel, names)) if stored.dims[0] == "c" and len(names) == stored.shape[0] else ()
