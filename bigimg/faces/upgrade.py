"""``upgrade``: a store made one of a newer version of OME-Zarr, without converting it again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bigimg.conversion.upgrade import upgrade_store
from bigimg.types import Version

if TYPE_CHECKING:
    from bigimg.conversion.upgrade import Upgrade


def upgrade(store: str | os.PathLike[str], *, to: Version = "0.6") -> Upgrade:
    """Make ``store`` one of OME-Zarr ``to`` by its metadata alone; no pixel is read or written.

    The manifest follows, and so do the label images in the store. A run that is killed leaves the old metadata or the
    new of each image, and the same call goes on. Programs that do not read ``to`` no longer read the store.

    Parameters
    ----------
    store : path
        An OME-Zarr image or plate that bigimg wrote, of version 0.5. A plate is upgraded with all its fields.
    to : {"0.6", "0.5"}

    Returns
    -------
    Upgrade
        ``.before`` and ``.after``, ``.labels`` that follow, ``.fields`` of a plate, ``.notes``, ``.to_dict()``.

    Raises
    ------
    UsageError
        The store is of 0.4, whose chunks are of another kind (the message has the line that converts it), or newer than
        ``to``, or no folder, or a field of a plate, which has one version.
    InputNotFoundError, InputError, IntegrityError
        The store does not exist, or its metadata is damaged.
    OutputError
        bigimg did not write the store, or it cannot be written to.
    """
    return upgrade_store(store, to)
