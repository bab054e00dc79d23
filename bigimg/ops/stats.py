"""Count, min, max, mean and std of each channel: exact, and from the store where it knows them.

Sums of integers are Python integers from the block on, so nothing overflows and nothing is rounded before
the last division. Floats keep a mean and the deviations from it for each block; NaN is counted and left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.spec import Scaling
from bigimg.omezarr.manifest import StoredStatistics
from bigimg.omezarr.open import Store, StoreReader
from bigimg.opening import Memory, Source, image_of, open_source
from bigimg.opening import open as open_image
from bigimg.pyramid.partial import Partial, first_value, merge_floats, of_channel, of_histogram
from bigimg.pyramid.summary import Summary, stored_summary, summarize
from bigimg.readers.labelled import opened_pixels
from bigimg.readers.lazy import real_dtype
from bigimg.types import Array, DType

if TYPE_CHECKING:
    import xarray


def stats(img: Source, *, by: str | Sequence[str] | None = "c", where: Any = None) -> xarray.Dataset:
    """Return ``count min max mean std`` of the pixels, for each channel; lazy.

    Of a path, Store, pyramid or opened level 0 whose store keeps statistics, no pixel is read. Images of
    floats have ``nan`` too, how many values are no numbers: these are left out of the others.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    by : str or sequence of str, optional
        Axes to keep; None takes all pixels together.
    where : mask, optional
        Count only where it is true: booleans on the same grid, with or without the axis c.

    Returns
    -------
    Dataset
        std has ddof 0. Where nothing is chosen, count is 0 and the others NaN; so with ``where`` min and max
        are float64, and of the image's own type without.

    Raises
    ------
    UsageError
        An axis is not there, or the mask does not fit.
    """
    import xarray

    if where is None and (found := stored_statistics(img)) is not None:
        names, rows = _stored_rows(*found)
        if by == "c" or (by is None and len(rows) == 1):
            spec, scaling = found[0].spec(0), found[2]
            return _dataset(names, rows, by, spec.dtype if scaling is None else real_dtype(spec))
    image = image_of(img, 0) if isinstance(img, xarray.DataTree) else open_image(img)
    return _lazy(image, _axes(image, by), where)


def stored_statistics(source: Source) -> tuple[Store, StoredStatistics, Scaling | None] | None:
    """Return the statistics that a store keeps of ``source``, and how its real values follow; None without.

    A labelled array counts when it is the whole of level 0 as it was opened.
    """
    if isinstance(source, str | os.PathLike | Store):
        reader = open_source(source)
        scaling = reader.spec.scaling
    else:
        if hasattr(source, "children") and "scale0" in source.children:
            source = image_of(source, 0)
        if not hasattr(source, "coords") or (pixels := opened_pixels(source)) is None:
            return None
        reader, scaling = pixels.reader, pixels.scaling
    if not isinstance(reader, StoreReader) or reader.level != 0:
        return None
    kept = reader.store.statistics()
    return None if kept is None else (reader.store, kept, scaling)


@dataclass(frozen=True, slots=True)
class StatisticsTable:
    """Statistics for people and as JSON."""

    source: str
    rows: tuple[tuple[str | None, Summary], ...]
    """Name and statistics of each channel."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        channels = [
            {"name": name} | {k: None if v != v else v for k, v in asdict(row).items()}
            for name, row in self.rows
        ]
        return {"source": self.source, "channels": channels}

    def __str__(self) -> str:
        head = ("channel", "count", "nan", "min", "max", "mean", "std")
        lines = [
            head,
            *((name or str(i), *map(_short, astuple(row))) for i, (name, row) in enumerate(self.rows)),
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        return "\n".join(
            "  ".join(
                text.ljust(w) if i == 0 else text.rjust(w)
                for i, (text, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )


def statistics_table(
    source: Source, *, memory: Memory = None, series: int | str | None = None
) -> StatisticsTable:
    """Return the statistics of each channel, computed; xarray is imported only when pixels must be read.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, BudgetError
        As :func:`bigimg.open`.
    """
    reader = open_source(source, series=series)
    if (
        isinstance(reader, StoreReader)
        and reader.level == 0
        and (kept := reader.store.statistics()) is not None
    ):
        names, rows = _stored_rows(reader.store, kept, reader.spec.scaling)
    else:
        image = open_image(source, memory=memory, series=series)
        names = [channel.name for channel in reader.spec.channels]
        rows = list(np.atleast_1d(_summaries(image, [n for n in image.dims if n == "c"], None).compute()))
    reader.close()
    labels: list[str | None] = [*names] or [None] * len(rows)
    return StatisticsTable(reader.source, tuple(zip(labels, rows, strict=True)))


def _stored_rows(
    store: Store, kept: StoredStatistics, scaling: Scaling | None
) -> tuple[list[str], list[Summary]]:
    rows = [stored_summary(channel, scaling) for channel in kept.statistics["channels"]]
    return [channel.name for channel in store.channels], rows


def _dataset(names: list[str], rows: list[Summary], by: Any, dtype: DType) -> xarray.Dataset:
    """Return stored statistics in the form of computed ones."""
    import xarray

    columns: dict[str, Any] = {f.name: [getattr(row, f.name) for row in rows] for f in fields(Summary)}
    if dtype.kind != "f":
        del columns["nan"]
    for key in ("min", "max"):
        columns[key] = np.asarray(columns[key]).astype(dtype)
    along = by == "c" and (len(rows) > 1 or bool(names))
    return xarray.Dataset(
        {key: ("c", values) if along else values[0] for key, values in columns.items()},
        {"c": names} if along and names else None,
    )


def _axes(img: xarray.DataArray, by: str | Sequence[str] | None) -> list[str]:
    if by is None or (by == "c" and "c" not in img.dims):
        return []
    wanted = [by] if isinstance(by, str) else list(by)
    if unknown := [name for name in wanted if name not in img.dims]:
        raise UsageError(f"by={unknown[0]!r}: the axes are {' '.join(map(str, img.dims))}")
    return [str(name) for name in img.dims if name in wanted]


def _lazy(img: xarray.DataArray, by: list[str], where: Any) -> xarray.Dataset:
    import xarray

    rows = _summaries(img, by, where)
    value = img.dtype if where is None else np.dtype(np.float64)
    kinds = {"count": np.int64, "min": value, "max": value, "mean": np.float64, "std": np.float64}
    if img.dtype.kind == "f":
        kinds["nan"] = np.int64
    variables = {
        key: (
            by,
            rows.map_blocks(
                _field, key=key, kind=np.dtype(kind), dtype=kind, meta=np.empty((0,) * len(by), kind)
            ),
        )
        for key, kind in kinds.items()
    }
    coords = {name: img.coords[name].variable for name in by if name in img.coords}
    return xarray.Dataset(variables, coords)


def _summaries(img: xarray.DataArray, by: Sequence[Any], where: Any) -> Any:
    """Return a dask array of :class:`Summary` over the axes ``by``."""
    from bigimg.ops.reducing import reduce_blocks

    floats = img.dtype.kind == "f"
    parts = reduce_blocks(img, by, where, _partial, merge_floats if floats else _merge_integers)
    return parts.map_blocks(_summarized, floats=floats, dtype=object, meta=np.empty((0,) * len(by), object))


def _partial(values: Array) -> Partial:
    """Return the statistics of values as numbers alone: a histogram a block would fill the memory."""
    if not values.size:
        return Partial(0)
    part = of_channel(values)
    return part if part.histogram is None else of_histogram(part.histogram, first_value(values.dtype))


def _merge_integers(parts: Sequence[Partial]) -> Partial:
    return Partial(
        sum(p.count for p in parts),
        0,
        min((p.low for p in parts if p.low is not None), default=None),
        max((p.high for p in parts if p.high is not None), default=None),
        sum(p.total for p in parts),
        sum(p.squares for p in parts),
    )


def _summarized(parts: Array, *, floats: bool) -> Array:
    out = np.empty(parts.shape, object)
    for index in np.ndindex(parts.shape):
        part: Partial = parts[index]  # type: ignore[assignment]  # numpy's types know no objects
        out[index] = summarize(part, floats=floats)
    return out


def _field(rows: Array, *, key: str, kind: DType) -> Array:
    out = np.empty(rows.shape, kind)
    for index in np.ndindex(rows.shape):
        out[index] = getattr(rows[index], key)
    return out


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
