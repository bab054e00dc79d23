"""A store of reduced levels against its source: its first level made again from it, and what is counted on the way."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

from bigimg.conversion.block import channel_statistics
from bigimg.errors import InputError, InputNotFoundError, MissingExtraError
from bigimg.geometry.holes import holes_in
from bigimg.omezarr.finer import Finer, finer_of
from bigimg.omezarr.parse import NONSENSE
from bigimg.omezarr.store import Store
from bigimg.pyramid.made_level import made_levels
from bigimg.pyramid.partial import Partial
from bigimg.reader import Reader, open_source_of
from bigimg.types import Array, Method, Region
from bigimg.verification.report import Finding, Findings


def finer_if_sound(root: Mapping[str, Any] | None) -> Finer | None:
    """Return what the attributes of an image say of levels that are not stored; None where all are, or if damaged."""
    try:
        return finer_of((root or {})["bigimg"])
    except NONSENSE:
        return None


class Remade:
    """The first level that is stored, made again from the source, and the statistics of level 0.

    Parameters
    ----------
    source : Reader
    store : Store
    """

    def __init__(self, source: Reader, store: Store) -> None:
        self._spec, self._lock = store.spec(0), threading.Lock()
        self.partials: list[tuple[int, Partial]] = []
        """Channel and statistics of each portion of level 0 that was read."""
        specs = [store.spec(level) for level in range(1, store.finer + 1)]
        self.reader = made_levels(source, specs, cast(Method, store.image.method), self._count)[-1]
        """Of the level."""

    def _count(self, region: Region, pixels: Array) -> None:
        spec = self._spec
        axis = spec.axis("c") if "c" in spec.dims else None
        found = channel_statistics(pixels, region, axis, spec.padding, holes_in(spec.missing, region))
        with self._lock:
            self.partials += found


def remade(source: Reader | None, store: Store, found: Findings, file: str, name: str) -> Remade | None:
    """Return the first level as it is made from ``source``; if that is not what was converted, add a finding."""
    if source is None:
        found.note("level 0 was not looked at: it is read from the source")
        return None
    first = store.spec(0)
    try:
        open_source_of(source)
    except MissingExtraError:
        raise
    except InputNotFoundError as error:  # the store itself is whole
        found.note(f"level 0 was not looked at: {str(error).removeprefix(f'{name}: ')}")
        return None
    except InputError as error:
        found.add(Finding("source", file, str(error).removeprefix(f"{name}: ")))
        return None
    spec = source.spec
    if (spec.dims, spec.shape, spec.dtype) != (first.dims, first.shape, first.dtype):
        theirs, ours = (f"{' x '.join(map(str, each.shape))}, {each.dtype}" for each in (spec, first))
        found.add(
            Finding("source", file, f"level 0 is {ours}, the source {theirs}: not the source of this store")
        )
        return None
    return Remade(source, store)
