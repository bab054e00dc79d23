"""``map_patches``: apply a function to the patches of an image, and convert the result as any other image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from bigimg.conversion.identity import chosen, fingerprint
from bigimg.conversion.progress import Report
from bigimg.errors import BudgetError, UsageError
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.open import StoreReader
from bigimg.opening.data_array import to_labelled
from bigimg.opening.open import BLOCK_BYTES, Memory, Source, open_pyramid
from bigimg.opening.sources import split
from bigimg.ops.arguments import check_channels
from bigimg.ops.patches.blending import Blended, checked_blend
from bigimg.ops.patches.cutting import smaller_sizes
from bigimg.ops.patches.mapping import Func, digest_of, mapped
from bigimg.ops.patches.patches import Sizes, patches
from bigimg.ops.patches.positions import Edge, Grid
from bigimg.ops.patches.sequence import Patches
from bigimg.planning.options import Options, options
from bigimg.planning.plan import make_plan
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Json

NO_LIMIT = 1 << 62
"""Budget in bytes where sizes alone are asked for, and no pixel is read."""


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
    progress: bool | Report | None = None,
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
        The budget, as in :func:`bigimg.convert`. More of it makes larger blocks, whose patches are read and computed
        fewer times.
    progress : bool or callable, optional
        As in :func:`bigimg.convert`: a bar by default, False for none.
    **settings
        As in :func:`bigimg.convert`: workers, chunks, codec, kind, method, resume, overwrite, executor; and options of
        the source.

    Returns
    -------
    DataTree or DataArray
        The opened pyramid; without ``out`` a lazy image.

    Raises
    ------
    UsageError
        The patches do not cover the image, or ``func`` changes their size.
    BudgetError
        Blocks and patches do not fit ``memory``; the message names a smaller size that would, if there is one.
    ResumeError
        What an earlier run left was made by another function.
    """
    if edge == "drop":
        raise UsageError("edge='drop' would leave pixels without a value: give 'shift' or 'pad'")
    check_channels(channels)

    opening, settings = split(settings)
    cut = partial(patches, img, overlap=overlap, edge=edge, fill=fill, level=level, **opening)

    def made(size: Sizes, dtype: Any, n_channels: int | None, memory: Memory = memory) -> Blended:
        grid, how = cut(size, memory=memory), checked_blend(blend, settings.get("kind"))
        token = _token(func, name, grid, chosen(opening))
        return mapped(func, grid, blend=how, channels=channels, dtype=dtype, made=n_channels, token=token)

    if out is None:
        if settings:
            raise UsageError(f"{next(iter(settings))}= is of the store, and there is none: give out=")
        return to_labelled(made(size, dtype, n_channels), block_bytes=BLOCK_BYTES, made=True)
    reader = None
    try:
        reader = made(size, dtype, n_channels)
        convert_to_store(reader, out, memory=memory, progress=progress, **settings)
    except BudgetError as error:
        # To find a smaller size the function is not called: what it gives is known, or taken for what it gets.
        grid = cut(size, memory=NO_LIMIT)
        spec = grid.cutter.reader.spec if reader is None else reader.spec
        gives = dtype or spec.dtype, n_channels or spec.sizes.get("c", 1)
        refused = partial(_refused, out, memory, settings)
        whole = (
            error if reader is not None else refused(partial(made, size, *gives, memory=NO_LIMIT)) or error
        )
        for smaller in _smaller_sizes(grid):
            if refused(partial(made, smaller, *gives)) is None:
                ways = [*whole.ways[:1], f"patches of size={tuple(smaller.values())}"]
                raise BudgetError(whole.text, needed=whole.needed, allowed=whole.allowed, ways=ways) from None
        raise
    return open_pyramid(out)


def _smaller_sizes(grid: Patches) -> Iterator[dict[str, int]]:
    """Yield smaller sizes of patches by axis, without the axes that a patch does not have."""
    assert isinstance(grid.positions, Grid)
    names, lines = [name for name in grid.labels.dims if name != "c"], grid.positions.lines
    for sides in smaller_sizes([line.patch for line in lines], [line.patch - line.stride for line in lines]):
        yield {name: n for name, n in zip(names, sides, strict=True) if name in grid.dims}


def _refused(
    out: str | os.PathLike[str], memory: Memory, settings: Mapping[str, Any], make: Callable[[], Blended]
) -> BudgetError | None:
    """Return why the image that ``make`` returns cannot be converted within ``memory``; None if it can be."""
    known = {field.name for field in fields(Options)}
    chosen = options(memory=memory, **{name: value for name, value in settings.items() if name in known})
    try:
        reader = make()
        make_plan(reader.source, os.fspath(out), reader.spec, reader.access, chosen)
    except BudgetError as error:
        return error
    return None


def _token(func: Func, name: str | None, grid: Patches, opening: str) -> Json:
    """Return what must be equal for a later run to give the same pixels; None if that cannot be known."""
    reader = grid.cutter.reader
    level = reader.level if isinstance(reader, StoreReader) else 0
    if name is not None:
        return {"name": name, "level": level, "opening": opening}
    digest = digest_of(func)
    # An array may name the file that it came from, and its pixels may have changed since.
    if digest is None or isinstance(reader, ArrayReader) or fingerprint(grid.source) is None:
        return None
    return {"code": digest, "level": level, "opening": opening}
