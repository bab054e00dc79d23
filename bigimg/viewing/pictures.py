"""Planes written as 8-bit pictures in true aspect, without axes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image

from bigimg.conversion.target import checked_target
from bigimg.errors import UsageError
from bigimg.exporters.formats import find_exporter
from bigimg.exporters.run import write_out
from bigimg.exporters.staging import staged
from bigimg.geometry.orientation import checked_convention
from bigimg.geometry.region import full
from bigimg.lazy.dask_compute import computed
from bigimg.lazy.node_of_array import padding_of
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.ops.slices import plane as plane_of
from bigimg.ops.thumbnails import flat_level, shrunk
from bigimg.ops.upright import upright
from bigimg.planning.room import DECODERS_BYTES, room
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import FromSource, Opening
from bigimg.viewing.display import DisplayReader, display_of

MOST = 65500
"""The most pixels a side of a picture: viewers do not show larger ones."""

JPEG = (".jpg", ".jpeg")
STREAMED = (".png", *JPEG, ".tif", ".tiff")
"""Endings of pictures that are written band by band; Pillow writes the others from memory."""
DRAWN = ", or draw it with figure=True"
HELD_BYTES = 32 << 20
"""The largest plane that is read once into memory; of a larger one percentiles and file are two passes."""


def plane_picture(
    source: Source,
    target: str | os.PathLike[str],
    *,
    plane: str | None = None,
    index: int | None = None,
    position: float | None = None,
    level: int | None = None,
    most: int | None = None,
    convention: str | None = None,
    memory: Memory = None,
    levels: FromSource | None = None,
    overwrite: bool = False,
    **opening: Unpack[Opening],
) -> None:
    """Write one plane of ``source`` to ``target`` in true aspect; its ending names the format, PNG without one.

    Parameters
    ----------
    source : path or anything that opens
    target : path
    plane : str, optional
        ``axial``, ``coronal``, ``sagittal`` or the axis to cut; z by default.
    index, position : int or float, optional
        Of the plane; the middle by default.
    most : int, optional
        Pixels of the longer side at most: a thumbnail. Without ``plane`` it is made of the level that fits.
    convention : {"neurological", "radiological"}, optional
        As in :func:`bigimg.show`.
    level, memory, levels, **opening :
        As in :func:`bigimg.open`.
    overwrite : bool
        Replace an existing file once the picture is whole.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError
    """
    chosen = None if convention is None else checked_convention(convention)
    ending = Path(target).suffix.lower() or ".png"
    whole = None
    if most is not None and plane is None:
        side = checked_side(most)
        image, whole = flat_level(source, side, chosen, memory=memory, levels=levels, **opening)
    else:
        image = open_image(source, level=level or 0, memory=memory, levels=levels, **opening)
        # "z" is the default of the command; an image without z is written as it is.
        if plane not in ("z", None) or "z" in image.dims or not index is position is None:
            image = plane_of(image, plane or "z", index=index, position=position)
        image = image.isel(t=image.sizes["t"] // 2) if "t" in image.dims else image
        image = upright(image, chosen)
    checked_target(target, source, image, overwrite=overwrite, file=True)
    pillow = None if ending in STREAMED else _pillow_format(target, ending)
    like = shrunk(image, most or MOST, whole)
    dims = dict(zip(like.dims[:2], "yx", strict=True))
    scalars = [name for name in like.coords if name not in like.dims and name != "color"]
    flat = like.drop_vars(scalars).rename(dims)
    if flat.nbytes <= min(HELD_BYTES, room(memory).free // 4):  # read it once, on all processors
        flat = computed(flat)
    display = display_of(flat, like, padding=padding_of(like))
    if ending in JPEG:
        display = replace(display, alpha=False)
    reader = DisplayReader(read_labelled(flat), display)
    if pillow is None:
        write_out(
            [reader], target, find_exporter(f"picture{ending}"), sources=[source], memory=memory,
            overwrite=overwrite, progress=False, libraries=DECODERS_BYTES,
        )  # fmt: skip
        return
    needed = {
        "picture": reader.spec.nbytes * (3 + reader.working),
        "reading": reader.access.fixed_bytes + reader.access.read_bytes,
    }
    room(memory).take(reader.source, needed, "write .png, .jpg or .tif, which go band by band")
    pixels = reader.read(full(reader.spec.shape))
    pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    with staged([Path(target)], overwrite=overwrite) as (part,):
        Image.fromarray(np.ascontiguousarray(pixels)).save(part, pillow)


def _pillow_format(target: str | os.PathLike[str], ending: str) -> str:
    """Return Pillow's name of the format that ``ending`` means."""
    Image.init()
    found = Image.registered_extensions().get(ending)
    if found not in Image.SAVE:
        raise UsageError(
            f"{target}: no picture format ends in {ending}; use .png, .jpg or .tif{DRAWN if ending == '.svg' else ''}"
        )
    return found


def checked_side(most: int) -> int:
    """Return ``most``, the pixels of the longer side of a thumbnail.

    Raises
    ------
    UsageError
        It is less than 1.
    """
    if most < 1:
        raise UsageError(f"max {most}: a thumbnail has at least 1 pixel a side")
    return most
