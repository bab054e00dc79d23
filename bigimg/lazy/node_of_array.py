"""The node behind a DataArray, kept in the encoding of its variable.

xarray keeps the encoding when it copies, pickles or renames an array. The entry holds the node, the name of the dask
array and the names of the axes. After arithmetic, a slice or a change of axis names these differ, and the entry is
ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from bigimg.lazy.leaves import LazyPixels, Plain
from bigimg.lazy.node import Node
from bigimg.types import Json, Padding

if TYPE_CHECKING:
    import xarray

KEY = "bigimg"
"""Key in the encoding; ``to_zarr`` and ``to_netcdf`` leave out keys that they do not know."""


class Link:
    """A node, and the dask array that stands for it."""

    def __init__(self, name: str, dims: tuple[Any, ...], node: Node) -> None:
        self.name, self.dims, self.node = name, dims, node

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self.node).__name__}>"


def linked(img: xarray.DataArray, node: Node) -> xarray.DataArray:
    """Return ``img`` with ``node``, the source of its dask array, as its only encoding."""
    img.encoding = {KEY: Link(img.data.name, img.dims, node)}
    return img


def linked_node(img: xarray.DataArray) -> Node | None:
    """Return the node from which the pixels of ``img`` were made; None if bigimg did not make them."""
    if img.chunks is None:
        return None
    link = img.variable.encoding.get(KEY)
    if isinstance(link, Link) and link.name == img.data.name and link.dims == img.dims:
        return link.node
    return None


def opened_pixels(img: xarray.DataArray) -> LazyPixels | None:
    """Return the pixels of ``img`` if it is a whole image as it was opened; else None."""
    node = linked_node(img)
    return node if isinstance(node, LazyPixels) else None


def private_of(img: xarray.DataArray) -> dict[str, Json]:
    """Return the fields of the file behind ``img`` that may tell who was imaged; none if it is not one image of a file.

    They are in no attrs, so that a notebook does not show them and xarray does not save them.
    """
    link = img.variable.encoding.get(KEY)
    leaves = link.node.leaves() if isinstance(link, Link) else []
    specs = [leaf.reader.spec for leaf in leaves if isinstance(leaf, LazyPixels)]
    return dict(specs[0].private) if len(specs) == 1 else {}


def node_of(img: xarray.DataArray) -> Node:
    """Return a node of the pixels of ``img``: the node behind it, pixels in memory, or blocks that dask computes."""
    if img.chunks is None:
        return Plain(img)
    found = linked_node(img)
    if found is None:
        from bigimg.lazy.foreign import Foreign

        found = Foreign(img.data, tuple(map(str, img.dims)), padding=padding_of(img))
    return found


def padding_of(img: xarray.DataArray) -> Padding | None:
    """Return the range of values that are no measurements, as the source declares them; None if that is not known.

    They are known of an image as it was opened and of what is cut from it or made smaller, in any chain of xarray's
    and ours. Other values may have been changed, so they may be measurements. Cuts keep the entry in the encoding,
    while arithmetic drops it; the dask array says whether its values are still those of the source.
    """
    if img.chunks is None:
        return None
    if (node := linked_node(img)) is not None:
        return node.padding
    if not isinstance(img.variable.encoding.get(KEY), Link):
        return None
    from bigimg.lazy.dask_edge import padding_in

    return padding_in(img.data)
