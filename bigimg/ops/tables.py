"""Statistics and histograms as tables for people and as JSON, computed within a budget.

xarray is imported only when pixels must be read: the statistics of a store are printed in a tenth of a second.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bigimg.opening import Memory, Source, at_level, open_source
from bigimg.opening import open as open_image
from bigimg.ops.stored import kept_statistics
from bigimg.pyramid.summary import Summary


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
        rows = [(name or str(i), row) for i, (name, row) in enumerate(self.rows)]
        return aligned([head, *((name, *(_short(getattr(row, key)) for key in head[1:])) for name, row in rows)])


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Return rows of words as a table, the first column to the left and the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(w) if i == 0 else text.rjust(w)
            for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def statistics_table(
    source: Source,
    *,
    memory: Memory = None,
    series: int | str | None = None,
    level: int = 0,
    where: Source = None,
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
    reader = at_level(open_source(source, series=series), level or 0)
    kept = None if where is not None else kept_statistics(reader)
    if kept is not None:
        names: list[str] = kept.names
        rows = kept.summaries()
    else:
        from bigimg.ops.reducing import reduce_image
        from bigimg.ops.stats import summary_of, tally_of

        image = open_image(source, memory=memory, series=series, level=level or 0)
        names = [channel.name for channel in reader.spec.channels]
        by = [name for name in image.dims if name == "c"]
        tallies = reduce_image(image, by, tally_of(image.dtype, 1), where=where).compute()
        rows = [summary_of(tally) for tally in np.atleast_1d(np.asarray(tallies))]
    reader.close()
    labels: list[str | None] = [*names] or [None] * len(rows)
    return StatisticsTable(reader.source, tuple(zip(labels, rows, strict=True)))


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
