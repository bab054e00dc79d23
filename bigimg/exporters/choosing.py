"""What of a source is written: its levels, one plane, time or channel, stored or real values."""

from __future__ import annotations

from collections.abc import Sequence

from bigimg.errors import UsageError
from bigimg.exporters.views import Cut, Real, channel_of, checked_index, place_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Reader
from bigimg.readers.arrays.array import ArrayReader


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
