"""``edit``: the names, colours and windows of channels and the spacing of a store, without converting it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bigimg.conversion.edit import edit_store
from bigimg.planning.edits import Asked

if TYPE_CHECKING:
    from bigimg.conversion.edit import Edit


def edit(
    store: str | os.PathLike[str],
    *,
    channels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    spacing: Any = None,
    window: Sequence[float] | Mapping[int | str, Sequence[float]] | None = None,
) -> Edit:
    """Change what ``store`` says of its channels and its spacing; what is not given stays, and no pixel is touched.

    The metadata of all levels, the affine to the world, and the manifest follow; so does the spacing of label images
    in the store that lie where their image does. A run that is killed leaves the old metadata or the new. What others
    edited before is taken over.

    Parameters
    ----------
    store : path
        An OME-Zarr image that bigimg wrote, or a label image in one.
    channels : sequence of str, optional
        Names, one for each channel.
    colors : sequence of str, optional
        Colours, one for each channel, as six hexadecimal digits: ``"00FF00"``.
    spacing : str or mapping, optional
        Distance of pixel centres, as in :func:`bigimg.convert`: ``"z=2,y=0.5,x=0.5um"``. The centre of the first pixel
        stays where it is.
    window : sequence or mapping, optional
        Real values drawn black and white: ``(100, 4000)`` for all channels, ``{"DAPI": (100, 4000)}`` for some.

    Returns
    -------
    Edit
        ``.changes``, a line each; ``.labels`` that follow; ``.notes``; ``.to_dict()``.

    Raises
    ------
    UsageError
        Nothing is asked for, or something that means nothing for this image: the message names it. The store is no
        folder.
    InputNotFoundError, InputError, IntegrityError
        The store does not exist, or its metadata is damaged.
    OutputError
        bigimg did not write the store, or it cannot be written to.
    """
    return edit_store(store, Asked(channels, colors, spacing, window))
