"""What an image is, at a glance in a notebook: a thumbnail, where it lies, its channels and how its values spread.

Of a pyramid the smallest level is read once, and nothing else: the counts are those that the store keeps, or of
that level.
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import short_unit
from bigimg.geometry.orientation import axis_codes
from bigimg.opening import coordinates
from bigimg.opening.open import Source
from bigimg.ops.statistics.histograms import histogram
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.planning.memory import human_bytes
from bigimg.types import Array
from bigimg.viewing.colours import GREYS, lights_of, stretched
from bigimg.viewing.contrast import stored_windows
from bigimg.viewing.levels import Levels, levels_of
from bigimg.viewing.painting import paint
from bigimg.viewing.planes import Picture, cut_of, picture_of

if TYPE_CHECKING:
    import xarray

READ_BYTES = 64 << 20
"""An image without levels is read for its preview up to here; beyond it the remedy is shown instead."""
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


def preview(img: Source) -> Preview:
    """Return a thumbnail, geometry, channels and histogram of ``img``, as a notebook shows it.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens

    Raises
    ------
    MissingChunk, CorruptChunk, InputError
        The smallest level cannot be read.
    """
    levels = levels_of(img)
    base = levels.base
    rows = _rows(base, levels)
    text = " · ".join(f"{name} {value}" for name, value in rows)
    small = len(levels) - 1
    last = levels[small]
    if last.nbytes > READ_BYTES:
        picture = (
            f"<p style='max-width:16em;margin:0'>{human_bytes(last.nbytes)} without a smaller level: "
            "make a pyramid with <code>bigimg convert</code>, "
            "and a preview costs a moment.</p>"
        )
        graph = _graph(_stored(base), base)
    else:
        shown = picture_of(levels, cut_of(base, None), pixels=(SIDE, SIDE), level=small)
        picture = _thumbnail(shown, levels)
        graph = _graph(_stored(base) or _counts(shown), base)
    table = "".join(
        f"<tr><th style='text-align:left;vertical-align:top;padding-right:1em'>{html.escape(name)}</th>"
        f"<td style='text-align:left;max-width:26em;overflow-wrap:anywhere'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    page = (
        "<div style='display:flex;gap:1.5em;align-items:flex-start;flex-wrap:wrap'>"
        f"{picture}<div><table>{table}</table>{_swatches(base)}</div>{graph}</div>"
    )
    return Preview(text, page)


def _rows(base: xarray.DataArray, levels: Levels) -> list[tuple[str, str]]:
    """Return names and values of what there is to say; no pixel is read."""
    kind = str(base.attrs.get("kind", "image"))
    measured = [str(name) for name in base.dims if name != "c"]
    rows = [
        (
            "image",
            f"{', '.join(f'{name} {n}' for name, n in base.sizes.items())}, {base.dtype}, "
            f"{human_bytes(base.nbytes)}" + ("" if kind == "image" else f", {kind}"),
        )
    ]
    for title, of in (("spacing", coordinates.spacing), ("origin", coordinates.origin)):
        said = [
            f"{name} {of(base, name):.6g} {short_unit(coordinates.units(base, name))}" for name in measured
        ]
        rows.append((title, ", ".join(said)))
    rows.append(
        (
            "extent",
            ", ".join(
                f"{name} {abs(coordinates.spacing(base, name)) * base.sizes[name]:.6g} "
                f"{short_unit(coordinates.units(base, name))}"
                for name in measured
            ),
        )
    )
    if (world := coordinates.world_of(base)) is not None:
        rows.append(
            ("orientation", "".join(axis_codes(world @ index_to_world(coordinates.axes_of(base), None))))
        )
    rows.append(("levels", str(len(levels))))
    if base.attrs.get("source"):
        rows.append(("source", str(base.attrs["source"])))
    return rows


def _thumbnail(picture: Picture, levels: Levels) -> str:
    """Return the smallest level as an ``img`` element with its pixels inside."""
    from PIL import Image

    painted = paint(picture, stored_windows(levels.base))
    values = painted.values
    if values.ndim == 2:
        values = stretched(values, (painted.options["vmin"], painted.options["vmax"]))
    left, right, bottom, top = picture.frame
    ratio = abs(bottom - top) / abs(right - left)
    width, height = (SIDE, max(1, round(SIDE * ratio))) if ratio < 1 else (max(1, round(SIDE / ratio)), SIDE)
    file = io.BytesIO()
    made = Image.fromarray(np.ascontiguousarray(values))
    made.thumbnail((SIDE, SIDE))  # never larger than it was
    made.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f"<img alt='thumbnail' width='{width}' height='{height}' style='border:1px solid #888' "
        f"src='data:image/png;base64,{data}'>"
    )


def _swatches(base: xarray.DataArray) -> str:
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


def _stored(base: xarray.DataArray) -> tuple[Array, float, float] | None:
    """Return counts (c, bin) and their ends as the store keeps them; None when it keeps none."""
    kept = kept_statistics(base)
    if kept is None or kept.counts is None:
        return None
    counts = histogram(base, bins=BINS)
    rows = counts.transpose("c", "bin").values if "c" in counts.dims else counts.values[None]
    return rows, float(counts["bin_left"][0]), float(counts["bin_right"][-1])


def _counts(picture: Picture) -> tuple[Array, float, float] | None:
    """Return the same of the plane that is shown."""
    pixels = picture.pixels
    planes: Any = (pixels[..., None] if pixels.ndim == 2 else pixels).astype(
        np.float64 if pixels.dtype.kind == "f" else np.int64
    )
    real = planes[np.isfinite(planes)]
    if not real.size:
        return None
    low, high = float(real.min()), float(real.max())
    high = high if high > low else low + 1
    rows = [
        np.histogram(planes[..., c][np.isfinite(planes[..., c])], BINS, (low, high))[0]
        for c in range(planes.shape[-1])
    ]
    return np.stack(rows), low, high


def _graph(counted: tuple[Array, float, float] | None, base: xarray.DataArray) -> str:
    """Return the counts as lines in an ``svg`` element, on a scale of square roots."""
    if counted is None or base.attrs.get("kind") == "labels":
        return ""
    rows, low, high = counted
    channels = coordinates.channels_of(base)
    colors = lights_of(channels, len(rows))
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
