"""The xarray engine: ``xarray.open_dataset(path, engine="bigimg")`` and ``xarray.open_datatree``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Unpack

import xarray
from xarray.backends import BackendEntrypoint

import bigimg.accessor  # noqa: F401  # registers .bigimg for images opened by xarray
from bigimg.opening.open import Memory, open_pyramid
from bigimg.opening.open import open as open_image
from bigimg.readers.registry import BUILT_IN
from bigimg.types import FromSource, Opening

STORES = (".ome.zarr", ".ome.zarr/", ".ozx")
"""Endings of stores that we open; xarray's own engine opens a name that only ends in ``.zarr``."""


class BigimgBackend(BackendEntrypoint):
    """Opens images lazily as datasets with the variable ``image``; ``chunks={}`` gives the chunks of the source."""

    description = "Images in any format that bigimg reads, and OME-Zarr pyramids"
    url = "https://bigimg.readthedocs.io"
    open_dataset_parameters = (
        *("filename_or_obj", "drop_variables", "level", "memory", "raw", "levels"),
        *Opening.__annotations__,
    )
    supports_groups = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        level: int = 0,
        memory: Memory = None,
        raw: bool = False,
        levels: FromSource | None = None,
        **opening: Unpack[Opening],
    ) -> xarray.Dataset:
        """Return the image as a dataset; the options are those of :func:`bigimg.open`."""
        img = open_image(filename_or_obj, level=level, memory=memory, raw=raw, levels=levels, **opening)
        return _prepared(img.to_dataset(name="image"), drop_variables)

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        memory: Memory = None,
        levels: FromSource | None = None,
        **opening: Unpack[Opening],
    ) -> xarray.DataTree:
        """Return the pyramid as a tree, as :func:`bigimg.open_pyramid` does."""
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, memory=memory, levels=levels, **opening
        )
        return xarray.DataTree.from_dict(groups)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        memory: Memory = None,
        levels: FromSource | None = None,
        **opening: Unpack[Opening],
    ) -> dict[str, xarray.Dataset]:
        """Return the levels of the pyramid by their path in the tree."""
        tree = open_pyramid(filename_or_obj, memory=memory, levels=levels, **opening)
        return {node.path: _prepared(node.to_dataset(), drop_variables) for node in tree.subtree}

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether the name is one of ours; the file is not touched."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        name = os.fspath(filename_or_obj).lower()
        # An .h5 is more often netCDF: engine="bigimg" asks for its datasets as images.
        known = tuple(ending for each in BUILT_IN for ending in each.extensions if each.name != "hdf5")
        return name.endswith((*STORES, *known))


def _prepared(found: xarray.Dataset, drop: str | Iterable[str] | None) -> xarray.Dataset:
    """Return a dataset without the variables ``drop``, and with the chunks of the source for ``chunks={}``."""
    for variable in found.data_vars.values():
        if variable.chunks is not None:
            variable.encoding["preferred_chunks"] = dict(variable.chunksizes)
    return found if drop is None else found.drop_vars(drop, errors="ignore")
