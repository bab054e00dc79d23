"""The levels of an image: their number, level -1, and the smallest level that is large enough."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

from bigimg.errors import UsageError
from bigimg.geometry.levels import MAKE_LEVELS, checked_level, level_names, smallest
from bigimg.opening.own_levels import OwnLevel, offered
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
    remedy : str
        What to do where levels are wanted and it has one.
    """

    def __init__(
        self, count: int, make: Callable[[int], Image], source: str, remedy: str = MAKE_LEVELS
    ) -> None:
        self._count, self._make, self._source, self._remedy = count, make, source, remedy
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
        number = checked_level(level, self._count, self._source, self._remedy)
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def __iter__(self) -> Iterator[Image]:
        return self.starting(0)

    def starting(self, level: int) -> Iterator[Image]:
        """Yield a level and each smaller one."""
        first = checked_level(level, self._count, self._source, self._remedy)
        return map(self.__getitem__, range(first, self._count))

    @property
    def base(self) -> Image:
        """Full resolution."""
        return self[0]

    def map[Other](self, function: Callable[[Image], Other]) -> Levels[Other]:
        """Return the results of ``function`` for each level, each made at its first use."""
        return Levels(self._count, lambda level: function(self[level]), self._source, self._remedy)

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

    if isinstance(reader, OwnLevel):
        return Levels(
            len(reader.readers) - reader.level,
            lambda level: replace(reader, level=reader.level + level) if level else reader,
            reader.source,
        )
    if not isinstance(reader, StoreReader):
        own = "take those of its file by levels='source', or " if offered(reader) else ""
        return Levels(1, lambda _: reader, reader.source, own + MAKE_LEVELS)
    store, first = reader.store, reader.level
    return Levels(
        len(store.levels) - first,
        lambda level: StoreReader(store, first + level) if level else reader,
        reader.source,
    )


def is_tree(source: object) -> TypeGuard[xarray.DataTree | xarray.Dataset]:
    """Return whether ``source`` is a DataTree or a Dataset; xarray is not imported for it."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(source, xarray.DataTree | xarray.Dataset)


def is_pyramid(source: object) -> TypeGuard[xarray.DataTree]:
    """Return whether ``source`` is a DataTree with levels, as :func:`bigimg.open_pyramid` gives."""
    return is_tree(source) and bool(level_names(getattr(source, "children", ())))


def levels_of_tree(tree: xarray.DataTree | xarray.Dataset) -> Levels[xarray.DataArray]:
    """Return the images of a pyramid, those of ``scale0`` to ``scaleN``, or the one image of a Dataset or group.

    Raises
    ------
    UsageError
        There is no image: neither ``scale0``, nor a variable ``image``, nor a single variable.
    """
    if is_pyramid(tree):
        names = level_names(tree.children)
        return Levels(len(names), lambda level: _image_of(tree[names[level]].dataset), "the pyramid")
    group: Any = tree
    image = _image_of(getattr(group, "dataset", group))
    return Levels(1, lambda _: image, "the Dataset")


def _image_of(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return the variable ``image`` of a Dataset, or its only one."""
    names = list(dataset.data_vars)
    if "image" not in names and len(names) != 1:
        held = f"the variables {', '.join(map(str, names))}" if names else "no variable"
        raise UsageError(
            f"the Dataset holds {held}: give the one that is the image, as ds['image'], or what bigimg.open_pyramid "
            "gives, with scale0"
        )
    found = dataset["image" if "image" in names else names[0]]
    return found
