"""Patches of an image as a lazy sequence: nothing is read, and no list of all patches is made, before it is needed."""

from __future__ import annotations

import functools
import operator
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import xarray
from xarray import Coordinates, Dataset, Variable

from bigimg.lazy.blocks import explicit
from bigimg.opening.open import Memory
from bigimg.ops.arguments import check_channels
from bigimg.ops.patches.coverage import CoveredGrid, CoveredRandom
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.labels import Labels
from bigimg.ops.patches.positions import Grid, Positions, Random, Subset
from bigimg.planning.room import room
from bigimg.types import Array, Shape

MOST_BLOCKS = 100_000
ROWS = 1_000_000
"""Rows of a table of coordinates that are computed at once."""
SHOWN = 100_000
"""Patches whose positions are computed at once, which takes some milliseconds and megabytes; of more they are lazy."""


class Patches(Sequence["xarray.DataArray"]):
    """Patches of one size, read one by one; made by :func:`bigimg.patches`.

    ``patches[5]`` reads one patch and returns it as a DataArray. Slices and arrays of numbers or booleans return fewer
    patches, still lazy. Iterating reads ahead, in the order that is fastest to read; the coordinate ``patch`` of each
    patch is its number. Unpickled patches open their files again.
    """

    def __init__(
        self, cutter: Cutter, positions: Positions, labels: Labels, source: str, *, seed: int | None = None
    ) -> None:
        self.cutter, self.positions, self.labels, self.source = cutter, positions, labels, source
        self.seed = seed
        """Seed of random patches; the same seed gives the same patches again."""

    # ------------------------------------------------------------------------------------------------ what it is

    @property
    def dims(self) -> tuple[str, ...]:
        """Axes of a patch."""
        return self.labels.kept

    @property
    def shape(self) -> Shape:
        """Number of patches, and pixels of one; with ``where=`` the mask is read for it."""
        return (len(self), *self.labels.shape(self.cutter.patch))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.cutter.dtype

    @property
    def paths(self) -> list[str]:
        """Absolute names of the files of the pixels, and of the mask that selected the patches."""
        mask = getattr(self._among, "mask", None)
        return [*self.cutter.files, *(() if mask is None else mask.files)]

    @property
    def nbytes(self) -> int:
        """Bytes of all patches together."""
        return len(self) * self.cutter.nbytes

    def __len__(self) -> int:
        return self.positions.count

    def __repr__(self) -> str:
        how = {Grid: "a grid", CoveredGrid: "a grid, where the mask covers them", Random: "random",
               CoveredRandom: "random, where the mask covers them"}[type(self._among)]  # fmt: skip
        counted = getattr(self.positions, "counted", True)
        many = f"{len(self):,}" if counted else "not yet counted:"
        size = zip(self.dims, self.labels.shape(self.cutter.patch), strict=True)
        seed = f", seed={self.seed}" if self.seed is not None else ""
        return f"<Patches {many} of {' '.join(f'{n} {s}' for n, s in size)}, {self.dtype}; {how}{seed}; {self.source}>"

    # ------------------------------------------------------------------------------------------------ one by one

    @overload
    def __getitem__(self, key: int) -> xarray.DataArray: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._some(range(len(self))[key])
        if isinstance(key, list | tuple | np.ndarray) and np.ndim(key) == 1:
            return self._some(self._checked(np.asarray(key)))
        rank = self._rank(key)
        start, number = self._start(rank), int(self._numbers(np.array([rank]))[0])
        return self.labels.image(self.cutter.read(start), start, number)

    def __getitems__(self, keys: Sequence[int]) -> list[Array]:
        """Return a batch as numpy arrays with the channels first, for torch's loader, which cannot join DataArrays."""
        return self.arrays("first").__getitems__(keys)

    def __iter__(self) -> Iterator[xarray.DataArray]:
        return (image for _, image in self._images())

    def in_order(self) -> list[xarray.DataArray]:
        """Return all patches as a list, sorted by number; they are read in the order that is fastest."""
        return [image for _, image in sorted(self._images(), key=operator.itemgetter(0))]

    def items(self, channels: str = "last") -> Iterator[tuple[int, Array]]:
        """Yield index and pixels of every patch as numpy, in the order that is fastest to read.

        Parameters
        ----------
        channels : {"last", "first"}
            Where the axis c is.
        """
        check_channels(channels)
        for ranks, cuts in self.cutter.read_all(self.positions):
            for rank, pixels in zip(ranks.tolist(), cuts, strict=True):
                yield rank, self.labels.plain(pixels, channels)

    def arrays(self, channels: str = "last") -> PatchArrays:
        """Return the patches as a sequence of numpy arrays, which serves as a ``torch.utils.data.Dataset``.

        Parameters
        ----------
        channels : {"last", "first"}
            Where the axis c is; torch needs it first.
        """
        check_channels(channels)
        return PatchArrays(self, channels)

    def dataset(self, channels: str = "first") -> PatchArrays:
        """Return the patches for torch: arrays with the channels first, one by one and in batches.

        Also for ``ConcatDataset``, ``Subset`` and ``batch_size=None``, which ask for one item at a time: torch makes
        tensors of arrays, and a DataArray, which ``patches[i]`` is, stays one.

        Parameters
        ----------
        channels : {"first", "last"}
            Where the axis c is.
        """
        return self.arrays(channels)

    # ---------------------------------------------------------------------------------------------- all together

    def stack(self, channels: str = "last", *, memory: Memory = None) -> Array:
        """Return all patches as one array, in order.

        Parameters
        ----------
        channels : {"last", "first"}
            Where the axis c is.
        memory : int or str, optional
            The budget, as in :func:`bigimg.open`.

        Returns
        -------
        ndarray of shape (n, y, x, c), or (n, y, x) without channels
            As ``sklearn.feature_extraction.image.extract_patches_2d`` gives them.

        Raises
        ------
        BudgetError
            They do not fit ``memory``.
        """
        check_channels(channels)
        parts = {f"{len(self):,} patches": self.nbytes, "pieces": self.cutter.least_bytes}
        room(memory).take(self.source, parts, "iterate, or stack a slice of them")
        return self.joined(channels)

    def joined(self, channels: str) -> Array:
        """Return all patches as one array, without a check of the memory."""
        out = np.empty((len(self), *self.labels.shape(self.cutter.patch, channels)), self.dtype)
        for rank, pixels in self.items(channels):
            out[rank] = pixels
        return out

    @property
    def coords(self) -> xarray.Dataset:
        """Positions of the patches: number of each ``patch``, and for each axis its first pixel and the coordinate.

        They are lazy for more than 100,000 patches and for random patches that a mask has to cover; else computed.
        ``y_index`` is the first pixel along y, ``y_position`` the coordinate of its centre, in the unit of the axis.
        """
        import dask
        import dask.array as da

        rows = max(ROWS, -(-len(self) // 1000))
        # To make names, dask would pickle the functions, with the mask or the image in them.
        ranks = da.arange(len(self), chunks=rows, dtype=np.int64)
        names = [name for name in self.labels.dims if name != "c"]
        starts = ranks.map_blocks(
            self.positions.starts, new_axis=1, chunks=(ranks.chunks[0], (len(names),)), dtype=np.int64,
            meta=np.empty((0, 0), np.int64), name=_name(),
        )  # fmt: skip
        numbers = ranks
        if isinstance(self.positions, Subset):
            numbers = ranks.map_blocks(
                self.positions.numbers, dtype=np.int64, meta=np.empty(0, np.int64), name=_name()
            )
        found: dict[str, Any] = {"patch": ("patch", numbers)}
        for i, name in enumerate(names):
            line = starts[:, i]
            values, attrs = self.labels.lines[name]
            locate = functools.partial(self.labels.position, name)
            position = line.map_blocks(locate, meta=values[:0], name=_name()).astype(np.float64)
            units = {key: value for key, value in attrs.items() if key == "units"}
            found[f"{name}_index"] = ("patch", line)
            found[f"{name}_position"] = ("patch", position, units)
        table = Dataset(coords=Coordinates(found, indexes={}))  # an index would compute them now
        if len(self) > SHOWN or isinstance(self._among, CoveredRandom):
            return table
        return table.compute(scheduler=dask.get)  # given its name instead, dask would import distributed

    def to_dataset(self) -> xarray.Dataset:
        """Return all patches as ``image`` along the new axis ``patch``, lazy, with :attr:`coords`.

        Coordinates along the axes of a patch are distances from its first pixel.
        """
        import dask.array as da

        several = max(1, self.cutter.block_bytes // max(1, self.cutter.nbytes), -(-len(self) // MOST_BLOCKS))
        stack = _LazyStack(self)
        cut = explicit((several, *stack.shape[1:]), stack.shape)
        data = da.from_array(stack, cut, name=_name(), asarray=False, fancy=False)
        inner = {
            name: Variable(
                (name,), np.arange(size) * self.labels.spacing(name), dict(self.labels.lines[name][1])
            )
            for name, size in zip(self.dims, stack.shape[1:], strict=True)
            if name != "c"
        }
        found = self.coords.assign_coords({**inner, **self.labels.channels})
        found["image"] = (("patch", *self.dims), data, dict(self.labels.attrs))
        return found

    # ------------------------------------------------------------------------------------------------------ inside

    @property
    def _among(self) -> Positions:
        """Positions of all patches from which these were chosen."""
        return self.positions.positions if isinstance(self.positions, Subset) else self.positions

    def _images(self) -> Iterator[tuple[int, xarray.DataArray]]:
        """Yield index and patch, in the order that is fastest to read."""
        for ranks, cuts in self.cutter.read_all(self.positions):
            starts = self.positions.starts(ranks).tolist()
            numbers = self._numbers(ranks).tolist()
            for rank, number, start, pixels in zip(ranks.tolist(), numbers, starts, cuts, strict=True):
                yield rank, self.labels.image(pixels, start, number)

    def _start(self, rank: int) -> list[int]:
        found: list[int] = self.positions.starts(np.array([rank]))[0].tolist()
        return found

    def _numbers(self, ranks: Array) -> Array:
        return self.positions.numbers(ranks) if isinstance(self.positions, Subset) else ranks

    def _rank(self, key: Any) -> int:
        if not hasattr(key, "__index__"):
            raise TypeError(f"patch {key!r}: give a whole number, a slice, or a list of either")
        rank, many = operator.index(key), len(self)
        if not -many <= rank < many:
            raise IndexError(f"patch {rank} of {many}: give {-many} to {many - 1}")
        return rank % many

    def _checked(self, key: Array) -> Array:
        many = len(self)
        if key.dtype == bool:
            if len(key) != many:
                raise IndexError(f"{len(key)} booleans for {many} patches: give one each")
            return np.flatnonzero(key)
        if key.size and key.dtype.kind not in "iu":
            raise IndexError(f"patches are chosen by whole numbers, not {key.dtype}")
        numbers = key.astype(np.int64)
        if key.size and not (-many <= numbers.min() and numbers.max() < many):
            raise IndexError(f"patch {numbers.max()} of {many}: give {-many} to {many - 1}")
        return numbers % many if many else numbers

    def _some(self, chosen: range | Array) -> Patches:
        of = self.positions
        some = Subset(of.positions, of.within(chosen)) if isinstance(of, Subset) else Subset(of, chosen)
        return Patches(self.cutter, some, self.labels, self.source, seed=self.seed)


class PatchArrays(Sequence[Array]):
    """Patches as numpy arrays, with ``len`` and ``[i]`` for a loader of batches."""

    def __init__(self, patches: Patches, channels: str) -> None:
        self.patches, self.channels = patches, channels

    def __len__(self) -> int:
        return len(self.patches)

    @overload
    def __getitem__(self, key: int) -> Array: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice | list | np.ndarray):
            return PatchArrays(self.patches[key], self.channels)
        start = self.patches._start(self.patches._rank(key))
        return self._plain(self.patches.cutter.read(start))

    def __getitems__(self, keys: Sequence[int]) -> list[Array]:
        """Return the arrays of a batch, which torch needs together; they are read in a good order."""
        ranks = [self.patches._rank(key) for key in keys]
        starts = self.patches.positions.starts(np.array(ranks, np.int64)).tolist()
        found: list[Array | None] = [None] * len(ranks)
        for i in sorted(range(len(ranks)), key=starts.__getitem__):
            found[i] = self._plain(self.patches.cutter.read(starts[i]))
        return found  # type: ignore[return-value]  # all are filled in

    def _plain(self, pixels: Array) -> Array:
        return np.ascontiguousarray(self.patches.labels.plain(pixels, self.channels))


class _LazyStack:
    """All patches as one array that is read when it is sliced, for dask."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches
        self.shape, self.dtype, self.ndim = patches.shape, patches.dtype, len(patches.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> Array:
        found: Array = self.patches[key[0]].joined("first")
        return found[(slice(None), *key[1:])]


def _name() -> str:
    """Return the name of a dask array."""
    return f"patches-{uuid.uuid4().hex}"
