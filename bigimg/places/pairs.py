"""Images of several files: which others belong to one, by its name and by what its header says."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable

PAIRED = {".hdr", ".img", ".mhd", ".nhdr", ".head", ".brik", ".par", ".rec"}
"""Endings of files that come in pairs with the same name up to the first dot."""

HEADERS = {".mhd", ".nhdr"}
"""Headers that name data files with any name in the same folder."""


def is_paired(name: str) -> bool:
    """Return whether other files may belong to the one of this name.

    >>> is_paired("a.hdr"), is_paired("a.img.gz"), is_paired("a.tif")
    (True, True, False)
    """
    return _ending(name) in PAIRED


def companions(own: str, others: Iterable[str], head: Callable[[], bytes]) -> list[str]:
    """Return those of ``others`` in the same folder that belong to the image of the file ``own``.

    Parameters
    ----------
    own : str
    others : iterable of str
        Names of the other files there.
    head : callable
        Returns the first bytes of the file, which may name others.

    >>> companions("a.hdr", ["a.img", "b.img", "a.txt"], bytes)
    ['a.img', 'a.txt']
    """
    if not is_paired(own):
        return []
    stem = own.partition(".")[0]
    text = head().decode("latin-1") if _ending(own) in HEADERS else ""
    pattern = "%" in text  # the header has a pattern of numbered files, which only its reader can expand
    return [name for name in others if name.partition(".")[0] == stem or pattern or (text and name in text)]


def _ending(name: str) -> str:
    return posixpath.splitext(name.lower().removesuffix(".gz"))[1]
