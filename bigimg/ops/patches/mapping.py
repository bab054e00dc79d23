"""A function of patches as an image: read when a region is asked for, from the patches that touch it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.chunks import default_chunks, default_shards
from bigimg.geometry.region import shape_of, shift
from bigimg.geometry.spec import Channel, ImageSpec
from bigimg.lazy.leaves import scaled
from bigimg.ops.arguments import as_dtype
from bigimg.ops.patches.blending import Blend, Blended, gapless, held_bytes
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.labels import Labels
from bigimg.ops.patches.positions import Grid
from bigimg.ops.patches.sequence import Patches
from bigimg.planning.blocks import plan_traversal
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import Array, DType, Json, Kind, Region, Shape

type Func = Callable[[Array], Array]

SLAB_BYTES = 64_000_000
"""Of the source, read at once for all patches of a region; row of patches by row where it would be more."""
FUNC_COPIES = 4
"""Times a patch and its result that the function may hold meanwhile."""


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
        Where ``func`` finds and leaves the axis c.
    made : int or None
        Channels of the result; None for no such axis.
    dtype : numpy dtype
        Of the result.
    identity : Json
        See :class:`~bigimg.ops.patches.blending.Maker`.
    """

    def __init__(
        self,
        func: Func,
        cutter: Cutter,
        grid: Grid,
        labels: Labels,
        channels: str,
        made: int | None,
        dtype: DType,
        identity: Json,
    ) -> None:
        self.func, self.cutter, self.grid, self.labels, self.channels = func, cutter, grid, labels, channels
        self.made, self.dtype, self.identity = made, dtype, identity

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
            region = self._region([range(i, i + 1) for i in index])
            inside = tuple(
                slice(s.start, min(s.stop, n)) for s, n in zip(region, self.cutter.shape, strict=True)
            )
            yield index, self._called(stored[shift(inside, origin)])

    def _around(self, cells: Sequence[range]) -> Region:
        """Return what of the source lies under a box of patches."""
        region = self._region(cells)
        return tuple(slice(s.start, min(s.stop, n)) for s, n in zip(region, self.cutter.shape, strict=True))

    def _region(self, cells: Sequence[range]) -> Region:
        whole = [slice(0, n) for n in self.cutter.patch]
        for line, numbers, axis in zip(self.grid.lines, cells, self.cutter.axes, strict=True):
            low, high = line.starts(np.array([numbers.start, numbers.stop - 1])).tolist()
            whole[axis] = slice(low, high + line.patch)
        return tuple(whole)

    def _called(self, stored: Array) -> Array:
        """Return the result for one patch of the source, with all axes of the result."""
        cutter, found = self.cutter, stored
        if cutter.scaling is not None:
            found = scaled(stored, cutter.scaling, cutter.dtype)
        if found.shape != cutter.patch:
            padded = np.full(cutter.patch, cutter.fill, cutter.dtype)
            padded[tuple(slice(0, n) for n in found.shape)] = found
            found = padded
        result = self.called(found)
        if result.dtype != self.dtype:
            if not np.can_cast(result.dtype, self.dtype, "same_kind"):
                raise UsageError(
                    f"the function gave {result.dtype} for a patch, expected {self.dtype}: give dtype='{result.dtype}'"
                )
            result = result.astype(self.dtype)
        has = result.shape[self._channel_axis()] if result.ndim > len(self._sides()) else None
        if has != self.made:
            raise UsageError(f"the function gave {has} channels for a patch, and {self.made} for another one")
        return self._with_all_axes(result)

    def called(self, patch: Array) -> Array:
        """Return what ``func`` makes of one patch; its size is checked.

        Raises
        ------
        UsageError
            It has another size than the patch.
        """
        # An own copy: a function may write to what it is given, and neighbours share these pixels.
        given = np.array(self.labels.plain(patch, self.channels), order="C")
        result = np.asarray(self.func(given))
        sides, ndim = self._sides(), result.ndim
        spatial = result.shape
        if ndim == len(sides) + 1:
            axis = self._channel_axis()
            spatial = tuple(n for i, n in enumerate(result.shape) if i != axis)
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

    def _channel_axis(self) -> int:
        """Return where the function leaves c: the end, or its place in the order of the axes."""
        if self.channels == "last":
            return len(self._sides())
        return 1 if "t" in self.labels.kept else 0

    def _with_all_axes(self, result: Array) -> Array:
        axes = [name for name in self.labels.kept if name != "c"]
        if self.made is not None:
            axes.insert(1 if "t" in axes else 0, "c")
            if self.channels == "last":
                result = np.moveaxis(result, -1, axes.index("c"))
        every = [
            name for name in "tczyx" if name in self.labels.dims and (name != "c" or self.made is not None)
        ]
        every += ["c"] if self.made is not None and "c" not in every else []
        every.sort(key="tczyx".index)
        return result.reshape([result.shape[axes.index(name)] if name in axes else 1 for name in every])


def mapped(
    func: Func,
    patches: Patches,
    *,
    blend: Blend,
    channels: str,
    dtype: Any,
    made: int | None,
    token: Json,
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
    maker = Mapped(
        func,
        cutter,
        grid,
        labels,
        channels,
        made,
        np.dtype(np.uint8) if dtype is None else as_dtype(dtype),
        token,
    )
    if dtype is None or made is None:
        tried = maker.called(cutter.read([0] * len(names)))
        maker.dtype = tried.dtype if dtype is None else maker.dtype
        maker.made = tried.shape[maker._channel_axis()] if tried.ndim > len(maker._sides()) else None
    if maker.dtype.kind not in "buif" or maker.dtype.itemsize > 8:
        raise InputError(f"the function gives {maker.dtype}: an image holds booleans, integers or floats")
    spec = _spec(patches, maker)
    access = cutter.reader.access
    band = plan_traversal(spec, access, default_shards(spec, default_chunks(spec.axes))).band
    axes = [i for i, name in enumerate(spec.dims) if name != "c"]
    count = 1 if maker.made is None else maker.made
    patch = cutter.nbytes + math.prod(line.patch for line in grid.lines) * count * maker.dtype.itemsize
    under = math.prod(min(n, b + 2 * line.patch) for n, b, line in zip(
        (spec.shape[i] for i in axes), (band[i] for i in axes), grid.lines, strict=True
    )) * (cutter.nbytes // math.prod(line.patch for line in grid.lines))  # fmt: skip
    slab = min(under, max(SLAB_BYTES, cutter.nbytes))
    read_bytes = slab + access.read_bytes + FUNC_COPIES * patch + held_bytes(grid, axes, band, count)
    sizes = " x ".join(str(line.patch) for line in grid.lines if line.patch > 1)
    why = f"patches of {sizes or '1'} after a function"
    found = replace(access, kind="random", why=why, order=(), read_bytes=read_bytes, wide=False)
    return Blended(grid, spec, blend, maker, found, patches.source)


def _spec(patches: Patches, maker: Mapped) -> ImageSpec:
    """Return what the result is: the axes of the image, and the channels that the function makes."""
    nothing = np.broadcast_to(np.zeros((), patches.dtype), maker.cutter.shape)
    own = read_labelled(patches.labels.whole(nothing)).spec
    axes = {axis.name: axis for axis in own.axes if axis.name != "c"}
    channels: tuple[Channel, ...] = ()
    if maker.made is not None:
        axes["c"] = Axis("c", maker.made)
        channels = own.channels if len(own.channels) == maker.made else ()
    dims = sorted(axes, key="tczyx".index)
    strides = dict(
        zip((n for n in own.dims if n != "c"), (line.stride for line in maker.grid.lines), strict=True)
    )
    chunks = tuple(min(strides.get(name, axes[name].size), axes[name].size) for name in dims)
    kind: Kind = "mask" if maker.dtype.kind == "b" else "image"
    return replace(
        own, axes=tuple(axes[name] for name in dims), dtype=maker.dtype, chunks=chunks, channels=channels,
        kind=kind, scaling=None, window=None, padding=None,
    )  # fmt: skip


def digest_of(func: Func) -> Json:
    """Return the same text for the same function another time, or None when only its maker could tell.

    A plain function of a module is its name and its code. What else it uses, a closure, an object with weights, is
    not seen.
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
