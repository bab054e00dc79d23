"""Whether the metadata of a store of ours agrees: levels with one another, statistics with the histogram.

Checksums say that these bytes were written; this says that what was written makes sense. Expected shapes,
spacings and origins are those of :mod:`~bigimg.geometry.levels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from bigimg.errors import BigimgError
from bigimg.geometry.axes import Axis
from bigimg.geometry.levels import Level, plan_levels
from bigimg.omezarr.manifest import GROUP, HISTOGRAM, StoredStatistics, read_statistics
from bigimg.omezarr.metadata import ARRAY, ATTRIBUTES
from bigimg.omezarr.objects import Place
from bigimg.omezarr.open import open_store
from bigimg.omezarr.parse import ArrayMeta
from bigimg.omezarr.store import Store
from bigimg.omezarr.tree import Tree
from bigimg.pyramid.partial import Partial, first_value, histogram_bins, of_histogram
from bigimg.types import Method, Shape, ZarrFormat
from bigimg.verification.objects import Known
from bigimg.verification.report import Finding, Findings

SAME = 1e-9
"""Relative difference that spacings and origins may have: decimal texts are exact, sums of them nearly."""


def method_of(root: Mapping[str, Any] | None) -> Method | None:
    """Return how the levels were made, from the attributes of the image; None when they do not say."""
    block = {} if root is None else root.get("bigimg")
    method = block.get("method") if isinstance(block, Mapping) else None
    known: Method | None = method if method in get_args(Method.__value__) else None
    return known


def check_metadata(tree: Tree, known: Known, found: Findings) -> StoredStatistics | None:
    """Check what documents say of each other; return the statistics when they can be believed."""
    if known.root is None:
        found.note("the metadata of the image is damaged: levels and geometry were not compared with it")
    elif known.documents:  # or opening says once more what was said
        found.add(*_of_levels(tree, known))
    return _statistics(tree.place(""), known, found)


def _of_levels(tree: Tree, known: Known) -> Iterator[Finding]:
    file = ATTRIBUTES[known.zarr]
    try:
        store = open_store(tree)
    except BigimgError as error:
        yield _wrong(file, str(error).removeprefix(f"{tree.path}: "))
        return
    method = method_of(known.root)
    if method is None:
        yield _wrong(file, "does not say by which method the levels were made; convert the source again")
        return
    listed = [level.path for level in store.levels]
    if listed != [str(index) for index in known.levels]:
        yield _wrong(
            file, f"lists the levels {' '.join(listed)}, the store has {' '.join(map(str, known.levels))}"
        )
        return
    yield from _of_geometry(store, expected_levels(store, method), known.zarr)


def expected_levels(store: Store, method: Method) -> tuple[Level, ...]:
    """Return what the levels above level 0 of ``store`` have to be, by shape, spacing and origin."""
    first = store.levels[0]
    axes = [
        Axis(name, n, spacing, None, origin)
        for name, n, spacing, origin in zip(store.dims, first.shape, first.spacing, first.origin, strict=True)
    ]
    return plan_levels(axes, first.chunk, method=method, count=len(store.levels))


def _of_geometry(store: Store, expected: Sequence[Level], zarr: ZarrFormat) -> Iterator[Finding]:
    root = ATTRIBUTES[zarr]
    if len(expected) != len(store.levels):
        yield _wrong(root, f"{len(store.levels)} levels, and only {len(expected)} can be made of level 0")
    for level, stored, meta in zip(expected, store.levels, store.arrays, strict=False):
        file, at = f"{stored.path}/{ARRAY[zarr]}", f"level {level.index}:"
        if stored.shape != level.shape:
            yield _wrong(file, f"{at} shape {stored.shape} where halving gives {level.shape}", level.index)
        if names_of(meta) != store.dims:
            yield _wrong(file, f"{at} axes {names_of(meta)}, of the image {store.dims}", level.index)
        if any(s % c for s, c in zip(meta.shard, meta.chunk, strict=True)):
            yield _wrong(file, f"{at} shards {meta.shard} are not whole chunks {meta.chunk}", level.index)
        for what, here, wanted in (
            ("scale", stored.spacing, level.spacing),
            ("translation", stored.origin, level.origin),
        ):
            if not _alike(here, wanted, level.spacing):
                said = f"{at} {what} {list(here)} where level 0 gives {list(wanted)}"
                yield _wrong(root, said, level.index)


def names_of(meta: ArrayMeta) -> tuple[str | None, ...]:
    """Return the names of the axes that an array gives itself."""
    return meta.dims or ()


def _alike(here: Sequence[float], wanted: Sequence[float], spacing: Sequence[float]) -> bool:
    return all(
        math.isclose(a, b, rel_tol=SAME, abs_tol=SAME * abs(s))
        for a, b, s in zip(here, wanted, spacing, strict=True)
    )


def _wrong(file: str, said: str, level: int | None = None) -> Finding:
    array = None if level is None else str(level)
    return Finding("metadata", file, f"{said}; convert the source again", array, level)


# ------------------------------------------------------------------------------------------------- statistics


def _statistics(root: Place, known: Known, found: Findings) -> StoredStatistics | None:
    if not known.statistics:
        found.note("the stored statistics are damaged: nothing was compared with them")
        return None
    file = f"{GROUP}/{ATTRIBUTES[known.zarr]}"
    try:
        stored = read_statistics(root)
    except BigimgError as error:
        found.add(Finding("statistics", file, str(error)))
        return None
    if stored is None:
        found.add(Finding("statistics", file, "holds no statistics; convert the source again"))
    elif 0 in known.levels:
        meta = known.levels[0].meta
        said = list(_of_statistics(stored, meta, names_of(meta), file))
        found.add(*(Finding("statistics", name, f"{text}; convert the source again") for name, text in said))
        return None if said else stored
    return stored


def channel_count(shape: Shape, dims: Sequence[str | None]) -> int:
    """Return how many channels an array has."""
    return shape[dims.index("c")] if "c" in dims else 1


def _of_statistics(
    stored: StoredStatistics, meta: ArrayMeta, dims: Sequence[str | None], file: str
) -> Iterator[tuple[str, str]]:
    """Yield file and message for whatever the statistics and the histogram cannot both be right about."""
    entries, count = stored.statistics.get("channels"), channel_count(meta.shape, dims)
    if not isinstance(entries, list) or len(entries) != count:
        yield file, f"statistics of {len(entries or ())} channels, and the image has {count}"
        return
    pixels = math.prod(meta.shape) // count
    for i, entry in enumerate(entries):
        if entry.get("count", 0) + entry.get("nan", 0) != pixels:
            yield file, f"channel {i}: {entry.get('count')} values counted of {pixels} pixels"
    bins = histogram_bins(meta.dtype)
    if stored.histogram is None:
        if bins:
            yield file, f"no histogram, and pixels of type {meta.dtype} have one"
        return
    if stored.histogram.shape != (count, bins) or stored.first != first_value(meta.dtype):
        yield (
            HISTOGRAM,
            f"shape {stored.histogram.shape} from {stored.first}: not that of {meta.dtype} pixels",
        )
        return
    for i, (entry, row) in enumerate(zip(entries, stored.histogram, strict=True)):
        counted = as_entry(of_histogram(row, stored.first))
        for key, value in counted.items():
            if entry.get(key) != value:
                yield file, f"channel {i}: {key} is {entry.get(key)}, by the histogram {value}"


def as_entry(part: Partial) -> dict[str, Any]:
    """Return exact statistics under the names that they are stored by."""
    return {
        "count": part.count, "min": part.low, "max": part.high, "sum": part.total, "sum_squares": part.squares,
    }  # fmt: skip
