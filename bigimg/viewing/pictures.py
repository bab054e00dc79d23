"""Planes as 8-bit pictures in files, alone and in true aspect."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimg.conversion.target import checked_target
from bigimg.errors import UsageError
from bigimg.exporters.formats import find_exporter
from bigimg.exporters.run import write_out
from bigimg.exporters.staging import staged
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.orientation import PLANES, nearest_axes
from bigimg.geometry.region import full
from bigimg.lazy.dask_compute import computed
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.ops.slices import plane as plane_of
from bigimg.ops.thumbnails import flat_level, shrunk
from bigimg.planning.room import DECODERS_BYTES, room
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import Array
from bigimg.viewing.display import Shown, display_of

if TYPE_CHECKING:
    import xarray

MOST = 65500
"""Pixels a side of a picture at most: no plane of an image is meant to be larger, nor do viewers show it."""

JPEG = (".jpg", ".jpeg")
STREAMED = (".png", *JPEG, ".tif", ".tiff")
"""Endings of pictures that are written band by band; Pillow writes the others, of a picture in memory."""
HELD_BYTES = 32 << 20
"""A plane is read before it is looked at and written, up to here: percentiles and the file are two passes else."""


def thumbnail_picture(
    source: Source,
    target: str | os.PathLike[str],
    *,
    most: int = 512,
    memory: Memory = None,
    series: int | str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a small picture of ``source`` to ``target``; its ending names the format.

    Parameters
    ----------
    source : path or anything that opens
    target : path
    most : int
        Pixels of the longer side at most.
    memory, series :
        As in :func:`bigimg.open`.
    overwrite : bool
        Let the picture take the place of another file, once it is whole.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError
    """
    checked_target(target, source, overwrite=overwrite, file=True)
    if most < 1:
        raise UsageError(f"max {most}: a thumbnail has at least 1 pixel a side")
    image = flat_level(source, most, memory=memory, series=series)
    _write(shrunk(image, most), target, source, memory=memory, overwrite=overwrite)


def slice_picture(
    source: Source,
    target: str | os.PathLike[str],
    *,
    plane: str = "z",
    at: float | None = None,
    physical: bool = False,
    level: int | None = None,
    memory: Memory = None,
    series: int | str | None = None,
    overwrite: bool = False,
) -> None:
    """Write one plane of ``source`` to ``target``, in true aspect.

    Parameters
    ----------
    source : path or anything that opens
    target : path
    plane : str
        ``axial``, ``coronal``, ``sagittal`` or the name of the axis that is cut.
    at : float, optional
        Index of the plane, or with ``physical`` its position; the middle by default.
    level, memory, series :
        As in :func:`bigimg.open`.
    overwrite : bool
        Let the picture take the place of another file, once it is whole.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError
    """
    checked_target(target, source, overwrite=overwrite, file=True)
    image = open_image(source, level=level or 0, memory=memory, series=series)
    if at is not None and not physical and at != int(at):
        raise UsageError(f"at={at}: an index is a whole number; for a position add physical=True")
    index = None if at is None or physical else int(at)
    # A picture of an image without z is the image: "z" is what the command asks for by default.
    cut = image if plane == "z" and at is None and "z" not in image.dims else None
    cut = plane_of(image, plane, index=index, position=at if physical else None) if cut is None else cut
    cut = cut.isel(t=cut.sizes["t"] // 2) if "t" in cut.dims else cut
    cut = upright(cut) if plane in PLANES else cut
    _write(shrunk(cut, MOST), target, source, memory=memory, overwrite=overwrite)


def upright(plane: xarray.DataArray) -> xarray.DataArray:
    """Return a plane of a body as people look at it: up is superior or anterior, right is the body's right.

    Left and right are the body's own, as nilearn and nibabel show them. Of an image that does not say how it
    lies, nothing is turned.
    """
    world = coordinates.world_of(plane)
    if world is None:
        return plane
    affine = world @ index_to_world(coordinates.axes_of(plane), None)
    nearest = dict(zip("xyz", nearest_axes(affine), strict=True))
    down, across = sorted((str(name) for name in plane.dims if name in nearest), key=lambda n: -nearest[n])
    flip = {
        name: slice(None, None, -1)
        for name, forward in ((down, False), (across, True))
        if (affine[nearest[name], "xyz".index(name)] > 0) != forward
    }
    return plane.isel(flip).transpose(..., down, across)


def _write(
    plane: xarray.DataArray,
    target: str | os.PathLike[str],
    source: Source,
    *,
    memory: Memory,
    overwrite: bool,
) -> None:
    """Write a lazy plane as a picture, band by band where the format can be written so."""
    path, here = Path(target), room(memory)
    ending = path.suffix.lower() or ".png"
    if ending not in STREAMED:
        _pillows(path)
    dims = dict(zip(plane.dims[:2], "yx", strict=True))
    like, beside = plane, [name for name in plane.coords if name not in plane.dims and name != "color"]
    plane = plane.drop_vars(beside).rename(dims)
    if plane.nbytes <= min(HELD_BYTES, here.free // 4):  # read once, and on all processors
        plane = computed(plane)
    display = display_of(plane, like, None)
    if ending in JPEG:
        display = replace(display, alpha=False)
    shown = Shown(read_labelled(plane), display)
    if ending in STREAMED:
        exporter = find_exporter(f"picture{ending}")
        write_out(
            [shown],
            target,
            exporter,
            sources=[source],
            memory=memory,
            overwrite=overwrite,
            progress=False,
            libraries=DECODERS_BYTES,
        )
        return
    size = shown.spec.nbytes * (1 + shown.working)
    here.take(
        shown.source,
        {
            "picture": size + 2 * shown.spec.nbytes,
            "reading": shown.access.fixed_bytes + shown.access.read_bytes,
        },
        "write .png, .jpg or .tif, which go band by band",
    )
    pixels = shown.read(full(shown.spec.shape))
    write_png(np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels, path, overwrite=overwrite)


def write_png(picture: Array, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a uint8 picture to ``target``, whole or not at all; PNG unless the ending names another format.

    Raises
    ------
    TargetExistsError, OutputError
        Something is there already, or it cannot be written there.
    UsageError
        Nothing is known by that ending.
    """
    from PIL import Image

    path = Path(target)
    format_ = _pillows(path)
    image = Image.fromarray(np.ascontiguousarray(picture))
    if format_ == "JPEG" and image.mode == "RGBA":
        image = image.convert("RGB")
    with staged([checked_target(path, overwrite=overwrite, file=True)], overwrite=overwrite) as (part,):
        image.save(part, format_)


def _pillows(path: Path) -> str:
    """Return Pillow's name for the format that ``path`` ends in."""
    from PIL import Image

    Image.init()
    found = Image.registered_extensions().get(path.suffix.lower(), "PNG" if not path.suffix else None)
    if found is None or found not in Image.SAVE:
        raise UsageError(f"{path}: no picture format ends in {path.suffix}; use .png, .jpg or .tif")
    return found
