"""The levels that a store of reduced levels leaves out: level 0 from its source, the others from level 0.

The source is opened at the first read, and compared with what the store says of it. So what is taken from the stored
levels and statistics needs no source, as thumbnails up to a quarter of the finest stored level, stats and the stored
histogram; if the source is gone or has changed, reading a level that it has is an error that says so.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import cast

from bigimg.errors import InputError, InputNotFoundError, MissingExtraError, UsageError, without_remedy
from bigimg.omezarr.finer import Finer
from bigimg.omezarr.store import Store
from bigimg.opening.sources import Asked, open_place
from bigimg.pyramid.made_level import made_levels
from bigimg.reader import Access, Reader, as_kind, as_part
from bigimg.readers.digest import files_digest, source_digest
from bigimg.system.shared import Shared
from bigimg.types import Array, Json, Method, Region


def with_source(store: Store) -> Store:
    """Return ``store`` with readers of the levels that it leaves out; a store with all its levels as it is."""
    finer = store.image.finer
    if finer is None or store.source:
        return store
    source, method = SourceLevel(store, finer), cast(Method, store.image.method)
    readers = made_levels(source, [store.spec(level) for level in range(1, store.finer)], method)
    where = f"{source.source} beside it"
    if source.is_here:
        where = source.source if os.path.lexists(source.source) else f"{source.source}, which is gone"
    note = f"{_named(store.finer)} read from {where}"
    return replace(store, source=readers, notes=(*store.notes, note))


def lost_source(store: Store) -> str | None:
    """Return where a store of reduced levels looks for its source if that is not there; None of any other store."""
    finer = store.image.finer
    source = None if finer is None else SourceLevel(store, finer)
    return None if source is None or os.path.lexists(source.source) else source.source


def _named(count: int) -> str:
    return "level 0 is" if count == 1 else f"levels 0 to {count - 1} are"


class SourceLevel:
    """Level 0 of a store that leaves it out: its source, if that is still what was converted.

    Parameters
    ----------
    store : Store
    finer : Finer
        What the store says of it.
    """

    def __init__(self, store: Store, finer: Finer) -> None:
        folder = store.tree.folder or getattr(store.tree.objects, "path", None)
        self.spec, self._store, self._finer, self._first = store.spec(0), store.path, finer, store.finer
        self.is_here = folder is not None
        """Whether the store is on this machine, where its source can be too."""
        self.source = finer.path
        if folder is not None:
            beside = os.path.dirname(os.path.abspath(folder))
            self.source = os.path.normpath(os.path.join(os.path.realpath(beside), finer.path))
        self._reader: Shared[Reader] = Shared()

    @property
    def paths(self) -> tuple[str, ...]:
        """The source."""
        return (self.source,)

    @property
    def access(self) -> Access:
        """That of the source once it is open; until then as the store says it, so that it need not be opened."""
        return self._finer.access if (reader := self._reader.value) is None else reader.access

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``.

        Raises
        ------
        InputError
            The source is gone, or is not what was converted.
        """
        return self._opened().read(region)

    def open_source(self) -> None:
        """Open the source, and compare it with what was converted.

        Raises
        ------
        InputError
            It is gone, or is another one.
        """
        self._opened()

    def check(self) -> None:
        """Refuse a source that is gone or has another size; nothing is opened.

        Raises
        ------
        InputNotFoundError
            It is gone, or the store is not on this machine.
        InputError
            It has another size.
        """
        said = self._finer.digest
        if not self.is_here:
            what = f"{self.source} beside it, and it is on no disk of this machine: fetch both"
            raise InputNotFoundError(self._says(what))
        if not os.path.lexists(self.source):
            raise InputNotFoundError(self._says(f"{self.source}, which is gone: put it back there"))
        if (
            os.path.isfile(self.source)
            and said["files"] == 1
            and os.path.getsize(self.source) != said["bytes"]
        ):
            raise self._changed(f"{os.path.getsize(self.source)} bytes where {said['bytes']} were converted")

    def close(self) -> None:
        """Let go of the source; a later read opens it again."""
        if (reader := self._reader.take()) is not None:
            reader.close()

    def _opened(self) -> Reader:
        return self._reader.get(self._compared)

    def _compared(self) -> Reader:
        """Return a reader of the source, if that is what was converted."""
        self.check()
        if self._finer.digest["files"] == 1 and os.path.isfile(self.source):
            self._compare(
                files_digest([self.source])
            )  # before a reader sees a file of which nothing is known
        options = dict(self._finer.options)
        kind, part = options.pop("kind", None), options.get("part")
        try:
            reader = as_kind(as_part(open_place(self.source, Asked(options)), part), kind)  # type: ignore[arg-type]
        except MissingExtraError:
            raise
        except (
            InputError,
            UsageError,
            TypeError,
        ) as error:  # the options of a store of others may be anything
            why = str(error) if isinstance(error, TypeError) else without_remedy(error)
            what = why.removeprefix(f"{self.source}: ")
            raise self._refused(
                f"{self.source}, which cannot be opened ({what}): put back what was converted"
            ) from error
        try:
            self._compare(source_digest(reader, self._finer.digest))
        except InputError:
            reader.close()
            raise
        if (reader.spec.shape, reader.spec.dtype) != (self.spec.shape, self.spec.dtype):
            sizes = [" x ".join(map(str, spec.shape)) for spec in (reader.spec, self.spec)]
            reader.close()
            raise self._changed(f"it is opened as {sizes[0]} where {sizes[1]} was converted")
        return reader

    def _compare(self, found: Json) -> None:
        """Refuse a source that ``found`` says is another one."""
        said = self._finer.digest
        if found != said:
            digest = found["sha256"] if isinstance(found, dict) else None
            raise self._changed(f"SHA-256 of {said['of']} is {digest} where {said['sha256']} was converted")

    def _changed(self, what: str) -> InputError:
        return self._refused(
            f"{self.source}, which has changed ({what}): put back what was converted, or convert it again"
        )

    def _refused(self, what: str) -> InputError:
        return InputError(self._says(what))

    def _says(self, what: str) -> str:
        return f"{self._store}: {_named(self._first)} read from {what}; level={self._first} can be opened"
