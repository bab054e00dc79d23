"""``map_patches``: apply a function to the patches of an image, and convert the result as any other image."""

from __future__ import annotations

import os
from typing import Any

from bigimg.conversion.identity import fingerprint
from bigimg.errors import UsageError
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.open import StoreReader
from bigimg.opening.data_array import to_labelled
from bigimg.opening.open import BLOCK_BYTES, Memory, Source, open_pyramid
from bigimg.ops.arguments import check_channels
from bigimg.ops.patches.blending import checked_blend
from bigimg.ops.patches.mapping import Func, digest_of, mapped
from bigimg.ops.patches.patches import Sizes, patches
from bigimg.ops.patches.positions import Edge
from bigimg.ops.patches.sequence import Patches
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Json


def map_patches(
    func: Func,
    img: Source,
    size: Sizes,
    *,
    overlap: Sizes = 0,
    out: str | os.PathLike[str] | None = None,
    blend: str = "hann",
    edge: Edge = "shift",
    fill: float = 0,
    channels: str = "last",
    dtype: Any = None,
    n_channels: int | None = None,
    name: str | None = None,
    level: int = 0,
    memory: Memory = None,
    **settings: Any,
) -> Any:
    """Apply ``func`` to all patches of a grid and join the results: a store at ``out``, or a lazy image without it.

    Parameters
    ----------
    func : callable
        Takes a patch as a numpy array and returns one of the same size, of any type and number of channels. It is
        called from several threads at once, and may be called again with a patch for a neighbouring block.
    img : DataArray, DataTree, Store, path or anything that opens
    size, overlap, edge, fill, level :
        As in :func:`bigimg.patches`; ``edge`` is ``shift`` or ``pad``.
    out : path, optional
        Path of the OME-Zarr pyramid to write, with the origin and spacing of ``img``.
    blend : {"hann", "linear", "crop"}
        How overlapping patches are joined: with smooth or with linear weights, or (``crop``) with each pixel from
        the patch whose edge is farthest. Label ids need ``crop``.
    channels : {"last", "first"}
        Position of the axis c in the patches that ``func`` takes and returns.
    dtype : dtype, optional
    n_channels : int, optional
        Type and channels of what ``func`` returns. If one is not given, ``func`` is called with the first patch.
    name : str, optional
        Name of ``func`` and all it depends on, such as the weights of a model: an interrupted run goes on only with
        the same name. A plain function of a module needs no name; its code is compared.
    memory : int or str, optional
        The budget, as in :func:`bigimg.convert`.
    **settings
        As in :func:`bigimg.convert`: workers, chunks, codec, kind, method, resume, overwrite, executor, progress.

    Returns
    -------
    DataTree or DataArray
        The opened pyramid; without ``out`` a lazy image.

    Raises
    ------
    UsageError
        The patches do not cover the image, or ``func`` changes their size.
    BudgetError
        Blocks and patches do not fit ``memory``.
    ResumeError
        What an earlier run left was made by another function.
    """
    if edge == "drop":
        raise UsageError("edge='drop' would leave pixels without a value: give 'shift' or 'pad'")
    check_channels(channels)
    grid = patches(img, size, overlap=overlap, edge=edge, fill=fill, level=level, memory=memory)
    reader = mapped(
        func, grid, blend=checked_blend(blend, settings.get("kind")), channels=channels, dtype=dtype,
        made=n_channels, token=_token(func, name, grid),
    )  # fmt: skip
    if out is None:
        if settings:
            raise UsageError(f"{next(iter(settings))}= is of the store, and there is none: give out=")
        return to_labelled(reader, block_bytes=BLOCK_BYTES, made=True)
    convert_to_store(reader, out, memory=memory, **settings)
    return open_pyramid(out)


def _token(func: Func, name: str | None, grid: Patches) -> Json:
    """Return what must be equal for a later run to give the same pixels; None if that cannot be known."""
    reader = grid.cutter.reader
    level = reader.level if isinstance(reader, StoreReader) else 0
    if name is not None:
        return {"name": name, "level": level}
    digest = digest_of(func)
    # An array may name the file that it came from, and its pixels may have changed since.
    if digest is None or isinstance(reader, ArrayReader) or fingerprint(grid.source) is None:
        return None
    return {"code": digest, "level": level}
