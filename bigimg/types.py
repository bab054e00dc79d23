"""Small types that every room shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

type Array = npt.NDArray[Any]
type DType = np.dtype[Any]
type Shape = tuple[int, ...]
type Region = tuple[slice, ...]
"""One slice an axis, with integer start and stop and step None."""
type Padding = tuple[float, float]
"""First and last value that is no measurement; both NaN if that is NaN."""
type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

type Method = Literal["mean", "mode", "nearest", "min", "max", "gaussian"]
"""How a pixel of a coarse level is made from its window of finer ones."""
type CodecName = Literal["lz4", "zstd", "none"]
type Kind = Literal["image", "labels", "mask"]
"""What the numbers mean: intensities, ids, or true and false."""
type Part = Literal["real", "imaginary", "magnitude", "phase"]
"""Which part of complex values."""
type OnGap = Literal["error", "fill", "split"]
"""What is done where slices are missing: refuse, put empty ones there, or take each even part for a series."""
type Fetch = Literal["whole", "ranges"]
"""How a file behind an address is read."""
type Tilt = Literal["error", "keep"]
"""What is done with slices that are shifted in their plane: refuse, or keep the tilt in the affine."""
type Convention = Literal["neurological", "radiological", "none"]
"""Which side of a body is drawn at the right: its right, its left, or not known, as of a volume that is no body."""
type FromSource = Literal["source"]
"""Which levels: those that the source has itself."""
type Version = Literal["0.4", "0.5", "0.6"]
"""Of OME-Zarr, as written."""
type ZarrFormat = Literal[2, 3]
"""Version of zarr: 2 for OME-Zarr 0.4, 3 for 0.5 and 0.6."""


class Opening(TypedDict, total=False):
    """How a source is opened: the options that all functions that take a source share."""

    series: int | str | None
    """Which image, by number or name, where the source holds several."""
    part: Part | None
    """Which part of complex values, as numpy computes it (the phase in radians); it must be chosen where they are
    complex."""
    insecure: bool
    """Take any certificate of a server; warned of."""
    max_download: int | str | None
    """The most to fetch, to unzip or to copy, in bytes or as ``20GB``; ``BIGIMG_MAX_DOWNLOAD``, or 10 GB."""
    fetch: Fetch | None
    """Of a file behind an address: fetch it ``whole`` before it is read, or read it by ``ranges``. By default a TIFF or
    uncompressed pixels of 1 GB and more are read by ranges, and all else is fetched."""
    on_gap: OnGap | None
    """Where slices of a DICOM series or files of a pattern are missing: refuse it (``error``, the default), put empty
    planes there, which statistics leave out (``fill``), or make each even part of the series a series (``split``)."""
    tilt: Tilt | None
    """Where the slices of a DICOM series are shifted in their plane: refuse it (``error``, the default), or keep the
    tilt in the affine (``keep``)."""
    allow_partial: bool
    """Open what is there of a source that is cut, or lacks planes. The rest is padding, NaN or 0;
    ``attrs["missing"]`` has its boxes, which statistics and coarser levels leave out."""
    axis: Mapping[str, int] | None
    """One index along each axis of the file that is none of t c z y x, where the file has such axes."""
    pattern: str | None
    """What the names of the files in a folder mean: ``img_{c}_{t:03}_z{z:04}.tif``. The fields are t c z y x (of y and
    x: tiles side by side), and well and field, which make series."""
    axes: str | None
    """The names of all axes of a TIFF or a numpy array that does not say them, slowest first: ``tzyx``."""
    pages: str | Mapping[str, int] | None
    """What the pages of a TIFF are that does not say it, slowest first: ``c``, or several with their sizes, of which
    one may be left out: ``t=10,c=2``. By default z."""
    plate: bool
    """Take all images of a file for the fields of one plate: they are called after wells, as in ``A1`` or
    ``A1-Site_0``. Patterns with ``{well}`` and the indices of microscopes are plates without it. For ``plan`` and
    ``convert``, and for the source of ``verify``."""
