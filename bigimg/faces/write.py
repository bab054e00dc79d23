"""``convert`` and ``write``: any image to an OME-Zarr pyramid, returned as an opened tree."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from bigimg.conversion.progress import Report
from bigimg.faces.convert import convert_to_store

if TYPE_CHECKING:
    import xarray as xr


def convert(
    source: Any,
    target: str | os.PathLike[str],
    *,
    series: int | str | None = None,
    executor: Executor | None = None,
    progress: bool | Report | None = None,
    resume: bool = True,
    overwrite: bool = False,
    sync: bool = True,
    **settings: Any,
) -> xr.DataTree:
    """Convert ``source`` to the OME-Zarr pyramid ``target`` in one pass, and return it opened.

    Parameters
    ----------
    source, target, series, **settings
        As in :func:`bigimg.plan`: memory, workers, chunks, shards, codec, levels, method, kind, spacing, channels,
        keep_metadata, ome_version, insecure, max_download.
    executor : concurrent.futures.Executor, optional
        What runs the blocks; by default an active dask client, else threads.
    progress : bool or callable, optional
        None draws a bar on a terminal; True prints lines if there is no terminal; a callable gets each
        :class:`~bigimg.conversion.progress.Progress`.
    resume : bool
        Go on from the blocks that an interrupted run to the same target has written.
    overwrite : bool
        Replace an older store once the new one is whole.
    sync : bool
        Flush everything to the disk before the store gets its name.

    Raises
    ------
    BudgetError, InputError, UsageError
        Nothing is left behind.
    OutputError, WorkerError
        There is nothing at ``target``; the finished blocks stay beside it, for the next run to go on from.
    ResumeError
        The blocks of an earlier run are of another source or of other options.
    """
    from bigimg.opening.open import open_pyramid

    convert_to_store(
        source, target, series=series, executor=executor, progress=progress, resume=resume,
        overwrite=overwrite, sync=sync, **settings,
    )  # fmt: skip
    return open_pyramid(target)


def write(img: Any, target: str | os.PathLike[str], **settings: Any) -> xr.DataTree:
    """Write a DataArray or array to an OME-Zarr pyramid as :func:`convert` does, and return it opened.

    Parameters
    ----------
    img : DataArray or array
        Lazy arrays are computed block by block.
    target, **settings
        As in :func:`convert`. A mask or label image with the target ``<image store>/labels/<name>`` becomes a label
        of that image, with a pyramid of its own, in the OME-Zarr version of the image. It must have the axes and the
        size of one of the image's levels. Booleans are stored as 0 and 1, a single channel without the axis c.
    """
    return convert(img, target, **settings)
