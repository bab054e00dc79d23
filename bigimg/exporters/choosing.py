"""The part of a source that is exported: its levels, one plane, time or channel, stored or real values."""

from __future__ import annotations

from collections.abc import Sequence

from bigimg.errors import UsageError
from bigimg.exporters.views import Cut, Real, channel_index, checked_index, plane_index
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Reader
from bigimg.readers.arrays.array import ArrayReader


def cut_indices(
    spec: ImageSpec, plane: str | None, index: int | None, position: float | None, t: int | None,
    channel: int | str | None,
) -> dict[str, int]:  # fmt: skip
    """Return the index along each axis of which one index is written.

    Raises
    ------
    UsageError
        An argument does not fit the image or the other arguments.
    """
    cut: dict[str, int] = {}
    if index is not None and index != int(index):
        raise UsageError(f"index={index}: an index is a whole number; for a coordinate give position=")
    if plane is not None:
        name, number = plane_index(spec, plane, None if index is None else int(index), position)
        cut[name] = number
    elif index is not None or position is not None:
        raise UsageError("index= and position= say where a plane is: give plane= as well")
    if t is not None:
        cut["t"] = checked_index(spec, "t", t)
    if channel is not None:
        cut["c"] = channel_index(spec, channel)
    return cut


def smaller_levels(readers: Sequence[Reader], cut: dict[str, int]) -> list[Reader]:
    """Return the first reader, and those of the next levels as long as only y and x become smaller."""
    chosen = [readers[0]]
    if set(cut) & set("zyx"):
        return chosen
    for reader in readers[1:]:
        before, now = chosen[-1].spec.sizes, reader.spec.sizes
        if before == now or before | {"y": 1, "x": 1} != now | {"y": 1, "x": 1}:
            break
        chosen.append(reader)
    return chosen


def reader_to_write(reader: Reader, cut: dict[str, int], *, raw: bool) -> Reader:
    """Return a reader of what is written: the indices ``cut`` of ``reader``, real values unless ``raw``."""
    as_is = raw or reader.spec.scaling is None or isinstance(reader, ArrayReader)
    values = reader if as_is else Real(reader)
    return Cut(values, cut) if cut else values
