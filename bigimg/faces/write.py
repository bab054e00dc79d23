"""``convert`` and ``write``: any image to an OME-Zarr pyramid, which is opened and returned."""

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
    **asked: Any,
) -> xr.DataTree:
    """Convert ``source`` to the OME-Zarr pyramid ``target`` in one pass, and return it opened.

    Parameters
    ----------
    source, target, series, **asked
        As in :func:`bigimg.plan`: memory, workers, chunks, shards, codec, levels, method, kind, spacing, channels,
        keep_metadata, ome_version, insecure, max_download.
    executor : concurrent.futures.Executor, optional
        Who runs the blocks; threads, or an active dask client, by default.
    progress : bool or callable, optional
        None draws a bar on a terminal; True prints lines where there is none; a callable gets each
        :class:`~bigimg.conversion.progress.Progress`.
    resume : bool
        Go on from what an earlier run on the same target left when it was interrupted.
    overwrite : bool
        Let the new store take the place of an older one, once the new one is whole.
    sync : bool
        Have everything on the disk before the store gets its name.

    Raises
    ------
    BudgetError, InputError, UsageError
        Nothing is left behind.
    OutputError, WorkerError
        Nothing under the name of the target; what was done is kept beside it, to go on from.
    ResumeError
        What an earlier run left is of another source or of other options.
    """
    from bigimg.opening.open import open_pyramid

    convert_to_store(
        source, target, series=series, executor=executor, progress=progress, resume=resume,
        overwrite=overwrite, sync=sync, **asked,
    )  # fmt: skip
    return open_pyramid(target)


def write(img: Any, target: str | os.PathLike[str], **asked: Any) -> xr.DataTree:
    """Write any labelled array through the same pass, and return the opened pyramid.

    Parameters
    ----------
    img : DataArray or array
        Lazy arrays are computed block by block.
    target, **asked
        As in :func:`convert`. A mask or label image for ``<image store>/labels/<name>`` becomes a label of that
        image, with a pyramid of its own: of the axes and the size of one of the image's levels, booleans as 0
        and 1, one of a single channel without c, in the OME-Zarr version of the image.
    """
    return convert(img, target, **asked)
