"""A reader of AFNI datasets: nibabel's HEAD, a raw or gzip BRIK beside it.

Sub-bricks are ``t`` where the header has a time axis and named channels where it has none (a bucket of statistics).
Each may have a factor: one for all is the scaling of the image, several give real values.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.spec import Channel
from bigimg.readers.failures import reading
from bigimg.readers.raw.compressed import open_pixels
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Step, Volume, checked_shape, only_image, sibling

if TYPE_CHECKING:
    from nibabel.brikhead import AFNIHeader

TIMES = {77001: "millisecond", 77002: "second"}
"""Codes of ``TAXIS_NUMS[2]``; 77003 is hertz, which is no time."""

PERSONAL = "HISTORY_NOTE|NOTES?_.*|IDCODE_.*|.*_NAME|LABEL_.*|.*_KEYWORDS|MARKS_.*"
"""Fields of free text, dates and names of files."""

MOST_HEAD = 64 << 20
"""Bytes of a HEAD that are read at most: it holds text, and a history that grows."""


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
    header_path = source
    if suffix.lower() != ".head":
        header_path = sibling(source, stem, (".HEAD",), "its header")
    header = _header(source, header_path)
    brik = sibling(source, stem, (".BRIK", ".BRIK.gz"), "its pixels") if suffix.lower() == ".head" else source
    sizes = checked_shape(header_path, header.get_data_shape())
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(f"{source}: its pixels are {dtype}, which is not supported; save them as floats")
    timed = "TAXIS_NUMS" in header.info
    shape = tuple(reversed(sizes if sizes[3] > 1 else sizes[:3]))
    dims = ("t" if timed else "c", "z", "y", "x")[-len(shape) :]
    factors = header.get_data_scaling()
    pixels, access = open_pixels(brik, offset=0, shape=shape, dtype=dtype, dims=dims)
    found = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=header.get_affine(), steps=_steps(header), start=_start(header),
        slopes=None if factors is None else factors.reshape((-1,) + (1,) * (len(dims) - 1)), frame="sub-brick",
        channels=_channels(header, shape[0]) if "c" in dims else (), fields=header.info, personal=PERSONAL,
    )  # fmt: skip
    return found.reader(source, pixels, access, [])


def _header(source: str, path: str) -> AFNIHeader:
    """Return the header in ``path``, with the attributes that we and nibabel need checked."""
    from nibabel.brikhead import AFNIHeader, parse_AFNI_header
    from nibabel.spatialimages import HeaderDataError, ImageDataError

    who = path if path == source else f"{source}: its {os.path.basename(path)}"
    nonsense = (HeaderDataError, ImageDataError, ValueError, TypeError, KeyError, IndexError, OverflowError)
    with reading(who, nonsense, "write it again with 3dcopy"):
        with open(path, encoding="latin-1") as file:
            text = file.read(MOST_HEAD)
        info = parse_AFNI_header(_Text(text))
        info.setdefault("BYTEORDER_STRING", "")  # absent means the order of this machine
        for name in ("IJK_TO_DICOM_REAL", "DATASET_RANK", "DATASET_DIMENSIONS", "DELTA", "BRICK_TYPES"):
            if name not in info:
                raise InputError(
                    f"{who}: has no {name}; it is no complete AFNI header, write it again with 3dcopy"
                )
        header = AFNIHeader(info)
        header.get_affine(), header.get_data_scaling()
    return header


class _Text:
    """Text as nibabel wants to read it: a file object it will not open by itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> str:
        """Return the text, without the empty lines around it that would pass for attributes."""
        return self._text.strip() + "\n"


def _steps(header: AFNIHeader) -> dict[str, Step]:
    steps: dict[str, Step] = {
        name: (float(abs(step)), "millimeter")
        for name, step in zip("xyz", header.info["DELTA"], strict=False)
    }
    times = header.info.get("TAXIS_FLOATS")
    if isinstance(times, list) and len(times) > 1:
        codes = header.info.get("TAXIS_NUMS")
        code = codes[2] if isinstance(codes, list) and len(codes) > 2 else 0
        steps["t"] = (float(times[1]), TIMES.get(code))
    return steps


def _start(header: AFNIHeader) -> float:
    times = header.info.get("TAXIS_FLOATS")
    return float(times[0]) if isinstance(times, list) and np.isfinite(times[0]) else 0.0


def _channels(header: AFNIHeader, count: int) -> tuple[Channel, ...]:
    """Return the labels of the sub-bricks, where there is one for each."""
    labels = header.info.get("BRICK_LABS")
    names = labels.split("~") if isinstance(labels, str) else []
    return tuple(map(Channel, names)) if len(names) == count else ()
