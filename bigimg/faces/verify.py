"""``verify``: what is wrong with a store, by itself or compared with its source."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from bigimg.errors import BigimgError
from bigimg.faces.plates import plate_source
from bigimg.omezarr.open import open_store
from bigimg.opening.finer_levels import with_source
from bigimg.opening.open import open_source
from bigimg.opening.sources import Asked, zipped_store
from bigimg.reader import Reader, as_kind
from bigimg.types import Opening
from bigimg.verification.store import verify_store

if TYPE_CHECKING:
    from bigimg.conversion.progress import Report as Tell
    from bigimg.verification.report import Report


def verify(
    store: str | os.PathLike[str],
    source: Any = None,
    *,
    quick: bool = False,
    accept: bool = False,
    memory: int | float | str | None = None,
    workers: int | None = None,
    progress: bool | Tell | None = None,
    **opening: Unpack[Opening],
) -> Report:
    """Return everything that is wrong with ``store``; nothing is changed but by ``accept``.

    Label images inside it are checked too; their findings begin with ``labels/<name>/``. Of a plate all fields are
    checked; their findings begin with ``B/03/0/``. If a dask client is active, the workers of its cluster read the
    store; with a source that is decoded in order, threads of this process do.

    Parameters
    ----------
    store : path or URL
        An OME-Zarr image, in a zip file too (``slides.zip::a.ome.zarr``). A store that bigimg wrote is checked
        against its manifest; any other store as far as its metadata allow.
    source : path, array or DataArray, optional
        What the store was made from: its pixels are compared with level 0. Label images are not compared.
    quick : bool
        Look at presence, lengths and metadata only; no chunk is read.
    accept : bool
        If nothing is wrong, take over what others edited in the metadata, so that it counts as written.
    memory : int or str, optional
        Budget of resident memory for this whole process, as in :func:`bigimg.plan`; on a cluster, for each worker.
    workers : int, optional
        At most this many at once, one a CPU by default; on a cluster its threads.
    progress : bool or callable, optional
        As in :func:`bigimg.convert`.
    **opening
        Options of :class:`bigimg.types.Opening`, for the source.

    Returns
    -------
    Report
        ``.ok``; ``.findings`` with array, level, shard, chunk and file of each; ``.edits`` of the metadata by others,
        which are no damage; ``.doubts`` about absent chunks in stores of other programs; ``.notes`` on what could not
        be checked; ``.to_dict()``.

    Raises
    ------
    InputNotFoundError, InputError
        The store does not exist, or the source cannot be read.
    BudgetError
        Not even one block fits ``memory``.
    UsageError
        ``quick`` and a source exclude each other, or ``accept`` is asked for where the store is no folder.
    OutputError
        What others edited cannot be taken over: the store cannot be written to.
    """
    opened = zipped_store(store, Asked({}, progress)) or store
    checked = partial(
        verify_store, opened, quick=quick, accept=accept, memory=memory, workers=workers, progress=progress
    )
    if source is None:
        own = None if quick else _own_source(opened)
        with nullcontext() if own is None else closing(own):
            return checked(own)
    if (plate := plate_source(source, opening)) is not None:
        return checked(plate)
    reader = open_source(source, progress=progress, **opening)
    if hasattr(reader, "indices"):
        reader = as_kind(reader, _kind_of(opened))
    try:
        return checked(reader)
    finally:
        if isinstance(source, str | os.PathLike):
            reader.close()


def _own_source(store: Any) -> Reader | None:
    """Return the source of a store of reduced levels, which has the others; None of a store with all its levels."""
    try:
        found = with_source(open_store(store, trusting=True)).source
    except BigimgError:  # the check reports the damage
        return None
    return found[0] if found else None


def _kind_of(store: Any) -> str | None:
    """Return what the numbers of a store mean; None where it is too damaged to say, which the check reports."""
    try:
        return open_store(store).kind
    except BigimgError:
        return None
