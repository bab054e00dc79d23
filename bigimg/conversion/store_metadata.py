"""The end of a pass: statistics, manifest and metadata, the root last."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bigimg.conversion.block import StoredArray
from bigimg.geometry.chunks import is_color
from bigimg.omezarr.manifest import (
    PROVENANCE,
    provenance_documents,
    write_documents,
    write_manifest,
    write_statistics,
)
from bigimg.omezarr.metadata import array_documents, group_documents, image_attributes
from bigimg.omezarr.packed import stem
from bigimg.planning.plan import ConversionPlan
from bigimg.pyramid.partial import Accumulator, first_value
from bigimg.types import Array, Json
from bigimg.version import __version__

SHOWN = (0.001, 0.999)
"""Share of the pixels below each end of the display window, so that a few hot pixels do not darken the rest."""


def write_metadata(
    root: Path,
    plan: ConversionPlan,
    arrays: Mapping[int, StoredArray],
    records: Mapping[int, Array],
    counted: Accumulator,
    digest: Json,
) -> dict[str, Json]:
    """Write everything of the store but its pixels, and return the statistics; ``digest`` is that of the source."""
    spec = plan.spec
    kept = {level - plan.first: array for level, array in arrays.items() if array.kept}
    for array in kept.values():
        write_documents(array.folder, array_documents(array.layout, spec.dims))
    statistics = counted.result([c.name for c in spec.channels])
    write_statistics(root, statistics, counted.histogram, first_value(spec.dtype), plan.zarr)
    # The name of a file often tells who was imaged.
    provenance: dict[str, Json] = {
        "source": Path(plan.source).name if plan.keep_metadata else None,
        "digest": digest,
        "request": plan.request,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "bigimg": __version__,
        "system": platform.platform(),
    }
    write_documents(root / PROVENANCE, provenance_documents(provenance, plan.zarr))
    name = stem(plan.target)
    attributes = image_attributes(
        spec, [p.level for p in plan.stored], method=plan.method, name=name,
        windows=_windows(plan, counted, statistics), active=plan.shown.active,
        label=plan.shown.label, version=plan.ome_version, finer=plan.finer,
    )  # fmt: skip
    documents = group_documents(attributes, plan.zarr)
    write_manifest(root, {number: records[number + plan.first] for number in kept}, documents)
    write_documents(root, documents)
    return statistics


def _windows(
    plan: ConversionPlan, counted: Accumulator, statistics: Mapping[str, Json]
) -> list[tuple[float, float]] | None:
    """Return a display window for each channel, in stored values; None means the range of the type."""
    asked = plan.shown.windows
    if asked and None not in asked:
        return [window for window in asked if window is not None]
    found = _windows_of_pixels(plan, counted, statistics)
    if not asked:
        return found
    dtype = plan.spec.dtype
    otherwise = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (0, 1)
    return [window or limits for window, limits in zip(asked, found or [otherwise] * len(asked), strict=True)]


def _windows_of_pixels(
    plan: ConversionPlan, counted: Accumulator, statistics: Mapping[str, Json]
) -> list[tuple[float, float]] | None:
    if counted.histogram is not None:
        if is_color(plan.spec) and plan.spec.dtype.itemsize == 1:
            return None  # a picture in colour needs no window
        return [_shown(row, first_value(plan.spec.dtype)) for row in counted.histogram]
    channels = statistics["channels"]
    assert isinstance(channels, list)
    limits = [(c["min"], c["max"]) for c in channels if isinstance(c, dict)]
    if any(not isinstance(n, int | float) for pair in limits for n in pair):
        return None
    return [(float(str(low)), float(str(high))) for low, high in limits]


def _shown(histogram: Array, first: int) -> tuple[float, float]:
    """Return the values between which all but a few pixels of a dense histogram lie."""
    below = np.cumsum(histogram)
    low, high = (int(np.searchsorted(below, share * below[-1])) + first for share in SHOWN)
    return float(low), float(max(high, low + 1))
