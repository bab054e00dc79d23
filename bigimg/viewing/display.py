"""Pixels as 8-bit colours: the conversion is chosen once for a plane, then applied to any part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bigimg.geometry.axes import Axis
from bigimg.geometry.colours import is_picture, lights_of
from bigimg.geometry.holes import holes_in
from bigimg.geometry.padding import is_padding
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB, RGBA, Channel
from bigimg.lazy.dask_compute import computed
from bigimg.opening import coordinates
from bigimg.readers.arrays.array import missing_of
from bigimg.types import Array, Padding, Region
from bigimg.viewing.colours import (
    HIGH,
    LOW,
    Window,
    blended,
    id_colours,
    is_inks,
    most_opaque,
    percentiles,
    stretched,
    with_alpha,
)

if TYPE_CHECKING:
    import xarray

    from bigimg.reader import Reader

CONVERTED = 1 << 16
"""Pixels that are converted at a time: the conversion takes several 64-bit numbers for each value."""
CONVERTING_BYTES = 12_000_000
"""Memory of the conversion of that many pixels with four channels."""


@dataclass(frozen=True, slots=True)
class Display:
    """How the values of a plane become 8 bits: grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4)."""

    look: str
    """``grey``, ``ids``, ``colours``, ``inks`` or ``lights``."""
    windows: tuple[Window | None, ...] = (None,)
    """Values that become black and white: one window, or for lights one for each channel; None keeps 8 bits."""
    lights: tuple[str, ...] = ()
    mask: bool = False
    """Whether the integers are true and false."""
    alpha: bool = False
    """Whether the fourth channel is the opacity."""

    def of(self, pixels: Array) -> Array:
        """Return ``pixels`` (h, w) or (h, w, c) as uint8."""
        if pixels.ndim == 3 and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        if self.mask:  # a mask may be stored as 0 and 1
            pixels = pixels != 0
        if self.look == "ids":
            return id_colours(pixels)
        if self.look == "grey":
            return stretched(pixels, self.windows[0])
        if self.look == "colours":
            colours = stretched(pixels[..., :3], self.windows[0])
            return with_alpha(colours, pixels[..., 3]) if self.alpha else colours
        if self.look == "inks":
            paper = 255 - stretched(pixels, self.windows[0]).astype(np.uint16)
            return (paper[..., :3] * paper[..., 3:] // 255).astype(np.uint8)
        return blended(pixels, self.lights, self.windows)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Channels of the picture; none if it is grey."""
        return () if self.look == "grey" else RGBA if self.alpha else RGB


def display_of(
    plane: xarray.DataArray,
    like: xarray.DataArray,
    window: Window | None = None,
    padding: Padding | None = None,
) -> Display:
    """Return how ``plane`` is shown. If percentiles are needed, the pixels are read, but not stored.

    Parameters
    ----------
    plane : DataArray with two axes, or three with the channels last
    like : DataArray
        The image whose channels and attrs are used.
    window : (float, float), optional
        Values that become black and white. By default the window of the file, else the percentiles 0.1 and 99.9 of
        the pixels. Pixels of 8 bits stay as they are, booleans become black and white, and each id of a label image
        has a colour, as in :func:`bigimg.show`.
    padding : (number, number), optional
        First and last value that is no measurement; percentiles are of the others.
    """
    attrs, channels = like.attrs, coordinates.channels_of(like)
    count = plane.shape[-1] if plane.ndim == 3 else 1
    mask = attrs.get("kind") == "mask"
    if window is None and attrs.get("window") and not attrs.get("scaling"):
        window = tuple(attrs["window"])
    plain = window is None and (mask or plane.dtype in (np.uint8, np.bool_))
    if count == 1:
        if window is None and attrs.get("kind") == "labels":
            return Display("ids")
        return Display("grey", (None if plain else window or _ends(plane, padding),), mask=mask)
    if is_picture(channels, count):
        alpha = count == 4 and not mask and _has_alpha(plane[..., 3])
        return Display(
            "colours", (None if plain else window or _ends(plane[..., :3], padding),), mask=mask, alpha=alpha
        )
    if is_inks(channels):  # from no ink to as much as the type holds, whatever the picture has of it
        return Display("inks", (None if plain else window or (0, most_opaque(plane.dtype)),), mask=mask)
    windows = [None if plain else window or _ends(plane[..., i], padding) for i in range(count)]
    return Display("lights", tuple(windows), lights_of(channels, count), mask)


class DisplayReader:
    """A reader of the 8-bit colours of a plane (y, x) or (c, y, x) that another reader gives."""

    def __init__(self, reader: Reader, display: Display) -> None:
        self.reader, self.display = reader, display
        self.source = reader.source
        spec = reader.spec
        channels = display.channels
        count = (len(channels),) if channels else ()
        self.spec = replace(
            spec, axes=(*(Axis("c", n) for n in count), *spec.axes[-2:]), chunks=(*count, *spec.chunks[-2:]),
            dtype=np.dtype(np.uint8), channels=channels, kind="image", scaling=None, window=None, meta={}, private={},
            missing=(),
        )  # fmt: skip
        order = [name for name in reader.access.order if name != "c"]
        self.access = replace(
            reader.access,
            order=(*order, "c") if channels else tuple(order),
            read_bytes=reader.access.read_bytes + CONVERTING_BYTES,
        )
        self.working = spec.nbytes / self.spec.nbytes

    def read(self, region: Region) -> Array:
        """Return the colours of ``region``."""
        pixels = self.reader.read((*full(self.reader.spec.shape[:-2]), *region[-2:]))
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
        channels = self.display.channels
        out = np.empty((*pixels.shape[:2], *([len(channels)] if channels else [])), np.uint8)
        step = max(1, CONVERTED // pixels.shape[1])
        for top in range(0, len(pixels), step):
            out[top : top + step] = self.display.of(pixels[top : top + step])
        return np.moveaxis(out, -1, 0)[region[0]] if channels else out

    def close(self) -> None:
        """Close the other reader."""
        self.reader.close()


def _ends(plane: xarray.DataArray, padding: Padding | None) -> Window:
    """Return the percentiles 0.1 and 99.9 of what is measured in a plane; of a lazy plane from its histogram."""
    if plane.chunks is None:
        pixels = plane.to_numpy()
        holes = holes_in(missing_of(plane, [str(name) for name in plane.dims]), full(plane.shape))
        return percentiles(pixels if holes is None else pixels[~holes], padding)
    from bigimg.ops.statistics.percentiles import of_all

    numbers = plane.where(np.isfinite(plane)) if plane.dtype.kind == "f" else plane
    if padding is not None:
        numbers = numbers.where(~is_padding(plane, padding))
    low, high = np.asarray(computed(of_all(numbers, (LOW, HIGH)))).tolist()
    return (low, high) if math.isfinite(low) else (0.0, 1.0)


def _has_alpha(values: xarray.DataArray) -> bool:
    """Return whether a fourth channel is an opacity.

    Floats from 0 to 1 are one, as in matplotlib, and integers from 0 on. Booleans and other floats are not, because
    it is not known which value is opaque.
    """
    if values.dtype.kind in "bu":  # the type alone decides
        return values.dtype.kind == "u"
    low, high = (float(computed(end)) for end in (values.min(), values.max()))
    return low >= 0 and high <= most_opaque(values.dtype)
