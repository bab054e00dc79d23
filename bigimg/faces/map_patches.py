"""``map_patches``: a function of patches over a whole image, written through the same pass as everything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bigimg.conversion.identity import fingerprint
from bigimg.errors import UsageError
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.open import StoreReader
from bigimg.opening.labelled import to_labelled
from bigimg.opening.open import BLOCK_BYTES, Memory, Source, open_pyramid
from bigimg.ops.patches.blending import Blended, checked_blend
from bigimg.ops.patches.mapping import Func, digest_of, mapped
from bigimg.ops.patches.patches import Sizes, patches
from bigimg.ops.patches.positions import Edge
from bigimg.ops.patches.sequence import Patches
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Json

if TYPE_CHECKING:
    import xarray


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
    **asked: Any,
) -> Any:
    """Apply ``func`` to all patches of a grid and put the results together; written to ``out``, or lazy without.

    Parameters
    ----------
    func : callable
        From a patch as numpy to one of the same size, of any type and number of channels. Called from several
        threads at once; a patch may be computed again for a neighbouring block.
    img : DataArray, DataTree, Store, path or anything that opens
    size, overlap, edge, fill, level :
        As in :func:`bigimg.patches`; ``edge`` is ``shift`` or ``pad``.
    out : path, optional
        Of an OME-Zarr pyramid of the same place and spacing.
    blend : {"hann", "linear", "crop"}
        Where patches overlap: a smooth or a straight passage from one to the next, or each pixel from the patch it
        is most inside. Ids of labels want ``crop``.
    channels : {"last", "first"}
        Where ``func`` finds the axis c, and leaves one if it makes any.
    dtype : dtype, optional
    n_channels : int, optional
        What ``func`` makes. Where one is not given, ``func`` is tried on the first patch.
    name : str, optional
        Of ``func`` and all it depends on, such as the weights of a model: an interrupted run goes on only under the
        same name. A plain function of a module is known by its code.
    memory : int or str, optional
        The budget, as in :func:`bigimg.convert`.
    **asked
        As in :func:`bigimg.convert`: workers, chunks, codec, kind, method, resume, overwrite, executor, progress.

    Returns
    -------
    DataTree or DataArray
        The opened pyramid; without ``out`` an image that is computed when it is sliced.

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
    if channels not in ("first", "last"):
        raise UsageError(f"channels={channels!r}: give 'first' or 'last'")
    way = checked_blend(blend, asked.get("kind"))
    grid = patches(img, size, overlap=overlap, edge=edge, fill=fill, level=level, memory=memory)
    made = mapped(
        func, grid, blend=way, channels=channels, dtype=dtype, made=n_channels, token=_token(func, name, grid)
    )
    if out is None:
        if asked:
            raise UsageError(f"{next(iter(asked))}= is of the store, and there is none: give out=")
        return _lazy(made)
    convert_to_store(made, out, memory=memory, **asked)
    return open_pyramid(out)


def _lazy(made: Blended) -> xarray.DataArray:
    return to_labelled(made, block_bytes=BLOCK_BYTES, made=True)


def _token(func: Func, name: str | None, grid: Patches) -> Json:
    """Return what makes ``func`` of these pixels the same another time, or None when nothing tells."""
    reader = grid.cutter.reader
    level = reader.level if isinstance(reader, StoreReader) else 0
    if name is not None:
        return {"name": name, "level": level}
    digest = digest_of(func)
    # An array may name the file it came from and hold anything by now.
    if digest is None or isinstance(reader, ArrayReader) or fingerprint(grid.source) is None:
        return None
    return {"code": digest, "level": level}
