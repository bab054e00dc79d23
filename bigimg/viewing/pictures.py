"""Planes as 8-bit pictures in files, alone and in true aspect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimg.conversion.target import checked_target
from bigimg.errors import UsageError
from bigimg.exporters.staging import staged
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.orientation import PLANES, nearest_axes
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.ops.slices import plane as plane_of
from bigimg.ops.thumbnails import flat_level, shrunk
from bigimg.types import Array
from bigimg.viewing.colours import blended, id_colours, is_picture, lights_of, picture_of_colours, stretched

if TYPE_CHECKING:
    import xarray

MOST = 65500
"""Pixels a side of a picture at most: no plane of an image is meant to be larger, nor do viewers show it."""


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
    write_png(to_display(shrunk(image, most), like=image), target, overwrite=overwrite)


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
    write_png(to_display(shrunk(cut, MOST), like=cut), target, overwrite=overwrite)


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


def to_display(
    picture: Array | xarray.DataArray,
    window: tuple[float, float] | None = None,
    *,
    like: xarray.DataArray | None = None,
) -> Array:
    """Return ``picture`` as uint8: grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4).

    Parameters
    ----------
    picture : ndarray of shape (h, w) or (h, w, c), or DataArray of a plane
    window : (float, float), optional
        Values that become black and white. By default that of the file; else the percentiles 0.1 and 99.9 of
        what is shown; pixels of 8 bits stay as they are, booleans become black and white, and each id of a
        label image has a colour, as in :func:`bigimg.show`.
    like : DataArray, optional
        Whose names, colours and window hold for an ndarray.

    Raises
    ------
    UsageError
        The window is empty.
    """
    if not isinstance(picture, np.ndarray):
        like = picture
        names = [name for name in picture.dims if name != "c"]
        picture = picture.transpose(*names, ...).to_numpy()
    channels = () if like is None else coordinates.channels_of(like)
    if window is None and like is not None and like.attrs.get("window") and not like.attrs.get("scaling"):
        window = tuple(like.attrs["window"])
    pixels: Array = picture[..., 0] if picture.ndim == 3 and picture.shape[-1] == 1 else picture
    if like is not None and like.attrs.get("kind") == "mask":  # a label stores true and false as 1 and 0
        pixels = pixels != 0
    if pixels.ndim == 2:
        coloured = window is None and like is not None and like.attrs.get("kind") == "labels"
        return id_colours(pixels) if coloured else stretched(pixels, window)
    count = pixels.shape[-1]
    if is_picture(channels, count):
        color = stretched(pixels[..., :3], window)
        return picture_of_colours(color, None if count == 3 else pixels[..., 3])
    if [c.name for c in channels] == ["C", "M", "Y", "K"] and pixels.dtype == np.uint8:
        black = 255 - pixels[..., 3:].astype(np.uint16)
        return ((255 - pixels[..., :3].astype(np.uint16)) * black // 255).astype(np.uint8)
    return blended(pixels, lights_of(channels, count), [window] * count)


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
    Image.init()
    format_ = Image.registered_extensions().get(path.suffix.lower(), "PNG" if not path.suffix else None)
    if format_ is None or format_ not in Image.SAVE:
        raise UsageError(f"{path}: no picture format ends in {path.suffix}; use .png, .jpg or .tif")
    image = Image.fromarray(np.ascontiguousarray(picture))
    if format_ == "JPEG" and image.mode == "RGBA":
        image = image.convert("RGB")
    with staged([checked_target(path, overwrite=overwrite, file=True)], overwrite=overwrite) as (part,):
        image.save(part, format_)
