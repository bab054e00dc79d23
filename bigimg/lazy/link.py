"""Which node is behind a labelled array: noted in the encoding of its variable, of account while it is true.

xarray takes the encoding along when it copies, pickles or renames, and with it what this module writes there. The
note holds the name that dask gave the pixels and their axes, so after arithmetic, a slice or other names of axes it is
of no account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from bigimg.lazy.leaves import LazyPixels, Plain
from bigimg.lazy.node import Node

if TYPE_CHECKING:
    import xarray

KEY = "bigimg"
"""In the encoding; ``to_zarr`` and ``to_netcdf`` leave out what they do not know."""


class Link:
    """A node, and the dask array that stands for it."""

    def __init__(self, name: str, dims: tuple[Any, ...], node: Node) -> None:
        self.name, self.dims, self.node = name, dims, node

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self.node).__name__}>"


def linked(img: xarray.DataArray, node: Node) -> xarray.DataArray:
    """Return ``img``, whose dask array was made of ``node``, with the note that says so and no other encoding."""
    img.encoding = {KEY: Link(img.data.name, img.dims, node)}
    return img


def linked_node(img: xarray.DataArray) -> Node | None:
    """Return the node that the pixels of ``img`` were made of; None when they are anybody else's."""
    if img.chunks is None:
        return None
    link = img.variable.encoding.get(KEY)
    if isinstance(link, Link) and link.name == img.data.name and link.dims == img.dims:
        return link.node
    return None


def opened_pixels(img: xarray.DataArray) -> LazyPixels | None:
    """Return the pixels that ``img`` is the whole of, just as it was opened; None when it is anything else."""
    node = linked_node(img)
    return node if isinstance(node, LazyPixels) else None


def node_of(img: xarray.DataArray) -> Node:
    """Return what gives the pixels of ``img``: the node behind it, its memory, or the blocks that dask computes."""
    if img.chunks is None:
        return Plain(img)
    found = linked_node(img)
    if found is None:
        from bigimg.lazy.foreign import Foreign

        found = Foreign(img.data, tuple(map(str, img.dims)))
    return found
