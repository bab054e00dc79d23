"""What an image is and how it can be read, for people and as JSON, without reading a pixel."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import MissingExtraError, counted
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import short_unit
from bigimg.geometry.orientation import axis_codes
from bigimg.geometry.region import count
from bigimg.opening.own_levels import offered
from bigimg.planning.memory import human_bytes
from bigimg.reader import CHOOSE_PART, Reader, parts_of
from bigimg.readers.allowed import public_and_private
from bigimg.readers.registry import find_format
from bigimg.types import Shape

if TYPE_CHECKING:
    from bigimg.omezarr.store import Store


FEW = 12
"""Names of fields that are printed."""


@dataclass(frozen=True, slots=True)
class LevelInfo:
    """One level of the image."""

    shape: Shape
    spacing: tuple[float | None, ...]
    """In the unit of each axis; None along c, which has no distances."""


@dataclass(frozen=True, slots=True, repr=False)
class Info:
    """What ``bigimg.info`` found; prints as a short table."""

    source: str
    format: str
    access: str
    """``random``, ``sequential`` or ``whole``."""
    why: str
    dims: tuple[str, ...]
    shape: Shape
    dtype: str
    kind: str
    decoded_bytes: int
    """Of the largest level."""
    levels: tuple[LevelInfo, ...]
    spacing: tuple[float | None, ...]
    units: tuple[str | None, ...]
    origin: tuple[float, ...]
    channels: tuple[str, ...]
    orientation: str | None
    """Letters of the directions of x, y and z, as in ``RAS``; None when the file does not say."""
    scaling: tuple[float, float] | None
    """Slope and intercept from stored to real values."""
    window: tuple[float, float] | None
    labels: tuple[str, ...]
    """Label images in the same store."""
    series: tuple[str, ...]
    """All images in the same store; empty when there is only this one."""
    missing: int
    """Pixels of the largest level that a damaged source does not hold."""
    private: tuple[str, ...]
    """Names of the fields of the file that may tell who was imaged; they are written only if a user asks for it."""
    notes: tuple[str, ...]
    statistics: tuple[dict[str, Any], ...] | None
    """Of each channel, in real values; None unless they are stored."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {name: _json(value) for name, value in asdict(self).items()}

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def describe(reader: Reader) -> Info:
    """Return the :class:`Info` of what ``reader`` reads."""
    spec, access = reader.spec, reader.access
    # Importing the store side takes as long as numpy; whoever has a store has imported it, and files do not need it.
    stores = sys.modules.get("bigimg.omezarr.store")
    store = reader.store if stores is not None and isinstance(reader, stores.StoreReader) else None
    spacing = _spacing(spec.dims, [axis.spacing for axis in spec.axes])
    levels: tuple[LevelInfo, ...] = (LevelInfo(spec.shape, spacing),)
    if store is not None:
        levels = tuple(LevelInfo(level.shape, _spacing(store.dims, level.spacing)) for level in store.levels)
    orientation = None
    if spec.world is not None:
        try:
            orientation = "".join(axis_codes(index_to_world(spec.axes, spec.world)))
        except ValueError:  # a singular matrix has no directions to name
            orientation = None
    return Info(
        source=reader.source,
        format=_format(reader, store),
        access=access.kind,
        why=access.why,
        dims=spec.dims,
        shape=spec.shape,
        dtype=str(spec.dtype),
        kind=spec.kind,
        decoded_bytes=spec.nbytes,
        levels=levels,
        spacing=spacing,
        units=tuple(axis.unit for axis in spec.axes),
        origin=tuple(axis.origin for axis in spec.axes),
        channels=tuple(channel.name for channel in spec.channels),
        orientation=orientation,
        scaling=None if spec.scaling is None else (spec.scaling.slope, spec.scaling.intercept),
        window=spec.window,
        labels=() if store is None else store.labels,
        series=() if store is None or len(store.series) < 2 else store.series,
        missing=sum(map(count, spec.missing)),
        private=(*spec.private, *public_and_private(spec.meta)[1]),
        notes=(*_complex(reader), *_coarser(reader), *spec.notes, *spec.of_source),
        statistics=None if store is None else _statistics(store),
    )


def _complex(reader: Reader) -> tuple[str, ...]:
    """Return the note about complex values of which no part is chosen."""
    if not parts_of(reader):
        return ()
    return (f"its values are complex, two {reader.spec.dtype} each; to read them choose {CHOOSE_PART}",)


def _coarser(reader: Reader) -> tuple[str, ...]:
    """Return the note about coarser levels that the file has, where they may be taken."""
    if not (count := offered(reader)):
        return ()
    return (
        f"the file has {counted(count, 'level')} of lower resolution: levels='source' takes them if they are means",
    )


def _spacing(dims: Sequence[str], spacing: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(None if name == "c" else step for name, step in zip(dims, spacing, strict=True))


def _format(reader: Reader, store: Store | None) -> str:
    if store is not None:
        return "zarr array" if store.version is None else f"OME-Zarr {store.version}"
    if type(reader).__module__ == "bigimg.readers.arrays.array":
        return "array"
    if (own := getattr(reader, "format", None)) is not None:  # the reader of a copy or of many files knows it
        return str(own)
    try:
        return find_format(reader.source).title
    except (OSError, ValueError, MissingExtraError):  # an outside reader of something that is not a file
        return type(reader).__name__


def _statistics(store: Store) -> tuple[dict[str, Any], ...] | None:
    from bigimg.pyramid.summary import stored_summary

    stored = store.statistics()
    if stored is None:
        return None
    scaling = store.spec(0).scaling
    channels = stored.statistics["channels"]
    rows = [{"name": each.get("name"), **asdict(stored_summary(each, scaling))} for each in channels]
    for row in rows:
        del row["saturated"]  # it needs the histogram, which is not read here
    return tuple(rows)


def _lines(info: Info) -> Iterator[str]:
    yield info.source
    sizes = " x ".join(map(str, info.shape))
    yield f"  image    {' '.join(info.dims)} = {sizes}, {info.dtype}, {human_bytes(info.decoded_bytes)} decoded"
    yield f"  format   {info.format}; {info.access}: {info.why}"
    space = [i for i, name in enumerate(info.dims) if name != "c"]
    pixel = ", ".join(f"{info.dims[i]} {info.spacing[i]:.6g} {short_unit(info.units[i])}" for i in space)
    yield f"  spacing  {pixel}"
    if len(info.levels) > 1:
        yield "  levels   " + ", ".join(" x ".join(map(str, level.shape)) for level in info.levels)
    for name, texts in (("channels", info.channels), ("labels", info.labels), ("series", info.series)):
        if texts:
            yield f"  {name:8} {', '.join(texts)}"
    if info.kind != "image":
        yield f"  kind     {info.kind}"
    if info.orientation:
        yield f"  points   {info.orientation} (x, y, z)"
    if info.scaling:
        yield f"  scaling  real = {info.scaling[0]:g} x stored {info.scaling[1]:+g}"
    if info.window:
        yield f"  window   {info.window[0]:g} to {info.window[1]:g}"
    for found in info.statistics or ():
        name = found["name"] or "values"
        yield f"  {name:8} {found['min']:g} to {found['max']:g}, mean {found['mean']:g}, std {found['std']:g}"
    if info.private:
        more = f" and {len(info.private) - FEW} more" if len(info.private) > FEW else ""
        yield f"  private  {', '.join(info.private[:FEW])}{more}"
        yield "           these fields may tell who was imaged: they are converted only with keep_metadata=True"
    for note in info.notes:
        yield f"  note     {note}"


def _json(value: Any) -> Any:
    """Return ``value`` with lists for tuples and None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
