"""``img.bigimg.preview()``: a thumbnail, geometry, channels and histogram of an image for a notebook.

Only the smallest level is read, once: the histogram is the stored one, or that of this level.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from bigimg.geometry.axes import short_unit
from bigimg.geometry.colours import lights_of
from bigimg.geometry.orientation import axis_codes
from bigimg.lazy.dask_compute import computed
from bigimg.opening import coordinates
from bigimg.opening.open import Source, from_array
from bigimg.ops.levels import levels_of
from bigimg.ops.statistics.histograms import histogram
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.planning.memory import human_bytes
from bigimg.types import Array, Opening
from bigimg.viewing.colours import GREYS, stretched
from bigimg.viewing.imshow import paint, stored_windows
from bigimg.viewing.levels import Levels
from bigimg.viewing.planes import Picture, cut_of, picture_of

if TYPE_CHECKING:
    import xarray

READ_BYTES = 64 << 20
"""The largest image without levels that is read; for a larger one the preview says how to make levels."""
SIDE = 256
"""Pixels of the longer side of the thumbnail."""
BINS = 64


@dataclass(frozen=True)
class Preview:
    """HTML for a notebook, and a line of text for elsewhere."""

    text: str
    page: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.page


def preview(img: Source, **opening: Unpack[Opening]) -> Preview:
    """Return a thumbnail, geometry, channels and histogram of ``img`` for a notebook.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    **opening
        As in :func:`bigimg.open`.

    Raises
    ------
    MissingChunk, CorruptChunk, InputError
        The smallest level cannot be read.
    """
    levels = levels_of(img, **opening)
    base = levels.base
    rows = _rows(base, levels)
    text = " · ".join(f"{name} {value}" for name, value in rows)
    small = len(levels) - 1
    last = levels[small]
    if last.nbytes > READ_BYTES:
        thumbnail = (
            f"<p style='max-width:16em;margin:0'>{human_bytes(last.nbytes)} without a smaller level: "
            "make a pyramid with <code>bigimg convert</code>, and a preview costs a moment.</p>"
        )
        counts = _counts(base, None)
    else:
        picture = picture_of(levels, cut_of(base, None), pixels=(SIDE, SIDE), level=small)
        thumbnail = _thumbnail(picture, levels)
        counts = _counts(base, picture.pixels)
    table = "".join(
        f"<tr><th style='text-align:left;vertical-align:top;padding-right:1em'>{html.escape(name)}</th>"
        f"<td style='text-align:left;max-width:26em;overflow-wrap:anywhere'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    page = (
        "<div style='display:flex;gap:1.5em;align-items:flex-start;flex-wrap:wrap'>"
        f"{thumbnail}<div><table>{table}</table>{_swatches(base)}</div>{_graph(counts, base)}</div>"
    )
    return Preview(text, page)


def _rows(base: xarray.DataArray, levels: Levels) -> list[tuple[str, str]]:
    """Return the names and values of the table; no pixel is read."""

    def along_axes(value: Callable[[str], float]) -> str:
        return ", ".join(
            f"{name} {value(name):.6g} {short_unit(coordinates.units(base, name))}"
            for name in map(str, base.dims)
            if name != "c"
        )

    kind = str(base.attrs.get("kind", "image"))
    sizes = ", ".join(f"{name} {n}" for name, n in base.sizes.items())
    rows = [
        (
            "image",
            f"{sizes}, {base.dtype}, {human_bytes(base.nbytes)}" + (f", {kind}" if kind != "image" else ""),
        ),
        ("spacing", along_axes(lambda name: coordinates.spacing(base, name))),
        ("origin", along_axes(lambda name: coordinates.origin(base, name))),
        ("extent", along_axes(lambda name: abs(coordinates.spacing(base, name)) * base.sizes[name])),
    ]
    if (affine := coordinates.affine_of(base)) is not None:
        rows.append(("orientation", "".join(axis_codes(affine))))
    rows.append(("levels", str(len(levels))))
    if base.attrs.get("source"):
        rows.append(("source", str(base.attrs["source"])))
    return rows


def _thumbnail(picture: Picture, levels: Levels) -> str:
    """Return an ``img`` element that contains the pixels of ``picture``."""
    from PIL import Image

    painted = paint(picture, stored_windows(levels.base))
    values = painted.values
    if values.ndim == 2:
        values = stretched(values, (painted.options["vmin"], painted.options["vmax"]))
    left, right, bottom, top = picture.frame
    ratio = abs(bottom - top) / abs(right - left)
    width, height = (SIDE, max(1, round(SIDE * ratio))) if ratio < 1 else (max(1, round(SIDE / ratio)), SIDE)
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(values))
    image.thumbnail((SIDE, SIDE))  # this never enlarges
    image.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f"<img alt='thumbnail' width='{width}' height='{height}' style='border:1px solid #888' "
        f"src='data:image/png;base64,{data}'>"
    )


def _swatches(base: xarray.DataArray) -> str:
    """Return the colours and names of the channels as a ``div`` element; an empty text without channels."""
    channels = coordinates.channels_of(base)
    if not channels:
        return ""
    colors = lights_of(channels, len(channels))
    boxes = "".join(
        "<span style='overflow-wrap:anywhere;margin-right:1em'>"
        "<span style='display:inline-block;width:.8em;height:.8em;"
        f"border:1px solid #888;background:#{html.escape(color)}'></span> {html.escape(channel.name)}</span>"
        for channel, color in zip(channels, colors, strict=True)
    )
    return f"<div style='margin-top:.5em;max-width:32em'>{boxes}</div>"


def _counts(base: xarray.DataArray, pixels: Array | None) -> xarray.DataArray | None:
    """Return the histogram in the store, else that of the ``pixels`` of a plane; None if there is neither."""
    kept = kept_statistics(base)
    source: Any = base
    if kept is None or kept.counts is None:
        if pixels is None:
            return None
        source = from_array(pixels, dims="yxc"[: pixels.ndim])
    found: xarray.DataArray = computed(histogram(source, bins=BINS))
    return found if "c" in found.dims else found.expand_dims("c")


def _graph(counts: xarray.DataArray | None, base: xarray.DataArray) -> str:
    """Return the square roots of the counts as lines in an ``svg`` element; an empty text without counts."""
    if counts is None or not counts.any() or base.attrs.get("kind") == "labels":
        return ""
    rows, low, high = counts.values, float(counts["bin_left"][0]), float(counts["bin_right"][-1])
    colors = lights_of(coordinates.channels_of(base), len(rows))
    top = max(1.0, float(np.sqrt(rows.max())))
    lines = []
    for row, color in zip(rows, colors, strict=False):
        points = " ".join(
            f"{2 + 216 * i / max(1, len(row) - 1):.1f},{98 - 92 * float(np.sqrt(n)) / top:.1f}"
            for i, n in enumerate(row)
        )
        stroke = "888888" if color in GREYS else color
        lines.append(f"<polyline fill='none' stroke='#{html.escape(stroke)}' points='{points}'/>")
    return (
        "<svg width='220' height='118' role='img'><title>histogram, square root of the counts</title>"
        "<line x1='2' y1='98' x2='218' y2='98' stroke='#888'/>"
        + "".join(lines)
        + f"<text x='2' y='113' font-size='11' fill='#888'>{low:.6g}</text>"
        f"<text x='218' y='113' font-size='11' fill='#888' text-anchor='end'>{high:.6g}</text></svg>"
    )
