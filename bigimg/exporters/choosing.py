"""What of a source is written: its levels, one plane, time or channel, stored or real values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bigimg.errors import UsageError
from bigimg.exporters.views import Cut, Real, channel_of, checked_index, place_of
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.store import StoreReader
from bigimg.opening import Source, at_level, image_of, open_source
from bigimg.reader import Reader
from bigimg.readers.arrays import ArrayReader, read_labelled


def levels_of(img: Source, level: int, **opening: Any) -> list[Reader]:
    """Return a reader of ``level`` of the image and of each smaller level.

    ``opening`` is passed on to :func:`~bigimg.opening.open_source`.
    """
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(img, xarray.DataTree):
        count = sum(name.startswith("scale") for name in img.children)
        first = image_of(img, level)
        if level < 0:
            level += count
        return [read_labelled(first), *(read_labelled(image_of(img, n)) for n in range(level + 1, count))]
    reader = open_source(img, **opening)
    first_reader = at_level(reader, level) if level else reader
    if not isinstance(first_reader, StoreReader):
        return [first_reader]
    store = first_reader.store
    return [first_reader, *(StoreReader(store, n) for n in range(first_reader.level + 1, len(store.levels)))]


def places(
    spec: ImageSpec,
    plane: str | None,
    index: int | None,
    position: float | None,
    t: int | None,
    channel: int | str | None,
) -> dict[str, int]:
    """Return the index along each axis that is cut."""
    at: dict[str, int] = {}
    if index is not None and index != int(index):
        raise UsageError(f"index={index}: a place in pixels is a whole number; for another give position=")
    if plane is not None:
        name, place = place_of(spec, plane, None if index is None else int(index), position)
        at[name] = place
    elif index is not None or position is not None:
        raise UsageError("index= and position= say where a plane is: give plane= as well")
    if t is not None:
        at["t"] = checked_index(spec, "t", t)
    if channel is not None:
        at["c"] = channel_of(spec, channel)
    return at


def alike(readers: Sequence[Reader], at: dict[str, int]) -> list[Reader]:
    """Return the first reader and those of smaller levels that differ from it along y and x alone."""
    kept = [readers[0]]
    if set(at) & set("zyx"):
        return kept
    for reader in readers[1:]:
        before, now = kept[-1].spec, reader.spec
        pairs = list(zip(before.axes, now.axes, strict=True))
        if any(a.size != b.size for a, b in pairs if a.name not in "yx"):
            break
        if all(a.size == b.size for a, b in pairs):
            break
        kept.append(reader)
    return kept


def chosen_of(reader: Reader, at: dict[str, int], *, raw: bool) -> Reader:
    """Return what is written of ``reader``: real values, cut."""
    as_is = raw or reader.spec.scaling is None or isinstance(reader, ArrayReader)
    shown = reader if as_is else Real(reader)
    return Cut(shown, at) if at else shown
