"""A reader of AFNI datasets: nibabel reads the HEAD; the BRIK beside it is raw or in gzip.

Sub-bricks are ``t`` if the header has a time axis, and named channels if it has none (a bucket of statistics). Each may
have a factor: if all factors are equal, they are the scaling of the image, otherwise the reader gives real values.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.spec import Channel
from bigimg.readers.failures import only_image
from bigimg.readers.raw.compressed import open_pixels
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Step, Volume, checked_shape, reading_header, sibling

if TYPE_CHECKING:
    from nibabel.brikhead import AFNIHeader

TIMES = {77001: "millisecond", 77002: "second"}
"""Codes of ``TAXIS_NUMS[2]``; 77003 is hertz, which is not a time."""

PERSONAL = "HISTORY_NOTE|NOTES?_.*|IDCODE_.*|.*_NAME|LABEL_.*|.*_KEYWORDS|MARKS_.*"
"""Fields of free text, dates and names of files."""

MOST_HEAD = 64 << 20
"""Bytes of a HEAD that are read at most: it holds text, with a history that grows."""


def open_afni(path: str | os.PathLike[str], *, series: int | None = None) -> RawReader:
    """Return a reader of the AFNI dataset at ``path``.

    Parameters
    ----------
    path : str or path-like
        The ``.HEAD``, ``.BRIK`` or ``.BRIK.gz``.
    series : int, optional
        Only 0: sub-bricks are the axis ``t`` or ``c``.

    Raises
    ------
    InputNotFoundError
        The other file of the pair is not there.
    InputError
        The header makes no sense, or the pixels are too few or of several types.
    """
    source = os.fspath(path)
    only_image(source, series)
    stem, suffix = os.path.splitext(source.removesuffix(".gz"))
    header_path, brik = source, source
    if suffix.lower() != ".head":
        header_path = sibling(source, stem, (".HEAD",), "its header")
    notes: list[str] = []
    header = _header(source, header_path, notes)
    if brik == header_path:
        brik = sibling(source, stem, (".BRIK", ".BRIK.gz"), "its pixels")
    sizes = checked_shape(header_path, header.get_data_shape())
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(f"{source}: its pixels are {dtype}, which is not supported; save them as floats")
    timed = "TAXIS_NUMS" in header.info
    shape = tuple(reversed(sizes if sizes[3] > 1 else sizes[:3]))
    dims = ("t" if timed else "c", "z", "y", "x")[-len(shape) :]
    factors = header.get_data_scaling()
    start, time = _time(header)
    steps: dict[str, Step] = {
        name: (float(abs(step)), "millimeter")
        for name, step in zip("xyz", header.info["DELTA"], strict=False)
    }
    pixels, access = open_pixels(brik, offset=0, shape=shape, dtype=dtype, dims=dims)
    volume = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=header.get_affine(), steps=steps | time, start=start,
        slopes=None if factors is None else factors.reshape((-1,) + (1,) * (len(dims) - 1)), frame="sub-brick",
        channels=_channels(header, shape[0]) if "c" in dims else (), fields=header.info, personal=PERSONAL,
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes, (header_path,))


def _header(source: str, path: str, notes: list[str]) -> AFNIHeader:
    """Return the header in ``path``, after a check of the attributes that bigimg and nibabel need."""
    from nibabel.brikhead import AFNIHeader, parse_AFNI_header
    from nibabel.spatialimages import HeaderDataError, ImageDataError

    who = path if path == source else f"{source}: its {os.path.basename(path)}"
    errors = (HeaderDataError, ImageDataError)
    with reading_header(who, errors, "write it again with 3dcopy", notes):
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


def _channels(header: AFNIHeader, count: int) -> tuple[Channel, ...]:
    """Return the labels of the sub-bricks, if each has one."""
    labels = header.info.get("BRICK_LABS")
    names = labels.split("~") if isinstance(labels, str) else []
    return tuple(map(Channel, names)) if len(names) == count else ()
