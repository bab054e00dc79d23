"""What can be written: a table of formats, and which of them a target means.

The table is names alone, so that listing it (``bigimg formats``) imports no library.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bigimg.errors import UsageError

if TYPE_CHECKING:
    from bigimg.exporters.layout import LayOut


@dataclass(frozen=True, slots=True)
class Exporter:
    """A kind of file that an image can be written to."""

    name: str
    """Short and lower case: ``nifti``."""
    title: str
    """For people: ``NIfTI-1, NIfTI-2``."""
    extensions: tuple[str, ...]
    """Endings of the target in lower case, with the dot; the longest that fits decides."""
    function: str
    """``module:function``, imported on first use: a :class:`~bigimg.exporters.layout.LayOut`."""
    holds: str
    """Which axes and types, and what of the geometry, for a person."""
    library: str
    """The package that knows the format."""
    keeps_scaling: bool = False
    """Whether it holds slope and intercept: stored values are written as they are, real ones otherwise."""


EXPORTERS = (
    Exporter(
        "nifti", "NIfTI-1, NIfTI-2", (".nii", ".nii.gz"), "bigimg.exporters.nifti:lay_out",
        "t c z y x; booleans (as 0 and 1), 8 to 64-bit integers, float32, float64; RGB of 8 bits; affine, "
        "spacing, units, slope, labels",
        "nibabel",
        keeps_scaling=True,
    ),
    Exporter(
        "metaimage", "MetaImage", (".mha", ".mhd"), "bigimg.exporters.metaimage:lay_out",
        "t c z y x; booleans (as 0 and 1), 8 to 64-bit integers, float32, float64; spacing, origin, direction, "
        "in millimetres",
        "bigimg",
    ),
    Exporter(
        "nrrd", "NRRD", (".nrrd", ".nhdr"), "bigimg.exporters.nrrd:lay_out",
        "t c z y x; booleans (as 0 and 1), 8 to 64-bit integers, float32, float64; spacing, origin, direction, "
        "in millimetres",
        "bigimg",
    ),
    Exporter(
        "npy", "numpy array", (".npy",), "bigimg.exporters.npy:lay_out",
        "t c z y x; every type; pixels alone, colour last",
        "numpy",
    ),
    Exporter(
        "ome-tiff", "OME-TIFF", (".ome.tif", ".ome.tiff"), "bigimg.exporters.tiff:lay_out_ome",
        "t c z y x; 8 to 32-bit integers, float32, float64; levels, spacing, units, channel names and colours",
        "tifffile",
    ),
    Exporter(
        "tiff", "TIFF, BigTIFF", (".tif", ".tiff", ".btf"), "bigimg.exporters.tiff:lay_out",
        "t c z y x; integers, floats; levels, spacing of y and x",
        "tifffile",
    ),
    Exporter(
        "png", "PNG", (".png",), "bigimg.exporters.png:lay_out",
        "one plane, grey or RGB, with or without alpha; booleans, 8 and 16-bit unsigned integers; spacing of y "
        "and x to a micrometre",
        "bigimg",
    ),
    Exporter(
        "jpeg", "JPEG", (".jpg", ".jpeg"), "bigimg.exporters.jpeg:lay_out",
        "one plane, grey or RGB; 8 bits, with loss",
        "pyvips",
    ),
)  # fmt: skip
"""The formats that bigimg writes."""


def find_exporter(target: str | os.PathLike[str]) -> Exporter:
    """Return the format that the name of ``target`` means.

    Raises
    ------
    UsageError
        No format ends so; the message lists those that are known.
    """
    lower = os.path.basename(os.fspath(target)).lower()
    fitting = [
        (len(ending), i) for i, e in enumerate(EXPORTERS) for ending in e.extensions if lower.endswith(ending)
    ]
    if not fitting:
        known = " ".join(ending for e in EXPORTERS for ending in e.extensions)
        if lower.endswith(".zarr"):
            raise UsageError(
                f"{target}: a store is written by bigimg convert, not export; export ends in {known}"
            )
        raise UsageError(f"{target}: no format that bigimg writes ends so; use one of {known}")
    return EXPORTERS[max(fitting)[1]]


def load(exporter: Exporter) -> LayOut:
    """Return the function of ``exporter``, its module imported."""
    module, _, function = exporter.function.partition(":")
    return cast("LayOut", getattr(importlib.import_module(module), function))
