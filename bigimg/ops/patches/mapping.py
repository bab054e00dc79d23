"""A function of patches as an image: a region is made from the patches that touch it, when it is read."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, UsageError
from bigimg.geometry.chunks import default_chunks, default_shards
from bigimg.geometry.region import shape_of, shift
from bigimg.ops.arguments import as_dtype
from bigimg.ops.patches.blending import Blend, Blended, gapless, held_bytes
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.labels import Labels
from bigimg.ops.patches.positions import Grid
from bigimg.ops.patches.sequence import Patches
from bigimg.ops.patches.sources import spec_of
from bigimg.planning.blocks import plan_traversal
from bigimg.types import Array, DType, Json, Region, Shape

type Func = Callable[[Array], Array]

SLAB_BYTES = 64_000_000
"""Source pixels that are read at once for all patches of a region; if there are more, row by row of patches."""
FUNC_COPIES = 4
"""The memory of a function, in patches and their results."""


@dataclass(eq=False)
class Mapped:
    """Patches of a source after ``func``; a :class:`~bigimg.ops.patches.blending.Maker`.

    Parameters
    ----------
    func : callable
        From a patch to one of the same size along its axes of space and time.
    cutter : Cutter
        Of the source.
    grid : Grid
    labels : Labels
        Say which axes a patch has.
    channels : {"last", "first"}
        Where the axis c is in the patch and in the result of ``func``.
    made : int or None
        Channels of the result; None for no such axis.
    dtype : numpy dtype
        Of the result.
    identity : Json
        See :class:`~bigimg.ops.patches.blending.Maker`.
    """

    func: Func
    cutter: Cutter
    grid: Grid
    labels: Labels
    channels: str
    made: int | None
    dtype: DType
    identity: Json

    def make(self, cells: Sequence[range]) -> Iterator[tuple[Shape, Array]]:
        """Yield index and result of the patches in a box of the grid, in C order."""
        if math.prod(shape_of(self._around(cells))) * self.cutter.reader.spec.dtype.itemsize <= SLAB_BYTES:
            yield from self._from_slab(cells)
            return
        for axis, numbers in enumerate(cells):
            if len(numbers) > 1:
                for i in numbers:
                    yield from self.make([*cells[:axis], range(i, i + 1), *cells[axis + 1 :]])
                return
        yield from self._from_slab(cells)

    def _from_slab(self, cells: Sequence[range]) -> Iterator[tuple[Shape, Array]]:
        slab = self._around(cells)
        stored = self.cutter.reader.read(slab)
        origin = tuple(s.start for s in slab)
        for index in itertools.product(*cells):
            inside = self._around([range(i, i + 1) for i in index])
            yield index, self._result(stored[shift(inside, origin)])

    def _around(self, cells: Sequence[range]) -> Region:
        """Return the region of the source under a box of patches."""
        whole = [slice(0, n) for n in self.cutter.patch]
        for line, numbers, axis in zip(self.grid.lines, cells, self.cutter.axes, strict=True):
            low, high = line.starts(np.array([numbers.start, numbers.stop - 1])).tolist()
            whole[axis] = slice(low, min(high + line.patch, self.cutter.shape[axis]))
        return tuple(whole)

    def _result(self, stored: Array) -> Array:
        """Return the result for one patch of the source, with all axes of the result."""
        result = self.called(self.cutter.finished(stored))
        if result.dtype != self.dtype:
            if not np.can_cast(result.dtype, self.dtype, "same_kind"):
                raise UsageError(
                    f"the function gave {result.dtype} for a patch, expected {self.dtype}: give dtype='{result.dtype}'"
                )
            result = result.astype(self.dtype)
        if (has := self.channels_of(result)) != self.made:
            raise UsageError(f"the function gave {has} channels for a patch, and {self.made} for another one")
        return self.labels.with_all_axes(result, self.channels)

    def channels_of(self, result: Array) -> int | None:
        """Return how many channels a result has; None for no such axis."""
        has_c = result.ndim > len(self._sides())
        return result.shape[self.labels.channel_axis(self.channels)] if has_c else None

    def called(self, patch: Array) -> Array:
        """Return ``func`` of one patch; the size of the result is checked.

        Raises
        ------
        UsageError
            It has another size than the patch.
        """
        # A copy: a function may write to it, and neighbours share these pixels.
        given = np.array(self.labels.plain(patch, self.channels), order="C")
        result = np.asarray(self.func(given))
        sides, ndim = self._sides(), result.ndim
        spatial = result.shape
        if ndim == len(sides) + 1:
            axis = self.labels.channel_axis(self.channels)
            spatial = (*spatial[:axis], *spatial[axis + 1 :])
        if spatial != sides:
            expected = " x ".join(map(str, sides))
            raise UsageError(
                f"the function gave shape {result.shape} for a patch of shape {given.shape}: it must keep {expected}, "
                f"with channels {self.channels} if there are any"
            )
        return result

    def _sides(self) -> Shape:
        named = zip(self.cutter.patch, self.labels.dims, strict=True)
        return tuple(n for n, name in named if name in self.labels.kept and name != "c")


def mapped(
    func: Func, patches: Patches, *, blend: Blend, channels: str, dtype: Any, made: int | None, token: Json
) -> Blended:
    """Return the image of ``func`` of the patches of a grid.

    Parameters
    ----------
    dtype, made : optional
        Type and channels of the result; where one is not given, the first patch is read and tried.
    """
    if not callable(func):
        raise UsageError(f"map_patches: func={func!r} is no function; give one of the pixels of a patch")
    grid, cutter, labels = patches.positions, patches.cutter, patches.labels
    assert isinstance(grid, Grid)
    names = [name for name in labels.dims if name != "c"]
    gapless(grid, names)
    kind = np.dtype(np.uint8) if dtype is None else as_dtype(dtype)
    maker = Mapped(func, cutter, grid, labels, channels, made, kind, token)
    if dtype is None or made is None:
        tried = maker.called(cutter.read([0] * len(names)))
        maker.dtype = tried.dtype if dtype is None else maker.dtype
        maker.made = maker.channels_of(tried)
    if maker.dtype.kind not in "buif" or maker.dtype.itemsize > 8:
        raise InputError(f"the function gives {maker.dtype}: an image holds booleans, integers or floats")
    of = "mask" if maker.dtype.kind == "b" else "image"
    spec = spec_of(patches, grid, maker.dtype, maker.made, kind=of, window=None, padding=None, missing=())
    access = cutter.reader.access
    band = plan_traversal(spec, access, default_shards(spec, default_chunks(spec.axes))).band
    axes = [i for i, name in enumerate(spec.dims) if name != "c"]
    count = 1 if maker.made is None else maker.made
    patch = cutter.nbytes + math.prod(line.patch for line in grid.lines) * count * maker.dtype.itemsize
    sides = zip((spec.shape[i] for i in axes), (band[i] for i in axes), grid.lines, strict=True)
    around = math.prod(min(n, b + 2 * line.patch) for n, b, line in sides)
    under = around * (cutter.nbytes // math.prod(line.patch for line in grid.lines))
    slab = min(under, max(SLAB_BYTES, cutter.nbytes))
    read_bytes = slab + access.read_bytes + FUNC_COPIES * patch + held_bytes(grid, axes, band, count)
    sizes = " x ".join(str(line.patch) for line in grid.lines if line.patch > 1)
    why = f"patches of {sizes or '1'} after a function"
    found = replace(access, kind="random", why=why, order=(), read_bytes=read_bytes, wide=False)
    return Blended(grid, spec, blend, maker, found, patches.source, patches.paths)


def digest_of(func: Func) -> Json:
    """Return the same text for the same function in another process, or None if that cannot be known.

    The text of a plain function of a module is made from its name and its code. A function with a closure, or a method,
    has none. Other things that a function uses, as global variables, are not noticed.
    """
    code = getattr(func, "__code__", None)
    if code is None or getattr(func, "__closure__", None) or getattr(func, "__self__", None) is not None:
        return None
    seen = hashlib.sha256()
    for part in _parts(code):
        seen.update(part)
    seen.update(repr((func.__defaults__, func.__kwdefaults__)).encode())
    return f"{func.__module__}.{func.__qualname__} {seen.hexdigest()[:32]}"


def _parts(code: Any) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from _parts(constant)
        else:
            yield repr(constant).encode()
