"""The table of formats that bigimg writes, and the choice of one by the name of a target.

The table holds names only, so ``bigimg formats`` lists it without the import of any library.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigimg.errors import UsageError

if TYPE_CHECKING:
    from bigimg.exporters.layout import LayoutFunction


@dataclass(frozen=True, slots=True)
class Exporter:
    """A kind of file that an image can be written to."""

    name: str
    """Short and lower case: ``nifti``."""
    title: str
    """Name for a user: ``NIfTI-1, NIfTI-2``."""
    extensions: tuple[str, ...]
    """Endings of a target in lower case, with the dot; the longest that matches decides."""
    function: str
    """``module:function`` of a :class:`~bigimg.exporters.layout.LayoutFunction`, imported on first use."""
    holds: str
    """Axes, types and geometry that the format can hold, for a user."""
    library: str
    """The package that implements the format."""
    keeps_scaling: bool = False
    """Whether it holds slope and intercept: then stored values are written, otherwise real values."""
    options: tuple[str, ...] = ()
    """Options of :func:`bigimg.export` that belong to the format."""


EXPORTERS = (
    Exporter(
        "nifti", "NIfTI-1, NIfTI-2", (".nii", ".nii.gz"), "bigimg.exporters.nifti:lay_out",
        "t c z y x; booleans (as 0 and 1), 8 to 64-bit integers, float32, float64; RGB of 8 bits; affine, "
        "spacing, units, slope, labels",
        "nibabel",
        keeps_scaling=True, options=("version", "keep_metadata"),
    ),
    Exporter(
        "metaimage", "MetaImage", (".mha", ".mhd"), "bigimg.exporters.itk:lay_out_metaimage",
        "t c z y x; booleans (as 0 and 1), 8 to 64-bit integers, float32, float64; spacing, origin, direction, "
        "in millimetres",
        "bigimg",
    ),
    Exporter(
        "nrrd", "NRRD", (".nrrd", ".nhdr"), "bigimg.exporters.itk:lay_out_nrrd",
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
        "tifffile", options=("compression",),
    ),
    Exporter(
        "tiff", "TIFF, BigTIFF", (".tif", ".tiff", ".btf"), "bigimg.exporters.tiff:lay_out",
        "t c z y x; integers, floats; levels, spacing of y and x",
        "tifffile", options=("compression",),
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
        "pyvips", options=("quality",),
    ),
)  # fmt: skip
"""The formats that bigimg writes."""


OWNERS = {"compression": "TIFF", "quality": "JPEG", "version": "NIfTI", "keep_metadata": "NIfTI"}
"""The format to which an option belongs, for a user."""


def find_exporter(target: str | os.PathLike[str]) -> Exporter:
    """Return the format that the ending of ``target`` stands for.

    Raises
    ------
    UsageError
        No format has this ending; the message lists all endings.
    """
    lower = os.path.basename(os.fspath(target)).lower()
    by_ending = {ending: exporter for exporter in EXPORTERS for ending in exporter.extensions}
    if matches := list(filter(lower.endswith, by_ending)):
        return by_ending[max(matches, key=len)]
    known = " ".join(by_ending)
    if lower.endswith(".zarr"):
        raise UsageError(f"{target}: export writes no stores, bigimg convert does; export ends in {known}")
    raise UsageError(f"{target}: no format that bigimg writes has this ending; use one of {known}")


def load(exporter: Exporter) -> LayoutFunction:
    """Import the module of ``exporter`` and return its function."""
    module, _, function = exporter.function.partition(":")
    found: LayoutFunction = getattr(importlib.import_module(module), function)
    return found
