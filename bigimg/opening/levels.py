"""The levels of an image: their number, level -1, and the smallest level that is large enough."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from bigimg.errors import UsageError
from bigimg.geometry.levels import checked_level, smallest
from bigimg.reader import Reader

if TYPE_CHECKING:
    import xarray


class Levels[Image]:
    """The levels of an image, each made at its first use; an image without levels has one.

    Parameters
    ----------
    count : int
    make : callable
        From the number of a level, counted from 0, to its image or its reader.
    source : str
        What to call the image in messages.
    """

    def __init__(self, count: int, make: Callable[[int], Image], source: str) -> None:
        self._count, self._make, self._source = count, make, source
        self._made: dict[int, Image] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, level: int) -> Image:
        """Return a level; -1 is the smallest.

        Raises
        ------
        UsageError
            There is no such level.
        """
        number = checked_level(level, self._count, self._source)
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def __iter__(self) -> Iterator[Image]:
        return self.starting(0)

    def starting(self, level: int) -> Iterator[Image]:
        """Yield a level and each smaller one."""
        return map(self.__getitem__, range(checked_level(level, self._count, self._source), self._count))

    @property
    def base(self) -> Image:
        """Full resolution."""
        return self[0]

    def map[Other](self, function: Callable[[Image], Other]) -> Levels[Other]:
        """Return the results of ``function`` for each level, each made at its first use."""
        return Levels(self._count, lambda level: function(self[level]), self._source)

    def fitting(self, wanted: Mapping[str, float]) -> int:
        """Return the smallest level with at least ``wanted`` pixels along each of these axes; 0 if there is none."""
        return smallest(self._count, lambda level: _sizes(self[level]), wanted)


def _sizes(image: Any) -> Mapping[Any, int]:
    if hasattr(image, "sizes"):
        return dict(image.sizes)
    return dict(zip(image.spec.dims, image.spec.shape, strict=True))


def levels_of_reader(reader: Reader) -> Levels[Reader]:
    """Return a reader of each level, beginning with that of ``reader``."""
    from bigimg.omezarr.store import StoreReader

    if not isinstance(reader, StoreReader):
        return Levels(1, lambda _: reader, reader.source)
    store, first = reader.store, reader.level
    return Levels(
        len(store.levels) - first,
        lambda level: StoreReader(store, first + level) if level else reader,
        reader.source,
    )


def is_tree(source: object) -> TypeGuard[xarray.DataTree]:
    """Return whether ``source`` is a DataTree; xarray is not imported for it."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(source, xarray.DataTree)


def levels_of_tree(tree: xarray.DataTree) -> Levels[xarray.DataArray]:
    """Return the images of a pyramid: those of ``scale0`` to ``scaleN``.

    Raises
    ------
    UsageError
        The tree is no pyramid of bigimg.
    """
    found = (name for name in tree.children if name.startswith("scale"))
    names = sorted(found, key=lambda name: int(name[5:] or 0))
    if not names:
        raise UsageError("the DataTree has no scale0: open a pyramid with bigimg.open_pyramid")
    return Levels(len(names), lambda level: tree[names[level]].dataset["image"], "the pyramid")
