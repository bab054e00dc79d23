"""A reader of files that lie in a grid of axes: planes along z, or along t, c and z, or tiles along y and x.

Each file may have any format that bigimg reads, and axes of its own, such as colours or pages along z. Of files that
are read by window (tiles and strips), the last ``MOST_OPEN`` readers stay open, as many as a block is deep; one that
another takes the place of is closed when its last read ends. A file that must be decoded from its start is opened for
each read, and so once for each thread that reads it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.holes import each_box, hole_value, with_holes
from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.geometry.spec import ImageSpec, SpacingNote
from bigimg.reader import Access, Reader, as_kind, parts_of
from bigimg.readers.allowed import known_channels
from bigimg.readers.folders.grid import Grid
from bigimg.readers.folders.members import How, alike, channels_of, checked
from bigimg.readers.registry import find_format
from bigimg.system.shared import Lock
from bigimg.types import Array, Part, Region, Shape

MOST_OPEN = 320
"""Readers that stay open. A block is 256 planes deep, so its neighbour along x or y opens none again. Most systems let
a process open 1024 files."""

OPEN_BYTES = 32 << 20
"""Bytes that open readers may hold together; files that need more are opened for each read."""

READER_BYTES = 24 << 10
"""Of an open reader, in addition to its ``fixed_bytes``: objects and metadata, measured with small TIFFs."""

FILE_BYTES = 400
"""Of each file of the grid: its name, here and in a plan, and its number."""

MOST_NAMED = 5
"""Damaged files that are named in the notes."""


class GridReader:
    """Files in a grid as a source of pixels; see :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    grid : Grid
    source : str
        What they are together.
    how : How
        How each file is opened.
    notes, of_source : sequence of str
        More notes on the image, and such as have words of the names.
    plain : bool
        No pattern says what the files are, so each must be one plane.

    Raises
    ------
    InputError
        The files are not alike, or one cannot be opened.
    """

    def __init__(
        self, grid: Grid, source: str, how: How | None = None, *, notes: Sequence[str] = (),
        of_source: Sequence[str] = (), plain: bool = False,
    ) -> None:  # fmt: skip
        self.grid, self.source, self._how = grid, source, how or How()
        self._again = {"notes": notes, "of_source": of_source, "plain": plain}
        members = checked(grid, self._how, plain=plain)
        self._first, self._lost, self.paths = members.first, members.lost, members.paths
        self._stamp = members.stamp  # in a pickle, so that dask computes again where a file was written over
        self.parts = parts_of(members.first)
        name, access, count = find_format(members.first.source).name, members.access, len(grid.files)
        each_is = "planes" if {*grid.axes}.isdisjoint("yx") else "tiles"
        self.format = f"{count} {name} file{'s' * (count > 1)} as {each_is}"
        each = access.fixed_bytes + READER_BYTES
        room = min(MOST_OPEN, OPEN_BYTES // each) if access.kind == "random" else 0
        self._most_open = room if room >= min(count, 16) else 0
        spec = _whole(members.first.spec, grid, by_window=self._most_open > 0)
        if "c" in grid.values:
            channels, names = known_channels(channels_of(grid, self._how, members.first, members.lost))
            spec = replace(spec, channels=channels, private={**spec.private, **names})
        spec = replace(spec, notes=(*spec.notes, *members.notes, *notes))
        holes = _holes(spec, grid, members.lost)
        spec = with_holes(
            spec, holes, source=source, remedy="complete the files, or give a pattern of a part of them"
        )
        lost = [
            f"{error}: its plane is missing" for error in members.lost.values()
        ]  # names are kept in no store
        self.spec = replace(spec, of_source=(*spec.of_source, *of_source, *lost[:MOST_NAMED]))
        inner = members.first.spec.dims
        self._kept = tuple(slice(None) if axis in inner else None for axis in self.spec.dims)
        self._steps = tuple(members.first.spec.sizes[axis] if axis in inner else 1 for axis in grid.axes)
        order = (*(axis for axis in grid.axes if axis not in inner), *(access.order or inner))
        fixed, read = min(self._most_open, count) * each, 0 if self._most_open else each
        self.access = Access(
            "random", f"{self.format}: {access.why}", order,
            fixed_bytes=fixed + count * FILE_BYTES, read_bytes=access.read_bytes + read,
        )  # fmt: skip
        self._lock = Lock()
        self._open: OrderedDict[int, _Lent] = OrderedDict()

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``, file by file."""
        dims, axes = self.spec.dims, self.grid.axes
        along = dict(zip(dims, region, strict=True))
        wanted = list(pieces(tuple(along[axis] for axis in axes), self._steps))
        if len(wanted) == 1:
            return self._read_file(along, *wanted[0])
        starts = tuple(s.start for s in region)
        out = np.empty(shape_of(region), self.spec.dtype)
        for index, piece in wanted:
            part = along | dict(zip(axes, piece, strict=True))
            out[shift(tuple(part.values()), starts)] = self._read_file(part, index, piece)
        return out

    def indices(self) -> GridReader | None:
        """Return a reader of the indices into the palettes; None where the first file has none."""
        with closing(self._how.open(self._first.source)) as first, closing(as_kind(first, "labels")) as found:
            if found is first:
                return None
        return self._with(replace(self._how, kind="labels"))

    def of_part(self, part: Part) -> GridReader:
        """Return the reader of one part of complex values."""
        return self._with(replace(self._how, part=part))

    def close(self) -> None:
        """Let go of the files, of those that are being read afterwards; a later read opens those it needs."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].leave()

    def _with(self, how: How) -> GridReader:
        return GridReader(self.grid, self.source, how, **self._again)  # type: ignore[arg-type]

    def _read_file(self, along: dict[str, slice], index: Shape, piece: Region) -> Array:
        """Return what lies ``along`` the axes of the image in the file at ``index``, and in ``piece`` of the grid."""
        starts = (i * step for i, step in zip(index, self._steps, strict=True))
        within = along | dict(zip(self.grid.axes, shift(piece, tuple(starts)), strict=True))
        inner = tuple(s for s, kept in zip(within.values(), self._kept, strict=True) if kept)
        return self._pixels(int(self.grid.numbers[index]), inner)[self._kept]

    def _pixels(self, number: int, within: Region) -> Array:
        if number < 0 or number in self._lost:
            return np.full(shape_of(within), hole_value(self.spec.dtype, self.spec.padding), self.spec.dtype)
        if self._most_open:
            lent = self._lend(number)
            try:
                return lent.reader.read(within)
            finally:
                with self._lock:
                    lent.give_back()
        with closing(self._opened(number)) as reader:  # it begins at the top, so no stream is read backwards
            return reader.read(within)

    def _lend(self, number: int) -> _Lent:
        """Return an open reader of a file; at the limit, the reader that was used longest ago leaves the others."""
        with self._lock:
            lent = self._open.pop(number, None) or _Lent(self._opened(number))
            self._open[number] = lent
            lent.users += 1
            if len(self._open) > self._most_open:
                self._open.popitem(last=False)[1].leave()
        return lent

    def _opened(self, number: int) -> Reader:
        path = self.grid.files[number]
        reader = self._how.open(path, self._first)
        if not alike(reader, self._first, self.grid):
            reader.close()
            raise InputError(f"{path}: has changed since it was opened; open the files again")
        return reader

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": OrderedDict()}


@dataclass(slots=True, eq=False)
class _Lent:
    """An open reader and the reads under way from it; it is closed when it has left the others and the last one ends.

    Its methods are called under the lock of the grid.
    """

    reader: Reader
    users: int = 0
    left: bool = False

    def leave(self) -> None:
        """Close the reader, if nothing reads from it, or else with the last read."""
        self.left = True
        if not self.users:
            self.reader.close()

    def give_back(self) -> None:
        """End one read."""
        self.users -= 1
        if self.left and not self.users:
            self.reader.close()


def _whole(file: ImageSpec, grid: Grid, *, by_window: bool) -> ImageSpec:
    """Return the description of the whole grid of files like ``file``."""
    count = dict(zip(grid.axes, grid.numbers.shape, strict=True))
    chunk = dict(zip(file.dims, file.chunks if by_window else file.shape, strict=True))
    axes = {axis.name: axis for axis in file.axes}
    for name, n in count.items():
        size = file.sizes.get(name, 1)
        if name in axes and n > 1 and size % chunk[name]:
            chunk[name] = size  # the pieces of a tile do not line up with those of the next
        axes[name] = replace(axes[name], size=n * size) if name in axes else Axis(name, n)
    dims = [name for name in ORDER if name in axes]
    notes = list(file.notes)
    if apart := "".join(name for name in "tz" if name in count):
        said = "files of planes do not say how far apart the planes are: 1 is assumed along"
        notes.append(SpacingNote.along(said, apart))
    if file.world is not None:
        notes.append("the position of each plane in the world is left out")
    return replace(
        file, axes=tuple(axes[name] for name in dims), chunks=tuple(chunk.get(name, 1) for name in dims), world=None,
        window=None if count.get("c", 1) > 1 else file.window, channels=() if "c" in count else file.channels,
        notes=tuple(notes),
    )  # fmt: skip


def _holes(spec: ImageSpec, grid: Grid, lost: Collection[int]) -> Iterator[Region]:
    """Return where no file is, or one that is ``lost``."""
    gone = np.isin(grid.numbers, [-1, *lost])
    count = dict(zip(grid.axes, grid.numbers.shape, strict=True))
    cells = gone.reshape([count.get(name, 1) for name in spec.dims])
    edges = [range(0, n + 1, n // count.get(name, 1)) for name, n in zip(spec.dims, spec.shape, strict=True)]
    return each_box(cells, edges)
