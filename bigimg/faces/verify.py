"""``verify``: what is wrong with a store, alone or against the source it was made from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bigimg.opening.open import open_source
from bigimg.opening.sources import zipped_store
from bigimg.verification.store import verify_store

if TYPE_CHECKING:
    from bigimg.conversion.progress import Report as Tell
    from bigimg.verification.report import Report


def verify(
    store: str | os.PathLike[str],
    source: Any = None,
    *,
    quick: bool = False,
    memory: int | float | str | None = None,
    series: int | str | None = None,
    progress: bool | Tell | None = None,
) -> Report:
    """Return everything that is wrong with ``store``; nothing is changed.

    Label images inside it are checked too; places in them begin with ``labels/<name>/``.

    Parameters
    ----------
    store : path or URL
        Of an OME-Zarr image, in a zip file too (``slides.zip::a.ome.zarr``). One of ours is checked against its
        manifest; of others as much as can be known.
    source : path, array or DataArray, optional
        What the store was made from: level 0 is compared with its pixels. Those of label images are not.
    quick : bool
        Look at presence, lengths and metadata only; no chunk is read.
    memory : int or str, optional
        Budget of resident memory for this whole process, as in :func:`bigimg.plan`.
    series : int, optional
        Which image of a source that holds several.
    progress : bool or callable, optional
        As in :func:`bigimg.convert`.

    Returns
    -------
    Report
        ``.ok``; ``.findings`` with array, level, shard, chunk and file of each; ``.doubts`` about absent chunks of
        others; ``.notes`` on what could not be checked; ``.to_dict()``.

    Raises
    ------
    InputNotFoundError, InputError
        There is no store at all, or the source cannot be read.
    BudgetError
        Not even one block fits ``memory``.
    UsageError
        ``quick`` and a source exclude each other.
    """
    place = zipped_store(store, insecure=False, max_download=None, progress=progress) or store
    if source is None:
        return verify_store(place, quick=quick, memory=memory, progress=progress)
    reader = open_source(source, series=series)
    try:
        return verify_store(place, reader, quick=quick, memory=memory, progress=progress)
    finally:
        if isinstance(source, str | os.PathLike):
            reader.close()
