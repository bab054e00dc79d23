"""Statistics and histograms as tables for people and as JSON, computed within a budget.

xarray is imported only if pixels must be read, so the statistics of a store are printed in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Unpack

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.units import milliliters
from bigimg.lazy.dask_compute import computed
from bigimg.opening.open import Memory, Source, levels_of_source
from bigimg.opening.open import open as open_image
from bigimg.opening.sources import is_place, split
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.pyramid.summary import Summary
from bigimg.types import Array, Opening


@dataclass(frozen=True, slots=True)
class StatisticsTable:
    """Statistics for people and as JSON."""

    source: str
    rows: tuple[tuple[str | None, Summary], ...]
    """Name and statistics of each channel."""
    pixel_milliliters: float | None = None
    """Volume of a pixel, where the statistics are of those of a mask; None if it is not known or of no use."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        channels = [
            {"name": name}
            | {k: None if v != v else v for k, v in asdict(row).items()}
            | {"milliliters": self.milliliters(row)}
            for name, row in self.rows
        ]
        return {"source": self.source, "channels": channels}

    def milliliters(self, row: Summary) -> float | None:
        """Return the volume of the pixels that were counted."""
        return None if self.pixel_milliliters is None else row.count * self.pixel_milliliters

    def __str__(self) -> str:
        head = ("channel", "count", "nan", "min", "max", "mean", "std")
        lines: list[tuple[str, ...]] = [head]
        for i, (name, row) in enumerate(self.rows):
            lines.append((name or str(i), *(_short(getattr(row, key)) for key in head[1:])))
        if self.pixel_milliliters is not None:
            volumes = (f"{self.milliliters(row):.6g}" for _, row in self.rows)
            lines = [(*line, volume) for line, volume in zip(lines, ("mL", *volumes), strict=True)]
        return aligned(lines)


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Return rows of words as a table, the first column to the left and the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join("  ".join([line[0].ljust(first), *map(str.rjust, line[1:], others)]) for line in lines)


def statistics_table(
    source: Source,
    *,
    memory: Memory = None,
    level: int | None = None,
    where: Source = None,
    **opening: Unpack[Opening],
) -> StatisticsTable:
    """Return the statistics of each channel, computed.

    Parameters
    ----------
    where : mask, optional
        As in :func:`bigimg.stats`.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, BudgetError
        As :func:`bigimg.open`.
    UsageError
        There is no such level, or the mask does not fit.
    """
    reader = levels_of_source(source, **opening)[level or 0]
    kept = None if where is not None else kept_statistics(reader)
    if kept is not None:
        names: list[str] = kept.names
        rows = kept.summaries()
    else:
        from bigimg.ops.statistics.reducing import reduce_image
        from bigimg.ops.statistics.stats import tally_of
        from bigimg.ops.statistics.tallies import summary_of

        image = open_image(source, memory=memory, level=level or 0, **opening)
        names = [channel.name for channel in reader.spec.channels]
        by = [name for name in image.dims if name == "c"]
        tallies = computed(reduce_image(image, by, tally_of(image.dtype, 1), where=_opened(where, memory)))
        rows = [summary_of(tally) for tally in np.atleast_1d(np.asarray(tallies))]
    reader.close()
    labels: list[str | None] = [*names] or [None] * len(rows)
    volume = None if where is None else pixel_milliliters(reader.spec.axes)
    return StatisticsTable(reader.source, tuple(zip(labels, rows, strict=True)), volume)


def pixel_milliliters(axes: Sequence[Axis]) -> float | None:
    """Return the volume of a pixel in millilitres; None without three axes of space in known units, or of times."""
    if any(axis.name == "t" and axis.size > 1 for axis in axes):
        return None  # the pixels of all times are counted together
    return milliliters([(axis.spacing, axis.unit) for axis in axes if axis.type == "space"])


def _opened(where: Source, memory: Memory) -> Source:
    """Return the mask, opened within the budget of the image."""
    return open_image(where, memory=memory) if is_place(where) else where


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


@dataclass(frozen=True, slots=True, eq=False)
class HistogramTable:
    """A histogram for people and as JSON."""

    source: str
    names: tuple[str | None, ...]
    counts: Array
    """(c, bin)"""
    edges: Array

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        channels = [
            {"name": name, "counts": row} for name, row in zip(self.names, self.counts.tolist(), strict=True)
        ]
        return {"source": self.source, "edges": self.edges.tolist(), "channels": channels}

    def __str__(self) -> str:
        heads = self._heads("count")
        return aligned([
            ("from", "to", *heads),
            *(
                (f"{low:.6g}", f"{high:.6g}", *map(str, column))
                for low, high, column in zip(self.edges[:-1], self.edges[1:], self.counts.T.tolist(), strict=True)
            ),
        ])  # fmt: skip

    def _heads(self, alone: str) -> list[str]:
        return [name or (str(i) if len(self.names) > 1 else alone) for i, name in enumerate(self.names)]

    def sparklines(self, width: int) -> str:
        """Return a line of bars for each channel, at most ``width`` characters wide."""
        heads = self._heads("")
        room = max(map(len, heads)) + 1
        columns = max(1, min(self.counts.shape[1], width - room))
        cuts = np.linspace(0, self.counts.shape[1], columns, endpoint=False).astype(int)
        lines = []
        for head, row in zip(heads, self.counts, strict=True):
            bars = np.add.reduceat(row, cuts)
            heights = np.ceil(bars / max(1, bars.max()) * (len(BARS) - 1)).astype(int)
            lines.append(f"{head:<{room}}{''.join(BARS[h] for h in heights)}")
        return "\n".join(lines)


BARS = " ▁▂▃▄▅▆▇█"


def histogram_table(
    source: Source,
    *,
    bins: int = 50,
    range: tuple[float, float] | None = None,
    where: Source = None,
    memory: Memory = None,
    level: int | None = None,
    **opening: Unpack[Opening],
) -> HistogramTable:
    """Return the histogram of each channel, computed; the parameters are those of :func:`bigimg.histogram`."""
    from bigimg.ops.statistics.histograms import histogram

    image = open_image(source, memory=memory, level=level or 0, **opening)
    found = computed(histogram(image, bins=bins, range=range, where=_opened(where, memory)))
    rows = np.atleast_2d(found.values)
    names = tuple(map(str, found.coords["c"].values)) if "c" in found.coords else (None,) * len(rows)
    edges = np.array([*found.coords["bin_left"].values, found.coords["bin_right"].values[-1]])
    return HistogramTable(str(image.attrs.get("source", source)), names, rows, edges)


@dataclass(frozen=True, slots=True)
class FractionTable:
    """How much of each channel a mask covers, at one or more levels."""

    source: str
    unit: str
    rows: tuple[tuple[int, str | None, float, float], ...]
    """Level, channel, share and area."""
    unit_milliliters: float | None = None
    """Millilitres in one of ``unit``; None if it is no volume of known units."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        channels = [
            {
                "level": level, "name": name, "fraction": None if share != share else share, "area": size,
                "milliliters": None if self.unit_milliliters is None else size * self.unit_milliliters,
            }
            for level, name, share, size in self.rows
        ]  # fmt: skip
        return {"source": self.source, "unit": self.unit, "channels": channels}

    def __str__(self) -> str:
        several, volume = len({row[0] for row in self.rows}) > 1, self.unit_milliliters
        measured = f"area ({self.unit})" if volume is None else "volume (mL)"
        head = (*(("level",) if several else ()), "channel", "fraction", measured)
        return aligned([
            head,
            *(
                (*((str(level),) if several else ()), name or "0", f"{share:.6f}", f"{size * (volume or 1):.6g}")
                for level, name, share, size in self.rows
            ),
        ])  # fmt: skip


def fraction_table(
    source: Source,
    *,
    levels: bool = False,
    where: Source = None,
    memory: Memory = None,
    level: int | None = None,
    **conditions: Any,
) -> FractionTable:
    """Return the coverage of a mask, computed; of an image the mask is where it fulfils ``conditions``.

    Parameters
    ----------
    levels : bool
        Every level of a pyramid.
    conditions
        As in :func:`bigimg.mask`, and options of the source.
    """
    from bigimg.opening.coordinates import axes_of
    from bigimg.opening.open import open_pyramid
    from bigimg.ops.masks import mask
    from bigimg.ops.statistics.by_channel import names_of
    from bigimg.ops.statistics.fractions import covered

    opening, conditions = split(conditions)
    given = {name: value for name, value in conditions.items() if value is not None and value is not False}
    image: Any = open_image(source, memory=memory, level=level or 0, **opening)
    name = str(image.attrs.get("source", source))
    ones = [(1.0, axis.unit) for axis in axes_of(image) if axis.type == "space"]
    timed = image.sizes.get("t", 1) > 1  # the pixels of all times are counted together
    if not (given or image.dtype == bool or image.attrs.get("kind") == "mask"):
        raise UsageError(
            f"{name}: holds {image.dtype}, not true and false: say what is, by below=, above=, between=, equals=, "
            "otsu=True or below_otsu=True"
        )
    if levels:
        image = open_pyramid(source, memory=memory, **opening)
    if given.keys() == {"any"}:
        given["equals"] = 1  # of a mask
    if given:
        image = mask(image, **given)
    found = computed(covered(image, where=_opened(where, memory)))
    rows = []
    for number in range(found.sizes["level"]) if levels else [level or 0]:
        here = found.isel(level=number) if levels else found
        names = list(map(str, names_of(here["fraction"])))
        pairs = zip(*(np.atleast_1d(here[what].values) for what in ("fraction", "area")), strict=True)
        rows += [
            (number, names[i] if names else None, float(share), float(size))
            for i, (share, size) in enumerate(pairs)
        ]
    volume = None if timed else milliliters(ones)
    return FractionTable(name, str(found["area"].attrs["units"]), tuple(rows), volume)


@dataclass(frozen=True, slots=True)
class MaskReport:
    """The coverage of a mask that was written."""

    target: str
    stored_bytes: int
    rows: tuple[tuple[str | None, int, int], ...]
    """Channel, true pixels and all pixels."""
    pixel_milliliters: float | None = None
    """Volume of a pixel; None if it is not known, or the image has two dimensions."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        volume = self.pixel_milliliters
        channels = [
            {
                "name": name, "true": true, "count": count, "fraction": true / count if count else None,
                "milliliters": None if volume is None else true * volume,
            }
            for name, true, count in self.rows
        ]  # fmt: skip
        return {"target": self.target, "stored_bytes": self.stored_bytes, "channels": channels}

    def __str__(self) -> str:
        shares = ", ".join(
            f"{name + ' ' if name else ''}{100 * true / max(1, count):.4g} %{self._volume(true)}"
            for name, true, count in self.rows
        )
        return f"{self.target}: true {shares}"

    def _volume(self, true: int) -> str:
        return "" if self.pixel_milliliters is None else f" ({true * self.pixel_milliliters:.6g} mL)"


def mask_report(
    target: str, statistics: Mapping[str, Any], stored_bytes: int, axes: Sequence[Axis]
) -> MaskReport:
    """Return the counts of a mask that were made while it was written; ``axes`` are those of level 0."""
    rows = tuple((row["name"], int(row["sum"]), int(row["count"])) for row in statistics["channels"])
    return MaskReport(target, stored_bytes, rows, pixel_milliliters(axes))
