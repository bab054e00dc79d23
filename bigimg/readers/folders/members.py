"""The files of a grid: how each is opened, and that all are alike.

A reader with a method ``like(path)`` gives the reader of another file that has the same header, or None where it is not
sure. It reads the header alone, so that thousands of files are checked quickly. Others are opened as any file is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from bigimg.errors import PARTIAL, InputError, MissingExtraError, counted, without_remedy
from bigimg.geometry.spec import Channel, SpacingNote
from bigimg.reader import Access, Reader, as_kind, as_part, parts_of
from bigimg.readers.folders.grid import Grid
from bigimg.readers.registry import open_file
from bigimg.types import Kind, Part

MOST_CHANNELS = 100
"""Files that are opened for the name and colour of a channel."""


@dataclass(frozen=True, slots=True)
class How:
    """How each file is opened."""

    kind: Kind | None = None
    """What the numbers mean, as a person says: of labels and masks the indices into palettes are read."""
    part: Part | None = None
    """Which part of complex values."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """More options of :class:`bigimg.types.Opening` for each file."""
    partial: bool = False
    """Take the planes of files that cannot be opened for holes."""

    def open(self, path: str, other: Reader | None = None) -> Reader:
        """Return the reader of a file, which may be like an ``other``."""
        like = getattr(other, "like", None)
        if like is not None and (found := like(path)) is not None:
            return found  # type: ignore[no-any-return]
        reader = as_kind(open_file(path, **self.options), self.kind)
        return reader if self.part is None else as_part(reader, self.part)


@dataclass(frozen=True, slots=True)
class Members:
    """What is known of the files after all were looked at."""

    first: Reader
    """Of the first file that can be opened, closed."""
    access: Access
    """With the costs of the most expensive file."""
    stamp: int
    """Changes when a file is written."""
    paths: tuple[str, ...]
    """All files: one may consist of several."""
    lost: Mapping[int, str]
    """What is wrong with damaged files, by their number."""
    notes: tuple[str, ...]


def checked(grid: Grid, how: How, *, plain: bool) -> Members:
    """Look at every file of ``grid``.

    Parameters
    ----------
    grid : Grid
    how : How
    plain : bool
        No pattern says what the files are, so each must be one plane.

    Raises
    ------
    InputError
        A file is unlike the first, has an axis that the grid has too, or is damaged and ``how`` is not partial.
    """
    files = grid.files
    lost: dict[int, str] = {}
    kinds: Counter[str] = Counter()
    odd: tuple[str, str] | None = None
    first: Reader | None = None
    stamp = fixed = read = uneven = 0
    paths: list[str] = []
    for number, path in enumerate(files):
        try:
            reader = how.open(path, first)
        except MissingExtraError:
            raise
        except InputError as error:
            if not how.partial:
                raise lacking(error, 1, len(files)) if len(files) > 1 else error from error
            lost[number] = without_remedy(error)
            paths.append(path)
            continue
        reader.close()
        if first is None:
            _refuse_axes(reader, path, grid, plain=plain)
            first, first_path = reader, path
        if (summary := "" if alike(reader, first, grid) else _summary(reader)) and odd is None:
            odd = path, summary
        kinds[summary] += 1
        uneven += reader.spec.axes != first.spec.axes
        fixed, read = max(fixed, reader.access.fixed_bytes), max(read, reader.access.read_bytes)
        paths += dict.fromkeys((path, *getattr(reader, "paths", ())))
        status = os.stat(path)
        stamp = hash((stamp, status.st_size, status.st_mtime_ns))
    if first is None:
        raise InputError(
            f"{next(iter(lost.values()))}, and none of {counted(len(files), 'file')} can be opened"
        )
    if odd is not None:
        of_first = _summary(first)
        found = ", ".join(
            f"{counted(n, 'file')} {summary or of_first}" for summary, n in kinds.most_common(5)
        )
        what = f"is {odd[1]}, but {first_path} is {of_first}; planes must be alike ({found})"
        raise InputError(f"{odd[0]}: {what}: give a pattern or a list that leaves out what is unlike")
    many = f"{counted(uneven, 'plane')} of {len(files)}"
    notes = (SpacingNote(f"{many} have another spacing than the first, which is used"),) if uneven else ()
    access = replace(first.access, fixed_bytes=fixed, read_bytes=read)
    return Members(first, access, stamp, tuple(paths), lost, notes)


def alike(reader: Reader, first: Reader, grid: Grid) -> bool:
    """Return whether two files have in common what all files of a grid must."""
    return reader.spec is first.spec or _shared(reader, grid.axes) == _shared(first, grid.axes)


def lacking(error: InputError, damaged: int, files: int) -> InputError:
    """Return the error of a damaged file among others: that of the file, and what else can be done."""
    more = f" ({counted(damaged, 'file')} of {files} cannot be opened)" if damaged > 1 else ""
    way = "" if str(error).endswith(PARTIAL) else f", or {PARTIAL}"
    return type(error)(f"{error}{more}{way} (its plane is then missing)")


def channels_of(grid: Grid, how: How, first: Reader, lost: Collection[int]) -> tuple[Channel, ...]:
    """Return the channel of each value along c: named as in the files' names, unless these are numbers.

    The first file of each is opened for its name and colour.
    """
    values = grid.values["c"]
    own = [_channel_of(grid, how, i, lost) for i in range(min(len(values), MOST_CHANNELS))]
    own += [None] * (len(values) - len(own))
    names = [each.name for each in own if each is not None]
    told = len(set(names)) == len(values) and all(isinstance(value, int) for value in values)
    shown = names if told else map(str, values)
    colors = [None if each is None else each.color for each in own]
    return tuple(map(Channel, shown, colors))


def _channel_of(grid: Grid, how: How, index: int, lost: Collection[int]) -> Channel | None:
    there = grid.numbers.take(index, axis=grid.axes.index("c")).ravel()
    number = next((n for n in there.tolist() if n >= 0 and n not in lost), None)
    if number is None:
        return None
    with closing(how.open(grid.files[number])) as reader:
        return reader.spec.channels[0] if len(reader.spec.channels) == 1 else None


def _refuse_axes(reader: Reader, path: str, grid: Grid, *, plain: bool) -> None:
    spec = reader.spec
    shape = f"({' '.join(spec.dims)} = {' x '.join(map(str, spec.shape))})"
    if plain and not set(spec.dims) <= set("cyx"):
        what = f"holds more than a plane {shape}, and a folder is planes along z"
        raise InputError(f"{path}: {what}; open the file by itself, or say what the names mean by pattern=")
    if both := [name for name in grid.axes if name in spec.dims and name not in "yx"]:
        what = f"has the axis {both[0]} itself {shape}, and the names have it too"
        raise InputError(f"{path}: {what}; give a pattern with * in place of {{{both[0]}}}")


def _shared(reader: Reader, outer: Sequence[str]) -> tuple[object, ...]:
    spec = reader.spec
    channels = len(spec.channels) if "c" in outer else spec.channels
    return spec.dims, spec.shape, spec.dtype, channels, spec.scaling, spec.kind, parts_of(reader)


def _summary(reader: Reader) -> str:
    """Return what ``_shared`` compares, for a message."""
    spec = reader.spec
    sizes = " ".join(f"{axis.name} {axis.size}" for axis in spec.axes)
    colors = f", channels {' '.join(channel.name for channel in spec.channels)}" if spec.channels else ""
    slope = f", slope {spec.scaling.slope:g} and intercept {spec.scaling.intercept:g}" if spec.scaling else ""
    return f"{sizes} {'complex ' if parts_of(reader) else ''}{spec.dtype}{colors}{slope}"
