"""Small types that every room shares."""

from __future__ import annotations

from typing import Any, Literal

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
type Tilt = Literal["error", "keep"]
"""What is done with slices that are shifted in their plane: refuse, or keep the tilt in the affine."""
type Convention = Literal["neurological", "radiological", "none"]
"""Which side of a body is drawn at the right: its right, its left, or not known, as of a volume that is no body."""
type Version = Literal["0.4", "0.5", "0.6"]
"""Of OME-Zarr, as written."""
type ZarrFormat = Literal[2, 3]
"""Version of zarr: 2 for OME-Zarr 0.4, 3 for 0.5 and 0.6."""
