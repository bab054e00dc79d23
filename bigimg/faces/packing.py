"""``pack`` and ``unpack``: a store as one file, and a file as the folder that it was."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from bigimg.conversion.packing import pack_store, unpack_store
from bigimg.conversion.target import is_own_plate
from bigimg.errors import BigimgError, IntegrityError, UsageError
from bigimg.omezarr.open import open_store
from bigimg.omezarr.tree import tree_of
from bigimg.opening.finer_levels import lost_source
from bigimg.opening.sources import Asked, zipped_store
from bigimg.verification.objects import is_ours
from bigimg.verification.store import verify_store

if TYPE_CHECKING:
    from bigimg.conversion.packing import Packed
    from bigimg.conversion.progress import Report


def pack(
    store: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    memory: int | float | str | None = None,
    overwrite: bool = False,
    progress: bool | Report | None = None,
) -> Packed:
    """Pack ``store`` into the one file ``target``: its pixels, labels, statistics, manifest and provenance as they are.

    The file is a zip file as RFC-9 of OME-Zarr has it: nothing is compressed again, and the metadata come first. It
    opens as the folder does. A store that bigimg wrote is looked over first, as by ``verify(store, quick=True)``.

    Parameters
    ----------
    store : path
        The folder of an OME-Zarr of version 0.5 or later, or of another hierarchy of zarr 3.
    target : path
        Named ``.ozx``; must not exist.
    memory : int or str, optional
        Budget of resident memory for this whole process, as in :func:`bigimg.plan`.
    overwrite : bool
        Replace an older store in one file once the new one is whole; only one that bigimg wrote, without label images.
    progress : bool or callable, optional
        As in :func:`bigimg.convert`.

    Returns
    -------
    Packed
        ``.objects``, ``.stored_bytes``, ``.seconds``, ``.notes``, ``.to_dict()``.

    Raises
    ------
    InputNotFoundError, InputError, IntegrityError
        There is no store, or it is damaged, or holds links. Nothing is left behind.
    UsageError
        The store is of zarr 2 (OME-Zarr 0.4), or no folder; or ``target`` has another name.
    TargetExistsError, OutputError, BudgetError
        ``target`` exists, or cannot be written, or does not fit the disk or the budget.
    """
    tree = tree_of(_path(store))
    if is_ours(tree.location("")) or (tree.folder is not None and is_own_plate(tree.folder)):
        found = verify_store(tree, quick=True, memory=memory, progress=False)
        if damage := [each for each in found.findings if each.kind != "extra"]:
            raise IntegrityError(f"{tree.where(str(damage[0]))} (and bigimg verify says all)")
    return _noted(pack_store(tree, target, memory=memory, overwrite=overwrite, progress=progress))


def unpack(
    packed: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    memory: int | float | str | None = None,
    overwrite: bool = False,
    progress: bool | Report | None = None,
) -> Packed:
    """Unpack the store in one file ``packed`` into the folder ``target``; every checksum of the file is compared.

    Parameters
    ----------
    packed : path or URL
        A file named ``.ozx`` or ``.zip``, or the address of one, or a store in one: ``slides.zip::a.ome.zarr``.
    target : path
        Folder of the store to be; must not exist.
    memory, progress
        As in :func:`pack`.
    overwrite : bool
        Replace an older store once the new one is whole, as :func:`bigimg.convert` does.

    Returns
    -------
    Packed
        As :func:`pack`.

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file, or it is no store, or damaged, or has members that lead out of it. Nothing is left.
    UsageError, TargetExistsError, OutputError, BudgetError
        As :func:`pack`.
    """
    tree = zipped_store(_path(packed), Asked({}, progress)) or tree_of(packed)
    return _noted(unpack_store(tree, target, memory=memory, overwrite=overwrite, progress=progress))


def _noted(done: Packed) -> Packed:
    """Return ``done``, with a note where the new store reads level 0 from a source that is not found from there."""
    try:
        lost = lost_source(open_store(done.target))
    except BigimgError:  # no image: a plate, or another hierarchy of zarr
        return done
    if lost is None:
        return done
    note = f"its finest levels are read from {lost}, and nothing is there: put the source there, or convert the store "
    return replace(done, notes=(f"{note}that lies beside its source to a whole one first",))


def _path(store: object) -> str:
    """Return the path of a store; of an opened one the bytes are not known."""
    if not isinstance(store, str | os.PathLike):
        raise UsageError(f"{type(store).__name__} is no path: give that of the store")
    return os.fspath(store)
