"""What a plate is, for people and as JSON: its wells, without a look into any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bigimg.errors import counted
from bigimg.readers.plates.source import PlateSource, laid_out

if TYPE_CHECKING:
    from bigimg.omezarr.plates import PlateMeta

MOST_DRAWN = 60
"""Columns of a plate that is drawn."""


@dataclass(frozen=True, slots=True, repr=False)
class PlateInfo:
    """What ``bigimg.info`` found where there is a plate; prints as a short table with a map of the wells."""

    source: str
    format: str
    name: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[str, ...]
    """Those with images, row by row, as ``B/03``."""
    field_count: int | None
    """The most fields of a well; None where the plate does not say it."""
    acquisitions: tuple[str, ...]
    field_labels: tuple[str, ...]
    """What the source called the fields 0, 1 and so on, where that is known."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        lists = {name: list(value) for name, value in asdict(self).items() if isinstance(value, tuple)}
        return asdict(self) | lists

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def plate_info(source: str, meta: PlateMeta) -> PlateInfo:
    """Return the :class:`PlateInfo` of a plate."""
    return PlateInfo(
        source=source,
        format=f"OME-Zarr {meta.version}",
        name=meta.name,
        rows=meta.rows,
        columns=meta.columns,
        wells=tuple(map(str, meta.wells)),
        field_count=meta.field_count,
        acquisitions=tuple(run.name or str(run.id) for run in meta.acquisitions),
        field_labels=meta.labels,
    )


def source_info(plate: PlateSource) -> PlateInfo:
    """Return the :class:`PlateInfo` of a plate that is no store yet."""
    layout = laid_out(plate)
    fields = Counter(field.well for field in layout.fields)
    return PlateInfo(
        source=plate.source,
        format=plate.format,
        name=plate.name or None,
        rows=layout.rows,
        columns=layout.columns,
        wells=tuple(path for path, _, _ in layout.wells),
        field_count=max(fields.values()),
        acquisitions=tuple(name or str(number) for number, name in plate.acquisitions),
        field_labels=layout.told,
    )


def _lines(info: PlateInfo) -> Iterator[str]:
    yield info.source
    size = f"{counted(len(info.rows), 'row')} x {counted(len(info.columns), 'column')}"
    fields = "" if info.field_count is None else f", at most {counted(info.field_count, 'field')} each"
    name = "" if info.name is None else f"{info.name}, "
    yield f"  plate    {name}{size}, {counted(len(info.wells), 'well')}{fields}"
    yield f"  format   {info.format}"
    if len(info.acquisitions) > 1:
        yield f"  runs     {', '.join(info.acquisitions)}"
    if info.field_labels:
        pairs = (f"{number} is {label}" for number, label in enumerate(info.field_labels[:MOST_DRAWN]))
        yield f"  fields   {', '.join(pairs)}{', …' if len(info.field_labels) > MOST_DRAWN else ''}"
    if len(info.columns) <= MOST_DRAWN:
        wells, width = set(info.wells), max(map(len, info.columns))
        margin = max(map(len, info.rows))
        yield f"  wells    {'':{margin}} {' '.join(f'{column:>{width}}' for column in info.columns)}"
        for row in info.rows:
            marks = ("o" if f"{row}/{column}" in wells else "." for column in info.columns)
            yield f"           {row:{margin}} {' '.join(f'{mark:>{width}}' for mark in marks)}"
    yield f"  open     one field by series='{info.wells[0]}/0'; bigimg.open_plate opens all of a store"
