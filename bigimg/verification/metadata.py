"""Whether the metadata of a store of ours agrees: levels with each other, statistics with histogram and pixels.

Checksums show that these bytes were written; this module shows that what was written makes sense. Expected shapes,
spacings and origins come from :mod:`~bigimg.geometry.levels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

import numpy as np

from bigimg.errors import BigimgError
from bigimg.geometry.holes import of_json
from bigimg.geometry.levels import same_place, stored_levels
from bigimg.omezarr.manifest import GROUP, HISTOGRAM, StoredStatistics, read_statistics
from bigimg.omezarr.metadata import ARRAY, ATTRIBUTES
from bigimg.omezarr.objects import Location
from bigimg.omezarr.open import open_store
from bigimg.omezarr.store import Store
from bigimg.omezarr.tree import Tree
from bigimg.pyramid.partial import Accumulator, first_value, histogram_bins, of_histogram
from bigimg.types import Method, Region, Shape, ZarrFormat
from bigimg.verification.levels import OwnLevel
from bigimg.verification.objects import CheckedObjects
from bigimg.verification.reduced import finer_if_sound
from bigimg.verification.report import Finding, Findings

EXACT = 1e-12
"""How much a sum of floats may differ for each value, relative to the largest: the order of additions differs."""
SQUARES = 1e-9
"""How much the sum of squared deviations may differ, relative to itself."""


def method_of(root: Mapping[str, Any] | None) -> Method | None:
    """Return how the levels were made, by the attributes of the image; None where they do not have it."""
    block = {} if root is None else root.get("bigimg")
    method = block.get("method") if isinstance(block, Mapping) else None
    return cast(Method, method) if method in get_args(Method.__value__) else None


def check_metadata(tree: Tree, trusted: CheckedObjects, found: Findings) -> StoredStatistics | None:
    """Check whether the documents agree with each other; return the statistics if they can be relied on."""
    if trusted.root is None:
        found.note("the metadata of the image is damaged: levels and geometry were not compared with it")
    elif trusted.documents:  # opening a store with damaged documents would only report the damage again
        found.add(*_of_levels(tree, trusted))
    return _statistics(tree.location(""), trusted, found)


def _of_levels(tree: Tree, trusted: CheckedObjects) -> Iterator[Finding]:
    file = ATTRIBUTES[trusted.zarr]
    try:
        store = open_store(tree, trusting=True)  # objects were checked, with whatever trust was asked for
    except BigimgError as error:
        yield _wrong(file, str(error).removeprefix(f"{tree.path}: "))
        return
    method = method_of(trusted.root)
    if method is None:
        yield _wrong(file, "does not say by which method the levels were made; convert the source again")
        return
    listed = [level.path for level in store.levels[store.finer :]]
    if listed != [str(index) for index in trusted.levels]:
        there = " ".join(map(str, trusted.levels))
        yield _wrong(file, f"lists the levels {' '.join(listed)}, the store has {there}")
        return
    yield from _of_geometry(store, method, trusted.zarr)


def _of_geometry(store: Store, method: Method, zarr: ZarrFormat) -> Iterator[Finding]:
    root, shapes = ATTRIBUTES[zarr], [level.shape for level in store.levels]
    expected = list(stored_levels(store.spec().axes, shapes, method=method))[store.finer :]
    below, kept = shapes[0], store.levels[store.finer :]
    for index, (level, stored, meta) in enumerate(zip(expected, kept, store.arrays, strict=True)):
        file, at = f"{stored.path}/{ARRAY[zarr]}", f"level {index}:"
        if level is None:
            yield _wrong(file, f"{at} shape {stored.shape}, which halving does not make of {below}", index)
            continue
        below = level.shape
        if meta.dims != store.dims:
            yield _wrong(file, f"{at} axes {meta.dims or ()}, of the image {store.dims}", index)
        if any(s % c for s, c in zip(meta.shard, meta.chunk, strict=True)):
            yield _wrong(file, f"{at} shards {meta.shard} are not whole chunks {meta.chunk}", index)
        compared = ("scale", stored.spacing, level.spacing), ("translation", stored.origin, level.origin)
        for what, numbers, wanted in compared:
            if not same_place(numbers, wanted, level.spacing):
                message = f"{at} {what} {list(numbers)} where level 0 gives {list(wanted)}"
                yield _wrong(root, message, index)


def _wrong(file: str, message: str, level: int | None = None) -> Finding:
    array = None if level is None else str(level)
    return Finding("metadata", file, f"{message}; convert the source again", array, level)


# ------------------------------------------------------------------------------------------------- statistics


def _statistics(root: Location, trusted: CheckedObjects, found: Findings) -> StoredStatistics | None:
    if not trusted.statistics:
        found.note("the stored statistics are damaged: nothing was compared with them")
        return None
    file = f"{GROUP}/{ATTRIBUTES[trusted.zarr]}"
    try:
        stored = read_statistics(root)
    except BigimgError as error:
        found.add(Finding("statistics", file, str(error)))
        return None
    if stored is None:
        found.add(Finding("statistics", file, "holds no statistics; convert the source again"))
    elif 0 in trusted.levels:
        finer, level = finer_if_sound(trusted.root), trusted.levels[0]
        shape = level.shape if finer is None else finer.shapes[0]
        wrong = list(_of_statistics(stored, shape, level, file))
        found.add(*(Finding("statistics", name, f"{text}; convert the source again") for name, text in wrong))
        return None if wrong else stored
    return stored


def checked_missing(
    trusted: CheckedObjects, stored: StoredStatistics | None, found: Findings
) -> tuple[Region, ...]:
    """Return the holes of level 0 that statistics and levels leave out; the attributes of the image say the same."""
    listed = None if stored is None else stored.statistics.get("missing")
    block = (trusted.root or {}).get("bigimg")
    if stored is not None and isinstance(block, Mapping) and block.get("missing") != listed:
        message = "'missing' names other pixels than the statistics leave out; convert the source again"
        found.add(Finding("metadata", ATTRIBUTES[trusted.zarr], message))
    return of_json(listed)


def channel_count(shape: Shape, dims: Sequence[str]) -> int:
    """Return how many channels an array has."""
    return shape[dims.index("c")] if "c" in dims else 1


def _of_statistics(
    stored: StoredStatistics, shape: Shape, level: OwnLevel, file: str
) -> Iterator[tuple[str, str]]:
    """Yield file and message of each contradiction between the statistics, the histogram and level 0 of ``shape``."""
    entries, count = stored.statistics.get("channels"), channel_count(shape, level.dims)
    if not isinstance(entries, list) or len(entries) != count:
        yield file, f"statistics of {len(entries or ())} channels, and the image has {count}"
        return
    pixels = math.prod(shape) // count
    for i, entry in enumerate(entries):
        if entry.get("count", 0) + entry.get("nan", 0) != pixels:
            yield file, f"channel {i}: {entry.get('count')} values counted of {pixels} pixels"
    bins = histogram_bins(level.dtype)
    if stored.histogram is None:
        if bins:
            yield file, f"no histogram, and pixels of type {level.dtype} have one"
        return
    if stored.histogram.shape != (count, bins) or stored.first != first_value(level.dtype):
        found = f"shape {stored.histogram.shape} from {stored.first}"
        yield HISTOGRAM, f"{found}: not that of {level.dtype} pixels"
        return
    for i, (entry, row) in enumerate(zip(entries, stored.histogram, strict=True)):
        part = of_histogram(row, stored.first)
        counted = {"count": part.count, "min": part.low, "max": part.high, "sum": part.total}
        for key, value in (counted | {"sum_squares": part.squares}).items():
            if entry.get(key) != value:
                yield file, f"channel {i}: {key} is {entry.get(key)}, by the histogram {value}"


def compare_statistics(stored: StoredStatistics, counted: Accumulator, zarr: ZarrFormat) -> Iterator[Finding]:
    """Yield a finding for each channel whose statistics or histogram are not those of its pixels."""
    entries = counted.result([])["channels"]
    assert isinstance(entries, list)
    for i, (expected, entry) in enumerate(zip(stored.statistics["channels"], entries, strict=True)):
        assert isinstance(entry, dict)
        for key in ("count", "nan", "min", "max", "sum", "sum_squares", "squared_deviations"):
            value = expected.get(key)
            if not _agrees(key, value, entry[key], entry):
                message = f"channel {i}: {key} is {value}, of the pixels {entry[key]}; convert again"
                yield Finding("statistics", f"{GROUP}/{ATTRIBUTES[zarr]}", message)
    if stored.histogram is not None and counted.histogram is not None:
        for i, (expected, row) in enumerate(zip(stored.histogram, counted.histogram, strict=True)):
            if wrong := int(np.count_nonzero(expected != row.astype(expected.dtype))):
                message = f"{wrong} bins do not count the pixels of level 0; convert the source again"
                yield Finding("statistics", HISTOGRAM, f"channel {i}: {message}", HISTOGRAM)


def _agrees(key: str, stored: Any, counted: Any, entry: Mapping[str, Any]) -> bool:
    """Return whether a stored and a counted value agree, within what the order of additions changes."""
    if stored == counted:
        return True
    if not isinstance(stored, float) or not isinstance(counted, float) or key in ("min", "max"):
        return bool(stored != stored and counted != counted)  # NaN
    if not math.isfinite(stored) or not math.isfinite(counted):
        return math.isnan(stored) and math.isnan(counted)
    largest = max(abs(entry["min"]), abs(entry["max"]))
    if key == "sum":
        return bool(abs(stored - counted) <= EXACT * entry["count"] * largest)
    return math.isclose(stored, counted, rel_tol=SQUARES, abs_tol=EXACT * entry["count"] * largest * largest)
